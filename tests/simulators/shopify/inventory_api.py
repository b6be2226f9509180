"""Stock: setting and adjusting quantities, stocking items at locations, reading levels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLResolveInfo

from .base import Refused, SpecError
from .mutations import mutation, user_error
from .records import InventoryItem, Level, Location, now
from .resolvers import find, gql_error, searched, served, shop_of, stamp
from .shop import Shop

MAX_ROWS = 250
MAX_STOCK = 1_000_000_000
#: States that are part of what is on hand, beside available and committed.
UNAVAILABLE = ("damaged", "quality_control", "reserved", "safety_stock")
# https://shopify.dev/docs/apps/fulfillment/inventory-management-apps/quantities-states
_REASONS = frozenset(
    {
        "correction",
        "cycle_count_available",
        "damaged",
        "movement_created",
        "movement_updated",
        "movement_received",
        "movement_canceled",
        "other",
        "promotion",
        "quality_control",
        "received",
        "reservation_created",
        "reservation_deleted",
        "reservation_updated",
        "restock",
        "safety_stock",
        "shrinkage",
    }
)
# A scheme and something in it: gid://odoo/StockPicking/1, https://odoo.example.com/odoo/1.
_URI = re.compile(r"^[a-z][a-z0-9+.-]*:(//)?\S+$", re.IGNORECASE)


@dataclass(frozen=True)
class Step:
    """A level, the name of one of its quantities, and what it changes by."""

    level: Level
    name: str
    delta: int
    document: str | None = None


# === CHANGING === #


@mutation("inventorySetQuantities")
def _set_quantities(_root: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:
    rows, name = input["quantities"], input["name"]
    _check_rows(info, "InventoryQuantityInput", rows)
    errors = _check_header(input, ("available", "on_hand"), "INVALID_NAME")
    plan: list[Step] = []
    seen: set[tuple[str, str]] = set()
    for index, row in enumerate(rows):
        path = ["input", "quantities", str(index)]
        level, found = _level_of(info, row, path)
        pair = (row["inventoryItemId"], row["locationId"])
        quantity = row["quantity"]
        if pair in seen:
            found.append(
                user_error(
                    "The combination of inventoryItemId and locationId must be unique.",
                    path,
                    "NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR",
                )
            )
        seen.add(pair)
        if quantity > MAX_STOCK:
            found.append(
                user_error(
                    "The quantity can't be higher than 1,000,000,000.",
                    [*path, "quantity"],
                    "INVALID_QUANTITY_TOO_HIGH",
                )
            )
        elif name == "on_hand" and quantity < 0:
            found.append(
                user_error(
                    "The quantity can't be negative.",
                    [*path, "quantity"],
                    "INVALID_QUANTITY_NEGATIVE",
                )
            )
        elif quantity < -MAX_STOCK:
            found.append(
                user_error(
                    "The quantity can't be lower than -1,000,000,000.",
                    [*path, "quantity"],
                    "INVALID_QUANTITY_TOO_LOW",
                )
            )
        if level is not None and not found:
            found += _check_former(level, name, row, path)
            plan.append(Step(level, name, quantity - level.quantity(name)))
        errors += found
    return _carry_out(info, input, plan, errors)


@mutation("inventoryAdjustQuantities")
def _adjust_quantities(_root: Any, info: GraphQLResolveInfo, input: dict[str, Any]) -> Any:
    rows, name = input["changes"], input["name"]
    _check_rows(info, "InventoryChangeInput", rows)
    names = ("available", "incoming", *UNAVAILABLE)
    errors = _check_header(input, names, "INVALID_QUANTITY_NAME")
    if len({row.get("ledgerDocumentUri") for row in rows}) > 1:
        errors.append(
            user_error(
                "All changes must have the same ledger document URI.",
                ["input", "changes"],
                "MAX_ONE_LEDGER_DOCUMENT",
            )
        )
    plan: list[Step] = []
    for index, row in enumerate(rows):
        path = ["input", "changes", str(index)]
        level, found = _level_of(info, row, path)
        document = row.get("ledgerDocumentUri")
        if document and name == "available":
            found.append(
                user_error(
                    "A ledger document URI is not allowed when adjusting available.",
                    [*path, "ledgerDocumentUri"],
                    "INVALID_AVAILABLE_DOCUMENT",
                )
            )
        elif not document and name != "available":
            found.append(
                user_error(
                    "A ledger document URI is required except when adjusting available.",
                    [*path, "ledgerDocumentUri"],
                    "INVALID_QUANTITY_DOCUMENT",
                )
            )
        if level is not None and not found:
            found += _check_former(level, name, row, path)
            plan.append(Step(level, name, row["delta"], document))
        errors += found
    return _carry_out(info, input, plan, errors)


def _check_rows(info: GraphQLResolveInfo, kind: str, rows: list[dict[str, Any]]) -> None:
    if len(rows) > MAX_ROWS:
        raise gql_error(
            f"The input array size of {len(rows)} is greater than the maximum allowed of "
            f"{MAX_ROWS}.",
            "MAX_INPUT_SIZE_EXCEEDED",
        )
    if info.context.version >= "2026-04" and any("changeFromQuantity" not in row for row in rows):
        raise gql_error(
            f"{kind} must include the following argument: changeFromQuantity.",
            "INVALID_FIELD_ARGUMENTS",
        )


def _check_header(values: dict[str, Any], names: Iterable[str], code: str) -> list[dict[str, Any]]:
    errors: list[dict[str, Any]] = []
    if values["name"] not in names:
        message = (
            "The quantity name must be either 'available' or 'on_hand'."
            if code == "INVALID_NAME"
            else "The specified quantity name is invalid."
        )
        errors.append(user_error(message, ["input", "name"], code))
    if values["reason"] not in _REASONS:
        errors.append(
            user_error("The specified reason is invalid.", ["input", "reason"], "INVALID_REASON")
        )
    document = values.get("referenceDocumentUri")
    if document is not None and (not _URI.match(document) or document.startswith("gid://shopify/")):
        errors.append(
            user_error(
                "The specified reference document is invalid.",
                ["input", "referenceDocumentUri"],
                "INVALID_REFERENCE_DOCUMENT",
            )
        )
    return errors


def _level_of(
    info: GraphQLResolveInfo, row: dict[str, Any], path: list[str]
) -> tuple[Level | None, list[dict[str, Any]]]:
    """The level a row is about, and why there is none."""
    shop, errors = shop_of(info), []
    item, location = find(info, row["inventoryItemId"]), find(info, row["locationId"])
    if item is None or item.gql_type != "InventoryItem":
        errors.append(
            user_error(
                "The specified inventory item could not be found.",
                [*path, "inventoryItemId"],
                "INVALID_INVENTORY_ITEM",
            )
        )
    elif not item.mutable:
        errors.append(
            user_error(
                "The specified inventory item is not allowed to be adjusted via API.",
                [*path, "inventoryItemId"],
                "NON_MUTABLE_INVENTORY_ITEM",
            )
        )
    if location is None or location.gql_type != "Location" or not location.active:
        errors.append(
            user_error(
                "The specified location could not be found.",
                [*path, "locationId"],
                "INVALID_LOCATION",
            )
        )
    if errors:
        return None, errors
    level = item.level(location)
    if level is None and info.context.version < "2026-10":
        return None, [
            user_error(
                "The specified inventory item is not stocked at the location.",
                [*path, "locationId"],
                "ITEM_NOT_STOCKED_AT_LOCATION",
            )
        ]
    return level or shop.add_level(item, location), []


def _check_former(
    level: Level, name: str, row: dict[str, Any], path: list[str]
) -> list[dict[str, Any]]:
    expected = row.get("changeFromQuantity")
    if expected is None or expected == level.quantity(name):
        return []
    return [
        user_error(
            "The change from quantity is stale.",
            [*path, "changeFromQuantity"],
            "CHANGE_FROM_QUANTITY_STALE",
        )
    ]


def _carry_out(
    info: GraphQLResolveInfo,
    values: dict[str, Any],
    plan: list[Step],
    errors: list[dict[str, Any]],
) -> dict[str, Any]:
    """All of it or, with an error, nothing."""
    if errors:
        return {"inventoryAdjustmentGroup": None, "userErrors": errors}
    shop, changes = shop_of(info), []
    for step in plan:
        if not step.delta:
            continue
        # what is available, damaged ... is a part of what is on hand; what is incoming is not
        other = "available" if step.name == "on_hand" else "on_hand"
        names = [step.name] if step.name == "incoming" else [step.name, other]
        for name in names:
            step.level.move(name, step.delta)
            changes.append(
                {
                    "name": name,
                    "delta": step.delta,
                    "quantityAfterChange": None,
                    "item": step.level.item,
                    "location": step.level.location,
                    "ledgerDocumentUri": step.document,
                }
            )
        shop.emit("INVENTORY_LEVELS_UPDATE", step.level)
    if not changes:
        return {"inventoryAdjustmentGroup": None, "userErrors": []}
    shop.effects["stockChanges"] += 1
    group = {
        "id": f"gid://shopify/InventoryAdjustmentGroup/{shop.next_id('InventoryAdjustmentGroup')}",
        "reason": values["reason"],
        "referenceDocumentUri": values.get("referenceDocumentUri"),
        "createdAt": stamp(now()),
        "changes": changes,
    }
    return {"inventoryAdjustmentGroup": group, "userErrors": []}


# === WHERE AN ITEM IS STOCKED === #


@mutation("inventoryActivate")
def _activate(
    _root: Any,
    info: GraphQLResolveInfo,
    inventoryItemId: str,
    locationId: str,
    available: int | None = None,
    onHand: int | None = None,
    stockAtLegacyLocation: bool = False,
) -> Any:
    shop = shop_of(info)
    item, location = find(info, inventoryItemId), find(info, locationId)
    if item is None or item.gql_type != "InventoryItem":
        return _refused_level("The inventory item couldn't be found.", ["inventoryItemId"])
    if location is None or location.gql_type != "Location":
        return _refused_level("The location couldn't be found.", ["locationId"])
    if not location.active:
        return _refused_level("The location is not active.", ["locationId"])
    level = item.level(location)
    if level and level.active and (available is not None or onHand is not None):
        answer = _refused_level(
            "Not allowed to set available quantity when the item is already active there.",
            ["available" if available is not None else "onHand"],
        )
        return {**answer, "inventoryLevel": level}
    if level is None:
        level = shop.add_level(item, location)
    if not level.active or available is not None or onHand is not None:
        quantity = available if available is not None else onHand
        if quantity is not None:
            delta = quantity - level.quantity("available")
            level.move("available", delta)
            level.move("on_hand", delta)
        level.active, level.updated_at = True, now()
        shop.emit("INVENTORY_LEVELS_CONNECT", level)
    return {"inventoryLevel": level, "userErrors": []}


def _refused_level(message: str, path: list[str] | None) -> dict[str, Any]:
    return {"inventoryLevel": None, "userErrors": [user_error(message, path)]}


@mutation("inventoryDeactivate")
def _deactivate(_root: Any, info: GraphQLResolveInfo, inventoryLevelId: str) -> Any:
    level = find(info, inventoryLevelId)
    if level is None or level.gql_type != "InventoryLevel":
        message = "The inventory level couldn't be found."
        return {"userErrors": [user_error(message, ["inventoryLevelId"])]}
    if [row for row in level.item.levels if row.active] == [level]:
        message = "The product couldn't be unstocked because it is stocked nowhere else."
        return {"userErrors": [user_error(message)]}
    level.active, level.updated_at = False, now()
    shop_of(info).emit("INVENTORY_LEVELS_DISCONNECT", level)
    return {"userErrors": []}


# === READING === #


def _levels(
    owner: Any,
    info: GraphQLResolveInfo,
    includeInactive: bool = False,
    query: str | None = None,
    **args: Any,
) -> Any:
    if isinstance(owner, Location):
        rows = [row for row in shop_of(info).all("InventoryLevel") if row.location is owner]
    else:
        rows = owner.levels
    rows = [row for row in rows if row.active or includeInactive]
    fields = {
        "id": lambda row: row.id,
        "inventory_item_id": lambda row: row.item.id,
        "created_at": lambda row: row.created_at,
        "updated_at": lambda row: row.updated_at,
    }
    return searched(rows, fields, {"ID": lambda row: row.id}, info, query, **args)


def _item_level(
    item: InventoryItem,
    info: GraphQLResolveInfo,
    locationId: str,
    includeInactive: bool = False,
) -> Any:
    location = find(info, locationId, "Location")
    level = item.level(location) if location else None
    return level if level and (level.active or includeInactive) else None


def _location_level(
    location: Location,
    info: GraphQLResolveInfo,
    inventoryItemId: str,
    includeInactive: bool = False,
) -> Any:
    item = find(info, inventoryItemId, "InventoryItem")
    level = item.level(location) if item else None
    return level if level and (level.active or includeInactive) else None


served("InventoryItem", inventoryLevels=_levels, inventoryLevel=_item_level)
served("Location", inventoryLevels=_levels, inventoryLevel=_location_level)


# === WHAT HAPPENS IN THE SHOP === #


def count_stock(shop: Shop, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Somebody counts, or switches tracking, in the admin; returns the levels of the variant.

    :param spec: ``sku`` or ``variant``, ``location`` (name or id; default the first one),
        ``available`` or ``on_hand``, ``tracked``, ``mutable``, ``active``.
    """
    item = shop.get("ProductVariant", spec.get("variant") or spec["sku"]).item
    place = shop.get("Location", spec["location"]) if "location" in spec else None
    place = place or shop.default_location
    for name in ("tracked", "mutable"):
        if name in spec:
            setattr(item, name, bool(spec[name]))
    level = item.level(place)
    if level and "active" in spec:
        level.active = bool(spec["active"])
    for name in ("available", "on_hand"):
        if name in spec:
            level = level or shop.add_level(item, place)
            delta = int(spec[name]) - level.quantity(name)
            level.move("available", delta)
            level.move("on_hand", delta)
            shop.emit("INVENTORY_LEVELS_UPDATE", level)
    return [
        {
            "id": row.gid,
            "item": item.gid,
            "location": row.location.gid,
            "name": row.location.name,
            "active": row.active,
            **row.quantities,
        }
        for row in item.levels
    ]


def refuse_sold_out(shop: Shop, spec: dict[str, Any]) -> None:
    """Refuse what a buyer cannot order, as the checkout does.

    :raises Refused: when fewer are available and the variant is not sold beyond that.
    """
    if "sku" not in spec:
        raise SpecError("sku: what is to be bought?")
    variant = shop.get("ProductVariant", spec["sku"])
    wanted = int(spec.get("quantity", 1))
    if variant.item.tracked and variant.policy == "DENY" and variant.available < wanted:
        raise Refused(f"{variant.sku} is sold out.", ["quantity"], "OUT_OF_STOCK")
