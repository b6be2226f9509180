"""Random lives of orders, drawn from the seed alone.

A life is planned on a shop of its own in this process, so each step is one that the real shop
accepts in that moment, and its arguments are plain values: the same life can be lived again alone,
step by step, or in part.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from tests.simulators.shopify import records
from tests.simulators.shopify.base import Config
from tests.simulators.shopify.control import Control
from tests.simulators.shopify.money import exponent, round_money
from tests.simulators.shopify.records import Line, Order
from tests.simulators.shopify.seed import random_orders, seed_catalogue
from tests.simulators.shopify.shop import Shop

#: Most steps of a life after it was placed.
STEPS = 8
#: What the gateways of lives are called in the shop; each has a journal of its own in Odoo.
GATEWAYS = ("shopify_payments", "paypal", "manual", "gift_card")
#: Where the orders come from that are invoiced when they are paid; all others are at once.
INVOICED_WHEN_PAID = "wholesale"
#: Done in Odoo, not in the shop.
SHIP_IN_ODOO = "ship_in_odoo"

Spec = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """Something that happens to an order.

    :ivar action: of the simulator's control API, ``place`` or :data:`SHIP_IN_ODOO`.
    :ivar body: its arguments.
    :ivar pause: seconds to wait before it.
    """

    action: str
    body: Spec
    pause: float = 0.0


@dataclass(frozen=True)
class Life:
    """Everything that happens to one order."""

    seed: int
    number: int
    steps: list[Step] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What to type to live it again."""
        return f"--seed {self.seed} --life {self.number}"

    @property
    def actions(self) -> list[str]:
        return [step.action for step in self.steps]

    def told(self) -> str:
        """The steps, one a line, as :func:`read` reads them."""
        return "\n".join(json.dumps(asdict(step), sort_keys=True) for step in self.steps)


def read(text: str, number: int = 0) -> Life:
    """A life from the text of :meth:`Life.told`."""
    return Life(0, number, [Step(**json.loads(row)) for row in text.strip().splitlines()])


def draw_lives(seed: int, count: int) -> Iterator[Life]:
    """The lives of a seed; the n-th one is the same however many there are."""
    for number in range(count):
        yield draw(seed, number)


def draw(seed: int, number: int) -> Life:
    """One life.

    :raises Refused: the planned shop refuses a step, so the plan is wrong.
    """
    with clock() as time:
        return _Draw(random.Random(f"{seed}-life-{number}"), time).life(seed, number)


# === TIME === #


class Clock:
    """A clock of the simulator that stands still until it is moved on."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def go(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@contextmanager
def clock(start: datetime = datetime(2026, 11, 2, 9, tzinfo=UTC)) -> Iterator[Clock]:
    """Let the simulator in this process live by a clock of ours."""
    own = Clock(start)

    class Watch(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return own.moment

    with patch.object(records, "datetime", Watch):
        yield own


# === DRAWING === #


class _Draw:
    """Draws one life; a method of :data:`_CHANGES` returns the arguments of a step, or None when
    the step is impossible now."""

    def __init__(self, rng: random.Random, time: Clock) -> None:
        self.rng = rng
        self.time = time
        self.shop = Shop(Config(search_delay=0))
        seed_catalogue(self.shop)
        self.skus = {v.gid: v.sku for v in self.shop.all("ProductVariant") if v.sku}

    def life(self, seed: int, number: int) -> Life:
        rng = self.rng
        spec = self._place()
        # who waits for the money needs to know what came first, and Shopify tells whole seconds
        hasty = rng.random() < 0.7 and "sourceName" not in spec
        steps = [Step("place", spec)]
        order = self.shop.place_order(spec)
        ships_in_odoo = rng.random() < 0.3
        count = min(rng.randint(0, STEPS), rng.randint(1, STEPS))
        while len(steps) <= count:
            action, body = self._change(order, ships_in_odoo)
            # in the same second as the step before, soon after it, or when all is quiet again
            pause = rng.choice((0.0, 0.3, 1.1)) if hasty else rng.uniform(1.1, 6)
            self.time.go(pause)
            play(self.shop, order, action, body)
            steps.append(Step(action, body, round(pause, 2)))
        return Life(seed, number, steps)

    # --- Placing --- #

    def _place(self) -> Spec:
        rng = self.rng
        spec = random_orders(1, rng.getrandbits(32), self.shop)[0]
        for line in spec["lines"]:
            line["sku"] = self.skus[line.pop("variant")]
        currency = spec["presentmentCurrency"]
        spec["lines"] = spec["lines"][: rng.choice((1, 2, 3, 3, 5, 12))]
        spec["gateway"] = rng.choice(GATEWAYS[:3])
        if rng.random() < 0.15:
            spec["lines"].append(
                {"title": "Tip", "tip": True, "price": self._amount(1, 9, currency)}
            )
        if rng.random() < 0.1:
            spec["lines"].append(
                {
                    "title": "Gift Card",
                    "giftCard": True,
                    "requiresShipping": False,
                    "price": self._amount(10, 100, currency),
                }
            )
        if rng.random() < 0.15:
            # a county without a tax of its own
            spec["taxes"].append({"title": "County", "rate": "0"})
        if rng.random() < 0.05:
            spec["taxes"] = []
        if rng.random() < 0.15:
            spec["shipping"] = []
            spec["discounts"] = [d for d in spec["discounts"] if d.get("target") != "shipping"]
        if rng.random() < 0.1 and spec["discounts"]:
            spec["discounts"].append({"title": "Loyalty", "kind": "automatic", "percentage": 5})
        if rng.random() < 0.06:
            spec["lines"][0]["duties"] = [{"amount": self._amount(1, 9, currency)}]
        if rng.random() < 0.03:
            spec["fees"] = [{"name": "Handling", "amount": self._amount(1, 3, currency)}]
        if rng.random() < 0.1:
            spec["poNumber"] = f"PO-{rng.randrange(1000)}"
        if rng.random() < 0.4:
            spec["sourceName"] = INVOICED_WHEN_PAID
        self._place_payment(spec, currency)
        return spec

    def _place_payment(self, spec: Spec, currency: str) -> None:
        rng = self.rng
        draw = rng.random()
        if draw < 0.04:
            spec["payment"] = "failed"
        elif draw < 0.15:
            # a gift card pays a part, something else the rest
            part = self._amount(1, 12, currency)
            spec["payment"] = [
                {"amount": part, "kind": "SALE", "gateway": "gift_card"},
                {"kind": "SALE"},
            ]
        elif draw < 0.2:
            spec["payment"] = [{"amount": self._amount(1, 12, currency), "kind": "SALE"}]
        elif draw < 0.4:
            spec["payment"] = rng.choice(("pending", "authorized", "authorized"))

    def _amount(self, low: float, high: float, currency: str) -> str:
        worth = self.rng.uniform(low, high)
        return str(round_money(Decimal(worth * (1 if exponent(currency) else 130)), currency))

    # --- Changes --- #

    def _change(self, order: Order, ships_in_odoo: bool) -> tuple[str, Spec]:
        """Any change that is possible now; a note always is."""
        rng = self.rng
        names, weights = zip(*_CHANGES.items(), strict=True)
        while True:
            name = rng.choices(names, weights)[0]
            body = getattr(self, f"_{name}")(order)
            if body is not None:
                action = name.partition("__")[0]
                # in Odoo a hold of one part keeps the whole delivery back
                held = any(row.holds for row in order.fulfillment_orders)
                if action == "fulfil" and ships_in_odoo and "service" not in body and not held:
                    action = SHIP_IN_ODOO
                return action, body

    def _some(self, lines: list[Line], units: Callable[[Line], int]) -> list[tuple[int, int]]:
        """Some of the lines with some of their units: (position, quantity)."""
        rng = self.rng
        rows = []
        for line in lines:
            if rng.random() < 0.6 or not rows:
                most = units(line)
                quantity = most if rng.random() < 0.6 else rng.randint(1, most)
                rows.append((line.order.lines.index(line), quantity))
        return rows

    def _touch(self, order: Order) -> Spec:
        rng = self.rng
        return rng.choice(
            (
                {"note": f"Note {rng.randrange(1000)}"},
                {"tags": rng.sample(["vip", "gift", "wholesale", "late"], rng.randint(0, 3))},
                {"delivery": self._other_address(order)},
            )
        )

    def _other_address(self, order: Order) -> Spec:
        """Somewhere else in the same country: abroad there were other taxes."""
        country = (order.shipping_address or order.billing).country_code
        number = self.rng.randrange(1, 99)
        return {
            "first_name": "Otto",
            "last_name": "Weg",
            "address1": f"Platz {number}",
            "zip": f"{number:05}",
            "city": "Newtown",
            "country_code": country,
        }

    def _edit__set(self, order: Order) -> Spec | None:
        rng = self.rng
        lines = [line for line in order.goods if line.unfulfilled and not line.gift_card]
        if order.cancelled_at or not lines:
            return None
        rows = []
        for line in rng.sample(lines, min(len(lines), rng.choice((1, 1, 2)))):
            least = line.current_quantity - line.unfulfilled
            wanted = rng.randint(least, line.current_quantity + 2)
            if wanted != line.current_quantity:
                rows.append({"line": order.lines.index(line), "quantity": wanted})
        return {"set": rows} if rows else None

    def _edit__add(self, order: Order) -> Spec | None:
        if order.cancelled_at:
            return None
        rng = self.rng
        row: Spec = {"sku": rng.choice(sorted(self.skus.values())), "quantity": rng.randint(1, 3)}
        if rng.random() < 0.2:
            row["taxes"] = []
        return {"add": [row]}

    def _edit__discount(self, order: Order) -> Spec | None:
        """Of a line nothing of which was shipped or removed, as the admin allows it."""
        rng = self.rng
        lines = [
            line
            for line in order.goods
            if line.current_quantity == line.quantity
            and not line.fulfilled
            and not line.gift_card
            and line.discounted.presentment
        ]
        if order.cancelled_at or not lines:
            return None
        row: Spec = {"line": order.lines.index(rng.choice(lines))}
        if rng.random() < 0.5:
            row["percentage"] = rng.choice((5, 10, 33))
        else:
            row["fixed"] = self._amount(0.5, 2, order.currencies.presentment)
        return {"discount": [row]}

    def _edit__shipping(self, order: Order) -> Spec | None:
        if order.cancelled_at or len(order.shipping) > 2:
            return None
        price = self._amount(2, 9, order.currencies.presentment)
        return {"shipping": [{"title": "Express", "code": "EXP", "price": price}]}

    def _pay(self, order: Order) -> Spec | None:
        rng = self.rng
        due = order.outstanding.presentment
        if (
            order.cancelled_at
            or due <= 0
            or order.financial_status in ("PAID", "REFUNDED", "VOIDED")
        ):
            return None
        body: Spec = {"gateway": rng.choice(GATEWAYS[:3])}
        if rng.random() < 0.4:
            body["amount"] = self._part(due, order)
        if rng.random() < 0.15:
            body["status"] = rng.choice(("FAILURE", "PENDING"))
        return body

    def _authorize(self, order: Order) -> Spec | None:
        if order.cancelled_at or order.outstanding.presentment <= 0:
            return None
        body: Spec = {"gateway": "shopify_payments"}
        if self.rng.random() < 0.3:
            body["amount"] = self._part(order.outstanding.presentment, order)
        if self.rng.random() < 0.1:
            body["status"] = "FAILURE"
        return body

    def _capture(self, order: Order) -> Spec | None:
        if not order.open_authorizations:
            return None
        body: Spec = {}
        if self.rng.random() < 0.4:
            body["amount"] = self._part(order.open_authorizations[0].amount.presentment, order)
        return body

    def _void(self, order: Order) -> Spec | None:
        return {} if order.open_authorizations else None

    def _fulfil(self, order: Order) -> Spec | None:
        rng = self.rng
        lines = [line for line in order.goods if line.fulfillable and line.requires_shipping]
        if order.cancelled_at or not lines:
            return None
        rows = self._some(lines, lambda line: line.fulfillable)
        tracking = [
            {"company": rng.choice(("DHL", "UPS", "Other")), "number": f"T{rng.randrange(10**8)}"}
            for _parcel in range(rng.choice((0, 1, 1, 2)))
        ]
        body: Spec = {
            "lines": [{"line": line, "quantity": quantity} for line, quantity in rows],
            "tracking": tracking,
        }
        if rng.random() < 0.2:
            body["service"] = "Parcel Partners"
        return body

    def _unfulfil(self, order: Order) -> Spec | None:
        """A shipment is undone, unless some of it came back already."""
        found = [
            number
            for number, parcel in enumerate(order.fulfillments)
            if parcel.status == "SUCCESS" and not any(part.line.returned for part in parcel.lines)
        ]
        if order.cancelled_at or not found or any(row.active for row in order.returns):
            return None
        return {"fulfillment": self.rng.choice(found)}

    def _hold(self, order: Order) -> Spec | None:
        work = [
            number
            for number, row in enumerate(order.fulfillment_orders)
            if row.status == "OPEN" and not row.holds
        ]
        if order.cancelled_at or not work:
            return None
        return {"fulfillmentOrder": self.rng.choice(work), "reason": "AWAITING_PAYMENT"}

    def _release(self, order: Order) -> Spec | None:
        held = [number for number, row in enumerate(order.fulfillment_orders) if row.holds]
        return {"fulfillmentOrder": self.rng.choice(held)} if held else None

    def _refund__lines(self, order: Order) -> Spec | None:
        rng = self.rng
        restock = rng.choice(("RETURN", "RETURN", "CANCEL", "CANCEL", "NO_RESTOCK"))

        def units(line: Line) -> int:
            back = line.fulfilled - line.returned - line.promised
            left = line.current_quantity - line.promised
            return min({"RETURN": back, "CANCEL": line.unfulfilled}.get(restock, left), left)

        lines = [line for line in order.lines if units(line) > 0]
        if restock != "NO_RESTOCK":
            lines = [line for line in lines if not line.tip]
        if self._busy(order) or not lines or (not order.received and rng.random() < 0.8):
            return None
        body: Spec = {
            "lines": [
                {"line": line, "quantity": quantity, "restock": restock}
                for line, quantity in self._some(lines, units)
            ]
        }
        draw = rng.random()
        shipping = sum(s.current.presentment for s in order.shipping)
        if draw < 0.15 and shipping:
            body["shipping"] = "full"
        elif draw < 0.25 and shipping:
            body["shipping"] = self._part(shipping, order)
        draw = rng.random()
        if draw < 0.12 or order.adjusted.presentment < 0:
            # a fee is kept, or nothing is paid back at all, or some was already
            paid = order.net_payment.presentment
            body["amount"] = self._part(paid, order) if paid and draw < 0.5 else "0"
        if rng.random() < 0.15:
            body["status"] = "PENDING"
        return body

    def _return(self, order: Order) -> Spec | None:
        rng = self.rng

        def units(line: Line) -> int:
            back = line.fulfilled - line.returned - line.promised
            return min(back, line.current_quantity - line.promised)

        lines = [line for line in order.goods if units(line) > 0]
        if order.cancelled_at or not lines:
            return None
        body: Spec = {
            "lines": [
                {"line": line, "quantity": quantity} for line, quantity in self._some(lines, units)
            ]
        }
        if rng.random() < 0.2:
            body["lines"][0]["fee"] = 10
        if rng.random() < 0.3:
            body["exchange"] = [{"sku": rng.choice(sorted(self.skus.values()))}]
        if rng.random() < 0.3:
            body["requested"] = True
        return body

    def _returns(self, order: Order, *states: str) -> list[int]:
        return [number for number, row in enumerate(order.returns) if row.status in states]

    def _approveReturn(self, order: Order) -> Spec | None:
        found = self._returns(order, "REQUESTED")
        return {"return": self.rng.choice(found)} if found else None

    def _declineReturn(self, order: Order) -> Spec | None:
        return self._approveReturn(order)

    def _cancelReturn(self, order: Order) -> Spec | None:
        rows = [n for n in self._returns(order, "OPEN") if not order.returns[n].refunds]
        return {"return": self.rng.choice(rows)} if rows else None

    def _processReturn(self, order: Order) -> Spec | None:
        rng = self.rng
        rows = [
            number
            for number in self._returns(order, "OPEN")
            if any(line.unprocessed for line in order.returns[number].lines)
        ]
        if self._busy(order) or not rows:
            return None
        body: Spec = {"return": rng.choice(rows), "restock": rng.random() < 0.7}
        if order.adjusted.presentment < 0 or rng.random() < 0.1:
            body["amount"] = "0"
        return body

    def _refund__shipping(self, order: Order) -> Spec | None:
        shipping = sum(s.current.presentment for s in order.shipping)
        if self._busy(order) or not shipping or not order.net_payment.presentment:
            return None
        if order.adjusted.presentment < 0:
            return None
        return {"shipping": "full" if self.rng.random() < 0.5 else self._part(shipping, order)}

    def _refund__amount(self, order: Order) -> Spec | None:
        paid = order.net_payment.presentment
        if self._busy(order) or not paid:
            return None
        body: Spec = {"amount": self._part(min(paid, paid / 3 + 1), order)}
        if self.rng.random() < 0.15:
            body["status"] = "PENDING"
        return body

    @staticmethod
    def _busy(order: Order) -> bool:
        """Whether money is on its way back, or the order is over: nothing is refunded then."""
        return bool(
            order.cancelled_at
            or any(t.kind == "REFUND" and t.status == "PENDING" for t in order.transactions)
        )

    def _settle(self, order: Order) -> Spec | None:
        pending = [t for r in order.refunds for t in r.transactions if t.status == "PENDING"]
        if not pending:
            return None
        return {"status": "SUCCESS" if self.rng.random() < 0.75 else "FAILURE"}

    def _cancel(self, order: Order) -> Spec | None:
        rng = self.rng
        if self._busy(order) or any(line.fulfilled for line in order.goods):
            return None
        return {
            "refund": rng.random() < 0.8,
            "restock": rng.random() < 0.8,
            "reason": rng.choice(("CUSTOMER", "INVENTORY", "OTHER")),
        }

    def _part(self, amount: Decimal, order: Order) -> str:
        """Some part of an amount, more than nothing."""
        currency = order.currencies.presentment
        part = round_money(amount * Decimal(self.rng.uniform(0.1, 0.9)), currency)
        return str(part or amount)


#: Changes (method, of which `__` separates the action from its variant) and how often they come.
_CHANGES = {
    "touch": 5,
    "edit__set": 6,
    "edit__add": 5,
    "edit__discount": 4,
    "edit__shipping": 2,
    "pay": 12,
    "authorize": 2,
    "capture": 25,
    "void": 4,
    "fulfil": 16,
    "unfulfil": 2,
    "hold": 1,
    "release": 8,
    "return": 6,
    "approveReturn": 20,
    "declineReturn": 4,
    "cancelReturn": 2,
    "processReturn": 25,
    "refund__lines": 12,
    "refund__shipping": 2,
    "refund__amount": 4,
    "settle": 40,
    "cancel": 3,
}


def play(shop: Shop, order: Order, action: str, body: Spec) -> None:
    """Do a step to an order of a shop in this process, as the control API does it."""
    control = Control(SimpleNamespace(shop=shop))
    control.act(order, "fulfil" if action == SHIP_IN_ODOO else action, body)
