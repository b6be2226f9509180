from ..case import Sample
from ..shop import ShopCase
from ..stack import Stack


class Burst(ShopCase):
    """500 orders at once for the same 3 products, in a flow with 4 drains on 4 workers: none fails.

    Floor: the same with one drain, in batches of the same size.
    """

    gate = 0.9
    rounds = 2
    orders = 500
    server = {"workers": 4, "channels": "root:5,root.integration:4"}

    def prepare(self, stack: Stack) -> None:
        super().prepare(stack)
        # small batches last until every drain, on every worker, has had some
        self.import_orders(stack, self.count(100), slots=4, batch_size=5)

    def measure(self, stack: Stack) -> Sample:
        return self.import_orders(stack, self.count(self.orders), slots=4)

    def floor(self, stack: Stack) -> Sample:
        return self.import_orders(stack, self.count(self.orders))
