from odoo import models


class IntegrationBackend(models.Model):
    _inherit = "integration.backend"

    def _forget_records(self):
        """End the bulk operations of the other account as well."""
        count = super()._forget_records()
        mine = [("backend_id", "=", self.id)]
        # sudo: whoever may switch the backend may end what belongs to the other account
        operations = self.env["integration.shopify.bulk"].sudo().search(mine)
        operations._forget_lines()
        # sudo: the same
        self.env["integration.shopify.bulk.item"].sudo().search(mine).unlink()
        operations.filtered(lambda row: row.state in ("new", "running", "ready")).write(
            {"state": "cancelled", "slot": False, "url": False, "staged_path": False}
        )
        return count
