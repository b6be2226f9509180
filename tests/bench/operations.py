"""The two sides of the queue cases: operations of our engine, and jobs of queue_job."""

from __future__ import annotations

import itertools

from .case import Case, Sample
from .stack import Stack

_numbers = itertools.count(1)


class QueueCase(Case):
    """No-op operations in batches of `batch_size`; the floor are no-op jobs."""

    batch_size: int
    #: Operations and jobs of one run: about two seconds each.
    operations: int
    jobs = 200
    #: One at a time on both sides: the cost of one, not how many processors there are.
    server = {"channels": "root:2,root.integration:1"}

    def prepare(self, stack: Stack) -> None:
        with stack.environment() as env:
            backend = env["integration.backend"].create(
                {"name": f"Bench {self.name()}", "connector": "generic", "state": "active"}
            )
            backend.flow_ids.write({"enabled": False, "batch_size": self.batch_size})
            self.flow = backend.flow_ids.filtered(lambda flow: flow.resource == "noop").id
        for run in (self.measure, self.floor):  # both workers load their registries
            run(stack)

    def measure(self, stack: Stack) -> Sample:
        from odoo.addons.integration_base.lib.records import Change

        count = self.count(self.operations)
        with stack.environment() as env:
            changes = [Change(f"bench-{next(_numbers)}") for _ in range(count)]
            flow = env["integration.flow"].browse(self.flow)
            known = env["integration.sync.log"]._append(flow, changes, "webhook")
            first, last = min(known.ids), max(known.ids)
        stack.settle()
        position, released = stack.log.position(), stack.now()
        with stack.environment() as env:
            env["integration.flow"].browse(self.flow).enabled = True
        stack.wait(
            "every operation is done",
            lambda: (
                not stack.server.sql(
                    "SELECT 1 FROM integration_sync_log WHERE flow_id = %s"
                    " AND state IN ('pending', 'running') LIMIT 1",
                    [self.flow],
                )
            ),
        )
        done, finished = stack.server.sql(
            "SELECT count(*), extract(epoch FROM max(finished_at)) FROM integration_sync_log"
            " WHERE flow_id = %s AND state = 'done' AND id BETWEEN %s AND %s",
            [self.flow, first, last],
        )[0]
        if done != count:
            raise RuntimeError(f"{count - done} of {count} operations did not end as done")
        stack.settle()
        with stack.environment() as env:
            env["integration.flow"].browse(self.flow).enabled = False
        cost = stack.job_cost(position, "_job_drain")
        return Sample(count, float(finished) - released, cost.queries)

    def floor(self, stack: Stack) -> Sample:
        count = self.count(self.jobs)
        stack.settle()
        position = stack.log.position()
        with stack.environment() as env:
            flow = env["integration.flow"].browse(self.flow)
            uuids = [flow.with_delay()._job_noop().uuid for _ in range(count)]
            env.flush_all()
            # the commit that follows releases them
            released = stack.now()
        stack.settle()
        done, finished = stack.server.sql(
            "SELECT count(*), extract(epoch FROM max(date_done)) FROM queue_job"
            " WHERE uuid = ANY(%s) AND state = 'done'",
            [uuids],
        )[0]
        if done != count:
            raise RuntimeError(f"{count - done} of {count} jobs did not end as done")
        cost = stack.job_cost(position, "_job_noop")
        return Sample(count, float(finished) - released, cost.queries)
