from ..case import Sample
from ..notifications import WEBHOOK, NotifiedCase
from ..stack import Stack


class Webhook(NotifiedCase):
    """Signed notifications of 10 KB, each of another event, verified and stored by the real route
    over 8 connections while a drain is at work. What they cause afterwards is not measured.

    Floor: as many bytes to a route without authentication that only answers 200.
    """

    gate = 0.45
    notifications = 2000

    def measure(self, stack: Stack) -> Sample:
        events = [self.event() for _ in range(self.count(self.notifications))]
        return self.send(stack, events, WEBHOOK)
