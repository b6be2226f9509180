"""What is sent of stock, and what to do when Shopify has another number than was last confirmed.

Shopify's ``available`` is what can still be sold: on hand less what open orders have taken
(``committed``). An order placed a second ago has lowered it already, and Odoo does not know of it
yet. So a number of Odoo's is never sent against an unknown one: each row says what it believes to
replace (``changeFromQuantity``), and where Shopify has something else, the units sold there that
Odoo has not counted yet (:func:`pending`) are taken off first.

https://shopify.dev/docs/apps/build/orders-fulfillment/inventory-management-apps
"""

import json
import math
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .client import Problem
from .contract import read_utc

#: Resource code of the bindings of products, by their inventory item, whose stock is sent.
STOCK = "stock"
#: Rows of one call; Shopify takes no more.
MAX_ROWS = 250
#: What Shopify's numbers may be at most.
MAX_QUANTITY = 1_000_000_000
#: Levels asked for with an item; items with more are read on.
FIRST_LEVELS = 10
#: Rough size of one query of levels: items times levels.
_READ_BUDGET = 250
#: Below this a quantity of Odoo's is noise of its floating point numbers.
_NOISE = 1e-6
_NAMESPACE = uuid.UUID("6f0d1f3c-8d5e-5d5c-9d84-3a2f6c9b7e10")

#: What becomes of a number that Shopify changed by itself.
SOLD, ODOO, ASK = "sold", "odoo", "ask"


@dataclass(frozen=True)
class Level:
    """What Shopify has of an item at a location.

    :ivar available: what can be sold; negative when more was.
    :ivar committed: units of open orders.
    :ivar stamp: when the number last changed, as Shopify writes it.
    """

    id: str
    location: str
    available: int
    committed: int = 0
    active: bool = True
    stamp: str = ""


@dataclass(frozen=True)
class Stock:
    """An inventory item with its levels by location."""

    item: str
    tracked: bool
    levels: dict[str, Level] = field(default_factory=dict)

    @property
    def committed(self) -> int:
        """Units of open orders, wherever they will leave from."""
        return sum(level.committed for level in self.levels.values())


@dataclass
class Row:
    """One quantity to be set.

    :ivar owner: whom it belongs to (the item of the batch).
    :ivar former: what it is believed to replace; None where there is nothing to compare with.
    :ivar stamp: tells apart the same numbers sent for another reason: how often this level was
        confirmed, or when Shopify last changed it.
    :ivar pending: units held back for what Shopify sold and Odoo does not know yet.
    :ivar gone: those of them that no order since the last confirmation explains.
    :ivar gone_until: how long these are held back.
    :ivar level: what Shopify had, where it was read.
    :ivar problems: why Shopify refused the row.
    """

    owner: object
    item: str
    location: str
    quantity: int
    former: int | None
    stamp: str
    pending: int = 0
    gone: int = 0
    gone_until: datetime | None = None
    level: Level | None = None
    problems: Sequence[Problem] = ()


def sellable(quantity: float, buffer: int = 0) -> int:
    """Return the whole units that may be offered, never less than 0.

    :param quantity: of Odoo, in the unit of the product.
    :param buffer: units that are held back.
    """
    return min(max(0, math.floor(quantity + _NOISE) - max(0, buffer)), MAX_QUANTITY)


def pending(committed: int, counted: float) -> int:
    """Return how many units of open orders Odoo's own quantity does not leave out yet.

    :param committed: units of open orders by Shopify.
    :param counted: units of these orders that are off Odoo's quantity already, and that Shopify
        still counts as committed.
    """
    return max(0, committed - max(0, math.floor(counted + _NOISE)))


def target(policy: str, wanted: int, level: Level | None, missing: int, gone: int = 0) -> int:
    """Return the quantity to set.

    :param wanted: Odoo's.
    :param level: what Shopify has; None where the item is not stocked.
    :param missing: :func:`pending` units of the item, at all locations together.
    :param gone: :func:`vanished` units of the level, with those held back since before.
    """
    if level is None or policy == ODOO:
        return wanted
    # an open order has no unit that vanished, so both are held back
    held = min(missing, max(0, level.committed)) + gone
    # below zero nothing more is held back: what Shopify oversold stays as it is
    return max(wanted - held, min(level.available, 0))


def vanished(wanted: int, confirmed: int | None, level: Level, committed: int = 0) -> int:
    """Return how many units are gone that no new order has: sold and handed over at a till, say.

    Whether Odoo has counted them already cannot be told, so they are held back until it is looked
    again; not when both sides have the same number by now. Orders that were open before have not
    lowered the number since. Where some of these were shipped and others came, units of the new
    ones may be held back twice until then, but none is offered twice.

    :param confirmed: what Shopify had when it was last confirmed, None for never.
    :param committed: units of orders that were open by then.
    """
    if confirmed is None or level.available == wanted:
        return 0
    return max(0, confirmed - level.available - max(0, level.committed - committed))


def is_explained(confirmed: int | None, level: Level) -> bool:
    """Whether orders alone can have made the number that Shopify has from the confirmed one.

    Orders that were open before count as well, unlike in :func:`vanished`: where one of them was
    shipped while another came, a person would be asked about nothing.
    """
    if confirmed is None:
        return True
    return 0 <= confirmed - level.available <= max(0, level.committed)


def batches(rows: Sequence[Row], size: int = MAX_ROWS) -> Iterator[list[Row]]:
    """Yield the rows in calls of at most ``size``, those of one owner together where they fit."""
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])


def read_chunks(ids: Sequence[str], levels: int) -> Iterator[list[str]]:
    """Yield ids of items that may be read together.

    :param levels: rows asked for with each.
    """
    size = max(1, min(MAX_ROWS, _READ_BUDGET // max(1, levels)))
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size])


def idempotency_key(
    shop: str, reason: str, reference: str, rows: Iterable[Row], salt: int = 0
) -> str:
    """Return the key of a call: the same for the same contents, also after a lost answer.

    Sending the same numbers later on purpose is another call: the stamps differ by then.

    :param shop: identity of this Odoo and of the shop.
    :param salt: 1 when Shopify says that the key was used by a request that failed.
    """
    contents = [
        shop,
        reason,
        reference,
        salt,
        [[row.item, row.location, row.quantity, row.former, row.stamp] for row in rows],
    ]
    return str(uuid.uuid5(_NAMESPACE, json.dumps(contents, separators=(",", ":"))))


def bad_rows(problems: Iterable[Problem], count: int) -> dict[int, list[Problem]]:
    """Return the problems by the position of the row they are about.

    :param problems: of a call with ``count`` rows.
    :returns: empty when one of them is about the call itself.
    """
    found: dict[int, list[Problem]] = {}
    for problem in problems:
        steps = problem.path.split(".")
        position = next((step for step in steps if step.isdecimal()), "")
        if not position or int(position) >= count:
            return {}
        found.setdefault(int(position), []).append(problem)
    return found


def read_stock(node: dict) -> Stock:
    """Return what ``inventory_levels.graphql`` says of an item."""
    levels = [read_level(row) for row in node["inventoryLevels"]["nodes"]]
    return Stock(node["id"], bool(node["tracked"]), {level.location: level for level in levels})


def read_level(row: dict, location: str = "") -> Level:
    """Return a level as the documents about stock ask for it.

    :param location: where the document does not ask for it.
    """
    quantities = {entry["name"]: entry for entry in row["quantities"]}
    available = quantities["available"]
    return Level(
        row["id"],
        location or row["location"]["id"],
        int(available["quantity"]),
        int((quantities.get("committed") or {}).get("quantity") or 0),
        bool(row["isActive"]),
        available.get("updatedAt") or "",
    )


def latest(rows: Iterable[dict]) -> datetime | None:
    """Return when the newest of some levels changed (naive UTC), None without any."""
    return max((read_utc(row["updatedAt"]) for row in rows), default=None)


def counted(on_hand: int, committed: int, open_units: float, before: int | None, ahead: int):
    """Return (units Odoo should have on its shelf, units shipped there that Odoo still has).

    Goods a third party ships leave Shopify's stock before Odoo hears of the shipment, and would be
    taken off twice: by counting, and by the delivery that follows. They are told by open units of
    Odoo that Shopify has no longer committed, as far as its stock fell.

    :param on_hand: of Shopify.
    :param committed: units of open orders by Shopify.
    :param open_units: units Odoo has yet to deliver from there for orders of the shop.
    :param before: Shopify's stock when it was last counted, None for the first time.
    :param ahead: the second value of the last time.
    """
    fell = 0 if before is None else max(0, before - on_hand)
    ahead = min(max(0, math.floor(open_units + _NOISE) - committed), max(0, ahead) + fell)
    return on_hand + ahead, ahead
