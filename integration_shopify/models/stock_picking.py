import json
from collections import defaultdict

from odoo import api, fields, models
from odoo.exceptions import UserError

from odoo.addons.integration_base.lib.errors import IntegrationError
from odoo.addons.integration_base.lib.records import Change

from ..lib import shipping
from .sale_order import READERS


class StockPicking(models.Model):
    _name = "stock.picking"
    _inherit = ["stock.picking", "integration.bound.mixin"]

    shopify_fulfillment_ids = fields.Many2many(
        "integration.shopify.fulfillment",
        "integration_shopify_fulfillment_picking_rel",
        "picking_id",
        "fulfillment_id",
        string="Fulfillments in Shopify",
        readonly=True,
        copy=False,
        groups=f"{READERS},stock.group_stock_user",
    )
    # sudo: transfers are read by people who see neither the orders nor what Shopify says of them
    shopify_is_shipped = fields.Boolean(compute="_compute_shopify_states", compute_sudo=True)
    shopify_is_covered = fields.Boolean(compute="_compute_shopify_states", compute_sudo=True)
    shopify_is_cancellable = fields.Boolean(compute="_compute_shopify_states", compute_sudo=True)
    shopify_hold = fields.Char(related="sale_id.shopify_hold", string="On Hold")

    # === COMPUTE METHODS === #

    @api.depends("state", "sale_id.shopify_url", "shopify_fulfillment_ids.status")
    def _compute_shopify_states(self):
        shipped = self._shopify_shipped()
        for picking in self:
            picking.shopify_is_shipped = picking in shipped
            rows = picking.shopify_fulfillment_ids
            picking.shopify_is_covered = bool(rows)
            picking.shopify_is_cancellable = bool(rows._cancellable())

    # === CRUD METHODS === #

    def write(self, vals):
        result = super().write(vals)
        if {"carrier_tracking_ref", "carrier_id"} & vals.keys():
            self._shopify_enqueue()
        return result

    # === BUSINESS METHODS === #

    def button_validate(self):
        """Keep back what must not leave the house yet.

        :raises UserError: naming the deliveries and why they wait.
        """
        # what Shopify says was shipped has left already
        if not self.env.context.get("shopify_follow"):
            held = self.filtered(
                lambda picking: (
                    picking.picking_type_code == "outgoing"
                    and picking.state != "done"
                    and picking.shopify_hold
                )
            )
            if held:
                raise UserError(
                    "\n".join(
                        self.env._(
                            "%(delivery)s of %(order)s is on hold and cannot be shipped: %(why)s. "
                            "Release the hold on the sales order, or in Shopify where it was put "
                            "there.",
                            delivery=picking.name,
                            # sudo: whoever ships need not see the orders of others
                            order=picking.sudo().sale_id.name,
                            why=picking.shopify_hold,
                        )
                        for picking in held
                    )
                )
        return super().button_validate()

    def _action_done(self):
        result = super()._action_done()
        self._shopify_enqueue()
        return result

    def _send_confirmation_email(self):
        # whoever shipped it has told the buyer, and has the label
        if self.env.context.get("shopify_follow"):
            return None
        return super()._send_confirmation_email()

    def _shopify_shipped(self):
        """Return those of the deliveries that left for a buyer of a Shopify shop."""
        return self.filtered(
            lambda picking: (
                picking.state == "done"
                and picking.location_dest_id.usage == "customer"
                # sudo: whoever ships need not see the orders of others
                and picking.sudo().sale_id.shopify_url
            )
        )

    def _shopify_flows(self):
        """Return ``{flow of shipments: deliveries}``; only flows that are switched on."""
        pickings = self._shopify_shipped()
        if not pickings:
            return {}
        # sudo: whoever ships need not see the integrations
        bindings = (
            self.env["integration.binding"]
            .sudo()
            .search(
                [
                    ("resource", "=", "order"),
                    ("res_model", "=", "sale.order"),
                    ("res_id", "in", pickings.sale_id.ids),
                    ("backend_id.connector", "=", "shopify"),
                    ("backend_id.state", "!=", "draft"),
                ]
            )
        )
        backends = {link.res_id: link.backend_id for link in bindings}
        found = defaultdict(self.browse)
        for picking in pickings:
            backend = backends.get(picking.sale_id.id)
            flow = backend and backend.flow_ids.filtered(
                lambda flow: flow.resource == "shipment" and flow.enabled
            )
            if flow:
                found[flow] |= picking
        return dict(found)

    def _shopify_enqueue(self):
        """Have Shopify told of deliveries that are done, once the transaction is committed."""
        if self.env.context.get("shopify_follow"):
            return
        for flow, pickings in self._shopify_flows().items():
            # sudo: the log is the engine's
            self.env["integration.sync.log"].sudo()._append_records(flow, pickings, "change")
            self.env["integration.outbox"]._wake_after_commit({flow.id: 0})

    def _shopify_units(self):
        """Return ``{line item id: units}`` that this delivery brought to the buyer.

        Shopify's units are whole: what is delivered in fractions counts with the delivery that
        completes a unit, and a kit with the one that completes its parts.
        """
        self.ensure_one()
        units, place = {}, self._shopify_order_key()
        for line in self.move_ids.sale_line_id.filtered("shopify_line_id"):
            moves = line.move_ids.filtered(
                lambda move: (
                    move.state == "done"
                    and move.location_dest_id.usage == "customer"
                    and move.location_id.usage != "customer"
                )
            )
            until = moves.filtered(lambda move: move.picking_id._shopify_order_key() <= place)
            earlier = until.filtered(lambda move: move.picking_id != self)
            count = line._shopify_whole_units(until) - line._shopify_whole_units(earlier)
            if count > 0:
                units[line.shopify_line_id] = units.get(line.shopify_line_id, 0) + count
        return units

    def _shopify_services(self):
        """Return the ids of the line items that are no goods, for the order's last delivery.

        Nothing in Odoo says when an engraving or a custom item leaves, so it goes with the goods:
        else no order with one would ever be fulfilled in Shopify.
        """
        self.ensure_one()
        order = self.sale_id
        if any(
            move.state not in ("done", "cancel")
            for move in order.picking_ids.move_ids._shopify_to_buyer()
        ):
            return []
        return sorted(
            line.shopify_line_id
            for line in order.order_line
            if line.shopify_line_id and line.product_id.type == "service" and not line.is_delivery
        )

    def _shopify_order_key(self):
        return (self.date_done or fields.Datetime.now(), self.id)

    def _shopify_tracking(self):
        """Return ``company``, ``numbers`` and ``urls`` of the parcels as Shopify takes them.

        ``urls`` is empty, or has one for each number; for carriers it knows Shopify makes them.
        """
        self.ensure_one()
        carrier = self.carrier_id
        numbers = shipping.split_numbers(self.carrier_tracking_ref or "")
        links = self._shopify_links(numbers)
        return {
            "company": carrier._shopify_company() if carrier else "",
            "numbers": numbers,
            "urls": links if len(links) == len(numbers) else [],
        }

    def _shopify_links(self, numbers):
        template = self.carrier_id.tracking_url or ""
        placeholder = "<shipmenttrackingnumber>"
        if placeholder in template:
            return [template.replace(placeholder, number) for number in numbers]
        link = self.carrier_tracking_url or ""
        try:
            # carriers with several parcels give a list of name and link
            links = [row[1] for row in json.loads(link)]
        except (ValueError, TypeError, IndexError, KeyError):
            links = [link]
        return [url for url in links if url.startswith(("http://", "https://"))]

    # === ACTIONS === #

    def action_shopify_release_hold(self):
        """Release the orders of these deliveries, see the same button of the order."""
        return self.sale_id.action_shopify_release_hold()

    def action_shopify_ship(self):
        """Tell Shopify of this delivery now, and show what became of it.

        :raises UserError: when no Shopify shop is to be told of it.
        """
        self.ensure_one()
        self.check_access("write")
        flow = next(iter(self._shopify_flows()), None)
        if not flow:
            raise UserError(
                self.env._(
                    "No shop is told of %s: it is not done, or Shipments is switched off among the "
                    "flows of the backend.",
                    self.name,
                )
            )
        flow._check_ready()
        # sudo: whoever may change the delivery may have it sent
        return self.env["integration.sync.log"].sudo()._append_and_run(flow, record=self)

    def action_shopify_cancel(self):
        """Cancel the fulfillments of this delivery in Shopify, so that its units ship again.

        The goods are taken back in Odoo when the order is read next, right after this.

        :raises UserError: when there is none, or Shopify refuses.
        """
        self.ensure_one()
        self.check_access("write")
        open_ones = self.shopify_fulfillment_ids._cancellable()
        if not open_ones:
            raise UserError(
                self.env._(
                    "Shopify has no fulfillment of %s that could be cancelled. What is on its way "
                    "already comes back by a return.",
                    self.name,
                )
            )
        try:
            for row in open_ones:
                row._cancel(self)
        except IntegrationError as error:
            raise UserError(error.message) from error
        # sudo: as for cancelling; the operation is the engine's
        row = open_ones[0].sudo()
        backend = row.backend_id
        flow = backend._shopify_order_flow()
        bindings = row.env["integration.binding"]._search_records(backend, "order", self.sale_id)
        return row.env["integration.sync.log"]._append_and_run(
            flow, Change(bindings.external_id, label=self.sale_id.name)
        )
