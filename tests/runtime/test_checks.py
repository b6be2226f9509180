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
    "a method in two files": (
        {
            "good/models/shop_return.py": f"{RETURN}    def _go(self): ...\n",
            "good/models/shop_return_stock.py": RETURN.replace("_name", "_inherit")
            + "    def _go(self): ...\n",
        },
        "good/models/shop_return_stock.py",
        "call super()",
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

#: Line of a method -> words of the finding, or None where nothing is wrong with it.
LINES = {
    "self.sudo()": "# sudo:",
    "self.sudo(True).name": "# sudo:",
    "self.sudo(flag)": "# sudo:",
    "self.with_user(SUPERUSER_ID)": "# sudo:",
    "self.with_user(odoo.SUPERUSER_ID)": "# sudo:",
    "api.Environment(cr, 1, {}, su=True)": "# sudo:",
    "self.env(su=flag)": "# sudo:",
    "# sudo:\nself.sudo()": "# sudo:",
    "# because\nself.sudo()": "# sudo:",
    "# sudo: of another line\n\nself.sudo()": "# sudo:",
    "# sudo: of another statement\nself.name\nself.sudo()": "# sudo:",
    "if flag:  # sudo: of the condition\n    self.sudo()": "# sudo:",
    "self.sudo()  # sudo: nobody is logged in": None,
    "# sudo: nobody is logged in\nself.sudo()": None,
    "# superuser: nobody is logged in\nself.with_user(SUPERUSER_ID)": None,
    "# sudo: nobody is logged in, and\n# that is right\nself.sudo()": None,
    "# sudo: nobody is logged in\nself.search(\n    []\n).sudo()": None,
    "self.search(\n    []\n).sudo()  # sudo: nobody is logged in": None,
    "for row in self.sudo():  # sudo: nobody is logged in\n    row.name": None,
    "self.sudo(False)": None,
    "self.sudo(flag=False)": None,
    "self.env(su=False)": None,
    '"sudo() and SUPERUSER_ID"': None,
    "import requests": "lib/http.py",
    "from urllib import request": "lib/http.py",
    "from urllib.request import urlopen": "lib/http.py",
    "import http.client": "lib/http.py",
    "from http import client": "lib/http.py",
    "from urllib3.util import Retry": "lib/http.py",
    "import socket": "lib/http.py",
    "from urllib.parse import urlsplit": None,
    "from http import HTTPStatus": None,
    "from .requests import x": None,
    "import pickle": "use JSON",
    "from marshal import loads": "use JSON",
    "eval('1')": "eval()",
    "exec('1')": "exec()",
    "self.eval('1')": None,
    "yaml.load(x)": "yaml.safe_load",
    "from yaml import load": "yaml.safe_load",
    "yaml.safe_load(x)": None,
    "session.get(url, verify=False)": "always verified",
    "session.get(url, verify=0)": "always verified",
    "session.verify = False": "always verified",
    "session.get(url, **{'verify': False})": "always verified",
    "context.check_hostname = False": "always verified",
    "context.verify_mode = ssl.CERT_NONE": "always verified",
    "ssl._create_unverified_context()": "always verified",
    "session.get(url, verify=True)": None,
    "session.get(url, verify=bundle)": None,
    "from lxml import etree\netree.fromstring(x)": "lib/xml_strict.py",
    "import lxml.etree\nlxml.etree.parse(x).getroot()": "lib/xml_strict.py",
    "from lxml import objectify as o\no.fromstring(x)": "lib/xml_strict.py",
    "from lxml.etree import XML\nXML(x)": "lib/xml_strict.py",
    "from xml.etree import ElementTree as ET\nET.iterparse(x)": "lib/xml_strict.py",
    "from xml.dom.minidom import parseString\nparseString(x)": "lib/xml_strict.py",
    "from lxml import etree\netree.Element('parse')": None,
    "self.parse(x)": None,
}


def method(text):
    """A model with these lines in a method."""
    head = "from odoo import models\n\n\nclass A(models.AbstractModel):\n    def a(self):\n"
    return head + textwrap.indent(text, " " * 8) + "\n"


@pytest.mark.parametrize("text", LINES)
def test_dangerous_lines(checkout, text):
    hint = LINES[text]
    findings = run_rules(checkout({"good/models/other.py": method(text)}))
    # what is not declared in a manifest is another rule's
    found = [f.message for f in findings if "external_dependencies" not in f.message]
    assert len(found) == (hint is not None), found
    assert not hint or hint in found[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("good/lib/http.py", "import http.client\nimport socket\n"),
        ("good/lib/address_guard.py", "import socket\n"),
        ("good/lib/xml_strict.py", "from lxml import etree\n\netree.fromstring(x)\n"),
        ("good/tests/test_x.py", "import socket\n\neval(socket).sudo()\n"),
    ],
)
def test_where_it_is_allowed(checkout, name, text):
    assert run_rules(checkout({name: text})) == []


def test_client_of_models_is_not_the_one_of_lib(checkout):
    assert run_rules(checkout({"good/models/http.py": "import socket\n"}))


@pytest.mark.parametrize("name", BREACHES)
def test_breach_is_found(checkout, name):
    changes, file, hint = BREACHES[name]
    findings = run_rules(checkout(changes))
    assert any(found.file == file and hint in found.message for found in findings), findings


def test_one_cause_makes_one_finding(checkout):
    findings = run_rules(checkout({MANIFEST: ('"LGPL-3"', '"AGPL-3"')}))
    assert len(findings) == 1
