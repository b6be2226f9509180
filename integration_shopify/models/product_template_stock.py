from odoo import api, fields, models

#: Who sees what of a product can be sold in shops.
SEES_LEVELS = "stock.group_stock_user,integration_base.group_integration_user"


class ProductTemplate(models.Model):
    _inherit = "product.template"

    shopify_stock_buffer = fields.Integer(
        string="Keep Back from Shops",
        help="Units that are not offered in Shopify. Of this, its category's and the shop's number "
        "the largest counts.",
    )
    shopify_level_count = fields.Integer(
        compute="_compute_shopify_levels", groups=SEES_LEVELS, help="In how many places of shops."
    )
    shopify_sellable = fields.Integer(
        string="In Shopify",
        compute="_compute_shopify_levels",
        groups=SEES_LEVELS,
        help="What could be sold of all variants in the shops of these companies when both sides "
        "last agreed.",
    )

    @api.depends("product_variant_ids")
    @api.depends_context("uid", "allowed_company_ids")
    def _compute_shopify_levels(self):
        rows = self.env["integration.shopify.level"]._read_group(
            [
                ("product_id.product_tmpl_id", "in", self.ids),
                ("confirmed_at", "!=", False),
            ],
            ["product_id"],
            ["__count", "confirmed_quantity:sum"],
        )
        count, units = {}, {}
        for product, places, quantity in rows:
            template = product.product_tmpl_id.id
            count[template] = count.get(template, 0) + places
            units[template] = units.get(template, 0) + quantity
        for template in self:
            template.shopify_level_count = count.get(template.id, 0)
            template.shopify_sellable = units.get(template.id, 0)

    def action_shopify_levels(self):
        """Open what of these products can be sold in shops, place by place."""
        self.check_access("read")
        self.env["integration.shopify.level"].check_access("read")
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "integration_shopify.integration_shopify_level_action"
        )
        return {
            **action,
            "domain": [("product_id.product_tmpl_id", "in", self.ids)],
            "context": {},
        }
