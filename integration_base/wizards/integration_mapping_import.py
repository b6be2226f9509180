import base64
import csv
import io

from odoo import fields, models
from odoo.exceptions import UserError


class IntegrationMappingImport(models.TransientModel):
    """Fills value mappings from a CSV file that people can write by hand."""

    _name = "integration.mapping.import"
    _description = "Import Value Mappings"

    backend_id = fields.Many2one("integration.backend", required=True)
    file = fields.Binary(
        required=True,
        attachment=False,
        help="Columns: kind, external_value, odoo (a name, a code or an external id); "
        "external_label is optional. Separated by comma or semicolon.",
    )
    file_name = fields.Char()

    def action_import(self):
        """Create or replace the mappings of the file; all or nothing.

        :raises UserError: with every line that cannot be understood.
        """
        self.ensure_one()
        problems, rows = [], []
        for number, line in enumerate(self._read_lines(), start=2):
            try:
                rows.append(self._prepare_row(line))
            except UserError as error:
                problems.append(self.env._("Line %(n)s: %(error)s", n=number, error=error))
        if problems:
            raise UserError("\n".join(problems))
        Mapping = self.env["integration.mapping"]
        for row in rows:
            present = Mapping.search(
                [(name, "=", row[name]) for name in ("backend_id", "kind", "external_value")]
            )
            if present:
                present.write(row)
            else:
                Mapping.create(row)
        return self.backend_id.action_open_mappings()

    def _read_lines(self):
        try:
            text = base64.b64decode(self.file).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            message = self.env._("The file is not UTF-8 text. Save it as CSV UTF-8.")
            raise UserError(message) from error
        first = text.split("\n", 1)[0]
        reader = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in first else ",")
        missing = {"kind", "external_value", "odoo"} - set(reader.fieldnames or ())
        if missing:
            raise UserError(
                self.env._("The file lacks the columns: %s.", ", ".join(sorted(missing)))
            )
        return list(reader)

    def _prepare_row(self, line):
        Mapping = self.env["integration.mapping"]
        kinds = Mapping._kind_models()
        kind = (line["kind"] or "").strip()
        value = (line["external_value"] or "").strip()
        if kind not in kinds or kinds[kind] not in self.env:
            raise UserError(
                self.env._(
                    "there is no kind %(kind)s; choose one of %(kinds)s.",
                    kind=kind or "-",
                    kinds=", ".join(kind for kind in kinds if kinds[kind] in self.env),
                )
            )
        if not value:
            raise UserError(self.env._("external_value is empty."))
        record = self._find_record(kinds[kind], (line["odoo"] or "").strip())
        return {
            "backend_id": self.backend_id.id,
            "kind": kind,
            "external_value": value,
            "external_label": (line.get("external_label") or "").strip() or value,
            "resource_ref": f"{record._name},{record.id}",
            "source": "import",
        }

    def _find_record(self, model, text):
        if "." in text:
            record = self.env.ref(text, raise_if_not_found=False)
            if record and record._name == model:
                return record
        domain = []
        if "company_id" in self.env[model]._fields:
            domain = [("company_id", "in", [False, *self.backend_id.company_id.parent_ids.ids])]
        found = self.env[model].browse(
            row[0] for row in self.env[model].name_search(text, domain, operator="=ilike")
        )
        if not found:
            raise UserError(
                self.env._(
                    "no active %(model)s is called %(text)s; use the exact name or an external id.",
                    model=self.env[model]._description,
                    text=text or "-",
                )
            )
        if len(found) > 1:
            raise UserError(
                self.env._(
                    "%(count)s records are called %(text)s; use the exact name or an external id.",
                    count=len(found),
                    text=text or "-",
                )
            )
        return found
