"""How an order comes about."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from .base import Refused, SpecError, action, decimal
from .fulfilments import Fulfilments
from .ledger import Ledger, sold
from .money import Bag, Currencies, allocate_bag, total
from .payments import Payments
from .records import (
    Allocation,
    Assessment,
    Buyer,
    Charged,
    Company,
    CompanyContact,
    CompanyLocation,
    Discount,
    Draft,
    Duty,
    ExtraFee,
    Line,
    Order,
    PaymentTerms,
    Shipping,
    Variant,
    now,
)


class Placing(Payments, Ledger, Fulfilments):
    def _catalogue_bag(self, price: Decimal, currencies: Currencies) -> Bag:
        buyer = price if currencies.single else price / currencies.rate
        return Bag(price, buyer).rounded(currencies)

    def _currencies(self, spec: dict[str, Any]) -> Currencies:
        buyer = spec.get("presentmentCurrency") or spec.get("currency") or self.config.currency
        if buyer == self.config.currency:
            rate = Decimal(1)
        elif spec.get("rate") is not None:
            rate = decimal(spec["rate"], "rate")
        else:
            rate = self.live_rate(buyer)
        return Currencies(self.config.currency, buyer, rate)

    @action
    def place_order(self, spec: dict[str, Any]) -> Order:
        """Place an order. The keys of ``spec`` are described in README.md, "Placing an order"."""
        currencies = self._currencies(spec)
        if not spec.get("lines"):
            raise SpecError("lines: an order needs at least one line")
        taxes_included = bool(spec.get("taxesIncluded", self.config.taxes_included))
        created = self._moment(spec.get("createdAt"))
        self.order_number += 1
        order = Order(
            self.next_id("Order"),
            self.order_number,
            currencies,
            taxes_included,
            note=spec.get("note"),
            tags=list(spec.get("tags", [])),
            attributes=list((spec.get("attributes") or {}).items()),
            po_number=spec.get("poNumber"),
            source_name=spec.get("sourceName", "web"),
            test=bool(spec.get("test")),
            tax_exempt=bool(spec.get("taxExempt")),
            gateway=spec.get("gateway", "manual"),
            created_at=created,
            updated_at=created,
            processed_at=self._moment(spec.get("processedAt"))
            if spec.get("processedAt")
            else created,
        )
        self._set_people(order, spec)
        self._set_business(order, spec)
        taxes = [] if order.tax_exempt else spec.get("taxes", [])
        for row in spec["lines"]:
            order.lines.append(self._make_line(order, row))
        for row in spec.get("shipping", []):
            order.shipping.append(self._make_shipping(order, row))
        for row, line in zip(spec["lines"], order.lines, strict=True):
            for discount in row.get("discounts", [row["discount"]] if row.get("discount") else []):
                self._discount_line(order, line, discount)
        for discount in spec.get("discounts", []):
            self._discount_order(order, discount)
        rows = [*spec["lines"], *spec.get("shipping", [])]
        for row, charged in zip(rows, order.charged, strict=True):
            self._tax(order, charged, row.get("taxes"), taxes)
        self._add_charges(order, spec)
        if isinstance(spec.get("corrupt"), dict):
            order.corrupt = dict(spec["corrupt"])
        self._open(order, spec.get("payment", "paid"))
        return order

    def _add_charges(self, order: Order, spec: dict[str, Any]) -> None:
        """Duties of lines and additional fees: taxed only by taxes of their own."""
        for row, line in zip(spec["lines"], order.lines, strict=True):
            for duty_row in row.get("duties", []):
                duty = Duty(
                    self.next_id("Duty"),
                    "Duty",
                    order,
                    line=line,
                    price=self._bag(duty_row["amount"], order.currencies, "duty"),
                    code=duty_row.get("code"),
                    country=duty_row.get("country"),
                )
                line.duties.append(self.add(duty))
                self._tax(order, duty, duty_row.get("taxes", []), [])
        for row in spec.get("fees", []):
            fee = ExtraFee(
                self.next_id("AdditionalFee"),
                row.get("name", "Fee"),
                order,
                price=self._bag(row["amount"], order.currencies, "fee"),
            )
            order.fees.append(self.add(fee))
            self._tax(order, fee, row.get("taxes", []), [])

    def _set_business(self, order: Order, spec: dict[str, Any]) -> None:
        """Who buys on what terms, through which channel, and how risky that looks."""
        order.source_identifier = spec.get("sourceIdentifier")
        order.source_url = spec.get("sourceUrl")
        order.app = spec.get("app", order.app)
        order.attribution = spec.get("attribution")
        order.localized_fields = list(spec.get("localizedFields", []))
        order.duties_included = bool(spec.get("dutiesIncluded"))
        if spec.get("retailLocation"):
            order.retail_location = self.get("Location", spec["retailLocation"])
        if spec.get("company"):
            order.buyer = self._buyer(spec["company"], order)
        if spec.get("paymentTerms"):
            row = spec["paymentTerms"]
            order.terms = PaymentTerms(
                self.next_id("PaymentTerms"),
                row.get("name", "Due on receipt"),
                row.get("type", "NET" if row.get("days") else "RECEIPT").upper(),
                row.get("days"),
                self._moment(row["dueAt"]) if row.get("dueAt") else None,
                order,
            )
            if order.terms.due_at is None and order.terms.days is not None:
                order.terms.due_at = order.processed_at + timedelta(days=order.terms.days)
            self.add(order.terms)
        if spec.get("risk"):
            self._assess(order, spec["risk"])

    def _buyer(self, spec: dict[str, Any], order: Order) -> Buyer:
        """The company and the place of it, known or new."""
        companies = self.all("Company")
        company = next((c for c in companies if c.name == spec["name"]), None)
        if company is None:
            company = self.add(
                Company(self.next_id("Company"), spec["name"], spec.get("externalId"))
            )
        name = spec.get("location", spec["name"])
        location = next((place for place in company.locations if place.name == name), None)
        if location is None:
            location = CompanyLocation(
                self.next_id("CompanyLocation"),
                company,
                name,
                spec.get("locationExternalId"),
                spec.get("phone"),
            )
            company.locations.append(self.add(location))
        contact = None
        if order.customer:
            known = [c for c in self.all("CompanyContact") if c.company is company]
            contact = next((c for c in known if c.customer is order.customer), None)
            if contact is None:
                number = self.next_id("CompanyContact")
                contact = self.add(CompanyContact(number, company, order.customer))
        return Buyer(company, location, contact)

    @action
    def assess(self, order: Order, spec: dict[str, Any]) -> None:
        """Somebody judges the risk of an order: ``level``, ``recommendation``, ``facts``
        [{description, sentiment}], ``provider`` (none: Shopify itself)."""
        self._assess(order, spec)
        self.emit("ORDERS_RISK_ASSESSMENT_CHANGED", order)
        self.changed(order)

    @staticmethod
    def _assess(order: Order, spec: dict[str, Any]) -> None:
        level = spec.get("level", "LOW").upper()
        advice = {"HIGH": "CANCEL", "MEDIUM": "INVESTIGATE", "PENDING": "NONE", "NONE": "NONE"}
        facts = [
            (row["description"], row.get("sentiment", "NEUTRAL").upper())
            for row in spec.get("facts", [])
        ]
        provider = spec.get("provider")
        order.assessments = [a for a in order.assessments if a.provider != provider]
        order.assessments.append(Assessment(level, facts, provider))
        # The worst of them decides.
        ranks = ["NONE", "ACCEPT", "INVESTIGATE", "CANCEL"]
        worst = max((advice.get(a.level, "ACCEPT") for a in order.assessments), key=ranks.index)
        order.recommendation = spec.get("recommendation", worst).upper()

    @action
    def draft(self, spec: dict[str, Any]) -> Draft:
        """Write a draft order: the same ``spec`` as an order, which it becomes later."""
        number = len(self.all("DraftOrder")) + 1
        draft = self.add(Draft(self.next_id("DraftOrder"), number, spec))
        self.emit("DRAFT_ORDERS_CREATE", draft)
        return draft

    @action
    def complete_draft(self, draft: Draft, payment: Any = None) -> Order:
        """A draft order becomes an order."""
        if draft.order:
            raise Refused("This order has been paid", ["id"])
        terms = {"payment": "terms"} if draft.spec.get("paymentTerms") else {}
        paid = {} if payment is None else {"payment": payment}
        source = {"sourceName": "shopify_draft_order", "app": "Draft Orders"}
        draft.order = self.place_order({**source, **terms, **draft.spec, **paid})
        draft.status = "COMPLETED"
        draft.completed_at = draft.updated_at = now()
        self.emit("DRAFT_ORDERS_UPDATE", draft)
        return draft.order

    def _open(self, order: Order, payment: Any) -> None:
        """An order that is written down becomes one of the shop."""
        order.original_total = order.total
        self.add(order)
        self._ledger(order, "ORDER", order.processed_at, [sold(c) for c in order.charged])
        for line in order.goods:
            self._reserve(line, line.quantity)
        self._route(order, order.lines)
        self._initial_payments(order, payment)
        if order.customer:
            order.customer.orders.append(order)
            order.customer.updated_at = order.created_at
        self._index(order)
        # Both orders are seen in reality: the update notice may overtake the creation notice.
        topics = ["ORDERS_CREATE", "ORDERS_UPDATED"]
        if self.random.random() < 0.3:
            topics.reverse()
        for topic in topics:
            self.emit(topic, order)
        if order.assessments:
            self.emit("ORDERS_RISK_ASSESSMENT_CHANGED", order)
        for transaction in order.transactions:
            if transaction.status != "PENDING":
                self.emit("ORDER_TRANSACTIONS_CREATE", transaction)
        if order.financial_status == "PAID":
            self.emit("ORDERS_PAID", order)

    def _set_people(self, order: Order, spec: dict[str, Any]) -> None:
        person = spec.get("customer", "guest" if spec.get("email") else None)
        billing, delivery = spec.get("billing"), spec.get("delivery", spec.get("shippingAddress"))
        order.email, order.phone = spec.get("email"), spec.get("phone")
        if isinstance(person, dict):
            if not person.get("guest"):
                order.customer = self.add_customer(person)
            named = {"first_name": person.get("firstName"), "last_name": person.get("lastName")}
            order.email = order.email or person.get("email")
            order.phone = order.phone or person.get("phone")
            address = person.get("address")
            if address and billing is None:
                billing = {**named, **address}
            if address and "delivery" not in spec and "shippingAddress" not in spec:
                delivery = {**named, **address}
        elif person not in (None, "guest"):
            order.customer = self.get("Customer", person)
        if order.customer:
            order.email = order.email or order.customer.email
            order.phone = order.phone or order.customer.phone
            if billing is None and order.customer.addresses:
                billing = vars(order.customer.addresses[0])
            if delivery is None and "delivery" not in spec and order.customer.addresses:
                delivery = vars(order.customer.addresses[0])
        order.billing = self.make_address(billing) if billing else None
        order.shipping_address = self.make_address(delivery) if delivery else None

    def _variant_of(self, row: dict[str, Any]) -> Variant | None:
        if row.get("variant"):
            return self.get("ProductVariant", row["variant"])
        if row.get("sku"):
            variants = self.all("ProductVariant")
            return next((v for v in variants if v.sku == row["sku"]), None)
        return None

    def _make_line(self, order: Order, row: dict[str, Any]) -> Line:
        """A line of a spec: ``sku`` or ``variant`` of the catalogue, or a custom ``title``."""
        variant = self._variant_of(row)
        quantity = int(row.get("quantity", 1))
        if quantity < 1:
            raise SpecError(f"quantity: {quantity} is not positive")
        if row.get("price") is not None:
            price = self._bag(row["price"], order.currencies, "price")
        elif variant:
            price = self._catalogue_bag(variant.price, order.currencies)
        else:
            raise SpecError(
                f"{row.get('sku') or row.get('title')!r}: not in the catalogue, so it needs a price"
            )
        tip = bool(row.get("tip"))
        title = row.get("title") or (variant.product.title if variant else row.get("sku") or "Tip")
        has_options = variant and variant.title != "Default Title"
        line = Line(
            self.next_id("LineItem"),
            title,
            order,
            variant=variant,
            variant_title=row.get("variantTitle") or (variant.title if has_options else None),
            sku=variant.sku if variant else row.get("sku"),
            vendor=variant.product.vendor if variant else row.get("vendor"),
            quantity=quantity,
            current_quantity=quantity,
            unit_price=price,
            taxable=row.get("taxable", variant.taxable if variant else not tip),
            requires_shipping=False
            if tip
            else row.get("requiresShipping", variant.requires_shipping if variant else True),
            gift_card=bool(row.get("giftCard", variant.product.gift_card if variant else False)),
            tip=tip,
            grams=variant.grams if variant else int(row.get("grams", 0)),
            attributes=list((row.get("attributes") or {}).items()),
            location=self.get("Location", row["location"]) if row.get("location") else None,
        )
        return self.add(line)

    def _make_shipping(self, order: Order, row: dict[str, Any]) -> Shipping:
        return Shipping(
            self.next_id("ShippingLine"),
            row.get("title", "Standard"),
            order,
            code=row.get("code", row.get("title", "Standard")),
            price=self._bag(row.get("price", "0"), order.currencies, "shipping price"),
            source=row.get("source", "shopify"),
        )

    def _add_discount(
        self, order: Order, spec: dict[str, Any], across: bool, target: str
    ) -> Discount:
        percentage = spec.get("percentage")
        discount = Discount(
            len(order.discounts),
            spec.get("kind") or ("code" if spec.get("code") else "manual"),
            spec.get("code") or spec.get("title") or "Discount",
            across,
            target,
            amount=None
            if percentage is not None
            else self._bag(
                spec.get("amount", spec.get("fixed", "0")), order.currencies, "discount"
            ),
            percentage=None if percentage is None else decimal(percentage, "percentage"),
        )
        order.discounts.append(discount)
        return discount

    def _discount_line(self, order: Order, line: Line, spec: dict[str, Any]) -> Bag:
        discount = self._add_discount(order, spec, across=False, target="LINE_ITEM")
        left = line.discounted
        if discount.percentage is not None:
            amount = left.times(discount.percentage / 100).rounded(order.currencies)
        else:
            amount = discount.amount or Bag()
            # The discount of an order edit is per unit; the one of a checkout is for the line.
            if spec.get("perUnit"):
                amount = amount.times(line.current_quantity)
        amount = Bag(min(amount.shop, left.shop), min(amount.presentment, left.presentment))
        line.allocations.append(Allocation(discount, amount))
        return amount

    def _discount_order(self, order: Order, spec: dict[str, Any]) -> None:
        shipping = spec.get("target") == "shipping"
        discount = self._add_discount(
            order, spec, across=True, target="SHIPPING_LINE" if shipping else "LINE_ITEM"
        )
        targets: list[Charged] = list(
            order.shipping if shipping else [ln for ln in order.goods if not ln.gift_card]
        )
        weights = [target.discounted for target in targets]
        if discount.percentage is not None:
            amount = total(weights).times(discount.percentage / 100).rounded(order.currencies)
        else:
            amount = discount.amount or Bag()
        for target, part in zip(
            targets, allocate_bag(amount, weights, order.currencies), strict=True
        ):
            if part:
                target.allocations.append(Allocation(discount, part))
