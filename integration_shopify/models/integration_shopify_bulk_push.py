import json

from odoo import models

from odoo.addons.integration_base.lib.errors import NotReadyError

from ..lib import bulk
from ..lib.client import UserErrors

#: Seconds after which an operation looks what became of its line; the end of the bulk operation
#: makes it due at once.
WAIT_SECONDS = 20
#: Waiting operations of an initial load from which a bulk mutation is worth its minutes.
WORTH = 100


class IntegrationShopifyBulkPush(models.AbstractModel):
    """Sends many records by one bulk mutation; ``_inherit`` it before ``integration.resource``.

    A record that is sent so waits in its operation until its line was answered. Nothing is sent
    twice: a line is gathered once per record (by the database), a file is started once, and a
    creation has an intent, whose outcome is that of its line.

    ::

        def _push(self, backend, items):
            rest = self._bulk_take(backend, items)
            if self._bulk_is_worth_it(backend):
                self._bulk_send(backend, "product_set", [(i, variables_of(i)) for i in rest])
            else:
                ...

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

    def _bulk_is_worth_it(self, backend):
        """Whether so much waits to be sent that it goes in bulk. Default: a long initial load."""
        waiting = self.env["integration.sync.log"].search_count(
            [
                ("backend_id", "=", backend.id),
                ("resource", "=", self._bulk_code()),
                ("flow_id.direction", "=", "out"),
                ("trigger", "=", "backfill"),
                ("state", "in", ("pending", "running")),
            ],
            limit=WORTH,
        )
        return waiting >= WORTH

    # === METHODS === #

    def _bulk_code(self):
        return self._name.removeprefix("integration.shopify.")

    def _bulk_take(self, backend, items):
        """Take what became of lines of these records; call it first in ``_push``.

        Afterwards an item is sent (its line was carried out as it shall be), has failed with the
        reason (refused) or with NotReadyError (under way), or is among those returned. Of these,
        one whose creation was carried out with older values has its ``external_id`` by now.

        :returns: the items that have to be sent.
        """
        rest = []
        for item, line in self._bulk_lines(backend, items):
            same = bool(line) and line["digest"] == item.digest
            state = line["state"] if line else ""
            if state == "done":
                payload = json.loads(line["result"])
                item.external_id = item.external_id or self._bulk_created(payload)
                if same:
                    item.payload = payload
                    item.mark_sent()
                else:
                    rest.append(item)
            elif state == "sent" or (state == "waiting" and same):
                item.fail(self._bulk_waits(item))
            elif state == "refused" and same:
                # told once: the next try, after a correction or not, sends it again
                self._bulk_forget_apart(backend, item)
                item.fail(self._bulk_refusal(item, line))
            else:
                rest.append(item)
        return rest

    def _bulk_recover(self, backend, items):
        """Find out by their lines what became of creations; call it first in ``_recover``.

        :returns: the items that no line knows about, or whose line was lost: they have to be
            looked up at the service.
        """
        rest = []
        for item, line in self._bulk_lines(backend, items):
            state = line["state"] if line else ""
            if state == "done":
                item.external_id = self._bulk_created(json.loads(line["result"]))
            elif state in ("sent", "waiting"):
                item.fail(self._bulk_waits(item))
            elif state != "refused":
                rest.append(item)
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
        Bulk = self.env["integration.shopify.bulk"]
        with Bulk._apart() as own:
            Item = own.env["integration.shopify.bulk.item"]
            Item._stage(backend, self._bulk_code(), document, small)
        for item, _variables in small:
            item.fail(self._bulk_waits(item))

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
        """Bring the bulk operations further, and return pairs (item, what its line says)."""
        Bulk = self.env["integration.shopify.bulk"]
        Bulk._look_after(backend)
        records = self.env[self._resource_model].union(*(item.record for item in items))
        with Bulk._apart() as own:
            known = own.env["integration.shopify.bulk.item"]._known(
                backend, self._bulk_code(), records
            )
        return [(item, known.get(item.record.id)) for item in items]

    def _bulk_forget_apart(self, backend, item):
        Bulk = self.env["integration.shopify.bulk"]
        with Bulk._apart() as own:
            own.env["integration.shopify.bulk.item"]._forget(
                backend, self._bulk_code(), item.record
            )

    def _bulk_waits(self, item):
        return NotReadyError(
            self.env._(
                "%s is sent together with others in a bulk operation; Shopify answers in some "
                "minutes.",
                item.label,
            ),
            retry_after=WAIT_SECONDS,
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
