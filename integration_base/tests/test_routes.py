import importlib
import inspect

from odoo.http import _generate_routing_rules
from odoo.tests import tagged

from .access_case import AccessCase


@tagged("post_install", "-at_install")
class TestRoutes(AccessCase):
    """Every address that answers without a login, or without Odoo's token, is meant to."""

    def our_routes(self):
        """Yield ``(url, endpoint)`` of the routes in the code of our addons."""
        modules = self.env["ir.module.module"].search([("state", "=", "installed")])
        names = ["base", *sorted(set(modules.mapped("name")) - {"base"})]
        for url, endpoint in _generate_routing_rules(names, nodb_only=False):
            function = inspect.unwrap(endpoint.func)
            owner = self._addon_of(function)
            if owner:
                yield url, endpoint.routing, owner

    def is_open(self, routing):
        """Whether somebody can call a route who is not logged in, or is made to call it."""
        unsafe = routing["type"] != "jsonrpc" and routing.get("methods") != ["GET"]
        return routing["auth"] in ("none", "public") or (unsafe and not routing.get("csrf", True))

    def test_open_routes_are_known_and_check_who_calls(self):
        known = {}
        for addon in self.addons:
            try:
                module = importlib.import_module(f"odoo.addons.{addon}.tests.access_matrix")
            except ModuleNotFoundError:
                continue
            known.update(getattr(module, "OPEN_ROUTES", {}))
        found = set()
        for url, routing, addon in self.our_routes():
            if not self.is_open(routing):
                continue
            found.add(url)
            self.assertIn(
                url,
                known,
                f"{url} answers callers who are not logged in, or without the token that tells a "
                f"form of ours from one of others. Enter it in OPEN_ROUTES of {addon}/tests/"
                "access_matrix.py with the reason and the test that forged calls are refused.",
            )
            reason, test = known[url]
            self.assertGreater(len(reason.split()), 3, url)
            module, case, method = test.rsplit(".", 2)
            cls = getattr(importlib.import_module(f"odoo.addons.{addon}.tests.{module}"), case)
            self.assertTrue(callable(getattr(cls, method, None)), f"{test} is no test.")
        self.assertEqual(found, set(known), "These routes are gone, or closed now.")

    def test_the_webhook_route_is_found(self):
        urls = {url for url, _routing, _addon in self.our_routes()}
        self.assertIn("/integration/webhook/<string:token>", urls)

    def test_open_is_what_strangers_reach(self):
        for routing, expected in (
            ({"type": "http", "auth": "user"}, False),
            ({"type": "http", "auth": "user", "csrf": False}, True),
            ({"type": "http", "auth": "user", "csrf": False, "methods": ["GET"]}, False),
            ({"type": "http", "auth": "public"}, True),
            ({"type": "jsonrpc", "auth": "none"}, True),
            ({"type": "integration_raw", "auth": "none", "csrf": False}, True),
        ):
            self.assertEqual(self.is_open(routing), expected, routing)
