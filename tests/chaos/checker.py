"""Compares what the service holds with what Odoo holds, apart from the system under test.

It reads the service's ground truth and Odoo's tables; it believes no binding, and of the sync log
only which records are left to a person.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

Values = dict[str, Any]


@dataclass
class Verdict:
    """What is wrong; each entry names the record and says what was expected and found."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    unplanned_dead_letters: list[str] = field(default_factory=list)
    planned_dead_letters: int = 0

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.different or self.unplanned_dead_letters)


def compare(
    verdict: Verdict,
    what: str,
    source: Mapping[str, Values],
    copies: Collection[tuple[str, Values]],
    bad: Collection[str],
) -> None:
    """Compare the owner's records with the copies the other side has.

    :param source: key -> values.
    :param copies: key of the original and values of every copy.
    :param bad: keys that cannot be processed by plan: a copy of an earlier state may exist.
    """
    found = defaultdict(list)
    for key, values in copies:
        found[key].append(values)
    for key, values in source.items():
        versions = found.pop(key, [])
        if len(versions) > 1:
            verdict.doubled.append(f"{what} {key}: {len(versions)} copies")
        if key in bad:
            continue
        if not versions:
            verdict.lost.append(f"{what} {key}: {values}")
        elif versions[0] != values:
            verdict.different.append(f"{what} {key}: expected {values}, found {versions[0]}")
    for key, versions in found.items():
        verdict.doubled.append(f"{what} {key}: {len(versions)} copies of nothing")


def check_dead_letters(
    verdict: Verdict, what: str, dead: Collection[tuple[str, str]], bad: Collection[str]
) -> None:
    """Every record that cannot be processed is a dead letter, and nothing else is.

    :param dead: key of the record and message of every dead letter.
    """
    keys = {key for key, _message in dead}
    verdict.planned_dead_letters += len(keys & set(bad))
    verdict.unplanned_dead_letters += [
        f"{what} {key}: {message}" for key, message in dead if key not in bad
    ]
    # neither processed nor left to a person
    verdict.lost += [f"{what} {key}: no dead letter" for key in sorted(set(bad) - keys)]


def check_order(verdict: Verdict, what: str, journal: Collection[dict[str, Any]]) -> None:
    """No older state was ever written over a newer one.

    :param journal: the service's writes, in order; a name ends with its version, e.g. ``v7``.
    """
    newest: Counter[str] = Counter()
    for write in journal:
        number = _version(write["values"])
        if number < newest[write["id"]]:
            verdict.different.append(
                f"{what} {write['id']}: version {number} was written over {newest[write['id']]}"
            )
        newest[write["id"]] = max(newest[write["id"]], number)


def _version(values: Values) -> int:
    found = re.search(r" v(\d+)$", values.get("name") or "")
    return int(found[1]) if found else 0


# === BOTH SIDES === #


def contacts(verdict: Verdict, service: Any, odoo: Any, backend: int) -> None:
    """The service's contacts against Odoo's partners."""
    fields = ("name", "email", "phone", "city")
    truth = {row["id"]: row for row in service.records("contacts") if not row.get("deleted")}
    bad = {key for key, row in truth.items() if row["name"] is None}
    partners = odoo.sql(
        f"SELECT ref, {', '.join(fields)} FROM res_partner WHERE active AND ref ~ '^C[0-9]+$'"
    )
    compare(
        verdict,
        "contact",
        {key: {name: row[name] for name in fields} for key, row in truth.items()},
        [(ref, dict(zip(fields, values, strict=True))) for ref, *values in partners],
        bad,
    )
    check_dead_letters(verdict, "contact", _dead(odoo, backend, "contact", "external_id"), bad)


def products(verdict: Verdict, service: Any, odoo: Any, backend: int) -> None:
    """Odoo's products against the service's."""
    rows = odoo.sql(
        "SELECT p.id, t.name->>'en_US', p.default_code, t.list_price FROM product_product p"
        "  JOIN product_template t ON t.id = p.product_tmpl_id WHERE p.default_code ~ '^CHAOS-'"
    )
    truth = {
        f"product.product-{key}": {"name": name, "code": code, "price": float(price)}
        for key, name, code, price in rows
    }
    bad = {key for key, values in truth.items() if values["price"] < 0}
    compare(
        verdict,
        "product",
        truth,
        [
            (row["reference"], {name: row[name] for name in ("name", "code", "price")})
            for row in service.records("products")
        ],
        bad,
    )
    dead = _dead(odoo, backend, "product", "key")
    check_dead_letters(
        verdict, "product", [(f"product.product-{key}", text) for key, text in dead], bad
    )
    check_order(verdict, "product", service.journal("products"))


def _dead(odoo: Any, backend: int, resource: str, key: str) -> list[tuple[str, str]]:
    return odoo.sql(
        f"SELECT {key}, kind || ': ' || COALESCE(message, '') FROM integration_sync_log"
        " WHERE backend_id = %s AND resource = %s AND state = 'dead'",
        [backend, resource],
    )
