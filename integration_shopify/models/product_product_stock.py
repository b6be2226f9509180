from odoo import models


class ProductProduct(models.Model):
    _inherit = "product.product"

    def _shopify_stock_buffers(self, backend):
        """Return ``{product id: units}`` that a shop shall not sell of each product.

        The largest of what the product, its categories and the backend say.
        """
        categories = self.env["product.category"].browse(
            {
                int(number)
                for path in set(self.categ_id.mapped("parent_path"))
                for number in (path or "").strip("/").split("/")
                if number
            }
        )
        own = {category.id: category.shopify_stock_buffer for category in categories}
        by_category = {
            category.id: max(
                (own[int(n)] for n in (category.parent_path or "").strip("/").split("/") if n),
                default=0,
            )
            for category in self.categ_id
        }
        return {
            product.id: max(
                0,
                backend.shopify_stock_buffer,
                product.shopify_stock_buffer,
                by_category.get(product.categ_id.id, 0),
            )
            for product in self
        }
