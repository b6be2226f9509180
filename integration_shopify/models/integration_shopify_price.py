from odoo import api, fields, models

from odoo.addons.integration_base.lib.digest import digest
from odoo.addons.integration_base.lib.errors import (
    ConfigurationError,
    ConflictError,
    RequestRefused,
)
from odoo.addons.integration_base.lib.records import Difference, ListPage, Snapshot, Watch

from ..lib import markets
from ..lib.client import UserErrors
from ..lib.resources import PRICE, VARIANT

#: What a rule of a price list consists of.
RULE_FIELDS = (
    "applied_on",
    "base",
    "base_pricelist_id",
    "compute_price",
    "date_end",
    "date_start",
    "fixed_price",
    "min_quantity",
    "percent_price",
    "price_discount",
    "price_markup",
    "price_max_margin",
    "price_min_margin",
    "price_round",
    "price_surcharge",
    "pricelist_id",
    "product_id",
    "product_tmpl_id",
)


class IntegrationShopifyPrice(models.AbstractModel):
    """Prices of Odoo's price lists become fixed prices of the shop's price lists (markets, B2B).

    A price list of the shop that is mapped to one of Odoo's gets a fixed price for each variant
    that a rule of Odoo's price list is about, and loses those that we have fixed where no rule is
    any more. Prices that somebody fixed in Shopify and Odoo has no rule for stay.

    Fixing a price again does nothing, so a lost answer is repeated. A comparison reads what is
    fixed of the variants Odoo has fixed prices of, and what was changed or removed is sent again.
    """

    _name = "integration.shopify.price"
    _inherit = ["integration.shopify.access", "integration.resource"]
    _description = "Shopify Market Prices"

    _resource_name = "Market Prices"
    _resource_model = "product.product"
    _resource_direction = "out"
    _resource_starts_off = frozenset({"out"})
    _resource_unrepeatable = False
    _resource_groups = (
        "integration_shopify.group_shopify_work",
        "sales_team.group_sale_salesman_all_leads",
    )
    _resource_batch_size = markets.BATCH
    _resource_watches = (
        Watch("product.product", ("list_price", "categ_id", "uom_id")),
        Watch(
            "product.template.attribute.value",
            ("price_extra",),
            "product_tmpl_id.product_variant_ids",
        ),
        Watch("product.pricelist.item", RULE_FIELDS, "product_id"),
        Watch("product.pricelist.item", RULE_FIELDS, "product_tmpl_id.product_variant_ids"),
    )

    _shopify_documents = (
        "price_list_prices",
        "price_list_prices_add",
        "price_list_prices_delete",
    )

    def _shopify_scope_reasons(self, backend):
        return {"write_products": self.env._("fix prices in the price lists of the shop")}

    # === HOOKS - EXPORTING === #

    def _export(self, backend, items):
        products = self.env["product.product"].union(*(item.record for item in items))
        products = products.with_company(backend.company_id)
        links = self.env["integration.binding"]._search_records(backend, VARIANT, products)
        variants = {link.res_id: link.external_id for link in links if not link.deleted_at}
        shown = products.filtered(lambda product: product.id in variants)
        base = self._shop_prices(backend, shown)
        prices = {product.id: {} for product in shown}
        wrong = []
        for row in self._price_lists(backend):
            pricelist = row.resource_ref.with_company(backend.company_id)
            details = row.external_details or {}
            currency = pricelist.currency_id
            if details.get("currency", currency.name) != currency.name:
                wrong.append(row)
                continue
            for product, price in self._fixed(backend, pricelist, shown, base, details).items():
                prices[product][row.external_value] = price
        for item in items:
            if item.record.id not in variants:
                item.skip(
                    self.env._(
                        "%(product)s is not in %(backend)s.",
                        product=item.label,
                        backend=backend.display_name,
                    )
                )
            elif wrong:
                item.fail(self._wrong_currency(wrong[0]))
            else:
                item.values = {
                    "variant": variants[item.record.id],
                    "prices": prices[item.record.id],
                }

    @api.model
    def _price_lists(self, backend):
        """Return the value mappings of the shop's price lists that have one in Odoo."""
        return (
            self.env["integration.mapping"]
            .search(
                [
                    ("backend_id", "=", backend.id),
                    ("kind", "=", "price_list"),
                    ("resource_ref", "!=", False),
                    ("gone_at", "=", False),
                ]
            )
            .filtered(lambda row: row.resource_ref.exists())
        )

    @api.model
    def _shop_prices(self, backend, products):
        """Return ``{product id: what the shop itself asks}``, in the currency of the shop."""
        currency, resource = self._shop_currency(backend), backend._resource("product")
        pricelist = backend.shopify_pricelist_id.with_company(backend.company_id)
        if pricelist.currency_id == currency:
            prices = pricelist._get_products_price(products, 1.0)
        else:
            prices = resource._sales_prices(backend, products, currency)
        return {
            product.id: resource._taxed(backend, product, prices[product.id], currency)
            for product in products
        }

    @api.model
    def _shop_currency(self, backend):
        Currency = self.env["res.currency"].with_context(active_test=False)
        found = Currency.search([("name", "=", backend.shopify_currency)], limit=1)
        return found or backend.company_id.currency_id

    @api.model
    def _fixed(self, backend, pricelist, products, base, details):
        """Return ``{product id: price to fix, None for none}``, prices in their JSON form.

        :param dict base: of :meth:`_shop_prices`.
        :param dict details: what was read of the shop's price list.
        """
        now = fields.Datetime.now()
        currency = pricelist.currency_id
        same = currency == self._shop_currency(backend)
        found = {}
        rules = pricelist._compute_price_rule(products, 1.0, date=now)
        taxed = backend._resource("product")._taxed
        Rule = self.env["product.pricelist.item"]
        for product in products:
            price, rule_id = rules[product.id]
            rule = Rule.browse(rule_id)
            before = price
            if rule.compute_price == "percentage" and backend.shopify_market_compare_at:
                before = rule._compute_price_before_discount(
                    product, 1.0, product.uom_id, now, currency
                )
            fixed = markets.fixed(
                taxed(backend, product, price, currency),
                taxed(backend, product, before, currency),
                currency.round(base[product.id]),
                ruled=bool(rule),
                currency=currency.name,
                same_currency=same,
                percent=details.get("percent", "0"),
            )
            found[product.id] = fixed and [fixed.amount, fixed.compare_at, fixed.currency]
        return found

    @api.model
    def _wrong_currency(self, row):
        return ConfigurationError(
            self.env._(
                "The price list %(external)s of the shop is in %(currency)s now, but "
                "%(pricelist)s in Odoo is in %(other)s. Choose another one under Value Mappings, "
                "Price List.",
                external=row.display_name,
                currency=(row.external_details or {}).get("currency"),
                pricelist=row.resource_ref.display_name,
                other=row.resource_ref.currency_id.name,
            )
        )

    # === SENDING === #

    def _push(self, backend, items):
        client = backend._shopify_client()
        rows = self._price_lists(backend).grouped("external_value")
        todo = self._todo(backend, items, rows)
        for item in items:
            item.payload = {}
        waiting = {item.operation_id: 0 for item in items}
        for changes in todo.values():
            for item, _price in changes:
                waiting[item.operation_id] += 1
        for item in items:
            if not waiting[item.operation_id]:
                item.mark_sent(item.values["variant"])
        for gid, changes in todo.items():
            fixed = [change for change in changes if change[1]]
            loose = [change for change in changes if not change[1]]
            for send, part in ((self._add, fixed), (self._delete, loose)):
                for batch in markets.batches([row for row in part if row[0].alive]):
                    for item, price in send(client, rows[gid], batch):
                        item.payload[gid] = price
                        waiting[item.operation_id] -= 1
                        if not waiting[item.operation_id]:
                            item.mark_sent(item.values["variant"])

    @api.model
    def _todo(self, backend, items, rows):
        """Return ``{id of the price list: [(item, price or None)]}`` of what the shop lacks."""
        known = self.env["integration.shopify.fixed.price"]._known(
            backend, self.env["product.product"].union(*(item.record for item in items))
        )
        todo = {}
        for item in items:
            variant = item.values["variant"]
            for gid, price in item.values["prices"].items():
                sent = known.get((item.record.id, gid, variant))
                # one that nobody knows of was not fixed by us
                if gid in rows and (price != sent or (item.forced and price)):
                    todo.setdefault(gid, []).append((item, price))
        return todo

    @api.model
    def _add(self, client, row, batch):
        """Fix prices; returns those of ``batch`` that are fixed. Others fail by themselves."""
        return self._send(
            client,
            "price_list_prices_add",
            "prices",
            row,
            batch,
            lambda item, price: markets.Price(*price).as_input(item.values["variant"]),
        )

    @api.model
    def _delete(self, client, row, batch):
        """Let go of prices; returns those of ``batch`` that are fixed no longer."""
        return self._send(
            client,
            "price_list_prices_delete",
            "variants",
            row,
            batch,
            lambda item, _price: item.values["variant"],
            fine=("PRICE_NOT_FIXED", "VARIANT_NOT_FOUND"),
        )

    @api.model
    def _send(self, client, document, argument, row, batch, write, fine=()):
        """Send a batch; what is refused is taken out, and the rest sent again.

        :param argument: name of the variable with the list; the shop's errors name its argument.
        :param write: called with item and price; returns an element of the list.
        :param fine: codes of what is as it shall be.
        :returns: the pairs of ``batch`` that are as they shall be.
        """
        done, rest = [], list(batch)
        while rest:
            try:
                client.mutate(
                    document,
                    {"id": row.external_value, argument: [write(*change) for change in rest]},
                    action=self.env._(
                        "change %(count)s prices of %(list)s",
                        count=len(rest),
                        list=row.display_name,
                    ),
                )
            except UserErrors as error:
                self._refuse_list(error, row, rest)
                if not any(item.alive for item, _price in rest):
                    return done
                name = {"variants": "variantIds"}.get(argument, argument)
                paths = [problem.path for problem in error.problems]
                refused = markets.refused_rows(paths, name, len(rest))
                if refused is None:
                    return done + self._send_halves(
                        client, document, argument, row, rest, write, fine, error
                    )
                for number, position in refused.items():
                    problem = error.problems[position]
                    if problem.code in fine:
                        done.append(rest[number])
                    else:
                        rest[number][0].fail(self._refusal(row, rest[number][0], problem.message))
                rest = [change for number, change in enumerate(rest) if number not in refused]
            else:
                return done + rest
        return done

    @api.model
    def _send_halves(self, client, document, argument, row, rest, write, fine, error):
        """Send what was refused without saying which, in smaller and smaller parts."""
        if len(rest) == 1:
            if error.only(*fine):
                return rest
            rest[0][0].fail(self._refusal(row, rest[0][0], error.message))
            return []
        middle = len(rest) // 2
        return [
            change
            for part in (rest[:middle], rest[middle:])
            for change in self._send(client, document, argument, row, part, write, fine)
        ]

    @api.model
    def _refuse_list(self, error, row, rest):
        """Fail all items where it is the price list that is wrong."""
        if "PRICE_LIST_NOT_FOUND" in error.codes:
            problem = ConflictError(
                self.env._(
                    "The price list %(list)s is no longer in the shop. Press Read Shop Settings "
                    "on the backend, then Retry.",
                    list=row.display_name,
                )
            )
        elif "PRICE_LIST_CURRENCY_MISMATCH" in error.codes:
            problem = ConflictError(
                self.env._(
                    "The price list %(list)s of the shop is in another currency now. Press Read "
                    "Shop Settings on the backend, choose a price list of that currency, then "
                    "Retry.",
                    list=row.display_name,
                )
            )
        else:
            return
        for item, _price in rest:
            item.fail(problem)

    @api.model
    def _refusal(self, row, item, reason):
        return RequestRefused(
            self.env._(
                "Shopify refused the price of %(product)s in the price list %(list)s: %(reason)s "
                "Correct it in Odoo, or set this operation aside.",
                product=item.label,
                list=row.display_name,
                reason=reason,
            ),
            status=200,
        )

    def _note_sent(self, backend, items):
        self.env["integration.shopify.fixed.price"]._note(backend, items)

    # === READING SHOPIFY === #

    @api.model
    def _read(self, client, wanted):
        """Return ``{variant: {price list: price}}`` of what is fixed in the shop, by whomever.

        :param dict wanted: ``{id of the price list: [ids of variants]}``.
        """
        found = {}
        for gid, variants in wanted.items():
            for part in markets.batches(variants, markets.READ):
                for node in self._read_nodes(client, gid, part):
                    prices = found.setdefault(node["variant"]["id"], {})
                    prices[gid] = markets.read_price(node)
        return found

    @api.model
    def _read_nodes(self, client, gid, variants):
        variables = {"id": gid, "first": markets.READ, "query": markets.search(variants)}
        after = None
        while True:
            answer = client.execute("price_list_prices", {**variables, "after": after})
            price_list = answer.data["priceList"]
            if not price_list:
                # gone from the shop, with all of its prices
                return
            yield from price_list["prices"]["nodes"]
            page = price_list["prices"]["pageInfo"]
            # a cursor that stays would be read for ever
            if not page["hasNextPage"] or page["endCursor"] == after:
                return
            after = page["endCursor"]

    # === HOOKS - COMPARING === #

    def _fetch(self, backend, external_ids):
        """Read what is fixed of variants in the price lists that Odoo decides on, by whomever."""
        lists = self._price_lists(backend).mapped("external_value")
        found = self._read(backend._shopify_client(), dict.fromkeys(lists, external_ids))
        return {
            variant: {"prices": {gid: found.get(variant, {}).get(gid) for gid in lists}}
            for variant in external_ids
        }

    def _list(self, backend, page):
        """List the linked variants, by the prices Odoo has fixed as the shop has them now.

        What Odoo has not fixed is not asked for: it stays as it is, and a price that Odoo wants
        and has not sent is found by what was sent last.
        """
        links = self.env["integration.binding"].search(
            [*self._linked(backend), ("id", ">", page or 0)], order="id", limit=markets.LISTED
        )
        known = self.env["integration.shopify.fixed.price"]._known(
            backend, self.env["product.product"].browse(links.mapped("res_id"))
        )
        wanted = {
            gid: [
                link.external_id for link in links if (link.res_id, gid, link.external_id) in known
            ]
            for gid in self._price_lists(backend).mapped("external_value")
        }
        found = self._read(backend._shopify_client(), wanted)
        snapshots = [
            Snapshot(link.external_id, digest=digest(found.get(link.external_id, {})))
            for link in links
        ]
        return ListPage(snapshots, links[-1].id if len(links) == markets.LISTED else None)

    def _count(self, backend):
        """Only what is linked is compared, so that is how many there have to be."""
        return self.env["integration.binding"].search_count(self._linked(backend))

    @api.model
    def _linked(self, backend):
        return [
            ("backend_id", "=", backend.id),
            ("resource", "=", PRICE),
            ("deleted_at", "=", False),
        ]

    def _compare(self, backend, items):
        """Compare the prices Odoo fixes, and those it has fixed and no longer wants."""
        known = self.env["integration.shopify.fixed.price"]._known(
            backend, self.env["product.product"].union(*(item.record for item in items))
        )
        names = {row.external_value: row.display_name for row in self._price_lists(backend)}
        for item in items:
            variant, present = item.values["variant"], item.payload["prices"]
            if variant != item.external_id:
                # another variant by now: what was read is not about it
                continue
            item.differences = [
                Difference(names[gid], self._shown(wanted), self._shown(present[gid]))
                for gid, wanted in item.values["prices"].items()
                if gid in present
                and wanted != present[gid]
                and (wanted or (item.record.id, gid, variant) in known)
            ]

    @api.model
    def _shown(self, price):
        """Return a price as text for people, empty for none."""
        if not price:
            return ""
        amount, compare_at, currency = price
        if not compare_at:
            return f"{amount} {currency}"
        return self.env._(
            "%(price)s %(currency)s (before: %(before)s)",
            price=amount,
            currency=currency,
            before=compare_at,
        )
