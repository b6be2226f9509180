"""Handle on a running simulator, for tests.

``with ShopSimulator.start() as shop: shop.place_order(lines=[{"sku": "MUG-350"}])``
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests

_ROOT = Path(__file__).resolve().parents[3]


class SimulatorError(Exception):
    """The simulator refused a control request; the text is its reason."""


class ShopSimulator:
    """Control of a simulator at ``url``.

    Every method returns the decoded JSON of the control API (README.md) and raises
    :class:`SimulatorError` with the reason when the simulator refuses.
    """

    def __init__(self, url: str, process: subprocess.Popen[bytes] | None = None) -> None:
        self.url = url.rstrip("/")
        self.process = process
        self._session = requests.Session()
        self._session.trust_env = False

    # === LIFE === #

    @classmethod
    def start(cls, port: int = 8090, *options: str, timeout: float = 20) -> ShopSimulator:
        """Start the program on ``port`` and wait until it answers."""
        command = [sys.executable, "-m", "tests.simulators.shopify", "--port", str(port), *options]
        process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.DEVNULL)
        simulator = cls(f"http://127.0.0.1:{port}", process)
        end = time.monotonic() + timeout
        while True:
            try:
                simulator.health()
            except requests.ConnectionError:
                if process.poll() is not None or time.monotonic() > end:
                    simulator.stop()
                    raise SimulatorError(f"the simulator did not start on port {port}") from None
                time.sleep(0.05)
            else:
                return simulator

    def stop(self) -> None:
        self._session.close()
        if self.process:
            self.process.terminate()
            self.process.wait(10)

    def __enter__(self) -> ShopSimulator:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    # === TRANSPORT === #

    def call(self, method: str, path: str, body: Any = None, timeout: float = 120) -> Any:
        answer = self._session.request(
            method, f"{self.url}/control/{path}", json=body, timeout=timeout
        )
        data = answer.json()
        if not answer.ok:
            raise SimulatorError(data.get("error", answer.text))
        return data

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def post(self, path: str, body: Any = None, timeout: float = 120) -> Any:
        return self.call("POST", path, body if body is not None else {}, timeout)

    # === SHOP === #

    def health(self) -> dict[str, Any]:
        return self.get("health")

    def reset(self, *, seed: bool = True) -> None:
        self.post("reset", {"seed": seed})

    def configure(self, **values: Any) -> dict[str, Any]:
        return self.post("config", values)

    def products(self) -> list[dict[str, Any]]:
        return self.get("products")

    def add_product(self, **spec: Any) -> dict[str, Any]:
        return self.post("products", spec)

    def customers(self) -> list[dict[str, Any]]:
        return self.get("customers")

    def locations(self) -> list[dict[str, Any]]:
        return self.get("locations")

    def change_location(self, location: str | None = None, **values: Any) -> dict[str, Any]:
        """Change a location (name or id), or open one where none is named."""
        body = {"location": location, "set": values} if location else values
        return self.post("locations", body)

    def markets(self) -> list[dict[str, Any]]:
        """Every market with its price lists: fixed prices by the SKU."""
        return self.get("markets")

    def change_market(self, market: str | None = None, **values: Any) -> list[dict[str, Any]]:
        """Change a market (name or id), or open one where none is named; returns them all."""
        return self.post("markets", {"market": market, "set": values} if market else values)

    def fix_price(self, price_list: str, sku: str, price: str | None, **spec: Any) -> Any:
        """Somebody fixes a price of a price list (name or id) in the admin; None lets go of it."""
        return self.post("prices", {"priceList": price_list, "sku": sku, "price": price, **spec})

    # === ORDERS === #

    def orders(self, *, full: bool = False) -> list[dict[str, Any]]:
        """Ground truth of every order: its state, totals and lines, or everything."""
        return self.get("orders?full=1" if full else "orders")

    def books(self, *names: str) -> list[dict[str, Any]]:
        """History of the orders of these names, or of all."""
        return self.get("books?" + "&".join(f"order={_key(name)}" for name in names))

    def order(self, key: str) -> dict[str, Any]:
        """Ground truth of one order, by name ("1001"), number or global id."""
        return self.get(f"orders/{_key(key)}")

    def place_order(self, **spec: Any) -> dict[str, Any]:
        return self.post("orders", spec)

    def place_random_orders(self, count: int, seed: int = 1) -> list[dict[str, Any]]:
        return self.post("orders", {"random": {"count": count, "seed": seed}})

    def act(self, order: str, action: str, **spec: Any) -> dict[str, Any]:
        """What happens to an order: edit, pay, fulfil ... (README.md, "Changing an order")."""
        return self.post(f"orders/{_key(order)}/{action}", spec)

    # === STOCK === #

    def stock(self, sku: str, **spec: Any) -> list[dict[str, Any]]:
        """Levels of a variant; with ``available`` or ``on_hand`` somebody counts it there."""
        return self.post("stock", {"sku": sku, **spec})

    def checkout(self, sku: str, quantity: int = 1, **spec: Any) -> dict[str, Any]:
        """A buyer orders, unless it is sold out: then SimulatorError."""
        return self.post("checkout", {"sku": sku, "quantity": quantity, **spec})

    # === TROUBLE === #

    def fault(self, **spec: Any) -> list[dict[str, Any]]:
        return self.post("faults", spec)

    def clear_faults(self) -> None:
        self.call("DELETE", "faults")

    def webhook_faults(self, **spec: Any) -> dict[str, Any]:
        return self.post("webhooks", spec)

    def resend_webhooks(self, times: int = 1) -> int:
        return self.post("webhooks/resend", {"times": times})["sent"]

    def send_webhook(self, topic: str, **spec: Any) -> int:
        return self.post("webhooks/send", {"topic": topic, **spec})["sent"]

    def webhook_log(self) -> list[dict[str, Any]]:
        return self.get("webhooks/log")

    def wait_for_webhooks(self, timeout: float = 30) -> int:
        """Wait until every notification on its way is answered; returns how many still are not."""
        return self.post("webhooks/wait", {"timeout": timeout}, timeout + 10)["pending"]

    def calls(self) -> dict[str, Any]:
        return self.get("calls")

    def reset_calls(self) -> None:
        self.post("calls/reset")


def _key(key: str) -> str:
    return str(key).lstrip("#").rsplit("/", 1)[-1]
