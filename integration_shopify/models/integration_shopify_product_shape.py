from collections import defaultdict

from odoo import api, models
from odoo.fields import Command
from odoo.tools import float_compare

from ..lib import products
from ..lib.resources import VARIANT

#: What keeps Odoo from making, deleting and reviving variants by its own rules: exactly Shopify's
#: combinations have to exist, and what documents may hang on is never deleted.
BY_HAND = {
    "create_product_product": False,
    "update_product_template_attribute_values": False,
    "tracking_disable": True,
    "mail_create_nosubscribe": True,
}


class IntegrationShopifyProductShape(models.AbstractModel):
    """Gives templates the options and the variants that Shopify's products have, and no others.

    Options and their values are found by name. Attributes made for that create variants
    dynamically: Odoo then never completes the combinations. Attributes and values are never
    renamed or deleted, because other products may use them: an option that was renamed becomes
    another attribute line, and the variants, known by their links, move over.
    """

    _name = "integration.shopify.product.shape"
    _description = "Shape of Shopify Products"

    # === WHO IS WHO === #

    @api.model
    def _plan(self, backend, items):
        """Find the product of each row: ``item.values["variants"]``, ``["gone"]``, ``["extra"]``.

        ``variants``: ``{variant id: product.product}``; ``gone``: those Shopify had before, and
        ``extra``: those it never had.
        """
        Binding = self.env["integration.binding"]
        rows = [row for item in items for row in item.values["rows"]]
        bound = Binding._find(backend, VARIANT, [row.gid for row in rows])
        templates = self.env["product.template"].union(*(i.record for i in items if i.record))
        variants = self._variants_of(templates)
        present = self.env["product.product"].union(*variants.values())
        links = Binding._search_records(backend, VARIANT, present) if present else ()
        linked = {link.res_id: link.external_id for link in links}
        for item in items:
            none = present.browse()
            own = variants.get(item.record.id, none) if item.record else none
            gids = {row.gid for row in item.values["rows"]}
            by_link = {gid: bound[gid] for gid in gids if gid in bound}
            strange = {gid for gid, product in by_link.items() if product not in own}
            for gid in strange:
                # linked by hand, or while the product was several: that is respected
                item.notes.append(
                    self.env._(
                        "A variant is linked to %s, another product in Odoo, and was left so.",
                        by_link[gid].display_name,
                    )
                )
            names = [name for name, _values in item.values["options"]]
            free = own.filtered(lambda product, gids=gids: linked.get(product.id) not in gids)
            if not self._may_write(backend, item) and item.record.active:
                # Odoo's choice: a link would have the next export delete the variant in the shop
                free = free.filtered("active")
            keys = products.match_rows(
                item.values["rows"],
                {gid: product.id for gid, product in by_link.items()},
                [self._candidate(product, names) for product in free],
            )
            by_id = {product.id: product for product in own | present.union(*by_link.values())}
            item.values["variants"] = {gid: by_id[key] for gid, key in keys.items()}
            item.values["foreign"] = strange
            rest = own - present.browse().union(*item.values["variants"].values())
            item.values["gone"] = rest.filtered(lambda product: product.id in linked)
            item.values["extra"] = rest - item.values["gone"]
            self._adopt_single(item)
            missing = [row.label for row in item.values["rows"] if row.gid not in keys]
            if item.record and missing and not self._may_write(backend, item):
                item.notes.append(
                    self.env._(
                        "Not found among the variants in Odoo, which owns the products of this "
                        "shop: %s. Create them in Odoo, or give an existing one the SKU.",
                        ", ".join(missing),
                    )
                )

    @api.model
    def _may_write(self, backend, item):
        return self.env["integration.shopify.product"]._writes(backend, item)

    @api.model
    def _variants_of(self, templates):
        """Return ``{template id: product.product}``, archived ones included, in one query."""
        if not templates:
            return {}
        found = (
            self.env["product.product"]
            .with_context(active_test=False)
            .search_fetch(
                [("product_tmpl_id", "in", templates.ids)],
                ["default_code", "barcode", "active", "product_tmpl_id", "weight"],
            )
            .with_context(active_test=True)
        )
        # what is read of each of them below
        values = found.with_context(active_test=False).product_template_attribute_value_ids
        values.fetch(["attribute_id", "product_attribute_value_id", "attribute_line_id"])
        return {template.id: rows for template, rows in found.grouped("product_tmpl_id").items()}

    @api.model
    def _candidate(self, product, names):
        chosen = {
            value.attribute_id.name.casefold(): value.name
            for value in product.product_template_attribute_value_ids
        }
        values = None
        if len(chosen) == len(names) and all(name.casefold() in chosen for name in names):
            values = tuple(chosen[name.casefold()] for name in names)
        return products.Candidate(
            product.id,
            product.default_code or "",
            product.barcode or "",
            values,
            active=product.active,
        )

    @api.model
    def _adopt_single(self, item):
        """Take the only product of a template for the first row that has none.

        A product that had no options before stays the first variant, and keeps its stock. Not where
        its SKU says that it is something else.
        """
        extra = item.values["extra"].filtered("active")
        rows = [row for row in item.values["rows"] if row.gid not in item.values["variants"]]
        if item.values["variants"] or len(extra) != 1 or not rows:
            return
        skus = {row.sku for row in rows}
        other = extra.default_code and extra.default_code not in skus and "" not in skus
        # found by a link, the SKU was changed
        if other and not item.bound:
            return
        if extra.product_template_attribute_value_ids and item.values["options"]:
            return
        item.values["variants"][rows[0].gid] = extra
        item.values["extra"] -= extra

    # === WRITING === #

    @api.model
    def _write(self, backend, items):
        """Make attribute lines, values and variants as Shopify has them."""
        for item in items:
            item.values["combinations"] = {row.gid: () for row in item.values["rows"]}
        self._drop(backend, items)
        lines = self._lines(items)
        shaped = [item for item in items if item.values["options"] or lines.get(item.record.id, ())]
        stale = self._write_lines(shaped, lines) if shaped else ()
        self._move_variants(items)
        self._create_variants(backend, items)
        self._update_variants(backend, items)
        if stale:
            values, unused = stale
            if values:
                # not unlink(), which deletes variants, archived ones too
                values.write({"ptav_active": False})
            if unused:
                unused.with_context(**BY_HAND).write({"active": False})

    @api.model
    def _drop(self, backend, items):
        """Archive variants Shopify no longer has, and those whose options are gone."""
        gone = self.env["product.product"].union(*(item.values["gone"] for item in items))
        products_ = self.env["integration.shopify.product"]
        products_._unlink_variants(backend, gone)
        used = products_._used_elsewhere_variants(backend, gone)
        archived = (gone - used).filtered("active")
        for item in items:
            for extra in item.values["extra"].filtered("active"):
                names = {
                    value.attribute_id.name.casefold()
                    for value in extra.product_template_attribute_value_ids
                    if value.attribute_id.create_variant != "no_variant"
                }
                if names != {name.casefold() for name, _values in item.values["options"]}:
                    archived |= extra
                else:
                    item.notes.append(
                        self.env._(
                            "%s exists in Odoo only; it was left as it is.", extra.display_name
                        )
                    )
        if archived:
            archived.write({"active": False})
            for item in items:
                for product in (item.values["gone"] | item.values["extra"]) & archived:
                    item.notes.append(
                        self.env._(
                            "Archived, because Shopify has no such variant: %s.",
                            product.display_name,
                        )
                    )
            archived.flush_recordset(["active"])

    @api.model
    def _lines(self, items):
        """Return ``{template id: its attribute lines}``, archived ones included.

        Without those of attributes that make no variants: they are Odoo's own.
        """
        old = [item.record.id for item in items if not item.values.get("created")]
        if not old:
            return {}
        found = (
            self.env["product.template.attribute.line"]
            .with_context(active_test=False)
            .search_fetch(
                [
                    ("product_tmpl_id", "in", old),
                    ("attribute_id.create_variant", "!=", "no_variant"),
                ],
                ["active", "attribute_id", "product_tmpl_id", "sequence", "value_ids"],
            )
        )
        return {template.id: rows for template, rows in found.grouped("product_tmpl_id").items()}

    @api.model
    def _write_lines(self, items, lines):
        """Write lines and their values; set ``item.values["combinations"]``.

        :returns: values and lines that are no longer needed, once the variants have moved.
        """
        Line = self.env["product.template.attribute.line"].with_context(**BY_HAND)
        chosen = self._attributes(items, lines)
        kept, to_create, places = {}, [], []
        unused = Line.browse()
        for item in items:
            present = lines.get(item.record.id, Line.browse())
            for position, (name, _values) in enumerate(item.values["options"]):
                attribute, values = chosen[item.operation_id, name]
                line = present.filtered(lambda line, a=attribute: line.attribute_id == a)
                line = (line.filtered("active") or line)[:1].with_context(**BY_HAND)
                value_ids = sorted({value.id for value in values.values()})
                if not line:
                    to_create.append(
                        {
                            "product_tmpl_id": item.record.id,
                            "attribute_id": attribute.id,
                            "sequence": position + 1,
                            "value_ids": [Command.set(value_ids)],
                        }
                    )
                    places.append((item.operation_id, name))
                    continue
                kept[item.operation_id, name] = line
                vals = {}
                if not line.active:
                    vals["active"] = True
                if line.sequence != position + 1:
                    vals["sequence"] = position + 1
                if sorted(line.with_context(active_test=False).value_ids.ids) != value_ids:
                    vals["value_ids"] = [Command.set(value_ids)]
                if vals:
                    line.write(vals)
            mine = {line.id for key, line in kept.items() if key[0] == item.operation_id}
            unused |= present.filtered(lambda line, mine=mine: line.active and line.id not in mine)
        created = Line.create(to_create)
        kept.update(zip(places, created, strict=True))
        return self._write_values(items, chosen, kept, unused), unused

    @api.model
    def _write_values(self, items, chosen, kept, unused):
        """Give lines their values; returns those that lines no longer have."""
        Value = self.env["product.template.attribute.value"]
        wanted_lines = Value.attribute_line_id.union(*kept.values()) | unused
        present = Value.search_fetch(
            [("attribute_line_id", "in", wanted_lines.ids)],
            ["attribute_line_id", "product_attribute_value_id", "ptav_active", "price_extra"],
        )
        by_key = {
            (row.attribute_line_id.id, row.product_attribute_value_id.id): row for row in present
        }
        to_create, asleep, needed = [], Value.browse(), set()
        for key, line in kept.items():
            for value in chosen[key][1].values():
                place = (line.id, value.id)
                needed.add(place)
                row = by_key.get(place)
                if not row:
                    to_create.append(
                        {"attribute_line_id": line.id, "product_attribute_value_id": value.id}
                    )
                    by_key[place] = None
                elif not row.ptav_active:
                    asleep |= row
        if asleep:
            asleep.write({"ptav_active": True})
        for row in Value.create(to_create):
            by_key[row.attribute_line_id.id, row.product_attribute_value_id.id] = row
        for item in items:
            names = [name for name, _values in item.values["options"]]
            item.values["ptavs"] = {}
            for position, name in enumerate(names):
                line = kept[item.operation_id, name]
                for text, value in chosen[item.operation_id, name][1].items():
                    item.values["ptavs"][position, text] = by_key[line.id, value.id]
            for row in item.values["rows"]:
                item.values["combinations"][row.gid] = tuple(
                    item.values["ptavs"][position, text].id
                    for position, text in enumerate(row.values)
                )
        return present.filtered(
            lambda row: (
                row.ptav_active
                and (row.attribute_line_id.id, row.product_attribute_value_id.id) not in needed
            )
        )

    # === ATTRIBUTES === #

    @api.model
    def _attributes(self, items, lines):
        """Return ``{(operation, option): (attribute, {value name: attribute value})}``.

        An attribute is taken from the template itself, then a dynamic one of this name. One whose
        variants Odoo makes instantly is only taken for products that have every combination.
        """
        Attribute = self.env["product.attribute"]
        names = {name.casefold(): name for item in items for name, _v in item.values["options"]}
        known = defaultdict(lambda: Attribute)
        for attribute in Attribute.search_fetch(
            [("create_variant", "!=", "no_variant")], ["name", "create_variant"]
        ):
            known[attribute.name.casefold()] |= attribute
        chosen, missing = {}, {}
        for item in items:
            present = lines.get(item.record.id, self.env["product.template.attribute.line"])
            full = products.is_full(item.values["options"], item.values["rows"])
            for name, _values in item.values["options"]:
                key = name.casefold()
                own = present.filtered("active").attribute_id & known[key]
                dynamic = known[key].filtered(lambda a: a.create_variant == "dynamic")
                found = (own or dynamic or (known[key] if full else Attribute))[:1]
                chosen[item.operation_id, name] = found
                if not found:
                    missing[key] = names[key]
        if missing:
            made = Attribute.create(
                [{"name": name, "create_variant": "dynamic"} for name in missing.values()]
            )
            by_name = dict(zip(missing, made, strict=True))
            for key, attribute in chosen.items():
                chosen[key] = attribute or by_name[key[1].casefold()]
        return self._attribute_values(items, chosen)

    @api.model
    def _attribute_values(self, items, chosen):
        Value = self.env["product.attribute.value"]
        wanted = defaultdict(dict)
        for item in items:
            for name, values in item.values["options"]:
                attribute = chosen[item.operation_id, name]
                wanted[attribute].update(dict.fromkeys(values))
        attributes = self.env["product.attribute"].union(*wanted)
        exact, folded = {}, {}
        for value in Value.with_context(active_test=False).search_fetch(
            [("attribute_id", "in", attributes.ids)], ["name", "attribute_id", "active"]
        ):
            exact.setdefault((value.attribute_id, value.name), value)
            folded.setdefault((value.attribute_id, value.name.casefold()), value)
        found, to_create = {}, []
        for attribute, names in wanted.items():
            spelled = products.repeated(name.casefold() for name in names)
            for name in names:
                value = exact.get((attribute, name))
                if not value and name.casefold() not in spelled:
                    value = folded.get((attribute, name.casefold()))
                if value:
                    found[attribute, name] = value
                else:
                    to_create.append({"attribute_id": attribute.id, "name": name})
        asleep = Value.union(*found.values()).filtered(lambda value: not value.active)
        if asleep:
            asleep.write({"active": True})
        for value in Value.create(to_create):
            found[value.attribute_id, value.name] = value
        return {
            (item.operation_id, name): (
                chosen[item.operation_id, name],
                {text: found[chosen[item.operation_id, name], text] for text in values},
            )
            for item in items
            for name, values in item.values["options"]
        }

    # === VARIANTS === #

    @api.model
    def _move_variants(self, items):
        """Give variants that exist their combination; two that change places go one by one.

        Two variants of one template in use must never have the same.
        """
        for item in items:
            pending, at = {}, {}
            for gid, product in item.values["variants"].items():
                if gid in item.values["foreign"]:
                    continue
                now = frozenset(
                    value.id
                    for value in product.product_template_attribute_value_ids
                    if value.attribute_id.create_variant != "no_variant"
                )
                at[product] = now
                wanted = frozenset(item.values["combinations"][gid])
                if now != wanted:
                    pending[product] = wanted
            while pending:
                taken = {at[product] for product in pending if product.active}
                ready = [p for p, wanted in pending.items() if wanted not in taken - {at[p]}]
                product = ready[0] if ready else next(iter(pending))
                wanted = pending.pop(product) if ready else frozenset()
                others = product.product_template_attribute_value_ids.filtered(
                    lambda value: value.attribute_id.create_variant == "no_variant"
                )
                product.write(
                    {
                        "product_template_attribute_value_ids": [
                            Command.set(sorted(wanted | set(others.ids)))
                        ]
                    }
                )
                at[product] = wanted
                if len(pending) or not ready:
                    product.flush_recordset()

    @api.model
    def _create_variants(self, backend, items):
        """Create the variants that are missing, of all items at once."""
        Product = self.env["product.product"].with_context(**BY_HAND, shopify_new_products=True)
        places, vals_list, scale = [], [], self._scale()
        for item in items:
            for row in item.values["rows"]:
                if row.gid in item.values["variants"]:
                    continue
                places.append((item, row.gid))
                vals_list.append(
                    {
                        "product_tmpl_id": item.record.id,
                        "product_template_attribute_value_ids": [
                            Command.set(item.values["combinations"][row.gid])
                        ],
                        "active": item.data.status != "ARCHIVED",
                        **self._variant_values(item, row, scale),
                        **self._cost(backend, item, row),
                    }
                )
        for (item, gid), product in zip(places, Product.create(vals_list), strict=True):
            item.values["variants"][gid] = product.with_env(self.env)

    @api.model
    def _variant_values(self, item, row, scale):
        values = {
            "default_code": row.sku or False,
            "barcode": item.values["barcodes"].get(row.gid, False),
        }
        if row.weight is not None:
            values["weight"] = products.weight_in(row.weight, **scale)
        return values

    @api.model
    def _scale(self):
        """Return how Odoo weighs products, for :func:`~..lib.products.weight_in`."""
        unit = self.env["product.template"]._get_weight_uom_id_from_ir_config_parameter()
        return {
            "pounds": unit == self.env.ref("uom.product_uom_lb"),
            "digits": self.env["decimal.precision"].precision_get("Stock Weight"),
        }

    @api.model
    def _cost(self, backend, item, row):
        """Return the cost of a new variant. Later on it is Odoo's: it values the stock."""
        if not row.cost or not row.cost.amount:
            return {}
        if row.cost.currencyCode != backend.company_id.currency_id.name:
            note = self.env._(
                "The cost is in %(currency)s in Shopify and was not written: %(company)s counts "
                "in %(own)s.",
                currency=row.cost.currencyCode,
                company=backend.company_id.name,
                own=backend.company_id.currency_id.name,
            )
            if note not in item.notes:
                item.notes.append(note)
            return {}
        return {"standard_price": float(row.cost.amount)}

    @api.model
    def _update_variants(self, backend, items):
        """Write what differs of variants that existed before.

        An empty SKU or barcode in Shopify takes none away. Barcodes that change hands are cleared
        first: no two products may have the same, not even for a moment.
        """
        changes, scale = {}, self._scale()
        for item in items:
            for row in item.values["rows"]:
                product = item.values["variants"][row.gid]
                if row.gid in item.values["foreign"]:
                    continue
                vals = {
                    name: value
                    for name, value in self._variant_values(item, row, scale).items()
                    if (
                        float_compare(product.weight, value, precision_digits=scale["digits"])
                        if name == "weight"
                        else value and product[name] != value
                    )
                }
                if vals:
                    changes[product] = vals
        moving = self.env["product.product"].union(
            *(product for product, vals in changes.items() if "barcode" in vals and product.barcode)
        )
        if len(moving) > 1:
            moving.write({"barcode": False})
        groups = defaultdict(lambda: self.env["product.product"])
        for product, vals in changes.items():
            groups[tuple(sorted(vals.items()))] |= product
        for vals, members in groups.items():
            members.write(dict(vals))
