"""The simulated shop in the same process: what it was asked is judged and counted."""

import os
from collections import Counter
from unittest import SkipTest
from unittest.mock import patch

from odoo.addons.integration_base.lib.errors import RetryableError
from odoo.addons.integration_base.lib.http import HttpClient, Part, Response

from .common import ShopifyCase
from .contract import judge


def simulator(**config):
    """Return a simulated shop without anything in it; skips where it is not shipped along."""
    try:
        from tests.simulators.shopify.app import Simulator
        from tests.simulators.shopify.shop import Config
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        raise SkipTest("The simulated shop is not here.") from None
    return Simulator(
        Config(currency="USD", search_delay=0, cost_bucket=1_000_000, **config), seed=False
    )


class SimulatedCase(ShopifyCase):
    """A backend whose calls reach a simulated shop (``self.sim.shop``)."""

    fake_shop = False

    def setUp(self):
        super().setUp()
        self.sim = simulator()
        self.store = self.sim.shop
        self.store.add_location("Main")
        #: names of the operations asked for, and how often; ``upload`` for pictures, ``bulk file``
        #: and ``bulk result`` for what bulk operations take and give
        self.calls = Counter()
        #: operation -> called once instead of (``before``) or after it
        self.before, self.after = {}, {}
        self.startPatcher(patch.object(HttpClient, "request", self._request))
        self.startPatcher(patch.object(HttpClient, "download", self._download))

    def _request(self, method, path, **options):
        from werkzeug.test import Client

        body = options.get("json")
        if body:
            judge(body["query"], body["variables"])
        if body:
            name = body["query"].split("(")[0].split("{")[0].split()[1]
        else:
            name = "bulk file" if "/bulk-uploads/" in path else "upload"
        self.calls[name] += 1
        if name in self.before:
            self.before.pop(name)()
        found = Client(self.sim).open(
            path,
            method=method,
            json=body,
            data=options.get("data"),
            headers={"X-Shopify-Access-Token": "shpat_demo", **(options.get("headers") or {})},
        )
        if found.status_code >= 400:
            raise RetryableError(f"HTTP {found.status_code}: {found.get_data(as_text=True)}")
        if name in self.after:
            self.after.pop(name)()
        return Response(found.status_code, dict(found.headers), found.get_data(), 1)

    def _download(self, path, *, start, size, label):
        from werkzeug.test import Client

        self.calls["bulk result"] += 1
        found = Client(self.sim).open(path, headers={"Range": f"bytes={start}-{start + size - 1}"})
        self.assertEqual(found.status_code, 206, label)
        total = int(found.headers["Content-Range"].rpartition("/")[2])
        body = found.get_data()
        return Part(start, body, total, start + len(body) >= total)

    @staticmethod
    def lose():
        """Lose the answer of a call."""
        raise RetryableError("The connection was lost.")

    def run_flow(self, flow):
        """Work on everything of a flow that is due; returns the operations that ended."""
        self.env.flush_all()
        self.env.cr.precommit.run()
        before = self.env["integration.sync.log"].search([("flow_id", "=", flow.id)])
        open_ones = before.filtered(lambda row: row.state == "pending")
        self.env.cr.execute(
            "UPDATE integration_sync_log SET next_attempt_at = now() AT TIME ZONE 'UTC'"
            " WHERE id = ANY(%s)",
            [open_ones.ids],
        )
        self.env.cr.execute(
            "UPDATE integration_intent SET started_at = started_at - interval '1 hour'"
        )
        self.env.invalidate_all()
        with self.enter_registry_test_mode():
            self.env["integration.engine"]._drain(flow.id)
        self.env.invalidate_all()
        return open_ones
