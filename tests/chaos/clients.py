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
    """Changes products in Odoo; what was under way when Odoo died may or may not be there."""

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
            return self._create(steps)
        (step,) = steps
        if step.number not in self.ids:  # its creation never succeeded
            return 0
        done = self._try("write", [self.ids[step.number]], step.values)
        return int(done is not None)

    def _create(self, steps: list[Step]) -> int:
        ids = self._try("create", [step.values for step in steps])
        self.ids.update(zip((step.number for step in steps), ids or (), strict=False))
        return len(ids or ())

    def _try(self, method: str, *arguments: Any) -> Any:
        """Call once; returns None when it failed or nobody knows."""
        try:
            if self.call is None:
                self.call = self.login().call
            result = self.call("product.product", method, *arguments)
        except RpcError as error:
            self.history.add(self.name, method, FAILED, arguments=arguments, error=str(error)[:300])
            self.call = None
            time.sleep(PATIENCE)
            return None
        except (OSError, http.client.HTTPException, ValueError) as error:
            # refused, cut off, or a page instead of an answer
            self.history.add(self.name, method, UNKNOWN, arguments=arguments, error=str(error))
            self.call = None
            time.sleep(PATIENCE)
            return None
        self.history.add(self.name, method, OK, arguments=arguments, result=result)
        return result
