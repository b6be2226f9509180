from odoo import models


class ProductAttribute(models.Model):
    _inherit = "product.attribute"

    def write(self, vals):
        result = super().write(vals)
        if "name" in vals:
            self._shopify_note_renamed()
        return result

    def _shopify_note_renamed(self):
        """Have the products sent whose options are called otherwise now."""
        lines = self.env["product.template.attribute.line"].sudo().search(
            [("attribute_id", "in", self.ids)]
        )
        # sudo: whoever may rename it need not see every product that has it
        self.env["integration.outbox"]._note_changed(
            "product.template", lines.product_tmpl_id.ids, ["name"]
        )
