from odoo import api, fields, models

from .sale_order import HOLD_TODO

#: States of a fulfillment order in which Shopify does not want it shipped.
HELD = frozenset({"ON_HOLD", "SCHEDULED"})


class IntegrationShopifyHold(models.AbstractModel):
    """Keeps the deliveries of an order back, and lets them go.

    An order is on hold while a rule says so (risk, for example) or Shopify does. What Shopify
    releases is free by itself; what a person has released stays free, until there is a new reason.
    """

    _name = "integration.shopify.hold"
    _description = "Shopify Holds"

    @api.model
    def _follow(self, backend, items):
        """Hold or release the deliveries of orders as things are now.

        :param list[Item] items: with ``record``, ``data`` and ``values["decision"]``.
        """
        for item in items:
            self._follow_one(backend, item)

    @api.model
    def _follow_one(self, backend, item):
        order = item.record
        known = order.shopify_decision or {}
        memory = known.get("hold", {})
        released = memory.get("released", [])
        reasons = {} if order.state == "cancel" else self._reasons(item)
        active = {key: text for key, text in reasons.items() if key not in released}
        before = memory.get("keys", [])
        if sorted(active) == sorted(before):
            return
        rows = list(known.get("rows", ()))
        now = fields.Datetime.to_string(fields.Datetime.now())
        decision = item.values["decision"]
        for key, text in active.items():
            if key not in before:
                rule_id = decision.hold_rule_id if key == decision.hold_key else None
                what = self.env._("Delivery on hold")
                rows.append({"at": now, "what": what, "why": text, "rule": rule_id})
        if before and not active:
            what, why = self.env._("Hold lifted"), self.env._("its reason is gone in Shopify")
            rows.append({"at": now, "what": what, "why": why, "rule": None})
        order.write(
            {
                "shopify_hold": "; ".join(active.values()) or False,
                "shopify_decision": {
                    **known,
                    "rows": rows,
                    "hold": {"keys": sorted(active), "released": released},
                },
            }
        )
        if decision.hold_key in active and decision.hold_key not in before:
            order._shopify_todo(
                backend,
                self.env._("Delivery on hold"),
                self.env._(
                    "The delivery of %(order)s waits: %(why)s. Look at the order in Shopify. If "
                    "it is fine, press Release Hold on the sales order; else cancel it in Shopify.",
                    order=item.label,
                    why=active[decision.hold_key],
                ),
                kind=HOLD_TODO,
            )
        elif not active:
            order._shopify_close_hold(self.env._("No longer on hold in Shopify."))

    @api.model
    def _reasons(self, item):
        """Return ``{key: text}`` of all that keeps the order back; a key names one reason."""
        found = {}
        decision = item.values["decision"]
        if decision.hold:
            found[decision.hold_key] = decision.hold
        for work in item.data.fulfillmentOrders or ():
            if work.status not in HELD:
                continue
            if work.status == "SCHEDULED":
                found[f"{work.id}:scheduled"] = self.env._("Shopify: scheduled for later")
            for hold in work.fulfillmentHolds:
                reason = hold.displayReason or hold.reason.replace("_", " ").capitalize()
                text = ", ".join(filter(None, (reason, hold.reasonNotes)))
                found[hold.id] = self.env._("Shopify: %s", text or self.env._("on hold"))
            if work.status == "ON_HOLD" and not work.fulfillmentHolds:
                found[f"{work.id}:hold"] = self.env._("Shopify: on hold")
        return found
