from odoo import api, models

from .integration_shopify_price import RULE_FIELDS

#: Fields that say which products a rule is about, and in which list.
SCOPE_FIELDS = {"product_tmpl_id", "product_id", "categ_id", "pricelist_id", "applied_on"}


class ProductPricelistItem(models.Model):
    _inherit = "product.pricelist.item"

    @api.model_create_multi
    def create(self, vals_list):
        items = super().create(vals_list)
        items._shopify_send()
        items._shopify_send_prices()
        return items

    def write(self, vals):
        before = self._shopify_general()
        if SCOPE_FIELDS & vals.keys():
            # what it was about before costs something else as well
            self._shopify_send()
        result = super().write(vals)
        self._shopify_send()
        if vals.keys() & set(RULE_FIELDS):
            (before | self)._shopify_send_prices()
        return result

    def unlink(self):
        self._shopify_send()
        backends = self._shopify_general()._shopify_market_backends()
        result = super().unlink()
        backends._shopify_send_prices()
        return result

    # === PRICES OF PRODUCTS === #

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

    # === PRICES OF MARKETS === #

    def _shopify_general(self):
        """Return the rules about more than one product; those of a product are watched by it."""
        return self.filtered(lambda rule: rule.applied_on in ("3_global", "2_product_category"))

    def _shopify_market_backends(self):
        """Return the shops with a market price that these rules may decide."""
        # sudo: whoever may change prices need not look after the shops
        Backend = self.env["integration.backend"].sudo()
        if not self or "integration.shopify.price" not in self.env:
            return Backend
        return Backend.search([("connector", "=", "shopify"), ("state", "!=", "draft")]).filtered(
            lambda backend: (
                backend.shopify_prices_on and backend._shopify_pricelists() & self.pricelist_id
            )
        )

    def _shopify_send_prices(self):
        self._shopify_general()._shopify_market_backends()._shopify_send_prices()
