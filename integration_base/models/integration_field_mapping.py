from odoo import api, fields, models
from odoo.exceptions import ValidationError

from ..lib.field_values import convert, read_path


class IntegrationFieldMapping(models.Model):
    """Which field of an external record fills which Odoo field, and who may change it.

    Rows without a backend are the connector's defaults (shipped as CSV); a row of a backend for
    the same Odoo field takes their place.
    """

    _name = "integration.field.mapping"
    _inherit = ["integration.company.mixin"]
    _description = "Field Mapping"
    _order = "connector, resource, sequence, id"

    connector = fields.Selection(
        selection=lambda self: self.env["integration.connector"]._connector_codes(),
        required=True,
    )
    resource = fields.Char(required=True)
    backend_id = fields.Many2one(
        "integration.backend",
        ondelete="cascade",
        index=True,
        help="Empty: for every backend of the connector that has no row of its own.",
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    sequence = fields.Integer(default=10)
    active = fields.Boolean(default=True)
    external_path = fields.Char(
        required=True, help="Path in the external record, e.g. customer.note or tags."
    )
    res_model = fields.Char(compute="_compute_res_model")
    field_id = fields.Many2one(
        "ir.model.fields",
        string="Odoo Field",
        required=True,
        ondelete="cascade",
        domain="[('model', '=', res_model), ('store', '=', True), ('readonly', '=', False)]",
    )
    converter = fields.Selection(
        [
            ("text", "Text"),
            ("joined", "List as text"),
            ("html", "Text to HTML"),
            ("plain", "HTML to text"),
            ("number", "Number"),
            ("integer", "Whole number"),
            ("boolean", "Yes or no"),
            ("datetime", "Date and time"),
            ("date", "Date"),
        ],
        required=True,
        default="text",
    )
    owner = fields.Selection(
        [
            ("external", "External system: each import writes it"),
            ("odoo", "Odoo: written once, then left alone"),
        ],
        required=True,
        default="external",
    )

    _field_unique = models.UniqueIndex(
        "(connector, resource, COALESCE(backend_id, 0), field_id)",
        "This Odoo field already has a row.",
    )

    @api.depends("connector", "resource")
    def _compute_res_model(self):
        for mapping in self:
            name = f"integration.{mapping.connector}.{mapping.resource}"
            mapping.res_model = name in self.env and self.env[name]._resource_model

    @api.constrains("backend_id", "connector")
    def _check_connector(self):
        for mapping in self.filtered("backend_id"):
            if mapping.connector != mapping.backend_id.connector:
                raise ValidationError(
                    self.env._("%s belongs to another connector.", mapping.backend_id.name)
                )

    @api.constrains("field_id", "connector", "resource")
    def _check_field_model(self):
        for mapping in self:
            name = f"integration.{mapping.connector}.{mapping.resource}"
            if name not in self.env:
                raise ValidationError(
                    self.env._("The connector has no resource %s.", mapping.resource)
                )
            if mapping.field_id.model != self.env[name]._resource_model:
                raise ValidationError(
                    self.env._(
                        "%(field)s is not a field of %(model)s.",
                        field=mapping.field_id.field_description,
                        model=self.env[name]._resource_model,
                    )
                )

    @api.model
    def _rows(self, backend, resource):
        """Return the rows in force for a backend and a resource (code), one per Odoo field."""
        rows = self.search(
            [
                ("connector", "=", backend.connector),
                ("resource", "=", resource),
                ("backend_id", "in", (False, backend.id)),
            ]
        )
        chosen = {}
        for row in rows.sorted(lambda row: bool(row.backend_id)):
            chosen[row.field_id] = row
        return self.union(*chosen.values())

    @api.model
    def _values_in(self, backend, resource, payloads):
        """Return the Odoo values that the mappings give for external records.

        :param list payloads: pairs ``(data, update)``; ``update`` tells whether the Odoo record
            exists already, in which case fields that Odoo owns are left out.
        :returns: list of ``{field name: value}`` in the same order.
        :raises InvalidPayloadError: when a value does not fit its conversion.
        """
        # sudo: field names of ir.model.fields are closed to most users
        rows = [
            (row.field_id.name, row.external_path, row.converter, row.owner)
            for row in self._rows(backend, resource).sudo()
        ]
        return [
            {
                name: convert(read_path(data, path), converter, path)
                for name, path, converter, owner in rows
                if owner == "external" or not update
            }
            for data, update in payloads
        ]
