"""Handle on a running simulator, for tests.

``with GenericService.start(8091) as service: service.create(name="Anna")``
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


class GenericService:
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
    def start(cls, port: int = 8091, *options: str, timeout: float = 20) -> GenericService:
        """Start the program on ``port`` and wait until it answers."""
        command = [sys.executable, "-m", "tests.simulators.generic", "--port", str(port), *options]
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

    def __enter__(self) -> GenericService:
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

    # === SERVICE === #

    def health(self) -> dict[str, Any]:
        return self.get("health")

    def reset(self) -> None:
        self.post("reset")

    def configure(self, **values: Any) -> dict[str, Any]:
        return self.post("config", values)

    def change(self, *changes: dict[str, Any]) -> list[dict[str, Any]]:
        """Do what people do in the service: each ``{"action", "collection", "id", "values"}``."""
        return self.post("changes", {"changes": list(changes)})

    def create(self, collection: str = "contacts", **values: Any) -> dict[str, Any]:
        return self.change({"action": "create", "collection": collection, "values": values})[0]

    def update(self, row_id: str, collection: str = "contacts", **values: Any) -> dict[str, Any]:
        spec = {"action": "update", "collection": collection, "id": row_id, "values": values}
        return self.change(spec)[0]

    def delete(self, row_id: str, collection: str = "contacts") -> dict[str, Any]:
        return self.change({"action": "delete", "collection": collection, "id": row_id})[0]

    def records(self, collection: str) -> list[dict[str, Any]]:
        """Ground truth of a collection; deleted rows have ``deleted``."""
        return self.get(f"records/{collection}")

    def journal(self, collection: str = "", after: int = 0) -> list[dict[str, Any]]:
        """Every write that took place, in order."""
        only = f"&collection={collection}" if collection else ""
        return self.get(f"journal?after={after}{only}")

    def calls(self) -> dict[str, Any]:
        return self.get("calls")

    def reset_calls(self) -> None:
        self.post("calls/reset")

    # === TROUBLE === #

    def faults(self, **settings: Any) -> dict[str, Any]:
        """Set ``shares`` (kind -> share of requests), ``seed``, ``seconds``, ``retryAfter``."""
        return self.post("faults", settings)

    def fault(self, kind: str, **spec: Any) -> dict[str, Any]:
        """Trouble for the next request or the next ``count`` of them."""
        return self.post("faults", {"kind": kind, **spec})

    def clear_faults(self) -> None:
        self.call("DELETE", "faults")

    def outage(self, seconds: float, kind: str = "reset_before") -> None:
        self.post("outage", {"seconds": seconds, "kind": kind})

    def webhook_faults(self, **settings: Any) -> dict[str, Any]:
        return self.post("webhooks", settings)

    def webhook_log(self) -> list[dict[str, Any]]:
        return self.get("webhooks/log")

    def resend_webhooks(self, times: int = 1) -> int:
        return self.post("webhooks/resend", {"times": times})["sent"]

    def send_webhook(self, topic: str, **spec: Any) -> int:
        return self.post("webhooks/send", {"topic": topic, **spec})["sent"]

    def wait_for_webhooks(self, timeout: float = 30) -> int:
        """Wait until every notification on its way is answered; returns how many still are not."""
        return self.post("webhooks/wait", {"timeout": timeout}, timeout + 10)["pending"]
