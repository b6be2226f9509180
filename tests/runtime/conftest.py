"""Checkouts in miniature, to see each rule of `./run check` fail."""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from runtime.checks.files import Files

MANIFEST = """{
    "name": "Good",
    "summary": "Good",
    "version": "19.0.1.0.0",
    "author": "Odoo Integration Founders",
    "license": "LGPL-3",
    "category": "Integrations",
    "depends": ["mail"],
    "external_dependencies": {"python": ["pydantic"]},
    "data": ["security/ir.model.access.csv", "security/rules.xml", "views/shop_order_views.xml"],
}
"""
GOOD = {
    "LICENSE": "GNU LESSER GENERAL PUBLIC LICENSE\n",
    "requirements.txt": "pydantic>=2\n",
    ".ci/runtime/requirements.lock": "pydantic==2.0 \\\n    --hash=sha256:00\n",
    "docker-compose.yml": """
        services:
          db:
            image: postgres:17
            environment:
              POSTGRES_PASSWORD: ${POSTGRES_PASSWORD}
            volumes:
              - data:/var/lib/postgresql/data
            healthcheck:
              test: ["CMD", "pg_isready"]
        volumes:
          data:
        """,
    "good/__manifest__.py": MANIFEST,
    "good/__init__.py": "",
    "good/lib/contract.py": "import pydantic\n",
    "good/models/shop_order.py": """
        from odoo import fields, models


        class ShopOrder(models.Model):
            _name = "shop.order"
            _description = "Order"

            company_id = fields.Many2one("res.company")
        """,
    "good/security/ir.model.access.csv": (
        "id,name,model_id:id,group_id:id,perm_read\naccess,x,model_shop_order,base.group_user,1\n"
    ),
    "good/security/rules.xml": """
        <odoo>
            <record id="shop_order_rule" model="ir.rule">
                <field name="model_id" ref="model_shop_order"/>
            </record>
        </odoo>
        """,
    "good/views/shop_order_views.xml": """
        <odoo>
            <record id="shop_order_view_form" model="ir.ui.view">
                <field name="model">shop.order</field>
            </record>
            <record id="shop_order_action" model="ir.actions.act_window">
                <field name="res_model">shop.order</field>
            </record>
            <menuitem id="shop_order_menu" action="shop_order_action"/>
        </odoo>
        """,
}


@pytest.fixture
def checkout(tmp_path: Path) -> Callable[..., Files]:
    """Factory of a checkout that breaks no rule, with the given files replaced or added.

    A value of None leaves the file out; a pair replaces the first text by the second.
    """

    def make(changes: dict[str, str | tuple[str, str] | None] | None = None) -> Files:
        contents = dict(GOOD)
        for name, change in (changes or {}).items():
            if isinstance(change, tuple):
                assert change[0] in contents[name], f"{change[0]!r} is not in {name}"
                contents[name] = contents[name].replace(*change)
            else:
                contents[name] = change
        for name, content in contents.items():
            if content is not None:
                file = tmp_path / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(textwrap.dedent(content).lstrip("\n"))
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
        return Files(tmp_path)

    return make
