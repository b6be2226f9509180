from odoo import api, fields, models


class IntegrationSyncLog(models.Model):
    _inherit = "integration.sync.log"

    shopify_stock_differs = fields.Boolean(compute="_compute_shopify_stock_differs")

    @api.depends("resource", "state", "error_class")
    def _compute_shopify_stock_differs(self):
        for operation in self:
            operation.shopify_stock_differs = (
                operation.resource == "stock"
                and operation.state == "dead"
                and operation.error_class == "conflict"
            )

    def action_shopify_odoo_is_right(self):
        """Send Odoo's stock of this product where Shopify differs and no order explains it."""
        return self._shopify_decide_stock("odoo")

    def action_shopify_shopify_is_right(self):
        """Leave Shopify's stock where no order explains it, until Odoo's changes again."""
        return self._shopify_decide_stock("shopify")

    def _shopify_decide_stock(self, decision):
        self._check_review_access()
        # in a transaction of its own: the retry has another one, which has to see it
        with self.env.registry.cursor() as cr:
            # sudo: operators decide, the rows themselves are the engine's
            Level = self.env["integration.shopify.level"].with_env(self.env(cr=cr)).sudo()
            Level.search(
                [
                    ("backend_id", "in", self.backend_id.ids),
                    ("product_id", "in", self.mapped("res_id")),
                    ("confirmed_at", "!=", False),
                ]
            ).write({"decision": decision, "decision_in_conflict": True})
        return self.action_retry()
