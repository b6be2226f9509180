from odoo import api, models

from ..lib.spreadsheet import safe_cell


class Base(models.AbstractModel):
    """Tells the outbox what changes: the lowest hooks there are, so that nothing passes by.

    Exports of our own records hold texts of strangers (order notes, messages); no cell of them is
    a formula. Odoo itself guards CSV files against some of these, and Excel files against none.
    """

    _inherit = "base"

    def _write_multi(self, vals_list):
        # called by every flush with the stored values that changed, computed ones included
        self.env["integration.outbox"]._note_written(self, vals_list)
        return super()._write_multi(vals_list)

    @api.model
    def _create(self, data_list):
        records = super()._create(data_list)
        self.env["integration.outbox"]._note_created(records)
        return records

    @api.private
    def modified(self, fnames, create=False, before=False):
        # many2many fields and attachments have no column of their own to be flushed
        if not (create or before):
            self.env["integration.outbox"]._note_modified(self, fnames)
        return super().modified(fnames, create=create, before=before)

    def _update_field_translations(self, field_name, translations, digest=None, source_lang=""):
        # writes by SQL
        self.env["integration.outbox"]._note_changed(self._name, self.ids, [field_name])
        return super()._update_field_translations(
            field_name, translations, digest=digest, source_lang=source_lang
        )

    def unlink(self):
        self.env["integration.outbox"]._note_unlinked(self)
        return super().unlink()

    def export_data(self, fields_to_export):
        exported = super().export_data(fields_to_export)
        if self._name.startswith("integration."):
            exported["datas"] = [[safe_cell(cell) for cell in row] for row in exported["datas"]]
        return exported
