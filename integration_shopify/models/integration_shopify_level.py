from odoo import api, fields, models
from odoo.exceptions import UserError


class IntegrationShopifyLevel(models.Model):
    """The stock of a product at a location of the shop, as both sides last agreed on it.

    Of locations that get their stock from Odoo it says what Shopify last confirmed; of those that
    a third party counts, what was counted. Why a number is sent is computed when somebody looks.
    """

    _name = "integration.shopify.level"
    _description = "Shopify Stock Level"
    _order = "product_id, location"

    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one(
        related="backend_id.company_id", store=True, readonly=True, index=True
    )
    product_id = fields.Many2one(
        "product.product", required=True, readonly=True, ondelete="cascade", index=True
    )
    location = fields.Char(string="Location ID", required=True, readonly=True)
    item = fields.Char(string="Inventory Item ID", readonly=True)
    external_id = fields.Char(string="Level ID", readonly=True)
    location_name = fields.Char(string="Location", compute="_compute_location")
    stock_location_id = fields.Many2one(
        "stock.location", string="In Odoo", compute="_compute_location"
    )
    owner = fields.Char(compute="_compute_location")
    confirmed_quantity = fields.Integer(
        string="In Shopify",
        readonly=True,
        aggregator=None,
        help="What could be sold in Shopify when both sides last agreed.",
    )
    committed_quantity = fields.Integer(
        string="In Open Orders",
        readonly=True,
        aggregator=None,
        help="Units that open orders of the shop had taken when its stock was last read.",
    )
    confirmed_at = fields.Datetime(string="Confirmed", readonly=True)
    sent_at = fields.Datetime(string="Last Sent", readonly=True)
    wanted_quantity = fields.Integer(
        string="Sent by Odoo",
        readonly=True,
        aggregator=None,
        help="Odoo's quantity at that time, before units were held back.",
    )
    pending_quantity = fields.Integer(
        string="Held Back",
        readonly=True,
        aggregator=None,
        help="Units that Shopify has sold and Odoo had not counted yet: an order that was not "
        "imported, a quotation, units nobody has reserved.",
    )
    gone_quantity = fields.Integer(
        string="Vanished",
        readonly=True,
        aggregator=None,
        help="Those of them that no open order has, such as units sold and handed over at a till. "
        "They are held back until their order is in Odoo, or it was waited long enough.",
    )
    gone_until = fields.Datetime(
        string="Held Until", readonly=True, help="When vanished units are no longer held back."
    )
    revision = fields.Integer(readonly=True, help="How often it was confirmed.")
    decision = fields.Selection(
        [("odoo", "Odoo is right"), ("shopify", "Shopify is right")], readonly=True
    )
    decision_in_conflict = fields.Boolean(
        string="Decided for a Conflict",
        readonly=True,
        help="The decision was made on an operation, which is about all locations of a product: it "
        "counts where no order explains the difference.",
    )
    on_hand = fields.Integer(
        string="Counted in Shopify",
        readonly=True,
        aggregator=None,
        help="On hand at a location whose stock a third party counts.",
    )
    shipped_ahead = fields.Integer(
        readonly=True, help="Units that left there, and that Odoo has yet to deliver."
    )
    counted_at = fields.Datetime(string="Counted", readonly=True)
    present_quantity = fields.Integer(
        string="In Odoo", compute="_compute_explanation", help="What would be sent now."
    )
    explanation = fields.Char(
        string="Why", compute="_compute_explanation", help="What the quantity is made of now."
    )

    _level_unique = models.Constraint(
        "UNIQUE(backend_id, product_id, location)", "This stock level is in the list already."
    )

    # === COMPUTE METHODS === #

    @api.depends("product_id", "location_name")
    def _compute_display_name(self):
        for level in self:
            level.display_name = f"{level.product_id.display_name}, {level.location_name}"

    @api.depends("backend_id", "location")
    def _compute_location(self):
        # sudo: the name of a place, for whoever may see the level
        rows = (
            self.env["integration.mapping"]
            .sudo()
            .search([("backend_id", "in", self.backend_id.ids), ("kind", "=", "location")])
        )
        known = {(row.backend_id.id, row.external_value): row for row in rows}
        for level in self:
            row = known.get((level.backend_id.id, level.location))
            level.location_name = row.display_name if row else level.location
            level.stock_location_id = row.resource_ref if row else False
            level.owner = row.shopify_stock_owner if row else False

    @api.depends("backend_id", "product_id", "location")
    def _compute_explanation(self):
        for backend, levels in self.grouped("backend_id").items():
            # sudo: people who look after the connection see how its numbers come about, whether or
            # not they may see the stock itself; only the backend's company counts
            own = backend.sudo().with_context(allowed_company_ids=backend.company_id.ids)
            figures = own._resource("stock")._figures(
                own, own.env["product.product"].browse(levels.product_id.ids)
            )
            for level in levels:
                row = figures.get(level.location, {}).get(level.product_id.id)
                level.present_quantity = row["quantity"] if row else 0
                level.explanation = level._explain(row) if row else self._explain_counted(level)

    def _explain(self, figures):
        source = self.backend_id.shopify_stock_source
        taken = self.env._("%(quantity)g on hand", quantity=figures["on_hand"])
        if source == "free":
            reserved = figures["on_hand"] - figures["free"]
            taken = self.env._(
                "%(on_hand)s - %(reserved)g reserved", on_hand=taken, reserved=reserved
            )
        elif source == "forecast":
            taken = self.env._(
                "%(on_hand)s, forecast %(forecast)g", on_hand=taken, forecast=figures["forecast"]
            )
        if figures["buffer"]:
            taken = self.env._(
                "%(taken)s - %(buffer)s kept back", taken=taken, buffer=figures["buffer"]
            )
        taken = f"{taken} = {figures['quantity']}"
        if self.pending_quantity:
            taken = self.env._(
                "%(taken)s; %(held)s held back for orders Odoo has not counted",
                taken=taken,
                held=self.pending_quantity,
            )
        if self._is_left(figures["quantity"]):
            taken = self.env._(
                "%(taken)s; Shopify's quantity was decided to be right and is left as it is until "
                "this changes",
                taken=taken,
            )
        if gone := self._still_gone():
            taken = self.env._(
                "%(taken)s; %(gone)s of them vanished in Shopify without an open order, held back "
                "for a few minutes until the order is here",
                taken=taken,
                gone=gone,
            )
        return taken

    @api.model
    def _explain_counted(self, level):
        if not level.counted_at:
            return ""
        if level.shipped_ahead:
            return self.env._(
                "%(on_hand)s counted there + %(ahead)s shipped there and not delivered in Odoo yet",
                on_hand=level.on_hand,
                ahead=level.shipped_ahead,
            )
        return self.env._("%s counted there", level.on_hand)

    # === BUSINESS METHODS === #

    @api.model
    def _known(self, backend, products):
        """Return ``{(product id, location): level}`` in one query."""
        rows = self.search_fetch(
            [("backend_id", "=", backend.id), ("product_id", "in", products.ids)],
            [
                "product_id",
                "location",
                "confirmed_quantity",
                "committed_quantity",
                "confirmed_at",
                "wanted_quantity",
                "pending_quantity",
                "gone_quantity",
                "gone_until",
                "revision",
                "decision",
                "decision_in_conflict",
            ],
        )
        return {(row.product_id.id, row.location): row for row in rows}

    def _still_gone(self):
        """Return the vanished units that are held back now, 0 when it was waited long enough."""
        held = self.gone_until and self.gone_until > fields.Datetime.now()
        return self.gone_quantity if held else 0

    def _is_left(self, wanted):
        """Return whether Shopify's quantity was decided to be right, and Odoo's is still the same.

        What was sent is Odoo's quantity less what was held back; a decision makes it another one.

        :param int wanted: Odoo's quantity now.
        """
        return (
            bool(self.confirmed_at)
            and self.wanted_quantity == wanted
            and self.confirmed_quantity + self.pending_quantity != wanted
        )

    @api.model
    def _note(self, backend, answers):
        """Store what Shopify confirmed; the same few statements for one level and for many.

        :param dict answers: ``{(product id, location): what was noted}``.
        """
        now = fields.Datetime.now()
        products = self.env["product.product"].browse({product for product, _place in answers})
        known, new = self._known(backend, products), []
        for (product_id, location), answer in answers.items():
            vals = {
                "item": answer["item"],
                "confirmed_quantity": answer["quantity"],
                "committed_quantity": answer["committed"],
                "confirmed_at": now,
                "wanted_quantity": answer["wanted"],
                "pending_quantity": answer["pending"],
                "gone_quantity": answer["gone"],
                "gone_until": answer["gone_until"],
                "decision": False,
                "decision_in_conflict": False,
            }
            if answer["sent"]:
                vals["sent_at"] = now
            if answer["level"]:
                vals["external_id"] = answer["level"]
            row = known.get((product_id, location))
            if row:
                row.write({**vals, "revision": row.revision + 1})
            else:
                key = {
                    "backend_id": backend.id,
                    "product_id": product_id,
                    "location": location,
                    "revision": 1,
                }
                new.append({**vals, **key})
        self.create(new)

    @api.model
    def _location_names(self, backend):
        """Return ``{location of Shopify: its name}``."""
        rows = self.env["integration.mapping"].search_fetch(
            [("backend_id", "=", backend.id), ("kind", "=", "location")],
            ["external_value", "external_label"],
        )
        return {row.external_value: row.display_name for row in rows}

    # === ACTIONS === #

    def action_odoo_is_right(self):
        """Send Odoo's quantity, whatever Shopify has."""
        return self._decide("odoo")

    def action_shopify_is_right(self):
        """Leave Shopify's quantity until Odoo's changes again."""
        return self._decide("shopify")

    def _decide(self, decision):
        if not self.env.user.has_group("integration_base.group_integration_operator"):
            raise UserError(self.env._("Deciding needs the role Integration Operator."))
        self.check_access("read")
        # sudo: operators decide, the rows themselves are the engine's
        own = self.sudo()
        own.write({"decision": decision, "decision_in_conflict": False})
        for backend, levels in own.grouped("backend_id").items():
            flow = backend._shopify_stock_flow()
            # the person has decided, so it is sent though Odoo's number is the same
            own.env["integration.sync.log"]._append_records(
                flow, levels.product_id, "manual", force=True
            )
            flow._wake_after_commit()
        return True
