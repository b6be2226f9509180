"""Orders that are more than goods and a consumer: duties, cash, companies, drafts, risk."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ..app import Simulator
from ..payloads import payload
from ..records import Order
from ..shop import Refused, Shop
from .helpers import Run


def place(shop: Shop, **spec: Any) -> Order:
    lines = [{"title": "Coat", "price": "100", "quantity": 2}]
    return shop.place_order({"lines": lines, "taxesIncluded": False, **spec})


def kinds(order: Order) -> list[tuple[str, str, str]]:
    return [
        (sale.action, sale.line_type, f"{sale.amount.shop:.2f}")
        for agreement in order.agreements
        for sale in agreement.sales
    ]


def with_duty(shop: Shop) -> Order:
    duty = {"amount": "12", "code": "6109", "country": "CN", "taxes": [{"rate": "0.1"}]}
    return shop.place_order(
        {
            "lines": [{"title": "Coat", "price": "100", "quantity": 2, "duties": [duty]}],
            "fees": [{"name": "Delivery state", "amount": "0.28"}],
            "taxesIncluded": False,
        }
    )


def test_duties_and_fees_are_part_of_the_total(simulator: Simulator, graphql: Run) -> None:
    order = with_duty(simulator.shop)
    assert f"{order.total.shop:.2f}" == "213.48"
    assert kinds(order) == [
        ("ORDER", "PRODUCT", "200.00"),
        ("ORDER", "DUTY", "13.20"),
        ("ORDER", "ADDITIONAL_FEE", "0.28"),
    ]
    found = graphql(
        """query ($id: ID!) { order(id: $id) {
            currentTotalDutiesSet { shopMoney { amount } }
            currentTotalAdditionalFeesSet { shopMoney { amount } }
            additionalFees { name price { shopMoney { amount } } }
            lineItems(first: 1) { nodes { duties { id harmonizedSystemCode taxLines { rate } } } }
            agreements(first: 1) { nodes { sales(first: 5) { nodes {
                ... on DutySale { duty { id } } ... on AdditionalFeeSale { additionalFee { id } }
            } } } }
        } }""",
        {"id": order.gid},
    )["data"]["order"]
    assert found["currentTotalDutiesSet"]["shopMoney"]["amount"] == "12.0"
    assert found["currentTotalAdditionalFeesSet"]["shopMoney"]["amount"] == "0.28"
    duty = found["lineItems"]["nodes"][0]["duties"][0]
    assert duty["harmonizedSystemCode"] == "6109"
    sales = found["agreements"]["nodes"][0]["sales"]["nodes"]
    assert sales[1] == {"duty": {"id": duty["id"]}}


def test_a_duty_is_refunded_as_its_units_are(shop: Shop) -> None:
    order = with_duty(shop)
    duty = order.duties[0]
    part = [{"duty": duty.gid, "type": "PROPORTIONAL"}]
    refund = shop.refund(order, {"lines": [{"line": 0, "quantity": 1}], "duties": part})
    assert f"{refund.refunded.shop:.2f}" == "106.60"
    assert [f"{row.subtotal.shop:.2f}" for row in refund.duties] == ["6.00"]
    shop.cancel(order)
    assert not order.current_total
    with pytest.raises(Refused, match="Duty does not exist"):
        shop.refund(place(shop), {"duties": [{"duty": duty.gid}]})


def test_no_duties_are_null_not_zero(simulator: Simulator, graphql: Run) -> None:
    order = place(simulator.shop)
    query = "query ($id: ID!) { order(id: $id) { currentTotalDutiesSet { shopMoney { amount } } } }"
    assert graphql(query, {"id": order.gid})["data"]["order"] == {"currentTotalDutiesSet": None}


def test_cash_over_the_counter(simulator: Simulator, graphql: Run) -> None:
    shop = simulator.shop
    order = place(
        shop,
        sourceName="pos",
        retailLocation=shop.default_location.gid,
        payment=[
            {"amount": "220", "gateway": "cash", "rounding": "-0.02"},
            {"amount": "20", "gateway": "cash", "kind": "CHANGE"},
        ],
    )
    assert (order.financial_status, order.received.shop) == ("PAID", Decimal(200))
    sale, change = order.transactions
    assert (change.parent, sale.refundable.shop) == (sale, 200)
    found = graphql(
        """query ($id: ID!) { order(id: $id) {
            sourceName retailLocation { id } totalReceivedSet { shopMoney { amount } }
            totalCashRoundingAdjustment { paymentSet { shopMoney { amount } } }
            transactions { kind amountRoundingSet { shopMoney { amount } } location { id } }
        } }""",
        {"id": order.gid},
    )["data"]["order"]
    rounding = found["totalCashRoundingAdjustment"]["paymentSet"]["shopMoney"]["amount"]
    assert rounding == "-0.02"
    assert found["retailLocation"]["id"] == shop.default_location.gid
    assert [row["kind"] for row in found["transactions"]] == ["SALE", "CHANGE"]


def test_a_gift_card_sold_is_a_sale_and_used_is_a_payment(shop: Shop) -> None:
    card = {"title": "Card", "price": "50", "giftCard": True}
    order = shop.place_order({"lines": [card], "taxes": [{"rate": "0.1"}]})
    assert kinds(order) == [("ORDER", "GIFT_CARD", "50.00")]
    used = place(shop, payment=[{"amount": "50", "gateway": "gift_card"}, {}])
    assert [(t.gateway, t.amount.shop) for t in used.transactions] == [
        ("gift_card", 50),
        ("manual", 150),
    ]
    assert kinds(used) == [("ORDER", "PRODUCT", "200.00")]


def test_a_company_buys_on_terms(simulator: Simulator, graphql: Run) -> None:
    shop = simulator.shop
    spec: dict[str, Any] = {
        "company": {"name": "Berg AG", "location": "Depot", "externalId": "B1"},
        "customer": {"firstName": "Ada", "email": "ada@example.com"},
        "paymentTerms": {"name": "Net 30", "days": 30},
        "payment": "terms",
        "poNumber": "PO-7",
    }
    first, second = place(shop, **spec), place(shop, **spec)
    assert first.buyer.location is second.buyer.location
    assert (first.financial_status, first.transactions[0].status) == ("PENDING", "PENDING")
    found = graphql(
        """query ($id: ID!) { order(id: $id) {
            poNumber purchasingEntity { ... on PurchasingCompany {
                company { name externalId } location { name } contact { customer { email } } } }
            paymentTerms { paymentTermsType dueInDays paymentSchedules(first: 1) { nodes {
                dueAt balanceDue { amount } } } }
        } }""",
        {"id": first.gid},
    )["data"]["order"]
    entity = found["purchasingEntity"]
    assert entity["company"] == {"name": "Berg AG", "externalId": "B1"}
    assert entity["contact"]["customer"]["email"] == "ada@example.com"
    terms = found["paymentTerms"]
    assert (terms["paymentTermsType"], terms["dueInDays"]) == ("NET", 30)
    assert terms["paymentSchedules"]["nodes"][0]["balanceDue"] == {"amount": "200.0"}


def test_a_payment_that_waits_arrives(shop: Shop) -> None:
    order = place(shop, payment=[{"status": "PENDING", "gateway": "bank_deposit"}])
    told: list[str] = []
    shop.emit = lambda topic, record: told.append(topic)
    assert (order.financial_status, order.outstanding.shop) == ("PENDING", 200)
    shop.settle_payments(order)
    assert (order.financial_status, order.outstanding.shop) == ("PAID", 0)
    assert told == ["ORDER_TRANSACTIONS_CREATE", "ORDERS_PAID", "ORDERS_UPDATED"]


def test_a_draft_becomes_an_order(shop: Shop) -> None:
    told: list[tuple[str, Any]] = []
    shop.emit = lambda topic, record: told.append((topic, payload(shop, topic, record)))
    draft = shop.draft({"lines": [{"title": "Coat", "price": "42"}], "paymentTerms": {"days": 0}})
    assert shop.all("Order") == []
    order = shop.complete_draft(draft)
    assert order.source_name == "shopify_draft_order"
    assert (order.financial_status, order.transactions[0].status) == ("PENDING", "PENDING")
    topics = [topic for topic, _body in told if topic.startswith(("DRAFT", "ORDERS_CREATE"))]
    assert topics == ["DRAFT_ORDERS_CREATE", "ORDERS_CREATE", "DRAFT_ORDERS_UPDATE"]
    assert told[-1][1]["order_id"] == order.id
    with pytest.raises(Refused):
        shop.complete_draft(draft)


def test_risk_is_judged_and_told(simulator: Simulator, graphql: Run) -> None:
    shop = simulator.shop
    told: list[tuple[str, Any]] = []
    order = place(shop)
    shop.emit = lambda topic, record: told.append((topic, payload(shop, topic, record)))
    facts = [{"description": "Proxy used", "sentiment": "negative"}]
    shop.assess(order, {"level": "high", "facts": facts})
    shop.assess(order, {"level": "medium", "facts": [], "provider": "Guard"})
    assert told[0][0] == "ORDERS_RISK_ASSESSMENT_CHANGED"
    assert (told[0][1]["order_id"], told[0][1]["risk_level"]) == (order.id, "high")
    found = graphql(
        """query ($id: ID!) { order(id: $id) { risk { recommendation
            assessments { riskLevel provider { id } facts { description sentiment } } } } }""",
        {"id": order.gid},
    )["data"]["order"]["risk"]
    assert [a["riskLevel"] for a in found["assessments"]] == ["HIGH", "MEDIUM"]
    assert found["recommendation"] == "CANCEL"
    assert found["assessments"][0]["provider"] is None


def test_what_a_marketplace_remits_is_marked(shop: Shop) -> None:
    taxes = [{"title": "State", "rate": "0.05", "channelLiable": True}]
    order = place(shop, taxes=taxes)
    shop.edit(order, {"discount": [{"line": 0, "fixed": "10"}]})
    assert [t.channel_liable for t in order.lines[0].tax_lines] == [True]
