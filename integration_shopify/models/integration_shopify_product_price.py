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
    need not be that of the company the shop belongs to. Where Odoo's prices have tax and the shop's
    have none, or the other way round, they are converted by the sales taxes of each product.
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
            self._write_rules(backend, items, pricelist, shop)
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
        price = self._in_odoo(backend, item.record, base, shop, own)
        if float_compare(item.record.list_price, price, precision_digits=DIGITS):
            item.record.list_price = price
        for key, value in item.values.get("ptavs", {}).items():
            whole = self._in_odoo(backend, item.record, base + extras.get(key, 0), shop, own)
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
    def _in_odoo(self, backend, record, price, shop, currency):
        """Return a price of the shop as Odoo has it, such that sending it gives the price again.

        :param record: template or variant.
        :param Decimal price: in ``shop``, the currency of the shop, and with or without tax like
            all prices of the shop.
        :param currency: that of the result.
        """
        today = fields.Date.context_today(self)
        amount = self._taxed_as_in_odoo(backend, record, float(price), shop)
        amount = shop._convert(amount, currency, backend.company_id, today, round=False)
        return float_round(amount, precision_digits=DIGITS)

    @api.model
    def _taxed_as_in_odoo(self, backend, record, price, shop):
        """Return a price of the shop with those taxes that Odoo has in its prices, not rounded.

        The reverse of ``_taxed`` of products that are sent.
        """
        taxes = record.taxes_id._filter_taxes_by_company(backend.company_id)
        if backend.shopify_price_tax == "as_is" or not taxes:
            return price
        details = taxes._get_tax_details(
            price,
            1.0,
            precision_rounding=shop.rounding,
            # from rounded taxes the price of the shop would not come out again
            rounding_method="round_globally",
            product=record.product_variant_id,
            special_mode=f"total_{backend.shopify_price_tax}",
        )
        return details["total_excluded"] + sum(
            row["tax_amount"] for row in details["taxes_data"] if row["tax"].price_include
        )

    @api.model
    def _list_price(self, row, pricelist):
        """Return the price without offer where the price list has the offer, else the price."""
        if pricelist and row.compare_at and row.compare_at > row.price:
            return row.compare_at
        return row.price

    @api.model
    def _write_rules(self, backend, items, pricelist, shop):
        """Give each variant whose price differs from its sales price a fixed price in the list.

        Only plain rules of single products are changed: those with dates or quantities are
        somebody's own.
        """
        Rule = self.env["product.pricelist.item"]
        wanted = {}
        for item in items:
            known = item.values.get("list_prices", {})
            for row in item.values["rows"]:
                if row.gid not in item.values["foreign"]:
                    product = item.values["variants"][row.gid]
                    wanted[product] = (
                        None
                        if known.get(row.gid) == row.price
                        else self._in_odoo(backend, product, row.price, shop, shop)
                    )
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
                        "fixed_price": price,
                    }
                )
            elif float_compare(rule[0].fixed_price, price, precision_digits=DIGITS):
                rule[0].fixed_price = price
        stale.unlink()
        Rule.create(to_create)
