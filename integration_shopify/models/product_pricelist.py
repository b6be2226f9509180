from odoo import models


class ProductPricelist(models.Model):
    _inherit = "product.pricelist"

    def _shopify_backends(self):
        """Return the shops whose prices come from this price list, also by way of another one."""
        # sudo: a price list that is closed to the user may be built upon this one
        lists = self.sudo()._shopify_reach("base_pricelist_id", "pricelist_id")
        return lists.env["integration.backend"].search(
            [("connector", "=", "shopify"), ("shopify_pricelist_id", "in", lists.ids)]
        )

    def _shopify_with_bases(self):
        """Return these price lists and those they are built upon."""
        return self._shopify_reach("pricelist_id", "base_pricelist_id")

    def _shopify_reach(self, near, far):
        """Return these price lists and those that rules lead to, over any number of lists.

        :param str near: field of a rule that names the list at hand; ``far``: that of the next one.
        """
        lists = reached = self
        while reached:
            items = self.env["product.pricelist.item"].search(
                [("base", "=", "pricelist"), (near, "in", reached.ids)]
            )
            reached = items[far] - lists
            lists |= reached
        return lists

    def _shopify_dated(self, since, until):
        """Return the rules of these price lists that have begun or ended between two moments.

        A rule still holds in the second it ends.
        """
        return self.env["product.pricelist.item"].search(
            [
                ("pricelist_id", "in", self.ids),
                "|",
                *("&", ("date_start", ">", since), ("date_start", "<=", until)),
                *("&", ("date_end", ">=", since), ("date_end", "<", until)),
            ]
        )
