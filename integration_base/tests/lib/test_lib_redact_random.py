"""Random documents in every format we store: a canary gets out of none of them."""

import json
import traceback
from urllib.parse import quote, urlencode
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.integration_base.lib.errors import InvalidPayloadError
from odoo.addons.integration_base.lib.redact import PERSONAL_KEYS, SECRET_KEYS, Redactor

CANARY = "C4nary-V4lue"
REDACTOR = Redactor()
KNOWN = Redactor(extra=[CANARY])

NAMES = st.sampled_from(["order", "line_item", "Total", "sku", "x", "ns:Item", "status"])
WORDS = st.text(st.characters(codec="ascii", categories=["L", "N", "Zs"]), max_size=10).filter(
    lambda text: CANARY not in text
)
#: Names, or paths of names, whose values are not stored.
GUARDED = st.sampled_from(
    [path.split(".") for path in (*SECRET_KEYS, *PERSONAL_KEYS, "password", "accessToken")]
)


def tree(leaf):
    """A nested document of ``leaf`` and harmless values."""
    return st.recursive(
        leaf | WORDS | st.integers() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=10,
    )


@st.composite
def guarded_tree(draw):
    """A nested document with the canary under a name, or path of names, that guards it."""
    *parents, name = draw(GUARDED)
    data = {name: CANARY, draw(NAMES): draw(WORDS)}
    for parent in reversed(parents):
        data = {parent: data, draw(NAMES): draw(tree(WORDS))}
    for _level in range(draw(st.integers(0, 3))):
        data = {draw(NAMES): draw(st.sampled_from([data, [data], [1, data]]))}
    return data


def xml(data, name="root"):
    if isinstance(data, dict):
        inner = "".join(xml(value, key) for key, value in data.items())
    elif isinstance(data, list):
        return "".join(xml(value, name) for value in data)
    else:
        inner = "" if data is None else escape(str(data))
    return f"<{name}>{inner}</{name}>"


def form(data, prefix=""):
    if isinstance(data, dict):
        pairs = [form(v, f"{prefix}[{k}]" if prefix else k) for k, v in data.items()]
    elif isinstance(data, list):
        pairs = [form(value, f"{prefix}[{number}]") for number, value in enumerate(data)]
    else:
        return urlencode({prefix: "" if data is None else data})
    return "&".join(filter(None, pairs))


FORMATS = {
    "json": (json.dumps, "application/json"),
    "json as text": (json.dumps, "text/plain"),
    "xml": (xml, "application/xml"),
    "soap": (
        lambda data: f'<?xml version="1.0"?><s:Envelope xmlns:s="urn:x">{xml(data)}</s:Envelope>',
        "text/xml",
    ),
    "form": (form, "application/x-www-form-urlencoded"),
}


@pytest.mark.parametrize("kind", FORMATS)
@given(data=guarded_tree())
def test_guarded_by_its_name(kind, data):
    write, content_type = FORMATS[kind]
    shown = REDACTOR.body(write(data).encode(), content_type)
    assert CANARY not in shown, shown


@given(guarded_tree(), st.floats(0, 1), st.sampled_from([None, 2]))
def test_guarded_in_json_cut_anywhere(data, where, indent):
    text = json.dumps(data, indent=indent)
    assert CANARY not in REDACTOR.body(text[: int(len(text) * where)])


@given(guarded_tree())
def test_guarded_in_a_url(data):
    assert CANARY not in REDACTOR.url(f"https://shop.example/a?{form(data)}#{form(data)}")


@pytest.mark.parametrize("kind", FORMATS)
@given(data=tree(st.just(CANARY)), name=st.sampled_from([CANARY, f"x{CANARY}y"]))
def test_known_value_in_names_and_values(kind, data, name):
    write, content_type = FORMATS[kind]
    shown = KNOWN.body(write({name: data, "b": [data]}).encode(), content_type)
    assert CANARY not in shown, shown


@given(
    st.sampled_from([ValueError, KeyError, InvalidPayloadError, UnicodeError]),
    st.sampled_from(
        [
            "password={}",
            "{{'email': '{}'}}",
            "https://user:{}@shop.example/x failed",
            "GET /customers?access_token={}&page=2",
            "header Authorization: Bearer {}",
            '{{"street": "{}"',
            "<Street>{}</Street>",
        ]
    ),
    WORDS,
)
def test_texts_of_exceptions(kind, frame, words):
    try:
        try:
            raise kind(f"{words} {frame.format(CANARY)}")
        except kind as error:
            raise RuntimeError(f"while working on {quote(words)}") from error
    except RuntimeError as error:
        shown = REDACTOR.text("".join(traceback.format_exception(error)))
    # the source line of this test does not hold it either
    assert CANARY not in shown, shown
    assert "RuntimeError" in shown


@given(GUARDED.filter(lambda path: len(path) == 1), NAMES)
def test_xml_attributes(path, element):
    shown = REDACTOR.text(f"<{element} n='1' {path[0]}={quoteattr(CANARY)}><x/></{element}>")
    assert CANARY not in shown, shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "<ShipTo><Name>Anna</Name><City>Berlin</City></ShipTo>",
            "<ShipTo><Name>***</Name><City>Berlin</City></ShipTo>",
        ),
        ("<Item><Name>Hat</Name></Item>", "<Item><Name>Hat</Name></Item>"),
        # nobody looks into what is secret as a whole
        (
            "<Credentials><a>x</a><b><c>y</c></b></Credentials><d>z</d>",
            "<Credentials><a>***</a><b><c>***</c></b></Credentials><d>z</d>",
        ),
        ("<customer>\n <x/>\n <name>Anna", "<customer>\n <x/>\n <name>***"),
        ("<a:customer><b:name>Anna</b:name></a:customer><name>Hat</name>", None),
        ("</x></y><recipient></z><name><![CDATA[Anna]]></name></recipient>", None),
        ("a < b and c > d", "a < b and c > d"),
    ],
)
def test_elements(text, shown):
    result = REDACTOR.text(text)
    if shown is not None:
        assert result == shown
    assert "Anna" not in result
    assert ("Hat" in result) == ("Hat" in text)


def test_twice_is_the_same_as_once_in_xml():
    text = "<ShipTo><Name>Anna</Name><Credentials><a>x</a></Credentials></ShipTo>"
    once = REDACTOR.text(text)
    assert REDACTOR.text(once) == once
