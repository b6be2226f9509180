"""What automation rules ask about an order: what has happened so far, and what it is.

Rules speak of what *has happened* to the money, not only of the status now. So the states an order
has passed are read from its history, and whoever sees only the end decides as if every step had
been seen.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from .contract import Order

#: How far the money of an order came, in this order.
MILESTONES = ("pending", "authorized", "partly_paid", "paid")
#: When documents are booked, the later promise first.
INVOICE_RULES = ("no", "delivered", "paid", "at_once")
#: A payment made at the checkout is stamped some seconds around the order itself.
CHECKOUT = timedelta(minutes=1)
_EVER_PAID = frozenset({"PAID", "PARTIALLY_REFUNDED", "REFUNDED"})
_STATUS = {"AUTHORIZED": "authorized", "PARTIALLY_PAID": "partly_paid"}


@dataclass(frozen=True)
class Step:
    """A state of the money that an order has reached.

    :param milestone: one of :data:`MILESTONES`.
    :param at: since when (naive UTC), None where Shopify does not say.
    """

    milestone: str
    at: datetime | None = None


@dataclass(frozen=True)
class Facts:
    """What rules may ask about an order, apart from its money.

    :param gateways: names of the payment methods, in the form they are compared in.
    :param channels: where it was ordered: source, app, till.
    :param country: ISO code of the country of delivery, else of the invoice.
    :param risk: Shopify's recommendation ``accept``, ``investigate``, ``cancel``, or empty.
    :param is_company: whether a company ordered (B2B).
    :param tags: in the form they are compared in.
    """

    gateways: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    country: str = ""
    risk: str = ""
    is_company: bool = False
    tags: frozenset[str] = frozenset()


def plain(text: str) -> str:
    """Return a name in the form it is compared in (``Cash_on_Delivery`` = ``cash on delivery``)."""
    return " ".join(text.replace("_", " ").casefold().split())


def names(text: str | None) -> frozenset[str]:
    """Return the names in a list separated by commas, in the form they are compared in."""
    return frozenset(filter(None, map(plain, (text or "").split(","))))


def risk_of(order: Order) -> str:
    """Return ``accept``, ``investigate``, ``cancel``, or an empty text without an assessment.

    A high level counts as ``investigate`` where Shopify recommends nothing.
    https://shopify.dev/docs/api/admin-graphql/latest/objects/OrderRiskSummary
    """
    if not order.risk:
        return ""
    recommended = order.risk.recommendation.lower()
    if recommended in ("accept", "investigate", "cancel"):
        return recommended
    levels = {row.riskLevel for row in order.risk.assessments}
    return "investigate" if "HIGH" in levels else ""


def is_till_order(order: Order) -> bool:
    """Whether the order was taken at a point of sale."""
    return order.retailLocation is not None or order.sourceName.casefold() == "pos"


def channels_of(order: Order) -> tuple[str, ...]:
    """Return where the order was placed, as Shopify writes it: source, app, till."""
    found = [
        order.sourceName,
        order.app.name if order.app else "",
        order.retailLocation.name if order.retailLocation else "",
    ]
    return tuple(dict.fromkeys(filter(None, found)))


def country_of(order: Order) -> str:
    """Return the ISO code of the country the goods go to, else of the invoice, else empty."""
    for address in (order.shippingAddress, order.billingAddress):
        if address and address.countryCodeV2:
            return address.countryCodeV2.upper()
    return ""


def facts_of(order: Order) -> Facts:
    """Return the :class:`Facts` of an order."""
    gateways = {name for name in order.paymentGatewayNames}
    for row in order.transactions:
        gateways |= {row.gateway, row.formattedGateway}
    channels = set(channels_of(order))
    if is_till_order(order):
        channels.add("pos")
    return Facts(
        gateways=frozenset(map(plain, filter(None, gateways))),
        channels=frozenset(map(plain, channels)),
        country=country_of(order),
        risk=risk_of(order),
        is_company=order.purchasingEntity is not None
        and order.purchasingEntity.company is not None,
        tags=frozenset(map(plain, order.tags)),
    )


def steps_of(order: Order, paid_at: datetime | None) -> tuple[Step, ...]:
    """Return the states of the money the order went through, in the order of time.

    An order that was paid when it was placed was never pending. What was reached is kept: a paid
    order stays ``paid`` when it is refunded, an authorized one ``authorized`` when it is voided.

    :param paid_at: when the money received first covered all that was agreed; None: never.
    """
    placed = max(filter(None, (order.createdAt, order.processedAt)))
    reached = {}
    for row in sorted(order.transactions, key=lambda row: row.moved_at):
        if row.status != "SUCCESS":
            continue
        if row.kind in ("AUTHORIZATION", "EMV_AUTHORIZATION"):
            reached.setdefault("authorized", row.moved_at)
        elif row.kind in ("SALE", "CAPTURE") and (paid_at is None or row.moved_at < paid_at):
            reached.setdefault("partly_paid", row.moved_at)
    if paid_at is not None:
        reached["paid"] = paid_at
    status = order.displayFinancialStatus
    if not order.transactions and (status in _EVER_PAID or status in _STATUS):
        # the money is not shown, its state is
        reached.setdefault("paid" if status in _EVER_PAID else _STATUS[status], None)
    # an authorization that came after the payment is a second one and changes nothing
    found = []
    for milestone in MILESTONES[1:]:
        if milestone in reached and not _is_overtaken(milestone, reached):
            found.append(Step(milestone, reached[milestone]))
    at_once = [step for step in found if step.at is None or step.at <= placed + CHECKOUT]
    if not at_once:
        return (Step("pending", placed), *found)
    # of what happened within the checkout only its outcome was ever a state
    return (at_once[-1], *found[len(at_once) :])


def _is_overtaken(milestone, reached):
    """Whether a later milestone was reached no later than this one."""
    later = MILESTONES[MILESTONES.index(milestone) + 1 :]
    return any(
        name in reached
        and (
            reached[name] is None
            or (reached[milestone] is not None and reached[name] <= reached[milestone])
        )
        for name in later
    )
