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
        privacy._erase_row(store, self.res_id, self.wizard_id.email, self.wizard_id.name)
        self.execution_details = self.env._(
            "Erased the person from %(model)s #%(id)s", model=self.res_model_id.name, id=self.res_id
        )
        self.is_unlinked = True
        return None
