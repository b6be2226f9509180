from odoo import models

from odoo.addons.integration_base.lib.scopes import Scope

from ..lib import scopes


class IntegrationShopifyAccess(models.AbstractModel):
    """Access scopes of a resource, from the documents it uses.

    ``_inherit`` it before ``integration.resource``.
    """

    _name = "integration.shopify.access"
    _description = "Shopify Access of a Resource"

    #: Names of the documents (``graphql/``) the resource runs, whatever the direction.
    _shopify_documents = ()
    #: Documents of what people may start in Odoo: their scopes are optional.
    _shopify_extra_documents = ()
    #: Scopes without which the resource works, though not with everything.
    _shopify_optional_scopes = frozenset()

    def _shopify_scope_reasons(self, backend):
        """Return ``{scope: what it is needed for}``, as the end of a sentence for people.

        Scopes that no document needs, but single records do, stand here as well
        (``read_all_orders``); they are optional.
        """
        return {}

    def _resource_scopes(self, backend, direction):
        return self._shopify_scopes(backend, self._shopify_documents)

    def _shopify_scopes(self, backend, documents):
        """Return the :class:`Scope` of each right that documents need, and what for.

        :param documents: names, as in ``graphql/``.
        """
        reasons = self._shopify_scope_reasons(backend)
        granted = backend._granted_scopes() or ()
        needed = scopes.of_documents(documents, granted)
        extra = scopes.of_documents(self._shopify_extra_documents, granted)
        reasons |= {
            name: reasons.get(name) or self.env._("do what is started in Odoo")
            for name in extra
            if name not in needed
        }
        return [
            *(
                Scope(
                    name,
                    reasons.get(name) or self.env._("do its work"),
                    optional=name in self._shopify_optional_scopes,
                )
                for name in needed
            ),
            *(
                Scope(name, reason, optional=True)
                for name, reason in reasons.items()
                if name not in needed
            ),
        ]
