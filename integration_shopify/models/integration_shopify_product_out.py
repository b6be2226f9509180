from decimal import Decimal

from odoo import api, fields, models
from odoo.tools import float_repr, html_sanitize, is_html_empty, plaintext2html

from odoo.addons.integration_base.lib.errors import (
    AmbiguousMatchError,
    AuthError,
    ConfigurationError,
    ConflictError,
    IntegrationError,
    MissingScopeError,
    NotReadyError,
    RateLimitedError,
    RequestRefused,
)
from odoo.addons.integration_base.lib.records import Difference, Watch

from ..lib import catalogue
from ..lib.client import UserErrors
from ..lib.resources import INVENTORY_ITEM, NAMESPACE, VARIANT

#: Variants read with a product, and by each further page.
FIRST_VARIANTS, MORE_VARIANTS = 50, 100
#: Variants that come with the answer of a product made in bulk, and SKUs or barcodes of one search.
BULK_VARIANTS, TERMS = 250, 25
#: Pictures Shopify takes as they are.
PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
#: Seconds after which channels that were busy are worth another try.
CHANNELS_BUSY_SECONDS = 60
#: Seconds that Shopify needs for new pictures.
PICTURES_SECONDS = 20
#: What changes a product, beside the fields that are mapped to metafields.
WATCHES = (
    Watch(
        "product.template",
        (
            "name",
            "active",
            "type",
            "is_storable",
            "list_price",
            "categ_id",
            "company_id",
            "description_sale",
            "product_tag_ids",
            "taxes_id",
            "image_1920",
            "hs_code",
            "country_of_origin",
            "shopify_vendor",
            "shopify_oversell",
            "shopify_description",
        ),
    ),
    Watch(
        "product.product",
        (
            "active",
            "default_code",
            "barcode",
            "weight",
            "standard_price",
            "image_variant_1920",
            "product_template_attribute_value_ids",
        ),
        "product_tmpl_id",
    ),
    Watch(
        "product.template.attribute.line",
        ("attribute_id", "value_ids", "sequence"),
        "product_tmpl_id",
    ),
    Watch("product.template.attribute.value", ("price_extra",), "product_tmpl_id"),
)


class IntegrationShopifyProduct(models.AbstractModel):
    """Products out of Odoo: a template becomes a product, its variants become variants.

    Nothing that is not ours is lost. A product is read before it is written, only what differs is
    written, and by mutations that touch nothing else (``productUpdate`` and those of variants).
    ``productSet``, which deletes what is left out, makes products that do not exist yet, and gives
    others new options; then it names options and variants only.

    A creation is sent as ``productSet`` under our own id, a unique metafield, so Shopify itself
    makes one product of two requests; ``_recover`` looks for the same id, without a search index.
    Very many creations go as lines of a bulk mutation, without their pictures; each is completed
    by itself when its line was answered. Nothing else goes in bulk: a product is read, compared and
    written in one go, while nobody knows when a line is run.
    """

    _name = "integration.shopify.product"
    _inherit = ["integration.shopify.bulk.push", "integration.shopify.product"]

    _resource_deletes = True
    _resource_load_scope = "all"
    #: Names of the documents the export runs.
    _shopify_out_documents = (
        "bulk_mutation_run",
        "bulk_operation",
        "bulk_operations",
        "bulk_upload",
        "product_by_key",
        "product_candidates",
        "product_create_bulk",
        "product_delete",
        "product_key_definition",
        "product_media",
        "product_media_detach",
        "product_media_reorder",
        "product_metafields_delete",
        "product_publish",
        "product_set",
        "product_state",
        "product_translate",
        "product_translations",
        "product_unpublish",
        "product_update",
        "product_uploads",
        "product_variants_create",
        "product_variants_delete",
        "product_variants_update",
    )
    _shopify_optional_scopes = frozenset(
        {
            "read_files",
            "read_locales",
            "read_publications",
            "read_translations",
            "write_files",
            "write_publications",
            "write_translations",
        }
    )

    @property
    def _resource_watches(self):
        return (*WATCHES, *self.env["integration.field.mapping"]._shopify_watches("product"))

    # === HOOKS - ACCESS === #

    def _resource_scopes(self, backend, direction):
        if direction == "out":
            return self._shopify_scopes(backend, self._shopify_out_documents)
        return super()._resource_scopes(backend, direction)

    def _shopify_scope_reasons(self, backend):
        return {
            **super()._shopify_scope_reasons(backend),
            "write_products": self.env._("send products and their prices to the shop"),
            "write_publications": self.env._("show products in sales channels"),
            "write_translations": self.env._("send names and descriptions in other languages"),
            "read_locales": self.env._("know which languages the shop has"),
            "write_files": self.env._("take pictures off products that Odoo no longer has"),
        }

    # === HOOKS - EXPORTING === #

    def _export_domain(self, backend):
        return [
            ("type", "in", ("consu", "service")),
            ("company_id", "in", [False, *backend.company_id.parent_ids.ids]),
            "|",
            ("shopify_listing_ids", "any", [("backend_id", "=", backend.id)]),
            (
                "integration_binding_ids",
                "any",
                [
                    ("backend_id", "=", backend.id),
                    ("resource", "=", "product"),
                    ("deleted_at", "=", False),
                ],
            ),
        ]

    def _export(self, backend, items):
        lang = self._lang(backend)
        archived = [item for item in items if not item.record.active]
        for item in archived:
            if item.external_id and backend.shopify_archived_policy == "archive":
                item.values = {"archived": True}
            else:
                item.skip(self.env._("%s is archived in Odoo.", item.label))
        items = [item for item in items if item.record.active]
        if not items:
            return
        templates = self.env["product.template"].union(*(item.record for item in items))
        templates = templates.with_context(lang=lang).with_company(backend.company_id)
        variants = templates.product_variant_ids
        shared = {
            "listings": {
                row.product_tmpl_id.id: row
                for row in self.env["integration.shopify.listing"].search(
                    [
                        ("backend_id", "=", backend.id),
                        ("product_tmpl_id", "in", templates.ids),
                    ]
                )
            },
            "prices": self._prices(backend, variants),
            "costs": backend.shopify_send_cost
            and self._shop_currency(backend) == backend.company_id.currency_id,
            "unit": self._weight_unit(),
            "images": self._checksums(backend, templates, variants),
            "channels": self._channels(backend),
            "metafields": dict(
                zip(
                    templates.ids,
                    self.env["integration.field.mapping"]._shopify_metafields(
                        backend, "product", templates
                    ),
                    strict=True,
                )
            ),
            "category_collections": self.env["integration.mapping"]._shopify_category_collections(
                backend
            ),
            "locales": self._locales(backend, lang),
            **{
                kind: self.env["integration.mapping"]._shopify_reversed(backend, kind)
                for kind in ("product_category", "collection")
            },
        }
        for item, template in zip(items, templates, strict=True):
            try:
                values = self._values(backend, template, shared)
            except IntegrationError as error:
                item.fail(error)
                continue
            if not values["variants"]:
                item.skip(self.env._("%s has no variant yet, so there is nothing to sell.",
                                     item.label))  # fmt: skip
            elif problems := catalogue.problems(values):
                item.fail(self._refusal(item.label, problems))
            else:
                item.values = values

    @api.model
    def _lang(self, backend):
        return backend.shopify_lang or backend.company_id.partner_id.lang or "en_US"

    @api.model
    def _values(self, backend, template, shared):
        """Return what a product shall be in the shop, see ``lib/catalogue.py``."""
        listing = shared["listings"].get(template.id)
        lines = self._option_lines(template)
        chosen = listing and (listing.status if listing.publish else "DRAFT")
        category = template.categ_id
        return {
            "title": template.name,
            "html": self._html(template),
            "vendor": template.shopify_vendor or backend.shopify_vendor or "",
            "type": (category.name or "") if backend.shopify_send_type else "",
            "category": self._nearest(category, shared["product_category"]),
            "status": chosen or backend.shopify_product_status,
            "status_chosen": bool(chosen),
            "tags": sorted({tag.strip() for tag in template.product_tag_ids.mapped("name")})
            if backend.shopify_send_tags
            else [],
            "options": self._options(template, lines),
            "variants": [
                self._variant_values(backend, template, variant, lines, shared)
                for variant in template.product_variant_ids.sorted("id")
            ],
            "image": shared["images"].get(("product.template", template.id), ""),
            "metafields": shared["metafields"][template.id],
            "collections": self._collections(template, shared),
            "channels": shared["channels"],
            "translations": self._translations(template, shared["locales"]),
        }

    @api.model
    def _html(self, template):
        if not is_html_empty(template.shopify_description):
            text = template.shopify_description
        else:
            text = (
                plaintext2html(template.description_sale or "")
                if (template.description_sale)
                else ""
            )
        return str(html_sanitize(text, strip_style=True, strip_classes=True)) if text else ""

    @api.model
    def _option_lines(self, template):
        """Return the attribute lines that tell variants apart.

        Where there are more than Shopify has room for, those with a single value tell nothing.
        """
        lines = template.attribute_line_ids.filtered(
            lambda line: line.attribute_id.create_variant != "no_variant"
        )
        if len(lines) > catalogue.MAX_OPTIONS:
            lines = lines.filtered(lambda line: len(line.value_ids) > 1)
        return lines

    @api.model
    def _options(self, template, lines):
        used = template.product_variant_ids.product_template_attribute_value_ids
        return [
            {
                "name": line.attribute_id.name,
                "values": [
                    value.name
                    for value in line.product_template_value_ids
                    if value in used and value.ptav_active
                ],
            }
            for line in lines
        ]

    @api.model
    def _variant_values(self, backend, template, variant, lines, shared):
        price, compare = shared["prices"][variant.id]
        chosen = {
            value.attribute_line_id: value.name
            for value in variant.product_template_attribute_value_ids
        }
        # the shop counts in its own currency and converts nothing
        cost = variant.standard_price if shared["costs"] else 0
        goods = template.type == "consu"
        return {
            "product": variant.id,
            "options": [chosen[line] for line in lines if line in chosen],
            "sku": (variant.default_code or "").strip(),
            "barcode": (variant.barcode or "").strip(),
            "price": price,
            "compare": compare,
            "cost": float_repr(cost, backend.company_id.currency_id.decimal_places)
            if cost
            else None,
            "weight": [format(Decimal(str(variant.weight)).normalize(), "f"), shared["unit"]]
            if variant.weight
            else None,
            "hs": "".join(filter(str.isdigit, template.hs_code or "")),
            "origin": template.country_of_origin.code or "",
            "tracked": goods and template.is_storable,
            "shipping": goods,
            "policy": "CONTINUE" if template.shopify_oversell else "DENY",
            "image": shared["images"].get(("product.product", variant.id), ""),
        }

    @api.model
    def _weight_unit(self):
        """Return Shopify's name of the unit that this database weighs in."""
        unit = self.env["product.template"]._get_weight_uom_id_from_ir_config_parameter()
        pounds = unit == self.env.ref("uom.product_uom_lb", raise_if_not_found=False)
        return "POUNDS" if pounds else "KILOGRAMS"

    @api.model
    def _shop_currency(self, backend):
        """Return the currency of the shop; that of the company until the shop has told."""
        return (
            self.env["res.currency"]
            .with_context(active_test=False)
            .search([("name", "=", backend.shopify_currency)], limit=1)
            or backend.company_id.currency_id
        )

    @api.model
    def _prices(self, backend, variants):
        """Return ``{variant id: (price, compare-at price or None)}`` as texts."""
        company = backend.company_id
        pricelist = backend.shopify_pricelist_id.with_company(company)
        currency = pricelist.currency_id or company.currency_id
        if currency != self._shop_currency(backend):
            raise ConfigurationError(
                self.env._(
                    "The prices for %(shop)s are in %(currency)s, but the shop sells in %(own)s. "
                    "Choose a price list in %(own)s on the page Products of the backend, then "
                    "press Retry.",
                    shop=backend.display_name,
                    currency=currency.name,
                    own=backend.shopify_currency,
                )
            )
        sales = self._sales_prices(backend, variants, currency)
        prices = pricelist._get_products_price(variants, 1.0) if pricelist else sales
        found = {}
        for variant in variants:
            price = self._taxed(backend, variant, prices[variant.id], currency)
            compare = None
            if pricelist and backend.shopify_compare_at:
                sale = self._taxed(backend, variant, sales[variant.id], currency)
                if currency.compare_amounts(sale, price) > 0:
                    compare = float_repr(sale, currency.decimal_places)
            found[variant.id] = (float_repr(price, currency.decimal_places), compare)
        return found

    @api.model
    def _sales_prices(self, backend, variants, currency):
        """Return ``{variant id: sales price}`` in a currency, not rounded.

        Products that companies share have their sales price in the currency of the main company,
        others in that of their own, whichever company sells them.
        """
        today = fields.Date.context_today(self)
        return {
            variant.id: variant.currency_id._convert(
                variant.lst_price, currency, backend.company_id, today, round=False
            )
            for variant in variants
        }

    @api.model
    def _taxed(self, backend, variant, price, currency):
        """Return a price as the shop wants it, with or without tax, rounded."""
        taxes = variant.taxes_id._filter_taxes_by_company(backend.company_id)
        if backend.shopify_price_tax != "as_is" and taxes:
            # a tax rounded by itself is a cent off where the price has more decimals than cents
            totals = taxes.compute_all(
                price, currency, 1.0, product=variant, rounding_method="round_globally"
            )
            price = totals[f"total_{backend.shopify_price_tax}"]
        return currency.round(price)

    @api.model
    def _checksums(self, backend, templates, variants):
        """Return ``{(model, id): checksum}`` of the pictures that a shop takes."""
        if not backend.shopify_send_images:
            return {}
        files = self.env["integration.shopify.image"]._files([*templates, *variants])
        return {key: file.checksum for key, file in files.items() if file.mimetype in PICTURES}

    @api.model
    def _channels(self, backend):
        """Return the ids of the channels products are published to; None while none are known."""
        rows = backend.shopify_channel_ids
        return sorted(rows.filtered("shopify_publish").mapped("external_value")) if rows else None

    @api.model
    def _nearest(self, category, mapped):
        """Return the value of the nearest category above that is mapped, empty without one.

        Product types are mapped to categories as well, for the way in; they are no ids.
        """
        while category:
            ids = [value for value in mapped.get(category, ()) if value.startswith("gid://")]
            if ids:
                return ids[0]
            category = category.parent_id
        return ""

    @api.model
    def _collections(self, template, shared):
        """Return the ids of the collections that tags and category put a product into."""
        found = {
            gid for tag in template.product_tag_ids for gid in shared["collection"].get(tag, ())
        }
        category = template.categ_id
        while category and shared["category_collections"]:
            found.update(shared["category_collections"].get(category, ()))
            category = category.parent_id
        return sorted(found)

    @api.model
    def _locales(self, backend, lang):
        """Return ``{language code of Odoo: locale of the shop}`` of the other languages."""
        if not backend.shopify_translate:
            return {}
        mapped = self.env["integration.mapping"]._shopify_reversed(backend, "locale")
        locales = {}
        for language in self.env["res.lang"].search([("code", "!=", lang)]):
            known = mapped.get(language)
            locales[language.code] = (
                known[0] if known else (language.iso_code or language.code).replace("_", "-")
            )
        return locales

    @api.model
    def _translations(self, template, locales):
        """Return ``{locale: {key: text}}`` of what is not the same as in the shop's language."""
        found = {}
        own = {"title": template.name, "body_html": self._html(template)}
        for code, locale in locales.items():
            other = template.with_context(lang=code)
            texts = {"title": other.name, "body_html": self._html(other)}
            texts = {key: text for key, text in texts.items() if text and text != own[key]}
            if texts:
                found[locale] = texts
        return found

    @api.model
    def _refusal(self, label, problems):
        """Return the error for what Shopify would refuse, all of it at once."""
        texts = {
            "title": self.env._("The name has more than %(limit)s characters: shorten it."),
            "tags": self.env._("It has %(count)s tags, Shopify allows %(limit)s."),
            "variants": self.env._(
                "It has %(count)s variants, Shopify allows %(limit)s: split the product, or take "
                "values off its attributes."
            ),
            "options": self.env._(
                "It has %(count)s attributes, Shopify allows %(limit)s: join some, or let them "
                "create no variants."
            ),
            "option_name": self.env._('Rename the attribute %(name)s: it contains " / ".'),
            "option_twice": self.env._("The attribute %(name)s is there twice."),
            "value_twice": self.env._(
                "The attribute %(name)s has the value %(value)s twice: rename one."
            ),
            "same": self.env._("Two variants are the same in Shopify: %(value)s."),
            "price": self.env._("The price of %(value)s is negative."),
        }
        listed = " ".join(texts[code] % values for code, values in problems)
        return ConfigurationError(
            self.env._(
                "%(product)s cannot be sent to Shopify. %(problems)s Then press Retry.",
                product=label,
                problems=listed,
            )
        )

    # === SENDING === #

    def _push(self, backend, items):
        rest = self._bulk_take(backend, items)
        if not rest:
            return
        client, shared = backend._shopify_client(), self._shared(backend, rest)
        self._create_in_bulk(backend, client, self._bulk_worth(backend, rest), shared)
        self._one_by_one(
            [item for item in rest if item.alive],
            lambda item: self._send_one(backend, client, item, shared),
        )

    @api.model
    def _shared(self, backend, items):
        """Return what is known of the products of a batch."""
        templates = self.env["product.template"].union(*(item.record for item in items))
        return {
            "known": self.env["integration.shopify.image"]._known(backend, templates),
            "listings": {
                row.product_tmpl_id.id: row
                for row in self.env["integration.shopify.listing"].search(
                    [
                        ("backend_id", "=", backend.id),
                        ("product_tmpl_id", "in", templates.ids),
                    ]
                )
            },
            "key": backend._shopify_metafield_key(),
            # whoever has gathered a line has defined it
            "defined": backend.shopify_product_key == backend._shopify_metafield_key()
            or self._bulk_pending(backend),
        }

    @api.model
    def _one_by_one(self, items, send):
        """Send items; one that fails never keeps others back.

        :raises IntegrationError: where it concerns all of them.
        """
        for item in items:
            try:
                send(item)
                item.mark_sent(item.external_id)
            except (AuthError, MissingScopeError, RateLimitedError):
                raise
            except IntegrationError as error:
                item.fail(error)

    @api.model
    def _send_one(self, backend, client, item, shared):
        if item.values.get("archived"):
            former = self._former_status(client, item, shared)
            client.mutate(
                "product_update",
                {"product": {"id": item.external_id, "status": "ARCHIVED"}, "media": None},
                action=self.env._("archive %s", item.label),
            )
            item.values["_sent"] = {"archived": True, "former": former}
            return
        if not item.external_id:
            item.external_id = self._adopted(backend, item, self._candidates(client, [item]))
        if item.external_id:
            self._update(backend, client, item, shared)
        else:
            self._create(backend, client, item, shared)

    @api.model
    def _former_status(self, client, item, shared):
        """Return the shop's own status of a product that is about to be archived."""
        listing = shared["listings"].get(item.record.id)
        memory = (listing and listing.memory) or {}
        if memory.get("status"):
            return catalogue.former_status(memory, "")
        keys = [f"{NAMESPACE}.{shared['key']}"]
        variables = {"variants": 1, "after": None, "keys": keys, "channels": False}
        answer = client.execute("product_state", {"id": item.external_id, **variables})
        return catalogue.former_status(memory, (answer.data.get("product") or {}).get("status", ""))

    @api.model
    def _key(self, item, shared):
        """Return the metafield that holds our own id of a product."""
        return {
            "namespace": NAMESPACE,
            "key": shared["key"],
            "type": "id",
            "value": str(item.record.id),
        }

    @api.model
    def _define_key(self, client, shared):
        """Have the shop know the metafield with our ids, once."""
        if shared["defined"]:
            return
        try:
            client.mutate(
                "product_key_definition",
                {
                    "definition": {
                        "name": self.env._("Product in Odoo"),
                        "namespace": NAMESPACE,
                        "key": shared["key"],
                        "type": "id",
                        "ownerType": "PRODUCT",
                        "description": self.env._("Tells which product of Odoo this is."),
                    }
                },
                action=self.env._("define the metafield with the ids of Odoo"),
            )
        except UserErrors as error:
            if not error.only("TAKEN"):
                raise
        shared["defined"] = True

    # === HOOKS - COMPARING === #

    @api.model
    def _compare_sent(self, backend, items):
        """Set the differences of products that Odoo sends: what was changed in the shop."""
        memories = {
            row.product_tmpl_id.id: row.memory or {}
            for row in self.env["integration.shopify.listing"].search(
                [
                    ("backend_id", "=", backend.id),
                    ("product_tmpl_id", "in", [item.record.id for item in items]),
                ]
            )
        }
        nodes = {item.external_id: item.payload["variants"]["nodes"] for item in items}
        links = self._variant_links(backend, [node for rows in nodes.values() for node in rows])
        keep = backend.shopify_removed_variants == "keep"
        for item in items:
            if item.values.get("archived"):
                status = item.payload["status"]
                item.differences = (
                    [] if status == "ARCHIVED" else [Difference(self._drift_label("status"),
                                                                "ARCHIVED", status)]
                )  # fmt: skip
                continue
            memory = memories.get(item.record.id, {})
            pairing = self._pairing(item, nodes[item.external_id], links, memory)
            if keep:
                pairing.gone = []
            item.differences = [
                Difference(
                    ": ".join(filter(None, (variant, self._drift_label(name)))),
                    self._drift_text(wanted),
                    self._drift_text(present),
                )
                for variant, name, wanted, present in catalogue.drift(
                    item.values, item.payload, memory, pairing
                )
            ]

    @api.model
    def _drift_label(self, name):
        return {
            "title": self.env._("Name"),
            "descriptionHtml": self.env._("Description"),
            "vendor": self.env._("Vendor"),
            "productType": self.env._("Product Type"),
            "category": self.env._("Category"),
            "status": self.env._("Status"),
            "tags": self.env._("Tags"),
            "variant": self.env._("Variant"),
            "optionValues": self.env._("Attributes"),
            "price": self.env._("Price"),
            "compareAtPrice": self.env._("Price Before"),
            "barcode": self.env._("Barcode"),
            "sku": self.env._("SKU"),
            "cost": self.env._("Cost"),
            "tracked": self.env._("Track Inventory"),
            "requiresShipping": self.env._("Goods"),
            "harmonizedSystemCode": self.env._("HS Code"),
            "countryCodeOfOrigin": self.env._("Country of Origin"),
            "measurement": self.env._("Weight"),
        }[name]

    @api.model
    def _drift_text(self, value):
        if isinstance(value, list):
            return ", ".join(str(row["name"] if isinstance(row, dict) else row) for row in value)
        if isinstance(value, dict):
            weight = value.get("weight") or {}
            return f"{weight.get('value', '')} {weight.get('unit', '')}".strip()
        return "" if value is None else str(value)

    # === FINDING === #

    @api.model
    def _candidates(self, client, items):
        """Return variants of the shop with SKUs or barcodes like those of these products."""
        terms = catalogue.candidate_terms([item.values for item in items])
        parts, found = list(catalogue.chunks(terms, TERMS)), []
        while parts:
            part = parts.pop()
            query = {"query": " OR ".join(part), "first": 100}
            page = client.execute("product_candidates", query).data["productVariants"]
            if page["pageInfo"]["hasNextPage"] and len(part) > 1:
                # what is alike may have crowded out what is the same
                parts += [part[: len(part) // 2], part[len(part) // 2 :]]
            else:
                found += page["nodes"]
        return found

    @api.model
    def _adopted(self, backend, item, candidates):
        """Return the id of the product of the shop that is this one already, empty without one.

        :param list candidates: as :meth:`_candidates` returns them.
        :raises AmbiguousMatchError: several could be it, or one that is another product of Odoo.
        """
        skus = {row["sku"] for row in item.values["variants"]} - {""}
        barcodes = {row["barcode"] for row in item.values["variants"]} - {""}
        # a search finds what is alike
        found = {
            row["product"]["id"]: row["product"]["title"]
            for row in candidates
            if row["sku"] in skus or row["barcode"] in barcodes
        }
        if not found:
            return ""
        bound = self.env["integration.binding"]._find(backend, "product", list(found))
        others = {gid: record for gid, record in bound.items() if record.id != item.record.id}
        free = {gid: title for gid, title in found.items() if gid not in others}
        if len(free) == 1:
            return next(iter(free))
        if free:
            raise AmbiguousMatchError(
                self.env._(
                    "%(product)s could be any of these products of %(shop)s, which have its SKUs "
                    "or barcodes: %(candidates)s. Link the right one (Integration > Links), or "
                    "make them unique, then press Retry.",
                    product=item.label,
                    shop=backend.display_name,
                    candidates=", ".join(
                        f"{title} ({gid.rpartition('/')[2]})" for gid, title in sorted(free.items())
                    ),
                ),
                candidates=free.values(),
            )
        raise AmbiguousMatchError(
            self.env._(
                "%(shop)s has the SKUs or barcodes of %(product)s already, in a product that is "
                "linked to %(other)s. Give each product its own, then press Retry.",
                product=item.label,
                shop=backend.display_name,
                other=", ".join(sorted(record.display_name for record in others.values())),
            ),
            candidates=[record.display_name for record in others.values()],
        )

    def _recover(self, backend, items):
        client = backend._shopify_client()
        for item in self._bulk_recover(backend, items):
            answer = client.execute(
                "product_by_key",
                {
                    "identifier": {
                        "customId": {
                            "namespace": NAMESPACE,
                            "key": backend._shopify_metafield_key(),
                            "value": str(item.record.id),
                        }
                    }
                },
            )
            item.external_id = (answer.data.get("productByIdentifier") or {}).get("id") or ""

    # === CREATING === #

    @api.model
    def _create(self, backend, client, item, shared):
        self._define_key(client, shared)
        sources = self._upload(backend, client, item, catalogue.pictures(item.values))
        made = client.mutate(
            "product_set",
            self._creation(item, shared, sources, MORE_VARIANTS),
            action=self.env._("create %s", item.label),
        )["product"]
        # whatever happens next, it is there
        item.external_id = made["id"]
        images = dict(zip(sources, (row["id"] for row in made["media"]["nodes"]), strict=False))
        self._complete_creation(backend, client, item, made, images)

    @api.model
    def _creation(self, item, shared, sources, variants):
        """Return the variables of the call that creates a product; to repeat it changes nothing.

        :param dict sources: ``{checksum: address}`` of its pictures.
        :param int variants: how many to answer with.
        """
        values, key = item.values, self._key(item, shared)
        return {
            "identifier": {"customId": {name: key[name] for name in ("namespace", "key", "value")}},
            "input": catalogue.creation_input(values, key, sources, values["title"]),
            "variants": variants,
        }

    @api.model
    def _complete_creation(self, backend, client, item, made, images):
        """Do what follows the creation of a product, and note what is to be stored of it."""
        variants = self._all_variants(client, made)
        pairing = catalogue.pair_variants(item.values, variants, {}, ())
        self._publish(backend, client, item, set(), {})
        self._translate(client, item)
        item.values["_sent"] = self._outcome(item.values, pairing, images, [], "")

    # === CREATING IN BULK === #

    @api.model
    def _create_in_bulk(self, backend, client, items, shared):
        """Gather creations for a bulk mutation; what the shop has already is left to the caller.

        Their pictures follow one by one: addresses to upload to are good for a short time only,
        and a line answers with one list, that of the variants.
        """
        rows = []
        candidates = self._candidates(client, items)
        for item in items:
            try:
                item.external_id = self._adopted(backend, item, candidates)
                if not item.external_id:
                    self._define_key(client, shared)
                    rows.append((item, self._creation(item, shared, {}, BULK_VARIANTS)))
            except (AuthError, MissingScopeError, RateLimitedError):
                raise
            except IntegrationError as error:
                item.fail(error)
        self._bulk_send(backend, "product_create_bulk", rows)

    def _bulk_created(self, payload):
        return payload["product"]["id"]

    def _bulk_answered(self, backend, rows):
        client = backend._shopify_client()
        answers = {item.record.id: payload["product"] for item, payload in rows}
        items = [item for item, _payload in rows]
        shared = self._shared(backend, items)

        def complete(item):
            if catalogue.pictures(item.values):
                self._update(backend, client, item, shared)
                return
            page = answers[item.record.id]["variants"]
            nodes = [edge["node"] for edge in page["edges"]]
            made = {
                "id": item.external_id,
                "variants": {"nodes": nodes, "pageInfo": page["pageInfo"]},
            }
            self._complete_creation(backend, client, item, made, {})

        self._one_by_one(items, complete)

    @api.model
    def _all_variants(self, client, product):
        """Return all variants of a product of which the first page was read."""
        page = product["variants"]
        found = list(page["nodes"])
        while page["pageInfo"]["hasNextPage"]:
            answer = client.execute(
                "product_state",
                {
                    "id": product["id"],
                    "variants": MORE_VARIANTS,
                    "after": page["pageInfo"]["endCursor"],
                    "keys": [],
                    "channels": False,
                },
            )
            page = (answer.data["product"] or {}).get("variants")
            if page is None:
                break
            found += page["nodes"]
        return found

    @api.model
    def _outcome(self, values, pairing, images, kept, former):
        """Return what is to be stored of what was written."""
        return {
            "variants": {
                str(values["variants"][index]["product"]): [
                    variant["id"],
                    variant["inventoryItem"]["id"],
                    values["variants"][index]["sku"]
                    or " / ".join(values["variants"][index]["options"]),
                ]
                for index, variant in pairing.pairs.items()
            },
            "images": images,
            "kept": [self._variant_name(variant) for variant in kept],
            "elsewhere": [self._variant_name(variant) for variant in pairing.elsewhere],
            "gone": [variant["id"] for variant in pairing.gone],
            "former": former,
        }

    @api.model
    def _variant_name(self, variant):
        return variant["title"] if not variant["sku"] else f"{variant['title']} ({variant['sku']})"

    # === PICTURES === #

    @api.model
    def _upload(self, backend, client, item, checksums):
        """Send pictures to Shopify's storage; returns ``{checksum: address}`` in their order."""
        if not checksums:
            return {}
        template = item.record
        # sudo: pictures of products are attachments that only administrators may search
        files = (
            self.env["ir.attachment"]
            .sudo()
            .search(
                [
                    ("checksum", "in", checksums),
                    "|",
                    "&",
                    "&",
                    ("res_model", "=", "product.template"),
                    ("res_field", "=", "image_1920"),
                    ("res_id", "=", template.id),
                    "&",
                    "&",
                    ("res_model", "=", "product.product"),
                    ("res_field", "=", "image_variant_1920"),
                    ("res_id", "in", template.product_variant_ids.ids),
                ]
            )
        )
        by_checksum = {file.checksum: file for file in files}
        wanted = [checksum for checksum in checksums if checksum in by_checksum]
        if not wanted:
            return {}
        targets = client.mutate(
            "product_uploads",
            {
                "input": [
                    {
                        "resource": "IMAGE",
                        "filename": catalogue.picture_name(
                            item.values["title"], checksum, by_checksum[checksum].mimetype
                        ),
                        "mimeType": by_checksum[checksum].mimetype,
                        "httpMethod": "PUT",
                    }
                    for checksum in wanted
                ]
            },
            action=self.env._("make room for the pictures of %s", item.label),
        )["stagedTargets"]
        sources = {}
        for checksum, target in zip(wanted, targets, strict=True):
            file = by_checksum[checksum]
            backend._shopify_upload(target, file.raw, file.mimetype)
            sources[checksum] = target["resourceUrl"]
        return sources

    @api.model
    def _media_input(self, source, title):
        return {"originalSource": source, "alt": title, "mediaContentType": "IMAGE"}

    # === UPDATING === #

    @api.model
    def _read(self, client, item, shared, channels):
        """Return the product as the shop has it, with all its variants.

        :raises ConflictError: when it is gone.
        """
        fields_of = [(row["namespace"], row["key"]) for row in item.values["metafields"]]
        listing = shared["listings"].get(item.record.id)
        memory = (listing and listing.memory) or {}
        fields_of += [tuple(pair) for pair in memory.get("metafields", ())]
        keys = sorted({f"{space}.{key}" for space, key in fields_of})
        answer = client.execute(
            "product_state",
            {
                "id": item.external_id,
                "variants": FIRST_VARIANTS,
                "after": None,
                "keys": [f"{NAMESPACE}.{shared['key']}", *keys],
                "channels": channels,
            },
        )
        product = answer.data.get("product")
        if not product:
            raise ConflictError(
                self.env._(
                    "%s no longer exists in Shopify. Delete its link (Integration > Links) to have "
                    "it made anew, or take it out of the shop in Odoo.",
                    item.label,
                )
            )
        product["variants"]["nodes"] = self._all_variants(client, product)
        page = product["media"]
        while page["pageInfo"]["hasNextPage"]:
            after = page["pageInfo"]["endCursor"]
            answer = client.execute("product_media", {"id": product["id"], "after": after})
            page = answer.data["product"]["media"]
            product["media"]["nodes"] += page["nodes"]
        return product, memory

    @api.model
    def _update(self, backend, client, item, shared):
        values = item.values
        channels = values["channels"] is not None
        state, memory = self._read(client, item, shared, channels)
        carries_key = self._check_key(client, item, state, shared)
        links = self._variant_links(backend, state["variants"]["nodes"])
        pairing = self._pairing(item, state["variants"]["nodes"], links, memory)
        if not item.bound and not carries_key:
            self._check_adoption(backend, item, state, pairing, links)
        other_options = catalogue.needs_other_options(values, state)
        if other_options:
            self._check_options(backend, item, pairing)
        # from here on it is written
        images = self._present_images(item, state, shared)
        pictures = catalogue.pictures(values)
        missing = [checksum for checksum in pictures if checksum not in images]
        sources = self._upload(backend, client, item, missing)
        known = {row["id"] for row in state["media"]["nodes"]}
        # new pictures come with the first call that takes them, and are found by its answer
        self._update_product(client, item, state, memory, shared, sources, images, known)
        if other_options:
            pairing = self._restructure(client, item, state, pairing, memory)
        kept = list(pairing.foreign)
        if backend.shopify_removed_variants == "keep":
            kept += pairing.gone
        else:
            self._delete_variants(client, item, pairing, state)
        self._update_variants(client, item, pairing, memory, sources, images, known)
        if created := self._create_variants(client, item, pairing, sources, images, known):
            pairing.pairs |= created
        if backend.shopify_send_images:
            self._tidy_pictures(client, item, state, shared, images)
        present = (
            {row["publication"]["id"] for row in state["resourcePublicationsV2"]["nodes"]}
            if channels
            else set()
        )
        self._publish(backend, client, item, present, memory)
        self._translate(client, item)
        former = catalogue.former_status(memory, state["status"])
        item.values["_sent"] = self._outcome(values, pairing, images, kept, former)

    @api.model
    def _check_key(self, client, item, state, shared):
        """Have a product that others made carry our id, so that it is ours from now on.

        :returns: whether it did so before.
        :raises ConflictError: when it carries that of another product.
        """
        key = self._key(item, shared)
        known = next(
            (
                row["value"]
                for row in state["metafields"]["nodes"]
                if (row["namespace"], row["key"]) == (key["namespace"], key["key"])
            ),
            None,
        )
        if known is None:
            self._define_key(client, shared)
            item.values["metafields"] = [key, *item.values["metafields"]]
        elif known != key["value"]:
            raise ConflictError(
                self.env._(
                    "%(product)s is linked to a product of Shopify that says it is another "
                    "product of this database (number %(number)s). Correct the link (Integration "
                    "> Links), then press Retry.",
                    product=item.label,
                    number=known,
                )
            )
        return known is not None

    @api.model
    def _variant_links(self, backend, variants):
        """Return ``{id of a variant: product.product}`` of links; empty if deleted in Odoo."""
        bindings = self.env["integration.binding"]._search_external(
            backend, VARIANT, [variant["id"] for variant in variants]
        )
        none = self.env["product.product"]
        linked = none.browse(bindings.mapped("res_id")).exists()
        present = {product.id: product for product in linked}
        return {link.external_id: present.get(link.res_id, none) for link in bindings}

    @api.model
    def _pairing(self, item, variants, links, memory):
        """Return who is who among the variants of a product in Odoo and in the shop.

        A variant that is linked to another product is neither written nor deleted here. Links to
        products that are no longer in use keep nobody away.

        :param dict links: as :meth:`_variant_links` returns them.
        """
        own, elsewhere = {}, set()
        for variant in variants:
            product = links.get(variant["id"])
            if product is None:
                continue
            if product.product_tmpl_id == item.record:
                own[variant["id"]] = product.id
            elif product and product.active:
                elsewhere.add(variant["id"])
            elif not product and item.bound:
                # deleted in Odoo, and so it was a variant of this product
                own[variant["id"]] = 0
        return catalogue.pair_variants(
            item.values, variants, own, memory.get("variants", ()), elsewhere
        )

    @api.model
    def _check_adoption(self, backend, item, state, pairing, links):
        """Refuse to take over a product of the shop that is several products in Odoo.

        The import links the variants of such a product, and nothing else, too.

        :raises AmbiguousMatchError: when other variants of it are other products.
        """
        others = self.env["product.product"].union(
            *(links[variant["id"]] for variant in pairing.elsewhere)
        )
        found = self._products_of_codes(
            backend,
            {row["sku"] for row in pairing.foreign} - {"", None},
            {row["barcode"] for row in pairing.foreign} - {"", None},
        )
        others |= found.filtered(
            lambda product: product.active and product.product_tmpl_id != item.record
        )
        if others:
            raise AmbiguousMatchError(
                self.env._(
                    "%(found)s in %(shop)s has the SKU or barcode of %(product)s, but other "
                    "variants of it are products of their own in Odoo: %(others)s. Nothing was "
                    "sent: it would become %(product)s alone. Make them variants of one product in "
                    "Odoo (archive what is left over), or separate products in Shopify, then press "
                    "Retry; or take %(product)s out of the list on its page Shopify. Orders and "
                    "stock need only the links of the variants.",
                    found=state["title"],
                    shop=backend.display_name,
                    product=item.label,
                    others=", ".join(sorted(others.mapped("display_name"))),
                ),
                candidates=(state["title"], *others.mapped("display_name")),
            )

    @api.model
    def _present_images(self, item, state, shared):
        """Return ``{checksum: id}`` of our pictures that the product still has.

        One that came from the shop is ours while Odoo shows it, so it is never taken off. One
        whose upload was forgotten (its answer was lost) is recognised by its file name.

        :raises NotReadyError: while pictures are processed that may be ours.
        """
        nodes = state["media"]["nodes"]
        present = {row["id"] for row in nodes}
        known = shared["known"].get(item.record.id, {})
        wanted = catalogue.pictures(item.values)
        found = {
            checksum: gid
            for checksum, (gid, from_shop) in known.items()
            if gid in present and (checksum in wanted or not from_shop)
        }
        wanted = [checksum for checksum in wanted if checksum not in found]
        strange = [row for row in nodes if row["id"] not in found.values()]
        for row in strange:
            url = (row.get("image") or {}).get("url") or ""
            for checksum in wanted:
                if catalogue.picture_mark(checksum) in url:
                    found[checksum] = row["id"]
        left = [checksum for checksum in wanted if checksum not in found]
        if left and any(row["status"] in ("UPLOADED", "PROCESSING") for row in strange):
            raise NotReadyError(
                self.env._(
                    "Shopify still works on pictures of %s. It goes on by itself.", item.label
                ),
                retry_after=PICTURES_SECONDS,
            )
        return found

    @api.model
    def _learn_media(self, answer, sent, images, known):
        """Note the ids of pictures that a call has added, in the order it was given them.

        :param list sent: checksums.
        """
        nodes = (answer.get("product") or {}).get("media", {}).get("nodes", [])
        fresh = [row["id"] for row in nodes if row["id"] not in known]
        known.update(fresh)
        if len(fresh) == len(sent):
            images.update(zip(sent, fresh, strict=True))

    @api.model
    def _update_product(self, client, item, state, memory, shared, sources, images, known):
        values = item.values
        changes = catalogue.product_changes(values, state, memory)
        main = values["image"]
        # one that a variant has as well comes with the variant: it cannot be attached before it
        # is ready
        own = [main] if main in sources else []
        if any(row["image"] == main for row in values["variants"]):
            own = []
        media = [self._media_input(sources[c], values["title"]) for c in own] or None
        if changes or media:
            answer = client.mutate(
                "product_update",
                {"product": {"id": state["id"], **changes}, "media": media},
                action=self.env._("update %s", item.label),
            )
            self._learn_media(answer, own, images, known)
        gone = catalogue.metafields_to_delete(values, state, memory)
        gone = [pair for pair in gone if pair != (NAMESPACE, shared["key"])]
        if gone:
            client.mutate(
                "product_metafields_delete",
                {
                    "metafields": [
                        {"ownerId": state["id"], "namespace": space, "key": key}
                        for space, key in gone
                    ]
                },
                action=self.env._("take metafields off %s", item.label),
            )

    @api.model
    def _check_options(self, backend, item, pairing):
        """Refuse other options by which variants would be lost that are to stay.

        :raises ConflictError: before anything is written.
        """
        if pairing.elsewhere:
            raise ConflictError(
                self.env._(
                    "%(product)s has other attributes in Odoo than options in Shopify, and these "
                    "variants in Shopify are linked to other products in Odoo: %(variants)s. They "
                    "would be lost. Delete them in Shopify, or their links (Integration > Links) "
                    "and add them to %(product)s in Odoo, then press Retry.",
                    product=item.label,
                    variants=", ".join(self._variant_name(row) for row in pairing.elsewhere),
                )
            )
        if pairing.foreign:
            raise ConflictError(
                self.env._(
                    "%(product)s has other attributes in Odoo than options in Shopify, and these "
                    "variants were added in Shopify: %(variants)s. They would be lost. Add them "
                    "in Odoo or delete them in Shopify, then press Retry.",
                    product=item.label,
                    variants=", ".join(self._variant_name(row) for row in pairing.foreign),
                )
            )
        if pairing.gone and backend.shopify_removed_variants == "keep":
            raise ConflictError(
                self.env._(
                    "%(product)s has other attributes in Odoo than options in Shopify, and Odoo no "
                    "longer has these variants: %(variants)s. The settings of the shop say that "
                    "they stay. Delete them in Shopify, then press Retry.",
                    product=item.label,
                    variants=", ".join(self._variant_name(row) for row in pairing.gone),
                )
            )

    @api.model
    def _restructure(self, client, item, state, pairing, memory):
        """Give a product other options; returns the pairing afterwards.

        :param pairing: that :meth:`_check_options` has accepted.
        """
        made = client.mutate(
            "product_set",
            {
                "identifier": {"id": state["id"]},
                "input": catalogue.restructure_input(item.values, state, pairing, memory),
                "variants": MORE_VARIANTS,
            },
            action=self.env._("change the options of %s", item.label),
        )["product"]
        variants = self._all_variants(client, made)
        links = {
            variant["id"]: item.values["variants"][index]["product"]
            for index, variant in pairing.pairs.items()
        }
        after = catalogue.pair_variants(item.values, variants, links, ())
        after.gone = pairing.gone
        after.foreign = []
        return after

    @api.model
    def _delete_variants(self, client, item, pairing, state):
        present = {row["id"] for row in state["variants"]["nodes"]}
        gone = [row["id"] for row in pairing.gone if row["id"] in present]
        if catalogue.needs_other_options(item.values, state):
            return  # gone with the old options
        if gone and len(gone) == len(present):
            # Shopify keeps the last one, so it stays until there are others
            self._create_first(client, item, pairing)
        for part in catalogue.chunks(gone):
            client.mutate(
                "product_variants_delete",
                {"productId": state["id"], "variants": part},
                action=self.env._("delete variants of %s", item.label),
            )

    @api.model
    def _create_first(self, client, item, pairing):
        pairing.pairs |= self._create_variants(client, item, pairing, {}, {}, set())

    @api.model
    def _update_variants(self, client, item, pairing, memory, sources, images, known):
        names, filled = catalogue.option_names(item.values), catalogue.filled_of(memory)
        rows = []
        for index, variant in sorted(pairing.pairs.items()):
            row = item.values["variants"][index]
            changes = {}
            if "price" in variant:
                changes = catalogue.variant_changes(row, variant, names, filled[variant["id"]])
            changes |= self._picture_change(row, variant, sources, images)
            if changes:
                rows.append((row["image"], {"id": variant["id"], **changes}))
        # variants with the same picture stand together, so that it is added once
        rows.sort(key=lambda pair: pair[0])
        for part in catalogue.chunks(rows):
            self._write_variants(
                client,
                "product_variants_update",
                item,
                part,
                sources,
                images,
                known,
                self.env._("update variants of %s", item.label),
            )

    @api.model
    def _picture_change(self, row, variant, sources, images):
        """Return what gives a variant its picture, empty where it has it or Odoo has none."""
        checksum = row["image"]
        if checksum in images:
            present = [media["id"] for media in variant.get("media", {}).get("nodes", [])]
            return {} if images[checksum] in present else {"mediaId": images[checksum]}
        if checksum in sources:
            return {"mediaSrc": [sources[checksum]]}
        return {}

    @api.model
    def _write_variants(self, client, document, item, part, sources, images, known, action):
        """Send one part of the variants, with the pictures that come with them.

        :param list part: pairs of a checksum and an input.
        """
        sent = list(dict.fromkeys(checksum for checksum, row in part if "mediaSrc" in row))
        for checksum, row in part:
            if "mediaSrc" in row and checksum in images:
                # an earlier part has brought it
                del row["mediaSrc"]
                row["mediaId"] = images[checksum]
        sent = [checksum for checksum in sent if checksum not in images]
        answer = client.mutate(
            document,
            {
                "productId": item.external_id,
                "variants": [row for _checksum, row in part],
                "media": [
                    self._media_input(sources[checksum], item.values["title"]) for checksum in sent
                ]
                or None,
            },
            action=action,
        )
        self._learn_media(answer, sent, images, known)
        return answer

    @api.model
    def _create_variants(self, client, item, pairing, sources, images, known):
        """Create the variants the shop does not have; returns ``{position: variant}``."""
        names = catalogue.option_names(item.values)
        rows = []
        for index, row in enumerate(item.values["variants"]):
            if index not in pairing.pairs and index not in pairing.taken:
                made = catalogue.variant_input(row, names)
                made |= self._picture_change(row, {}, sources, images)
                rows.append((index, row["image"], made))
        found = {}
        for part in catalogue.chunks(rows):
            answer = self._write_variants(
                client,
                "product_variants_create",
                item,
                [(checksum, made) for _index, checksum, made in part],
                sources,
                images,
                known,
                self.env._("add variants to %s", item.label),
            )
            variants = answer["productVariants"] or []
            found |= {
                index: variant
                for (index, _checksum, _made), variant in zip(part, variants, strict=True)
            }
        return found

    @api.model
    def _tidy_pictures(self, client, item, state, shared, images):
        """Take off the pictures Odoo no longer has, and have its main one come first."""
        wanted = set(catalogue.pictures(item.values))
        known = self._present_images(item, state, shared)
        stale = {checksum: gid for checksum, gid in known.items() if checksum not in wanted}
        if stale:
            client.mutate(
                "product_media_detach",
                {
                    "files": [
                        {"id": gid, "referencesToRemove": [state["id"]]} for gid in stale.values()
                    ]
                },
                action=self.env._("take pictures off %s", item.label),
            )
            for checksum in stale:
                images.pop(checksum, None)
        main = images.get(item.values["image"])
        left = [row["id"] for row in state["media"]["nodes"] if row["id"] not in stale.values()]
        # only for a picture that is new: its place belongs to whoever sorts them afterwards
        if main and left and main not in left:
            client.mutate(
                "product_media_reorder",
                {"id": state["id"], "moves": [{"id": main, "newPosition": "0"}]},
                action=self.env._("put the main picture of %s first", item.label),
            )

    # === CHANNELS AND LANGUAGES === #

    @api.model
    def _publish(self, backend, client, item, present, memory):
        if item.values["channels"] is None:
            return
        join, leave = catalogue.channel_changes(
            item.values["channels"], present, memory.get("channels", ())
        )
        for document, gids, action in (
            ("product_publish", join, self.env._("show %s in sales channels", item.label)),
            ("product_unpublish", leave, self.env._("take %s out of channels", item.label)),
        ):
            if not gids:
                continue
            try:
                client.mutate(
                    document,
                    {
                        "id": item.external_id,
                        "input": [{"publicationId": gid} for gid in gids],
                    },
                    action=action,
                )
            except UserErrors as error:
                if "simultaneous" not in error.message.lower():
                    raise
                raise NotReadyError(
                    self.env._(
                        "%(product)s is in %(shop)s, but its sales channels are busy with other "
                        "changes. They are tried again by themselves.",
                        product=item.label,
                        shop=backend.display_name,
                    ),
                    retry_after=CHANNELS_BUSY_SECONDS,
                    detail=error.message,
                ) from error

    @api.model
    def _translate(self, client, item):
        """Register the texts in other languages that the shop has and that differ."""
        available = None
        for locale, texts in sorted(item.values["translations"].items()):
            if available is not None and self._shop_locale(locale, available) is None:
                continue
            code = self._shop_locale(locale, available) if available else locale
            answer = client.execute(
                "product_translations", {"id": item.external_id, "locale": code}
            )
            available = {
                row["locale"]: row["primary"] for row in answer.data.get("shopLocales") or []
            }
            known_code = self._shop_locale(locale, available)
            if known_code is None:
                continue
            if known_code != code:
                answer = client.execute(
                    "product_translations", {"id": item.external_id, "locale": known_code}
                )
            resource = answer.data.get("translatableResource") or {}
            digests = {row["key"]: row["digest"] for row in resource.get("translatableContent", ())}
            known = {
                row["key"]: row["value"]
                for row in resource.get("translations", ())
                if not row["outdated"]
            }
            rows = [
                {
                    "key": key,
                    "value": text,
                    "locale": known_code,
                    "translatableContentDigest": digests[key],
                }
                for key, text in sorted(texts.items())
                if digests.get(key) and known.get(key) != text
            ]
            if rows:
                client.mutate(
                    "product_translate",
                    {"id": item.external_id, "translations": rows},
                    action=self.env._("translate %s", item.label),
                )

    @api.model
    def _shop_locale(self, locale, available):
        """Return the shop's name of a locale (``de-DE`` may be ``de`` there); None without it."""
        for code in (locale, locale.split("-")[0]):
            if code in available and not available[code]:
                return code
        return None

    # === DELETING === #

    def _push_deletion(self, backend, items):
        policy = backend.shopify_deleted_policy
        if policy == "keep":
            return
        client = backend._shopify_client()
        for item in items:
            try:
                if policy == "delete":
                    client.mutate(
                        "product_delete",
                        {"id": item.external_id},
                        action=self.env._("delete %s", item.label),
                    )
                else:
                    client.mutate(
                        "product_update",
                        {"product": {"id": item.external_id, "status": "ARCHIVED"}, "media": None},
                        action=self.env._("archive %s", item.label),
                    )
            except UserErrors as error:
                if "does not exist" not in error.message.lower():
                    raise
            except RequestRefused as error:
                item.fail(error)

    # === AFTERWARDS === #

    def _note_sent(self, backend, items):
        result = super()._note_sent(backend, items)
        Listing = self.env["integration.shopify.listing"].with_context(shopify_listing_learnt=True)
        Image = self.env["integration.shopify.image"]
        known = {
            row.product_tmpl_id.id: row
            for row in Listing.search(
                [
                    ("backend_id", "=", backend.id),
                    ("product_tmpl_id", "in", [item.record.id for item in items]),
                ]
            )
        }
        for item in items:
            sent = item.values.get("_sent")
            if sent is None:
                continue
            values = {"external_id": item.external_id, "sent_at": self.env.cr.now()}
            if sent.get("archived"):
                memory = known[item.record.id].memory if item.record.id in known else None
                # so that it comes back with the product
                values["memory"] = {
                    **(memory or {}),
                    "status": "ARCHIVED",
                    "former": sent["former"],
                }
            else:
                self._bind_variants(backend, sent)
                if backend.shopify_send_images:
                    Image._remember(backend, item.record, sent["images"])
                ours = {int(number): link[0] for number, link in sent["variants"].items()}
                values["memory"] = catalogue.remembered(item.values, ours, sent["former"])
                values["note"] = self._left_in_the_shop(sent)
            if item.record.id in known:
                known[item.record.id].write(values)
            else:
                Listing.create(
                    {**values, "backend_id": backend.id, "product_tmpl_id": item.record.id}
                )
        key = backend._shopify_metafield_key()
        if backend.shopify_product_key != key and any(
            not item.values.get("archived") for item in items
        ):
            # sudo: a fact about the shop, noted whoever works
            backend.sudo().with_context(tracking_disable=True).shopify_product_key = key
        return result

    @api.model
    def _left_in_the_shop(self, sent):
        """Return what people read of variants that were not touched."""
        texts = (
            (sent["kept"], self.env._("Variants that only Shopify has: %s")),
            (sent["elsewhere"], self.env._("Variants that are other products in Odoo: %s")),
        )
        return "\n".join(text % ", ".join(sorted(names)) for names, text in texts if names) or (
            False
        )

    @api.model
    def _bind_variants(self, backend, sent):
        Product = self.env["product.product"].with_context(active_test=False)
        products = Product.browse(int(number) for number in sent["variants"]).exists()
        by_id = {product.id: product for product in products}
        Binding = self.env["integration.binding"]
        gone = Binding._search_external(backend, VARIANT, sent["gone"])
        items_gone = Binding._search_records(
            backend, INVENTORY_ITEM, Product.browse(gone.mapped("res_id"))
        )
        wanted = {
            gid: (by_id[int(number)], item_gid, label)
            for number, (gid, item_gid, label) in sent["variants"].items()
            if int(number) in by_id
        }
        keep = {item_gid for _product, item_gid, _label in wanted.values()}
        (gone | items_gone.filtered(lambda link: link.external_id not in keep)).unlink()
        self._link_variants(backend, wanted)
