from odoo import api, fields, models


class IntegrationShopifyMarket(models.Model):
    """A market of a shop as it was last read, with the price lists that hold in it."""

    _name = "integration.shopify.market"
    _inherit = ["integration.company.mixin"]
    _description = "Shopify Market"
    _order = "backend_id, open desc, name, id"

    backend_id = fields.Many2one(
        "integration.backend", required=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="backend_id.company_id", store=True, index=True)
    name = fields.Char(string="Market", required=True, readonly=True)
    external_id = fields.Char(required=True, readonly=True)
    open = fields.Boolean(readonly=True, help="Whether the shop sells there.")
    currency = fields.Char(readonly=True, help="Empty: that of the buyer, or of the shop.")
    price_list_ids = fields.Many2many(
        "integration.mapping",
        "integration_shopify_market_price_list_rel",
        "market_id",
        "mapping_id",
        string="Price Lists",
        readonly=True,
        help="Of the shop. Without one, Shopify converts the shop's own prices.",
    )

    _external_unique = models.Constraint(
        "UNIQUE(backend_id, external_id)", "A shop has each market once."
    )

    @api.model
    def _take_over(self, backend, markets, price_lists):
        """Bring the markets in line with those that the shop has.

        :param markets: list of :class:`~..lib.settings.Market`, all there are.
        :param price_lists: value mappings of the shop's price lists.
        """
        by_value = price_lists.grouped("external_value")
        known = self.search([("backend_id", "=", backend.id)]).grouped("external_id")
        fresh = []
        for market in markets:
            lists = price_lists.browse().union(
                *(by_value[gid] for gid in market.price_lists if gid in by_value)
            )
            vals = {
                "name": market.name,
                "open": market.status == "ACTIVE",
                "currency": market.currency or False,
            }
            row = known.pop(market.id, None)
            if row is None:
                fresh.append(
                    {
                        "backend_id": backend.id,
                        "external_id": market.id,
                        **vals,
                        "price_list_ids": lists.ids,
                    }
                )
                continue
            changed = {name: value for name, value in vals.items() if row[name] != value}
            if row.price_list_ids != lists:
                changed["price_list_ids"] = [fields.Command.set(lists.ids)]
            if changed:
                row.write(changed)
        self.create(fresh)
        # nothing hangs on a market that was deleted
        self.union(*known.values()).unlink()
