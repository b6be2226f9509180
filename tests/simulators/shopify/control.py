"""The control API: what the outside world does to the shop (reference: README.md)."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

from . import inventory_api, market_api
from .books import books
from .faults import Fault
from .payloads import payload
from .records import Order, Return, now
from .seed import random_orders
from .shop import Config, Refused, SpecError
from .truth import brief, truth

if TYPE_CHECKING:
    from .app import Simulator

_ACTIONS = (
    "edit",
    "pay",
    "authorize",
    "capture",
    "void",
    "fulfil",
    "unfulfil",
    "track",
    "report",
    "hold",
    "release",
    "move",
    "split",
    "return",
    "approveReturn",
    "declineReturn",
    "processReturn",
    "cancelReturn",
    "closeReturn",
    "reopenReturn",
    "assess",
    "cancel",
    "refund",
    "touch",
    "corrupt",
    "settle",
)


def _json(body: Any, status: int = 200) -> Response:
    text = json.dumps(body, ensure_ascii=False, indent=1)
    return Response(text + "\n", status, content_type="application/json; charset=utf-8")


class Control:
    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.routes: dict[tuple[str, str], Callable[[Request, dict[str, Any]], Any]] = {
            ("GET", "health"): self.health,
            ("POST", "reset"): self.reset,
            ("GET", "config"): self.get_config,
            ("POST", "config"): self.set_config,
            ("POST", "seed"): self.seed,
            ("GET", "products"): self.products,
            ("POST", "products"): self.add_product,
            ("POST", "products/update"): self.update_variant,
            ("POST", "stock"): self.stock,
            ("POST", "checkout"): self.checkout,
            ("GET", "customers"): self.customers,
            ("POST", "customers"): self.add_customer,
            ("GET", "locations"): self.locations,
            ("POST", "locations"): self.change_location,
            ("GET", "markets"): self.markets,
            ("POST", "markets"): self.change_market,
            ("POST", "prices"): self.fix_price,
            ("POST", "customers/update"): self.update_customer,
            ("POST", "customers/merge"): self.merge_customers,
            ("POST", "companies"): self.add_company,
            ("GET", "orders"): self.orders,
            ("GET", "books"): self.books,
            ("POST", "orders"): self.place,
            ("POST", "drafts"): self.draft,
            ("POST", "drafts/complete"): self.complete_draft,
            ("GET", "calls"): self.calls,
            ("POST", "calls/reset"): self.reset_calls,
            ("GET", "faults"): self.faults,
            ("POST", "faults"): self.set_faults,
            ("DELETE", "faults"): self.clear_faults,
            ("POST", "throttle"): self.throttle,
            ("GET", "tokens"): self.tokens,
            ("POST", "tokens/revoke"): self.revoke_tokens,
            ("GET", "subscriptions"): self.subscriptions,
            ("GET", "webhooks"): self.webhooks,
            ("POST", "webhooks"): self.set_webhooks,
            ("GET", "webhooks/log"): self.webhook_log,
            ("POST", "webhooks/resend"): self.resend,
            ("POST", "webhooks/send"): self.send_webhook,
            ("POST", "webhooks/wait"): self.wait,
        }

    def route(self, request: Request) -> Response:
        path = request.path.removeprefix("/control/").strip("/")
        try:
            body = json.loads(request.get_data() or b"{}")
        except ValueError:
            return _json({"error": "the body is not JSON"}, 400)
        handler = self.routes.get((request.method, path))
        try:
            if handler is not None:
                return _json(_plain(handler(request, body)))
            parts = path.split("/")
            if parts[0] == "orders" and len(parts) >= 2:
                return _json(_plain(self.one_order(request, parts, body)))
        except SpecError as error:
            return _json({"error": str(error)}, 400)
        except Refused as error:
            return _json({"error": error.message, "field": error.field, "code": error.code}, 409)
        except (KeyError, TypeError, ValueError) as error:
            return _json({"error": f"bad request: {error!r}"}, 400)
        known = sorted({f"{method} /control/{name}" for method, name in self.routes})
        return _json({"error": f"no such control: {request.method} {path}", "known": known}, 404)

    # === SHOP === #

    def health(self, request: Request, body: dict[str, Any]) -> Any:
        shop = self.simulator.shop
        with shop.lock:
            return {
                "status": "ok",
                "shop": shop.config.domain,
                "orders": len(shop.all("Order")),
                "products": len(shop.all("Product")),
                "subscriptions": len(shop.all("WebhookSubscription")),
                "webhooksPending": self.simulator.webhooks.pending,
            }

    def reset(self, request: Request, body: dict[str, Any]) -> Any:
        self.simulator.reset(seed=body.get("seed", True))
        return {"status": "ok"}

    def get_config(self, request: Request, body: dict[str, Any]) -> Any:
        return dataclasses.asdict(self.simulator.shop.config)

    def set_config(self, request: Request, body: dict[str, Any]) -> Any:
        shop = self.simulator.shop
        names = {f.name: f for f in dataclasses.fields(Config)}
        with shop.lock:
            for key, value in body.items():
                name = "".join(f"_{c.lower()}" if c.isupper() else c for c in key)
                if name not in names:
                    raise SpecError(f"config has no {key!r}; it has {', '.join(sorted(names))}")
                if isinstance(getattr(shop.config, name), tuple):
                    value = tuple(value)
                setattr(shop.config, name, value)
            bucket = self.simulator.executor.bucket
            bucket.size, bucket.restore = (
                float(shop.config.cost_bucket),
                float(shop.config.cost_restore),
            )
            bucket.available = min(bucket.available, bucket.size)
        return self.get_config(request, body)

    def seed(self, request: Request, body: dict[str, Any]) -> Any:
        """{"products": [...], "customers": [...], "locations": [...]}"""
        shop = self.simulator.shop
        with shop.lock:
            for row in body.get("locations", []):
                shop.add_location(**row)
            products = [shop.add_product(row) for row in body.get("products", [])]
            customers = [shop.add_customer(row) for row in body.get("customers", [])]
            return {
                "products": [self._product(p) for p in products],
                "customers": [c.gid for c in customers],
            }

    @staticmethod
    def _product(product: Any) -> dict[str, Any]:
        return {
            "id": product.gid,
            "title": product.title,
            "status": product.status,
            "tags": product.tags,
            "media": [media.gid for media in product.media],
            "variants": [
                {
                    "id": v.gid,
                    "title": v.title,
                    "sku": v.sku,
                    "barcode": v.barcode,
                    "price": str(v.price),
                    "taxable": v.taxable,
                    "grams": v.grams,
                    "inventoryItem": v.item.gid,
                    "levels": [
                        {"location": lev.location.gid, "name": lev.location.name, **lev.quantities}
                        for lev in v.item.levels
                    ],
                }
                for v in product.variants
            ],
        }

    def stock(self, request: Request, body: dict[str, Any]) -> Any:
        """{"sku", "location", "available" or "on_hand", "tracked", "active"}; returns its levels"""
        with self.simulator.shop.lock:
            return inventory_api.count_stock(self.simulator.shop, body)

    def checkout(self, request: Request, body: dict[str, Any]) -> Any:
        """{"sku", "quantity"} and what an order has besides; 409 when it is sold out"""
        shop = self.simulator.shop
        with shop.lock:
            inventory_api.refuse_sold_out(shop, body)
        line = {"sku": body.pop("sku"), "quantity": body.pop("quantity", 1)}
        return self.place(request, {"payment": "paid", **body, "lines": [line]})

    def products(self, request: Request, body: dict[str, Any]) -> Any:
        with self.simulator.shop.lock:
            return [self._product(p) for p in self.simulator.shop.all("Product")]

    def add_product(self, request: Request, body: dict[str, Any]) -> Any:
        with self.simulator.shop.lock:
            return self._product(self.simulator.shop.add_product(body))

    def update_variant(self, request: Request, body: dict[str, Any]) -> Any:
        """{"sku" or "variant", "set": {"sku", "barcode", "price", "title"}}"""
        shop = self.simulator.shop
        with shop.lock:
            variant = shop.get("ProductVariant", body.get("variant") or body["sku"])
            for key, value in body.get("set", {}).items():
                if key not in ("sku", "barcode", "price", "title", "taxable"):
                    raise SpecError(f"a variant has no {key!r} to set")
                setattr(variant, key, Decimal(str(value)) if key == "price" else value)
            variant.updated_at = max(variant.updated_at, now())
            title = variant.title
            shop.product_changed(variant.product)
            if "title" in body.get("set", {}):
                variant.title = title
            return self._product(variant.product)

    def customers(self, request: Request, body: dict[str, Any]) -> Any:
        with self.simulator.shop.lock:
            return [
                {
                    "id": c.gid,
                    "name": c.display_name,
                    "email": c.email,
                    "orders": [o.name for o in c.orders],
                }
                for c in self.simulator.shop.all("Customer")
            ]

    def update_customer(self, request: Request, body: dict[str, Any]) -> Any:
        """{"customer": id, "set": what CustomerInput has, "consent": state, "sms": state,
        "address": {...}}"""
        shop = self.simulator.shop
        with shop.lock:
            customer = shop.get("Customer", body["customer"])
            if body.get("set"):
                shop.write_customer(customer, body["set"])
            if body.get("consent"):
                shop.set_consent(customer, {"marketingState": body["consent"]})
            if body.get("sms"):
                shop.set_consent(customer, {"marketingState": body["sms"]}, way="sms")
            if body.get("address"):
                known = customer.addresses[0] if customer.addresses else None
                shop.write_address(customer, known, body["address"], True)
            return {"id": customer.gid, "addresses": [a.lines for a in customer.addresses]}

    def merge_customers(self, request: Request, body: dict[str, Any]) -> Any:
        """{"one": id, "two": id}"""
        shop = self.simulator.shop
        with shop.lock:
            one, two = (shop.get("Customer", body[name]) for name in ("one", "two"))
            return {"kept": shop.merge_customers(one, two).gid}

    def add_company(self, request: Request, body: dict[str, Any]) -> Any:
        with self.simulator.shop.lock:
            return {"id": self.simulator.shop.add_company(body).gid}

    def add_customer(self, request: Request, body: dict[str, Any]) -> Any:
        with self.simulator.shop.lock:
            customer = self.simulator.shop.add_customer(body)
            return {"id": customer.gid, "name": customer.display_name, "email": customer.email}

    def locations(self, request: Request, body: dict[str, Any]) -> Any:
        with self.simulator.shop.lock:
            return [
                {"id": row.gid, "name": row.name, "active": row.active}
                for row in self.simulator.shop.all("Location")
            ]

    def change_location(self, request: Request, body: dict[str, Any]) -> Any:
        """{"location": name or id, "set": {"name", "active", "deleted", "city"...}}, or a new one:
        {"name", "address1", "zip", "city", "country_code"}"""
        shop = self.simulator.shop
        with shop.lock:
            if "location" in body:
                row = shop.get("Location", body["location"])
                market_api.change_location(shop, row, body.get("set", {}))
            else:
                row = market_api.new_location(shop, body)
            return {"id": row.gid, "name": row.name, "active": row.active}

    def markets(self, request: Request, body: dict[str, Any]) -> Any:
        shop = self.simulator.shop
        with shop.lock:
            return [
                {
                    "id": market.gid,
                    "name": market.name,
                    "status": market.status,
                    "priceLists": [
                        market_api.truth(shop, catalog.price_list)
                        for catalog in market.catalogs
                        if catalog.price_list
                    ],
                }
                for market in shop.all("Market")
            ]

    def change_market(self, request: Request, body: dict[str, Any]) -> Any:
        """{"market": name or id, "set": {"name", "status", "currency", "deleted"}}, or a new one:
        {"name", "currency", "priceList": {"name", "percent"}}"""
        shop = self.simulator.shop
        with shop.lock:
            if "market" not in body:
                market_api.add_market(shop, body)
            else:
                market = shop.get("Market", body["market"])
                values = body.get("set", {})
                if values.get("deleted"):
                    market_api.delete_market(shop, market)
                else:
                    market_api.change_market(shop, market, values)
        return self.markets(request, {})

    def fix_price(self, request: Request, body: dict[str, Any]) -> Any:
        """{"priceList": name or id, "sku", "price", "before"}; without a price it is let go of"""
        shop = self.simulator.shop
        with shop.lock:
            return market_api.truth(shop, market_api.fix_price(shop, body))

    # === ORDERS === #

    def orders(self, request: Request, body: dict[str, Any]) -> Any:
        with self.simulator.shop.lock:
            write = truth if request.args.get("full") else brief
            return [write(order) for order in self.simulator.shop.all("Order")]

    def books(self, request: Request, body: dict[str, Any]) -> Any:
        """History of every order, or of those named: ``?order=1001&order=1002``."""
        shop, names = self.simulator.shop, request.args.getlist("order")
        with shop.lock:
            orders = [shop.get("Order", name) for name in names] or shop.all("Order")
            return [books(order, shop.config.timezone) for order in orders]

    def place(self, request: Request, body: dict[str, Any]) -> Any:
        shop = self.simulator.shop
        if "random" in body:
            wanted = body["random"]
            if not isinstance(wanted, dict):
                wanted = {"count": wanted}
            with shop.lock:
                specs = random_orders(int(wanted.get("count", 1)), int(wanted.get("seed", 1)), shop)
            placed = []
            for spec in specs:
                with shop.lock:
                    placed.append(brief(shop.place_order(spec)))
            return placed
        with shop.lock:
            return truth(shop.place_order(body))

    def draft(self, request: Request, body: dict[str, Any]) -> Any:
        """The same as for an order."""
        with self.simulator.shop.lock:
            draft = self.simulator.shop.draft(body)
            return {"id": draft.gid, "name": draft.name}

    def complete_draft(self, request: Request, body: dict[str, Any]) -> Any:
        """{"draft": "#D1", "payment": "paid"}"""
        shop = self.simulator.shop
        with shop.lock:
            draft = shop.get("DraftOrder", body["draft"])
            return truth(shop.complete_draft(draft, body.get("payment")))

    def one_order(self, request: Request, parts: list[str], body: dict[str, Any]) -> Any:
        shop = self.simulator.shop
        key = "/".join(parts[1:-1]) if parts[-1] in _ACTIONS else "/".join(parts[1:])
        with shop.lock:
            order = shop.get("Order", key)
            if parts[-1] not in _ACTIONS:
                if request.method != "GET":
                    raise SpecError(f"an order can be {', '.join(_ACTIONS)}")
                return truth(order)
            self.act(order, parts[-1], body)
            return truth(order)

    def act(self, order: Order, action: str, body: dict[str, Any]) -> None:
        """Let an action of the control API happen to an order; the caller holds the lock."""
        shop = self.simulator.shop
        if action == "corrupt":
            order.corrupt = dict(body)
            shop.changed(order)
        elif action == "settle":
            status = body.get("status", "SUCCESS").upper()
            shop.settle_payments(order, status)
            for refund in order.refunds:
                shop.settle(refund, status)
        elif action in ("hold", "release", "move", "split"):
            work = shop.work_of(order, body.get("fulfillmentOrder"))
            rows = shop.rows_of(work, body.get("lines"))
            if action == "hold":
                shop.hold(work, {"byApp": False, **body}, rows)
            elif action == "release":
                shop.release(work, body.get("holds"))
            elif action == "move":
                shop.move(work, shop.get("Location", body["location"]), rows)
            else:
                shop.split(work, rows or [])
        elif action in ("unfulfil", "track", "report"):
            fulfillment = shop.parcel_of(order, body.get("fulfillment"))
            if action == "unfulfil":
                shop.cancel_fulfillment(fulfillment)
            elif action == "track":
                shop.track(fulfillment, body.get("tracking", []))
            else:
                shop.report(fulfillment, body)
        elif action == "return":
            shop.start_return(order, body)
        elif action.endswith("Return"):
            self._act_on_return(shop.return_of(order, body.get("return")), action, body)
        else:
            getattr(shop, action)(order, body)

    def _act_on_return(self, row: Return, action: str, body: dict[str, Any]) -> None:
        shop = self.simulator.shop
        if action == "processReturn":
            shop.process_return(row, body)
            # The admin closes what it processed.
            if body.get("close", True) and not any(line.unprocessed for line in row.lines):
                shop.close_return(row)
        elif action == "declineReturn":
            shop.decline_return(row, body.get("reason", "OTHER"), body.get("note"))
        else:
            verbs = {
                "approveReturn": shop.approve_return,
                "cancelReturn": shop.cancel_return,
                "closeReturn": shop.close_return,
                "reopenReturn": shop.reopen_return,
            }
            verbs[action](row)

    # === API FAULTS AND COUNTERS === #

    def calls(self, request: Request, body: dict[str, Any]) -> Any:
        with self.simulator.shop.lock:
            return {
                "total": sum(self.simulator.calls.values()),
                "byOperation": dict(self.simulator.calls),
                "requestedCost": self.simulator.requested_cost,
                "effects": dict(self.simulator.shop.effects),
            }

    def reset_calls(self, request: Request, body: dict[str, Any]) -> Any:
        with self.simulator.shop.lock:
            self.simulator.calls.clear()
            self.simulator.requested_cost = 0
            self.simulator.shop.effects.clear()
        return {"status": "ok"}

    def faults(self, request: Request, body: dict[str, Any]) -> Any:
        return [dataclasses.asdict(fault) for fault in self.simulator.faults.active]

    def set_faults(self, request: Request, body: Any) -> Any:
        rows = body if isinstance(body, list) else [body]
        self.simulator.faults.add([Fault.from_spec(row) for row in rows])
        return self.faults(request, {})

    def clear_faults(self, request: Request, body: dict[str, Any]) -> Any:
        self.simulator.faults.set([])
        return []

    def throttle(self, request: Request, body: dict[str, Any]) -> Any:
        """{"available": 0}: what is left in the cost bucket right now."""
        with self.simulator.shop.lock:
            self.simulator.executor.bucket.refill()
            self.simulator.executor.bucket.available = float(body.get("available", 0))
            return self.simulator.executor.bucket.status()

    def tokens(self, request: Request, body: dict[str, Any]) -> Any:
        """The tokens given out that are good, to look whether they leaked anywhere."""
        with self.simulator.shop.lock:
            return [*self.simulator.shop.tokens, *self.simulator.shop.refresh_tokens]

    def revoke_tokens(self, request: Request, body: dict[str, Any]) -> Any:
        """All tokens given out become invalid at once, as after an uninstall or a rotation."""
        with self.simulator.shop.lock:
            count = len(self.simulator.shop.tokens)
            self.simulator.shop.tokens.clear()
        return {"revoked": count}

    # === WEBHOOKS === #

    def subscriptions(self, request: Request, body: dict[str, Any]) -> Any:
        with self.simulator.shop.lock:
            return [
                {
                    "id": s.gid,
                    "topic": s.topic,
                    "uri": s.uri,
                    "includeFields": s.include_fields,
                    "name": s.name,
                    "failures": s.failures,
                }
                for s in self.simulator.shop.all("WebhookSubscription")
            ]

    def webhooks(self, request: Request, body: dict[str, Any]) -> Any:
        hooks = self.simulator.webhooks
        states: dict[str, int] = {}
        for delivery in list(hooks.log):
            states[delivery.status] = states.get(delivery.status, 0) + 1
        return {
            "faults": dataclasses.asdict(hooks.faults),
            "pending": hooks.pending,
            "states": states,
        }

    def set_webhooks(self, request: Request, body: dict[str, Any]) -> Any:
        self.simulator.webhooks.configure(body)
        return self.webhooks(request, body)

    def webhook_log(self, request: Request, body: dict[str, Any]) -> Any:
        return [delivery.as_dict() for delivery in list(self.simulator.webhooks.log)]

    def resend(self, request: Request, body: dict[str, Any]) -> Any:
        return {"sent": self.simulator.webhooks.resend(int(body.get("times", 1)))}

    def send_webhook(self, request: Request, body: dict[str, Any]) -> Any:
        """{"topic", "body" (text) or "payload" (JSON) or "order", "badSignature", "uri"}"""
        shop = self.simulator.shop
        with shop.lock:
            topic = body["topic"].upper().replace("/", "_")
            if "body" in body:
                raw = str(body["body"]).encode("utf-8", "surrogateescape")
            elif "order" in body:
                raw = json.dumps(payload(shop, topic, shop.get("Order", body["order"]))).encode()
            else:
                raw = json.dumps(body.get("payload", {})).encode()
            sent = self.simulator.webhooks.send_raw(
                topic, raw, bad_signature=bool(body.get("badSignature")), uri=body.get("uri")
            )
        return {"sent": sent}

    def wait(self, request: Request, body: dict[str, Any]) -> Any:
        """Return when every notification on its way is answered (or after ``timeout`` seconds)."""
        end = time.monotonic() + float(body.get("timeout", 30))
        while self.simulator.webhooks.pending and time.monotonic() < end:
            time.sleep(0.05)
        return {"pending": self.simulator.webhooks.pending}


def _plain(value: Any) -> Any:
    """Decimals of the answer as texts."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
