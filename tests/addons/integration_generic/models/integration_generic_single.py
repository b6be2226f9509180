from odoo import models


class IntegrationGenericSingle(models.AbstractModel):
    """Contacts as a service gives them that has one per call; nothing is written."""

    _name = "integration.generic.single"
    _inherit = "integration.resource"
    _description = "Generic Contacts, One per Call"

    _resource_name = "Single Calls"
    _resource_interval_minutes = 0

    def _fetch(self, backend, external_ids):
        ask = backend._connector()._ask
        return self._fetch_each(
            external_ids, lambda key: ask(backend, "GET", f"contacts/{key}").json()
        )

    def _map(self, backend, items):
        pass

    def _apply(self, backend, items):
        pass
