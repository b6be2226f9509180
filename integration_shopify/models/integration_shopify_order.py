from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from odoo import api, fields, models
from odoo.fields import Command, Domain
from odoo.tools import html2plaintext

from odoo.addons.integration_base.lib.errors import (
    AmbiguousMatchError,
    ConfigurationError,
    ConflictError,
    InvalidPayloadError,
    MappingError,
    MissingValue,
    NotReadyError,
    RateLimitedError,
    RetryableError,
)
from odoo.addons.integration_base.lib.records import Change, ChangePage

from ..lib import amounts, automation, contract, history, ledger, pages
from ..lib.client import access_denied, denied_leaves, missing_scopes
from ..lib.resources import VARIANT

#: Orders per call, where that is not too expensive.
ORDERS_PER_CALL = 10
CHANGES_PER_PAGE = 250
#: An order read sooner after a change may lack another one of the same second, which has the same
#: time stamp: it is not gone on with later.
STEADY_AFTER = timedelta(seconds=10)
#: What Shopify may withhold for privacy; everything else has to be there.
PROTECTED_FIELDS = frozenset({"customer", "billingAddress", "shippingAddress", "email", "phone"})
#: What needs access of its own and is done without where it is not given.
OPTIONAL_FIELDS = frozenset({"risk", "paymentTerms", "purchasingEntity", "app"})
#: What follows an order in Odoo, in this order: goods, then documents and money.
GOODS_FOLLOW = ("integration.shopify.fulfillment", "integration.shopify.refund")
BOOKS_FOLLOW = ("integration.shopify.agreement", "integration.shopify.transaction")
#: What a decision writes to an order once: fields without their ``_id``.
CHOSEN = ("team", "warehouse", "payment_term", "user")
ADDRESSES = ("partner_invoice_id", "partner_shipping_id")
#: What was read of orders so far, for when Shopify asks to slow down in the middle.
_progress = pages.Progress(most=100)


class IntegrationShopifyOrder(models.AbstractModel):
    """Orders of a Shopify shop become confirmed sales orders, right to the cent."""

    _name = "integration.shopify.order"
    _inherit = ["integration.shopify.access", "integration.resource"]
    _description = "Shopify Orders"

    _shopify_documents = (
        "orders",
        "order_versions",
        "order_changes",
        "order_lines",
        "order_shipping_lines",
        "order_agreements",
        "order_transactions",
        "order_refunds",
        "refund_lines",
        "refund_shipping_lines",
        "refund_adjustments",
        "order_fulfillments",
        "fulfillment_lines",
        "fulfillment_order_lines",
        "fulfillment_order_owners",
        "order_count",
        "order_period",
    )
    _shopify_extra_documents = (
        "order_cancel",
        "order_cancel_state",
        "order_capture",
        "order_mark_as_paid",
        "order_refund_notes",
        "order_refundable",
        "order_suggested_refund",
        "refund_create",
        "transaction_void",
    )
    _shopify_optional_scopes = frozenset({"read_payment_terms"})

    _resource_name = "Orders"
    _resource_model = "sale.order"
    _resource_contract = contract.Order
    _resource_digest_exclude = frozenset({"updatedAt"})
    _resource_groups = (
        "integration_shopify.group_shopify_work",
        "sales_team.group_sale_salesman_all_leads",
        "base.group_partner_manager",
        "stock.group_stock_user",
        "account.group_account_invoice",
    )
    _resource_batch_size = 50
    _resource_interval_minutes = 5

    # === HOOKS - ACCESS === #

    def _shopify_scope_reasons(self, backend):
        return {
            "read_orders": self.env._("read the orders and their lines"),
            "read_customers": self.env._("read who ordered"),
            "read_products": self.env._("find the product of a line"),
            "read_locations": self.env._("tell orders of a point of sale apart"),
            "read_returns": self.env._("see what comes back"),
            "read_merchant_managed_fulfillment_orders": self.env._("see what is shipped and held"),
            "read_payment_terms": self.env._("read when companies pay"),
            "write_orders": self.env._("refund, cancel and take payments from Odoo"),
            "read_all_orders": self.env._(
                "read orders older than 60 days; Shopify grants it on application"
            ),
        }

    # === HOOKS - READING === #

    def _fetch(self, backend, external_ids):
        """Read orders as they are now, a few per call."""
        client = backend._shopify_client()
        payloads = pages.read_in_parts(
            external_ids,
            ORDERS_PER_CALL,
            lambda ids, found: self._fetch_some(backend, client, ids, found),
        )
        failures = [found for found in payloads.values() if isinstance(found, RetryableError)]
        if failures and len(failures) == len(payloads):
            raise failures[0]
        return payloads

    def _fetch_some(self, backend, client, ids, payloads):
        money = backend.shopify_currency_policy or "presentment"
        key = (self.env.cr.dbname, backend.id, money)
        begun = self._take_begun(client, ids, key)
        self._read_some(backend, client, begun, payloads, money, begun.keys())
        asked_at = fields.Datetime.now()
        new = [gid for gid in ids if gid not in begun]
        if not new:
            return
        answer = client.execute("orders", {"ids": new, **history.FIRST}, money=money)
        # a deleted order is null, an id of something else an empty object
        orders = [row for row in self._complete(answer).get("nodes") or [] if row and row.get("id")]
        found = {order["id"]: (order, set()) for order in orders}
        steady = {order["id"] for order in orders if self._is_steady(order, asked_at)}
        self._read_some(backend, client, found, payloads, money, steady)

    def _read_some(self, backend, client, found, payloads, money, steady):
        """Read orders to their end, into ``payloads``.

        :param found: ``{gid: (order, names of what was read to its end)}``.
        :param steady: ids of those that may be gone on with later.
        :raises RateLimitedError: when one of them was refused.
        """
        limited = failed = None
        for gid, (order, done) in found.items():
            progress = _progress if gid in steady else None
            try:
                self._read_whole(backend, client, order, done, money, progress)
                payloads[gid] = order
                failed = None
            except (NotReadyError, RateLimitedError) as error:
                payloads[gid] = error
                if isinstance(error, RateLimitedError):
                    key = (self.env.cr.dbname, backend.id, money, gid)
                    if progress:
                        progress.keep(key, order["updatedAt"], (order, done))
                    limited = limited or error
            except RetryableError as error:
                payloads[gid] = error
                if failed:
                    # twice in a row: nobody is to wait for each of the others, too
                    raise
                failed = error
        if limited:
            raise limited

    @api.model
    def _is_steady(self, order, read_at):
        """Whether an order tells of all changes up to its time stamp."""
        try:
            return read_at - contract.read_utc(order.get("updatedAt")) > STEADY_AFTER
        except ValueError:
            # what is wrong with it is told when it is validated
            return False

    @api.model
    def _take_begun(self, client, ids, key):
        """Return orders whose reading was begun and that are still the same, with what was read.

        They are gone on with. Read from the start they would take the points that their rest needs
        over and over again.

        :returns: ``{gid: (order, names of what was read to its end)}``.
        """
        begun = [gid for gid in ids if _progress.version((*key, gid))]
        if not begun:
            return {}
        rows = self._complete(client.execute("order_versions", {"ids": begun})).get("nodes") or []
        kept = {}
        for row in rows:
            work = row and row.get("id") and _progress.take((*key, row["id"]), row["updatedAt"])
            if work:
                # what changes without a new version of the order
                work[0].update(row)
                kept[row["id"]] = work
        return kept

    @api.model
    def _complete(self, answer):
        """Return the data of an answer in which nothing but what we can do without is missing."""
        needed = [
            error
            for error in answer.errors
            if not OPTIONAL_FIELDS.intersection(error.get("path") or ())
        ]
        withheld = denied_leaves(replace(answer, errors=needed))
        if missing_scopes(needed) or any(
            not PROTECTED_FIELDS.intersection(path) for path in withheld
        ):
            raise access_denied(needed)
        return answer.data

    def _read_whole(self, backend, client, order, done, money, progress):
        """Read on what is longer than a page, and what happened to the order since it was placed.

        :param set done: what of it was read to its end already; grows.
        :param progress: keeps what was read of a long part; None when it may not be kept.
        :raises NotReadyError: when the order was changed while it was read.
        """
        key = (self.env.cr.dbname, backend.id, order["id"], money)

        def read(document, variables):
            return self._complete(client.execute(document, variables, money=money))

        def read_part(name, plan, first=None, progress=progress):
            if name in done:
                return
            if first and name not in order:
                self._read_part(read, order, f"order_{name}", first)
            pages.read_on(read, order, plan, progress=progress, key=(*key, name))
            done.add(name)

        read_part("order", history.PLAN)
        rows = (order.get("agreements") or {}).get("nodes") or ()
        works = order.get("fulfillmentStates") or {}
        if (
            order.get("cancelledAt")
            or {row.get("reason") for row in rows} & {"REFUND", "RETURN"}
            or order.get("returnStatus") not in (None, "NO_RETURN")
        ):
            read_part("refunds", history.REFUNDS_PLAN, history.REFUNDS_FIRST)
        # of an order whose only shipment was cancelled nothing else tells
        if (
            order.get("shipments")
            or {row.get("status") for row in works.get("nodes") or ()} - {"OPEN"}
            or (works.get("pageInfo") or {}).get("hasNextPage")
            or order.get("displayFulfillmentStatus") not in (None, "UNFULFILLED")
        ):
            # holds and shipments change without a new version of the order: begun, they are dropped
            order.pop("fulfillments", None)
            read_part(
                "fulfillments", history.FULFILLMENTS_PLAN, history.FULFILLMENTS_FIRST, progress=None
            )

    def _read_part(self, read, order, document, first):
        """Add what another document says about the same version of the order."""
        found = read(document, {"id": order["id"], **first})["order"]
        if not found or found["updatedAt"] != order["updatedAt"]:
            raise NotReadyError(
                self.env._("%s was changed while it was read; it is read again.", order["name"]),
                retry_after=2,
            )
        order.update(
            {name: value for name, value in found.items() if name not in ("id", "updatedAt")}
        )

    def _fetch_changes(self, backend, since, page):
        query = pages.changed_since(since)
        orders = (
            backend._shopify_client()
            .execute("order_changes", {"first": CHANGES_PER_PAGE, "after": page, "query": query})
            .data["orders"]
        )
        changes = [
            Change(row["id"], contract.read_utc(row["updatedAt"]), row["name"])
            for row in orders["nodes"]
        ]
        more = orders["pageInfo"]
        return ChangePage(changes, more["endCursor"] if more["hasNextPage"] else None)

    def _resolve_reference(self, backend, reference):
        """Return the id of the order that people call ``#1001``; ids are taken as they are."""
        if reference.startswith("gid://"):
            return reference
        if reference.isdecimal() and len(reference) > 9:
            return f"gid://shopify/Order/{reference}"
        name = reference.replace("\\", "").replace('"', "").lstrip("#")
        # shops choose what stands around the number, "#" is only the usual
        query = f'name:"{name}" OR name:"#{name}"'
        orders = (
            backend._shopify_client()
            .execute("order_changes", {"first": 50, "after": None, "query": query})
            .data["orders"]["nodes"]
        )
        same = [row for row in orders if row["name"].lstrip("#") == name]
        if len(same) != 1:
            raise ConfigurationError(
                self.env._(
                    "%(count)s orders of %(backend)s are called %(name)s. Type the number as the "
                    "Shopify admin shows it, e.g. #1001, or the long id in the address of the "
                    "order's page.",
                    count=len(same),
                    backend=backend.display_name,
                    name=reference,
                )
            )
        return same[0]["id"]

    def _validate(self, backend, payload, label):
        name = payload.get("name")
        return super()._validate(backend, payload, name if isinstance(name, str) else label)

    def _updated_at(self, data):
        return data.updatedAt

    def _label(self, data):
        return data.name

    # === HOOKS - MAPPING === #

    def _map(self, backend, items):
        # before anything else: an order that exists needs no product search and no customer
        self._adopt(backend, [item for item in items if not item.record])
        for item in self._alive(items):
            self._skip_foreign(backend, item)
        self.env["integration.shopify.refund"]._await_cancellations(self._alive(items))
        self._map_amounts(backend, self._alive(items))
        self._map_taxes(backend, self._alive(items))
        self._map_products(backend, self._alive(items))
        self._map_shipping(backend, self._alive(items))
        self._map_payment(backend, self._alive(items))
        self._map_location(backend, self._alive(items))
        self._map_header(backend, self._alive(items))
        self.env["integration.shopify.contact"]._match(backend, self._alive(items))
        self._map_decision(backend, self._alive(items))

    @api.model
    def _alive(self, items):
        return [item for item in items if item.alive]

    @api.model
    def _skip_foreign(self, backend, item):
        data = item.data
        if data.cancelledAt and not item.record and not ledger.has_moved_money(data):
            item.skip(self.env._("%s was cancelled in Shopify before it came to Odoo.", data.name))
        elif (
            backend.shopify_orders_since
            and data.processedAt < backend.shopify_orders_since
            and not item.record
        ):
            item.skip(
                self.env._(
                    "%s was placed before the date from which orders are imported. To import it, "
                    "set Orders Placed Since on the backend further back, then press Retry.",
                    data.name,
                )
            )
        elif not item.record and self._is_foreign_till_order(backend, data):
            item.skip(
                self.env._(
                    "%s was taken at a point of sale. Which of those come to Odoo is set under "
                    "Point of Sale Orders on the backend; after a change press Retry.",
                    data.name,
                )
            )
        elif (
            data.test
            and not item.record
            and backend.environment == "production"
            and not backend.shopify_import_test_orders
        ):
            item.skip(
                self.env._(
                    "%s is a test order. To import such orders switch on Import Test Orders on "
                    "the backend, then press Retry.",
                    data.name,
                )
            )

    @api.model
    def _is_foreign_till_order(self, backend, data):
        """Whether an order of a till is not to come to Odoo, or not yet."""
        if not automation.is_till_order(data) or backend.shopify_pos_policy in ("import", False):
            return False
        handed_over = data.displayFulfillmentStatus == "FULFILLED"
        return backend.shopify_pos_policy == "skip" or not handed_over

    @api.model
    def _map_amounts(self, backend, items):
        shop_money = backend.shopify_currency_policy == "shop"
        home = backend.company_id.account_fiscal_country_id.code or ""
        codes = {
            item.operation_id: item.data.currencyCode
            if shop_money
            else item.data.presentmentCurrencyCode
            for item in items
        }
        currencies = {
            currency.name: currency
            for currency in self.env["res.currency"]
            .with_context(active_test=False)
            .search([("name", "in", list(set(codes.values())))])
        }
        for item in items:
            code = codes[item.operation_id]
            currency = currencies.get(code)
            if not currency or not currency.active:
                item.fail(
                    ConfigurationError(
                        self.env._(
                            "%(order)s is in %(currency)s, which is not active in Odoo. Activate "
                            "it under Accounting > Configuration > Currencies, give it a rate, "
                            "then press Retry.",
                            order=item.label,
                            currency=code,
                        )
                    )
                )
                continue
            found = amounts.compute(item.data, code, currency.decimal_places, home)
            item.values.update(amounts=found, currency=currency, order={})
            sold = any(
                line.total or (line.quantity and line.kind in ("product", "custom"))
                for line in found.lines
            )
            if not sold and not item.record and not ledger.has_moved_money(item.data):
                item.skip(
                    self.env._(
                        "Everything on %s was removed or refunded before it came to Odoo.",
                        item.label,
                    )
                )
            elif found.problem and not item.data.cancelledAt:
                item.fail(
                    InvalidPayloadError(
                        self.env._(
                            "%(order)s was not imported, because Shopify's figures do not add up "
                            "in %(currency)s: %(problem)s. Compare the order in Shopify; if it is "
                            "right there, show this to your integrator.",
                            order=item.label,
                            currency=code,
                            problem=found.problem,
                        ),
                        problems=[("currentTotalPriceSet", found.problem)],
                    )
                )
            elif self._is_finer(found, currency):
                item.fail(
                    ConfigurationError(
                        self.env._(
                            "%(order)s has amounts that Odoo would round: %(currency)s is rounded "
                            "to %(rounding)s. Set its Rounding Factor to what Shopify uses under "
                            "Accounting > Configuration > Currencies, then press Retry.",
                            order=item.label,
                            currency=code,
                            rounding=currency.rounding,
                        )
                    )
                )

    @api.model
    def _is_finer(self, found, currency):
        step = Decimal(str(currency.rounding))
        return any(
            amount % step
            for line in found.lines
            for amount in (line.untaxed, *(tax.amount for tax in line.taxes))
        )

    @api.model
    def _map_taxes(self, backend, items):
        """Set ``item.values["taxes"]``: ``{tax key: account.tax}``."""
        wanted = {
            tax.key: tax.label for item in items for tax in self._taxes_of(item.values["amounts"])
        }
        mapped = self.env["integration.mapping"]._values(backend, "tax", wanted) if wanted else {}
        for item in items:
            found, missing, wrong = item.values["amounts"], {}, ""
            for tax in {tax.key: tax for tax in self._taxes_of(found)}.values():
                value = MissingValue("tax", tax.key, tax.label)
                if tax.key in mapped:
                    wrong = wrong or self._tax_problem(mapped[tax.key], found)
                elif self._is_zero(found, tax.key):
                    # a tax of 0.00 changes nothing: it is offered for mapping, not needed
                    item.seen.append(value)
                else:
                    missing[tax.key] = value
            item.values["taxes"] = mapped
            if missing:
                item.fail(self._missing_taxes(item, list(missing.values())))
            elif wrong:
                item.fail(ConfigurationError(f"{item.label}: {wrong}"))

    @api.model
    def _is_zero(self, found, key):
        return not any(tax.amount for tax in self._taxes_of(found) if tax.key == key)

    @api.model
    def _taxes_of(self, found):
        """Return the taxes of all lines, and of all the ledger: those given back had an amount."""
        return [
            tax
            for rows in (found.lines, *(posting.entries for posting in found.postings))
            for row in rows
            for tax in row.taxes
        ]

    @api.model
    def _missing_taxes(self, item, missing):
        return MappingError(
            self.env._(
                "%(order)s: these taxes of Shopify are not known in Odoo yet: %(taxes)s. Choose "
                "the Odoo tax of each under Value Mappings of the backend; the order is then "
                "imported by itself.",
                order=item.label,
                taxes=", ".join(value.label for value in missing),
            ),
            missing=missing,
        )

    @api.model
    def _tax_problem(self, tax, found):
        """Return why the mapped tax cannot carry the amounts, or an empty text."""
        if tax.type_tax_use != "sale":
            return self.env._(
                "the Odoo tax %s is not a sales tax. Choose another one under Value Mappings of "
                "the backend, then press Retry.",
                tax.display_name,
            )
        if tax.amount_type == "group":
            return self.env._(
                "the Odoo tax %s is a group of taxes, which cannot hold exact amounts. Choose a "
                "single tax under Value Mappings of the backend, then press Retry.",
                tax.display_name,
            )
        if tax.price_include == found.taxes_included or not tax.amount:
            return ""
        if found.taxes_included:
            return self.env._(
                "the prices of this order include tax, but the Odoo tax %s is added on top of "
                "prices. Make a copy of it with Included in Price set to Tax Included, choose it "
                "under Value Mappings of the backend, then press Retry.",
                tax.display_name,
            )
        return self.env._(
            "the prices of this order are without tax, but the Odoo tax %s is included in "
            "prices. Make a copy of it with Included in Price set to Tax Excluded, choose it "
            "under Value Mappings of the backend, then press Retry.",
            tax.display_name,
        )

    @api.model
    def _map_products(self, backend, items):
        """Set ``item.values["products"]``: ``{line id: product.product}``."""
        for item in items:
            # a line that exists keeps its product, whatever became of its SKU since
            item.values["products"] = {
                line.shopify_line_id: line.product_id
                for line in (item.record.order_line if item.record else ())
                if line.shopify_line_id
            }
        goods = [
            (item, line)
            for item in items
            for line in item.values["amounts"].lines
            if line.kind == "product" and line.external_id not in item.values["products"]
        ]
        bound = self._bound_variants(backend, {line.variant_id for _i, line in goods})
        unbound = [line for _i, line in goods if line.variant_id not in bound]
        by_sku, by_barcode = self._search_products(
            backend,
            {line.sku for line in unbound if line.sku},
            {code for line in unbound for code in (line.barcode, line.sku) if code},
        )
        failures = defaultdict(list)
        for item, line in goods:
            candidates = (
                bound.get(line.variant_id)
                or by_sku.get(line.sku)
                or by_barcode.get(line.sku)
                or by_barcode.get(line.barcode)
            )
            if candidates and len(candidates) == 1:
                item.values["products"][line.external_id] = candidates
            elif not line.quantity:
                # nothing of it is left: it only has to stand on documents
                item.values["products"][line.external_id] = backend._shopify_product("custom")
            else:
                failures[item.operation_id].append((line, candidates))
        for item in items:
            if failures[item.operation_id]:
                item.fail(self._product_error(backend, item, failures[item.operation_id]))

    @api.model
    def _bound_variants(self, backend, variant_ids):
        variant_ids.discard("")
        if not variant_ids:
            return {}
        return {
            variant: product
            for variant, product in self.env["integration.binding"]
            ._find(backend, VARIANT, list(variant_ids))
            .items()
            if product.active
        }

    @api.model
    def _search_products(self, backend, skus, barcodes):
        Product = self.env["product.product"]
        if not skus and not barcodes:
            return {}, {}
        products = Product.search_fetch(
            Domain(Product._check_company_domain(backend.company_id))
            & (Domain("default_code", "in", list(skus)) | Domain("barcode", "in", list(barcodes))),
            ["default_code", "barcode"],
        )
        by_sku = products.filtered(lambda p: p.default_code in skus).grouped("default_code")
        by_barcode = products.filtered(lambda p: p.barcode in barcodes).grouped("barcode")
        return by_sku, by_barcode

    @api.model
    def _product_error(self, backend, item, failures):
        line, candidates = failures[0]
        if candidates:
            return AmbiguousMatchError(
                self.env._(
                    '%(order)s, line "%(line)s": several products have the SKU %(sku)s: '
                    "%(candidates)s. Leave the internal reference on the right one only, then "
                    "press Retry.",
                    order=item.label,
                    line=line.name,
                    sku=line.sku or line.barcode,
                    candidates=", ".join(
                        f"{product.display_name} (ID {product.id})" for product in candidates
                    ),
                ),
                candidates=candidates.mapped("display_name"),
            )
        without = [line for line, _candidates in failures if not line.sku and not line.barcode]
        if without:
            return ConfigurationError(
                self.env._(
                    '%(order)s, line "%(line)s": the product has neither a SKU nor a barcode in '
                    "Shopify, so it cannot be found in Odoo. Give the variant in Shopify a SKU "
                    "that is the internal reference of a product in Odoo, then press Retry.",
                    order=item.label,
                    line=without[0].name,
                )
            )
        listed = "; ".join(
            f'line "{line.name}", SKU {line.sku or line.barcode}' for line, _candidates in failures
        )
        return ConfigurationError(
            self.env._(
                "%(order)s: no active product in Odoo has the SKU of %(lines)s. Create the product "
                "with the internal reference %(sku)s, or put that reference (or barcode) on an "
                "existing one, then press Retry.",
                order=item.label,
                lines=listed,
                sku=", ".join(dict.fromkeys(row.sku or row.barcode for row, _found in failures)),
            )
        )

    @api.model
    def _map_shipping(self, backend, items):
        """Set ``item.values["carriers"]``: ``{shipping code: delivery.carrier}``."""
        wanted = {
            line.shipping_code: line.name
            for item in items
            for line in item.values["amounts"].lines
            if line.kind == "shipping"
        }
        mapped = self._optional(backend, "shipping_method", wanted)
        for item in items:
            item.values["carriers"] = mapped
            for line in item.values["amounts"].lines:
                if line.kind == "shipping" and line.shipping_code not in mapped:
                    item.seen.append(MissingValue("shipping_method", line.shipping_code, line.name))

    @api.model
    def _map_payment(self, backend, items):
        wanted = {name: name for item in items for name in item.data.paymentGatewayNames}
        mapped = self._optional(backend, "payment_method", wanted)
        for item in items:
            item.values["journals"] = [
                mapped[name] for name in item.data.paymentGatewayNames if name in mapped
            ]
            item.seen += [
                MissingValue("payment_method", name, name)
                for name in item.data.paymentGatewayNames
                if name not in mapped
            ]

    @api.model
    def _map_location(self, backend, items):
        """Set ``item.values["till"]``: the warehouse of the till the order was taken at."""
        wanted = {
            item.data.retailLocation.id: item.data.retailLocation.name
            for item in items
            if item.data.retailLocation
        }
        mapped = self._optional(backend, "location", wanted)
        for item in items:
            till = item.data.retailLocation
            location = mapped.get(till.id) if till else None
            item.values["till"] = location.warehouse_id if location else None
            if till and not location:
                item.seen.append(MissingValue("location", till.id, till.name))

    @api.model
    def _optional(self, backend, kind, wanted):
        if not wanted:
            return {}
        return self.env["integration.mapping"]._values(backend, kind, wanted)

    @api.model
    def _map_header(self, backend, items):
        rows = self.env["integration.field.mapping"]._values_in(
            backend, "order", [(item.data, bool(item.record)) for item in items]
        )
        for item, row in zip(items, rows, strict=True):
            if row.get("shopify_financial_status"):
                # PARTIALLY_PAID is for programs
                status = row["shopify_financial_status"]
                row["shopify_financial_status"] = status.replace("_", " ").capitalize()
            item.values["header"] = row | self._shown_values(item.data)

    @api.model
    def _shown_values(self, data):
        """Return what the order shows of where it came from and what was agreed."""
        risks = {
            "accept": self.env._("Accept"),
            "investigate": self.env._("Investigate"),
            "cancel": self.env._("Cancel"),
        }
        values = {
            "shopify_channel": ", ".join(automation.channels_of(data)),
            "shopify_risk": risks.get(automation.risk_of(data), ""),
            "shopify_attributes": "\n".join(
                f"{row.key}: {row.value}" for row in data.customAttributes
            ),
            "shopify_discounts": "\n".join(self._discount_texts(data)),
        }
        if data.poNumber:
            # what the buyer's own papers call the order
            values["client_order_ref"] = data.poNumber
        return values

    @api.model
    def _discount_texts(self, data):
        """Return a text for each discount: its kind, what it took off, and from which lines."""
        found = {}
        for line in data.lineItems:
            for row in line.discountAllocations:
                if row.allocatedAmountSet:
                    source = row.discountApplication
                    parts = found.setdefault((source.code, source.title), [])
                    parts.append((line.name, row.allocatedAmountSet))
        texts = []
        for (code, title), parts in found.items():
            name = (
                self.env._("code %s", code) if code else title or self.env._("automatic discount")
            )
            lines = "; ".join(f"{line}: {amount}" for line, amount in parts)
            texts.append(f"{name}: {sum(amount for _line, amount in parts)} ({lines})")
        for line in data.shippingLines:
            off = line.originalPriceSet - line.discountedPriceSet
            if off:
                texts.append(self.env._("%(shipping)s: %(off)s", shipping=line.title, off=off))
        return texts

    @api.model
    def _map_decision(self, backend, items):
        """Set ``item.values["decision"]``: what rules decide, then settings where rules are silent.

        A till is where the goods went over the counter, whatever a rule says.
        """
        self.env["integration.shopify.rule"]._decide(backend, items)
        self._choose_terms(backend, items)
        for item in items:
            decision, values = item.values["decision"], item.values
            if values.get("till"):
                decision.choose(
                    "warehouse",
                    values["till"],
                    self.env._("Warehouse: %s", values["till"].display_name),
                    self.env._("taken at the till %s", item.data.retailLocation.name),
                )
            for name, label, setting in (
                ("warehouse", self.env._("Warehouse"), backend.shopify_warehouse_id),
                ("team", self.env._("Sales Team"), backend.shopify_team_id),
            ):
                if setting and not getattr(decision, name):
                    decision.choose(
                        name,
                        setting,
                        f"{label}: {setting.display_name}",
                        self.env._("setting of %s", backend.display_name),
                    )

    @api.model
    def _choose_terms(self, backend, items):
        """Take the payment terms agreed in Shopify where no rule says otherwise."""
        wanted = {
            item.data.paymentTerms.key: item.data.paymentTerms.paymentTermsName
            for item in items
            if item.data.paymentTerms
        }
        mapped = self._optional(backend, "payment_term", wanted)
        for item in items:
            terms, decision = item.data.paymentTerms, item.values["decision"]
            if not terms:
                continue
            found = mapped.get(terms.key)
            if not found:
                item.seen.append(MissingValue("payment_term", terms.key, terms.paymentTermsName))
            elif not decision.payment_term:
                decision.choose(
                    "payment_term",
                    found,
                    self.env._("Payment Terms: %s", found.display_name),
                    self.env._("agreed in Shopify: %s", terms.paymentTermsName),
                )

    @api.model
    def _adopt(self, backend, items):
        """Take over the sales order that a Shopify order made before its link was lost."""
        if not items:
            return
        urls = {self._admin_url(backend, item.external_id): item for item in items}
        orders = self.env["sale.order"].search(
            [("company_id", "=", backend.company_id.id), ("shopify_url", "in", list(urls))]
        )
        for url, found in orders.grouped("shopify_url").items():
            if len(found) > 1:
                urls[url].fail(
                    AmbiguousMatchError(
                        self.env._(
                            "%(order)s: several sales orders belong to it: %(found)s. Delete the "
                            "draft or cancelled ones that are too many, then press Retry.",
                            order=urls[url].label,
                            found=", ".join(found.mapped("name")),
                        ),
                        candidates=found.mapped("name"),
                    )
                )
            else:
                urls[url].record = found

    # === HOOKS - WRITING === #

    def _apply(self, backend, items):
        new = [item for item in items if not item.record]
        old = [item for item in items if item.record]
        self._create_orders(backend, new)
        for item in old:
            self._update_order(backend, item)
        for name in GOODS_FOLLOW:
            self.env[name]._follow(backend, items)
        for item in items:
            self._conclude(backend, item)
        self.env["integration.shopify.hold"]._follow(backend, items)
        for name in BOOKS_FOLLOW:
            self.env[name]._follow(backend, items)

    @api.model
    def _create_orders(self, backend, items):
        if not items:
            return
        self.env["integration.shopify.contact"]._ensure(backend, items)
        pricelists = self._pricelists(backend, items)
        sources = self._sources(items)
        tags = self._tags(items)
        untaxed = self.env["integration.connector.shopify"]._untaxed_tax(backend.company_id)
        common = {}
        # sudo: whether anybody uses them is all that is asked
        Distribution = self.env["account.analytic.distribution.model"].sudo()
        if not Distribution.search_count([], limit=1):
            # Odoo would look for one for each line
            common["analytic_distribution"] = False
        vals_list = []
        for item in items:
            lines = self._line_values(backend, item, untaxed)
            vals = {
                **{name: value for name, value in item.values["header"].items() if value},
                **item.values["order"],
                **self._order_values(backend, item, pricelists),
                "tag_ids": [Command.set(self._tag_ids(item, tags))],
                "source_id": sources.get(self._source_name(item.data), False),
                "order_line": [Command.create({**common, **line}) for line in lines],
            }
            vals_list.append(vals)
        orders = self.env["sale.order"].create(vals_list)
        for item, order in zip(items, orders, strict=True):
            item.record = order
            self._check_totals(item, order)
            if not item.values["decision"].confirm:
                # what Odoo chose itself may be decided later on, what people choose may not
                present = {f"{name}_id": order[f"{name}_id"].id for name in CHOSEN}
                log = order.shopify_decision
                order.shopify_decision = {**log, "values": present}
        orders.browse(
            item.record.id for item in items if item.values["decision"].confirm
        ).with_context(integration_keep_order_date=True).action_confirm()

    @api.model
    def _order_values(self, backend, item, pricelists):
        data = item.data
        carriers = [
            item.values["carriers"].get(line.shipping_code, backend.shopify_carrier_id)
            for line in item.values["amounts"].lines
            if line.kind == "shipping"
        ]
        carrier = next((carrier for carrier in carriers if carrier), None)
        vals = {
            "company_id": backend.company_id.id,
            "date_order": data.processedAt,
            "pricelist_id": pricelists[item.values["currency"].id],
            "carrier_id": carrier.id if carrier else False,
            "shopify_url": self._admin_url(backend, item.external_id),
            # nobody has to sign or pay again in the portal what was bought in the shop
            "require_signature": False,
            "require_payment": False,
        }
        if item.values["journals"]:
            methods = item.values["journals"][0].inbound_payment_method_line_ids
            vals["preferred_payment_method_line_id"] = methods[:1].id
        # Odoo would take the user the job runs as for the salesperson
        vals |= {"user_id": False, **self._decided_values(backend, item)}
        if item.values["party"].why:
            item.values["decision"].note(
                self.env._("Customer recognised"), item.values["party"].why
            )
        vals["shopify_decision"] = self._decision_log(item, {}, vals)
        return vals

    @api.model
    def _decided_values(self, backend, item):
        """Return the values of the order that rules and settings decide; silent ones left out."""
        decision = item.values["decision"]
        partner = item.values["party"].partner
        salesperson = partner.user_id or partner.commercial_partner_id.user_id
        why = self.env._("salesperson of the customer")
        if not salesperson:
            salesperson = backend.shopify_user_id
            why = self.env._("setting of %s", backend.display_name)
        if salesperson and not decision.user:
            decision.choose(
                "user", salesperson, self.env._("Salesperson: %s", salesperson.name), why
            )
        return {
            f"{name}_id": getattr(decision, name).id for name in CHOSEN if name in decision.chosen
        }

    @api.model
    def _decision_log(self, item, known, values):
        """Return what the order remembers of a decision: for people, and to write it only once.

        :param dict known: what it remembers so far.
        :param dict values: what is written; kept so that changes by hand are seen.
        """
        decision = item.values["decision"]
        rows = list(known.get("rows", ()))
        told = {(row["what"], row["why"]) for row in rows}
        now = fields.Datetime.to_string(fields.Datetime.now())
        chosen = [
            decision.chosen[name]
            for name in CHOSEN
            if f"{name}_id" in values and name in decision.chosen
        ]
        if not known.get("confirmed"):
            chosen.insert(0, decision.chosen["confirm"])
        rows += [
            {"at": now, "what": what, "why": why, "rule": rule_id}
            for what, why, rule_id in (*chosen, *decision.trace)
            if (what, why) not in told
        ]
        written = {name: values[name] for name in map("{}_id".format, CHOSEN) if name in values}
        return {
            **known,
            "rows": rows,
            "addresses": {
                name: item.values["order"][name]
                for name in ADDRESSES
                if item.values["order"].get(name)
            }
            or known.get("addresses", {}),
            "confirmed": known.get("confirmed", False) or decision.confirm,
            "values": known.get("values", {}) | written,
        }

    @api.model
    def _admin_url(self, backend, external_id):
        domain = backend.shopify_domain or (backend.base_url or "").split("://")[-1]
        return f"https://{domain}/admin/orders/{external_id.rsplit('/', 1)[-1]}"

    @api.model
    def _pricelists(self, backend, items):
        """Return ``{currency id: pricelist id or False}``.

        An order's currency is that of its pricelist, else the company's. Pricelists of our own
        have no rules and are not shown in the shop, so nobody's price rules touch the order.
        """
        currencies = self.env["res.currency"].union(*(item.values["currency"] for item in items))
        found = {backend.company_id.currency_id.id: False}
        foreign = currencies - backend.company_id.currency_id
        if not foreign:
            return found
        Binding = self.env["integration.binding"]
        known = Binding._find(backend, "pricelist", foreign.mapped("name"))
        missing = foreign.filtered(lambda currency: currency.name not in known)
        Pricelist = self.env["product.pricelist"]
        # sudo: part of the set-up, which whoever imports orders need not be allowed to change
        created = Pricelist.sudo().create(
            [
                {
                    "name": f"{backend.name} ({currency.name})",
                    "currency_id": currency.id,
                    "company_id": backend.company_id.id,
                    # after all others: it is nobody's default
                    "sequence": 10000,
                }
                for currency in missing
            ]
        )
        created = Pricelist.browse(created.ids)
        new = dict(zip(missing.mapped("name"), created, strict=True))
        if new:
            # sudo: as above; a link asks for the right to change what it leads to
            Binding.sudo()._bind(backend, "pricelist", new)
        known |= new
        return found | {currency.id: known[currency.name].id for currency in foreign}

    @api.model
    def _source_name(self, data):
        """Return what the channel of an order is called in Odoo's marketing reports."""
        return (data.app.name if data.app else "") or data.sourceName

    @api.model
    def _sources(self, items):
        """Return ``{name: utm.source id}`` of all channels of the batch."""
        names = {self._source_name(item.data) for item in items} - {""}
        if not names:
            return {}
        # sudo: where orders come from is no secret, and a new channel nobody's decision
        Source = self.env["utm.source"].sudo()
        found = {source.name: source.id for source in Source.search([("name", "in", list(names))])}
        missing = sorted(names - found.keys())
        created = Source.create([{"name": name} for name in missing])
        return found | dict(zip(missing, created.ids, strict=True))

    @api.model
    def _tag_ids(self, item, tags):
        """Return the ids of an order's tags: those of Shopify and those of the rules."""
        decided = item.values["decision"].tags
        ids = [tags[name].id for name in item.data.tags] + (decided.ids if decided else [])
        return list(dict.fromkeys(ids))

    @api.model
    def _tags(self, items):
        """Return ``{name: crm.tag}`` of all tags of the batch."""
        names = {name for item in items for name in item.data.tags}
        if not names:
            return {}
        Tag = self.env["crm.tag"]
        tags = {tag.name: tag for tag in Tag.search([("name", "in", list(names))])}
        missing = sorted(names - tags.keys())
        created = Tag.create([{"name": name} for name in missing])
        return tags | dict(zip(missing, created, strict=True))

    # === LINES === #

    @api.model
    def _line_values(self, backend, item, untaxed, concluded=False):
        """Return the values of the order's lines, in Shopify's order."""
        quantities = self._quantities(item, concluded)
        return [
            {
                "sequence": 10 + position,
                **self._values_of_line(backend, item, line, quantities[line.external_id], untaxed),
            }
            for position, line in enumerate(item.values["amounts"].lines)
        ]

    @api.model
    def _values_of_line(self, backend, item, line, quantity, untaxed):
        booked = {}
        for tax in line.taxes:
            mapped = item.values["taxes"].get(tax.key)
            if mapped:
                booked[mapped.id] = booked.get(mapped.id, Decimal(0)) + tax.amount
        booked = booked or {untaxed.id: Decimal(0)}
        discount = line.discount
        if quantity != line.quantity:
            # more was delivered than is left in Shopify: the price shown is spread over all of it
            cost = line.total if item.values["amounts"].taxes_included else line.untaxed
            listed = line.price_unit * quantity
            discount = amounts.percent(listed - cost, listed)
        price, discount, quantity = float(line.price_unit), float(discount), float(quantity)
        return {
            "product_id": self._product_of_line(backend, item, line).id,
            "name": line.name,
            "product_uom_qty": quantity,
            "price_unit": price,
            "discount": discount,
            "tax_ids": [Command.set(sorted(booked))],
            "is_delivery": line.kind == "shipping",
            "shopify_line_id": line.external_id,
            # also on the invoice
            "extra_tax_data": amounts.exact_amounts(
                item.values["currency"].id, price, discount, quantity, line.untaxed, booked
            ),
        }

    @api.model
    def _product_of_line(self, backend, item, line):
        if line.kind == "product":
            return item.values["products"][line.external_id]
        if line.kind == "shipping":
            carrier = item.values["carriers"].get(line.shipping_code, backend.shopify_carrier_id)
            return carrier.product_id or backend._shopify_product("shipping")
        return backend._shopify_product("fee" if line.kind == "duty" else line.kind)

    @api.model
    def _quantities(self, item, concluded):
        """Return ``{line id: quantity}`` of the order's lines.

        What is left of a line in Shopify, but never less than was delivered: Odoo takes back
        deliveries only by a return. Before shipments and returns were followed it is also never
        less than was shipped, so that they find their units. Units that are still to be shipped
        come on top: of goods that were given back, some may not have left with the others.
        """
        delivered = defaultdict(Decimal)
        for row in item.record.order_line if item.record else ():
            if row.shopify_line_id and row.product_id.type == "consu":
                delivered[row.shopify_line_id] = Decimal(str(row.qty_delivered))
        out, waiting = defaultdict(Decimal), defaultdict(Decimal)
        for shipment in item.data.fulfillments or ():
            for row in shipment.fulfillmentLineItems if shipment.status == "SUCCESS" else ():
                out[row.lineItem.id] += row.quantity or 0
        for row in item.record.shopify_refund_ids.line_ids if item.record else ():
            out[row.shopify_line_id] -= row.quantity_back
        for work in item.data.fulfillmentOrders or ():
            # a closed one may show units that another one has taken over
            for row in work.lineItems if work.status not in ("CLOSED", "CANCELLED") else ():
                waiting[row.lineItem.id] += row.remainingQuantity

        def quantity(line):
            key = line.external_id
            gone = min(out[key], delivered[key]) if concluded else out[key]
            return max(line.quantity, delivered[key], gone + waiting[key])

        return {line.external_id: quantity(line) for line in item.values["amounts"].lines}

    @api.model
    def _check_totals(self, item, order):
        """Compare the order in Odoo with Shopify's totals.

        :raises ConflictError: naming each line that differs and by how much. Nothing is rounded
            away: the transaction is rolled back and the order waits for a person.
        """
        found, currency = item.values["amounts"], item.values["currency"]
        lines = order.order_line.filtered("shopify_line_id")
        if order.order_line - lines:
            # somebody added lines in Odoo; ours still have to be right
            present = (
                sum(lines.mapped("price_subtotal")),
                sum(lines.mapped("price_tax")),
                sum(lines.mapped("price_total")),
            )
        else:
            present = (order.amount_untaxed, order.amount_tax, order.amount_total)
        wanted = (found.untaxed, found.tax, found.total)
        if order.currency_id == currency and not any(
            currency.compare_amounts(is_, float(should))
            for is_, should in zip(present, wanted, strict=True)
        ):
            return
        by_id = {line.shopify_line_id: line for line in lines}
        details = []
        for line in found.lines:
            odoo = by_id.get(line.external_id)
            total = odoo.price_total if odoo else 0.0
            if currency.compare_amounts(total, float(line.total)):
                details.append(
                    self.env._(
                        'line "%(line)s": %(odoo)s in Odoo, %(shopify)s in Shopify',
                        line=line.name,
                        odoo=currency.round(total),
                        shopify=line.total,
                    )
                )
        raise ConflictError(
            self.env._(
                "%(order)s was not written: Odoo computes untaxed %(untaxed)s, tax %(tax)s, total "
                "%(total)s %(currency)s, Shopify says %(w_untaxed)s, %(w_tax)s, %(w_total)s. "
                "%(details)s Check the taxes mapped for this shop and the rounding of the "
                "currency, then press Retry.",
                order=item.label,
                currency=order.currency_id.name,
                untaxed=present[0],
                tax=present[1],
                total=present[2],
                w_untaxed=found.untaxed,
                w_tax=found.tax,
                w_total=found.total,
                details="; ".join(details) + "." if details else "",
            )
        )

    # === UPDATES === #

    @api.model
    def _update_order(self, backend, item):
        """Bring a sales order made before in line with Shopify, as far as that still goes."""
        order = item.record
        self._update_header(item, order)
        if order.state != "cancel":
            self._update_addresses(backend, item, order)
            if not item.values["amounts"].problem:
                self._update_lines(backend, item, order)
            self._update_decision(backend, item, order)
        elif not item.data.cancelledAt:
            item.notes.append(
                self.env._(
                    "The sales order %s is cancelled in Odoo, so its lines were not changed.",
                    order.name,
                )
            )

    @api.model
    def _update_decision(self, backend, item, order):
        """Follow what rules decide later on; what is decided is never undone.

        Values somebody changed by hand stay, and an order somebody made a quotation again is not
        confirmed once more.
        """
        known = order.shopify_decision or {}
        vals = {}
        if order.state in ("draft", "sent"):
            written = known.get("values", {})
            vals = {
                name: value
                for name, value in self._decided_values(backend, item).items()
                if value != order[name].id and written.get(name, False) == order[name].id
            }
        confirm = (
            item.values["decision"].confirm
            and order.state in ("draft", "sent")
            and not known.get("confirmed")
        )
        log = self._decision_log(item, known, vals)
        if log != known:
            order.write({**vals, "shopify_decision": log})
        if confirm:
            order.with_context(integration_keep_order_date=True).action_confirm()

    @api.model
    def _conclude(self, backend, item):
        """Bring the order to its present state, now that goods went out and came back."""
        order = item.record
        if order.state == "cancel":
            return
        if (item.bound or item.data.fulfillments) and not item.values["amounts"].problem:
            self._update_lines(backend, item, order, concluded=True)
        if item.data.cancelledAt:
            self._cancel_order(item, order)

    @api.model
    def _update_header(self, item, order):
        vals = {}
        for name, value in item.values["header"].items():
            present = order[name]
            if order._fields[name].type == "html":
                # an empty note of the shop leaves the terms or notes somebody wrote in Odoo
                differs = value and html2plaintext(present or "") != html2plaintext(value)
            else:
                differs = (present or False) != (value or False)
            if differs:
                vals[name] = value
        # tags are added and never removed: Odoo cannot know who put the others there
        tags = set(self._tag_ids(item, self._tags([item]))) - set(order.tag_ids.ids)
        if tags:
            vals["tag_ids"] = [Command.link(tag_id) for tag_id in sorted(tags)]
        if vals:
            order.write(vals)

    @api.model
    def _started(self, order):
        """Whether goods or an invoice of the order went out, so that it can no longer change."""
        return any(line.qty_delivered or line.qty_invoiced for line in order.order_line) or any(
            picking.state == "done" for picking in order.picking_ids
        )

    @api.model
    def _cancel_order(self, item, order):
        """Cancel an order; one of which something was delivered stays, with nothing left to do."""
        if any(line.qty_delivered for line in order.order_line if line.product_id.type == "consu"):
            item.notes.append(
                self.env._(
                    "%(order)s was cancelled in Shopify after a part of %(sale)s was delivered: "
                    "the rest is no longer delivered.",
                    order=item.label,
                    sale=order.name,
                )
            )
            return
        if order.locked:
            order.action_unlock()
        order.with_context(disable_cancel_warning=True).action_cancel()
        reason = item.data.cancelReason.lower()
        order.message_post(
            body=self.env._(
                "Cancelled in Shopify (reason: %s).", reason or self.env._("none given")
            )
        )

    @api.model
    def _place(self, partner):
        parts = (partner.display_name, partner.street, partner.zip, partner.city)
        return ", ".join(filter(None, parts))

    @api.model
    def _update_addresses(self, backend, item, order):
        """Follow a changed address; what was delivered keeps the one it went to.

        An address somebody chose in Odoo stays. When Shopify's changes as well, a person decides.
        """
        contacts = self.env["integration.shopify.contact"]
        contacts._create_addresses([item], contacts._places([item]))
        wanted = item.values["order"]
        known = (order.shopify_decision or {}).get("addresses", {})
        delivered = order.picking_ids.filtered(lambda picking: picking.state == "done")
        vals = {}
        for name in ADDRESSES if not self._started(order) else ("partner_shipping_id",):
            if order[name].id == wanted[name]:
                continue
            if known.get(name, order[name].id) == order[name].id:
                vals[name] = wanted[name]
            elif known[name] != wanted[name]:
                order._shopify_todo(
                    backend,
                    self.env._("Address changed"),
                    self.env._(
                        "The %(field)s of %(order)s was changed in Shopify, but somebody has "
                        "chosen %(present)s in Odoo, which stays. Shopify's is %(wanted)s: choose "
                        "it on the sales order if it is the right one.",
                        field=order._fields[name]._description_string(self.env).lower(),
                        order=item.label,
                        present=self._place(order[name]),
                        wanted=self._place(order[name].browse(wanted[name])),
                    ),
                )
        if not vals:
            return
        if delivered and "partner_shipping_id" in vals:
            order._shopify_todo(
                backend,
                self.env._("Address changed after delivery"),
                self.env._(
                    "The delivery address of %(order)s was changed in Shopify, but %(deliveries)s "
                    "went to the old one. Open deliveries go to the new one. Ask the buyer "
                    "whether the parcel has to be sent on.",
                    order=item.label,
                    deliveries=", ".join(delivered.mapped("name")),
                ),
            )
        went_to = {picking: picking.partner_id for picking in delivered}
        order.with_context(update_delivery_shipping_partner=True).write(vals)
        for picking, partner in went_to.items():
            if picking.partner_id != partner:
                picking.partner_id = partner

    @api.model
    def _update_lines(self, backend, item, order, concluded=False):
        untaxed = self.env["integration.connector.shopify"]._untaxed_tax(backend.company_id)
        wanted = {
            vals["shopify_line_id"]: vals
            for vals in self._line_values(backend, item, untaxed, concluded)
        }
        present = {line.shopify_line_id: line for line in order.order_line if line.shopify_line_id}
        commands = []
        for line_id, vals in wanted.items():
            line = present.get(line_id)
            if not line:
                commands.append(Command.create(vals))
            elif self._line_differs(line, vals):
                # a product somebody exchanged in Odoo stays, as does a description
                kept = {"product_id", "name", "sequence"}
                commands.append(
                    Command.update(
                        line.id, {name: value for name, value in vals.items() if name not in kept}
                    )
                )
        for line_id, line in present.items():
            if line_id not in wanted and line.product_uom_qty:
                if line.is_delivery or order.state == "draft":
                    commands.append(Command.delete(line.id))
                else:
                    commands.append(
                        Command.update(line.id, {"product_uom_qty": 0, "extra_tax_data": False})
                    )
        if not commands:
            return
        locked = order.locked
        if locked:
            order.action_unlock()
        self._write_lines(order, commands)
        self._check_totals(item, order)
        if locked:
            order.action_lock()

    @api.model
    def _write_lines(self, order, commands):
        """Write lines, and change what is to be delivered for all of them at once.

        Odoo does it line by line, each time looking at all moves of the delivery: 300 lines of an
        order of 600 took longer than a worker may work.
        """
        before = {line.id: line.product_uom_qty for line in order.order_line}
        order.with_context(skip_procurement=True).write({"order_line": commands})
        changed = order.order_line.filtered(
            lambda line: (
                line.state == "sale"
                and not line.is_expense
                and line.product_uom_qty != before.get(line.id, 0)
            )
        )
        if changed:
            changed._action_launch_stock_rule(previous_product_uom_qty=before)

    @api.model
    def _line_differs(self, line, vals):
        tax_ids = vals["tax_ids"][0][2]
        return (
            line.product_uom_qty != vals["product_uom_qty"]
            or line.price_unit != vals["price_unit"]
            or line.discount != vals["discount"]
            or sorted(line.tax_ids.ids) != tax_ids
            or line.extra_tax_data != vals["extra_tax_data"]
        )
