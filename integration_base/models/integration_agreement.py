from odoo import api, fields, models
from odoo.tools import SQL


class IntegrationAgreement(models.Model):
    """What the comparisons of a flow know about one link between two records.

    A table of its own, so that comparing never makes an import of the same record start again,
    and both directions of a resource can be compared at the same time.
    """

    _name = "integration.agreement"
    _description = "Agreement of Two Records"
    _log_access = False

    flow_id = fields.Many2one("integration.flow", required=True, readonly=True, ondelete="cascade")
    binding_id = fields.Many2one(
        "integration.binding", required=True, readonly=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    seen_run_id = fields.Integer(
        readonly=True, aggregator=None, help="The last comparison that found the record outside."
    )
    agreed_at = fields.Datetime(
        readonly=True, help="The Odoo record of that time is known to agree with the other side."
    )
    agreed_state = fields.Char(
        readonly=True, help="Version of the other side, and digests, at that time."
    )

    _binding_unique = models.UniqueIndex("(flow_id, binding_id)")

    @api.model
    def _mark_seen(self, flow, run_id, binding_ids):
        """Remember that the service listed these records, by one statement.

        :returns: how many of them this run had not seen yet.
        """
        if not binding_ids:
            return 0
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO integration_agreement AS a
                       (flow_id, binding_id, company_id, seen_run_id)
                SELECT %s, id, %s, %s FROM unnest(%s) AS id ORDER BY id
                ON CONFLICT (flow_id, binding_id) DO UPDATE SET seen_run_id = EXCLUDED.seen_run_id
                 WHERE a.seen_run_id IS DISTINCT FROM EXCLUDED.seen_run_id
                """,
                flow.id,
                flow.company_id.id,
                run_id,
                list(binding_ids),
            )
        )
        return self.env.cr.rowcount

    @api.model
    def _agree(self, flow, states):
        """Remember that both sides were found equal, by one statement.

        :param dict states: ``{binding id: (write date of the Odoo record, state of the rest)}``.
        """
        if not states:
            return
        rows = SQL(", ").join(
            SQL(
                "(%s, %s, %s, %s::timestamp, %s)",
                flow.id,
                binding_id,
                flow.company_id.id,
                written_at or None,
                state,
            )
            for binding_id, (written_at, state) in sorted(states.items())
        )
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO integration_agreement AS a
                       (flow_id, binding_id, company_id, agreed_at, agreed_state)
                VALUES %s
                ON CONFLICT (flow_id, binding_id) DO UPDATE
                   SET agreed_at = EXCLUDED.agreed_at, agreed_state = EXCLUDED.agreed_state
                """,
                rows,
            )
        )
        self.invalidate_model()
