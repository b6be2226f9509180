import logging
import time

from odoo import fields, models
from odoo.tools import SQL

from .integration_engine import DRAIN_SECONDS, LeaseLost
from .integration_importer import READ_MARGIN

_logger = logging.getLogger(__name__)


#: Models whose ``_run_page(flow, backend, operation)`` reads and stores one page of an operation of
#: this kind in the present transaction, and returns whether there are more.
PAGED_MODELS = {"backfill": "integration.backfill", "reconcile": "integration.reconciliation"}
#: Seconds after which work that has time lets live work of the flow go first.
YIELD_SECONDS = 3


class IntegrationListing(models.AbstractModel):
    """Runs operations that read a service page by page: what changed, and the like.

    Each page is stored, as operations or findings, before the position moves past it: a process
    that dies in between reads the page again.
    """

    _name = "integration.listing"
    _description = "Integration Listing"

    def _run(self, batch):
        """Work on the one operation of a :class:`~.integration_engine.Batch`."""
        operation = batch.operations[0]
        seconds = DRAIN_SECONDS if operation["kind"] == "listing" else YIELD_SECONDS
        end = time.monotonic() + seconds
        found = 0
        try:
            more = True
            while more and time.monotonic() < end:
                if operation["kind"] == "listing":
                    new, more = self._read_page(batch, operation, found)
                    found += new
                else:
                    more = self._run_page(batch, operation)
                self.env["integration.engine"]._renew_lease(batch)
            if more:
                self.env["integration.settlement"]._postpone(batch, [operation], 0)
        except LeaseLost:
            _logger.warning("flow %s: the lease of its listing was lost", batch.flow_id)
        except Exception as error:
            self.env["integration.settlement"]._fail(batch, [(operation, error)])

    def _run_page(self, batch, operation):
        """Let the model of the operation's kind do one page; returns whether there are more."""
        engine = self.env["integration.engine"]

        def work():
            with self.env.registry.cursor() as cr:
                flow, backend = engine._work_env(cr, batch.facts)
                model = flow.env[PAGED_MODELS[operation["kind"]]]
                more = model._run_page(flow, backend, operation)
                flow.env.flush_all()
                if not more:
                    self._finish(cr, batch, operation, 0)
                return more

        return engine._with_tries(work)

    def _read_page(self, batch, operation, found):
        """Read and store one page; ends the operation with the last one.

        :param int found: what earlier pages of this run gave.
        :returns: ``(number of operations appended, whether there are more pages)``.
        """
        engine = self.env["integration.engine"]
        with self.env.registry.cursor() as cr:
            flow, backend = engine._work_env(cr, batch.facts)
            backend._ensure_callable()
            position = (flow.cursor_at, flow.cursor_page)
            state = flow.cursor_page or {"page": None, "since": None, "high": None}
            if state["page"] is None:
                since = flow._read_since()
                state["since"] = since and fields.Datetime.to_string(since)
            page = self._fetch_page(flow, backend, state)

        def store():
            with self.env.registry.cursor() as cr:
                flow, _backend = engine._work_env(cr, batch.facts)
                # whoever sets the cursor back while we read wants to read from there
                moved = (flow.cursor_at, flow.cursor_page) != position
                new = len(self._store_page(flow, state, page, operation["trigger"], moved))
                more = moved or page.next_page is not None
                if not more:
                    self._finish(cr, batch, operation, found + new)
                return new, more

        return engine._with_tries(store)

    def _fetch_page(self, flow, backend, state):
        since = fields.Datetime.to_datetime(state["since"])
        resource = flow._resource()
        return backend._with_renewed_auth(
            lambda: resource._fetch_changes(backend, since, state["page"])
        )

    def _store_page(self, flow, state, page, trigger, moved=False):
        """Append what is new of a page, and move the cursor in the same transaction.

        :param bool moved: whether somebody else has moved the cursor, which then stays there.
        """
        new = self._unknown_changes(flow, page.changes)
        operations = flow.env["integration.sync.log"]._append(flow, new, trigger)
        seen = [change.updated_at for change in page.changes if change.updated_at]
        high = max(
            [*seen, *filter(None, [fields.Datetime.to_datetime(state["high"])])], default=None
        )
        values = {"last_success_at": fields.Datetime.now()}
        if moved:
            flow.write(values)
            return operations
        if high and (page.ordered or page.next_page is None):
            values["cursor_at"] = max(filter(None, [high, flow.cursor_at]))
        values["cursor_page"] = page.next_page is not None and {
            "page": page.next_page,
            "since": state["since"],
            "high": high and fields.Datetime.to_string(high),
        }
        flow.write(values)
        return operations

    def _unknown_changes(self, flow, changes):
        """Return the changes that no operation or binding has seen in this version."""
        if not changes:
            return []
        flow.env.cr.execute(
            SQL(
                """
                SELECT external_id, max(updated_at) FROM (
                    SELECT external_id, external_updated_at AS updated_at
                      FROM integration_binding
                     WHERE backend_id = %(backend)s AND resource = %(resource)s
                       AND external_id = ANY(%(ids)s)
                       AND fetched_at > external_updated_at + %(margin)s
                     UNION ALL
                    SELECT key, external_updated_at FROM integration_sync_log
                     WHERE flow_id = %(flow)s AND key = ANY(%(ids)s)
                       AND state IN ('pending', 'running', 'dead', 'ignored', 'skipped')
                ) known GROUP BY external_id
                """,
                backend=flow.backend_id.id,
                resource=flow.resource,
                ids=[change.external_id for change in changes],
                flow=flow.id,
                margin=READ_MARGIN,
            )
        )
        known = dict(flow.env.cr.fetchall())
        return [
            change
            for change in changes
            if not change.updated_at
            or not known.get(change.external_id)
            or known[change.external_id] < change.updated_at
        ]

    def _finish(self, cr, batch, operation, found):
        """End the operation; a reading that found nothing leaves no row behind."""
        self.env["integration.settlement"]._close_older(cr, batch, [operation["id"]])
        if found:
            cr.execute(
                "UPDATE integration_sync_log SET state = 'done', claim_token = NULL, message = %s,"
                " error_class = NULL, detail = NULL, fingerprint = NULL,"
                " finished_at = clock_timestamp() AT TIME ZONE 'UTC'"
                " WHERE id = %s AND claim_token = %s",
                [self.env._("%s changed records found.", found), operation["id"], batch.token],
            )
        else:
            cr.execute(
                "DELETE FROM integration_sync_log WHERE id = %s AND claim_token = %s",
                [operation["id"], batch.token],
            )
        if cr.rowcount != 1:
            raise LeaseLost
