from odoo import models


class PrivacyLookupWizardLine(models.TransientModel):
    """Deleting a row of an integration erases the person from it; the row stays."""

    _inherit = "privacy.lookup.wizard.line"

    def action_unlink(self):
        self.check_access("write")
        self.ensure_one()
        privacy = self.env["integration.privacy"]
        store = {store.model: store for store in privacy._own_stores()}.get(self.res_model)
        if not store or self.is_unlinked:
            return super().action_unlink()
        erased = privacy._erase_row(store, self.res_id, self.wizard_id.email, self.wizard_id.name)
        row = {"model": self.res_model_id.name, "id": self.res_id}
        if erased:
            details = self.env._("Erased the person from %(model)s #%(id)s", **row)
        else:
            details = self.env._("%(model)s #%(id)s is about somebody else, and stays", **row)
        self.execution_details = details
        self.is_unlinked = True
        return None
