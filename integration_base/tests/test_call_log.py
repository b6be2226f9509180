from odoo.service.model import call_kw
from odoo.tests import tagged

from .common import IntegrationCase


@tagged("post_install", "-at_install")
class TestCallLog(IntegrationCase):
    def test_typed_secrets_stay_out_of_the_log_of_calls(self):
        """Odoo logs the arguments of every remote call at the level DEBUG."""
        row = self.backend.credential_ids[:1]
        commands = [(1, row.id, {"value": "typed-canary"})]
        with self.assertLogs("odoo.service.model", "DEBUG") as logged:
            call_kw(row.browse(), "write", [row.ids, {"value": "typed-canary"}], {})
            call_kw(
                self.backend.browse(), "write", [self.backend.ids, {"credential_ids": commands}], {}
            )
        self.assertEqual(len(logged.output), 2)
        self.assertIn(f"call {row}.write(***)", logged.output[0])
        self.assertNotIn("typed-canary", "".join(logged.output))
        self.assertEqual(self.backend._credential("secret"), "typed-canary")
