from odoo import api, models


class ProductPricelistItem(models.Model):
    _inherit = "product.pricelist.item"

    @api.model_create_multi
    def create(self, vals_list):
        items = super().create(vals_list)
        items._shopify_send()
        return items

    def write(self, vals):
        if {
            "product_tmpl_id",
            "product_id",
            "categ_id",
            "pricelist_id",
            "applied_on",
        } & vals.keys():
            # what it was about before costs something else as well
            self._shopify_send()
        result = super().write(vals)
        self._shopify_send()
        return result

    def unlink(self):
        self._shopify_send()
        return super().unlink()

    def _shopify_send(self):
        """Have the products sent whose price these rules decide, to the shops that use them."""
        # sudo: whoever may change a price may have it sent
        for pricelist, items in self.sudo().grouped("pricelist_id").items():
            backends = pricelist._shopify_backends()
            if backends:
                domain = items._shopify_product_domain()
                for backend in backends:
                    backend._shopify_send_products(backend._shopify_products(domain))

    def _shopify_product_domain(self):
        """Return the domain of the products (templates) these rules are about, empty for all."""
        if any(item.applied_on == "3_global" for item in self):
            return []
        templates = self.product_tmpl_id | self.product_id.product_tmpl_id
        categories = self.filtered(lambda item: item.applied_on == "2_product_category").categ_id
        if not categories:
            return [("id", "in", templates.ids)]
        return ["|", ("id", "in", templates.ids), ("categ_id", "child_of", categories.ids)]
