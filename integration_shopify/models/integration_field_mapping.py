import json
from datetime import date, datetime

from odoo import api, models

from odoo.addons.integration_base.lib.field_values import CONVERTERS
from odoo.addons.integration_base.lib.records import Watch

from ..lib.pages import MAX_PAGE

#: What paths of metafields begin with: ``metafields.<namespace>.<key>``.
PREFIX = "metafields."
#: Conversion -> type of the metafield.
TYPES = {
    "text": "single_line_text_field",
    "joined": "list.single_line_text_field",
    "html": "multi_line_text_field",
    "plain": "multi_line_text_field",
    "number": "number_decimal",
    "integer": "number_integer",
    "boolean": "boolean",
    "datetime": "date_time",
    "date": "date",
}


class IntegrationFieldMapping(models.Model):
    _inherit = "integration.field.mapping"

    # what rows send is watched
    @api.model_create_multi
    def create(self, vals_list):
        rows = super().create(vals_list)
        self.env["integration.outbox"]._forget_index()
        return rows

    def write(self, vals):
        result = super().write(vals)
        self.env["integration.outbox"]._forget_index()
        return result

    def unlink(self):
        result = super().unlink()
        self.env["integration.outbox"]._forget_index()
        return result

    @api.model
    def _shopify_watches(self, resource):
        """Return a :class:`Watch` of the fields that any backend sends as metafields, in a tuple.

        Fields whose changes cannot be seen are left out; they go with the next change of others.

        :param str resource: its code.
        """
        model = self.env[self.env[f"integration.shopify.{resource}"]._resource_model]
        # sudo: whoever changes a record first has this looked up, and field names are closed
        rows = self.sudo().search(
            [
                ("connector", "=", "shopify"),
                ("resource", "=", resource),
                ("owner", "=", "odoo"),
                ("external_path", "=like", f"{PREFIX}%"),
                ("active", "=", True),
            ]
        )
        names = {
            name
            for name in rows.field_id.mapped("name")
            if name in model._fields
            and self.env["integration.outbox"]._is_watchable(model._fields[name])
        }
        return (Watch(model._name, tuple(sorted(names))),) if names else ()

    @api.model
    def _shopify_sent_rows(self, backend, resource):
        """Return the rows that send a field as a metafield: Odoo owns them."""
        return self._rows(backend, resource).filtered(
            lambda row: (
                row.owner == "odoo"
                and row.external_path.startswith(PREFIX)
                and row.external_path.count(".") >= 2
            )
        )

    @api.model
    def _shopify_metafield_keys(self, backend, resource):
        """Return the metafields that rows of a resource name, as ``namespace.key``."""
        paths = self._rows(backend, resource).mapped("external_path")
        keys = {path.removeprefix(PREFIX) for path in paths if path.startswith(PREFIX)}
        return sorted(key for key in keys if "." in key)[:MAX_PAGE]

    @api.model
    def _shopify_metafields(self, backend, resource, records):
        """Return the metafields that records of Odoo shall have in the shop.

        Of the rows whose path is ``metafields.<namespace>.<key>`` and whose owner is Odoo. The
        conversion gives the type of the metafield.

        :returns: one list of ``{namespace, key, type, value}`` per record; a field that is empty
            has no metafield.
        """
        # sudo: field names of ir.model.fields are closed to most users
        rows = [
            (row.field_id.name, *row.external_path.removeprefix(PREFIX).rsplit(".", 1), row)
            for row in self._shopify_sent_rows(backend, resource).sudo()
        ]
        found = []
        for record in records:
            fields_of = []
            for name, namespace, key, row in rows:
                value = self._shopify_text(record, name, row.converter)
                if value:
                    fields_of.append(
                        {
                            "namespace": namespace,
                            "key": key,
                            "type": self._shopify_type(row.converter, value),
                            "value": value,
                        }
                    )
            found.append(fields_of)
        return found

    @api.model
    def _shopify_type(self, converter, value):
        # a text of several lines is refused as one of a single line
        if converter == "text" and "\n" in value:
            return "multi_line_text_field"
        return TYPES[converter]

    @api.model
    def _shopify_text(self, record, name, converter):
        """Return a field's value as the text of a metafield, empty for nothing."""
        field, value = record._fields[name], record[name]
        if field.type == "boolean":
            return ("true" if value else "false") if converter == "boolean" else ""
        if field.relational:
            names = value.mapped("display_name")
            if converter == "joined":
                return _json_list(names)
            return ", ".join(names)
        if field.type == "selection":
            value = dict(field._description_selection(self.env)).get(value, value)
        if value in (False, None, "") or (not value and field.type == "html"):
            return ""
        if isinstance(value, datetime):
            return (
                f"{value.isoformat(timespec='seconds')}Z"
                if converter == "datetime"
                else (value.date().isoformat())
            )
        if isinstance(value, date):
            return value.isoformat()
        if converter == "joined":
            return _json_list([str(value)])
        if converter == "integer":
            return str(int(value))
        if converter == "number":
            return format(float(value), "f").rstrip("0").rstrip(".")
        if converter == "plain":
            return CONVERTERS["plain"](str(value))
        return str(value)


def _json_list(texts):
    return json.dumps([text for text in texts if text], ensure_ascii=False)
