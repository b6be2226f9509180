from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..lib.errors import SkipRecord, VanishedError


class IntegrationBinding(models.Model):
    """The link between one external record and one Odoo record in one backend."""

    _name = "integration.binding"
    _description = "Integration Binding"
    _inherit = ["integration.company.mixin", "integration.readable.mixin"]
    _order = "id desc"
    _rec_names_search = ["external_label", "external_id"]

    backend_id = fields.Many2one("integration.backend", required=True, ondelete="cascade")
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    resource = fields.Char(required=True)
    external_id = fields.Char(string="External ID", required=True)
    external_label = fields.Char()
    res_model = fields.Char(string="Model", required=True)
    res_id = fields.Many2oneReference(string="Odoo Record", model_field="res_model", required=True)
    import_digest = fields.Char(
        readonly=True, help="Of what was last read; equal means nothing has to be done."
    )
    imported_at = fields.Datetime(
        string="Last Written in Odoo", readonly=True, help="By an import, not by people."
    )
    export_digest = fields.Char(
        readonly=True, help="Of what was last written there; equal means nothing has to be sent."
    )
    deleted_at = fields.Datetime(
        string="Gone since", readonly=True, help="The service no longer has the record."
    )
    external_updated_at = fields.Datetime(readonly=True)
    fetched_at = fields.Datetime(readonly=True)

    _external_unique = models.Constraint(
        "UNIQUE(backend_id, resource, external_id)",
        "This external record is already linked to an Odoo record.",
    )
    _record_unique = models.Constraint(
        "UNIQUE(backend_id, resource, res_model, res_id)",
        "This Odoo record is already linked to a record of this backend.",
    )
    _record_index = models.Index("(res_model, res_id)")

    @api.depends("external_label", "external_id")
    def _compute_display_name(self):
        for binding in self:
            binding.display_name = binding.external_label or binding.external_id

    # === CRUD METHODS === #

    @api.model_create_multi
    def create(self, vals_list):
        bindings = super().create(vals_list)
        bindings._check_record()
        return bindings

    def write(self, vals):
        result = super().write(vals)
        # whatever one end is moved to, the record at the other is written from there
        if {"backend_id", "resource", "external_id", "res_model", "res_id"} & vals.keys():
            self._check_record()
        return result

    def unlink(self):
        linked = self._linked()
        result = super().unlink()
        self._void_creations(linked)
        return result

    def _linked(self):
        """Return ``[(backend, resource, Odoo records)]``, whether these exist or not."""
        return [
            (backend, resource, self.env[res_model].browse(links.mapped("res_id")))
            for (backend, resource, res_model), links in self.grouped(
                lambda link: (link.backend_id, link.resource, link.res_model)
            ).items()
            if res_model in self.env
        ]

    @api.model
    def _void_creations(self, linked):
        """Let what is gone, or unlinked, be created at the service again.

        :param linked: see :meth:`_linked`.
        """
        for backend, resource, records in linked:
            self.env["integration.intent"]._void(backend, resource, records)

    def _check_record(self):
        """Refuse a link to a record that whoever makes it could not change.

        The next import writes it with all rights.

        :raises AccessError: when the user may not write the record.
        :raises ValidationError: when there is no such record.
        """
        if self.env.su:
            return
        for res_model, bindings in self.grouped("res_model").items():
            known = res_model in self.env
            records = self.env[res_model].browse(bindings.mapped("res_id")) if known else None
            present = set(records.exists().ids) if known else set()
            for binding in bindings:
                if binding.res_id not in present:
                    raise ValidationError(
                        self.env._(
                            "%s has to be linked to a record that exists. Choose another one.",
                            binding.display_name,
                        )
                    )
            # of all of them at once: a product may have 2,000 variants
            records.check_access("write")

    # === BUSINESS METHODS === #

    @api.model
    def _search_external(self, backend, resource, external_ids):
        """Return the bindings of ``external_ids`` (list of text) in one query, or none."""
        if not external_ids:
            return self.browse()
        return self.search_fetch(
            [
                ("backend_id", "=", backend.id),
                ("resource", "=", resource),
                ("external_id", "in", list(external_ids)),
            ],
            [
                "external_id",
                "res_model",
                "res_id",
                "import_digest",
                "export_digest",
                "deleted_at",
                "imported_at",
                "create_date",
                "external_label",
                "external_updated_at",
                "fetched_at",
            ],
        )

    @api.model
    def _search_records(self, backend, resource, records):
        """Return the bindings of Odoo records (of one model) in one query."""
        return self.search_fetch(
            [
                ("backend_id", "=", backend.id),
                ("resource", "=", resource),
                ("res_model", "=", records._name),
                ("res_id", "in", records.ids),
            ],
            ["external_id", "res_id", "export_digest", "deleted_at"],
        )

    @api.model
    def _find(self, backend, resource, external_ids):
        """Return ``{external_id: Odoo record}`` of the bound ones that still exist."""
        return self._search_external(backend, resource, external_ids)._existing_records()

    def _existing_records(self):
        """Return ``{external_id: Odoo record}`` of bindings of one resource, where it exists."""
        found = {}
        for res_model, group in self.grouped("res_model").items():
            existing = self.env[res_model].browse(group.mapped("res_id")).exists()
            by_id = {record.id: record for record in existing}
            found.update(
                (binding.external_id, by_id[binding.res_id])
                for binding in group
                if binding.res_id in by_id
            )
        return found

    @api.model
    def _bind(self, backend, resource, records, labels=None):
        """Link external records to Odoo records that have no link yet.

        :param dict records: ``{external_id: Odoo record}``.
        :param dict labels: ``{external_id: text}`` shown to people.
        :returns: the new bindings.
        :raises psycopg2.errors.UniqueViolation: when another transaction was first; the engine
            then runs the batch again and finds its link.
        """
        labels = labels or {}
        return self.create(
            [
                {
                    "backend_id": backend.id,
                    "resource": resource,
                    "external_id": external_id,
                    "external_label": labels.get(external_id) or external_id,
                    "res_model": record._name,
                    "res_id": record.id,
                }
                for external_id, record in records.items()
            ]
        )

    # === DELETED RECORDS === #

    def _entomb(self):
        """Remember that the service no longer has these records.

        When one comes back, whatever it says is taken over.
        """
        fresh = self.filtered(lambda binding: not binding.deleted_at)
        fresh._void_creations(fresh._linked())
        fresh.write(
            {
                "deleted_at": fields.Datetime.now(),
                "import_digest": False,
                "export_digest": False,
                "external_updated_at": False,
                "fetched_at": False,
            }
        )

    @api.model
    def _follow_deletions(self, flow, items):
        """Handle bound records that the service no longer has, in the transaction of their batch.

        When too many are gone at once, none of them is touched: their operations wait, the flow
        stops and a person is asked.

        :param list[Item] items: bound, with ``record``; ``forced`` ones are confirmed.
        """
        bindings = {
            binding.external_id: binding
            for binding in self._search_external(
                flow.backend_id, flow.resource, [item.external_id for item in items]
            )
        }
        for item in items:
            if item.gone and not isinstance(item.gone, SkipRecord):
                # the connector knows another reason why it is not shown
                item.fail(item.gone)
        fresh = [i for i in items if i.alive and not bindings[i.external_id].deleted_at]
        asked = [item for item in fresh if not item.forced]
        if asked and flow._too_many_vanished(len(asked)):
            flow._hold_vanished(len(asked))
            for item in asked:
                item.fail(VanishedError(flow.held_reason))
        followed = [item for item in fresh if item.alive]
        if followed:
            with flow.backend_id._working(followed) as backend:
                backend._resource(flow.resource)._apply_deletion(backend, followed)
        self.union(*(bindings[i.external_id] for i in followed if i.alive))._entomb()

    @api.model
    def _undo_deletions(self, flow, items, bindings):
        """Clear the tombstones of records that exist again, before they are written.

        :param list[Item] items: bound and fetched.
        :param dict bindings: ``{external_id: binding}``.
        """
        back = [item for item in items if bindings[item.external_id].deleted_at]
        if back:
            with flow.backend_id._working(back) as backend:
                backend._resource(flow.resource)._undo_deletion(backend, back)
            self.union(*(bindings[item.external_id] for item in back)).deleted_at = False

    # === ACTIONS === #

    def action_open_record(self):
        """Open the Odoo record."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "res_model": self.res_model,
            "res_id": self.res_id,
            "view_mode": "form",
        }

    def action_open_operations(self):
        """Open what the sync log has on this external record."""
        self.ensure_one()
        return self.env["integration.sync.log"]._action_show(
            [
                ("backend_id", "=", self.backend_id.id),
                ("resource", "=", self.resource),
                ("external_id", "=", self.external_id),
            ]
        )
