from odoo import models
from odoo.tools import SQL, email_normalize

from ..lib.person import Person


class PrivacyLookupWizard(models.TransientModel):
    """Odoo's own search for a person finds what the integrations keep, too."""

    _inherit = "privacy.lookup.wizard"

    def _get_query_models_blacklist(self):
        # evidence of who asked for what: what is listed here is deleted by one click
        return [*super()._get_query_models_blacklist(), "integration.privacy.request"]

    def _get_query(self):
        query = super()._get_query()
        # by the e-mail address only: what is listed here is erased by one click
        pattern = Person.of([email_normalize(self.email)]).search_pattern(certain=True)
        if not pattern:
            # too short to be told from other texts
            return query
        for store in self.env["integration.privacy"]._own_stores():
            texts = SQL(", ").join(SQL("%s::text", SQL.identifier(n)) for n in store.columns)
            query = SQL(
                "%s UNION ALL SELECT %s AS res_model_id, id AS res_id, TRUE AS is_active FROM %s"
                " WHERE concat_ws(chr(10), %s) ~* %s",
                query,
                # sudo: ids of models are no secret
                self.env["ir.model"].sudo()._get_id(store.model),
                SQL.identifier(self.env[store.model]._table),
                texts,
                pattern,
            )
        return query
