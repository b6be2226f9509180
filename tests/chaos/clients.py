"""People at work on both sides: each makes the changes of a plan, one after the other."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from runtime.rpc import RpcError

from .history import FAILED, OK, UNKNOWN, History
from .plan import Step

#: Products created by one person in one go.
TOGETHER = 5
#: Seconds after which a person reloads the page that does not answer.
PATIENCE = 0.5


class Client(threading.Thread):
    """Makes changes at their time, or as fast as it can when it is late."""

    def __init__(self, name: str, steps: Sequence[Step], duration: float, history: History):
        super().__init__(name=name, daemon=True)
        self.steps = list(steps)
        self.duration = duration
        self.history = history
        self.changes = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        started = time.monotonic()
        try:
            while self.steps:
                wait = started + self.steps[0].at * self.duration - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                self.changes += self.work()
        except BaseException as error:
            self.error = error
            raise

    def work(self) -> int:
        """Do the next of `steps`, take it out; returns how many changes were made."""
        raise NotImplementedError


class ServiceUser(Client):
    """Changes contacts in the service itself; that always works."""

    def __init__(self, service: Any, *arguments: Any):
        super().__init__("service", *arguments)
        self.service = service
        self.ids: dict[int, str] = {}

    def work(self) -> int:
        step = self.steps.pop(0)
        if step.new:
            self.ids[step.number] = self.service.create("contacts", **step.values)["id"]
        else:
            self.service.update(self.ids[step.number], "contacts", **step.values)
        self.history.add(self.name, "contact", OK, number=step.number, values=step.values)
        return 1


class OdooUser(Client):
    """Changes products in Odoo, and tries again until Odoo says that it is done.

    What was under way when Odoo died may have been done: then a product is there twice, as two
    products, which both have to arrive.
    """

    def __init__(self, name: str, login: Callable[[], Any], *arguments: Any):
        super().__init__(name, *arguments)
        self.login = login
        self.call: Callable[..., Any] | None = None
        self.ids: dict[int, int] = {}

    def work(self) -> int:
        steps = [self.steps.pop(0)]
        while steps[0].new and self.steps[:1] and self.steps[0].new and len(steps) < TOGETHER:
            steps.append(self.steps.pop(0))
        if steps[0].new:
            ids = self._insist("create", [step.values for step in steps])
            self.ids.update(zip((step.number for step in steps), ids, strict=True))
        else:
            self._insist("write", [self.ids[steps[0].number]], steps[0].values)
        return len(steps)

    def _insist(self, method: str, *arguments: Any) -> Any:
        while True:
            try:
                if self.call is None:
                    self.call = self.login().call
                result = self.call("product.product", method, *arguments)
            except RpcError as error:
                outcome, reason = FAILED, error
            except (OSError, http.client.HTTPException, ValueError) as error:
                # refused, cut off, or a page instead of an answer
                outcome, reason = UNKNOWN, error
            else:
                self.history.add(self.name, method, OK, arguments=arguments, result=result)
                return result
            self.history.add(self.name, method, outcome, arguments=arguments, error=str(reason))
            self.call = None
            time.sleep(PATIENCE)
