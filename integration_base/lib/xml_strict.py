"""XML as it comes from outside, read without surprises.

A document type definition can make a parser read files, call servers, or grow a few bytes to
gigabytes. No service needs one to answer, so every document that has one is refused before a parser
sees it. Comments and processing instructions are dropped: they would cut texts in two.
"""

import codecs
import contextlib
import re

from lxml import etree

from .errors import InvalidPayloadError

MAX_DEPTH = 64
MAX_BYTES = 20 * 1024 * 1024

_DECLARATION = re.compile(
    r"""<\?xml\s+version\s*=\s*(?:"1\.[01]"|'1\.[01]')"""
    r"""(?:\s+encoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]{0,39})["'])?"""
    r"""(?:\s+standalone\s*=\s*["'](?:yes|no)["'])?\s*\?>"""
)
#: Those in which ``<`` is written as in ASCII, so that nothing can hide from the check for a DTD.
_ENCODINGS = {"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252"}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


_DTD = "it has a document type definition (DTD), which is not accepted"
_SPACE = re.compile(r"\s*")
_ANOTHER_DECLARATION = re.compile(r"(?i)<\?xml(?:\s|\?)")


class DamagedXmlError(InvalidPayloadError):
    """The text is no XML at all; it may have been damaged on its way."""


class _Problem(ValueError):
    def __init__(self, message: str, where: str = "", damaged: bool = False):
        super().__init__(message)
        self.where, self.damaged = where, damaged


def parse_strict(
    data: bytes | bytearray,
    *,
    what: str = "The data received",
    max_depth: int = MAX_DEPTH,
    max_bytes: int = MAX_BYTES,
) -> etree._Element:
    """Parse an XML document.

    :param data: in UTF-8, UTF-16 with a byte order mark, or a Western European encoding that the
        document declares.
    :param what: beginning of the error's sentence, e.g. ``The answer of carrier.example``.
    :param max_depth: deepest nesting of elements.
    :returns: the root element, without comments and processing instructions.
    :raises DamagedXmlError: for what is not well-formed.
    :raises InvalidPayloadError: for what is not acceptable. Both name the place and the reason.
    """
    try:
        return _parse(data, max_depth, max_bytes)
    except _Problem as problem:
        reason, where, damaged = str(problem), problem.where, problem.damaged
    kind = DamagedXmlError if damaged else InvalidPayloadError
    raise kind(
        f"{what} cannot be read: {reason}{f' ({where})' if where else ''}. Nothing was changed. "
        f"Try again later; if it stays, tell the other side's support.",
        problems=[(where or "(whole text)", reason)],
    )


def _parse(data: bytes | bytearray, max_depth: int, max_bytes: int) -> etree._Element:
    if len(data) > max_bytes:
        raise _Problem(f"it is larger than {max_bytes:,} bytes")
    text = _decode(data)
    if not text.strip():
        raise _Problem("it is empty", damaged=True)
    _refuse_prolog(text)
    error = None
    try:
        root = etree.fromstring(text.encode(), _parser())
    except etree.XMLSyntaxError as failure:
        error = failure
    if error is not None:
        raise _syntax_problem(error, max_depth)
    if root.getroottree().docinfo.doctype:
        raise _Problem(_DTD)
    # A chain of steps, walked in C; libxml2 itself ends at 256 levels.
    if root.xpath("boolean(/*" + "/*" * max_depth + ")"):
        raise _Problem(_too_deep(max_depth))
    return root


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,  # no mutant: nothing is resolved that could be on the network
        load_dtd=False,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
    )


def _decode(data: bytes | bytearray) -> str:
    """The text without its XML declaration, whose encoding would contradict ours."""
    mark, encoding = next((pair for pair in _MARKS if data.startswith(pair[0])), (b"", ""))
    data = data.removeprefix(mark)
    if not encoding:
        begin = data[:200]  # no mutant: no declaration is so long
        declared = _DECLARATION.match(begin.decode("latin-1"))
        encoding = _known_encoding(declared[1] if declared and declared[1] else "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise _Problem(
            f"it is not {encoding.upper()} text", f"byte {error.start}", damaged=True
        ) from None
    declared = _DECLARATION.match(text)
    return text[declared.end() :] if declared else text


def _known_encoding(name: str) -> str:
    with contextlib.suppress(LookupError):
        known = codecs.lookup(name).name
        if known in _ENCODINGS:
            return known
    raise _Problem(f"its encoding {name} is not supported")


def _refuse_prolog(text: str) -> None:
    """Refuse a DTD, which can only stand before the first element, and a second declaration."""
    if "\0" in text:
        raise _Problem("it contains a NUL character", damaged=True)
    position = 0
    while True:
        position = _SPACE.match(text, position).end()
        if text.startswith("<?", position):
            if _ANOTHER_DECLARATION.match(text, position):
                raise _Problem("its XML declaration cannot be read", damaged=True)
            end = text.find("?>", position + 2) + 2
        elif text.startswith("<!--", position):
            end = text.find("-->", position + 4) + 3
        elif text.startswith("<!", position):
            raise _Problem(_DTD)
        else:
            return
        if end <= position:  # it does not end, which the parser says better
            return
        position = end


def _syntax_problem(error: etree.XMLSyntaxError, max_depth: int) -> _Problem:
    line, column = error.position
    where = f"line {line}, column {column}"
    if error.code == etree.ErrorTypes.ERR_INTERNAL_ERROR:
        # What libxml2 calls so are its own limits: 256 levels, 10 MB of one text.
        deep = "depth" in error.msg
        return _Problem(_too_deep(max_depth) if deep else "a text in it is too long", where)
    if error.code == etree.ErrorTypes.ERR_TAG_NOT_FINISHED:
        return _Problem("it ends in the middle, a part is missing", where, damaged=True)
    said = error.msg.partition(", line ")[0].splitlines()[0]
    return _Problem(f"it is not XML, {said[:1].lower()}{said[1:200]}", where, damaged=True)


def _too_deep(max_depth: int) -> str:
    return f"it is nested deeper than {max_depth} levels"
