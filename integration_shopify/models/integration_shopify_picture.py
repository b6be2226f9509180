import base64

from odoo import api, models
from odoo.exceptions import UserError
from odoo.tools.image import ImageProcess

from odoo.addons.integration_base.lib.digest import digest
from odoo.addons.integration_base.lib.errors import (
    AuthError,
    ConfigurationError,
    InvalidPayloadError,
    RequestRefused,
)
from odoo.addons.integration_base.lib.records import Change

from ..lib import pages, products
from ..lib.contract_product import Pictures
from ..lib.resources import VARIANT
from .integration_shopify_image import FIELDS
from .integration_shopify_product import PRODUCTS_PER_CALL

#: Resource code of the bindings that remember which picture of the shop is in Odoo, by the id of
#: the product or the variant that shows it.
SOURCE = "picture_source"
#: Most bytes of one picture; Shopify scales to what Odoo keeps, so larger ones are odd.
MAX_BYTES = 15 * 1024 * 1024
#: Bytes of the pictures of one product after which the rest is left to another operation.
BUDGET = 10 * 1024 * 1024


class IntegrationShopifyPicture(models.AbstractModel):
    """Pictures of products and variants, in a flow of their own.

    So a slow or broken picture never keeps a product from being imported. A picture is downloaded
    when its address is another one than that of the one in Odoo, and only then.

    Where Odoo keeps the products, a picture is only taken over for what has none, and only once:
    afterwards it is Odoo's.
    """

    _name = "integration.shopify.picture"
    _inherit = ["integration.shopify.access", "integration.resource"]
    _description = "Shopify Product Pictures"

    _shopify_documents = (
        "product_pictures",
        "product_variant_pictures",
        "product_changes",
        "product_count",
    )

    _resource_name = "Product Pictures"
    _resource_model = "product.template"
    _resource_direction = "in"
    _resource_starts_off = frozenset({"in"})
    _resource_contract = Pictures
    _resource_groups = ("integration_shopify.group_shopify_work", "product.group_product_manager")
    _resource_digest_exclude = frozenset({"updatedAt", "title"})
    _resource_batch_size = 10
    _resource_interval_minutes = 60

    # === HOOKS - READING === #

    def _shopify_scope_reasons(self, backend):
        return {
            **super()._shopify_scope_reasons(backend),
            "read_products": self.env._("read the pictures of products"),
        }

    def _fetch(self, backend, external_ids):
        """Read which pictures products have."""
        product, client = self.env["integration.shopify.product"], backend._shopify_client()

        def read(ids, payloads):
            variables = {"ids": ids, "variants": products.FIRST_VARIANTS}
            answer = product._complete(client.execute("product_pictures", variables))
            for row in answer.get("nodes") or []:
                if row and row.get("id"):
                    payloads[row["id"]] = product._read_whole(
                        backend, client, row, products.PICTURES_PLAN
                    )

        return pages.read_in_parts(external_ids, PRODUCTS_PER_CALL, read)

    def _fetch_changes(self, backend, since, page):
        return self.env["integration.shopify.product"]._fetch_changes(backend, since, page)

    def _count(self, backend):
        return self.env["integration.shopify.product"]._count(backend)

    def _resolve_reference(self, backend, reference):
        return self.env["integration.shopify.product"]._resolve_reference(backend, reference)

    def _updated_at(self, data):
        return data.updatedAt

    def _label(self, data):
        return data.title

    def _validate(self, backend, payload, label):
        """Check what was read, and download the pictures that are new to Odoo."""
        data = super()._validate(backend, payload, label)
        known, records = self._known(backend, data), self._records(backend, [data])
        # pictures that several variants show are downloaded once
        files, size = {}, 0
        for gid, media in data.sources().items():
            url = media.image.url
            if gid not in records or known.get(gid) == digest(url):
                continue
            if url not in files:
                if size >= BUDGET:
                    data._more = True
                    continue
                files[url] = self._download(backend, url)
                size += len(files[url])
            data._downloads[gid] = files[url]
        return data

    @api.model
    def _records(self, backend, payloads):
        """Return ``{id in Shopify: product or variant}`` of those whose picture may be written."""
        Binding = self.env["integration.binding"]
        templates = Binding._find(backend, "product", [data.id for data in payloads])
        gids = [
            variant.id for data in payloads if data.id in templates for variant in data.variants
        ]
        found = {**templates, **Binding._find(backend, VARIANT, gids)}
        if self.env["integration.shopify.product"]._follows(backend):
            return found
        links = Binding._search_external(backend, SOURCE, list(found)).mapped("external_id")
        pictures = self.env["integration.shopify.image"]._files(found.values())
        return {
            gid: record
            for gid, record in found.items()
            if gid not in links and (record._name, record.id) not in pictures
        }

    @api.model
    def _known(self, backend, data):
        """Return ``{id: digest}`` of the pictures that are in Odoo."""
        gids = [data.id, *(variant.id for variant in data.variants)]
        links = self.env["integration.binding"]._search_external(backend, SOURCE, gids)
        return {link.external_id: link.import_digest for link in links}

    @api.model
    def _download(self, backend, url):
        """Return a picture (bytes), or a text that says why there is none.

        :raises RetryableError: when it may be there later.
        """
        try:
            answer = backend._shopify_download(url, MAX_BYTES)
            ImageProcess(answer, verify_resolution=True)
        except (RequestRefused, InvalidPayloadError, ConfigurationError, AuthError) as error:
            return error.message
        except UserError as error:
            return str(error)
        return answer

    # === HOOKS - WRITING === #

    def _map(self, backend, items):
        """Set ``item.values["template"]``, and ``["records"]``: whose picture may change."""
        templates = self.env["integration.binding"]._find(
            backend, "product", [item.external_id for item in items]
        )
        # what got a picture since it was downloaded keeps it
        records = self._records(backend, [item.data for item in items])
        for item in items:
            template = templates.get(item.external_id)
            if not template:
                item.skip(self.env._("%s is not linked to a product in Odoo.", item.label))
                continue
            gids = [item.external_id, *(variant.id for variant in item.data.variants)]
            item.values["template"] = template
            item.values["records"] = {gid: records[gid] for gid in gids if gid in records}

    def _find_existing(self, backend, items):
        for item in items:
            item.record = item.values["template"]

    def _apply(self, backend, items):
        Binding = self.env["integration.binding"]
        gids = [gid for item in items for gid in item.values["records"]]
        links = {link.external_id: link for link in Binding._search_external(backend, SOURCE, gids)}
        new = {}
        for item in items:
            sources = item.data.sources()
            for gid, record in item.values["records"].items():
                picture = item.data._downloads.get(gid)
                if isinstance(picture, str):
                    item.notes.append(
                        self.env._(
                            "The picture of %(record)s was not taken over: %(reason)s",
                            record=record.display_name,
                            reason=picture,
                        )
                    )
                elif picture:
                    record[FIELDS[record._name]] = base64.b64encode(picture)
                    new[gid] = (record, sources[gid])
                elif gid not in sources and gid in links:
                    # one that was set in Odoo is left alone
                    record[FIELDS[record._name]] = False
                    links[gid].unlink()
        fresh = {gid: record for gid, (record, _media) in new.items() if gid not in links}
        for link in Binding._bind(backend, SOURCE, fresh):
            links[link.external_id] = link
        for gid, (_record, media) in new.items():
            links[gid].import_digest = digest(media.image.url)
        self._note_media(backend, new.values())
        self._ask_for_more(backend, [item for item in items if item.data._more])

    @api.model
    def _note_media(self, backend, pictures):
        """Have pictures that came from the shop recognised when products are sent there.

        :param pictures: pairs of a record and the media it shows.
        """
        Image = self.env["integration.shopify.image"]
        files = Image._files(record for record, _media in pictures)
        found = {}
        for record, media in pictures:
            file = files.get((record._name, record.id))
            if file:
                template = record if record._name == "product.template" else record.product_tmpl_id
                known = found.setdefault(template.id, {})
                # the main one comes first
                known.setdefault(file.checksum, media.id)
        if found:
            Image._learn(backend, found)

    @api.model
    def _ask_for_more(self, backend, items):
        """Have the pictures read that were too many for one operation."""
        flow = backend.flow_ids.filtered(
            lambda flow: flow.resource == "picture" and flow.direction == "in"
        )
        if items:
            # sudo: the log is the engine's
            flow = flow.sudo()
            changes = [Change(item.external_id, item.updated_at, item.label) for item in items]
            # nothing has changed in the shop since
            flow.env["integration.sync.log"]._append(flow, changes, "dependency", force=True)
            flow._wake_after_commit()

    def _apply_deletion(self, backend, items):
        """Leave the pictures: the product decides what becomes of it."""

    def _undo_deletion(self, backend, items):
        """Nothing was done."""

    def _compare(self, backend, items):
        """Leave the comparison to the digests: what is shown where says all."""
