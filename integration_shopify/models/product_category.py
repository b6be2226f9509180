from odoo import models


class ProductCategory(models.Model):
    _inherit = "product.category"

    def write(self, vals):
        result = super().write(vals)
        if {"name", "parent_id"} & vals.keys():
            # sudo: whoever may rename it need not see every product in it
            templates = (
                self.env["product.template"].sudo().search([("categ_id", "child_of", self.ids)])
            )
            self.env["integration.outbox"]._note_changed(
                "product.template", templates.ids, ["categ_id"]
            )
        return result
