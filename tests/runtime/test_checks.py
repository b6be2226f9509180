"""Each rule of `./run check` accepts what is right, and names file and way out of what is wrong."""

import textwrap

import pytest
from runtime.checks import run_rules

COMPOSE = "docker-compose.yml"
MANIFEST = "good/__manifest__.py"
MODEL = "good/models/shop_order.py"
RETURN = 'class A(models.Model):\n    _name = "shop.return"\n'
INDENTED = textwrap.indent(RETURN, " " * 8).lstrip()
VIEWS = "good/views/shop_order_views.xml"


def test_good_checkout_has_no_findings(checkout):
    assert run_rules(checkout()) == []


BREACHES = {
    "no licence text": ({"LICENSE": None}, "LICENSE", "LGPL"),
    "other licence": ({MANIFEST: ('"LGPL-3"', '"AGPL-3"')}, MANIFEST, "AGPL-3"),
    "version": ({MANIFEST: ("19.0.1.0.0", "1.0")}, MANIFEST, "19.0.1.0.0"),
    "no summary": ({MANIFEST: ('"summary": "Good",', "")}, MANIFEST, "summary"),
    "data file missing": ({VIEWS: None}, MANIFEST, "views/shop_order_views.xml"),
    "data file not loaded": ({"good/data/x.xml": "<odoo/>"}, "good/data/x.xml", "list it"),
    "undeclared import": (
        {"good/models/other.py": "import stripe\n"},
        "good/models/other.py",
        "external_dependencies",
    ),
    "declared, not required": ({"requirements.txt": ""}, "requirements.txt", "pydantic"),
    "required, not pinned": (
        {".ci/runtime/requirements.lock": ""},
        ".ci/runtime/requirements.lock",
        "pydantic",
    ),
    "file name": ({"good/models/x.py": RETURN}, "good/models/x.py", "shop_return.py"),
    "two models in a file": (
        {MODEL: ("class ShopOrder", f"{INDENTED}\n        class ShopOrder")},
        MODEL,
        "give each a file",
    ),
    "Odoo in lib": ({"good/lib/x.py": "from odoo import api\n"}, "good/lib/x.py", "models/"),
    "name of a view": ({VIEWS: ("shop_order_view_form", "form_view")}, VIEWS, "shop_order_view_"),
    "name of an action": (
        {VIEWS: ('id="shop_order_action"', 'id="open_orders"')},
        VIEWS,
        "shop_order_action",
    ),
    "name of a menu": ({VIEWS: ("shop_order_menu", "shop_orders")}, VIEWS, "_menu"),
    "id used twice": (
        {VIEWS: ('id="shop_order_action"', 'id="shop_order_view_form"')},
        VIEWS,
        "also defined",
    ),
    "no access rights": (
        {"good/security/ir.model.access.csv": ("model_shop_order", "model_other")},
        MODEL,
        "ir.model.access.csv",
    ),
    "no record rule": (
        {"good/security/rules.xml": ("model_shop_order", "model_other")},
        MODEL,
        "ir.rule",
    ),
    "dialog without record rule": (
        {
            MODEL: ("models.Model", "models.TransientModel"),
            "good/security/rules.xml": ("model_shop_order", "model_other"),
        },
        MODEL,
        "create_uid",
    ),
    "compose file missing": ({COMPOSE: None}, COMPOSE, "missing"),
    "compose file broken": ({COMPOSE: "services: ["}, COMPOSE, "YAML"),
    "no healthcheck": ({COMPOSE: ("healthcheck:", "x-check:")}, COMPOSE, "healthcheck"),
    "image without version": ({COMPOSE: ("postgres:17", "postgres:latest")}, COMPOSE, "version"),
    "volume not declared": ({COMPOSE: ("- data:", "- other:")}, COMPOSE, "other"),
    "secret written out": ({COMPOSE: ("${POSTGRES_PASSWORD}", "1234")}, COMPOSE, "written out"),
    "folder of one machine": ({"README.md": "see /ho" + "me/me/x\n"}, "README.md", "one machine"),
    "package index": ({"README.md": "--index" + "-url x\n"}, "README.md", "package index"),
}


@pytest.mark.parametrize("name", BREACHES)
def test_breach_is_found(checkout, name):
    changes, file, hint = BREACHES[name]
    findings = run_rules(checkout(changes))
    assert any(found.file == file and hint in found.message for found in findings), findings


def test_one_cause_makes_one_finding(checkout):
    findings = run_rules(checkout({MANIFEST: ('"LGPL-3"', '"AGPL-3"')}))
    assert len(findings) == 1
