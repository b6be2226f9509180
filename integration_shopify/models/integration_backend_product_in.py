from odoo import api, fields, models
from odoo.exceptions import ValidationError


class IntegrationBackend(models.Model):
    _inherit = "integration.backend"

    shopify_product_owner = fields.Selection(
        [
            ("odoo", "In Odoo: imported once"),
            ("shopify", "In Shopify: each import writes them"),
        ],
        string="Products Are Kept",
        default="odoo",
        required=True,
        help="Where people change products. In Odoo: products that Odoo does not know are created "
        "from Shopify, known ones are only linked; pictures are taken over once, where Odoo has "
        "none. In Shopify: names, variants, prices, weights, codes, pictures and the status follow "
        "the shop. Costs and taxes are Odoo's once a product is there.",
    )
    shopify_product_company = fields.Boolean(
        string="Products of This Company Only",
        help="Created products belong to the company of this backend. Off: all companies share "
        "them, and shops of several companies can sell the same product.",
    )
    shopify_product_category_id = fields.Many2one(
        "product.category",
        string="Product Category",
        help="Of created products whose category or type in Shopify is not mapped (Value "
        "Mappings: Product Category); empty: Odoo's usual one.",
    )

    @api.constrains("shopify_product_owner")
    def _check_shopify_product_owner(self):
        """Refuse that imports write products which Odoo sends as well.

        :raises ValidationError: says what to do instead.
        """
        for backend in self:
            if (
                backend.shopify_product_owner == "shopify"
                and backend._shopify_product_in_flow()
                and backend._shopify_product_out_flow()
            ):
                raise ValidationError(
                    self.env._(
                        "The products of %s cannot be kept in Shopify and be sent from Odoo at "
                        "the same time: each side would undo what people change on the other. "
                        "Either keep them in Odoo (page Products: Products Are Kept), or leave "
                        "one of the flows Products (Into Odoo) and Products (Out of Odoo) off.",
                        backend.display_name,
                    )
                )

    def _shopify_product_in_flow(self):
        """Return the flow that brings products into Odoo, none when it is off."""
        return self.flow_ids.filtered(
            lambda flow: flow.resource == "product" and flow.direction == "in" and flow.enabled
        )

    def _shopify_download(self, url, max_bytes):
        """Return a file of the shop (bytes); no credentials are sent.

        :param str url: absolute, as Shopify gives it.
        :param int max_bytes: a longer one is refused.
        :raises IntegrationError: see ``lib/errors.py``.
        """
        with self._file_client(url, max_response_bytes=max_bytes) as client:
            return client.get(url, label="product picture").body
