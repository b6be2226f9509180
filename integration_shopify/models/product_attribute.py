from odoo import models


class ProductAttribute(models.Model):
    _inherit = "product.attribute"

    def write(self, vals):
        result = super().write(vals)
        if "name" in vals:
            # sudo: whoever may rename it need not see every product that has it
            lines = (
                self.env["product.template.attribute.line"]
                .sudo()
                .search([("attribute_id", "in", self.ids)])
            )
            self.env["integration.outbox"]._note_changed(
                "product.template", lines.product_tmpl_id.ids, ["name"]
            )
        return result
