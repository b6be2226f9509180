import json
from collections import Counter

from odoo import api, fields, models
from odoo.fields import Command
from odoo.tools import float_compare

from ..lib import shipping
from .integration_shopify_shipment import CLOCKS, FULFIL


class IntegrationShopifyFulfillment(models.Model):
    """A shipment of an order as Shopify has it, and the deliveries in Odoo it stands for.

    ``shares`` says which of its units each delivery brought; a unit has at most one share. What no
    delivery has brought yet is delivered, by setting: the goods are gone.
    """

    _name = "integration.shopify.fulfillment"
    _description = "Shopify Fulfillment"
    _order = "shipped_at, id"

    order_id = fields.Many2one(
        "sale.order", required=True, readonly=True, ondelete="cascade", index=True
    )
    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    external_id = fields.Char(string="Shopify ID", required=True, readonly=True)
    name = fields.Char(readonly=True)
    shipped_at = fields.Datetime(string="Date", readonly=True)
    status = fields.Char(readonly=True)
    status_label = fields.Char(
        string="Status",
        compute="_compute_status_label",
        help="As Shopify calls it, such as In transit.",
    )
    display_status = fields.Char(readonly=True)
    service = fields.Char(string="Shipped By", readonly=True)
    location = fields.Char(readonly=True)
    tracking_company = fields.Char(string="Carrier", readonly=True)
    tracking_numbers = fields.Char(readonly=True)
    tracking_url = fields.Char(string="Tracking Link", readonly=True)
    units = fields.Json(readonly=True, help="Units of each line item.")
    shares = fields.Json(readonly=True, help="Units of each line item, by delivery.")
    unit_count = fields.Integer(string="Units", compute="_compute_unit_count")
    picking_ids = fields.Many2many(
        "stock.picking",
        "integration_shopify_fulfillment_picking_rel",
        "fulfillment_id",
        "picking_id",
        string="Deliveries",
        readonly=True,
    )
    return_ids = fields.Many2many(
        "stock.picking",
        "integration_shopify_fulfillment_return_rel",
        "fulfillment_id",
        "picking_id",
        string="Taken Back",
        readonly=True,
    )
    is_undone = fields.Boolean(
        string="Cancellation Followed",
        readonly=True,
        help="It was cancelled, and what that means in Odoo is done or left to a person.",
    )
    problem = fields.Text(string="To Do", readonly=True)
    activity_id = fields.Many2one(
        "mail.activity", readonly=True, ondelete="set null", index="btree_not_null"
    )

    _external_id_unique = models.Constraint(
        "UNIQUE(backend_id, external_id)", "This fulfillment is already known."
    )

    @api.depends("status", "display_status")
    def _compute_status_label(self):
        for row in self:
            row.status_label = (
                (row.display_status or row.status or "").replace("_", " ").capitalize()
            )

    @api.depends("units")
    def _compute_unit_count(self):
        for row in self:
            row.unit_count = sum((row.units or {}).values())

    # === WHAT IS KNOWN === #

    @api.model
    def _made(self, backend, orders):
        """Return ``{id of a fulfillment: (delivery, units)}`` of those we made."""
        return {
            result["id"]: (intent.res_id, Counter(result["units"]))
            for intent in self._intents(backend, orders)
            if intent.outcome == "sent"
            for result in [json.loads(intent.result)]
        }

    @api.model
    def _intents(self, backend, orders):
        # sudo: whoever imports or ships need not see the calls
        return (
            self.env["integration.intent"]
            .sudo()
            .search(
                [
                    ("backend_id", "=", backend.id),
                    ("action", "=", FULFIL),
                    ("res_model", "=", "stock.picking"),
                    ("res_id", "in", orders.picking_ids.ids),
                    ("outcome", "in", ("sent", "new", "unknown")),
                ]
            )
        )

    @api.model
    def _claims(self, backend, orders):
        """Return which units of the deliveries of orders are in which fulfillment.

        :returns: ``{delivery id: {fulfillment id, or key of an open call: units}}``. Units of a
            fulfillment cancelled since count: the delivery has had its shipment.
        """
        claims = {}
        for intent in self._intents(backend, orders):
            if intent.outcome == "sent":
                result = json.loads(intent.result)
                key, units = result["id"], result["units"]
            elif intent.request:
                key, units = intent.idempotency_key, json.loads(intent.request)["units"]
            else:
                continue
            claims.setdefault(intent.res_id, {})[key] = Counter(units)
        rows = self.search([("backend_id", "=", backend.id), ("order_id", "in", orders.ids)])
        for row in rows:
            for picking_id, units in (row.shares or {}).items():
                claims.setdefault(int(picking_id), {})[row.external_id] = Counter(units)
        return claims

    # === FOLLOWING === #

    @api.model
    def _follow(self, backend, items):
        """Ship in Odoo what others have shipped, and note what we have.

        :param list[Item] items: with ``record`` (the sales order), ``data`` and, in ``values``,
            what the order's ``_map`` prepared.
        """
        items = [item for item in items if item.data.fulfillments]
        if not items:
            return
        known = {
            row.external_id: row
            for row in self.search(
                [
                    ("backend_id", "=", backend.id),
                    ("order_id", "in", [item.record.id for item in items]),
                ]
            )
        }
        for item in items:
            found = sorted(item.data.fulfillments, key=lambda row: (row.createdAt, row.id))
            rows = [(self._note(backend, item, known, data), data) for data in found]
            self._link(backend, item, rows)
            for row, data in rows:
                if data.status in shipping.UNSHIPPED:
                    row._undo(item, data)
            for row, data in rows:
                if shipping.is_shipped(data):
                    row._ship(backend, item, data)

    @api.model
    def _note(self, backend, item, known, data):
        """Create or update the row of a fulfillment; returns it."""
        numbers = shipping.numbers_of(data)
        first = data.trackingInfo[0] if data.trackingInfo else None
        vals = {
            "name": data.name,
            "shipped_at": data.createdAt,
            "status": data.status,
            "display_status": data.displayStatus,
            "service": data.service.serviceName if data.service else False,
            "location": data.location.name if data.location else False,
            "tracking_company": first.company if first else False,
            "tracking_numbers": ", ".join(numbers) or False,
            "tracking_url": first.url if first else False,
            "units": dict(sorted(shipping.units_of(data).items())),
        }
        row = known.get(data.id)
        if not row:
            return self.create(
                {
                    **vals,
                    "order_id": item.record.id,
                    "backend_id": backend.id,
                    "company_id": backend.company_id.id,
                    "external_id": data.id,
                }
            )
        before = row.tracking_numbers
        row.write(
            {name: value for name, value in vals.items() if (row[name] or "") != (value or "")}
        )
        if before != row.tracking_numbers:
            row._show_tracking(before)
        return row

    def _show_tracking(self, before):
        """Write tracking that was corrected in Shopify on deliveries that nobody changed since."""
        for picking in self.picking_ids:
            present = ", ".join(shipping.split_numbers(picking.carrier_tracking_ref or ""))
            if present in ("", before or ""):
                picking.with_context(
                    shopify_follow=True
                ).carrier_tracking_ref = self.tracking_numbers

    @api.model
    def _link(self, backend, item, rows):
        """Give fulfillments to the deliveries they are: ours, and those done in Odoo as well.

        Of a delivery whose units no fulfillment carries and no call is about to ship, somebody has
        told Shopify by hand.
        """
        order = item.record
        open_rows = [(row, data) for row, data in rows if row._rest()]
        if not open_rows:
            return
        made = self._made(backend, order)
        open_calls = [
            intent
            for intent in self._intents(backend, order)
            if intent.outcome in ("new", "unknown") and intent.request
        ]
        for row, data in open_rows:
            if data.id in made:
                picking_id, units = made[data.id]
                row._share(picking_id, units & row._rest())
                continue
            for intent in open_calls:
                request = json.loads(intent.request)
                if (
                    data.createdAt >= intent.started_at - CLOCKS
                    and Counter(request["units"]) == row._rest()
                    and shipping.tracking_mark(shipping.numbers_of(data)) == request["tracking"]
                ):
                    row._share(intent.res_id, Counter(request["units"]))
                    open_calls.remove(intent)
                    break
        claims = self._claims(backend, order)
        for picking in order.picking_ids._shopify_shipped().sorted(
            lambda picking: picking._shopify_order_key()
        ):
            free = Counter(picking._shopify_units())
            for units in claims.get(picking.id, {}).values():
                free -= units
            numbers = set(shipping.split_numbers(picking.carrier_tracking_ref or ""))
            for row, data in open_rows:
                others = set(shipping.numbers_of(data))
                if not shipping.is_shipped(data) or (
                    numbers and others and numbers.isdisjoint(others)
                ):
                    continue
                units = free & row._rest()
                if units:
                    row._share(picking.id, units)
                    free -= units

    def _rest(self):
        """Return the units no delivery has a share of."""
        rest = Counter(self.units or {})
        for units in (self.shares or {}).values():
            rest -= Counter(units)
        return rest

    def _share(self, picking_id, units):
        shares = dict(self.shares or {})
        present = Counter(shares.get(str(picking_id), {}))
        shares[str(picking_id)] = dict(sorted((present + units).items()))
        self.write({"shares": shares, "picking_ids": [Command.link(picking_id)]})

    # === SHIPPED BY OTHERS === #

    def _ship(self, backend, item, data):
        """Deliver in Odoo the units that nobody has delivered here yet."""
        rest = self._rest()
        if not rest:
            self._ask(item, False)
            return
        if not backend.shopify_follow_shipments or item.record.state != "sale":
            return
        wanted, missing = self._moves_for(backend, item.record, rest, data)
        pickings = self.env["stock.picking"].union(*(move.picking_id for move in wanted))
        for picking in pickings.sorted("id"):
            moves = {move: count for move, count in wanted.items() if move.picking_id == picking}
            if untracked := self._without_lots(moves):
                text = self.env._(
                    "%(picking)s was shipped in Shopify (%(name)s), but Odoo has to know the "
                    "serial or lot numbers of %(products)s. Enter them on the delivery and "
                    "validate it.",
                    picking=picking.name,
                    name=self.name,
                    products=", ".join(untracked.mapped("display_name")),
                )
                self._ask(item, text)
                return
        for picking in pickings.sorted("id"):
            before = Counter(picking._shopify_units())
            self._validate(
                picking, {m: count for m, count in wanted.items() if m.picking_id == picking}, data
            )
            self._share(picking.id, (Counter(picking._shopify_units()) - before) & rest)
        text = bool(missing) and self.env._(
            "Shopify shipped %(goods)s (%(name)s), but Odoo has nothing of it left to deliver. "
            "Check the deliveries of the order, and correct the stock if they were cancelled.",
            goods=", ".join(f"{count} x {label}" for label, count in missing.items()),
            name=self.name,
        )
        picks = missing and self._picks(item.record)
        if picks:
            text = self.env._(
                "Shopify shipped %(goods)s (%(name)s), which are not picked in Odoo yet. Validate "
                "%(pickings)s, and then the delivery.",
                goods=", ".join(f"{count} x {label}" for label, count in missing.items()),
                name=self.name,
                pickings=", ".join(picks.mapped("name")),
            )
        self._ask(item, text)

    @api.model
    def _picks(self, order):
        """Return the open transfers of an order that come before its delivery."""
        moves = order.order_line.filtered("shopify_line_id").move_ids._shopify_to_buyer()
        return moves.filtered(
            lambda move: (
                move.state not in ("done", "cancel") and move.location_dest_id.usage != "customer"
            )
        ).picking_id

    @api.model
    def _moves_for(self, backend, order, rest, data):
        """Return ``({move: quantity in its unit}, {product name: units not to be found})``.

        Of several deliveries that of the location the units left comes first.
        """
        locations = self.env["integration.shopify.shipment"]._locations(backend)
        here = data.location.id if data.location else ""
        warehouses = {
            location.warehouse_id for location, value in locations.items() if value == here
        }
        wanted, missing = {}, {}
        for line in order.order_line.filtered("shopify_line_id"):
            units = rest[line.shopify_line_id]
            # what is no goods has no delivery either
            if not units or not (line.move_ids or line.product_id.type == "consu"):
                continue
            moves = line.move_ids.filtered(
                lambda move: (
                    move.state not in ("done", "cancel")
                    and move.location_dest_id.usage == "customer"
                )
            ).sorted(
                lambda m: (m.location_id.warehouse_id not in warehouses, m.picking_id.id, m.id)
            )
            short = 0
            for product, each in line._shopify_parts().items():
                needed = units * each
                for move in moves.filtered(
                    lambda move, product=product: move.product_id == product
                ):
                    open_quantity = move.product_uom._compute_quantity(
                        move.product_uom_qty, product.uom_id, round=False
                    )
                    taken = min(needed, open_quantity)
                    if taken > 0:
                        wanted[move] = product.uom_id._compute_quantity(taken, move.product_uom)
                        needed -= taken
                short = max(short, needed / each)
            if float_compare(short, 0, precision_digits=2) > 0:
                missing[line.product_id.display_name] = round(short)
        return wanted, missing

    @api.model
    def _without_lots(self, moves):
        """Return the products whose lots are not reserved, so that nobody knows them."""
        return self.env["product.product"].union(
            *(
                move.product_id
                for move, quantity in moves.items()
                if move.product_id.tracking != "none"
                and float_compare(
                    sum(move.move_line_ids.filtered("lot_id").mapped("quantity")),
                    quantity,
                    precision_digits=2,
                )
                < 0
            )
        )

    def _validate(self, picking, wanted, data):
        """Deliver exactly these quantities, in stock or not; the rest waits in a backorder.

        :param dict wanted: ``{move: quantity}``.
        """
        picking = picking.with_context(shopify_follow=True)
        for move in picking.move_ids.filtered(lambda move: move.state not in ("done", "cancel")):
            if move in wanted:
                move.quantity = wanted[move]
            move.picked = move in wanted
        if numbers := shipping.numbers_of(data):
            picking.carrier_tracking_ref = ",".join(numbers)
        picking._action_done()
        picking.date_done = data.createdAt
        picking.message_post(body=self.env._("Shipped in Shopify (%s).", self.name))

    # === CANCELLED SHIPMENTS === #

    def _undo(self, item, data):
        """Take back into stock the units of a cancelled fulfillment, to be shipped again."""
        if self.is_undone:
            return
        self.is_undone = True
        if not self.shares:
            return
        if data.inTransitAt or data.deliveredAt:
            text = self.env._(
                "%(name)s was cancelled in Shopify, but the parcel was on its way already. When "
                "the goods come back, make the return of %(pickings)s.",
                name=self.name,
                pickings=", ".join(self.picking_ids.mapped("name")),
            )
            self._ask(item, text)
            return
        lines = self.env["sale.order.line"]
        for picking in self.picking_ids:
            lines |= self._take_back(picking, Counter(self.shares.get(str(picking.id), {})))
        order = item.record
        if lines and order.state == "sale" and not item.data.cancelledAt:
            locked = order.locked
            if locked:
                order.action_unlock()
            lines._action_launch_stock_rule()
            if locked:
                order.action_lock()

    def _take_back(self, picking, units):
        """Return units of a delivery to stock, as far as they are not back; returns their lines."""
        wizard = self.env["stock.return.picking"].create({"picking_id": picking.id})
        lines = self.env["sale.order.line"]
        for line in picking.move_ids.sale_line_id.filtered("shopify_line_id"):
            for product, each in line._shopify_parts().items():
                needed = units[line.shopify_line_id] * each
                for row in wizard.product_return_moves.filtered(
                    lambda row, line=line, product=product: (
                        row.move_id.sale_line_id == line and row.product_id == product
                    )
                ):
                    move = row.move_id
                    back = sum(
                        returned.product_qty
                        for returned in move.returned_move_ids
                        if returned.state != "cancel"
                    )
                    quantity = min(needed, move.product_qty - back)
                    if quantity > 0:
                        row.quantity = product.uom_id._compute_quantity(quantity, row.uom_id)
                        needed -= quantity
                        lines |= line
        if not lines:
            return lines
        returned = wizard._create_return().with_context(shopify_follow=True)
        for move in returned.move_ids:
            move.quantity = move.product_uom_qty
            move.picked = True
        returned._action_done()
        returned.message_post(body=self.env._("%s was cancelled in Shopify.", self.name))
        self.return_ids = [Command.link(returned.id)]
        return lines

    def _cancellable(self):
        """Return those that have not left the house, nor are cancelled already."""
        return self.filtered(
            lambda row: (
                row.status not in shipping.UNSHIPPED
                and row.display_status not in shipping.ON_THE_WAY
            )
        )

    def _cancel(self, picking):
        """Cancel this fulfillment in Shopify; doing it twice changes nothing.

        :raises IntegrationError: when Shopify refuses.
        """
        # sudo: whoever may change the delivery may take its shipment back
        backend = self.sudo().backend_id
        client = backend._shopify_client()

        def send(_key):
            answer = client.mutate(
                "fulfillment_cancel",
                {"id": self.external_id},
                action=self.env._("cancel %s", self.name),
            )
            return answer["fulfillment"]["id"]

        with backend._intent("cancel fulfillment", picking, key=self.external_id) as intent:
            # Shopify itself takes a second cancellation for the first one
            intent.send(send, lambda _key: None, late_seconds=0)

    # === TO DO === #

    def _ask(self, item, text):
        """Ask a person, once, to do what could not be done here; False: it is done."""
        if text == (self.problem or False):
            return
        self.problem = text
        if not text:
            todo = self.activity_id.filtered("active")
            todo.action_feedback(self.env._("Shopify and Odoo agree again."))
            return
        item.notes.append(text)
        self.activity_id = item.record._shopify_todo(
            self.backend_id,
            self.env._("Shipment %s", self.name),
            text,
            role="stock.group_stock_user",
        )
