"""The shop as a page, so that people can play with it."""

from __future__ import annotations

import time
from html import escape
from typing import TYPE_CHECKING, Any

from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response

from .money import rest_amount
from .records import Order
from .seed import random_orders
from .shop import Refused, SpecError

if TYPE_CHECKING:
    from .app import Simulator

_STYLE = """
:root{color-scheme:light dark;--line:#d9dce1;--soft:#f4f5f7;--ink:#1d2530;--green:#0a7a4b}
@media(prefers-color-scheme:dark){:root{--line:#394150;--soft:#232a35;--ink:#e7eaf0}
body{background:#171c24}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);
margin:0 auto;max-width:1180px;padding:24px}
header{display:flex;gap:16px;align-items:center;flex-wrap:wrap}
header div{flex:1}
h1{font-size:22px;margin:0}
h2{font-size:17px;margin:28px 0 8px}
small{opacity:.7}
table{width:100%;border-collapse:collapse}
th,td{text-align:left;padding:6px 8px;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;font-size:13px}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
button{font:inherit;padding:4px 10px;border:1px solid var(--line);border-radius:6px;
background:var(--soft);color:inherit;cursor:pointer}
button.main{background:var(--green);border-color:var(--green);color:#fff;padding:8px 16px}
form{display:inline}
.tag{padding:1px 8px;border-radius:10px;background:var(--soft);font-size:13px;white-space:nowrap}
.note{background:var(--soft);border-left:4px solid var(--green);padding:8px 12px;margin:16px 0}
.scroll{overflow-x:auto}
"""

_TEMPLATE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<style>{style}</style></head><body>
<header><div><h1>{name}</h1>
<small>{domain} · simulated Shopify shop · {count} orders · {subscriptions} webhook
subscriptions</small></div>{place}</header>
{note}
<h2>Orders</h2><div class="scroll"><table>
<thead><tr><th>Order</th><th>Customer</th><th class="n">Items</th><th class="n">Total</th>
<th class="n">Tax</th><th>Payment</th><th>Shipping</th><th></th></tr></thead>
<tbody>{orders}</tbody></table></div>{more}
<h2>Products</h2><div class="scroll"><table>
<thead><tr><th>Product</th><th>Variant</th><th>SKU</th><th>Barcode</th><th class="n">Price</th>
<th class="n">In stock</th></tr></thead>
<tbody>{products}</tbody></table></div>
</body></html>
"""


def _button(action: str, label: str, order: Order | None = None, main: bool = False) -> str:
    target = f'<input type="hidden" name="order" value="{order.id}">' if order else ""
    kind = ' class="main"' if main else ""
    button = f"<button{kind}>{label}</button>"
    return f'<form method="post" action="/page/{action}">{target}{button}</form> '


class Page:
    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    def route(self, request: Request) -> Response:
        if request.method == "GET":
            with self.simulator.shop.lock:
                html = self._html(request.args.get("said", ""))
            return Response(html, content_type="text/html; charset=utf-8")
        action = request.path.removeprefix("/page/")
        try:
            with self.simulator.shop.lock:
                said = self._act(action, request.form.get("order"))
        except (Refused, SpecError) as error:
            said = str(error)
        return redirect(f"/?said={said.replace('#', '%23')}", 303)

    def _act(self, action: str, key: str | None) -> str:
        shop = self.simulator.shop
        if action == "place":
            order = shop.place_order(random_orders(1, time.time_ns() % 1_000_000, shop)[0])
            return f"Order {order.name} was placed."
        order = shop.get("Order", key)
        if action == "edit":
            line = next((ln for ln in order.lines if ln.unfulfilled), None)
            if line is None:
                raise Refused(f"{order.name} has nothing left that could be edited.")
            shop.edit(order, {"set": [{"line": line.gid, "quantity": line.current_quantity + 1}]})
            return f"Order {order.name}: one more {line.name}."
        if action == "refund":
            line = next((ln for ln in order.lines if ln.current_quantity), None)
            if line is None:
                raise Refused(f"{order.name} has nothing left to refund.")
            restock = "RETURN" if line.fulfilled else "CANCEL"
            shop.refund(order, {"lines": [{"line": line.gid, "quantity": 1, "restock": restock}]})
            return f"Order {order.name}: one {line.name} was refunded."
        actions = {"cancel": "cancelled", "pay": "paid", "fulfil": "fulfilled"}
        if action not in actions:
            raise SpecError(f"no such button: {action}")
        getattr(shop, action)(order, {})
        return f"Order {order.name} was {actions[action]}."

    def _html(self, said: str) -> str:
        shop = self.simulator.shop
        config = shop.config
        orders = list(reversed(shop.all("Order")))
        note = f'<p class="note" role="status">{escape(said)}</p>' if said else ""
        shown = "".join(self._order(order) for order in orders[:50])
        more = (
            f"<p><small>and {len(orders) - 50} older orders</small></p>" if len(orders) > 50 else ""
        )
        products = "".join(self._product(p) for p in shop.all("Product"))
        subscriptions = len(shop.all("WebhookSubscription"))
        return _TEMPLATE.format(
            style=_STYLE,
            name=escape(config.name),
            domain=escape(config.domain),
            count=len(orders),
            subscriptions=subscriptions,
            place=_button("place", "Place an order", main=True),
            note=note,
            orders=shown or '<tr><td colspan="8">No orders yet.</td></tr>',
            more=more,
            products=products,
        )

    @staticmethod
    def _order(order: Order) -> str:
        cur = order.currencies
        total = rest_amount(order.current_total.presentment, cur.presentment)
        tax = rest_amount(order.current_tax.presentment, cur.presentment)
        status = (order.financial_status or "unpaid").replace("_", " ").lower()
        ship = (
            "cancelled"
            if order.cancelled_at
            else order.fulfillment_status.replace("_", " ").lower()
        )
        who = order.customer.display_name if order.customer else f"guest {order.email or ''}"
        buttons = ""
        if not order.cancelled_at:
            if order.outstanding.presentment > 0 and not order.closed_at:
                buttons += _button("pay", "Pay", order)
            if any(line.unfulfilled for line in order.goods):
                buttons += _button("edit", "Edit", order) + _button("fulfil", "Ship", order)
            if any(line.current_quantity for line in order.lines):
                buttons += _button("refund", "Refund", order)
            if not any(line.fulfilled for line in order.goods):
                buttons += _button("cancel", "Cancel", order)
        return (
            f"<tr><td>{order.name}</td><td>{escape(who)}</td>"
            f'<td class="n">{sum(ln.current_quantity for ln in order.lines)}</td>'
            f'<td class="n">{total} {cur.presentment}</td><td class="n">{tax}</td>'
            f'<td><span class="tag">{status}</span></td><td><span class="tag">{ship}</span></td>'
            f"<td>{buttons}</td></tr>"
        )

    def _product(self, product: Any) -> str:
        currency = self.simulator.shop.config.currency
        return "".join(
            f"<tr><td>{escape(product.title)}</td><td>{escape(v.title)}</td>"
            f"<td>{escape(v.sku or '')}</td><td>{escape(v.barcode or '')}</td>"
            f'<td class="n">{rest_amount(v.price, currency)} {currency}</td>'
            f'<td class="n">{v.available}</td></tr>'
            for v in product.variants
        )
