"""Redaction: a canary survives nowhere, what is harmless stays readable, nothing ever raises."""

import json
import time
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.integration_base.lib.redact import (
    MAX_TEXT,
    PERSONAL_KEYS,
    SECRET_KEYS,
    Redactor,
)

CANARY = "C4naryValue"
REDACTOR = Redactor()

#: Every spelling a service may use for a secret field.
SPELLINGS = """
password Password user_password clientSecret client_secret X-Api-Key apiKey api-key
access_token accessToken refresh_token token webhookToken private_key credentials
Authorization hmac x-signature Cookie session_id card_number
"""
SECRET_NAMES = st.sampled_from([*SECRET_KEYS, *SPELLINGS.split()])
PERSONAL_NAMES = st.sampled_from([name for name in PERSONAL_KEYS if "." not in name])
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
    lambda name: CANARY not in name
)
PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
SECRET_VALUES = st.just(CANARY) | st.lists(st.just(CANARY), min_size=1, max_size=2)


def canary_in(kind):
    """JSON of any shape with the canary below names of the given kind."""
    return st.recursive(
        PLAIN | st.dictionaries(kind, SECRET_VALUES, max_size=2),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(NAMES, inner, max_size=3)
            | st.dictionaries(kind, SECRET_VALUES, max_size=2)
        ),
        max_leaves=10,
    ).filter(lambda data: isinstance(data, (dict, list)))


@given(canary_in(SECRET_NAMES | PERSONAL_NAMES), st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_json_stays_json_without_the_canary(data, ascii_only, indent):
    text = json.dumps(data, ensure_ascii=ascii_only, indent=indent)
    for body in (text, text.encode("utf-8", "surrogatepass")):
        shown = REDACTOR.body(body, "application/json")
        assert CANARY not in shown
        json.loads(shown)
    assert CANARY not in json.dumps(REDACTOR.data(data))


@given(canary_in(SECRET_NAMES), st.booleans())
def test_json_inside_of_json(data, twice):
    inner = json.dumps({"payload": json.dumps(data)}) if twice else json.dumps(data)
    assert CANARY not in REDACTOR.body(json.dumps({"message": inner}))


@given(canary_in(SECRET_NAMES), st.floats(0, 1), st.sampled_from([None, 2]))
def test_json_cut_anywhere(data, where, indent):
    text = json.dumps([data], indent=indent)
    assert CANARY not in REDACTOR.body(text[: int(len(text) * where)])


@given(
    canary_in(SECRET_NAMES), st.sampled_from(["x{}", "{}x", "{}}}", "data: {}\n\n", "error in {}"])
)
def test_json_with_something_around(data, frame):
    assert CANARY not in REDACTOR.text(frame.format(json.dumps(data)))


@given(canary_in(SECRET_NAMES))
def test_python_repr(data):
    assert CANARY not in REDACTOR.text(f"KeyError: {data!r}")


@given(
    SECRET_NAMES | PERSONAL_NAMES,
    st.dictionaries(st.text("abc", min_size=1), st.text(max_size=5), max_size=2),
    st.sampled_from(["{}", "a[{}]", "customer[{}]", "a[0][{}]", "a.{}"]),
)
def test_urls_and_forms(name, others, shape):
    query = urlencode({**others, shape.format(name): CANARY, "last": "1"})
    assert CANARY not in REDACTOR.url(f"https://shop.example/a/b?{query}#x")
    assert CANARY not in REDACTOR.url(f"https://shop.example/a/b#{query}")
    form = REDACTOR.body(query, "application/x-www-form-urlencoded")
    assert CANARY not in form
    assert dict(parse_qsl(form, keep_blank_values=True))["last"] == "1"


@given(
    st.text(min_size=6).filter(lambda value: value.strip() == value and "***" not in value),
    canary_in(SECRET_NAMES),
)
def test_known_values_go_wherever_they_are(value, data):
    redactor = Redactor(extra=[value])
    everything = {"note": f"it is {value}!", f"key{value}": [data, value]}
    for shown in (
        redactor.body(json.dumps(everything)),
        redactor.body(json.dumps(everything)[:-1]),
        redactor.text(f"error: {value}"),
        redactor.url(f"https://shop.example/{quote(value, safe='')}?{urlencode({'q': value})}"),
        " ".join(redactor.headers({"X-Echo": value}).values()),
    ):
        assert value not in shown
        assert quote(value, safe="") not in shown


SECRET_TEXTS = [
    f"Authorization: Bearer {CANARY}.x-y",
    f"authorization: Basic {CANARY}==",
    f"Cookie: a=1; b={CANARY}; c=2",
    f"Set-Cookie: s={CANARY}; Path=/",
    f"X-Api-Key: {CANARY}",
    f"curl -H 'X-Shopify-Access-Token: {CANARY}'",
    f"shpat_{CANARY}",
    f"token=shpss_{CANARY},",
    f"sk_live_{CANARY} and rk_test_{CANARY}",
    f"whsec_{CANARY}+/=",
    f"eyJhbGciOiJIUzI1NiJ9.{CANARY}.sig",
    f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
    f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
    f"https://user:{CANARY}@host.example/path",
    f"postgresql://{CANARY}@host/db",
    f"GET /a?access_token={CANARY}&b=1 failed",
    f"GET https://maps.example/x?key={CANARY}&b=1",
    f"password = {CANARY}",
    f"password='two words {CANARY}'",
    f"<Password>{CANARY}</Password>",
    f'<wsse:Password Type="x"> {CANARY}</wsse:Password>',
    f"<Password><![CDATA[{CANARY}]]></Password>",
    f'<Auth Password="{CANARY}"/>',
    f"{{'client_secret': '{CANARY}'}}",
    f"client_secret=>{CANARY}",
    f"mail {CANARY}@shop.example now",
    f"mail <o'brien.{CANARY}+x@sub.shop.example>",
    f"to={CANARY}%40shop.example&x",
    f'\\"password\\": \\"{CANARY}\\"',
    f'"pass\\u0077ord": "{CANARY}',
    f'"credentials": {{"a": "{CANARY}"',
    f'"token" : ["{CANARY}"',
]


@pytest.mark.parametrize("text", SECRET_TEXTS)
def test_secrets_in_free_text(text):
    assert CANARY not in REDACTOR.text(text)
    assert CANARY not in REDACTOR.body(f"before\n{text}\nafter")
    assert CANARY not in REDACTOR.body(json.dumps({"message": text}))
    assert CANARY not in REDACTOR.headers({"X-Debug": text})["X-Debug"]


@pytest.mark.parametrize(
    "card",
    ["4242424242424242", "4242 4242 4242 4242", "5555-5555-5555-4444", "378282246310005",
     "6011111111111117", "3530111333300000"],
)  # fmt: skip
@pytest.mark.parametrize("frame", ["{}", "card {}.", "({})", "no 7 {} 12 27", '{{"number": "{}"}}'])
def test_card_numbers(card, frame):
    assert card not in REDACTOR.body(frame.format(card))
    if card.isdigit():
        assert card not in REDACTOR.body(json.dumps({"number": int(card)}))


@pytest.mark.parametrize(
    "text",
    [
        "4242424242424243",
        "order 5534563762289 of 2026-11-20T12:00:00Z",
        "gid://shopify/Order/4242424242424242",
        "/admin/orders/4242424242424242.json",
        "Basic information is missing, the token has expired",
        "HTTP 422: line_items[0].sku can't be blank",
        '{"query": "query($first: Int!) { orders(first: $first) { nodes { id name } } }"}',
        '{"key": "color", "value": "red", "name": "#1001", "total": "19.99", "has_password": true}',
        '{"errors": [{"message": "Field \'x\' doesn\'t exist", "extensions": {"code": "A"}}]}',
        '{"secret": null, "token": "", "n": 1.5, "ean": 4006381333931}',
        "<Order><Sku>A-1</Sku><Qty>2</Qty></Order>",
        "10.0.0.1 1.234,56 12/27 (100 %)",
    ],
)
def test_the_rest_stays_readable(text):
    assert REDACTOR.text(text) == text
    assert REDACTOR.body(text) == text


def test_urls_stay_as_they_are():
    url = "https://shop.example:8443/admin/api/x.json?first=250&q=a+b%20c&after=eyJsIjox#frag"
    assert REDACTOR.url(url) == url
    assert REDACTOR.url("https://u:p@shop.example/x?a=1&token=t") == (
        "https://***@shop.example/x?a=1&token=***"
    )


def test_headers():
    shown = REDACTOR.headers(
        {
            "Authorization": f"Bearer {CANARY}",
            "X-Shopify-Access-Token": CANARY,
            "X-Shopify-Hmac-Sha256": CANARY,
            "Stripe-Signature": CANARY,
            "set-cookie": CANARY,
            "x-odd": CANARY,
            "Content-Type": "application/json",
            "Retry-After": "2.0",
            "Location": f"https://shop.example/?token={CANARY}",
            b"X-Bytes": b"\xff",
        }
    )
    assert CANARY in shown.pop("x-odd")
    assert CANARY not in str(shown)
    assert (shown["Content-Type"], shown["Retry-After"]) == ("application/json", "2.0")
    assert Redactor(headers=["X-Odd"]).headers({"x-odd": CANARY}) == {"x-odd": "***"}
    assert REDACTOR.headers(None) == {}


def test_personal_data_is_optional():
    data = {
        "name": "#1001",
        "email": f"{CANARY}@x.example",
        "shippingAddress": {"name": CANARY, "address1": CANARY, "countryCode": "DE", "zip": CANARY},
        "customer": {"first_name": CANARY, "name": CANARY},
        "note": f"call +49 171 {'2345678'}",
    }
    shown = REDACTOR.data(data)
    assert CANARY not in str(shown) and "2345678" not in str(shown)
    assert (shown["name"], shown["shippingAddress"]["countryCode"]) == ("#1001", "DE")
    kept = Redactor(personal=False)
    assert kept.data(data) == data
    assert CANARY not in str(kept.data({"password": CANARY}))


def test_own_keys_paths_and_patterns():
    redactor = Redactor(keys=["voucher", "card.number"], patterns=[r"GIFT-\d+"])
    shown = redactor.data(
        {"Voucher": CANARY, "card": [{"number": CANARY}], "number": "7", "t": "use GIFT-123 now"}
    )
    assert shown == {
        "Voucher": "***",
        "card": [{"number": "***"}],
        "number": "7",
        "t": "use *** now",
    }


def test_with_secrets_adds_to_what_is_known():
    redactor = Redactor(extra=["first-value"]).with_secrets(["second-value", ""])
    assert redactor.text("first-value second-value") == "*** ***"
    assert redactor.with_secrets(["second-value"]) is redactor


def test_names_that_fall_together_keep_their_values():
    shown = REDACTOR.data({"a@x.example": 1, "b@x.example": 2})
    assert sorted(shown.values()) == [1, 2]


@pytest.mark.parametrize(
    ("body", "content_type", "shown"),
    [
        (None, "", ""),
        (b"", "application/pdf", ""),
        (b"%PDF-1.4 abc", "application/pdf", "<12 bytes of application/pdf>"),
        (b"GIF89a\0\0", "", "<8 bytes of binary data>"),
        (b"caf\xe9", "text/plain", "caf\ufffd"),
        (b'\xef\xbb\xbf{"token": "x"}', "", '{"token": "***"}'),
    ],
)
def test_bodies_that_are_no_text(body, content_type, shown):
    assert REDACTOR.body(body, content_type) == shown


def test_secret_at_the_cut_of_a_huge_text():
    for offset in range(0, len(CANARY) * 2, 3):
        text = "x " * ((MAX_TEXT - offset) // 2) + f"token_{CANARY}"
        redactor = Redactor(extra=[f"token_{CANARY}"])
        shown = redactor.text(text)
        assert "C4n" not in shown and "tok" not in shown
        assert redactor.body(text.encode()) == shown


HOSTILE = {
    "letters": "a",
    "quotes": '"',
    "names": '"a":',
    "at": "a@",
    "percent": "%40",
    "digits": "4",
    "groups": "4 ",
    "braces": '{"a":[',
    "backslashes": "\\",
    "escaped quotes": '\\"',
    "tags": "<a",
    "long tag": "<" + "a" * MAX_TEXT,
    "cdata": "<a><![CDATA[",
    "userinfo": "://a",
    "pem": "-----BEGIN PRIVATE KEY-----",
    "jwt": "eyJ",
    "jwt parts": "eyJ.",
    "bearer": "bearer ",
    "spaces": " ",
    "equals": "a=",
    "password": "password=",
    "password quoted": '"password": "\\',
    "phone": "+1",
    "brackets": "a[b]",
    "dots": "a.",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_texts_take_no_time(kind):
    text = (HOSTILE[kind] * (MAX_TEXT // len(HOSTILE[kind]) + 1))[:MAX_TEXT]
    started = time.process_time()
    REDACTOR.body(text)
    REDACTOR.url(text)
    assert time.process_time() - started < 6, "quadratic time would be minutes"


def test_deep_json():
    deep = '{"a":' * 900 + f'"{CANARY}"' + "}" * 900
    assert "C4n" not in REDACTOR.body(deep)
    json.loads(REDACTOR.body(deep))
    assert isinstance(REDACTOR.body("[" * 100_000), str)


def test_nothing_raises_and_what_fails_is_not_shown():
    class Broken:
        def __str__(self):
            raise RuntimeError(CANARY)

    for shown in (
        REDACTOR.text(Broken()),
        REDACTOR.url(Broken()),
        REDACTOR.data({"a": Broken()}),
        REDACTOR.body(Broken()),
        REDACTOR.headers({"a": Broken()})["a"],
    ):
        assert "could not be redacted" in shown


@given(st.text() | st.binary(), st.text(max_size=20))
def test_any_body_is_taken(body, content_type):
    assert isinstance(REDACTOR.body(body, content_type), str)
    if isinstance(body, str):
        assert isinstance(REDACTOR.text(body), str)
        assert isinstance(REDACTOR.url(body), str)


@pytest.mark.parametrize(
    "body",
    [
        '{"a": "\\ud800"}',
        '{"a\\udfff": "\\u0000"}',
        '{"a": "\ud800"}',
        "x" * 2000 + "\0",
        b"x" * 2000 + b"\0\xff",
        "[\ud800",
    ],
)
def test_everything_kept_can_be_stored(body):
    for shown in (REDACTOR.body(body), REDACTOR.text(body), REDACTOR.url(body)):
        assert "\0" not in shown
        shown.encode()


@given(canary_in(SECRET_NAMES))
def test_twice_is_the_same_as_once(data):
    once = REDACTOR.body(json.dumps(data))
    assert REDACTOR.body(once) == once


@given(st.text("abcdef0123456789-_.~", max_size=30), st.integers(0, 10**18))
def test_harmless_parameters_survive(value, number):
    shown = REDACTOR.url(f"https://shop.example/?since_id={number}&handle={value}")
    assert dict(parse_qsl(urlsplit(shown).query))["since_id"] in (str(number), "***")
