from odoo import models


class IntegrationGenericNoop(models.AbstractModel):
    """Does nothing, to measure what an operation itself costs."""

    _name = "integration.generic.noop"
    _inherit = "integration.resource"
    _description = "Generic Operations That Do Nothing"

    _resource_name = "No Operation"
    _resource_batch_size = 100
    _resource_interval_minutes = 0

    def _fetch(self, backend, external_ids):
        return {external_id: {"id": external_id} for external_id in external_ids}

    def _map(self, backend, items):
        pass

    def _apply(self, backend, items):
        pass
