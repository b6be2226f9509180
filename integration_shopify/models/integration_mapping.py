from odoo import api, fields, models

from odoo.addons.integration_base.lib.records import Change


class IntegrationMapping(models.Model):
    _inherit = "integration.mapping"

    kind = fields.Selection(
        selection_add=[("payment_term", "Payment Terms")], ondelete={"payment_term": "cascade"}
    )

    @api.model
    def _kind_models(self):
        return {**super()._kind_models(), "payment_term": "account.payment.term"}

    def _release(self):
        """Book the money that waited for the journal of its gateway: its orders are read again."""
        result = super()._release()
        for mapping in self:
            if mapping.kind == "payment_method" and mapping.backend_id.connector == "shopify":
                mapping._shopify_book_waiting()
        return result

    def _shopify_book_waiting(self):
        # sudo: whoever may map a value may also let the work that waits for it go on
        own = self.sudo()
        rows = own.env["integration.shopify.transaction"].search(
            [
                ("backend_id", "=", own.backend_id.id),
                ("gateway", "=", own.external_value),
                ("note", "!=", False),
                ("payment_id", "=", False),
            ]
        )
        bindings = own.env["integration.binding"].search_fetch(
            [
                ("backend_id", "=", own.backend_id.id),
                ("resource", "=", "order"),
                ("res_model", "=", "sale.order"),
                ("res_id", "in", rows.order_id.ids),
            ],
            ["external_id", "external_label"],
        )
        flow = own.backend_id._shopify_order_flow()
        if bindings and flow:
            changes = [Change(row.external_id, label=row.external_label) for row in bindings]
            # nothing changed in Shopify, so it has to be written all the same
            own.env["integration.sync.log"]._append(flow, changes, "change", force=True)
            flow._wake_after_commit()
