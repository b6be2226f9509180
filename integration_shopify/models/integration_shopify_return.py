from odoo import api, fields, models


class IntegrationShopifyReturn(models.Model):
    """A return that was asked for or opened in Shopify.

    It changes neither money nor stock: that does the refund Shopify makes when it is processed.
    """

    _name = "integration.shopify.return"
    _inherit = ["integration.company.mixin"]
    _description = "Shopify Return"
    _order = "opened_at, id"

    order_id = fields.Many2one(
        "sale.order", required=True, readonly=True, ondelete="cascade", index=True
    )
    backend_id = fields.Many2one(
        "integration.backend", required=True, readonly=True, ondelete="cascade"
    )
    company_id = fields.Many2one("res.company", required=True, readonly=True, index=True)
    external_id = fields.Char(string="Shopify ID", required=True, readonly=True)
    name = fields.Char(string="Return", readonly=True)
    status = fields.Char(readonly=True, help="As Shopify calls it.")
    quantity = fields.Integer(string="Units", readonly=True)
    opened_at = fields.Datetime(string="Opened", readonly=True)
    closed_at = fields.Datetime(string="Closed", readonly=True)
    activity_id = fields.Many2one(
        "mail.activity", readonly=True, ondelete="set null", index="btree_not_null"
    )

    _external_id_unique = models.Constraint(
        "UNIQUE(backend_id, external_id)", "This return is already known."
    )

    @api.model
    def _follow(self, backend, items):
        """Note the returns of orders as they are now.

        :param list[Item] items: with ``record`` (the sales order) and ``data``.
        """
        items = [item for item in items if item.data.returns]
        if not items:
            return
        known = self.search(
            [
                ("backend_id", "=", backend.id),
                ("external_id", "in", [row.id for item in items for row in item.data.returns]),
            ]
        ).grouped("external_id")
        for item in items:
            for found in item.data.returns:
                vals = {
                    "name": found.name,
                    "status": (found.status or "").capitalize(),
                    "quantity": found.totalQuantity,
                    "opened_at": found.createdAt,
                    "closed_at": found.closedAt or False,
                }
                row = known.get(found.id)
                if not row:
                    row = self.create(
                        {
                            **vals,
                            "order_id": item.record.id,
                            "backend_id": backend.id,
                            "company_id": backend.company_id.id,
                            "external_id": found.id,
                        }
                    )
                elif any(row[name] != value for name, value in vals.items()):
                    row.write(vals)
                row._expect(backend, item)

    def _expect(self, backend, item):
        """Keep the to-do about goods that are on their way back, where the backend wants one."""
        processed = {row.return_.id for row in item.data.refunds or () if row.return_}
        is_open = self.status == "Open" and self.external_id not in processed
        todo = self.activity_id.filtered("active")
        if todo and not is_open:
            todo.action_feedback(self.env._("Return in Shopify: %s.", self.status))
            self.activity_id = False
        elif is_open and not self.activity_id and backend.shopify_return_todo:
            self.activity_id = self.order_id._shopify_todo(
                backend,
                self.env._("Goods expected: %s", self.name),
                self.env._(
                    "%(quantity)s units of %(order)s are to come back. Stock and money follow "
                    "when the return is processed in Shopify.",
                    quantity=self.quantity,
                    order=self.order_id.display_name,
                ),
            )
