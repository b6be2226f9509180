from odoo import models


class ResPartner(models.Model):
    _inherit = "res.partner"

    def unlink(self):
        # sudo: whoever may delete a contact need not see the integrations
        links = (
            self.env["integration.binding"]
            .sudo()
            .search([("res_model", "=", self._name), ("res_id", "in", self.ids)])
        )
        result = super().unlink()
        # a contact that is deleted, by Odoo's Privacy Lookup for example, leaves no name behind
        links.external_label = False
        return result
