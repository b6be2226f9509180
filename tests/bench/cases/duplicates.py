from ..case import Sample
from ..notifications import WEBHOOK, NotifiedCase
from ..stack import Stack


class Duplicates(NotifiedCase):
    """One event, delivered 10,000 times: all are answered with 2xx, one is stored, and the server
    logs no error.

    Floor: as many bytes to a route without authentication that only answers 200.
    """

    notifications = 2000
    deliveries = 10_000

    def prepare(self, stack: Stack) -> None:
        super().prepare(stack)
        self.broken: list[str] = []

    def measure(self, stack: Stack) -> Sample:
        position, before = stack.log.position(), self.stored(stack)
        event = self.event(f"again-{before}")
        sample = self.send(stack, [event] * self.count(self.deliveries), WEBHOOK)
        rows, errors = self.stored(stack) - before, stack.log.errors(position)
        if rows != 1:
            self.broken.append(f"{sample.records} deliveries of one event became {rows} rows.")
        self.broken += [f"The server logged: {line}" for line in errors[:3]]
        return Sample(
            sample.records,
            sample.seconds,
            sample.queries,
            figures={"rows": rows, "error_lines": len(errors)},
        )

    def stored(self, stack: Stack) -> int:
        """How many events of the backend are stored."""
        query = "SELECT count(*) FROM integration_webhook_event WHERE backend_id = %s"
        return stack.server.sql(query, [self.backend])[0][0]

    def problems(self, samples: list[Sample]) -> list[str]:
        return self.broken
