from odoo import models


class ProductTag(models.Model):
    _inherit = "product.tag"

    def write(self, vals):
        result = super().write(vals)
        if "name" in vals:
            # sudo: whoever may rename it need not see every product that has it
            templates = self.sudo().product_template_ids
            self.env["integration.outbox"]._note_changed(
                "product.template", templates.ids, ["name"]
            )
        return result
