from ..operations import QueueCase


class Queue100(QueueCase):
    """Operations that do nothing, in batches of 100: what the engine costs for each of them.

    Floor: jobs of queue_job that do nothing, run by the same server in the same channel.
    """

    gate = 50
    batch_size = 100
    operations = 10000
