from odoo import api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import SQL

from ..lib.errors import MissingValue


class IntegrationMapping(models.Model):
    """What a value of the external system is in Odoo: a tax, a currency, a shipping method ...

    Values nobody has mapped yet are collected here with their count. Mapping the last one that an
    operation waits for releases it.
    """

    _name = "integration.mapping"
    _inherit = ["integration.company.mixin"]
    _description = "Value Mapping"
    _order = "backend_id, kind, external_label, external_value"
    _rec_names_search = ["external_label", "external_value"]

    backend_id = fields.Many2one(
        "integration.backend", required=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    kind = fields.Selection(
        [
            ("tax", "Tax"),
            ("currency", "Currency"),
            ("country", "Country"),
            ("payment_method", "Payment Method"),
            ("shipping_method", "Shipping Method"),
            ("location", "Location"),
            ("unit", "Unit of Measure"),
        ],
        required=True,
    )
    external_value = fields.Char(
        required=True, help="Exactly as the service writes it; the key of this row."
    )
    external_label = fields.Char(help="The same value for people.")
    external_note = fields.Char(
        string="Details", readonly=True, help="What else the service says about it."
    )
    external_details = fields.Json(
        readonly=True, help="The same for programs, as the connector understands it."
    )
    gone_at = fields.Datetime(
        string="Gone Since",
        readonly=True,
        help="Since when the service no longer lists the value. It stays here, because older "
        "records may still name it.",
    )
    res_model = fields.Char(compute="_compute_res_model")
    resource_ref = fields.Reference(
        selection="_selection_resource_ref",
        string="Odoo Record",
    )
    res_id = fields.Many2oneReference(
        model_field="res_model",
        string="In Odoo",
        compute="_compute_res_id",
        inverse="_inverse_res_id",
        help="What the value is in Odoo. Saving it releases every operation that waited for it.",
    )
    source = fields.Selection(
        [("manual", "Chosen"), ("automatic", "Recognised"), ("import", "CSV")],
        default="manual",
        required=True,
        readonly=True,
    )
    seen_count = fields.Integer(
        string="Seen", readonly=True, help="How often it came without a counterpart in Odoo."
    )
    last_seen_at = fields.Datetime(readonly=True)
    waiting_count = fields.Integer(compute="_compute_waiting_count")

    _value_unique = models.Constraint(
        "UNIQUE(backend_id, kind, external_value)", "This value is already in the list."
    )

    @api.model
    def _kind_models(self):
        """Return ``{kind: model name}``; connectors that add a kind extend it."""
        return {
            "tax": "account.tax",
            "currency": "res.currency",
            "country": "res.country",
            "payment_method": "account.journal",
            "shipping_method": "delivery.carrier",
            "location": "stock.location",
            "unit": "uom.uom",
        }

    @api.model
    def _selection_resource_ref(self):
        names = sorted(set(self._kind_models().values()))
        return [(name, self.env[name]._description) for name in names if name in self.env]

    # === COMPUTE METHODS === #

    @api.depends("kind")
    def _compute_res_model(self):
        models_by_kind = self._kind_models()
        for mapping in self:
            name = models_by_kind.get(mapping.kind)
            mapping.res_model = name if name in self.env else False

    @api.depends("kind", "resource_ref")
    def _compute_res_id(self):
        for mapping in self:
            record = mapping.resource_ref
            mapping.res_id = record.id if record and record._name == mapping.res_model else False

    def _inverse_res_id(self):
        for mapping in self:
            mapping.resource_ref = (
                f"{mapping.res_model},{mapping.res_id}" if mapping.res_id else False
            )

    @api.depends("external_label", "external_value")
    def _compute_display_name(self):
        for mapping in self:
            mapping.display_name = mapping.external_label or mapping.external_value

    @api.depends_context("uid")
    def _compute_waiting_count(self):
        rows = self.env["integration.sync.log"]._read_group(
            [("mapping_ids", "in", self.ids), ("state", "=", "dead")],
            ["mapping_ids"],
            ["__count"],
        )
        counts = {mapping.id: count for mapping, count in rows}
        for mapping in self:
            mapping.waiting_count = counts.get(mapping.id, 0)

    # === CRUD METHODS === #

    @api.constrains("kind", "resource_ref")
    def _check_resource_ref(self):
        for mapping in self.filtered("resource_ref"):
            expected = self._kind_models().get(mapping.kind)
            if mapping.resource_ref._name != expected:
                raise ValidationError(
                    self.env._(
                        "%(value)s has to be mapped to a %(expected)s, not to a %(model)s.",
                        value=mapping.display_name,
                        expected=self.env[expected]._description,
                        model=mapping.resource_ref._description,
                    )
                )
            company = mapping.resource_ref._fields.get("company_id") and (
                mapping.resource_ref.company_id
            )
            # a branch uses what belongs to its parents
            if company and company not in mapping.company_id.parent_ids:
                raise ValidationError(
                    self.env._(
                        "%(record)s belongs to %(other)s, but %(backend)s to %(company)s.",
                        record=mapping.resource_ref.display_name,
                        other=company.name,
                        backend=mapping.backend_id.name,
                        company=mapping.company_id.name,
                    )
                )

    @api.model_create_multi
    def create(self, vals_list):
        # what people read must not be empty where nobody has given it a name
        mappings = super().create(
            [
                {**vals, "external_label": vals.get("external_label") or vals.get("external_value")}
                for vals in vals_list
            ]
        )
        mappings.filtered("resource_ref")._release()
        return mappings

    def write(self, vals):
        result = super().write(vals)
        if vals.get("resource_ref"):
            if "source" not in vals:
                super().write({"source": "manual"})
            self._release()
        return result

    # === BUSINESS METHODS === #

    @api.model
    def _values(self, backend, kind, wanted=None):
        """Return the mapped values of a kind, recognising new ones where that is safe.

        :param dict wanted: ``{external_value: label}`` needed now; those without a row are offered
            to the connector's ``_default_mapping`` and what it is sure of is stored.
        :returns: ``{external_value: Odoo record}``.
        """
        rows = self.search_fetch(
            [("backend_id", "=", backend.id), ("kind", "=", kind)],
            ["external_value", "resource_ref"],
        )
        values = {row.external_value: row.resource_ref for row in rows if row.resource_ref}
        unknown = {value: label for value, label in (wanted or {}).items() if value not in values}
        if unknown:
            known_rows = {row.external_value: row for row in rows}
            defaults = backend._connector()._default_mapping(backend, kind, unknown)
            for value, record in defaults.items():
                reference = f"{record._name},{record.id}"
                vals = {"resource_ref": reference, "source": "automatic"}
                if value in known_rows:
                    known_rows[value].write(vals)
                else:
                    self.create(
                        {
                            **vals,
                            "backend_id": backend.id,
                            "kind": kind,
                            "external_value": value,
                            "external_label": unknown[value],
                        }
                    )
                values[value] = record
        return values

    @api.model
    def _take_over(self, backend, kind, listed, domain=()):
        """Bring the rows of a kind in line with the whole list that the service has of it.

        What it has not any more stays, marked as gone. What is new or got another name is offered
        to the connector's ``_default_mapping``; a row that a person has emptied stays empty.

        :param dict listed: ``{external_value: (label, note, details)}``, all there are.
        :param domain: which rows the list is about, where the kind has others as well.
        :returns: these rows.
        """
        rows = self.search([("backend_id", "=", backend.id), ("kind", "=", kind), *domain])
        known = {row.external_value: row for row in rows}
        fresh = {}
        for value, (label, note, details) in listed.items():
            vals = {
                "external_label": label,
                "external_note": note or False,
                "external_details": details or False,
                "gone_at": False,
            }
            row = known.get(value)
            if row is None:
                fresh[value] = vals
                continue
            changed = {name: new for name, new in vals.items() if row[name] != new}
            if "external_label" in changed and not row.resource_ref:
                fresh[value] = None
            if changed:
                row.write(changed)
        rows |= self.create(
            [
                {"backend_id": backend.id, "kind": kind, "external_value": value, **vals}
                for value, vals in fresh.items()
                if vals
            ]
        )
        gone = rows.filtered(lambda row: row.external_value not in listed and not row.gone_at)
        gone.gone_at = fields.Datetime.now()
        if fresh:
            self._values(backend, kind, {value: listed[value][0] for value in fresh})
        return rows

    @api.model
    def _collect(self, backend, values):
        """Count values without a mapping; creates the rows to fill in.

        :param list[MissingValue] values: the same value may come several times.
        :returns: the rows.
        """
        if not values:
            return self.browse()
        counts = {}
        for value in values:
            known: MissingValue = counts.setdefault((value.kind, value.value), [0, value])
            known[0] += 1
        self.flush_model()
        rows = SQL(", ").join(
            SQL(
                "(%s, %s, %s, %s, %s, 'manual', %s, clock_timestamp() AT TIME ZONE 'UTC',"
                " clock_timestamp() AT TIME ZONE 'UTC', %s)",
                backend.id,
                backend.company_id.id,
                value.kind,
                value.value,
                value.label or value.value,
                count,
                self.env.uid,
            )
            for count, value in counts.values()
        )
        # two drains may meet the same new value at once
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO integration_mapping AS m (backend_id, company_id, kind, external_value,
                       external_label, source, seen_count, last_seen_at, create_date, create_uid)
                VALUES %s
                    ON CONFLICT (backend_id, kind, external_value) DO UPDATE
                   SET seen_count = COALESCE(m.seen_count, 0) + EXCLUDED.seen_count,
                       last_seen_at = EXCLUDED.last_seen_at
             RETURNING id
                """,
                rows,
            )
        )
        mappings = self.browse(row[0] for row in self.env.cr.fetchall())
        mappings.invalidate_recordset()
        return mappings

    def _release(self):
        """Make the operations due that waited for these values and now have all of them."""
        # sudo: whoever may map a value may also let the work that waits for it go on
        Operation = self.env["integration.sync.log"].sudo()
        Operation.search(
            [
                ("mapping_ids", "in", self.ids),
                ("mapping_ids", "not any", [("resource_ref", "=", False)]),
                ("state", "=", "dead"),
            ]
        )._requeue()

    # === ACTIONS === #

    def action_choose(self):
        """Open this one value in a dialog, to say what it is in Odoo."""
        self.check_access("read")
        self.ensure_one()
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("What Is It in Odoo?"),
            "res_model": self._name,
            "res_id": self.id,
            "view_mode": "form",
            "views": [
                (self.env.ref("integration_base.integration_mapping_view_form_choose").id, "form")
            ],
            "target": "new",
        }

    def action_open_waiting(self):
        """Open the operations that wait for this value."""
        self.check_access("read")
        self.ensure_one()
        return self.env["integration.sync.log"]._action_show(
            [("mapping_ids", "=", self.id), ("state", "=", "dead")]
        )
