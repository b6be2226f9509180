"""Products as Shopify wants them, and what has to change so that they are.

Pure logic. *Values* are what Odoo wants (a JSON object, made by the resource), the *state* is what
the document ``product_state`` read, the *memory* is what we wrote before. A field that is empty in
Odoo is left alone in the shop unless we filled it, and of lists (tags, collections, channels,
metafields, variants) only what we added is ever taken away.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

#: Shopify's limits. https://shopify.dev/docs/api/admin-graphql (``ProductSetInput``)
MAX_OPTIONS = 3
MAX_VARIANTS = 2048
MAX_TITLE = 255
MAX_TAGS = 250
#: Fields of variants that an empty value of Odoo empties only where Odoo has filled them.
KEPT_OF_VARIANTS = ("sku", "barcode", "compare")
#: Variants that one mutation takes.
CHUNK = 250
#: Name and value of the option of a product that has none.
DEFAULT_OPTION, DEFAULT_VALUE = "Title", "Default Title"

#: Value -> field of ``ProductUpdateInput`` and of ``ProductSetInput``.
_PLAIN = {
    "title": "title",
    "html": "descriptionHtml",
    "vendor": "vendor",
    "type": "productType",
    "status": "status",
}


@dataclass
class Pairing:
    """Which variant of the shop is which of Odoo.

    :param pairs: ``{position in the values: variant of the state}``.
    :param gone: variants that were ours and that Odoo no longer has.
    :param foreign: variants that somebody added in Shopify.
    :param elsewhere: variants that are other products in Odoo.
    :param taken: positions in the values whose place such a variant has.
    """

    pairs: dict[int, dict] = field(default_factory=dict)
    gone: list[dict] = field(default_factory=list)
    foreign: list[dict] = field(default_factory=list)
    elsewhere: list[dict] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)


# === CHECKING === #


def problems(values: dict) -> list[tuple[str, dict]]:
    """Return what Shopify would refuse, as pairs of a code and what a message needs.

    Codes: ``title``, ``tags``, ``variants`` (too many), ``options`` (too many), ``option_name``,
    ``option_twice``, ``value_twice`` (names that differ by case only), ``same`` (two variants with
    the same values), ``price`` (negative).
    """
    found: list[tuple[str, dict]] = []
    if len(values["title"]) > MAX_TITLE:
        found.append(("title", {"limit": MAX_TITLE}))
    if len(values["tags"]) > MAX_TAGS:
        found.append(("tags", {"count": len(values["tags"]), "limit": MAX_TAGS}))
    if len(values["variants"]) > MAX_VARIANTS:
        found.append(("variants", {"count": len(values["variants"]), "limit": MAX_VARIANTS}))
    if len(values["options"]) > MAX_OPTIONS:
        found.append(("options", {"count": len(values["options"]), "limit": MAX_OPTIONS}))
    names = set()
    for option in values["options"]:
        name = option["name"]
        if " / " in name:
            found.append(("option_name", {"name": name}))
        if name.lower() in names:
            found.append(("option_twice", {"name": name}))
        names.add(name.lower())
        for value in _twice(option["values"]):
            found.append(("value_twice", {"name": name, "value": value}))
    for row in _twice([" / ".join(row["options"]) for row in values["variants"]]):
        found.append(("same", {"value": row}))
    for row in values["variants"]:
        if Decimal(row["price"]) < 0:
            found.append(("price", {"value": row["sku"] or " / ".join(row["options"])}))
    return found


def _twice(texts: Iterable[str]) -> list[str]:
    seen, twice = set(), []
    for text in texts:
        if text.lower() in seen:
            twice.append(text)
        seen.add(text.lower())
    return twice


# === CREATING === #


def option_names(values: dict) -> list[str]:
    """Return the names of the options the product shall have in Shopify."""
    return [option["name"] for option in values["options"]] or [DEFAULT_OPTION]


def _option_values(row: dict, names: list[str]) -> list[dict]:
    chosen = row["options"] or [DEFAULT_VALUE]
    return [{"optionName": name, "name": value} for name, value in zip(names, chosen, strict=True)]


def variant_input(row: dict, names: list[str], filled: Collection[str] = ()) -> dict:
    """Return the input of a variant; the same for ``productSet`` and the bulk mutations.

    Empty values of Odoo are left out.

    :param filled: as :func:`filled_of` returns it, of a variant that exists.
    """
    item: dict[str, Any] = {"tracked": row["tracked"], "requiresShipping": row["shipping"]}
    if _is_ours("sku", row, filled):
        item["sku"] = row["sku"]
    item |= _item_extras(row)
    made = {
        "optionValues": _option_values(row, names),
        "price": row["price"],
        "inventoryPolicy": row["policy"],
        "inventoryItem": item,
    }
    if _is_ours("compare", row, filled):
        made["compareAtPrice"] = row["compare"]
    if _is_ours("barcode", row, filled):
        made["barcode"] = row["barcode"] or None
    return made


def _is_ours(name: str, row: dict, filled: Collection[str]) -> bool:
    return bool(row[name]) or name in filled


def _item_extras(row: dict) -> dict:
    """Return what Odoo may leave empty without meaning that it is empty."""
    extras: dict[str, Any] = {}
    if row["cost"]:
        extras["cost"] = row["cost"]
    if row["hs"]:
        extras["harmonizedSystemCode"] = row["hs"]
    if row["origin"]:
        extras["countryCodeOfOrigin"] = row["origin"]
    if row["weight"]:
        value, unit = row["weight"]
        extras["measurement"] = {"weight": {"value": float(value), "unit": unit}}
    return extras


def creation_input(values: dict, key: dict, sources: dict[str, str], alt: str) -> dict:
    """Return the ``ProductSetInput`` of a product that Shopify does not have.

    :param key: namespace, key, type and value of the metafield with our own id.
    :param sources: ``{checksum: address}`` of the pictures, in their order.
    :param alt: what the pictures show.
    """
    names = option_names(values)
    made: dict[str, Any] = {
        name: values[own] for own, name in _PLAIN.items() if values[own] or own == "title"
    }
    if values["category"]:
        made["category"] = values["category"]
    if values["tags"]:
        made["tags"] = values["tags"]
    if values["collections"]:
        made["collections"] = values["collections"]
    made["metafields"] = [key, *values["metafields"]]
    made["productOptions"] = [
        {"name": option["name"], "values": [{"name": value} for value in option["values"]]}
        for option in values["options"]
    ] or [{"name": DEFAULT_OPTION, "values": [{"name": DEFAULT_VALUE}]}]
    if sources:
        made["files"] = [
            {"originalSource": source, "alt": alt, "contentType": "IMAGE"}
            for source in sources.values()
        ]
    made["variants"] = []
    for row in values["variants"]:
        variant = variant_input(row, names)
        if row["image"] in sources:
            variant["file"] = {"originalSource": sources[row["image"]]}
        made["variants"].append(variant)
    return made


# === PAIRING === #


def pair_variants(
    values: dict,
    variants: list[dict],
    links: dict[str, int],
    ours: Collection[str],
    elsewhere: Collection[str] = (),
):
    """Return the :class:`Pairing` of Odoo's variants and those of the shop.

    By link, then by SKU, barcode and option values, each only where it is unambiguous.

    :param variants: of the state.
    :param links: ``{id of a variant: id of the product.product}``.
    :param ours: ids of variants that we made or linked before.
    :param elsewhere: ids of variants that are other products in Odoo: they are nobody's here.
    """
    found = Pairing(elsewhere=[variant for variant in variants if variant["id"] in elsewhere])
    variants = [variant for variant in variants if variant["id"] not in elsewhere]
    free = {variant["id"]: variant for variant in variants}
    position_of = {row["product"]: index for index, row in enumerate(values["variants"])}
    for variant in variants:
        index = position_of.get(links.get(variant["id"], 0))
        if index is not None and index not in found.pairs:
            found.pairs[index] = free.pop(variant["id"])
    names = option_names(values)
    for key_of_row, key_of_variant in (
        (lambda row: row["sku"], lambda v: v["sku"]),
        (lambda row: row["barcode"], lambda v: v["barcode"]),
        (_wished, lambda v: _chosen(v, names)),
    ):
        rows = [i for i in range(len(values["variants"])) if i not in found.pairs]
        wanted = _unique((key_of_row(values["variants"][i]), i) for i in rows)
        present = _unique((key_of_variant(v), gid) for gid, v in free.items())
        for key in wanted.keys() & present.keys():
            found.pairs[wanted[key]] = free.pop(present[key])
    for gid, variant in free.items():
        (found.gone if gid in ours or gid in links else found.foreign).append(variant)
    places = {_chosen(variant, names) for variant in found.elsewhere}
    found.taken = {
        index
        for index, row in enumerate(values["variants"])
        if index not in found.pairs and _wished(row) in places
    }
    return found


def _wished(row: dict) -> tuple:
    return tuple(value.lower() for value in row["options"] or [DEFAULT_VALUE])


def _chosen(variant: dict, names: list[str]) -> tuple | None:
    chosen = {row["name"]: row["value"].lower() for row in variant["selectedOptions"]}
    if set(chosen) != set(names):
        return None
    return tuple(chosen[name] for name in names)


def _unique(pairs: Iterable[tuple]) -> dict:
    """Return ``{key: value}`` of the keys that occur once."""
    found, twice = {}, set()
    for key, value in pairs:
        if key and key in found:
            twice.add(key)
        elif key:
            found[key] = value
    return {key: value for key, value in found.items() if key not in twice}


# === CHANGING === #


def product_changes(values: dict, state: dict, memory: dict) -> dict:
    """Return what of a ``ProductUpdateInput`` differs, empty for nothing (without the id).

    The status is the shop's, unless it is chosen in Odoo. Where it was the last time and no longer
    is, the shop gets back its own.

    :param memory: ``tags``, ``collections``, ``metafields``, ``filled``, ``status`` and ``former``
        as :func:`remembered` gave them after the last time.
    """
    if not values["status_chosen"] and memory.get("former"):
        values = {**values, "status": memory["former"]}
    changes: dict[str, Any] = {}
    filled = set(memory.get("filled", ()))
    for own, name in _PLAIN.items():
        if own == "status" and not (values["status_chosen"] or memory.get("status")):
            continue
        if values[own] != (state[name] or "") and (values[own] or own in filled):
            changes[name] = values[own]
    category = (state["category"] or {}).get("id") or ""
    if values["category"] != category and (values["category"] or "category" in filled):
        changes["category"] = values["category"] or None
    tags = tags_after(state["tags"], values["tags"], memory.get("tags", ()))
    if tags != list(state["tags"]):
        changes["tags"] = tags
    present = {row["id"] for row in state["collections"]["nodes"]}
    join = [gid for gid in values["collections"] if gid not in present]
    leave = [
        gid
        for gid in memory.get("collections", ())
        if gid in present and gid not in values["collections"]
    ]
    if join:
        changes["collectionsToJoin"] = join
    if leave:
        changes["collectionsToLeave"] = leave
    known = {(m["namespace"], m["key"]): m["value"] for m in state["metafields"]["nodes"]}
    fields = [
        row
        for row in values["metafields"]
        if not same_text(known.get((row["namespace"], row["key"])), row["value"], row["type"])
    ]
    if fields:
        changes["metafields"] = fields
    return changes


def same_text(present: str | None, wanted: str, kind: str) -> bool:
    """Whether a metafield has the value already; Shopify writes numbers in its own way."""
    if present is None or present == wanted:
        return present == wanted
    if kind == "number_decimal":
        return _decimal(present) == _decimal(wanted)
    if kind == "date_time":
        return present.removesuffix("Z").removesuffix("+00:00") == wanted.removesuffix("Z")
    return False


def tags_after(present: Iterable[str], wanted: Iterable[str], before: Iterable[str]) -> list[str]:
    """Return the tags a product shall have: those of others, and ours of today.

    Shopify takes tags that differ by case only for the same.

    :param before: those we set the last time; what of them is no longer wanted goes.
    """
    wanted = list(wanted)
    names = {tag.lower() for tag in wanted}
    stale = {tag.lower() for tag in before} - names
    kept = [tag for tag in present if tag.lower() not in stale]
    have = {tag.lower() for tag in kept}
    return [*kept, *(tag for tag in wanted if tag.lower() not in have)]


def metafields_to_delete(values: dict, state: dict, memory: dict) -> list[tuple[str, str]]:
    """Return (namespace, key) of metafields we set before and Odoo no longer has."""
    wanted = {(row["namespace"], row["key"]) for row in values["metafields"]}
    present = {(m["namespace"], m["key"]) for m in state["metafields"]["nodes"]}
    before = {tuple(pair) for pair in memory.get("metafields", ())}
    return sorted((before - wanted) & present)


def variant_changes(
    row: dict, variant: dict, names: list[str], filled: Collection[str] = ()
) -> dict:
    """Return what of a ``ProductVariantsBulkInput`` differs, empty for nothing (without the id).

    :param filled: as :func:`filled_of` returns it: what else is empty in Odoo stays in the shop.
    """
    changes: dict[str, Any] = {}
    chosen = {option["name"]: option["value"] for option in variant["selectedOptions"]}
    wanted = _option_values(row, names)
    if any(chosen.get(value["optionName"]) != value["name"] for value in wanted):
        changes["optionValues"] = wanted
    if _decimal(row["price"]) != _decimal(variant["price"]):
        changes["price"] = row["price"]
    same = _decimal(row["compare"]) == _decimal(variant["compareAtPrice"])
    if not same and _is_ours("compare", row, filled):
        changes["compareAtPrice"] = row["compare"]
    if row["barcode"] != (variant["barcode"] or "") and _is_ours("barcode", row, filled):
        changes["barcode"] = row["barcode"] or None
    if row["policy"] != variant["inventoryPolicy"]:
        changes["inventoryPolicy"] = row["policy"]
    if item := _item_changes(row, variant["inventoryItem"], variant["sku"], filled):
        changes["inventoryItem"] = item
    return changes


def _item_changes(row: dict, item: dict, sku: str | None, filled: Collection[str]) -> dict:
    changes: dict[str, Any] = {}
    if row["sku"] != (sku or "") and _is_ours("sku", row, filled):
        changes["sku"] = row["sku"]
    if row["tracked"] != item["tracked"]:
        changes["tracked"] = row["tracked"]
    if row["shipping"] != item["requiresShipping"]:
        changes["requiresShipping"] = row["shipping"]
    extras = _item_extras(row)
    weight = (item["measurement"] or {}).get("weight") or {}
    same = {
        "cost": _decimal((item["unitCost"] or {}).get("amount")) == _decimal(row["cost"]),
        "harmonizedSystemCode": item["harmonizedSystemCode"] == row["hs"],
        "countryCodeOfOrigin": item["countryCodeOfOrigin"] == row["origin"],
        "measurement": bool(row["weight"])
        and weight.get("unit") == row["weight"][1]
        and _decimal(weight.get("value")) == _decimal(row["weight"][0]),
    }
    changes |= {name: value for name, value in extras.items() if not same[name]}
    return changes


def _decimal(value: Any) -> Decimal | None:
    """Return an amount however it is padded; None for nothing."""
    if value in (None, ""):
        return None
    try:
        return Decimal(str(value)).normalize()
    except InvalidOperation:
        return None


def drift(values: dict, payload: dict, memory: dict, pairing: Pairing) -> list[tuple]:
    """Return what of a product is not in the shop as Odoo wants it, as far as a reading tells.

    By the rules by which it is sent, so what is found is what sending it would change. Pictures,
    channels, collections, metafields and the oversell policy are not part of that reading.

    :param payload: of the document ``products``.
    :param memory: as for :func:`product_changes`.
    :returns: (variant's name or "", field of Shopify's, what Odoo wants, what the shop has); the
        field ``variant`` stands for a variant that one side does not have.
    """
    nothing: dict[str, Any] = {"collections": [], "metafields": []}
    state = {**payload, **{name: {"nodes": []} for name in nothing}}
    wanted = product_changes({**values, **nothing}, state, {**memory, "collections": ()})
    found = [("", name, value, _shown(payload, name)) for name, value in wanted.items()]
    names, filled = option_names(values), filled_of(memory)
    for index, row in enumerate(values["variants"]):
        label = row["sku"] or " / ".join(row["options"]) or values["title"]
        variant = pairing.pairs.get(index)
        if index in pairing.taken:
            continue
        if variant is None:
            found.append((label, "variant", label, ""))
            continue
        known = {**variant, "inventoryPolicy": row["policy"]}
        changes = variant_changes(row, known, names, filled[variant["id"]])
        changes |= changes.pop("inventoryItem", {})
        place = {**variant["inventoryItem"], **variant}
        found += [(label, name, value, _shown(place, name)) for name, value in changes.items()]
    found += [
        (variant["sku"] or variant["title"], "variant", "", variant["sku"] or variant["title"])
        for variant in pairing.gone
    ]
    return found


def _shown(place: dict, name: str) -> Any:
    if name == "cost":
        return (place["unitCost"] or {}).get("amount")
    if name == "optionValues":
        return [{"name": option["value"]} for option in place["selectedOptions"]]
    return place["category"] and place["category"]["id"] if name == "category" else place[name]


def needs_other_options(values: dict, state: dict) -> bool:
    """Whether the product has options of other names than it shall have."""
    return set(option_names(values)) != {option["name"] for option in state["options"]}


def restructure_input(values: dict, state: dict, pairing: Pairing, memory: dict) -> dict:
    """Return the ``ProductSetInput`` that gives a product other options.

    It names options and variants only: every other list stays as it is. Variants keep their ids,
    and with them their stock. An option that is renamed keeps its id where that is unambiguous.

    :param pairing: without foreign variants: there is nothing to say what values they would have.
    :param memory: as for :func:`variant_changes`.
    """
    names = option_names(values)
    present = {option["name"]: option for option in state["options"]}
    lost = [name for name in present if name not in names]
    new = [name for name in names if name not in present]
    renamed = {new[0]: present[lost[0]]} if len(lost) == len(new) == 1 else {}
    options = []
    for option in values["options"] or [{"name": DEFAULT_OPTION, "values": [DEFAULT_VALUE]}]:
        row: dict[str, Any] = {
            "name": option["name"],
            "values": [{"name": value} for value in option["values"]],
        }
        if known := present.get(option["name"]) or renamed.get(option["name"]):
            row["id"] = known["id"]
        options.append(row)
    variants, filled = [], filled_of(memory)
    for index, row in enumerate(values["variants"]):
        if index in pairing.pairs:
            gid = pairing.pairs[index]["id"]
            variants.append({**variant_input(row, names, filled[gid]), "id": gid})
        else:
            variants.append(variant_input(row, names))
    return {"productOptions": options, "variants": variants}


def channel_changes(wanted: Iterable[str], present: Collection[str], before: Iterable[str]):
    """Return (ids of channels to publish to, ids to withdraw from)."""
    wanted = list(wanted)
    return (
        [gid for gid in wanted if gid not in present],
        [gid for gid in before if gid in present and gid not in wanted],
    )


def former_status(memory: dict, present: str) -> str:
    """Return the shop's own status, to be given back when Odoo no longer chooses one.

    :param memory: of the last time; :param present: what the shop has before it is changed.
    """
    former = memory.get("former", "") if memory.get("status") else present
    # who puts a product on sale does not want it back in the archive
    return "" if former == "ARCHIVED" else former


def remembered(values: dict, variants: dict[int, str], former: str = "") -> dict:
    """Return the memory to keep of what was written.

    :param variants: ``{id of the product.product: id of the variant}`` of those that are ours now.
    :param former: :func:`former_status` where the status is chosen.
    """
    rows = [row for row in values["variants"] if row["product"] in variants]
    return {
        "tags": values["tags"],
        "collections": values["collections"],
        "channels": values["channels"] or [],
        "metafields": [[row["namespace"], row["key"]] for row in values["metafields"]],
        "filled": sorted(
            [*(own for own in _PLAIN if values[own]), *(["category"] if values["category"] else [])]
        ),
        "status": values["status"] if values["status_chosen"] else "",
        "former": former if values["status_chosen"] else "",
        "variants": sorted(variants.values()),
        "filled_variants": {
            name: sorted(variants[row["product"]] for row in rows if row[name])
            for name in KEPT_OF_VARIANTS
        },
    }


def filled_of(memory: dict) -> dict[str, set[str]]:
    """Return which of :data:`KEPT_OF_VARIANTS` we have filled: ``{id of the variant: names}``."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, gids in memory.get("filled_variants", {}).items():
        for gid in gids:
            found[gid].add(name)
    return found


def pictures(values: dict) -> list[str]:
    """Return the checksums of the pictures a product shall have, the main one first."""
    found = [values["image"], *(row["image"] for row in values["variants"])]
    return list(dict.fromkeys(checksum for checksum in found if checksum))


def picture_mark(checksum: str) -> str:
    """Return what the file name of a picture ends with, so that it is recognised again."""
    return f"-{checksum[:20]}."


def picture_name(title: str, checksum: str, mime: str) -> str:
    """Return the file name of a picture: what it shows, and its mark."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60] or "picture"
    return f"{words}{picture_mark(checksum)}{mime.removeprefix('image/')}"


def chunks(rows: list, size: int = CHUNK) -> Iterable[list]:
    """Yield the rows in parts that one call takes."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def quoted(text: str) -> str:
    """Return a text as a quoted word of Shopify's search."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def candidate_terms(products: Iterable[dict]) -> list[str]:
    """Return search terms for variants with one of the SKUs or barcodes of these values."""
    terms = []
    for values in products:
        for row in values["variants"]:
            if row["sku"]:
                terms.append(f"sku:{quoted(row['sku'])}")
            if row["barcode"]:
                terms.append(f"barcode:{quoted(row['barcode'])}")
    return list(dict.fromkeys(terms))
