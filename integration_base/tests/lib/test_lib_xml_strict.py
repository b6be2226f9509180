"""XML from outside: what is taken, and that nothing in it is executed, fetched or blown up."""

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from wire import Wire, answer

from odoo.addons.integration_base.lib import xml_strict
from odoo.addons.integration_base.lib.errors import InvalidPayloadError
from odoo.addons.integration_base.lib.xml_strict import DamagedXmlError, parse_strict


def refused(data, **options) -> InvalidPayloadError:
    with pytest.raises(InvalidPayloadError) as caught:
        parse_strict(data, what="The answer of carrier.example", **options)
    error = caught.value
    assert error.message.startswith("The answer of carrier.example cannot be read: ")
    assert error.__cause__ is None and error.__context__ is None
    return error


# === TAKEN === #


@pytest.mark.parametrize(
    "data",
    [
        b"<a>\xc3\xa9</a>",
        b"\xef\xbb\xbf<a>\xc3\xa9</a>",
        b'<?xml version="1.0"?><a>\xc3\xa9</a>',
        b"<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>\r\n<a>\xc3\xa9</a>",
        b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?><a>\xc3\xa9</a>',
        b'<?xml version="1.0" encoding="ISO-8859-1"?><a>\xe9</a>',
        b'<?xml version="1.0" encoding="latin1"?><a>\xe9</a>',
        b'<?xml version="1.0" encoding="windows-1252"?><a>\xe9</a>',
        b'<?xml version="1.0" encoding="ISO-8859-15"?><a>\xe9</a>',
        b'<?xml version="1.0" encoding="US-ASCII"?><a>&#233;</a>',
        '\ufeff<?xml version="1.0" encoding="UTF-16"?><a>\u00e9</a>'.encode("utf-16-le"),
        "\ufeff<a>\u00e9</a>".encode("utf-16-be"),
        b"<a>&#xe9;</a>",
        b"<a><![CDATA[\xc3\xa9]]></a>",
        b'<?xml-stylesheet href="http://127.0.0.1/x"?><!-- note --><a>\xc3\xa9</a><!-- end -->',
        bytearray(b"  \n<a>\xc3\xa9</a>\n"),
    ],
)
def test_documents(data):
    root = parse_strict(data)
    assert (root.tag, root.text, len(root)) == ("a", "\u00e9", 0)


def test_texts_are_not_cut_by_comments():
    """Whoever reads ``.text`` would otherwise see user@shop.example."""
    root = parse_strict(b"<a>user@shop.example<!-- -->.evil.example<?x?>!</a>")
    assert root.text == "user@shop.example.evil.example!"


def test_namespaces_attributes_and_page_in_a_text():
    root = parse_strict(
        b'<s:E xmlns:s="urn:s"><b c="1 &lt; 2"/><![CDATA[<!DOCTYPE html><p>]]></s:E>'
    )
    assert root.tag == "{urn:s}E"
    assert root[0].get("c") == "1 < 2"
    assert root[0].tail == "<!DOCTYPE html><p>"


# === REFUSED === #


@pytest.mark.parametrize(
    ("data", "words", "damaged"),
    [
        (b"", "it is empty", True),
        (b" \n", "it is empty", True),
        (b'<?xml version="1.0"?>', "it is empty", True),
        (b"<a><b></a>", "not XML, opening and ending tag mismatch", True),
        (b"<a><b>", "a part is missing (line 1, column 7)", True),
        (b"<a>text", "a part is missing", True),
        (b"<a/><b/>", "not XML, extra content at the end", True),
        (b"<!-- a", "not XML", True),
        (b"<?a", "not XML", True),
        (b" <?a", "not XML", True),
        (b"  <!-- a", "not XML", True),
        (b"XXXX<a/>", "not XML, start tag expected", True),
        (b"OK", "not XML, start tag expected", True),
        (b'{"a": 1}', "not XML", True),
        (b"<a b=1/>", "not XML", True),
        (b"<a b='1' b='2'/>", "not XML, attribute b redefined", True),
        (b"<a>&nbsp;</a>", "not XML, entity 'nbsp' not defined", True),
        (b"<a>&#0;</a>", "not XML", True),
        (b"<a>\x01</a>", "not XML", True),
        (b"<a/>\0", "NUL", True),
        (b"<a>\xe9</a>", "it is not UTF-8 text (byte 3)", True),
        (b'<?xml version="1.0" encoding="utf-8"?><a>\xff</a>', "not UTF-8 text (byte 41)", True),
        (b'<?xml version="1.0" encoding="US-ASCII"?><a>\xe9</a>', "not ASCII text", True),
        ("\ufeff<a/>".encode("utf-32-le"), "NUL", True),
        (b"\xff\xfe<\x00a", "it is not UTF-16-LE text", True),
        (b'<?xml version="1.0" encoding="utf-7"?><a/>', "encoding utf-7 is not supported", False),
        (b'<?xml version="1.0" encoding="UTF-16"?><a/>', "UTF-16 is not supported", False),
        (b'<?xml version="1.0" encoding="cp037"?><a/>', "cp037 is not supported", False),
        (b'<?xml version="1.0" encoding="zip"?><a/>', "zip is not supported", False),
        (b'<?xml version="1.0" encoding="none"?><a/>', "none is not supported", False),
        (b'<?xml encoding="utf-8"?><a/>', "declaration cannot be read", True),
        (b'<?xml version="1.0"?><?xml version="1.0" encoding="utf-7"?><a/>', "declaration", True),
        (b' <?xml version="1.0"?><a/>', "declaration cannot be read", True),
    ],
)
def test_what_is_no_document(data, words, damaged):
    error = refused(data)
    assert words in error.message
    assert isinstance(error, DamagedXmlError) is damaged
    assert error.problems[0][1] in error.message


AFTER = "Nothing was changed. Try again later; if it stays, tell the other side's support."


@pytest.mark.parametrize(
    ("data", "options", "reason", "where"),
    [
        (b"", {}, "it is empty", ""),
        (b"<a/>\0", {}, "it contains a NUL character", ""),
        (b"<!DOCTYPE a><a/>", {}, "it has a document type definition (DTD), which is not accepted",
         ""),
        (b"<?xml?><a/>", {}, "its XML declaration cannot be read", ""),
        (b"<a>" * 65 + b"</a>" * 65, {}, "it is nested deeper than 64 levels", ""),
        (b"<a>" * 300, {}, "it is nested deeper than 64 levels", "line 1, column 772"),
        (b"<a>\n<b>", {}, "it ends in the middle, a part is missing", "line 2, column 4"),
        (b"<a>\xff</a>", {}, "it is not UTF-8 text", "byte 3"),
        (b"<a>1234</a>", {"max_bytes": 10}, "it is larger than 10 bytes", ""),
        (b"<a>1234</a>" * 1000, {"max_bytes": 10_000}, "it is larger than 10,000 bytes", ""),
        (b"<a b='1' b='1'/>", {}, "it is not XML, attribute b redefined", "line 1, column 15"),
        (b'<?xml version="1.0" encoding="EBCDIC"?><a/>', {},
         "its encoding EBCDIC is not supported", ""),
        (b"<a " + b"x" * 300 + b"=1/>", {},
         "it is not XML, attValue: \" or ' expected", "line 1, column 305"),
        (b"<a>" + b"x" * 11_000_000 + b"</a>", {}, "a text in it is too long",
         "line 1, column 11000004"),
    ],
)  # fmt: skip
def test_texts_say_what_is_wrong_and_where(data, options, reason, where):
    with pytest.raises(InvalidPayloadError) as caught:
        parse_strict(data, **options)
    place = f" ({where})" if where else ""
    assert caught.value.message == f"The data received cannot be read: {reason}{place}. {AFTER}"
    assert caught.value.problems == [(where or "(whole text)", reason)]


def test_long_reasons_are_cut():
    error = refused(b"<a>&" + b"x" * 1000 + b";</a>")
    reason = error.problems[0][1]
    assert reason == f"it is not XML, entity '{'x' * 192}"


def test_usual_limits():
    assert (xml_strict.MAX_DEPTH, xml_strict.MAX_BYTES) == (64, 20 * 1024 * 1024)


LAUGHS = (
    b'<!DOCTYPE a [<!ENTITY l0 "lol">'
    + b"".join(
        b'<!ENTITY l%d "%s">' % (number, b"&l%d;" % (number - 1) * 10) for number in range(1, 10)
    )
    + b']><a b="&l9;">&l9;</a>'
)

DTDS = [
    b"<!DOCTYPE a><a/>",
    b'<!DOCTYPE a SYSTEM "%s/dtd"><a/>',
    b'<!DOCTYPE a PUBLIC "-//x" "%s/dtd"><a/>',
    b'<!DOCTYPE a [<!ENTITY x SYSTEM "%s/entity">]><a>&x;</a>',
    b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>',
    b'<!DOCTYPE a [<!ENTITY %% x SYSTEM "%s/parameter"> %%x;]><a/>',
    b'<!DOCTYPE a [<!ENTITY x "y">]><a b="&x;"/>',
    b'<?xml version="1.0"?>\n<!-- c --><?p q?>\n<!DOCTYPE a SYSTEM "%s/dtd"><a/>',
    # a comment does not end where it begins: nor does the check
    b'<!-->x--><!DOCTYPE a SYSTEM "%s/dtd"><a/>',
    b'<!--->x--><!DOCTYPE a SYSTEM "%s/dtd"><a/>',
    b'<?>x?><!DOCTYPE a SYSTEM "%s/dtd"><a/>',
    b'<?p>?><!DOCTYPE a SYSTEM "%s/dtd"><a/>',
    b'<!-- <a> --><!DOCTYPE a SYSTEM "%s/dtd"><a/>',
    b"<!ENTITY x 'y'><a/>",
]


@pytest.mark.parametrize("data", DTDS)
@pytest.mark.parametrize(
    "encode",
    [bytes, lambda data: ("\ufeff" + data.decode()).encode("utf-16-le"),
     lambda data: b"\xef\xbb\xbf" + data],
    ids=["plain", "utf-16", "marked"],
)  # fmt: skip
def test_definitions_are_refused_and_nobody_is_called(data, encode):
    wire = Wire(lambda *_args: answer(200, b'<!ENTITY x "called">'))
    try:
        data = data.replace(b"%s", wire.url.encode()).replace(b"%%", b"%")
        refused(encode(data))
    finally:
        wire.close()
    assert wire.connections == 0


def test_definitions_are_told():
    for data in (
        DTDS[0],
        LAUGHS,
        b"<!-->x--><!DOCTYPE a><a/>",
        b"<?p>?><!DOCTYPE a><a/>",
        # also what no parser would understand
        b"<!-- c --><!DOCTYPE a",
        b"<!----><!DOCTYPE a --><a",
        b"<?p ?><!DOCTYPE a",
        b"<??><!DOCTYPE a>?><a/>",
    ):
        error = refused(data)
        assert "document type definition (DTD), which is not accepted" in error.message
        assert not isinstance(error, DamagedXmlError)


def test_parser_alone_calls_nobody_and_does_not_grow(monkeypatch):
    """The second line of defence holds without the first."""
    monkeypatch.setattr(xml_strict, "_refuse_prolog", lambda text: None)
    wire = Wire(lambda *_args: answer(200, b'<!ENTITY x "called">'))
    try:
        for data in (*DTDS, LAUGHS):
            refused(data.replace(b"%s", wire.url.encode()).replace(b"%%", b"%"))
    finally:
        wire.close()
    assert wire.connections == 0


def test_parser_alone_reads_nothing_else(tmp_path):
    other = tmp_path / "other"
    other.write_text('<!ENTITY x "read">')
    entity = f'<!DOCTYPE a [<!ENTITY x SYSTEM "{other.as_uri()}">]><a>&x;</a>'
    root = etree.fromstring(entity.encode(), xml_strict._parser())
    assert root.text is None
    definition = f'<!DOCTYPE a SYSTEM "{other.as_uri()}"><a/>'
    root = etree.fromstring(definition.encode(), xml_strict._parser())
    assert root.getroottree().docinfo.externalDTD is None
    inner = etree.fromstring(b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', xml_strict._parser())
    assert inner.text is None


def test_billion_laughs_end_at_once():
    tracemalloc.start()
    started = time.perf_counter()
    refused(LAUGHS)
    seconds = time.perf_counter() - started
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 0.1
    assert peak < 1_000_000


def test_long_prolog_ends_at_once():
    started = time.perf_counter()
    refused(b"<!-- -->" * 200_000)
    refused(b"<!--" * 200_000)
    refused(b"<?p " * 200_000)
    assert time.perf_counter() - started < 2


# === LIMITS === #


def nested(levels: int) -> bytes:
    return b"<a>" * levels + b"</a>" * levels


def test_depth():
    assert parse_strict(nested(64)) is not None
    assert "deeper than 64 levels" in refused(nested(65)).message
    assert parse_strict(nested(3), max_depth=3) is not None
    assert "deeper than 3 levels" in refused(nested(4), max_depth=3).message
    for levels in (300, 100_000):
        error = refused(nested(levels))
        assert "deeper than 64 levels" in error.message
        assert not isinstance(error, DamagedXmlError)


def test_size():
    data = b"<a>" + b"x" * 100 + b"</a>"
    assert parse_strict(data, max_bytes=len(data)) is not None
    assert "larger than 106 bytes" in refused(data, max_bytes=len(data) - 1).message


def test_one_text_has_up_to_10_mb():
    error = refused(b"<a>" + b"x" * 11_000_000 + b"</a>")
    assert "a text in it is too long" in error.message
    assert not isinstance(error, DamagedXmlError)


@given(st.binary(max_size=200) | st.text("<>!?-[]ADOCTYPEa &;'\"=x", max_size=60).map(str.encode))
def test_anything_is_read_or_refused(data):
    for document in (data, b"<a>" + data + b"</a>", b"<!--" + data + b"<!DOCTYPE a><a/>"):
        try:
            root = parse_strict(document)
        except InvalidPayloadError:
            continue
        assert isinstance(root, etree._Element)
        assert not root.getroottree().docinfo.doctype
