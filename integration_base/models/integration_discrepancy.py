from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import SQL

from ..lib.records import Change


class IntegrationDiscrepancy(models.Model):
    """One record that a comparison found missing or different, and what became of it."""

    _name = "integration.discrepancy"
    _description = "Integration Discrepancy"
    _order = "reconciliation_id desc, id"
    _rec_name = "external_label"
    _rec_names_search = ["external_label", "external_id"]

    reconciliation_id = fields.Many2one(
        "integration.reconciliation", required=True, readonly=True, ondelete="cascade", index=True
    )
    flow_id = fields.Many2one(
        "integration.flow", required=True, readonly=True, ondelete="cascade", index=True
    )
    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    kind = fields.Selection(
        [
            ("missing_in_odoo", "Missing in Odoo"),
            ("missing_outside", "Missing outside"),
            ("different", "Different"),
        ],
        required=True,
        readonly=True,
    )
    external_id = fields.Char(string="External ID", readonly=True)
    external_label = fields.Char(string="Record", readonly=True)
    version = fields.Char(
        readonly=True, help="What told the listed record from its earlier versions."
    )
    res_model = fields.Char(readonly=True)
    res_id = fields.Many2oneReference(string="Odoo Record", model_field="res_model", readonly=True)
    differences = fields.Json(readonly=True)
    summary = fields.Text(string="Differences", compute="_compute_summary")
    state = fields.Selection(
        [
            ("suspected", "To check"),
            ("open", "Open"),
            ("repairing", "Being repaired"),
            ("repaired", "Repaired"),
            ("ignored", "Ignored"),
            ("outdated", "Outdated"),
        ],
        required=True,
        readonly=True,
        default="suspected",
        help="Outdated: a later comparison has looked again.",
    )
    reason = fields.Text(readonly=True)
    operation_id = fields.Many2one(
        "integration.sync.log", readonly=True, ondelete="set null", index="btree_not_null"
    )
    reviewed_by_id = fields.Many2one("res.users", readonly=True)

    _run_unique = models.UniqueIndex(
        "(reconciliation_id, external_id) WHERE external_id IS NOT NULL"
    )
    _suspected_index = models.Index("(reconciliation_id, id) WHERE state = 'suspected'")
    _open_index = models.Index("(flow_id, external_id) WHERE state IN ('open', 'ignored')")
    _repairing_index = models.Index("(operation_id) WHERE state = 'repairing'")

    # === COMPUTE METHODS === #

    @api.depends("external_label", "external_id", "res_model", "res_id")
    def _compute_display_name(self):
        for line in self:
            line.display_name = line.external_label or line.external_id or line._record_name()

    @api.depends("differences")
    def _compute_summary(self):
        for line in self:
            line.summary = "\n".join(
                line._difference_text(*difference) for difference in line.differences or []
            )

    def _difference_text(self, field, odoo, external):
        if not field:
            return ": ".join(filter(None, (odoo, external)))
        nothing = "\N{EN DASH}"
        return self.env._(
            "%(field)s: %(odoo)s in Odoo, %(external)s outside",
            field=field,
            odoo=odoo or nothing,
            external=external or nothing,
        )

    def _record_name(self):
        record = self._record()
        return record.display_name if record else ""

    def _record(self):
        """Return the Odoo record, or None when there is none (any more)."""
        self.ensure_one()
        if not self.res_id or self.res_model not in self.env:
            return None
        return self.env[self.res_model].browse(self.res_id).exists() or None

    # === REPAIRING === #

    def _importing_flow(self):
        """Return the flow that can bring the record into Odoo, an empty one if there is none."""
        self.ensure_one()
        if self.flow_id.direction == "in":
            return self.flow_id
        return self.backend_id.flow_ids.filtered(
            lambda flow: flow.resource == self.flow_id.resource and flow.direction == "in"
        )

    def _repair(self):
        """Append the operations that make both sides equal again.

        Missing in Odoo is imported. What differs is written anew by the side that decides: the
        external one in flows into Odoo, Odoo in flows out. What is missing outside was deleted
        there (into Odoo), or is sent again (out of Odoo).

        :returns: the lines that could be repaired; the others say why not.
        """
        started = self.browse()
        for flow, lines in (
            self.filtered(lambda line: line.state == "open").grouped("flow_id").items()
        ):
            for kind, group in lines.grouped("kind").items():
                repair = getattr(self, f"_repair_{kind}")
                started |= repair(flow, group)
        started.flow_id._wake_after_commit()
        return started

    def _repair_missing_in_odoo(self, flow, lines):
        importing = lines[:1]._importing_flow()
        if not importing:
            lines.reason = self.env._(
                "The service has this record and Odoo does not, and nothing imports it. Create or "
                "link it in Odoo, delete it there, or ignore it with a reason."
            )
            return self.browse()
        return lines._append_import(importing)

    def _repair_different(self, flow, lines):
        return lines._append_import(flow) if flow.direction == "in" else lines._append_export(flow)

    def _repair_missing_outside(self, flow, lines):
        if flow.direction == "in":
            return lines._append_import(flow, deleted=True)
        if flow._resource()._resource_export_scope == "all":
            # without its link's id it is created anew, and the link gets the new one
            self.env["integration.binding"]._search_external(
                flow.backend_id, flow.resource, lines.filtered("external_id").mapped("external_id")
            )._entomb()
            return lines._append_export(flow)
        importing = lines[:1]._importing_flow()
        if importing:
            return lines._append_import(importing, deleted=True)
        lines.reason = self.env._(
            "The service no longer has this record, and Odoo only updates what it has. Create it "
            "there, delete the binding, or ignore it with a reason."
        )
        return self.browse()

    def _append_import(self, flow, deleted=False):
        changes = [
            Change(line.external_id, label=line.external_label or "", deleted=deleted)
            for line in self
        ]
        return self._being_repaired(
            self.env["integration.sync.log"]._append(flow, changes, "reconcile", force=True)
        )

    def _append_export(self, flow):
        there = {line: record for line in self if (record := line._record())}
        lines = self.browse([line.id for line in there])
        (self - lines).reason = self.env._("Its record was deleted in Odoo.")
        return lines._being_repaired(
            self.env["integration.sync.log"]._append_records(
                flow, list(there.values()), "reconcile", force=True
            )
        )

    def _being_repaired(self, operations):
        for line, operation in zip(self, operations, strict=True):
            line.write({"state": "repairing", "operation_id": operation.id, "reason": False})
        return self

    @api.model
    def _settle_repairs(self):
        """Take over what became of the operations that repair; cheap enough for every heartbeat."""
        self.env.cr.execute(
            SQL(
                """
                WITH settled AS (
                    SELECT d.id, COALESCE(n.id, o.id) AS operation_id,
                           COALESCE(n.state, o.state, 'done') AS state,
                           COALESCE(n.review_note, n.message, o.review_note, o.message) AS reason
                      FROM integration_discrepancy d
                      LEFT JOIN integration_sync_log o ON o.id = d.operation_id
                      LEFT JOIN integration_sync_log n
                             ON n.id = o.merged_into_id AND o.state = 'merged'
                     WHERE d.state = 'repairing'
                       AND COALESCE(o.state, 'done') NOT IN ('pending', 'running')
                )
                UPDATE integration_discrepancy d
                   SET operation_id = s.operation_id,
                       state = CASE WHEN s.state = 'done' THEN 'repaired'
                                    WHEN s.state IN ('skipped', 'ignored') THEN 'ignored'
                                    WHEN s.state = 'dead' THEN 'open'
                                    ELSE d.state END,
                       reason = CASE WHEN s.state IN ('skipped', 'ignored', 'dead')
                                     THEN s.reason END
                  FROM settled s WHERE d.id = s.id
                """
            )
        )
        self.invalidate_model()

    def _ignore(self, reason):
        """Leave the records as they are, with the reason; later comparisons respect it."""
        self._check_review_access()
        # sudo: operators hold no write access to what comparisons found
        self.sudo().filtered(lambda line: line.state in ("open", "repairing")).write(
            {"state": "ignored", "reason": reason, "reviewed_by_id": self.env.uid}
        )

    # === ACTIONS === #

    def _check_review_access(self):
        if not self.env.user.has_group("integration_base.group_integration_operator"):
            raise UserError(
                self.env._("Repairing differences needs the role Integration Operator.")
            )
        self.check_access("read")

    def action_repair(self):
        """Repair the open ones of these lines as soon as possible."""
        self._check_review_access()
        lines = self.filtered(lambda line: line.state == "open")
        if not lines:
            raise UserError(self.env._("Nothing to repair: choose lines that are open."))
        # sudo: see _ignore
        started = lines.sudo()._repair()
        if not started:
            raise UserError(lines[:1].reason)
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "type": "success",
                "message": self.env._("%s records are being repaired.", len(started)),
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    def action_ignore(self):
        """Ask for the reason and ignore these lines."""
        self._check_review_access()
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_base.integration_discrepancy_ignore_action"
        )
        action["context"] = {"default_discrepancy_ids": self.ids}
        return action

    def action_open_record(self):
        """Open the Odoo record."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": self.res_model,
            "res_id": self.res_id,
            "view_mode": "form",
        }

    def action_open_operation(self):
        """Open the operation that repairs it."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": "integration.sync.log",
            "res_id": self.operation_id.id,
            "view_mode": "form",
        }
