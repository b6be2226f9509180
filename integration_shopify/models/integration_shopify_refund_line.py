from odoo import api, fields, models


class IntegrationShopifyRefundLine(models.Model):
    """Units of one line of an order that a refund gave back."""

    _name = "integration.shopify.refund.line"
    _description = "Line of a Shopify Refund"
    _order = "refund_id, id"

    refund_id = fields.Many2one(
        "integration.shopify.refund", required=True, readonly=True, ondelete="cascade", index=True
    )
    company_id = fields.Many2one(related="refund_id.company_id", store=True, index=True)
    currency_id = fields.Many2one(related="refund_id.currency_id")
    shopify_line_id = fields.Char(required=True, readonly=True)
    sale_line_id = fields.Many2one(
        "sale.order.line",
        string="Order Line",
        readonly=True,
        ondelete="set null",
        index="btree_not_null",
    )
    name = fields.Char(compute="_compute_name")
    quantity = fields.Integer(string="Units", readonly=True)
    restock = fields.Selection(
        [
            ("return", "Came back"),
            ("cancel", "Never shipped"),
            ("no_restock", "Not restocked"),
            ("legacy_restock", "Restocked"),
        ],
        string="Goods",
        required=True,
        readonly=True,
        default="no_restock",
    )
    quantity_back = fields.Integer(
        string="Taken Back", readonly=True, help="Units of which a stock return exists in Odoo."
    )
    quantity_left = fields.Integer(compute="_compute_quantity_left")
    location_ref = fields.Char(readonly=True)
    location_name = fields.Char(string="Location", readonly=True)
    amount_subtotal = fields.Monetary(string="Subtotal", readonly=True)
    amount_tax = fields.Monetary(string="Tax", readonly=True)

    # === COMPUTE METHODS === #

    @api.depends("sale_line_id", "shopify_line_id")
    def _compute_name(self):
        for line in self:
            line.name = line.sale_line_id.product_id.display_name or self.env._(
                "Line %s", line.shopify_line_id.rsplit("/", 1)[-1]
            )

    @api.depends("restock", "quantity", "quantity_back", "sale_line_id")
    def _compute_quantity_left(self):
        """Units that still have to be taken back into stock."""
        for line in self:
            moves = line.restock == "return" and line.sale_line_id.product_id.type == "consu"
            line.quantity_left = line.quantity - line.quantity_back if moves else 0

    def _text(self):
        """Return what happened to the units, for people."""
        self.ensure_one()
        values = {"quantity": self.quantity, "product": self.name}
        if self.restock == "cancel":
            return self.env._("%(quantity)s x %(product)s never shipped", **values)
        if self.restock == "no_restock":
            return self.env._("%(quantity)s x %(product)s not restocked", **values)
        return self.env._("%(quantity)s x %(product)s came back", **values)

    # === BUSINESS METHODS === #

    def _deliveries(self):
        """Return the deliveries of the line that are done, the latest first."""
        outgoing, _incoming = self.sale_line_id._get_outgoing_incoming_moves()
        return outgoing.filtered(lambda move: move.state == "done").sorted(
            lambda move: (move.date, move.id), reverse=True
        )

    def _delivered(self):
        """Return the units Odoo has ever delivered, taken back since or not."""
        return sum(
            self._in_units(move, move.quantity)
            for move in self._deliveries()
            if not move.origin_returned_move_id
        )

    def _in_units(self, move, quantity):
        return move.product_uom._compute_quantity(
            quantity, self.sale_line_id.product_uom_id, rounding_method="HALF-UP"
        )

    def _choose_deliveries(self, shipped, expected, taken):
        """Choose the deliveries that the units still to be taken back left with.

        ``quantity_back`` is written.

        :param int shipped: units of the line that Shopify has shipped.
        :param int expected: units that are with the buyer after this refund, as Shopify sees it.
        :param taken: ``{move id: units}`` chosen for other lines of the refund; added to.
        :returns: ``[(stock.move, quantity in its unit)]``
        """
        unit = self.sale_line_id.product_uom_id
        out = []
        for move in self._deliveries():
            left = self._in_units(move, self._still_out(move)) - taken[move.id]
            if unit.compare(left, 0) > 0:
                out.append((move, left))
        too_many = sum(left for _move, left in out) - expected
        wanted = min(self.quantity_left, max(0, too_many))
        chosen = []
        for move, left in out:
            part = min(left, wanted)
            if unit.compare(part, 0) > 0:
                quantity = unit._compute_quantity(part, move.product_uom, rounding_method="HALF-UP")
                chosen.append((move, quantity))
                taken[move.id] += part
                wanted -= part
                self.quantity_back += int(part)
        if self.quantity_left and 0 < shipped <= self._delivered():
            # all that Shopify shipped was delivered, so what is missing somebody took back before
            self.quantity_back = self.quantity
        return chosen

    @api.model
    def _still_out(self, move):
        """Return the quantity of a delivery of which no return exists, in the unit of the move."""
        return move.quantity - sum(
            back.product_uom._compute_quantity(
                back.quantity if back.state == "done" else back.product_uom_qty,
                move.product_uom,
                rounding_method="HALF-UP",
            )
            for back in move.returned_move_ids
            if back.state != "cancel"
        )
