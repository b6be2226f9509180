from ..case import Sample
from ..shop import BATCH_SIZE, ShopCase
from ..stack import Stack


class Orders(ShopCase):
    """Orders of a Shopify shop from the stored notification to the confirmed sales order (claim,
    fetch, validate, map, create, confirm, bind), by one drain with batches of 50.

    Floor: equal sales orders created and confirmed by the bare ORM in one process, 50 in each
    transaction: what an importer that does nothing else would cost.
    """

    gate = 0.7
    orders = 100

    def prepare(self, stack: Stack) -> None:
        super().prepare(stack)
        for _worker in range(2):
            self.import_orders(stack, self.count(BATCH_SIZE))
        self.confirm_by_hand(stack, self.count(BATCH_SIZE))

    def measure(self, stack: Stack) -> Sample:
        return self.import_orders(stack, self.count(self.orders))

    def floor(self, stack: Stack) -> Sample:
        return self.confirm_by_hand(stack, self.count(self.orders))
