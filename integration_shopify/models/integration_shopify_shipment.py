import json
from collections import Counter
from datetime import timedelta

from odoo import api, models

from odoo.addons.integration_base.lib import contract as payloads
from odoo.addons.integration_base.lib.errors import (
    AuthError,
    ConflictError,
    IntegrationError,
    MissingScopeError,
    NotReadyError,
    RateLimitedError,
    RequestRefused,
)

from ..lib import contract, shipping
from ..lib.client import UserErrors
from ..lib.pages import read_on

#: Action of the intents of :meth:`IntegrationShopifyShipment._create`.
FULFIL = "fulfil"
#: Seconds after which units that may not be shipped now are worth another look.
HELD_SECONDS = 300
#: How far the clocks of both sides may be apart.
CLOCKS = timedelta(minutes=5)


class IntegrationShopifyShipment(models.AbstractModel):
    """Deliveries done in Odoo become fulfillments in Shopify.

    What is sent is always the rest: the units of the delivery that no fulfillment of Shopify
    carries for it yet. Each ``fulfillmentCreate`` has an intent of its own, numbered per delivery,
    because Shopify would carry it out again whenever it comes again. After a lost answer the
    fulfillments of the order are read: ours is the one nobody knows yet, made since the call began,
    at the same location, with exactly the same units and tracking numbers. Shopify gives back no
    reference of ours, but whichever of two such fulfillments is taken, the units are shipped once.
    """

    _name = "integration.shopify.shipment"
    _inherit = ["integration.shopify.access", "integration.resource"]
    _description = "Shopify Shipments"

    _resource_name = "Shipments"
    _resource_model = "stock.picking"
    _resource_direction = "out"
    _resource_export_scope = "all"
    # one delivery may need several calls, each is guarded by itself
    _resource_unrepeatable = False
    _resource_groups = (
        "integration_shopify.group_shopify_work",
        "sales_team.group_sale_salesman_all_leads",
        "stock.group_stock_user",
    )
    _resource_batch_size = 20

    #: What it reads is read for the orders as well.
    _shopify_documents = (
        "fulfillment_create",
        "fulfillment_cancel",
        "fulfillment_order_move",
        "fulfillment_tracking_update",
    )

    # === HOOKS - ACCESS === #

    def _shopify_scope_reasons(self, backend):
        return {
            "write_merchant_managed_fulfillment_orders": self.env._(
                "tell the shop what was shipped from your locations"
            ),
            "write_third_party_fulfillment_orders": self.env._(
                "tell the shop what was shipped in place of a fulfillment service"
            ),
        }

    # === HOOKS - EXPORTING === #

    def _export_domain(self, backend):
        return [
            ("state", "=", "done"),
            ("sale_id.shopify_url", "!=", False),
            ("location_dest_id.usage", "=", "customer"),
        ]

    def _export(self, backend, items):
        orders = self.env["sale.order"].union(*(item.record.sale_id for item in items))
        bindings = self.env["integration.binding"]._search_records(backend, "order", orders)
        known = {link.res_id: link.external_id for link in bindings}
        locations = self._locations(backend)
        for item in items:
            picking = item.record
            order_id = known.get(picking.sale_id.id)
            units = picking._shopify_units() if order_id else None
            if not units:
                item.skip(
                    self.env._(
                        "%(picking)s has no goods of an order of %(backend)s.",
                        picking=item.label,
                        backend=backend.display_name,
                    )
                )
                continue
            item.values = {
                "order": order_id,
                "units": dict(sorted(units.items())),
                "services": picking._shopify_services(),
                "location": self._location_of(picking, locations),
                "tracking": picking._shopify_tracking(),
            }

    @api.model
    def _locations(self, backend):
        """Return ``{stock.location: id of Shopify's location}`` of the mapped ones."""
        rows = self.env["integration.mapping"].search(
            [
                ("backend_id", "=", backend.id),
                ("kind", "=", "location"),
                ("resource_ref", "!=", False),
            ]
        )
        return {row.resource_ref: row.external_value for row in rows if row.resource_ref.exists()}

    @api.model
    def _location_of(self, picking, locations):
        """Return Shopify's location that a delivery leaves, empty where none is mapped.

        The mapped location nearest above the goods; else one of the same warehouse.
        """
        place = picking.location_id
        while place:
            if place in locations:
                return locations[place]
            place = place.location_id
        warehouse = picking.location_id.warehouse_id
        same = [
            value for location, value in locations.items() if location.warehouse_id == warehouse
        ]
        return same[0] if warehouse and len(same) == 1 else ""

    def _push(self, backend, items):
        client = backend._shopify_client()
        for item in items:
            try:
                self._ship(backend, client, item)
            except (AuthError, MissingScopeError, RateLimitedError):
                raise
            except IntegrationError as error:
                item.fail(error)

    # === SHIPPING === #

    @api.model
    def _ship(self, backend, client, item):
        """Bring the fulfillments of a delivery in line with it."""
        picking, values = item.record, item.values
        state = self._read(client, values["order"], item.label)
        Fulfillment = self.env["integration.shopify.fulfillment"]
        claims = Fulfillment._claims(backend, picking.sale_id)
        own = dict(claims.get(picking.id, {}))
        # what the import has taken for this delivery may be what a lost call has made
        taken = {
            gid for other, units_by in claims.items() if other != picking.id for gid in units_by
        }
        taken |= Fulfillment._made(backend, picking.sale_id).keys()
        known = [gid for gid in own if gid.startswith("gid:")]
        number = self._calls_made(backend, picking)
        lost = self._lost(backend, picking, number + 1)
        if lost:
            own.pop(lost.idempotency_key, None)
            request = json.loads(lost.request)
            if self._match(state, request, lost.started_at, taken):
                number += 1
                made = self._create(backend, client, item, number, request, taken)
                own[made["id"]] = Counter(made["units"])
        rest = Counter(values["units"])
        for units in own.values():
            rest -= units
        if rest:
            rest += shipping.open_units(state.fulfillmentOrders, values["services"])
        if rest and values["location"] and backend.shopify_move_shipments:
            state = self._move(client, item, state, rest)
        found = shipping.plan(state.fulfillmentOrders, rest, values["location"])
        for part in found.parts:
            number += 1
            request = {
                "location": part.location,
                "units": dict(sorted(part.units.items())),
                "tracking": shipping.tracking_mark(values["tracking"]["numbers"]),
            }
            made = self._create(
                backend, client, item, number, request, taken, part=part, state=state
            )
            own[made["id"]] = Counter(made["units"])
        covering, missing = self._covered(state, claims, found.missing)
        self._track(backend, client, item, state, {*known, *covering})
        if missing:
            raise self._unshippable(item, missing, found.blocked)
        item.mark_sent(self._external_id(backend, picking, [*own, *covering]))

    @api.model
    def _read(self, client, order_id, label):
        """Return the :class:`~..lib.contract.Shipping` of an order as it is now.

        :raises ConflictError: when the order is gone.
        """
        answer = client.execute("order_fulfillments", {"id": order_id, **shipping.FIRST})
        data = self.env["integration.shopify.order"]._complete(answer)["order"]
        if not data:
            raise ConflictError(
                self.env._(
                    "The order of %s no longer exists in Shopify, so nobody can be told of the "
                    "delivery. Set this operation aside.",
                    label,
                )
            )
        read_on(lambda name, variables: client.execute(name, variables).data, data, shipping.PAGES)
        return payloads.validate(contract.Shipping, data, label)

    @api.model
    def _calls_made(self, backend, picking):
        """Return how many fulfillments were made for a delivery."""
        return self.env["integration.intent"].search_count(
            [
                ("backend_id", "=", backend.id),
                ("action", "=", FULFIL),
                ("res_model", "=", picking._name),
                ("res_id", "=", picking.id),
                ("outcome", "=", "sent"),
            ]
        )

    @api.model
    def _lost(self, backend, picking, number):
        """Return the intent of a call whose outcome nobody knows, empty without one."""
        Intent = self.env["integration.intent"]
        return Intent.search(
            [
                ("backend_id", "=", backend.id),
                ("idempotency_key", "=", Intent._key(backend, FULFIL, picking, str(number))),
                ("outcome", "in", ("new", "unknown")),
                ("request", "!=", False),
            ]
        )

    @api.model
    def _create(self, backend, client, item, number, request, taken, part=None, state=None):
        """Make one fulfillment, or find that it was made; returns its ``id`` and ``units``.

        :param taken: ids of fulfillments that cannot be what a lost call has made.
        """
        known = self._lost(backend, item.record, number)
        asked = json.loads(known.request) if known else request
        since = known.started_at if known else None

        def recover(_key):
            now = self._read(client, item.values["order"], item.label)
            return self._match(now, asked, since, taken)

        def send(_key):
            made = client.mutate(
                "fulfillment_create",
                {"fulfillment": self._input(backend, item, part, state)},
                action=self.env._("ship %s", item.label),
            )["fulfillment"]
            return {"id": made["id"], "units": request["units"]}

        with backend._intent(FULFIL, item.record, key=str(number), request=request) as intent:
            return intent.send(send, recover)

    @api.model
    def _input(self, backend, item, part, state):
        """Return the ``FulfillmentInput`` of a :class:`~..lib.shipping.Part`."""
        tracking = item.values["tracking"]
        first = not any(shipping.is_shipped(row) for row in state.fulfillments)
        values = {
            "lineItemsByFulfillmentOrder": [
                {
                    "fulfillmentOrderId": order_id,
                    "fulfillmentOrderLineItems": [
                        {"id": row_id, "quantity": units} for row_id, units in rows.items()
                    ],
                }
                for order_id, rows in part.rows.items()
            ],
            "notifyCustomer": backend.shopify_notify_shipments == "always"
            or (backend.shopify_notify_shipments == "first" and first),
        }
        if tracking["numbers"]:
            values["trackingInfo"] = {name: value for name, value in tracking.items() if value}
        return values

    @api.model
    def _match(self, state, request, since, taken):
        """Return ``id`` and ``units`` of the fulfillment that a lost call has made, else None.

        :param request: of the intent.
        :param since: when the call began (naive UTC).
        :param taken: ids of fulfillments that it cannot be.
        """
        for row in sorted(state.fulfillments, key=lambda row: (row.createdAt, row.id)):
            if (
                row.id not in taken
                and (since is None or row.createdAt >= since - CLOCKS)
                and (not row.location or row.location.id == request["location"])
                and shipping.units_of(row) == Counter(request["units"])
                and shipping.tracking_mark(shipping.numbers_of(row)) == request["tracking"]
            ):
                return {"id": row.id, "units": request["units"]}
        return None

    @api.model
    def _covered(self, state, claims, missing):
        """Return (ids of fulfillments of others, units) that explain why units are not to be had.

        :param Counter missing: units that no fulfillment order has open.
        """
        taken = Counter()
        for units_by in claims.values():
            for gid, units in units_by.items():
                for line, count in units.items():
                    taken[gid, line] += count
        covering, rest = [], Counter(missing)
        for row in state.fulfillments:
            if not shipping.is_shipped(row):
                continue
            units = shipping.units_of(row)
            free = Counter({line: units[line] - taken[row.id, line] for line in units})
            if +(free & rest):
                covering.append(row.id)
                rest -= free & rest
        return covering, +rest

    @api.model
    def _move(self, client, item, state, rest):
        """Assign the units to the location they leave; returns the state afterwards."""
        location = item.values["location"]
        wanted = shipping.moves(state.fulfillmentOrders, rest, location)
        for order_id, rows in wanted:
            try:
                client.mutate(
                    "fulfillment_order_move",
                    {
                        "id": order_id,
                        "location": location,
                        "lines": [
                            {"id": row_id, "quantity": units} for row_id, units in rows.items()
                        ],
                    },
                    action=self.env._("move units of %s to the location they leave", item.label),
                )
            except UserErrors as error:
                # shipped is shipped: the shop rather counts them at another location than not
                item.notes.append(
                    self.env._("They were shipped from where Shopify had them: %s", error.message)
                )
        return self._read(client, item.values["order"], item.label) if wanted else state

    @api.model
    def _track(self, backend, client, item, state, ids):
        """Correct the tracking of fulfillments made before."""
        tracking = item.values["tracking"]
        if not tracking["numbers"]:
            return
        wanted = {name: value for name, value in tracking.items() if value}
        for row in state.fulfillments:
            if row.id not in ids or row.status in shipping.UNSHIPPED:
                continue
            company = row.trackingInfo[0].company if row.trackingInfo else ""
            if shipping.numbers_of(row) == tracking["numbers"] and company == tracking["company"]:
                continue
            client.mutate(
                "fulfillment_tracking_update",
                {
                    "id": row.id,
                    "tracking": wanted,
                    "notify": backend.shopify_notify_shipments == "always",
                },
                action=self.env._("correct the tracking of %s", item.label),
            )

    @api.model
    def _unshippable(self, item, missing, blocked):
        """Return the error about units that cannot be shipped in Shopify."""
        lines = {
            line.shopify_line_id: line.product_id.display_name
            for line in item.record.sale_id.order_line
        }
        goods = ", ".join(f"{count} x {lines.get(line, line)}" for line, count in missing.items())
        held = [hold for order in blocked for hold in order.fulfillmentHolds]
        if held:
            reasons = ", ".join(
                dict.fromkeys(
                    hold.displayReason or hold.reasonNotes or hold.reason for hold in held
                )
            )
            return NotReadyError(
                self.env._(
                    "%(picking)s: Shopify holds %(goods)s (%(reasons)s), so it cannot be told that "
                    "they were shipped. Release the hold on the order in Shopify; the shipment is "
                    "then sent by itself.",
                    picking=item.label,
                    goods=goods,
                    reasons=reasons,
                ),
                retry_after=HELD_SECONDS,
            )
        if any(order.status == "SCHEDULED" for order in blocked):
            return NotReadyError(
                self.env._(
                    "%(picking)s: Shopify has %(goods)s planned for later, so it cannot be told "
                    "yet that they were shipped. To send the shipment now, mark the fulfillment "
                    "as ready in Shopify.",
                    picking=item.label,
                    goods=goods,
                ),
                retry_after=HELD_SECONDS,
            )
        if blocked:
            return RequestRefused(
                self.env._(
                    "%(picking)s: Shopify leaves %(goods)s to %(location)s, which has taken on the "
                    "work. Cancel the fulfillment request there, then press Retry.",
                    picking=item.label,
                    goods=goods,
                    location=", ".join(order.assignedLocation.name for order in blocked),
                )
            )
        return ConflictError(
            self.env._(
                "%(picking)s: Shopify has nothing of %(goods)s left to ship: removed, refunded or "
                "shipped there already. Take back in Odoo what was delivered too much, or set this "
                "operation aside.",
                picking=item.label,
                goods=goods,
            )
        )

    @api.model
    def _external_id(self, backend, picking, ids):
        """Return the id to bind a delivery to: its first fulfillment that no other is bound to."""
        bound = self.env["integration.binding"]._search_external(backend, "shipment", ids)
        others = {link.external_id for link in bound if link.res_id != picking.id}
        free = [gid for gid in ids if gid not in others]
        return free[0] if free else f"{ids[0]}#{picking.id}"
