import json
from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from ..lib.errors import NotReadyError

#: How long a payload that came with a listing is used instead of asking the service.
FRESH = timedelta(days=6)
#: Bytes of payloads that one batch takes; at least one payload, however large.
BATCH_BYTES = 8 * 1024 * 1024
#: Rows deleted by one run of the clean-up.
CLEAN_UP_ROWS = 5000


class IntegrationStagedPayload(models.Model):
    """What a listing of everything brought along of a record, until its operation is done.

    An initial load of a service that hands out everything at once would else read each record a
    second time.
    """

    _name = "integration.staged.payload"
    _description = "Payload of a Waiting Operation"
    _rec_name = "operation_id"
    _log_access = False

    operation_id = fields.Many2one(
        "integration.sync.log", required=True, readonly=True, ondelete="cascade"
    )
    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True)
    payload = fields.Text(readonly=True, prefetch=False)
    read_at = fields.Datetime(
        required=True, readonly=True, help="Since when it is true, by the clock of the service."
    )

    _operation_unique = models.UniqueIndex("(operation_id)")

    @api.model
    def _keep(self, operations, changes):
        """Keep the payloads of ``changes``, each with its operation; one statement.

        :param operations: new ones, of the kind ``record``.
        :param list[Change] changes: those they were appended for; without a payload nothing is
            kept.
        """
        rows = [change for change in changes if change.payload is not None]
        if not rows or not operations:
            return
        now = fields.Datetime.now()
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO integration_staged_payload
                       (operation_id, backend_id, company_id, payload, read_at)
                SELECT o.id, o.backend_id, o.company_id, v.payload, v.read_at
                  FROM integration_sync_log o
                  JOIN unnest(%s::text[], %s::text[], %s::timestamp[]) AS v(key, payload, read_at)
                    ON v.key = o.key
                 WHERE o.id = ANY(%s)
                    ON CONFLICT (operation_id) DO NOTHING
                """,
                [change.external_id for change in rows],
                # ASCII: what PostgreSQL does not take (NUL, halves of characters) stays escaped
                [json.dumps(change.payload) for change in rows],
                [change.read_at or now for change in rows],
                operations.ids,
            )
        )

    @api.model
    def _take(self, operations):
        """Return ``{operation id: (payload, since when it is true)}`` of what may be used.

        Not for operations that a person has started again: whoever presses Retry wants the record
        as it is now. At most :data:`BATCH_BYTES` of payloads are read.

        :param list[dict] operations: as the engine claims them.
        :returns: with a :class:`NotReadyError` in the place of what has to wait for the next batch.
        """
        ids = [op["id"] for op in operations if op["trigger"] == "backfill" and not op["force"]]
        if not ids:
            return {}
        self.env.cr.execute(
            SQL(
                """
                SELECT operation_id, read_at, CASE WHEN taken <= %s OR rank = 1 THEN payload END
                  FROM (SELECT operation_id, read_at, payload,
                               sum(octet_length(payload)) OVER w AS taken, rank() OVER w AS rank
                          FROM integration_staged_payload
                         WHERE operation_id = ANY(%s) AND payload IS NOT NULL AND read_at > %s
                        WINDOW w AS (ORDER BY operation_id)) AS sized
                """,
                BATCH_BYTES,
                ids,
                fields.Datetime.now() - FRESH,
            )
        )
        later = self.env._("Its data is too large to be worked on together with the others.")
        return {
            operation: (
                NotReadyError(later, retry_after=0) if payload is None else json.loads(payload),
                read_at,
            )
            for operation, read_at, payload in self.env.cr.fetchall()
        }

    @api.model
    def _drop(self, cr, operation_ids):
        """Delete the payloads of operations that are over."""
        cr.execute(
            "DELETE FROM integration_staged_payload WHERE operation_id = ANY(%s)", [operation_ids]
        )

    @api.autovacuum
    def _gc_over(self):
        """Delete the payloads of operations that ended in another way than done."""
        self.env.cr.execute(
            SQL(
                """
                DELETE FROM integration_staged_payload WHERE id IN (
                    SELECT p.id FROM integration_staged_payload p
                      JOIN integration_sync_log o ON o.id = p.operation_id
                     WHERE o.state NOT IN ('pending', 'running') OR p.read_at < %s
                     LIMIT %s)
                """,
                fields.Datetime.now() - FRESH,
                CLEAN_UP_ROWS,
            )
        )
        return self.env.cr.rowcount, self.env.cr.rowcount == CLEAN_UP_ROWS
