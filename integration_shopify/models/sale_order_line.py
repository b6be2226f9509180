from odoo import api, fields, models


class SaleOrderLine(models.Model):
    _inherit = "sale.order.line"

    shopify_line_id = fields.Char(
        readonly=True, copy=False, help="Id of the order line in Shopify."
    )

    def _prepare_qty_invoiced(self):
        """Leave out invoice lines that only change a price."""
        quantities = super()._prepare_qty_invoiced()
        for line in self:
            for row in line._get_invoice_lines():
                if row.shopify_amount_only and row.parent_state != "cancel":
                    quantities[line] += row.quantity * row.move_id.direction_sign
        return quantities

    @api.depends("order_id.shopify_invoice")
    def _compute_qty_to_invoice(self):
        """Leave orders to the ledger that it invoices: a second invoice would charge twice."""
        result = super()._compute_qty_to_invoice()
        for line in self:
            if line.order_id.shopify_invoice not in (False, "no"):
                line.qty_to_invoice = 0
        return result

    @api.depends("order_id.shopify_agreement_ids.state")
    def _compute_invoice_status(self):
        result = super()._compute_invoice_status()
        for line in self:
            order = line.order_id
            if order.shopify_invoice in (False, "no") or line.state != "sale":
                continue
            booked = all(row.state != "open" for row in order.shopify_agreement_ids)
            line.invoice_status = "invoiced" if booked and order.shopify_agreement_ids else "no"
        return result

    def _prepare_invoice_line(self, **optional_values):
        """Give an invoice of a part of the line its share of the exact amounts.

        Odoo takes the amounts of ``extra_tax_data`` only for the whole quantity. A part gets what
        is due up to and with it less what is due up to before it, so that all parts sum to the
        whole whatever their sizes.
        """
        values = super()._prepare_invoice_line(**optional_values)
        exact = self.extra_tax_data
        if (
            not self.shopify_line_id
            or not exact
            or not values.get("extra_tax_data")
            or not self.product_uom_qty
            or exact.get("quantity") != self.product_uom_qty
            or values.get("quantity") == self.product_uom_qty
        ):
            return values
        before, part = self.qty_invoiced, values["quantity"]

        def share(amount):
            due = (amount * invoiced / self.product_uom_qty for invoiced in (before, before + part))
            first, last = (self.currency_id.round(value) for value in due)
            return self.currency_id.round(last - first)

        base = share(exact["manual_total_excluded_currency"])
        values["extra_tax_data"] = {
            **exact,
            "quantity": part,
            "manual_total_excluded_currency": base,
            "manual_total_excluded": base,
            "manual_tax_amounts": {
                tax_id: {
                    "base_amount_currency": base,
                    "base_amount": base,
                    "tax_amount_currency": share(row["tax_amount_currency"]),
                    "tax_amount": share(row["tax_amount_currency"]),
                }
                for tax_id, row in exact["manual_tax_amounts"].items()
            },
        }
        return values

    def _shopify_whole_units(self, moves):
        """Return how many whole units of the line ``moves`` deliver.

        :param moves: done moves of this line to the buyer.
        """
        self.ensure_one()
        shares = [
            done / needed
            for product, needed in self._shopify_parts().items()
            for done in [
                sum(
                    move.product_uom._compute_quantity(move.quantity, product.uom_id, round=False)
                    for move in moves
                    if move.product_id == product
                )
            ]
        ]
        # a hundredth of a unit is what conversions of units of measure may lose
        return int(min(shares) + 0.01) if shares else 0

    def _shopify_parts(self):
        """Return ``{product: quantity}`` in its own unit that one unit of the line delivers.

        For a kit these are its parts, as far as they are delivered.
        """
        self.ensure_one()
        outgoing = self.move_ids.filtered(
            lambda move: move.state != "cancel" and not move.origin_returned_move_id
        )._shopify_to_buyer()
        if not outgoing or self.product_id in outgoing.product_id or not self.product_uom_qty:
            one = self.product_uom_id._compute_quantity(1, self.product_id.uom_id, round=False)
            return {self.product_id: one}
        returned = self.move_ids.filtered(
            lambda move: move.state == "done" and move.origin_returned_move_id in outgoing
        )
        needed = {}
        for sign, moves in ((1, outgoing), (-1, returned)):
            for move in moves:
                quantity = move.quantity if move.state == "done" else move.product_uom_qty
                product = move.product_id
                needed[product] = needed.get(
                    product, 0
                ) + sign * move.product_uom._compute_quantity(quantity, product.uom_id, round=False)
        return {
            product: quantity / self.product_uom_qty
            for product, quantity in needed.items()
            if quantity > 0
        }
