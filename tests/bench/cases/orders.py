from ..case import Sample
from ..shop import BATCH_SIZE, ShopCase
from ..stack import Stack


class Orders(ShopCase):
    """Orders of a Shopify shop through the whole pipeline (fetch, validate, map, confirm, bind), by
    one drain with batches of 50.

    Floor: equal sales orders created and confirmed in one process, each in a transaction of its
    own: what an importer that does nothing else would cost.
    """

    gate = 1.6
    orders = 100
    by_hand = 50

    def prepare(self, stack: Stack) -> None:
        super().prepare(stack)
        for _worker in range(2):
            self.import_orders(stack, self.count(BATCH_SIZE))
        self.confirm_by_hand(stack, 1)

    def measure(self, stack: Stack) -> Sample:
        return self.import_orders(stack, self.count(self.orders))

    def floor(self, stack: Stack) -> Sample:
        return self.confirm_by_hand(stack, self.count(self.by_hand))
