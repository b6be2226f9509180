from odoo import api, models

from .integration_shopify_price import RULE_FIELDS


class ProductPricelistItem(models.Model):
    _inherit = "product.pricelist.item"

    @api.model_create_multi
    def create(self, vals_list):
        rules = super().create(vals_list)
        rules._shopify_send_prices()
        return rules

    def write(self, vals):
        if not vals.keys() & set(RULE_FIELDS):
            return super().write(vals)
        before = self._shopify_general()
        result = super().write(vals)
        (before | self)._shopify_send_prices()
        return result

    def unlink(self):
        backends = self._shopify_general()._shopify_backends()
        result = super().unlink()
        backends._shopify_send_prices()
        return result

    def _shopify_general(self):
        """Return the rules about more than one product; those of a product are watched by it."""
        return self.filtered(lambda rule: rule.applied_on in ("3_global", "2_product_category"))

    def _shopify_backends(self):
        """Return the shops whose prices these rules may decide."""
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
        self._shopify_general()._shopify_backends()._shopify_send_prices()
