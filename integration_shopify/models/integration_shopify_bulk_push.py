import json

from odoo import models
from odoo.tools import SQL

from odoo.addons.integration_base.lib.errors import NotReadyError

from ..lib import bulk
from ..lib.client import UserErrors

#: Seconds after which the first operation of a batch looks what became of its line, and brings the
#: bulk operation further, and those after which the others do. Its end makes all of them due at
#: once, so it is enough that a few look.
WAIT_SECONDS, PATIENT_SECONDS = 20, 300
#: Records to be created from which a bulk mutation is worth its minutes.
WORTH = 100


class IntegrationShopifyBulkPush(models.AbstractModel):
    """Sends many records by one bulk mutation; ``_inherit`` it before ``integration.resource``.

    A record that is sent so waits in its operation until its line was answered. Nothing is sent
    twice: a line is gathered once per record (by the database), a file is started once, and a
    creation has an intent, whose outcome is that of its line.

    ::

        def _push(self, backend, items):
            rest = self._bulk_take(backend, items)
            many = self._bulk_worth(backend, rest)
            self._bulk_send(backend, "product_create_bulk", [(i, variables_of(i)) for i in many])
            for item in rest:
                if item.alive:
                    ...  # by itself

        def _recover(self, backend, items):
            for item in self._bulk_recover(backend, items):
                ...  # no line knows: look it up at the service

        def _bulk_created(self, payload):
            return payload["product"]["id"]
    """

    _name = "integration.shopify.bulk.push"
    _description = "Shopify Resource Sent in Bulk"

    # === HOOKS === #

    def _bulk_created(self, payload):
        """Return the id of the record that a line has made or changed.

        :param dict payload: the mutation's field of ``data``.
        """
        raise NotImplementedError(f"{self._name}._bulk_created")

    def _bulk_answered(self, backend, rows):
        """Do what follows when lines were carried out as they shall be, and mark the items sent.

        Default: nothing follows. It is called again for those it does not mark.

        :param list rows: pairs (item, the mutation's field of ``data``).
        """
        for item, payload in rows:
            item.payload = payload
            item.mark_sent()

    def _bulk_worth(self, backend, items):
        """Return those of the items that are created in bulk.

        Default: all that nobody waits for at a button, while very many are to be created.
        """
        items = [item for item in items if item.alive and not item.external_id]
        if not items:
            return []
        self.env.cr.execute(
            SQL(
                """
                SELECT count(*) FROM (
                    SELECT DISTINCT o.res_id FROM integration_sync_log o
                      JOIN integration_flow f ON f.id = o.flow_id AND f.direction = 'out'
                     WHERE o.backend_id = %(backend)s AND o.resource = %(resource)s
                       AND o.kind = 'record' AND o.state IN ('pending', 'running')
                       AND o.trigger <> 'manual' AND NOT EXISTS (
                           SELECT 1 FROM integration_binding b
                            WHERE b.backend_id = o.backend_id AND b.resource = o.resource
                              AND b.res_model = %(model)s AND b.res_id = o.res_id)
                     LIMIT %(worth)s) many
                """,
                backend=backend.id,
                resource=self._bulk_code(),
                model=self._resource_model,
                worth=WORTH,
            )
        )
        if self.env.cr.fetchone()[0] < WORTH:
            return []
        self.env.cr.execute(
            "SELECT id FROM integration_sync_log WHERE id = ANY(%s) AND trigger = 'manual'",
            [[item.operation_id for item in items]],
        )
        urgent = {row[0] for row in self.env.cr.fetchall()}
        return [item for item in items if item.operation_id not in urgent]

    # === METHODS === #

    def _bulk_code(self):
        return self._name.removeprefix("integration.shopify.")

    def _bulk_pending(self, backend):
        """Whether there are lines of this resource whose outcome was not taken yet."""
        # sudo: these rows are the code's alone
        Item = self.env["integration.shopify.bulk.item"].sudo()
        mine = [("backend_id", "=", backend.id), ("resource", "=", self._bulk_code())]
        return bool(Item.search_count(mine, limit=1))

    def _bulk_take(self, backend, items):
        """Take what became of lines of these records; call it first in ``_push``.

        Afterwards an item is sent (its line was carried out as it shall be), has failed with the
        reason (refused) or with NotReadyError (under way), or is among those returned. Of these,
        one whose creation was carried out with older values has its ``external_id`` by now.

        :returns: the items that have to be sent.
        """
        rest, answered, waiting = [], [], []
        for item, line in self._bulk_lines(backend, items):
            same = bool(line) and line["digest"] == item.digest
            state = line["state"] if line else ""
            if state == "done":
                payload = json.loads(line["result"])
                created = self._bulk_created(payload)
                item.external_id = item.external_id or created
                if same and item.external_id == created:
                    answered.append((item, payload))
                else:
                    rest.append(item)
            elif state == "sent" or (state == "waiting" and same):
                waiting.append(item)
            elif state == "refused" and same:
                # told once: the next try, after a correction or not, sends it again
                self._bulk_forget_apart(backend, item)
                item.fail(self._bulk_refusal(item, line))
            else:
                rest.append(item)
        self._bulk_wait(waiting)
        if answered:
            self._bulk_answered(backend, answered)
        return rest

    def _bulk_recover(self, backend, items):
        """Find out by their lines what became of creations; call it first in ``_recover``.

        :returns: the items that no line knows about, or whose line was lost: they have to be
            looked up at the service.
        """
        rest, waiting = [], []
        for item, line in self._bulk_lines(backend, items):
            state = line["state"] if line else ""
            if state == "done":
                item.external_id = self._bulk_created(json.loads(line["result"]))
            elif state in ("sent", "waiting"):
                waiting.append(item)
            elif state != "refused":
                rest.append(item)
        self._bulk_wait(waiting)
        return rest

    def _bulk_send(self, backend, document, rows):
        """Gather records for a bulk mutation; each of them waits for its line.

        :param str document: name of the mutation's document in ``graphql/``, with one field. Its
            line has to be repeatable for records that exist.
        :param list rows: pairs (item, variables of its call).
        """
        small = []
        for item, variables in rows:
            if len(bulk.variables_line(variables)) > bulk.MAX_FILE:
                item.fail(
                    UserErrors(
                        self.env._("%s has too much data to be sent to Shopify.", item.label),
                        problems=[],
                        payload={},
                    )
                )
            else:
                small.append((item, variables))
        if not small:
            return
        Bulk = self.env["integration.shopify.bulk"]
        with Bulk._apart() as own:
            Item = own.env["integration.shopify.bulk.item"]
            Item._stage(backend, self._bulk_code(), document, small)
        self._bulk_wait([item for item, _variables in small])

    def _note_sent(self, backend, items):
        result = super()._note_sent(backend, items)
        records = self.env[self._resource_model].union(*(item.record for item in items))
        # sudo: these rows are written by the code alone
        self.env["integration.shopify.bulk.item"].sudo()._forget(
            backend, self._bulk_code(), records
        )
        return result

    # === HELPERS === #

    def _bulk_lines(self, backend, items):
        """Return pairs (item, what its line says), after a look at the bulk operations.

        Who has no line costs one query: others look after the bulk operations.
        """
        records = self.env[self._resource_model].union(*(item.record for item in items))
        known = self._bulk_known(backend, records)
        if known:
            self.env["integration.shopify.bulk"]._look_after(backend)
            known = self._bulk_known(backend, records)
        return [(item, known.get(item.record.id)) for item in items]

    def _bulk_known(self, backend, records):
        # in a transaction of its own: it shall see what was committed a moment ago
        with self.env["integration.shopify.bulk"]._apart() as own:
            Item = own.env["integration.shopify.bulk.item"]
            return Item._known(backend, self._bulk_code(), records)

    def _bulk_forget_apart(self, backend, item):
        Bulk = self.env["integration.shopify.bulk"]
        with Bulk._apart() as own:
            own.env["integration.shopify.bulk.item"]._forget(
                backend, self._bulk_code(), item.record
            )

    def _bulk_wait(self, items):
        """Let items wait for their lines; the first one of them looks soon."""
        for position, item in enumerate(items):
            item.fail(
                NotReadyError(
                    self.env._(
                        "%s is sent together with others in a bulk operation; Shopify answers in "
                        "some minutes.",
                        item.label,
                    ),
                    retry_after=PATIENT_SECONDS if position else WAIT_SECONDS,
                )
            )

    def _bulk_refusal(self, item, line):
        payload = json.loads(line["result"]) if line["result"] else {}
        problems = bulk.user_errors(payload)
        return UserErrors(
            self.env._(
                "%(record)s: %(reason)s. Correct it in Odoo, then press Retry.",
                record=item.label,
                reason=line["message"].rstrip("."),
            ),
            problems=problems,
            payload=payload or {},
        )
