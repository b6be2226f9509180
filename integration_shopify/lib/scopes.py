"""Which access scopes the addon's documents and notifications need.

``scopes.json`` is computed from the documents and Shopify's schema (``tests/contract/scopes.py``);
nobody writes it by hand.
"""

import json
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("scopes.json")


@cache
def _computed() -> dict:
    return json.loads(_FILE.read_text(encoding="utf-8"))


def included(name: str) -> tuple[str, ...]:
    """Return the other scopes that a scope includes: writing allows reading."""
    verb, _underscore, what = name.partition("_")
    return (f"read_{what}",) if verb == "write" else ()


def of_documents(names: Iterable[str], granted: Collection[str] = ()) -> list[str]:
    """Return the scopes that documents need, sorted; what another of them includes is left out.

    :param names: of documents, as in ``graphql/``.
    :param granted: where one of several scopes is enough, one of these is taken if there is one;
        else the one that fits most shops.
    :raises KeyError: for a document that is not there, or was added without computing anew.
    """
    have = set(granted).union(*map(included, granted))
    wanted = set()
    for name in names:
        for choice in _computed()["documents"][name]:
            wanted.add(next((scope for scope in choice if scope in have), choice[0]))
    return sorted(wanted.difference(*map(included, wanted)))


def allows_topic(topic: str, granted: Collection[str]) -> bool:
    """Whether these scopes are enough to be notified of a topic (``ORDERS_CREATE``)."""
    have = set(granted).union(*map(included, granted))
    choice = _computed()["topics"].get(topic)
    return not choice or any(scope in have for scope in choice)


def of_topic(topic: str) -> str:
    """Return the scope a topic needs, the one that fits most shops; empty without any."""
    return next(iter(_computed()["topics"].get(topic, ())), "")
