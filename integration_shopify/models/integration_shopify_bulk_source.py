from odoo import models

from ..lib import bulk
from ..lib.client import document as text_of


class IntegrationShopifyBulkSource(models.AbstractModel):
    """Reads everything of a resource by a bulk query; ``_inherit`` it before
    ``integration.resource``.

    ::

        def _fetch_all(self, backend, since, page):
            found = self._bulk_page(
                backend,
                page,
                document="bulk_products",
                search=pages.changed_since(since) or "",
                connections={"Product": {"ProductVariant": "variants"}},
            )
            changes = [
                Change(row["id"], read_utc(row["updatedAt"]), row["title"],
                       payload=row, read_at=found.read_at)
                for row in found.objects
            ]
            return ChangePage(changes, found.next_page, ordered=False)
    """

    _name = "integration.shopify.bulk.source"
    _description = "Shopify Resource Read in Bulk"

    def _bulk_page(self, backend, page, *, document, connections, search="", keys=()):
        """Do the next step of reading everything; most steps bring no object.

        The document is an ordinary one in ``graphql/``, without variables, with ``edges`` and
        ``node`` (a bulk query takes no ``nodes``), at most five connections, two of them nested,
        each in an object that asks for its ``id``; never one inside a list.

        :param page: ``page`` of ``_fetch_all``.
        :param str document: name of the document.
        :param dict connections: ``{type of the parent: {type of the child: its connection}}``; the
            objects come back with these, as ``{"nodes": [...], "pageInfo": {...}}``.
        :param str search: put in the place of ``"__SEARCH__"`` in the document.
        :param keys: of metafields, put in the place of ``["__KEYS__"]``.
        :returns: :class:`~.integration_shopify_bulk.Page`.
        :raises NotReadyError: while Shopify works on it.
        :raises BulkDenied: when the app may not read all of it. Record by record Shopify says what
            is missing, so ``_fetch_all`` had better return None then.
        """
        # a plan for another loader of the same shop is none of our business
        code = self._name.removeprefix("integration.shopify.")
        return self.env["integration.shopify.bulk"]._page(
            backend,
            page,
            code,
            self._resource_name,
            bulk.filled(text_of(document), search, keys),
            connections,
        )
