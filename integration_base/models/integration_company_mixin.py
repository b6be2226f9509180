from odoo import models


class IntegrationCompanyMixin(models.AbstractModel):
    """Keeps what people may change in their companies.

    Odoo checks record rules before a write, not after it: whoever may change a record could put it
    into a company that is closed to them, where its rows would be worked on.
    """

    _name = "integration.company.mixin"
    _description = "Record of a Company"

    #: What decides on the company of a record.
    _company_sources = frozenset({"company_id", "backend_id", "flow_id"})

    def write(self, vals):
        result = super().write(vals)
        if not self.env.su and self._company_sources & vals.keys():
            self.check_access("write")
        return result
