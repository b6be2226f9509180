from odoo import api, fields, models
from odoo.exceptions import UserError

#: Who sees in which shops a product is.
SEES_SHOPS = (
    "product.group_product_manager,sales_team.group_sale_salesman,"
    "integration_base.group_integration_user,integration_shopify.group_shopify_work"
)
#: Fields of products whose change is worth another try of one that has not got to a shop yet.
_SENT = frozenset(
    {
        "name",
        "default_code",
        "barcode",
        "list_price",
        "attribute_line_ids",
        "active",
        "shopify_description",
        "description_sale",
        "hs_code",
        "product_tag_ids",
    }
)


class ProductTemplate(models.Model):
    _name = "product.template"
    _inherit = ["product.template", "integration.bound.mixin"]

    shopify_listing_ids = fields.One2many(
        "integration.shopify.listing",
        "product_tmpl_id",
        string="Shopify Shops",
        copy=False,
        groups=SEES_SHOPS,
    )
    shopify_vendor = fields.Char(
        string="Vendor in Shopify",
        help="The brand or maker, as buyers see it. Empty: the one in the settings of the shop.",
    )
    shopify_oversell = fields.Boolean(
        string="Sell When Out of Stock",
        help="Shopify goes on selling the product when none is left.",
    )
    shopify_description = fields.Html(
        string="Description in Shopify",
        translate=True,
        sanitize_style=True,
        help="Empty: the sales description.",
    )
    shopify_shop_count = fields.Integer(compute="_compute_shopify_shop_counts", groups=SEES_SHOPS)
    shopify_published_count = fields.Integer(
        compute="_compute_shopify_shop_counts", groups=SEES_SHOPS
    )

    @api.depends("shopify_listing_ids.publish")
    def _compute_shopify_shop_counts(self):
        for template in self:
            listings = template.shopify_listing_ids
            template.shopify_shop_count = len(listings)
            template.shopify_published_count = len(listings.filtered("publish"))

    def write(self, vals):
        result = super().write(vals)
        if _SENT & vals.keys():
            self._shopify_send_unsent()
        return result

    def _shopify_send_unsent(self):
        """Try again to send products that have not got to a shop yet: something was mended.

        Those that have are watched; see ``_resource_watches``.
        """
        # sudo: whoever may change a product may have it sent
        listings = (
            self.env["integration.shopify.listing"]
            .sudo()
            .search([("product_tmpl_id", "in", self.ids), ("external_id", "=", False)])
        )
        listings._export()

    # === ACTIONS === #

    def action_shopify_publish(self):
        """Put the products into the only shop there is, or back on sale where they are.

        :returns: a client action that says what happens now.
        :raises UserError: when a person has to say which shop.
        """
        self.check_access("write")
        Listing = self.env["integration.shopify.listing"]
        # sudo: who may change products may put them into the shops of the companies at work
        shops = (
            self.env["integration.backend"]
            .sudo()
            .search(
                [
                    ("connector", "=", "shopify"),
                    ("company_id", "in", self.env.companies.ids),
                ]
            )
        )
        new = self.filtered(lambda template: not template.shopify_listing_ids)
        if new and len(shops) != 1:
            raise UserError(
                self.env._(
                    "Say in which shop: add it to the list on the page Shopify of %s.",
                    new[0].display_name,
                )
            )
        hidden = self.shopify_listing_ids.filtered(lambda row: not row.publish)
        hidden.publish = True
        listings = hidden | Listing.create(
            [{"product_tmpl_id": template.id, "backend_id": shops.id} for template in new]
        )
        return self._shopify_say_published(listings)

    def _shopify_say_published(self, listings):
        """Return a notification about lines that were put on sale just now."""
        # sudo: who may publish products may know whether the shop gets them
        shops = listings.backend_id.sudo()
        off = shops.filtered(lambda shop: not shop._shopify_product_out_flow())
        values = {
            "count": len(listings.product_tmpl_id),
            "shops": ", ".join((off or shops).mapped("name")),
        }
        if not listings:
            kind = "info"
            message = self.env._("All of them are published. Changes are sent by themselves.")
        elif off:
            kind = "warning"
            message = self.env._(
                "Products chosen for %(shops)s: %(count)s. They are sent as soon as the flow "
                "Products (Out of Odoo) of the backend is switched on.",
                **values,
            )
        else:
            kind = "success"
            message = self.env._("Products on their way to %(shops)s: %(count)s.", **values)
        return {
            "type": "ir.actions.client",
            "tag": "display_notification",
            "params": {
                "title": self.env._("Publish in Shopify"),
                "message": message,
                "type": kind,
                "next": {"type": "ir.actions.client", "tag": "soft_reload"},
            },
        }

    def action_shopify_unpublish(self):
        """Take the products off sale in every shop; they become drafts there."""
        self.check_access("write")
        self.shopify_listing_ids.filtered("publish").publish = False
