from collections import defaultdict
from dataclasses import replace

from odoo import api, models
from odoo.fields import Command, Domain
from odoo.tools import html2plaintext

from odoo.addons.integration_base.lib.errors import (
    AmbiguousMatchError,
    ConfigurationError,
    ConflictError,
    InvalidPayloadError,
    MissingValue,
)
from odoo.addons.integration_base.lib.records import Change, ChangePage, Difference

from ..lib import bulk, contract, pages, products
from ..lib.client import access_denied, denied_leaves, missing_scopes
from ..lib.contract_product import Product
from ..lib.resources import INVENTORY_ITEM, NAMESPACE, VARIANT

#: Resource codes of all bindings of a variant: what others have of it goes with it.
OF_VARIANTS = (VARIANT, INVENTORY_ITEM, "stock", "price")
#: Products per call, where that is not too expensive.
PRODUCTS_PER_CALL = 10
CHANGES_PER_PAGE = 250
#: Products from which a bulk operation, which takes a minute or more, is faster than calls.
BULK_FROM = 500
#: How the file of the bulk operation is put together.
BULK_CONNECTIONS = {"Product": {"ProductVariant": "variants", "Metafield": "metafields"}}
#: What the app may not be allowed to see, and products are read without.
OPTIONAL_FIELDS = frozenset({"unitCost"})
#: Pages of products with very many variants, for when Shopify asks to slow down in the middle.
_progress = pages.Progress(most=20)


class IntegrationShopifyProduct(models.AbstractModel):
    """Product templates and Shopify's products, with their variants.

    Into Odoo: a product becomes a template, its options become attributes, and each of its variants
    one product, no more and no less. Who is who is told by links (bindings ``product``,
    ``variant``, ``inventory_item``), then by SKU, by barcode, and within a template by the values.
    """

    _name = "integration.shopify.product"
    _inherit = [
        "integration.shopify.access",
        "integration.shopify.bulk.source",
        "integration.resource",
    ]
    _description = "Shopify Products"

    _shopify_documents = (
        "products",
        "product_variants",
        "product_changes",
        "product_count",
        "product_versions",
        "variant_products",
        "bulk_products",
        "bulk_products_metafields",
    )

    _resource_name = "Products"
    _resource_model = "product.template"
    _resource_direction = "both"
    _resource_imports_exported = False
    _resource_starts_off = frozenset({"in", "out"})
    _resource_contract = Product
    # the time stamp moves with every sale, the handle is an address in the shop
    _resource_digest_exclude = frozenset({"updatedAt", "handle"})
    _resource_groups = ("integration_shopify.group_shopify_work", "product.group_product_manager")
    _resource_batch_size = 50

    # === HOOKS - ACCESS === #

    def _shopify_scope_reasons(self, backend):
        return {
            **super()._shopify_scope_reasons(backend),
            "read_products": self.env._("read products and their variants"),
        }

    # === HOOKS - READING === #

    def _fetch(self, backend, external_ids):
        """Read products with all of their variants, a few products per call."""
        client = backend._shopify_client()
        keys = self._metafield_keys(backend)
        payloads = pages.read_in_parts(
            external_ids,
            PRODUCTS_PER_CALL,
            lambda ids, found: self._fetch_some(backend, client, ids, keys, found),
        )
        self._note_replaced(backend, client, payloads)
        return payloads

    @api.model
    def _metafield_keys(self, backend):
        """Return the metafields to read, as ``namespace.key``.

        Those that the field mapping names, and the one by which a product that Odoo has made is
        known before it is linked.
        """
        keys = self.env["integration.field.mapping"]._shopify_metafield_keys(backend, "product")
        if key := backend._shopify_own_key():
            keys.append(f"{NAMESPACE}.{key}")
        return keys

    def _fetch_some(self, backend, client, ids, keys, payloads):
        variables = {
            "ids": ids,
            "variants": products.FIRST_VARIANTS,
            "metafields": max(len(keys), 1),
            "keys": keys,
            "withMetafields": bool(keys),
        }
        answer = self._complete(client.execute("products", variables))
        for product in answer.get("nodes") or []:
            # a deleted product is null, an id of something else an empty object
            if product and product.get("id"):
                payloads[product["id"]] = self._read_whole(backend, client, product, products.PLAN)

    @api.model
    def _read_whole(self, backend, client, product, plan):
        """Return a product with all pages of it, or the error it met."""

        def read(document, variables):
            return self._complete(client.execute(document, variables))

        try:
            return pages.read_on(
                read,
                product,
                plan,
                progress=_progress,
                key=(self.env.cr.dbname, backend.id, product["id"], plan[0].document),
            )
        except pages.NotReadyError as error:
            return error

    @api.model
    def _complete(self, answer):
        """Return the data of an answer in which nothing but what we can do without is missing."""
        needed = [
            error
            for error in answer.errors
            if not OPTIONAL_FIELDS.intersection(error.get("path") or ())
        ]
        if missing_scopes(needed) or denied_leaves(replace(answer, errors=needed)):
            raise access_denied(needed)
        return answer.data

    @api.model
    def _note_replaced(self, backend, client, payloads):
        """Tell of each new product which linked ones with its SKUs Shopify no longer has.

        Products that were deleted and made again keep their place in Odoo, in whatever order their
        notifications come.
        """
        Binding = self.env["integration.binding"]
        fresh = {gid: row for gid, row in payloads.items() if isinstance(row, dict)}
        known = Binding._search_external(backend, "product", list(fresh)).mapped("external_id")
        skus = {}
        for gid in fresh.keys() - set(known):
            for variant in (fresh[gid].get("variants") or {}).get("nodes") or ():
                if isinstance(variant.get("sku"), str) and variant["sku"].strip():
                    skus.setdefault(variant["sku"].strip(), set()).add(gid)
        if not skus:
            return
        found = self._products_of_codes(backend, set(skus), set())
        links = {
            link.res_id: link.external_id
            for link in Binding._search_records(backend, "product", found.product_tmpl_id)
            if not link.deleted_at
        }
        if not links:
            return
        alive = set()
        old = sorted(set(links.values()))
        for start in range(0, len(old), pages.MAX_PAGE):
            part = old[start : start + pages.MAX_PAGE]
            rows = client.execute("product_versions", {"ids": part}).data.get("nodes") or ()
            alive |= {row["id"] for row in rows if row and row.get("id")}
        for product in found:
            link = links.get(product.product_tmpl_id.id)
            if link and link not in alive:
                for gid in skus.get(product.default_code, ()):
                    replaced = fresh[gid].setdefault("replaces", [])
                    if link not in replaced:
                        replaced.append(link)

    def _fetch_all(self, backend, since, page):
        """Read a large catalogue by one bulk operation, with all variants of every product."""
        if page is None and not self._is_large(backend):
            return None
        keys = self._metafield_keys(backend)
        try:
            found = self._bulk_page(
                backend,
                page,
                document="bulk_products_metafields" if keys else "bulk_products",
                connections=BULK_CONNECTIONS,
                search=pages.changed_since(since) or "",
                keys=keys,
            )
        except bulk.BulkDenied:
            # what is not vital (costs) is left out of single calls, and the rest explained
            return None
        products_found = {row["id"]: row for row in found.objects}
        for row in found.objects:
            # children stand anywhere in the file
            row["variants"]["nodes"].sort(key=lambda variant: variant["position"])
        self._note_replaced(backend, backend._shopify_client(), products_found)
        changes = [
            Change(
                gid,
                contract.read_utc(row["updatedAt"]),
                row["title"],
                payload=row,
                read_at=found.read_at,
            )
            for gid, row in products_found.items()
        ]
        return ChangePage(changes, found.next_page, ordered=False)

    @api.model
    def _is_large(self, backend):
        count = self._count(backend)
        return count is None or count >= BULK_FROM

    def _fetch_changes(self, backend, since, page):
        query = pages.changed_since(since)
        found = (
            backend._shopify_client()
            .execute("product_changes", {"first": CHANGES_PER_PAGE, "after": page, "query": query})
            .data["products"]
        )
        changes = [
            Change(row["id"], contract.read_utc(row["updatedAt"]), row["title"])
            for row in found["nodes"]
        ]
        more = found["pageInfo"]
        return ChangePage(changes, more["endCursor"] if more["hasNextPage"] else None)

    def _count(self, backend):
        answer = backend._shopify_client().execute("product_count").data["productsCount"]
        return answer["count"] if answer["precision"] == "EXACT" else None

    def _resolve_reference(self, backend, reference):
        """Return the id of the product with this SKU, handle or title; ids are taken as they are.

        The number in the address of the product's page in the Shopify admin is taken as well.
        """
        if reference.startswith("gid://"):
            return reference
        number = reference.rstrip("/").rpartition("/")[2]
        if number.isdecimal() and len(number) > 9:
            return f"gid://shopify/Product/{number}"
        text = reference.replace("\\", "").replace('"', "")
        query = f'sku:"{text}" OR handle:"{text}" OR title:"{text}"'
        rows = (
            backend._shopify_client()
            .execute("product_changes", {"first": 50, "after": None, "query": query})
            .data["products"]["nodes"]
        )
        same = [row for row in rows if text.casefold() in (row["title"].casefold(), row["handle"])]
        if len(same or rows) != 1:
            raise ConfigurationError(
                self.env._(
                    "%(count)s products of %(backend)s fit %(name)s. Type the SKU, the title, or "
                    "the number in the address of the product's page in the Shopify admin.",
                    count=len(same or rows),
                    backend=backend.display_name,
                    name=reference,
                )
            )
        return (same or rows)[0]["id"]

    def _validate(self, backend, payload, label):
        title = payload.get("title")
        return super()._validate(backend, payload, title if isinstance(title, str) else label)

    def _updated_at(self, data):
        return data.updatedAt

    def _label(self, data):
        return data.title

    # === HOOKS - MAPPING === #

    def _map(self, backend, items):
        """Set ``item.values``: ``rows``, ``options``, ``fields``, ``category``, ``tags``."""
        for item in items:
            item.values.update(
                rows=products.rows_of(item.data),
                options=products.options_of(item.data),
                bundle=products.is_bundle(item.data),
            )
        self._map_fields(backend, items)
        alive = [item for item in items if item.alive]
        self._map_category(backend, alive)
        self._map_origin(alive)

    @api.model
    def _map_fields(self, backend, items):
        """Set ``item.values["fields"]`` as the field mappings say.

        Where Odoo owns the products, only rows somebody made for this backend go on being read.
        """
        Mapping = self.env["integration.field.mapping"]
        payloads = [(item.data, bool(item.record)) for item in items]
        try:
            values = Mapping._values_in(backend, "product", payloads)
        except InvalidPayloadError:
            values = []
            for item, payload in zip(items, payloads, strict=True):
                try:
                    values += Mapping._values_in(backend, "product", [payload])
                except InvalidPayloadError as error:
                    # only this product has a value that does not fit
                    item.fail(error)
                    values.append({})
        own = None
        for item, found in zip(items, values, strict=True):
            if item.record and not self._follows(backend):
                if own is None:
                    # sudo: field names of ir.model.fields are closed to most users
                    rows = Mapping._rows(backend, "product").filtered("backend_id").sudo()
                    own = set(rows.mapped("field_id.name"))
                found = {name: value for name, value in found.items() if name in own}
            item.values["fields"] = found

    @api.model
    def _follows(self, backend):
        """Whether products in Odoo follow what is changed in Shopify."""
        return backend.shopify_product_owner == "shopify"

    @api.model
    def _map_category(self, backend, items):
        """Set ``item.values["category"]``: the one mapped to Shopify's category or its type."""
        wanted = {}
        for item in items:
            for value in self._category_values(item.data):
                wanted[value.value] = value.label
        mapped = (
            self.env["integration.mapping"]._values(backend, "product_category", wanted)
            if wanted
            else {}
        )
        for item in items:
            values = self._category_values(item.data)
            found = [mapped[value.value] for value in values if value.value in mapped]
            item.values["category"] = found[0] if found else None
            if not found:
                item.seen += values

    @api.model
    def _category_values(self, data):
        """Return what tells the category, most telling first, as :class:`MissingValue`."""
        values = []
        if data.category:
            label = data.category.fullName or data.category.id
            values.append(MissingValue("product_category", data.category.id, label))
        if data.productType.strip():
            name = data.productType.strip()
            values.append(MissingValue("product_category", name, name))
        return values

    @api.model
    def _map_origin(self, items):
        """Set ``item.values["country"]`` and ``["hs_code"]``, where all variants agree.

        Odoo has them once per template.
        """
        codes = {row.country for item in items for row in item.values["rows"] if row.country}
        countries = {}
        if codes:
            found = self.env["res.country"].search_fetch([("code", "in", list(codes))], ["code"])
            countries = {country.code: country for country in found}
        for item in items:
            rows = item.values["rows"]
            item.values["country"] = countries.get(products.common(row.country for row in rows))
            item.values["hs_code"] = products.common(row.hs_code for row in rows)
            for name, title in (
                ("country", self.env._("countries of origin")),
                ("hs_code", self.env._("HS codes")),
            ):
                if len({getattr(row, name) for row in rows} - {""}) > 1:
                    item.notes.append(
                        self.env._(
                            "Its variants have different %s. A product has one in Odoo: none was "
                            "written.",
                            title,
                        )
                    )

    # === HOOKS - MATCHING === #

    def _find_existing(self, backend, items):
        """Match what Odoo has made, then by links, SKU and barcode of each variant.

        All variants found in one template: that is the product. Found in several: only the variants
        are linked (``item.values["links"]``), because a Shopify product is one template in Odoo.
        """
        Binding = self.env["integration.binding"]
        rows = [row for item in items for row in item.values["rows"]]
        bound = Binding._find(backend, VARIANT, [row.gid for row in rows])
        open_rows = [row for row in rows if row.gid not in bound]
        codes = {row.sku for row in open_rows} | {row.barcode for row in open_rows}
        found = self._products_of_codes(backend, codes - {""}, codes - {""})
        by_sku = found.filtered("default_code").grouped("default_code")
        by_barcode = found.filtered("barcode").grouped("barcode")
        made = self._made_by_odoo(backend, items)
        for item in items:
            item.record = made.get(item.external_id)
            if not item.record:
                self._match(item, bound, by_sku, by_barcode)
        matched = [item for item in items if item.alive and item.record]
        self._refuse_linked(backend, matched)
        taken = {}
        for item in matched:
            other = taken.setdefault(item.record, item) if item.alive else item
            if other is not item:
                item.fail(self._linked_error(item, item.record, other.label))
        # what is written once was written before
        self._map_fields(backend, [item for item in matched if item.alive])

    @api.model
    def _made_by_odoo(self, backend, items):
        """Return ``{external id: template}`` of products whose creation is not linked yet."""
        key, Template = backend._shopify_own_key(), self.env["product.template"]
        ids = {
            item.external_id: int(value)
            for item in items
            if key
            and (value := str(item.data.metafields.get(NAMESPACE, {}).get(key) or "")).isdecimal()
        }
        if not ids:
            return {}
        domain = Domain(Template._check_company_domain(backend.company_id))
        found = Template.search(domain & Domain("id", "in", list(ids.values())))
        links = self.env["integration.binding"]._search_records(backend, "product", found)
        free = set(found.ids) - set(links.mapped("res_id"))
        return {gid: Template.browse(id_) for gid, id_ in ids.items() if id_ in free}

    @api.model
    def _products_of_codes(self, backend, skus, barcodes):
        """Return the products of the company with one of these codes, archived ones included."""
        Products = self.env["product.product"].with_context(active_test=False)
        if not skus and not barcodes:
            return Products.browse()
        return Products.search_fetch(
            Domain(Products._check_company_domain(backend.company_id))
            & (Domain("default_code", "in", list(skus)) | Domain("barcode", "in", list(barcodes))),
            ["default_code", "barcode", "active", "product_tmpl_id"],
        )

    @api.model
    def _match(self, item, bound, by_sku, by_barcode):
        """Set ``item.record`` or ``item.values["links"]``, or fail the item."""
        rows, none = item.values["rows"], self.env["product.product"]
        repeated = set(products.repeated(row.sku for row in rows))
        found, doubtful = {}, []
        for row in rows:
            candidates = none
            if row.gid in bound:
                candidates = bound[row.gid]
            elif row.sku and row.sku in by_sku:
                candidates = by_sku[row.sku]
            elif row.sku and row.sku in by_barcode:
                candidates = by_barcode[row.sku]
            elif row.barcode and row.barcode in by_barcode:
                candidates = by_barcode[row.barcode]
            candidates = candidates.filtered("active") or candidates
            if len(candidates) > 1 and len(candidates.product_tmpl_id) == 1:
                # which of its variants it is, its values will tell
                found[row.gid] = candidates[0]
            elif len(candidates) > 1:
                doubtful.append((row, candidates))
            elif candidates:
                found[row.gid] = candidates
        if doubtful:
            item.fail(self._ambiguous(item, *doubtful[0]))
            return
        templates = none.union(*found.values()).product_tmpl_id
        if not templates:
            return
        others = templates.with_context(active_test=True).product_variant_ids
        if len(templates) > 1 or (
            # one variant of several: not the same product
            not item.values["options"] and len(others) > 1
        ):
            item.values["links"] = {
                row.gid: found[row.gid]
                for row in rows
                if row.gid in found and row.sku not in repeated
            }
            return
        item.record = templates.with_context(active_test=True)

    @api.model
    def _ambiguous(self, item, row, candidates):
        return AmbiguousMatchError(
            self.env._(
                "%(product)s, variant %(variant)s: several products have the SKU or barcode "
                "%(code)s: %(candidates)s. Leave it on the right one only, then press Retry.",
                product=item.label,
                variant=row.label,
                code=row.sku or row.barcode,
                candidates=self._named(candidates),
            ),
            candidates=(row.label, *candidates.mapped("display_name")),
        )

    @api.model
    def _named(self, records):
        return ", ".join(f"{record.display_name} (ID {record.id})" for record in records)

    @api.model
    def _refuse_linked(self, backend, items):
        """Let go of links of products that were deleted in Shopify; refuse those still there."""
        Binding = self.env["integration.binding"]
        templates = self.env["product.template"].union(*(item.record for item in items))
        links = {
            link.res_id: link
            for link in (
                Binding._search_records(backend, "product", templates) if templates else ()
            )
        }
        for item in items:
            link = links.get(item.record.id)
            if not link:
                continue
            if link.deleted_at or link.external_id in item.data.replaces:
                item.values["released"] = link
            else:
                item.fail(self._linked_error(item, item.record, link.display_name))

    @api.model
    def _linked_error(self, item, template, other):
        return AmbiguousMatchError(
            self.env._(
                "%(product)s has the SKUs of %(template)s (ID %(id)s), which is linked to another "
                "product of this shop already: %(other)s. Give each product SKUs of its own in "
                "Shopify, or delete the one that is not needed, then press Retry.",
                product=item.label,
                template=template.display_name,
                id=template.id,
                other=other,
            ),
            candidates=(template.display_name, other),
        )

    # === HOOKS - WRITING === #

    def _apply(self, backend, items):
        own = self._in_language(backend)
        backend = backend.with_env(own.env)
        for item in items:
            if item.record:
                item.record = item.record.with_env(own.env)
        own._apply_own(backend, items)

    @api.model
    def _in_language(self, backend):
        """Return this model in the company and the language of the shop."""
        lang = backend.company_id.partner_id.lang or "en_US"
        if "shopify_lang" in backend._fields:
            lang = backend.shopify_lang or lang
        return self.with_company(backend.company_id).with_context(lang=lang)

    def _apply_own(self, backend, items):
        links = {}
        whole = []
        for item in items:
            if "links" in item.values:
                links.update(self._only_links(item))
            elif item.values["bundle"] and not item.record:
                self._skip_bundle(item)
            else:
                whole.append(item)
        shape = self.env["integration.shopify.product.shape"]
        shape._plan(backend, whole)
        self._check_barcodes(backend, [item for item in whole if self._writes(backend, item)])
        whole = [item for item in whole if item.alive]
        released = [item.values["released"] for item in whole if item.values.get("released")]
        self.env["integration.binding"].union(*released).unlink()
        self._create_templates(backend, [item for item in whole if not item.record])
        written = [item for item in whole if self._writes(backend, item)]
        shape._write(backend, written)
        self._update_templates(backend, written)
        self.env["integration.shopify.product.price"]._write(backend, written)
        self._follow_status(backend, written)
        self._write_mapped(
            [item for item in whole if item not in written and not item.values["bundle"]]
        )
        for item in whole:
            links.update(self._links(item))
        self._link_variants(backend, links)
        self._ask_for_pictures(backend, whole)

    @api.model
    def _writes(self, backend, item):
        """Whether an item is written as a whole, and not only linked."""
        if item.values["bundle"]:
            return False
        return bool(item.values.get("created") or not item.record or self._follows(backend))

    @api.model
    def _only_links(self, item):
        """Return what to link of a product whose variants are products of several templates."""
        found = item.values["links"]
        missing = [row.label for row in item.values["rows"] if row.gid not in found]
        item.notes.append(
            self.env._(
                "Its variants are separate products in Odoo (%(products)s), so only they were "
                "linked, for orders and stock: %(count)s of %(total)s. Nothing else was written.",
                products=", ".join(record.display_name for record in found.values()),
                count=len(found),
                total=len(item.values["rows"]),
            )
        )
        if missing:
            item.notes.append(self.env._("Not found in Odoo: %s.", ", ".join(missing)))
        return {
            row.gid: (found[row.gid], row.item_gid, row.label)
            for row in item.values["rows"]
            if row.gid in found
        }

    @api.model
    def _skip_bundle(self, item):
        item.skip(
            self.env._(
                "%s is a bundle: Shopify takes its parts from stock. Make it a product of its own "
                "in Odoo with the same SKU, a kit for example, then press Retry: it is linked "
                "then.",
                item.label,
            )
        )

    @api.model
    def _links(self, item):
        """Return what to link of a product: ``{variant id: (product, item id, label)}``."""
        found = item.values["variants"]
        return {
            row.gid: (found[row.gid], row.item_gid, row.label)
            for row in item.values["rows"]
            if row.gid in found
        }

    @api.model
    def _check_barcodes(self, backend, items):
        """Fail items with a barcode that another product has: Odoo allows each only once.

        Of variants of one product with the same barcode, the first one keeps it.
        """
        wanted = defaultdict(list)
        for item in items:
            seen = set()
            item.values["barcodes"] = {}
            for row in item.values["rows"]:
                if row.barcode and row.barcode in seen:
                    item.notes.append(
                        self.env._(
                            "%(variant)s has the barcode %(barcode)s of another variant. Odoo "
                            "allows each only once: it was left empty.",
                            variant=row.label,
                            barcode=row.barcode,
                        )
                    )
                elif row.barcode:
                    seen.add(row.barcode)
                    wanted[row.barcode].append((item, row))
                    item.values["barcodes"][row.gid] = row.barcode
        if not wanted:
            return
        holders = defaultdict(list)
        # sudo: Odoo refuses a barcode that is taken, also by a product the user may not see
        Taken = self.env["product.product"].sudo()
        for product in Taken.search_fetch(
            [("barcode", "in", list(wanted)), *self._same_barcodes(backend)],
            ["barcode", "product_tmpl_id"],
        ):
            holders[product.barcode].append(product)
        # sudo: as above
        packed = self.env["product.uom"].sudo()
        for unit in packed.search([("barcode", "in", list(wanted)), *self._same_barcodes(backend)]):
            holders[unit.barcode].append(unit.product_id)
        for barcode, claims in wanted.items():
            item, row = claims[0]
            for holder in holders[barcode]:
                if holder.product_tmpl_id != item.record:
                    item.fail(self._barcode_error(item, row, holder.display_name))
                elif holder not in item.values["variants"].values():
                    # of the same template, but none of Shopify's: it stays where it is
                    item.values["barcodes"].pop(row.gid, None)
            for other, its_row in claims[1:]:
                other.fail(self._barcode_error(other, its_row, row.label))

    @api.model
    def _same_barcodes(self, backend):
        """Return the domain of what has to have other barcodes."""
        if not backend.shopify_product_company:
            return []
        return [("company_id", "in", (False, backend.company_id.id))]

    @api.model
    def _barcode_error(self, item, row, holder):
        return ConflictError(
            self.env._(
                "%(product)s, variant %(variant)s: its barcode %(barcode)s belongs to %(holder)s "
                "already, and Odoo allows each barcode only once. Correct the barcode of one of "
                "them, then press Retry.",
                product=item.label,
                variant=row.label,
                barcode=row.barcode,
                holder=holder,
            )
        )

    # === TEMPLATES === #

    @api.model
    def _create_templates(self, backend, items):
        """Create the templates of new products, without variants."""
        if not items:
            return
        Template = self.env["product.template"].with_context(
            create_product_product=False, tracking_disable=True, mail_create_nosubscribe=True
        )
        records = Template.create([self._new_values(backend, item) for item in items])
        for item, record in zip(items, records.with_env(self.env), strict=True):
            item.record = record
            item.values["created"] = True

    @api.model
    def _new_values(self, backend, item):
        rows, data = item.values["rows"], item.data
        goods = not data.isGiftCard and any(row.ships or row.tracked for row in rows)
        values = {
            "name": data.title,
            "type": "consu" if goods else "service",
            "is_storable": goods and any(row.tracked for row in rows),
            "list_price": 0.0,
            # the technical user looks after nothing
            "responsible_id": False,
            "active": data.status != "ARCHIVED",
        }
        if backend.shopify_product_company:
            values["company_id"] = backend.company_id.id
        if not any(row.taxable for row in rows):
            values["taxes_id"] = [Command.clear()]
        return values | item.values["fields"] | self._template_values(backend, item)

    @api.model
    def _template_values(self, backend, item):
        """Return the values of a template that no field mapping gives; only what is known."""
        values = {}
        category = item.values["category"] or (
            None if item.record else backend.shopify_product_category_id
        )
        if category:
            values["categ_id"] = category.id
        if item.values["hs_code"]:
            values["hs_code"] = item.values["hs_code"]
        if item.values["country"]:
            values["country_of_origin"] = item.values["country"].id
        return values

    @api.model
    def _update_templates(self, backend, items):
        """Write what differs; and the tags, which are added and never taken away."""
        tags = self._tags(items)
        moved = self._moved([item for item in items if not item.values.get("created")])
        for item in items:
            record, vals = item.record, {}
            if not item.values.get("created"):
                wanted = item.values["fields"] | self._template_values(backend, item)
                vals = self._differing(record, wanted)
                vals |= self._stock_values(item, moved) | self._tax_values(backend, item)
            own = {tags[name.casefold()] for name in self._tag_names(item)}
            missing = own - set(record.product_tag_ids.ids)
            if missing:
                # Odoo cannot know who put the others there
                vals["product_tag_ids"] = [Command.link(tag_id) for tag_id in sorted(missing)]
            if vals:
                record.write(vals)

    @api.model
    def _write_mapped(self, items):
        """Write the fields that somebody maps for this backend, of products Odoo owns."""
        for item in items:
            vals = self._differing(item.record, item.values["fields"])
            if vals:
                item.record.write(vals)

    @api.model
    def _differing(self, record, wanted):
        vals = {}
        for name, value in wanted.items():
            field = record._fields[name]
            if field.type == "html":
                same = html2plaintext(record[name] or "") == html2plaintext(value or "")
            else:
                wish = field.convert_to_record(field.convert_to_cache(value, record), record)
                same = self._same_value(record, field, record[name], wish)
            if not same:
                vals[name] = value
        return vals

    @api.model
    def _tag_names(self, item):
        return list(dict.fromkeys(name.strip() for name in item.data.tags if name.strip()))

    @api.model
    def _tags(self, items):
        """Return ``{name in small letters: id of the tag}``, creating what is missing."""
        names = {name.casefold(): name for item in items for name in self._tag_names(item)}
        if not names:
            return {}
        Tag = self.env["product.tag"]
        found = {}
        for tag in Tag.search_fetch(
            Domain.OR(Domain("name", "=ilike", self._literal(name)) for name in names.values()),
            ["name"],
        ):
            found.setdefault(tag.name.casefold(), tag.id)
        missing = [name for key, name in names.items() if key not in found]
        for tag in Tag.create([{"name": name} for name in missing]):
            found[tag.name.casefold()] = tag.id
        return found

    @api.model
    def _literal(self, text):
        return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")

    @api.model
    def _moved(self, items):
        """Return the templates of which goods were moved: their kind can no longer be changed."""
        changing = self.env["product.template"].union(
            *(
                item.record
                for item in items
                if item.record.type == "consu"
                and item.record.is_storable != any(row.tracked for row in item.values["rows"])
            )
        )
        if not changing:
            return changing
        # sudo: whether there are any, not which
        groups = (
            self.env["stock.move"]
            .sudo()
            ._read_group(
                [("product_id.product_tmpl_id", "in", changing.ids), ("state", "!=", "cancel")],
                ["product_id"],
            )
        )
        ids = {product.product_tmpl_id.id for (product,) in groups}
        return changing.filtered(lambda template: template.id in ids)

    @api.model
    def _stock_values(self, item, moved):
        """Return whether stock is tracked, where that can still be changed."""
        tracked = any(row.tracked for row in item.values["rows"])
        if item.record.type != "consu" or item.record.is_storable == tracked:
            return {}
        if item.record in moved:
            item.notes.append(
                self.env._(
                    "Track Inventory was changed in Shopify. It stays as it is in Odoo, because "
                    "there are stock moves of the product."
                )
            )
            return {}
        return {"is_storable": tracked}

    @api.model
    def _tax_values(self, backend, item):
        """Return the taxes where Shopify taxes and Odoo does not, or the other way round.

        A rate somebody has chosen in Odoo stays: Shopify does not know any.
        """
        company = backend.company_id
        # sudo: taxes of other companies hang on shared products, too
        taxes = item.record.sudo().taxes_id.filtered(
            lambda tax: tax.company_id in (company, *company.parent_ids)
        )
        taxable = any(row.taxable for row in item.values["rows"])
        if taxable and not taxes and company.account_sale_tax_id:
            return {"taxes_id": [Command.link(company.account_sale_tax_id.id)]}
        if not taxable and taxes:
            return {"taxes_id": [Command.unlink(tax.id) for tax in taxes]}
        return {}

    @api.model
    def _follow_status(self, backend, items):
        """Archive what is archived in Shopify, with all variants, and bring it back with them.

        A product that another shop sells as well stays in use.
        """
        used = self._used_elsewhere(backend, [item.record for item in items])
        for item in items:
            variants = self.env["product.product"].union(*item.values["variants"].values())
            if item.data.status != "ARCHIVED":
                # before the template: Odoo would make variants for one that has none
                variants.filtered(lambda variant: not variant.active).write({"active": True})
                if not item.record.active:
                    item.record.active = True
            elif item.record.active and item.record in used:
                item.notes.append(
                    self.env._(
                        "It was archived in Shopify. It stays in use in Odoo, because another "
                        "shop sells it."
                    )
                )
            elif item.record.active:
                item.record.active = False

    @api.model
    def _used_elsewhere(self, backend, records):
        """Return those of these templates that are linked to other backends, too."""
        templates = self.env["product.template"].union(*records)
        if not templates:
            return templates
        # sudo: backends of other companies count as well
        links = (
            self.env["integration.binding"]
            .sudo()
            .search_fetch(
                [
                    ("backend_id", "!=", backend.id),
                    ("resource", "=", "product"),
                    ("res_model", "=", templates._name),
                    ("res_id", "in", templates.ids),
                    ("deleted_at", "=", False),
                ],
                ["res_id"],
            )
        )
        return templates.browse(set(links.mapped("res_id")))

    @api.model
    def _used_elsewhere_variants(self, backend, variants):
        """Return those of these variants that are linked to other backends, too."""
        if not variants:
            return variants
        # sudo: backends of other companies count as well
        links = (
            self.env["integration.binding"]
            .sudo()
            .search_fetch(
                [
                    ("backend_id", "!=", backend.id),
                    ("resource", "=", VARIANT),
                    ("res_model", "=", variants._name),
                    ("res_id", "in", variants.ids),
                    ("deleted_at", "=", False),
                ],
                ["res_id"],
            )
        )
        return variants.browse(set(links.mapped("res_id")))

    @api.model
    def _ask_for_pictures(self, backend, items):
        """Let the pictures of these products be read, where somebody has switched that on."""
        flow = backend.flow_ids.filtered(
            lambda flow: flow.resource == "picture" and flow.direction == "in" and flow.enabled
        )
        changes = [
            Change(item.external_id, item.updated_at, item.label)
            for item in items
            if item.alive and (self._follows(backend) or item.values.get("created"))
        ]
        if flow and changes:
            # sudo: the log is the engine's
            flow = flow.sudo()
            flow.env["integration.sync.log"]._append(flow, changes, "dependency")
            flow._wake_after_commit()

    # === VARIANTS === #

    @api.model
    def _link_variants(self, backend, variants):
        """Bind variants and their inventory items; links that point elsewhere follow.

        :param dict variants: ``{id of Shopify's variant: (product.product, id of its inventory
            item, label)}``.
        """
        if not variants:
            return
        Binding = self.env["integration.binding"]
        wanted = {
            VARIANT: {gid: product for gid, (product, _item, _label) in variants.items()},
            INVENTORY_ITEM: {item: product for product, item, _label in variants.values() if item},
        }
        labels = {
            name: label for gid, (_product, item, label) in variants.items() for name in (gid, item)
        }
        for resource, records in wanted.items():
            known = Binding._search_external(backend, resource, list(records))
            linked = self.env["product.product"].union(*records.values())
            stale = Binding._search_records(backend, resource, linked).filtered(
                lambda link, records=records: (
                    records.get(link.external_id, link.browse()).id != link.res_id
                )
            )
            stale |= known.filtered(
                lambda link, records=records: link.res_id != records[link.external_id].id
            )
            stale.unlink()
            present = set((known - stale).mapped("external_id"))
            Binding._bind(
                backend,
                resource,
                {gid: product for gid, product in records.items() if gid not in present},
                labels,
            )

    @api.model
    def _unlink_variants(self, backend, variants):
        """Remove the links of Odoo products whose variants Shopify no longer has."""
        if not variants:
            return
        Binding = self.env["integration.binding"]
        for resource in OF_VARIANTS:
            Binding._search_records(backend, resource, variants).unlink()

    # === HOOKS - DELETIONS === #

    def _apply_deletion(self, backend, items):
        """Archive products that were deleted in Shopify, where Shopify owns them.

        What another shop sells stays in use. The links of the variants are given up either way.
        """
        records = [item.record for item in items]
        templates = self.env["product.template"].union(*records)
        variants = templates.with_context(active_test=False).product_variant_ids
        self._unlink_variants(backend, variants.with_context(active_test=True))
        used = self._used_elsewhere(backend, records)
        for item in items:
            values = {"product": item.record.display_name, "backend": backend.display_name}
            if not self._follows(backend):
                item.notes.append(
                    self.env._(
                        "%(product)s no longer exists in %(backend)s. It stays in Odoo, which owns "
                        "the products of this shop.",
                        **values,
                    )
                )
            elif item.record in used:
                item.notes.append(
                    self.env._(
                        "%(product)s no longer exists in %(backend)s. It stays in use, because "
                        "another shop sells it.",
                        **values,
                    )
                )
            elif item.record.active:
                item.record.active = False
                item.notes.append(
                    self.env._(
                        "%(product)s no longer exists in %(backend)s and was archived in Odoo with "
                        "its variants.",
                        **values,
                    )
                )

    def _undo_deletion(self, backend, items):
        """Leave it to :meth:`_apply`, which comes next: it knows which variants come back."""

    # === HOOKS - COMPARING === #

    def _compare(self, backend, items):
        """Compare the links of variants and, where Shopify owns the products, their values; of
        products that Odoo sends what sending them would change."""
        self._compare_sent(backend, [item for item in items if item.outgoing])
        own = self._in_language(backend)
        incoming = [item for item in items if not item.outgoing]
        for item in incoming:
            item.record = item.record.with_env(own.env)
        own._compare_own(backend.with_env(own.env), incoming)

    @api.model
    def _compare_own(self, backend, incoming):
        gids = [row.gid for item in incoming for row in item.values["rows"]]
        bound = self.env["integration.binding"]._find(backend, VARIANT, gids)
        for item in incoming:
            item.differences = []
            for row in item.values["rows"]:
                item.differences += self._row_differences(backend, row, bound.get(row.gid))
            if not self._follows(backend) or item.values["bundle"]:
                continue
            wanted = item.values["fields"] | self._template_values(backend, item)
            for name, value in self._differing(item.record, wanted).items():
                field = item.record._fields[name]
                wish = field.convert_to_record(
                    field.convert_to_cache(value, item.record), item.record
                )
                item.differences.append(
                    Difference(
                        field._description_string(self.env),
                        self._shown_value(item.record, field, item.record[name]),
                        self._shown_value(item.record, field, wish),
                    )
                )

    @api.model
    def _row_differences(self, backend, row, product):
        if not product:
            return [Difference(self.env._("Variant"), "", row.label)]
        if not self._follows(backend):
            return []
        return [
            Difference(f"{row.label}: {title}", product[name] or "", wanted)
            for name, title, wanted in (
                ("default_code", self.env._("SKU"), row.sku),
                ("barcode", self.env._("Barcode"), row.barcode),
            )
            if wanted and (product[name] or "") != wanted
        ]
