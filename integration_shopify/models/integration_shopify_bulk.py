import contextlib
import logging
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import psycopg2

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from odoo.addons.integration_base.lib.errors import (
    AuthError,
    IntegrationError,
    InvalidPayloadError,
    NotReadyError,
    RequestRefused,
    RetryableError,
)
from odoo.addons.integration_base.lib.http import encode_form
from odoo.addons.integration_base.lib.intents import LATE_SECONDS, outcome_of

from ..lib import bulk
from ..lib.client import UserErrors
from ..lib.contract import read_utc

_logger = logging.getLogger(__name__)

#: First key of the advisory lock (session) of whoever looks after a backend's bulk mutations.
LOCK_BULK = 0x1A7ED
#: Codes by which Shopify says that too many are running; others may have started some.
BUSY = ("OPERATION_IN_PROGRESS", "LIMIT_REACHED")
#: Codes by which Shopify says that it cannot read the file (any more): it is uploaded again.
UPLOAD_AGAIN = ("NO_SUCH_FILE", "INTERNAL_FILE_SERVER_ERROR")
#: Seconds after which busy slots are worth another look.
BUSY_SECONDS = 30
#: Shortest and longest time between two questions how far an operation is, in seconds. A webhook
#: tells of the end as well.
LOOK_SECONDS = (2, 60)
#: Seconds that lines are gathered before a file is made of them.
GATHER_SECONDS = 20
#: States of an operation that takes one of the five places.
PLACES = ("new", "running")
#: How often a new address of one result is asked for: Shopify signs them anew each time.
MOST_ADDRESSES = 3
#: Days after which what has ended is forgotten, and rows deleted by one run of the clean-up.
KEEP_DAYS = 30
CLEAN_UP_ROWS = 10000
#: Bytes of objects that are put together at a time, with all that belongs to them.
PAGE_BYTES = 4 * 1024 * 1024
#: Most objects of a page.
PAGE_ROOTS = 250


class Page(NamedTuple):
    """Some of the objects of a bulk query.

    :param objects: as an ordinary query returns them, each with all of its connections.
    :param next_page: to ask for the next ones with; None when these were the last.
    :param read_at: since when they are true (naive UTC, Shopify's clock); None without objects.
    """

    objects: list
    next_page: dict | None
    read_at: object = None


class IntegrationShopifyBulk(models.Model):
    """A bulk operation: something that Shopify works on for minutes, and answers with a file.

    What became of it at Shopify is written in transactions of its own, because the work that asks
    for it mostly ends with "not ready yet", which is rolled back. It is written down before Shopify
    is asked, with a name of its own in the document: after a lost answer it is found again by that
    name, so that nothing is started twice. At most five of a kind have a ``slot`` at a time.

    A query is read step by step by an initial load (:meth:`_page`). A mutation carries lines
    (``integration.shopify.bulk.item``) that operations of an outgoing flow wait for; whichever of
    these comes next also looks after it (:meth:`_look_after`).
    """

    _name = "integration.shopify.bulk"
    _description = "Shopify Bulk Operation"
    _order = "id desc"

    name = fields.Char(required=True, readonly=True, help="What it is for.")
    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    resource = fields.Char(required=True, readonly=True)
    kind = fields.Selection(
        [("query", "Read"), ("mutation", "Write")], required=True, readonly=True
    )
    mark = fields.Char(
        required=True, readonly=True, help="Part of the name by which Shopify knows it."
    )
    document = fields.Text(required=True, readonly=True)
    state = fields.Selection(
        [
            ("new", "To Be Started"),
            ("running", "Running"),
            ("ready", "Result to Be Read"),
            ("done", "Done"),
            ("failed", "Failed"),
            ("cancelled", "Cancelled"),
        ],
        required=True,
        readonly=True,
        default="new",
    )
    slot = fields.Integer(
        readonly=True, aggregator=None, help="Which of the five places it takes at Shopify."
    )
    gid = fields.Char(string="Shopify ID", readonly=True, index="btree_not_null")
    url = fields.Char(readonly=True, groups="base.group_system")
    error_code = fields.Char(readonly=True)
    message = fields.Text(readonly=True)
    object_count = fields.Integer(string="Objects", readonly=True, aggregator=None)
    file_size = fields.Integer(
        string="Size", readonly=True, aggregator=None, help="Of the result, in bytes."
    )
    position = fields.Integer(
        string="Read So Far", readonly=True, aggregator=None, help="Of the result, in bytes."
    )
    staged_path = fields.Char(readonly=True, groups="base.group_system")
    asked_at = fields.Datetime(readonly=True)
    started_at = fields.Datetime(readonly=True, help="By Shopify's clock.")
    looked_at = fields.Datetime(string="Last Looked At", readonly=True)
    ended_at = fields.Datetime(readonly=True)
    renewed = fields.Integer(readonly=True, aggregator=None)
    tries = fields.Integer(readonly=True, aggregator=None, default=1)
    item_count = fields.Integer(string="Records", compute="_compute_item_count")

    _slot_unique = models.UniqueIndex("(backend_id, kind, slot) WHERE slot > 0")
    _open_index = models.Index("(backend_id, kind) WHERE state IN ('new', 'running', 'ready')")

    # === COMPUTE METHODS === #

    def _compute_item_count(self):
        counts = dict(
            self.env["integration.shopify.bulk.item"]._read_group(
                [("bulk_id", "in", self.ids)], ["bulk_id"], ["__count"]
            )
        )
        for operation in self:
            operation.item_count = counts.get(operation, 0)

    # === TRANSACTIONS OF ITS OWN === #

    @contextlib.contextmanager
    def _apart(self):
        """Yield the records in a transaction of their own, which is committed at the end."""
        with self.env.registry.cursor() as cr:
            # sudo: what is known of the service is written by the code alone, whoever works
            yield self.with_env(self.env(cr=cr, su=True))

    def _note(self, **values):
        """Write ``values`` for good, whatever becomes of the present transaction."""
        with self._apart() as own:
            own.exists().write(values)

    def _facts(self):
        """Return the columns of the operation as they are now, not as this transaction sees them.

        :returns: None when somebody has deleted it.
        """
        self.ensure_one()
        with self._apart() as own:
            own.env.cr.execute("SELECT * FROM integration_shopify_bulk WHERE id = %s", [own.id])
            return own.env.cr.dictfetchone()

    # === STARTING === #

    @api.model
    def _create_apart(self, backend, resource, kind, name, text):
        """Write an operation down and return it; nothing is asked for yet."""
        with self._apart() as own:
            return self.browse(own._new(backend, resource, kind, name, text).id)

    @api.model
    def _new(self, backend, resource, kind, name, text):
        mark = uuid.uuid4().hex[:16]
        return self.create(
            {
                "name": name,
                "backend_id": backend.id,
                "resource": resource,
                "kind": kind,
                "mark": mark,
                "document": bulk.named(text, mark),
            }
        )

    def _take_slot(self, facts):
        """Take one of the places this kind has at Shopify.

        :raises NotReadyError: while all are taken.
        """
        if facts["slot"]:
            return
        with contextlib.suppress(psycopg2.errors.UniqueViolation), self._apart() as own:
            own.env.cr.execute(
                SQL(
                    """
                    UPDATE integration_shopify_bulk SET slot = (
                        SELECT min(n) FROM generate_series(1, %s) n
                         WHERE n NOT IN (SELECT slot FROM integration_shopify_bulk
                                          WHERE backend_id = %s AND kind = %s
                                            AND slot > 0))
                     WHERE id = %s RETURNING slot
                    """,
                    bulk.SLOTS,
                    facts["backend_id"],
                    facts["kind"],
                    self.id,
                )
            )
            if own.env.cr.fetchone()[0]:
                return
        raise NotReadyError(
            self.env._(
                "%(count)s bulk operations of this kind are running in the shop already. %(name)s "
                "begins when one of them has ended.",
                count=bulk.SLOTS,
                name=facts["name"],
            ),
            retry_after=BUSY_SECONDS,
        )

    def _start(self, backend, facts):
        """Ask Shopify to begin, once: after a lost answer it is looked for first.

        :raises NotReadyError: while there is no place for it, or a lost request may still arrive.
        :raises IntegrationError: see ``lib/client.py``.
        """
        client = backend._shopify_client()
        if facts["asked_at"]:
            if self._find_lost(client, facts):
                return
            age = (fields.Datetime.now() - facts["asked_at"]).total_seconds()
            if age < LATE_SECONDS:
                raise NotReadyError(
                    self.env._(
                        "%s: the answer of Shopify was lost. The request may still arrive, so it "
                        "is sent again a little later.",
                        facts["name"],
                    ),
                    retry_after=LATE_SECONDS - age,
                )
        self._take_slot(facts)
        if facts["kind"] == "mutation" and not facts["staged_path"]:
            facts["staged_path"] = self._upload(backend, client, facts)
        self._note(asked_at=fields.Datetime.now())
        try:
            payload = self._ask(client, facts)
        except BaseException as error:
            if outcome_of(error) in ("not_sent", "refused"):
                self._note(asked_at=False)
            if isinstance(error, UserErrors):
                self._refused(error)
            raise
        self._note_started(payload["bulkOperation"])

    def _upload(self, backend, client, facts):
        """Upload the variables of a bulk mutation; returns the path Shopify finds them by."""
        with self._apart() as own:
            body = own.env["integration.shopify.bulk.item"]._file(own)
        payload = client.mutate(
            "bulk_upload",
            {
                "input": [
                    {
                        "resource": "BULK_MUTATION_VARIABLES",
                        "filename": f"{facts['mark']}.jsonl",
                        "mimeType": "text/jsonl",
                        "httpMethod": "POST",
                        "fileSize": str(len(body)),
                    }
                ]
            },
            action=self.env._("take the data of %s", facts["name"]),
        )
        target = payload["stagedTargets"][0]
        form = [(row["name"], row["value"]) for row in target["parameters"]]
        data, content_type = encode_form(form, "file", f"{facts['mark']}.jsonl", body, "text/jsonl")
        with backend._file_client(
            target["url"], [value for _name, value in form if len(value) > 40]
        ) as storage:
            try:
                storage.post(
                    target["url"],
                    data=data,
                    headers={"Content-Type": content_type},
                    label="upload of a bulk operation",
                    keep_bodies=False,
                )
            except (AuthError, RequestRefused) as error:
                # what it issues is for minutes; the next try asks for another one
                raise RetryableError(error.message, outcome="not_sent", detail=error.detail)
        path = dict(form)["key"]
        self._note(staged_path=path)
        return path

    def _ask(self, client, facts):
        action = self.env._("run the bulk operation %s", facts["name"])
        if facts["kind"] == "query":
            return client.mutate("bulk_query_run", {"query": facts["document"]}, action=action)
        return client.mutate(
            "bulk_mutation_run",
            {
                "mutation": facts["document"],
                "stagedUploadPath": facts["staged_path"],
                "clientIdentifier": f"odoo-{facts['mark']}",
            },
            action=action,
        )

    def _refused(self, error):
        """Tell apart what passes from what does not.

        :raises NotReadyError: for what passes.
        """
        if error.codes & set(BUSY):
            self._note(slot=False)
            raise NotReadyError(
                self.env._(
                    "Other bulk operations are running in the shop (perhaps of another program "
                    "with the same app). It begins when there is room."
                ),
                retry_after=BUSY_SECONDS,
                detail=error.message,
            ) from error
        if error.codes & set(UPLOAD_AGAIN):
            self._note(staged_path=False)
            raise NotReadyError(
                self.env._("Shopify could not read the uploaded file; it is uploaded again."),
                retry_after=BUSY_SECONDS,
                detail=error.message,
            ) from error
        self._note(
            state="failed", slot=False, message=error.message, ended_at=fields.Datetime.now()
        )

    def _find_lost(self, client, facts):
        """Look for an operation whose answer was lost, by the name in its document.

        :returns: whether Shopify has it.
        """
        since = facts["asked_at"] - timedelta(minutes=10)
        query = (
            f"operation_type:{facts['kind']}"
            f" AND created_at:>='{since.isoformat(timespec='seconds')}Z'"
        )
        after = None
        while True:
            page = client.execute(
                "bulk_operations", {"first": 50, "after": after, "query": query}
            ).data["bulkOperations"]
            for node in page["nodes"]:
                if f"_{facts['mark']}" in node["query"]:
                    self._note_started(node)
                    return True
            if not page["pageInfo"]["hasNextPage"]:
                return False
            after = page["pageInfo"]["endCursor"]

    def _note_started(self, node):
        self._note(
            gid=node["id"],
            state="running",
            started_at=read_utc(node["createdAt"]),
            looked_at=fields.Datetime.now(),
            message=False,
            error_code=False,
        )

    # === FOLLOWING === #

    def _look(self, backend, facts):
        """Ask Shopify how far a running operation is.

        :returns: whether it has ended.
        """
        seconds = self._patience(facts)
        if facts["looked_at"] and facts["looked_at"] > fields.Datetime.now() - timedelta(
            seconds=seconds
        ):
            return False
        node = (
            backend._shopify_client()
            .execute("bulk_operation", {"id": facts["gid"]})
            .data["bulkOperation"]
        )
        return self._note_node(node, facts["kind"])

    def _patience(self, facts):
        """Return the seconds until it is worth looking again: a share of how long it takes."""
        least, most = LOOK_SECONDS
        since = facts["started_at"] or facts["asked_at"] or fields.Datetime.now()
        return max(least, min(most, (fields.Datetime.now() - since).total_seconds() / 4))

    def _note_node(self, node, kind):
        """Write what Shopify says about the operation, unless its end is known already.

        :param node: as the document ``bulk_operation`` reads it; None when Shopify has forgotten
            the operation.
        :param str kind: of the operation.
        :returns: whether it has ended.
        """
        now = fields.Datetime.now()
        if node is None:
            node = {"status": "EXPIRED"}
        status = node["status"]
        values = {
            "looked_at": now,
            "object_count": min(int(node.get("objectCount") or 0), 2**31 - 1),
            "file_size": min(int(node.get("fileSize") or 0), 2**31 - 1),
        }
        # what a mutation has done before it failed is in the part
        part = node.get("partialDataUrl") if kind == "mutation" else None
        url = node.get("url") or part
        if status in ("CREATED", "RUNNING", "CANCELING"):
            self._note_running(values)
            return False
        values |= {
            "slot": False,
            "ended_at": now,
            "url": url or False,
            "error_code": node.get("errorCode") or (status != "COMPLETED" and status) or False,
        }
        if status == "COMPLETED" or kind == "mutation":
            values["state"] = "ready"
        else:
            values["state"] = "cancelled" if status == "CANCELED" else "failed"
        values["message"] = values["error_code"] and self._explain_code(values["error_code"])
        self._note_running(values)
        return True

    def _note_running(self, values):
        with self._apart() as own:
            own.exists().filtered(lambda row: row.state == "running").write(values)

    @api.model
    def _explain_code(self, code):
        """Return what a code of Shopify means and what to do (a sentence)."""
        return {
            "ACCESS_DENIED": self.env._(
                "The Shopify app may not read all of what was asked for. The page Access of the "
                "backend says what is missing and how it is granted."
            ),
            "INTERNAL_SERVER_ERROR": self.env._("Shopify had an internal error."),
            "TIMEOUT": self.env._("Shopify did not finish in the time it allows itself."),
            "CANCELED": self.env._(
                "It was cancelled, here or in Shopify. Press Retry to run it again."
            ),
            "EXPIRED": self.env._("Shopify keeps results for seven days; this one is gone."),
        }.get(code, self.env._("Shopify says: %s.", code))

    def _failure(self, facts):
        """Return the error for an operation that failed or was cancelled."""
        text = f"{facts['name']}: {facts['message'] or self._explain_code(facts['error_code'])}"
        if facts["error_code"] in ("INTERNAL_SERVER_ERROR", "TIMEOUT", "EXPIRED"):
            return RetryableError(text, outcome="refused")
        if facts["error_code"] == "ACCESS_DENIED":
            return bulk.BulkDenied(text)
        return RequestRefused(text)

    def _restart(self, facts):
        """Prepare to run it once more; what was read of it is forgotten by who has read it."""
        mark = uuid.uuid4().hex[:16]
        self._note(
            state="new",
            mark=mark,
            document=facts["document"].replace(facts["mark"], mark),
            gid=False,
            url=False,
            slot=False,
            asked_at=False,
            staged_path=False,
            started_at=False,
            ended_at=False,
            error_code=False,
            message=False,
            position=0,
            renewed=0,
            tries=facts["tries"] + 1,
        )

    def _download(self, backend, facts, start):
        """Return the :class:`~odoo.addons.integration_base.lib.http.Part` of the result at
        ``start`` that ends with a whole line.

        :raises RetryableError: when its address is no longer good; it is then asked for anew.
        """
        size = bulk.CHUNK
        while True:
            with backend._file_client(facts["url"]) as client:
                try:
                    part = client.download(
                        facts["url"], start=start, size=size, label="bulk operation result"
                    )
                except (AuthError, RequestRefused) as error:
                    # who issues the address refuses it, nobody's credentials are wrong
                    raise self._expired(backend, facts, error) from error
            count = bulk.complete_part(part.body, part.last)
            if count or part.last:
                return replace(part, body=part.body[:count])
            if size >= bulk.MAX_LINE:
                raise InvalidPayloadError(
                    self.env._(
                        "%(name)s: a line of the result is longer than %(most)s bytes and cannot "
                        "be read. Show this to your integrator.",
                        name=facts["name"],
                        most=bulk.MAX_LINE,
                    )
                )
            size = min(size * 4, bulk.MAX_LINE)

    def _expired(self, backend, facts, error):
        """Return the error for a result whose address is no longer good.

        Shopify may issue another one; else the result is gone.
        """
        node = (
            backend._shopify_client()
            .execute("bulk_operation", {"id": facts["gid"]})
            .data["bulkOperation"]
        )
        url = node and (node["url"] or node["partialDataUrl"])
        renewed = facts["renewed"] or 0
        if url and url != facts["url"] and renewed < MOST_ADDRESSES:
            self._note(url=url, renewed=renewed + 1)
            reason = self.env._("%s: the address of the result had changed.", facts["name"])
            return NotReadyError(reason, retry_after=2, detail=error.message)
        message = self._explain_code("EXPIRED")
        self._note(state="failed", error_code="EXPIRED", message=message, url=False)
        return RetryableError(
            f"{facts['name']}: {message}", outcome="refused", detail=error.message
        )

    # === READING EVERYTHING === #

    @api.model
    def _page(self, backend, page, resource, name, text, connections):
        """Do the next step of reading what a query finds; for ``_fetch_all`` of a resource.

        One step at a time, each committed with its ``next_page``: start it, see it end, read its
        file piece by piece into a table, put the objects together. A process that dies goes on at
        the step, and at the byte, where it was.

        :param page: ``next_page`` of the step before; None to begin.
        :param str name: what it is for.
        :param str text: the document.
        :param dict connections: as for :func:`~..lib.bulk.attach`.
        :returns: :class:`Page`.
        :raises NotReadyError: while Shopify works on it.
        :raises IntegrationError: when it failed; the next try runs it again.
        """
        operation = self.browse(page["bulk"]) if page else self.browse()
        facts = operation._facts() if operation else None
        if not facts:
            operation = self._unfinished(backend, resource, text) or self._create_apart(
                backend, resource, "query", name, text
            )
            return Page([], {"bulk": operation.id, "step": "run"})
        begin = {"bulk": operation.id, "step": "run"}
        if page["step"] == "run":
            operation._advance(backend, facts)
            operation._forget_lines()
            return Page([], {**begin, "step": "read", "offset": 0, "number": 0})
        if page["step"] == "join" and facts["state"] in ("ready", "done"):
            return operation._join(facts, page, connections)
        if facts["state"] != "ready":
            operation._forget_lines()
            return Page([], begin)
        return operation._read(backend, facts, page)

    @api.model
    def _unfinished(self, backend, resource, text):
        """Return an operation with the same document whose result nobody has read, if it is fresh:
        what a load that was cancelled has left behind."""
        since = fields.Datetime.now() - timedelta(hours=bulk.REUSE_HOURS)
        with self._apart() as own:
            found = own.search(
                [
                    ("backend_id", "=", backend.id),
                    ("resource", "=", resource),
                    ("kind", "=", "query"),
                    ("state", "in", ("new", "running", "ready")),
                    ("create_date", ">", since),
                ]
            )
            same = found.filtered(lambda row: row.document == bulk.named(text, row.mark))
            return self.browse(same[:1].ids)

    def _advance(self, backend, facts):
        """Start the operation, or see whether it has ended; returns when its result is there.

        :raises NotReadyError: while Shopify works on it.
        :raises IntegrationError: when it failed; the next call runs it again.
        """
        if facts["state"] in ("failed", "cancelled", "done"):
            self._restart(facts)
            facts = self._facts()
        if facts["state"] == "new":
            self._start(backend, facts)
            facts = self._facts()
        if facts["state"] == "running" and self._look(backend, facts):
            facts = self._facts()
        if facts["state"] in ("failed", "cancelled"):
            raise self._failure(facts)
        if facts["state"] != "ready":
            raise NotReadyError(
                self.env._(
                    "Shopify prepares the data: %(name)s, %(count)s objects so far.",
                    name=facts["name"],
                    count=facts["object_count"] or 0,
                ),
                retry_after=self._patience(facts),
            )

    def _read(self, backend, facts, page):
        """Take the next piece of the file into the table."""
        if not facts["url"]:
            # nothing was found
            self._note(state="done")
            return Page([], None)
        part = self._download(backend, facts, page["offset"])
        rows = list(bulk.read_objects(part.body, page["offset"]))
        self.env["integration.shopify.bulk.line"]._store(self, page["number"], rows)
        offset, number = page["offset"] + len(part.body), page["number"] + len(rows)
        if part.last:
            self.env["integration.shopify.bulk.line"]._count_anew()
            begin = {"bulk": self.id, "step": "join", "number": -1}
            return Page([], {**begin, "total": number, "taken": 0})
        return Page([], {**page, "offset": offset, "number": number})

    def _join(self, facts, page, connections):
        """Put the next objects together with all that belongs to them."""
        Line = self.env["integration.shopify.bulk.line"]
        objects, last, count = Line._objects(self, page["number"], connections)
        taken = page["taken"] + count
        if objects:
            return Page(objects, {**page, "number": last, "taken": taken}, facts["started_at"])
        self._forget_lines()
        message = False
        if taken < page["total"]:
            message = self.env._(
                "%s objects of the result belong to nothing that was asked for and were left out.",
                page["total"] - taken,
            )
            _logger.warning("Bulk operation %s: %s", self.id, message)
        self._note(state="done", message=message, url=False)
        return Page([], None)

    def _forget_lines(self):
        self.env.cr.execute(
            "DELETE FROM integration_shopify_bulk_line WHERE bulk_id = ANY(%s)", [self.ids]
        )

    # === WRITING === #

    @api.model
    def _look_after(self, backend):
        """Bring the bulk mutations of a backend one step further, if nobody else does.

        Upload and start what was gathered, see what has ended, read the results into the lines.
        Every step is committed by itself.

        :raises IntegrationError: what Shopify's answers mean for everything, e.g. AuthError.
        """
        with self.env["integration.engine"]._control_cursor() as cr:
            cr.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK_BULK, backend.id])
            if not cr.fetchone()[0]:
                return
            cr.commit()  # pylint: disable=invalid-commit
            try:
                self._look_after_alone(backend)
            finally:
                cr.execute("SELECT pg_advisory_unlock(%s, %s)", [LOCK_BULK, backend.id])
                cr.commit()  # pylint: disable=invalid-commit

    def _look_after_alone(self, backend):
        with self._apart() as own:
            own.env["integration.shopify.bulk.item"]._gather(backend)
            ids = own.search(
                [
                    ("backend_id", "=", backend.id),
                    ("kind", "=", "mutation"),
                    ("state", "in", ("new", "running", "ready")),
                ],
                order="id",
            ).ids
        for operation in self.browse(ids):
            # one that has to wait, or is damaged, does not hold up the others
            try:
                operation._step(backend)
            except NotReadyError:
                continue
            except InvalidPayloadError as error:
                _logger.warning("Bulk operation %s: %s", operation.id, error.message)
                with operation._apart() as own:
                    own.env["integration.shopify.bulk.item"]._give_up(own)
                    own.write({"state": "failed", "message": error.message, "slot": False})
                    own._wake_waiting()

    def _step(self, backend):
        """Bring one bulk mutation further, as far as it goes without waiting."""
        facts = self._facts()
        Item = self.env["integration.shopify.bulk.item"]
        if facts["state"] == "new":
            try:
                self._start(backend, facts)
            except UserErrors as error:
                # the document or the file is refused, so no line of it was run
                with self._apart() as own:
                    Item.with_env(own.env)._refuse_all(own, error.message)
                return
            facts = self._facts()
        if facts["state"] == "running" and self._look(backend, facts):
            facts = self._facts()
        while facts["state"] == "ready" and facts["url"]:
            try:
                part = self._download(backend, facts, facts["position"] or 0)
            except RetryableError as error:
                if self._facts()["state"] == "ready":
                    raise
                _logger.warning("Bulk operation %s: %s", self.id, error.message)
                break
            results = [bulk.read_result(text) for text in bulk.read_lines(part.body)]
            position = part.start + len(part.body)
            with self._apart() as own:
                Item.with_env(own.env)._settle(own, results)
                own.write({"position": position})
                if part.last:
                    own.url = False
            facts = self._facts()
        if facts["state"] in ("ready", "failed"):
            with self._apart() as own:
                missing = Item.with_env(own.env)._give_up(own)
                own.state = "done" if facts["state"] == "ready" and not missing else "failed"
                own._wake_waiting()

    # === WAKING === #

    def _wake_waiting(self):
        """Let whatever waits for these operations go on now."""
        self.env.cr.execute(
            SQL(
                """
                UPDATE integration_sync_log o
                   SET next_attempt_at = clock_timestamp() AT TIME ZONE 'UTC'
                  FROM integration_shopify_bulk b
                 WHERE b.id = ANY(%s) AND o.backend_id = b.backend_id AND o.resource = b.resource
                   AND o.state = 'pending'
                   AND o.error_class IN ('not_ready', 'retryable')
                   AND (o.kind = 'backfill' OR o.res_id IN (
                        SELECT i.res_id FROM integration_shopify_bulk_item i
                         WHERE i.bulk_id = b.id))
             RETURNING o.flow_id
                """,
                self.ids,
            )
        )
        flows = {row[0] for row in self.env.cr.fetchall()}
        if flows:
            self.env["integration.engine"]._wake_after_commit(flows)

    # === ACTIONS === #

    def _check_operator(self):
        if not self.env.user.has_group("integration_base.group_integration_operator"):
            raise UserError(self.env._("This needs the role Integration Operator."))
        self.check_access("read")

    def action_retry(self):
        """Run what failed or was cancelled once more, and let what waits for it go on."""
        self._check_operator()
        # sudo: see _check_operator; nobody writes these rows by hand
        for operation in self.sudo().filtered(lambda row: row.state in ("failed", "cancelled")):
            if operation.kind == "query":
                operation._restart(operation._facts())
            else:
                # sudo: the same
                self.env["integration.shopify.bulk.item"].sudo()._wait_again(operation)
                operation.state = "done"
            operation._wake_waiting()
        self.invalidate_recordset()

    def action_cancel(self):
        """Ask Shopify to stop what is running; what was not begun never will be."""
        self._check_operator()
        # sudo: as in action_retry
        for operation in self.sudo().filtered(lambda row: row.state in PLACES):
            if not operation.gid and not operation.asked_at:
                operation._note(
                    state="cancelled",
                    slot=False,
                    ended_at=fields.Datetime.now(),
                    error_code="CANCELED",
                    message=self._explain_code("CANCELED"),
                )
                if operation.kind == "mutation":
                    # sudo: the same
                    self.env["integration.shopify.bulk.item"].sudo()._refuse_all(
                        operation, self.env._("The bulk operation was cancelled.")
                    )
                continue
            try:
                operation.backend_id._shopify_client().mutate(
                    "bulk_cancel",
                    {"id": operation.gid},
                    action=self.env._("cancel %s", operation.name),
                )
            except IntegrationError as error:
                raise UserError(error.message) from error
        self.invalidate_recordset()

    def action_open_items(self):
        """Open the records that a bulk mutation sends."""
        self.check_access("read")
        self.ensure_one()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_shopify.integration_shopify_bulk_item_action"
        )
        action["domain"] = [("bulk_id", "=", self.id)]
        return action

    # === RETENTION === #

    @api.autovacuum
    def _gc_ended(self):
        """Forget what ended long ago; lines of results of abandoned loads a week earlier."""
        now = fields.Datetime.now()
        self.env.cr.execute(
            SQL(
                """
                DELETE FROM integration_shopify_bulk_line WHERE id IN (
                    SELECT l.id FROM integration_shopify_bulk_line l
                      JOIN integration_shopify_bulk b ON b.id = l.bulk_id
                     WHERE b.create_date < %s LIMIT %s)
                """,
                now - timedelta(hours=bulk.FRESH_HOURS),
                CLEAN_UP_ROWS,
            )
        )
        lines = self.env.cr.rowcount
        old = self.search(
            [
                ("state", "in", ("done", "failed", "cancelled")),
                ("create_date", "<", now - timedelta(days=KEEP_DAYS)),
            ],
            limit=1000,
        )
        old.unlink()
        return lines + len(old), lines == CLEAN_UP_ROWS or len(old) == 1000
