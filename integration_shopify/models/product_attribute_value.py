from odoo import models


class ProductAttributeValue(models.Model):
    _inherit = "product.attribute.value"

    def write(self, vals):
        result = super().write(vals)
        if "name" in vals:
            # sudo: whoever may rename it need not see every product that has it
            values = (
                self.env["product.template.attribute.value"]
                .sudo()
                .search([("product_attribute_value_id", "in", self.ids)])
            )
            self.env["integration.outbox"]._note_changed(
                "product.template", values.product_tmpl_id.ids, ["name"]
            )
        return result
