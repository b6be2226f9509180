from ..operations import QueueCase


class Queue1(QueueCase):
    """Operations that do nothing, in batches of 1: what the engine costs for each of them.

    Floor: jobs of queue_job that do nothing, run by the same server in the same channel.
    """

    gate = 5
    batch_size = 1
    operations = 1000
