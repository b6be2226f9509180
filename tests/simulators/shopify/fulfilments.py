"""Work to be shipped, and what was shipped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .base import Refused, SpecError, action
from .catalogue import Catalogue
from .records import (
    Fulfillment,
    FulfillmentEvent,
    FulfillmentLine,
    FulfillmentOrder,
    FulfillmentOrderLine,
    Hold,
    Line,
    Location,
    Order,
    now,
)

# A fulfillment order and the units of its lines that are meant; None means everything left.
Pick = tuple[FulfillmentOrder, list[tuple[FulfillmentOrderLine, int]] | None]
Rows = list[tuple[FulfillmentOrderLine, int]]

MAX_HOLDS = 10


class Fulfilments(Catalogue):
    # === WORK TO BE DONE === #

    def _place_of(self, line: Line) -> Location:
        return line.location or self.default_location

    def _reserve(self, line: Line, units: int) -> None:
        self._move_stock(line, {"available": -units, "committed": units}, self._place_of(line))

    def _route(self, order: Order, lines: Iterable[Line], units: int | None = None) -> None:
        """Fulfillment orders for these lines, one per place, whole or for some units of each."""
        places: dict[Location, list[tuple[Line, int]]] = {}
        for line in lines:
            if not line.tip:
                count = line.quantity if units is None else units
                places.setdefault(self._place_of(line), []).append((line, count))
        for place, counts in places.items():
            fulfillment_order = self._add_work(order, place, counts)
            self.emit("FULFILLMENT_ORDERS_ORDER_ROUTING_COMPLETE", fulfillment_order)

    def _add_work(
        self, order: Order, place: Location, counts: Iterable[tuple[Line, int]]
    ) -> FulfillmentOrder:
        fulfillment_order = FulfillmentOrder(self.next_id("FulfillmentOrder"), order, place)
        for line, count in counts:
            row = FulfillmentOrderLine(self.next_id("FulfillmentOrderLineItem"), line, count, count)
            fulfillment_order.lines.append(self.add(row))
        order.fulfillment_orders.append(self.add(fulfillment_order))
        return fulfillment_order

    def _withdraw(self, line: Line, quantity: int, *, restock: bool = True) -> None:
        """Take unfulfilled units out of the work still to do."""
        line.withdrawn += quantity
        for fulfillment_order in line_orders(line, line.order.fulfillment_orders):
            for row in fulfillment_order.lines:
                cut = min(row.remaining, quantity) if row.line is line else 0
                row.remaining -= cut
                row.total -= cut
                quantity -= cut
                if cut and restock:
                    place = fulfillment_order.location
                    self._move_stock(line, {"available": cut, "committed": -cut}, place)
            if not any(row.remaining for row in fulfillment_order.lines):
                self._end(fulfillment_order)
            fulfillment_order.updated_at = now()

    @staticmethod
    def _end(fulfillment_order: FulfillmentOrder) -> None:
        fulfillment_order.status = "CLOSED"
        fulfillment_order.holds = []
        fulfillment_order.updated_at = now()

    def work_of(self, order: Order, key: Any = None) -> FulfillmentOrder:
        """Fulfillment order by position or id; without a key the first that is not over."""
        found = order.fulfillment_orders
        if key is None:
            found = [fo for fo in found if not fo.over]
            key = 0
        if isinstance(key, int) and 0 <= key < len(found):
            return found[key]
        for fulfillment_order in found:
            if str(key) in (str(fulfillment_order.id), fulfillment_order.gid):
                return fulfillment_order
        raise SpecError(f"{order.name} has no fulfillment order {key!r}")

    def rows_of(self, fulfillment_order: FulfillmentOrder, rows: Any) -> Rows | None:
        """Lines of a spec, ``[{"line", "quantity"}]``, as lines of the fulfillment order."""
        if rows is None:
            return None
        found: Rows = []
        for spec in rows:
            line = self.line_of(fulfillment_order.order, spec["line"])
            row = next((r for r in fulfillment_order.lines if r.line is line), None)
            if row is None:
                raise SpecError(f"the fulfillment order has no {line.title!r}")
            found.append((row, int(spec.get("quantity", row.remaining))))
        return found

    # === SHIPPING === #

    @action
    def fulfil(self, order: Order, spec: dict[str, Any] | None = None) -> Fulfillment:
        """Ship everything still open, or ``lines`` [{line, quantity}]: one fulfillment per place.

        :param spec: ``tracking`` [{company, number, url}], ``location`` (only what lies there),
            ``fulfillmentOrder`` (only that one), ``service`` (a third party that does it).
        :return: the last one.
        """
        spec = spec or {}
        work = [fo for fo in order.fulfillment_orders if fo.status in ("OPEN", "IN_PROGRESS")]
        if spec.get("fulfillmentOrder") is not None:
            work = [self.work_of(order, spec["fulfillmentOrder"])]
        if spec.get("location") is not None:
            place = self.get("Location", spec["location"])
            work = [fo for fo in work if fo.location is place]
        if not work or order.cancelled_at:
            raise Refused("The order has nothing left to fulfil.", ["fulfillment"])
        wanted: dict[Line, int] | None = None
        if spec.get("lines") is not None:
            wanted = {}
            for row in spec["lines"]:
                line = self.line_of(order, row["line"])
                wanted[line] = wanted.get(line, 0) + int(row.get("quantity", 1))
        places: dict[Location, list[Pick]] = {}
        for fulfillment_order in work:
            rows: Rows = []
            for row in fulfillment_order.lines:
                take = (
                    row.remaining if wanted is None else min(wanted.get(row.line, 0), row.remaining)
                )
                if wanted is not None and take:
                    wanted[row.line] -= take
                if take:
                    rows.append((row, take))
            if rows:
                places.setdefault(fulfillment_order.location, []).append((fulfillment_order, rows))
        if not places or any((wanted or {}).values()):
            raise Refused(
                "Invalid fulfillment order line item quantity requested.", ["fulfillment"]
            )
        for picks in places.values():
            fulfillment = self.ship(picks, spec.get("tracking", []), service=spec.get("service"))
        return fulfillment

    @action
    def ship(
        self,
        picks: list[Pick],
        tracking: Iterable[dict[str, Any]] = (),
        *,
        notify: bool = False,
        service: str | None = None,
    ) -> Fulfillment:
        """Make one fulfillment of all picks."""
        self._check_picks(picks)
        order, place = picks[0][0].order, picks[0][0].location
        fulfillment = Fulfillment(
            self.next_id("Fulfillment"),
            order,
            f"{order.name}-F{len(order.fulfillments) + 1}",
            place,
            tracking=_tracking(tracking),
            notified=notify,
            service=service,
        )
        shipped: dict[Line, FulfillmentLine] = {}
        for fulfillment_order, rows in picks:
            if rows is None:
                rows = [(row, row.remaining) for row in fulfillment_order.lines if row.remaining]
            for row, units in rows:
                if row.line not in shipped:
                    number = self.next_id("FulfillmentLineItem")
                    shipped[row.line] = self.add(FulfillmentLine(number, row.line, 0))
                shipped[row.line].quantity += units
                shipped[row.line].sources.append((fulfillment_order, row, units))
                row.remaining -= units
                row.line.fulfilled += units
                self._move_stock(row.line, {"committed": -units, "on_hand": -units}, place)
            rest = any(row.remaining for row in fulfillment_order.lines)
            fulfillment_order.status = "IN_PROGRESS" if rest else "CLOSED"
            fulfillment_order.updated_at = now()
        fulfillment.lines = list(shipped.values())
        order.fulfillments.append(self.add(fulfillment))
        self.effects["fulfillments"] += 1
        self.emit("FULFILLMENTS_CREATE", fulfillment)
        done = order.fulfillment_status == "FULFILLED"
        self.changed(order, "ORDERS_FULFILLED" if done else "ORDERS_PARTIALLY_FULFILLED")
        return fulfillment

    @staticmethod
    def _check_picks(picks: list[Pick]) -> None:
        """Quantities first, for the whole input; then one order and one place."""
        asked: dict[FulfillmentOrderLine, int] = {}
        for fulfillment_order, rows in picks:
            if fulfillment_order.status not in ("OPEN", "IN_PROGRESS"):
                raise Refused(
                    f"Fulfillment order {fulfillment_order.id} has an unfulfillable status= "
                    f"{fulfillment_order.status.lower()}.",
                    ["fulfillment"],
                )
            for row, units in rows or []:
                asked[row] = asked.get(row, 0) + units
                if row not in fulfillment_order.lines or units < 1 or asked[row] > row.remaining:
                    raise Refused(
                        "Invalid fulfillment order line item quantity requested.", ["fulfillment"]
                    )
        numbers = ", ".join(str(fulfillment_order.id) for fulfillment_order, _rows in picks)
        if len({fulfillment_order.order for fulfillment_order, _rows in picks}) > 1:
            raise Refused(
                f"Fulfillment orders {numbers} must belong to the same order.", ["fulfillment"]
            )
        if len({fulfillment_order.location for fulfillment_order, _rows in picks}) > 1:
            raise Refused(
                f"Fulfillment orders {numbers} must be assigned to the same location.",
                ["fulfillment"],
            )

    @action
    def track(
        self, fulfillment: Fulfillment, tracking: Iterable[dict[str, Any]], *, notify: bool = False
    ) -> Fulfillment:
        """Replace all tracking; a cancelled fulfillment takes it without a word."""
        fulfillment.tracking = _tracking(tracking)
        fulfillment.notified = fulfillment.notified or notify
        fulfillment.updated_at = now()
        self.emit("FULFILLMENTS_UPDATE", fulfillment)
        self.changed(fulfillment.order)
        return fulfillment

    @action
    def report(self, fulfillment: Fulfillment, spec: dict[str, Any]) -> FulfillmentEvent:
        """Something happened to a parcel: ``status``, ``happenedAt``, ``message``."""
        event = FulfillmentEvent(
            self.next_id("FulfillmentEvent"),
            spec["status"].upper(),
            self._moment(spec.get("happenedAt")),
            spec.get("message"),
            self._moment(spec["estimatedDeliveryAt"]) if spec.get("estimatedDeliveryAt") else None,
        )
        fulfillment.events.append(self.add(event))
        fulfillment.updated_at = now()
        self.emit(
            "FULFILLMENT_EVENTS_CREATE",
            {
                "id": event.id,
                "admin_graphql_api_id": event.gid,
                "fulfillment_id": fulfillment.id,
                "order_id": fulfillment.order.id,
                "status": event.status.lower(),
                "message": event.message,
                "happened_at": self.local(event.happened_at),
            },
        )
        self.emit("FULFILLMENTS_UPDATE", fulfillment)
        return event

    @action
    def cancel_fulfillment(self, fulfillment: Fulfillment) -> Fulfillment:
        """Unship. A fulfillment order that was through stays closed, with its units shown as
        remaining, and a new one carries the same units; one still at work takes them back."""
        if fulfillment.status == "CANCELLED":
            return fulfillment
        order = fulfillment.order
        for row in fulfillment.lines:
            left = row.line.fulfilled - row.line.returned - row.quantity
            if row.line.promised and left < row.line.promised:
                raise Refused("Fulfillment with an open return can't be cancelled.", ["id"])
        fulfillment.status = "CANCELLED"
        fulfillment.updated_at = now()
        again: dict[FulfillmentOrder, list[tuple[Line, int]]] = {}
        for row in fulfillment.lines:
            row.line.fulfilled -= row.quantity
            # Units that came back are not shipped once more.
            back = max(row.line.returned - row.line.fulfilled, 0)
            row.line.returned -= back
            row.line.withdrawn += back
            for fulfillment_order, source, units in row.sources:
                gone = min(units, back)
                back -= gone
                stock = {"committed": units - gone, "on_hand": units - gone}
                self._move_stock(row.line, stock, fulfillment_order.location)
                if fulfillment_order.over:
                    source.remaining += units
                    again.setdefault(fulfillment_order, []).append((row.line, units - gone))
                else:
                    source.remaining += units - gone
                    source.total -= gone
        for fulfillment_order, counts in again.items():
            counts = [(line, units) for line, units in counts if units]
            if counts:
                self._add_work(order, fulfillment_order.location, counts)
        for fulfillment_order in fulfillment.fulfillment_orders:
            untouched = all(row.remaining == row.total for row in fulfillment_order.lines)
            if fulfillment_order.status == "IN_PROGRESS" and untouched:
                fulfillment_order.status = "OPEN"
        if not order.cancelled_at:
            order.closed_at = None
        self.effects["fulfillmentCancellations"] += 1
        self.emit("FULFILLMENTS_UPDATE", fulfillment)
        self.changed(order)
        return fulfillment

    def parcel_of(self, order: Order, key: Any = None) -> Fulfillment:
        """Fulfillment by position, id or name; without a key the last one."""
        found = order.fulfillments
        if key is None and found:
            return found[-1]
        if isinstance(key, int) and 0 <= key < len(found):
            return found[key]
        for fulfillment in found:
            if str(key) in (str(fulfillment.id), fulfillment.gid, fulfillment.name):
                return fulfillment
        raise SpecError(f"{order.name} has no fulfillment {key!r}")

    # === HOLDS, MOVES, SPLITS === #

    def _split_off(
        self, fulfillment_order: FulfillmentOrder, rows: Rows, place: Location
    ) -> FulfillmentOrder:
        """Units leave a fulfillment order for a new one."""
        counts = []
        for row, units in rows:
            row.remaining -= units
            row.total -= units
            counts.append((row.line, units))
        fulfillment_order.lines = [row for row in fulfillment_order.lines if row.total]
        fulfillment_order.updated_at = now()
        return self._add_work(fulfillment_order.order, place, counts)

    @action
    def hold(
        self, fulfillment_order: FulfillmentOrder, spec: dict[str, Any], rows: Rows | None = None
    ) -> tuple[Hold, FulfillmentOrder | None]:
        """Put work on hold; the units not meant go to a fulfillment order of their own.

        :param spec: ``reason``, ``notes``, ``handle``, ``byApp``.
        :return: the hold, and the fulfillment order of the rest.
        """
        handle = spec.get("handle") or ""
        if fulfillment_order.status not in ("OPEN", "ON_HOLD"):
            raise Refused("The fulfillment order is not in a state that can be held.", ["id"], None)
        if fulfillment_order.holds and rows:
            raise Refused(
                "The fulfillment order is not in a splittable state.",
                ["fulfillmentHold", "fulfillmentOrderLineItems"],
                "FULFILLMENT_ORDER_NOT_SPLITTABLE",
            )
        own = [hold for hold in fulfillment_order.holds if hold.by_app]
        if any((hold.handle or "") == handle for hold in own):
            raise Refused(
                "The handle provided for the fulfillment hold is already in use by this app for "
                "another hold on this fulfillment order.",
                ["fulfillmentHold", "handle"],
                "DUPLICATE_FULFILLMENT_HOLD_HANDLE",
            )
        if len(own) >= MAX_HOLDS:
            raise Refused(
                "The maximum number of fulfillment holds for this fulfillment order has been "
                "reached for this app. An app can only have up to 10 holds on a single "
                "fulfillment order at any one time.",
                ["id"],
                "FULFILLMENT_ORDER_HOLD_LIMIT_REACHED",
            )
        where = ["fulfillmentHold", "fulfillmentOrderLineItems"]
        rest: Rows = []
        if rows:
            _check_rows(rows, where, "The line item quantity is invalid.")
            meant = dict(rows)
            rest = [
                (row, row.remaining - meant.get(row, 0))
                for row in fulfillment_order.lines
                if row.remaining > meant.get(row, 0)
            ]
        remaining = None
        if rest:
            remaining = self._split_off(fulfillment_order, rest, fulfillment_order.location)
            remaining.held_apart_from = fulfillment_order
        hold = Hold(
            self.next_id("FulfillmentHold"),
            spec.get("reason", "OTHER").upper(),
            spec.get("notes"),
            handle,
            spec.get("byApp", True),
        )
        fulfillment_order.holds.append(self.add(hold))
        fulfillment_order.status = "ON_HOLD"
        fulfillment_order.updated_at = now()
        self.emit("FULFILLMENT_HOLDS_ADDED", fulfillment_order)
        self.emit(
            "FULFILLMENT_ORDERS_PLACED_ON_HOLD",
            _told(fulfillment_order=fulfillment_order, remaining_fulfillment_order=remaining),
        )
        # A hold is no change of the order: its updatedAt stays.
        return hold, remaining

    @action
    def release(
        self, fulfillment_order: FulfillmentOrder, hold_ids: Iterable[str] | None = None
    ) -> FulfillmentOrder:
        """Release all holds or some; units held apart come back together."""
        wanted = None if hold_ids is None else set(hold_ids)
        fulfillment_order.holds = [
            hold
            for hold in fulfillment_order.holds
            if wanted is not None and hold.gid not in wanted
        ]
        fulfillment_order.updated_at = now()
        self.emit("FULFILLMENT_HOLDS_RELEASED", fulfillment_order)
        if fulfillment_order.holds or fulfillment_order.status != "ON_HOLD":
            return fulfillment_order
        fulfillment_order.status = "OPEN"
        for other in fulfillment_order.order.fulfillment_orders:
            apart = other.held_apart_from is fulfillment_order and other.status == "OPEN"
            if apart and other.location is fulfillment_order.location:
                self._merge(fulfillment_order, other)
        self.emit("FULFILLMENT_ORDERS_HOLD_RELEASED", fulfillment_order)
        return fulfillment_order

    def _merge(self, target: FulfillmentOrder, other: FulfillmentOrder) -> None:
        for row in other.lines:
            mine = next((r for r in target.lines if r.line is row.line), None)
            if mine is None:
                number = self.next_id("FulfillmentOrderLineItem")
                mine = self.add(FulfillmentOrderLine(number, row.line, 0, 0))
                target.lines.append(mine)
            mine.total += row.total
            mine.remaining += row.remaining
            row.total = row.remaining = 0
        self._end(other)

    @action
    def move(
        self, fulfillment_order: FulfillmentOrder, place: Location, rows: Rows | None = None
    ) -> tuple[FulfillmentOrder, FulfillmentOrder | None]:
        """Have units shipped from elsewhere.

        :return: what moved, and what remains (None: everything moved, under the same id).
        """
        if fulfillment_order.status == "IN_PROGRESS":
            raise Refused(
                "Cannot move fulfillment order that has had progress reported. Mark as "
                "unfulfilled first.",
                ["id"],
                "CANNOT_MOVE_FULFILLMENT_ORDER_WITH_REPORTED_PROGRESS",
            )
        if fulfillment_order.over:
            raise Refused("Cannot change location of a closed fulfillment order.", ["id"])
        if place is fulfillment_order.location:
            raise Refused("Cannot move fulfillment order to the same location.", ["newLocationId"])
        moving = rows or [(row, row.remaining) for row in fulfillment_order.lines]
        _check_rows(
            moving,
            ["fulfillmentOrderLineItems"],
            "Invalid fulfillment order line item quantity requested.",
        )
        for row, _units in moving:
            item = row.line.variant.item if row.line.variant else None
            if item and item.level(place) is None:
                raise Refused(
                    f"The location {place.name} does not stock {row.line.title}.",
                    ["newLocationId"],
                )
        whole = len(moving) == len(fulfillment_order.lines) and all(
            units == row.total for row, units in moving
        )
        for row, units in moving:
            back = {"available": units, "committed": -units}
            self._move_stock(row.line, back, fulfillment_order.location)
            self._move_stock(row.line, {"available": -units, "committed": units}, place)
        source = fulfillment_order.location
        if whole:
            fulfillment_order.location = place
            fulfillment_order.updated_at = now()
            moved, remaining = fulfillment_order, None
        else:
            moved = self._split_off(fulfillment_order, moving, place)
            remaining = fulfillment_order
        told = _told(original_fulfillment_order=fulfillment_order, moved_fulfillment_order=moved)
        places = {"source_location": {"id": source.gid}, "destination_location_id": place.gid}
        self.emit("FULFILLMENT_ORDERS_MOVED", {**told, **places})
        return moved, remaining

    @action
    def split(self, fulfillment_order: FulfillmentOrder, rows: Rows) -> FulfillmentOrder:
        """Split units off, at the same place; returns the new fulfillment order."""
        if fulfillment_order.status not in ("OPEN", "IN_PROGRESS"):
            raise Refused(
                "The fulfillment order is not in a splittable state.",
                ["fulfillmentOrderId"],
                "FULFILLMENT_ORDER_NOT_FOUND",
            )
        path = ["fulfillmentOrderLineItems"]
        _check_rows(rows, path, "Invalid fulfillment order line item quantity requested.")
        if sum(units for _row, units in rows) >= sum(r.remaining for r in fulfillment_order.lines):
            raise Refused(
                "Invalid fulfillment order line item quantity requested.",
                path,
                "INVALID_LINE_ITEM_QUANTITY",
            )
        new = self._split_off(fulfillment_order, rows, fulfillment_order.location)
        fulfillment_order.was_split = new.was_split = True
        self.emit(
            "FULFILLMENT_ORDERS_SPLIT",
            _told(fulfillment_order=fulfillment_order, remaining_fulfillment_order=new),
        )
        return new

    @action
    def cancel_work(self, fulfillment_order: FulfillmentOrder) -> FulfillmentOrder | None:
        """Cancel a fulfillment order: it ends empty, and another one takes its place."""
        if fulfillment_order.status == "IN_PROGRESS":
            raise Refused(
                "Cannot cancel fulfillment order that has had progress reported. Mark as "
                "unfulfilled first.",
                ["id"],
                "FULFILLMENT_ORDER_HAS_MANUALLY_REPORTED_PROGRESS",
            )
        if fulfillment_order.over:
            raise Refused(
                "Fulfillment order is not in cancelable request state and can't be canceled.",
                None,
            )
        counts = [(row.line, row.remaining) for row in fulfillment_order.lines if row.remaining]
        fulfillment_order.lines = []
        self._end(fulfillment_order)
        place, new = fulfillment_order.location, None
        if counts:
            new = self._add_work(fulfillment_order.order, place, counts)
        self.emit(
            "FULFILLMENT_ORDERS_CANCELLED",
            _told(fulfillment_order=fulfillment_order, replacement_fulfillment_order=new),
        )
        return new


def _told(**fulfillment_orders: FulfillmentOrder | None) -> dict[str, Any]:
    """Body of a notice about fulfillment orders; which order they are of is not told."""
    return {
        name: row and {"id": row.gid, "status": row.status.lower()}
        for name, row in fulfillment_orders.items()
    }


def _tracking(rows: Iterable[dict[str, Any]]) -> list[dict[str, str | None]]:
    return [{key: row.get(key) for key in ("company", "number", "url")} for row in rows]


def _check_rows(rows: Rows, path: list[str], message: str) -> None:
    """Units that are there, each line once."""
    for index, (row, units) in enumerate(rows):
        if not 0 < units <= row.remaining:
            raise Refused(message, [*path, str(index), "quantity"], "INVALID_LINE_ITEM_QUANTITY")
    if len({row for row, _units in rows}) < len(rows):
        raise Refused(
            "must contain unique line item ids", path, "DUPLICATED_FULFILLMENT_ORDER_LINE_ITEMS"
        )


def line_orders(
    line: Line, fulfillment_orders: Iterable[FulfillmentOrder]
) -> list[FulfillmentOrder]:
    """The fulfillment orders that are not over and have the line."""
    return [
        fo for fo in fulfillment_orders if not fo.over and any(row.line is line for row in fo.lines)
    ]
