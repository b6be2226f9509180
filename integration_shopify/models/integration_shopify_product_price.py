from odoo import api, fields, models
from odoo.tools import float_compare, float_round

from ..lib import products

#: Decimals of prices that are converted: enough for the price of the shop to come out again.
DIGITS = 6


class IntegrationShopifyProductPrice(models.AbstractModel):
    """Writes the prices of Shopify's variants, each of which has a price of its own.

    Odoo has one price per template and an extra price per value. Where no such sum gives every
    price exactly, and for prices in another currency, they need the price list of the shop.

    Products that companies share have their sales price in the currency of the main company, which
    need not be that of the company the shop belongs to.
    """

    _name = "integration.shopify.product.price"
    _description = "Prices of Shopify Products"

    @api.model
    def _write(self, backend, items):
        """Write the prices of products that follow Shopify."""
        pricelist = self._pricelist(backend, items)
        shop = backend._resource("product")._shop_currency(backend)
        home = shop == backend.company_id.currency_id
        left = []
        for item in items:
            # without a price list what is sent is the sales price in the company's currency
            if item.record.currency_id == shop or (home and not pricelist):
                self._write_list_price(backend, item, pricelist, shop)
            else:
                left.append(item)
        if pricelist:
            self._write_rules(backend, items, pricelist)
        else:
            self._tell(
                left,
                self.env._(
                    "Its prices are in %(currency)s and were not written: choose a Price List in "
                    "this currency on the backend.",
                    currency=shop.name,
                ),
            )

    @api.model
    def _tell(self, items, note):
        for item in items:
            item.notes.append(note)

    @api.model
    def _pricelist(self, backend, items):
        pricelist = backend.shopify_pricelist_id
        currency = backend.shopify_currency
        if pricelist and currency and pricelist.currency_id.name != currency:
            self._tell(
                items,
                self.env._(
                    "Its prices were not written to the price list %(list)s, which is not in "
                    "%(currency)s. Choose another one on the backend.",
                    list=pricelist.display_name,
                    currency=currency,
                ),
            )
            return pricelist.browse()
        return pricelist

    @api.model
    def _write_list_price(self, backend, item, pricelist, shop):
        """Write sales price and extra prices; with a price list, what goods cost without offer.

        :param shop: currency of the shop.
        """
        prices, mixed = {}, False
        for row in item.values["rows"]:
            prices[row.values] = self._list_price(row, pricelist)
        parts = products.split_prices(prices)
        if parts is None:
            mixed, parts = True, (min(prices.values()), {})
        base, extras = parts
        own = item.record.currency_id
        price = self._in_odoo(backend, base, shop, own)
        if float_compare(item.record.list_price, price, precision_digits=DIGITS):
            item.record.list_price = price
        for key, value in item.values.get("ptavs", {}).items():
            whole = self._in_odoo(backend, base + extras.get(key, 0), shop, own)
            extra = float_round(whole - price, precision_digits=DIGITS)
            if float_compare(value.price_extra, extra, precision_digits=DIGITS):
                value.price_extra = extra
        item.values["list_prices"] = {
            row.gid: base + sum(extras.get(key, 0) for key in enumerate(row.values))
            for row in item.values["rows"]
        }
        if mixed and not pricelist:
            item.notes.append(
                self.env._(
                    "The prices of its variants cannot be written as a sales price with extra "
                    "prices per value, so all have the lowest, %(price)s. Choose a Price List on "
                    "the backend, then import the product again.",
                    price=base,
                )
            )

    @api.model
    def _in_odoo(self, backend, price, shop, currency):
        """Return a price of the shop in a currency, such that sending it gives the price again.

        :param Decimal price: in ``shop``, the currency of the shop.
        """
        today = fields.Date.context_today(self)
        amount = shop._convert(float(price), currency, backend.company_id, today, round=False)
        return float_round(amount, precision_digits=DIGITS)

    @api.model
    def _list_price(self, row, pricelist):
        """Return the price without offer where the price list has the offer, else the price."""
        if pricelist and row.compare_at and row.compare_at > row.price:
            return row.compare_at
        return row.price

    @api.model
    def _write_rules(self, backend, items, pricelist):
        """Give each variant whose price differs from its sales price a fixed price in the list.

        Only plain rules of single products are changed: those with dates or quantities are
        somebody's own.
        """
        Rule = self.env["product.pricelist.item"]
        digits = self.env["decimal.precision"].precision_get("Product Price")
        wanted = {}
        for item in items:
            known = item.values.get("list_prices", {})
            for row in item.values["rows"]:
                if row.gid not in item.values["foreign"]:
                    product = item.values["variants"][row.gid]
                    wanted[product] = None if known.get(row.gid) == row.price else row.price
        products_ = self.env["product.product"].union(*wanted)
        present = Rule.search_fetch(
            [
                ("pricelist_id", "=", pricelist.id),
                ("applied_on", "=", "0_product_variant"),
                ("product_id", "in", products_.ids),
                ("compute_price", "=", "fixed"),
                ("min_quantity", "=", 0),
                ("date_start", "=", False),
                ("date_end", "=", False),
            ],
            ["product_id", "fixed_price"],
        ).grouped("product_id")
        stale, to_create = Rule.browse(), []
        for product, price in wanted.items():
            rule = present.get(product, Rule.browse())
            if price is None:
                stale |= rule
            elif not rule:
                to_create.append(
                    {
                        "pricelist_id": pricelist.id,
                        "applied_on": "0_product_variant",
                        "product_id": product.id,
                        "product_tmpl_id": product.product_tmpl_id.id,
                        "compute_price": "fixed",
                        "fixed_price": float(price),
                    }
                )
            elif float_compare(rule[0].fixed_price, float(price), precision_digits=digits):
                rule[0].fixed_price = float(price)
        stale.unlink()
        Rule.create(to_create)
