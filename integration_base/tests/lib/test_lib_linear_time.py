"""Twice as long a text takes twice the time: whoever can send one must not keep a process busy.

Patterns of regular expressions are where it goes wrong, on texts that repeat a piece of what they
look for. All such pieces are tried, each behind what may open something that never ends.
"""

import logging
import time
from contextlib import suppress

import pytest

from odoo.addons.integration_base.lib.address_guard import origin_of, read_private_hosts
from odoo.addons.integration_base.lib.errors import IntegrationError
from odoo.addons.integration_base.lib.http import Response
from odoo.addons.integration_base.lib.log_filter import HideQuery
from odoo.addons.integration_base.lib.log_secrets import KnownSecrets
from odoo.addons.integration_base.lib.person import Person, erased
from odoo.addons.integration_base.lib.redact import Redactor
from odoo.addons.integration_base.lib.xml_strict import parse_strict

PIECES = (
    *"aA1 4\t\n\"'\\:=&;,</>?#@%+-{}[]._|(",
    *(
        "\r\n",
        '\\"',
        "=>",
        "://",
        "%40",
        "00",
        "-----BEGIN ",
        '":',
        '[{"',
        "name",
        "name=",
        '"name"',
    ),
    *('"value":', '"address":', '"address":{', "password", "password=", "password:", '"token":"'),
    *(
        "content-disposition:",
        "content-disposition: name=a",
        "Cookie:",
        "a-b: ",
        "bearer ",
        "Basic ",
    ),
    *(
        "eyJ",
        "eyJ.",
        "gAAAA",
        "xoxb-",
        "shpat_",
        "sk_live_",
        "<a",
        "<a ",
        "</a",
        "<name>",
        "<value>",
    ),
    *("<![CDATA[", "<!--", "<?", "<?xml ", "\\u", "\\u00", "null", "é", "\u3000", 'x="', "x='"),
    *(
        "street: ",
        "\n-",
        "\n ",
        "value=",
        "1.",
        "a.",
        "a[",
        "a[b]",
        "1-",
        " 1",
        "%2F",
        "| ",
        "</script",
    ),
)
OPENINGS = {
    "text": ("", '"password": "', "<a ", "form-data value content-disposition: name="),
    "body": ("{", "[1, "),
}
SHORT = 2000
TIMES = 8

REDACTOR = Redactor(keys=["gift.text"], extra=["a-known-secret"])
PERSON = Person.of(
    contacts=['"Jo" <jo@x.example>', "\\jo@x.example", "+49 171 2345678"],
    names=['\\Jane "J" Doe', "/Main Street/ 5", "a  b  c"],
)
ERASER = PERSON.redactor()
SECRETS = KnownSecrets()
for value in ("a-known-secret", "aaaaaaaab", "\\\\\\\\\\\\\\\\b"):
    SECRETS.add(value)
HIDE_QUERY = HideQuery("/integration/auth")


def xml(text):
    for begin in ("", "<?xml version='1.0'", "<a>"):
        with suppress(IntegrationError):
            parse_strict((begin + text).encode())


def host(text):
    for read in (origin_of, lambda url: origin_of(f"https://{url}"), read_private_hosts):
        with suppress(IntegrationError):
            read(text)


def log(text):
    text = f"GET /integration/auth?{text}"
    HIDE_QUERY.filter(logging.LogRecord("", logging.INFO, "", 1, "%s", (text,), None))
    SECRETS.mask(text)


def page(text):
    Response(500, {"Content-Type": "text/html"}, f"<html>{text}".encode(), 1).excerpt()


def person(text):
    PERSON.is_in(text)
    PERSON.owns(text)
    PERSON.excerpts(text)
    erased(text, PERSON, ERASER)


def form(text):
    REDACTOR.body(text, "application/x-www-form-urlencoded")


READERS = {
    "text": REDACTOR.text,
    "body": REDACTOR.body,
    "url": REDACTOR.url,
    "form": form,
    "person": person,
    "xml": xml,
    "host": host,
    "log": log,
    "page": page,
}


def seconds(reader, opening, piece, length):
    text = (opening + piece * (length // len(piece) + 1))[:length]
    started = time.process_time()
    reader(text)
    return time.process_time() - started


def is_linear(reader, opening, piece):
    """Whether more text takes in proportion more time, with a wide margin for a busy machine."""
    for _attempt in range(3):
        once = seconds(reader, opening, piece, SHORT)
        longer = seconds(reader, opening, piece, TIMES * SHORT)
        if longer < 3 * TIMES * once + 0.03:
            return True
        if longer > 3:
            return False
    return False


@pytest.mark.parametrize("name", READERS)
def test_time_grows_with_the_text(name):
    slow = [
        (opening, piece)
        for opening in OPENINGS.get(name, ("",))
        for piece in PIECES
        if not is_linear(READERS[name], opening, piece)
    ]
    assert not slow
