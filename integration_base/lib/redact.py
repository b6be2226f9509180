"""Take secrets and personal data out of what is kept: exchanges, logs, errors.

Secrets go by the name of their field or header, by their shape in free text, and by value where the
caller knows them. When a text cannot be understood, too much is taken out rather than too little.
"""

import base64
import html
import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any
from unicodedata import normalize
from urllib.parse import quote, quote_plus, unquote_plus

_logger = logging.getLogger(__name__)

MASK = "***"
#: Only so many characters of a text are looked at: only the beginning is ever stored.
MAX_TEXT = 256 * 1024
#: JSON is read whole, because what a value is may stand far away from it; but no larger one ...
MAX_JSON = 20 * 1024 * 1024
#: ... and so many characters of it are shown: more than is stored.
SHOWN_JSON = 128 * 1024
#: Stands for the rest.
LEFT_OUT = "(left out)"
MAX_URL = 16 * 1024
#: No secret is longer, so the end of a cut text can hold no more than this of one.
_LONGEST_SECRET = 8 * 1024
_MAX_DEPTH = 100
#: So many names, at least, are known of where a value is.
_REACH = 6
#: Answers kept about names, of which a document has few that are different.
_REMEMBERED = 4096  # no mutant: one more or less only costs time
_LONGEST_NAME = 200  # no mutant: one more or less only costs time
# PostgreSQL takes neither, and one of them would lose the records of a whole batch.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


#: A field whose name (letters and digits only, lower case) contains one of these is a secret.
SECRET_PARTS = _words("""
    password passwd passphrase passcode passwort kennwort secret apikey privatekey accesskey
    signingkey clientkey encryptionkey authorization credential assertion codeverifier
    accesstoken refreshtoken idtoken sessiontoken authtoken bearertoken cardnumber
""")
#: ... or ends with one of these.
SECRET_ENDS = _words("""
    token tokens hmac signature cookie cookies sessionid
""")
#: ... or is one of these.
SECRET_KEYS = _words("""
    auth pwd pass pin otp cvv cvc cvn cvv2 jwt iban accountnumber routingnumber bic samlresponse
""")
#: ... or is one of these in a URL or form. In JSON, "key" is the name of a metafield or attribute
#: and "code" that of a country.
SECRET_PARAMETERS = _words("""
    key sig code
""")
#: Personal data: a name alone, or a path of names ("customer.name") counted from its end.
PERSONAL_KEYS = _words("""
    email contactemail phone mobile telephone telefon fax phonenumber
    firstname lastname middlename fullname nickname displayname attentionname personname contactname
    customername recipientname buyername vorname nachname username
    address1 address2 address3 addressline addressline1 addressline2 addressline3 street street1
    street2 streetname strasse straße housenumber hausnummer zip zipcode postalcode postcode plz
    formattedarea latitude longitude ip browserip clientip remoteip
    birthday birthdate dateofbirth taxid vatnumber ssn
    customer.name recipient.name receiver.name shipto.name shipfrom.name shipper.name contact.name
    consignee.name sender.name buyer.name user.name billingdetails.name shipping.name
    cardholder.name
""")
#: What is written below a name that ends with one of these is personal data, and so is a text
#: that has such a name itself ...
ADDRESS_ENDS = _words("""
    address addresses adresse
""")
#: ... except the fields that do not tell whose address it is: all that a failed delivery or tax
#: needs to be understood. A web address is none of a person either.
ADDRESS_KEPT = _words("""
    id gid type kind typename status code default field message
    country countrycode countrycodev2 countryname countryarea province provincecode state statecode
    region city town
""")
#: Names of the two halves of an entry of a list: {"name": "password", "value": "..."}.
_LABELS = _words("""
    name key
""")
_VALUE = "value"
#: Header names containing one of these are secret.
SECRET_HEADERS = _words("""
    auth token secret key password passwd cookie signature hmac session credential
""")

# Anchored at the start of a run of characters: a search that starts anew at each of them would take
# quadratic time on a long run without an @.
_EMAIL = re.compile(r"(?<![\w.+%'!#$^{|}~-])[\w.+%'!#$^{|}~-]+(?:@|%40)[\w.-]+")
# Not behind a slash: that is an id in a path (gid://shop/Order/4...).
_CARD = re.compile(r"(?<![\w/.])(?=[\d -]{15})\d+(?:[ -]\d+)*")
_CARD_PREFIX = re.compile(
    r"(?:4\d{15}|4\d{18}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|35\d{14}|6[0245]\d{14,17}|"
    r"5[0678]\d{14,17}|6[37]\d{14,17})"
)
_PHONE = re.compile(r"(?<![\w+])(?:\+|00)\d(?:[ ()./-]{0,2}\d){6,14}(?!\d)")
#: Free text that is a secret by its shape.
SECRET_PATTERNS = (
    r"(?i)(?<![a-z])bearer\s+[\w.~+/=-]{6,}",
    # "basic information" is no password.
    r"(?<![a-z])(?:Basic|basic|BASIC)\s+(?![a-z]+\b)[A-Za-z0-9+/=_-]{6,}",
    r"(?<![A-Za-z0-9])shp[a-z]{2}_[A-Za-z0-9_-]+",
    r"(?<![A-Za-z0-9])(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9_]+",
    r"(?<![A-Za-z0-9])(?:whsec|gh[opsur]|github_pat)_[A-Za-z0-9+/=_-]+",
    r"(?<![A-Za-z0-9])(?:xox[a-z]-[\w-]{10,}|AKIA[A-Z0-9]{16}|AIza[\w-]{35,})",
    r"(?<![\w-])eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?",
    r"(?<![\w-])gAAAA[\w-]{20,}={0,2}",
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)",
)
_PATTERNS = [re.compile(pattern) for pattern in SECRET_PATTERNS]
# Without any of these no rule for free text applies: most values are short words and numbers.
_SUSPECT = re.compile(r"[:=<@%+_\s]|eyJ|gAAAA|xox|AKIA|AIza|-----|00\d|\d{15}|\d{4}-\d{4}")
_USERINFO = re.compile(r"(?<=://)[^/\s?#\"'<>]*@")
# Names with the value behind them: JSON that is broken, headers, forms, XML, and Python reprs.
_QUOTED_NAME = re.compile(r'(?<!\\)\\*"((?:[^"\\]|\\+[^"\\]){1,200})\\*"\s*:\s*')
_NAME = re.compile(
    r"(?<![\w.%-])([\w.%-]+(?:\[[\w.%-]*\])*)[\"']?[ \t]*(?:=>|[=:])[ \t]*"
    # the block below the name, in YAML
    r"(?:(?:[|>][+-]?)?\r?\n[ \t]+)?"
)
# Names that are values themselves: an entry of a list of pairs, a part of a form.
_LABEL = re.compile(
    r"""(?<!\w)(?i:name|key)\\*["']?\s*[:=]\s*\\*["']([^"'\\]{1,100})\\*["']\s*,\s*"""
    r"""\\*["']?(?i:value)\\*["']?\s*[:=]\s*"""
)
_PART = re.compile(
    # as far as the next one, or each of many in a line would be followed to the end of the line
    r"""(?i)content-disposition:(?:(?!content-disposition:)[^\r\n]){0,500}?\bname="?+"""
    r"""([^"\r\n;]{1,200}+)(?:(?!content-disposition:)[^\r\n])*+"""
    r"""(?:\r?\n[^\r\n]{1,500}+){0,9}+\r?\n\r?\n"""
)
_TAG = re.compile(r"<(/?)([\w.:-]++)([^<>]*+)>")
_ATTRIBUTE = re.compile(r"""(?<![\w.:-])([\w.:-]+)\s*=\s*(["'])(?s:(.*?))\2""")
_LINE_END = re.compile(r"[\r\n]")
_VALUE_END = re.compile(r"[\s&;,\"'<>)}\]]")
_BLOCK_END = re.compile(r"\n(?![ \t\r\n])")
_PART_END = re.compile(r"\r?\n--")
_JSON_SCALAR_END = re.compile(r"[,}\]\s]")
# "street: Main Street 5 is missing": as far as the last word that is no ordinary one.
_MORE_WORDS = re.compile(
    r"""(?:(?:[ \t]++[^\s&;,"'<>)}\]:=]++){0,7}[ \t]++"""
    r"""(?![a-zß-öø-ÿ])[^\s&;,"'<>)}\]:=]++(?![:=]))?"""
)
_ESCAPES = re.compile(r"\\*")
_OPENING = re.compile(r"""(?:\\*["'])?""")
_QUOTES = {mark: re.compile(rf"(?<!\\)\\*{mark}") for mark in ("'", '"')}


def _remembered(function: Callable[[str], Any]) -> Callable[[str], Any]:
    remembered = lru_cache(_REMEMBERED)(function)  # no mutant: it only saves time

    @wraps(function)
    def known(name: str) -> Any:
        # a text that only looks like a name is no reason to keep it in memory
        if len(name) > _LONGEST_NAME:  # no mutant: it only saves memory
            return function(name)
        return remembered(name)

    return known


def _never_raises(method: Callable) -> Callable:
    @wraps(method)
    def guarded(self, *args, **kwargs):
        try:
            result = method(self, *args, **kwargs)
            return _UNSTORABLE.sub("\ufffd", result) if isinstance(result, str) else result
        except Exception as error:
            # A record of a request is no reason to lose the request; and what cannot be redacted
            # is not shown. The error's text may hold the secret, so only its type is logged.
            _logger.warning("%s failed: %s", method.__name__, type(error).__name__)
            return f"{MASK} (left out: it could not be redacted)"

    return guarded


class Redactor:
    """Removes secrets, and personal data unless told otherwise. Never raises.

    Every text returned can be stored in PostgreSQL.

    :param keys: more names of secret fields; ``a.b`` means ``b`` directly below ``a`` (positions in
        lists do not count). Case, ``_`` and ``-`` make no difference.
    :param headers: more names of secret headers.
    :param patterns: more regular expressions of secrets in free text.
    :param extra: secret values known to the caller, removed wherever they appear, also encoded for
        a URL, as JSON or base64. Shorter than 4 characters they are ignored.
    :param personal: also remove e-mail addresses, phone numbers, names and addresses.
    """

    def __init__(
        self,
        keys: Iterable[str] = (),
        headers: Iterable[str] = (),
        patterns: Iterable[str] = (),
        extra: Iterable[str] = (),
        personal: bool = True,
    ):
        self._settings = {
            "keys": tuple(keys),
            "headers": tuple(headers),
            "patterns": tuple(patterns),
            "extra": tuple(extra),
            "personal": personal,
        }
        self._keys = {_path(key) for key in self._settings["keys"]}
        self._keys |= {(key,) for key in SECRET_KEYS}
        if personal:
            self._keys |= {_path(key) for key in PERSONAL_KEYS}
        self._ends = {key[-1:] for key in self._keys} | {(_VALUE,)}
        self._reach = max(_REACH, *map(len, self._keys))
        self._headers = {_plain(name) for name in self._settings["headers"]}
        self._own_patterns = [re.compile(pattern) for pattern in self._settings["patterns"]]
        self._extra = _literals(self._settings["extra"])
        self._personal = personal
        # names come again and again
        self._hides = lru_cache(_REMEMBERED)(self._hides_path)  # no mutant: it only saves time
        self._shown_name = _remembered(self._text)  # no mutant: it only saves time

    def with_secrets(self, values: Iterable[str]) -> "Redactor":
        """A redactor that also removes ``values``."""
        fresh = tuple(v for v in values if v and v not in self._settings["extra"])
        if not fresh:
            return self
        return Redactor(**{**self._settings, "extra": self._settings["extra"] + fresh})

    @_never_raises
    def text(self, text: Any) -> str:
        """Free text (an error, a log line) without what looks like a secret."""
        text = str(text)
        return _without_end(self._text(text[:MAX_TEXT]), len(text) > MAX_TEXT)

    @_never_raises
    def url(self, url: Any) -> str:
        """A URL without user, password and secret parameters; the rest is kept as it is."""
        whole = str(url)
        url = whole[:MAX_URL]
        base, mark, query = url.partition("?")
        query, hash_mark, fragment = query.partition("#")
        base = self._text(_USERINFO.sub(f"{MASK}@", base))
        shown = base + mark + self._form(query) + hash_mark + self._form(fragment)
        return _without_end(shown, len(whole) > MAX_URL)

    def headers(self, headers: Mapping[str, Any] | None) -> dict[str, str]:
        """Headers with the secret ones masked."""
        return {
            self.text(name): self._header(str(name), value)
            for name, value in (headers or {}).items()
        }

    @_never_raises
    def data(self, value: Any) -> Any:
        """A copy of parsed JSON (dicts, lists, scalars) without secrets."""
        return self._data(value, (), 0, _Room())

    @_never_raises
    def body(self, body: bytes | str | None, content_type: str | None = "") -> str:
        """A request's or answer's body as text to store.

        JSON stays valid JSON, forms stay forms, anything else is text; what is not text at all is
        described by its size and type, and so is JSON of more than 20 MiB.

        :param body: the raw body; more than 256 KiB of text are cut to that first. Of long JSON, of
            which all is looked at, 128 KiB are returned.
        :param content_type: the ``Content-Type`` header; it only helps, it is not trusted.
        """
        if not body:
            return ""
        kind = (content_type or "").partition(";")[0].strip().lower()
        if isinstance(body, str):
            text = body
        elif b"\0" in body[:1024] or (kind and not _TEXTUAL.search(kind)):
            return f"<{len(body):,} bytes of {self._text(kind)[:100] or 'binary data'}>"
        else:
            text = body.decode("utf-8", "replace")
        text = text.removeprefix("\ufeff")
        if len(text) > MAX_JSON and _begins_json(text):
            return f"<{len(body):,} bytes of JSON>"
        if (parsed := self._json(text, _Room(SHOWN_JSON))) is not None:
            return parsed
        begin = text[:MAX_TEXT]
        if "x-www-form-urlencoded" in kind:
            shown = self._form(begin)
        else:
            # of damaged JSON nobody knows where in it a name stands
            shown = self._text(begin, "json" in kind or _begins_json(text))
        return _without_end(shown, len(text) > MAX_TEXT)

    # === INTERNAL === #

    @_never_raises
    def _header(self, name: str, value: Any) -> str:
        plain = _plain(name)
        if plain in self._headers or any(part in plain for part in SECRET_HEADERS):
            return MASK
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        return self.url(value) if plain in ("location", "referer") else self.text(value)

    def _hides_path(self, path: tuple[str, ...]) -> bool:
        """Whether nothing is shown of what is at a path, or below it."""
        if not path:
            return False
        return _is_secret_name(path[-1]) or any(
            path[start:] in self._keys for start in range(len(path))
        )

    def _hides_text(self, path: tuple[str, ...], text: str) -> bool:
        """Whether a text, which has nothing below it, is not shown at a path."""
        return self._hides(path) or (self._is_of_address(path) and "://" not in text)

    def _is_of_address(self, path: tuple[str, ...]) -> bool:
        return self._personal and _is_of_address(path)

    def _hides_label(self, path: tuple[str, ...], label: str) -> bool:
        """Whether the value is hidden of an entry with that name, in a list that is at a path."""
        named = (*path, _plain(label))
        return self._hides(named) or self._is_of_address(named)

    def _hides_entry(self, path: tuple[str, ...], named: Mapping[str, Any]) -> bool:
        """Whether an object is a name that hides, with its value."""
        if _VALUE not in named:  # no mutant: it only saves time
            return False  # no mutant: it only saves time
        labels = [named.get(name) for name in _LABELS]
        return any(self._hides_label(path, label) for label in labels if isinstance(label, str))

    def _shown(self, text: str, room: "_Room") -> str:
        """JSON as JSON, everything else as text."""
        if (parsed := self._json(text, room)) is not None:
            return parsed
        begin = text[: max(room.left, 0)]
        room.left -= len(text)
        shown = self._text(begin, _begins_json(text))
        return _without_end(shown, len(begin) < len(text))

    def _json(self, text: str, room: "_Room") -> str | None:
        if not _begins_json(text):
            return None
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return json.dumps(self._data(value, (), 0, room), ensure_ascii=False)

    def _data(self, value: Any, path: tuple[str, ...], depth: int, room: "_Room") -> Any:
        room.left -= 4  # no mutant: what is left out begins a little earlier or later
        if value is None or isinstance(value, bool):
            return value
        if self._hides(path):
            return _hidden(value)
        if depth > _MAX_DEPTH:
            return MASK
        if isinstance(value, Mapping):
            return self._mapping(value, path, depth + 1, room)
        if isinstance(value, (list, tuple)):
            if len(value) == 2 and isinstance(value[0], str) and _is_secret_name(_plain(value[0])):
                return [self._shown(value[0], room), MASK]  # a header
            return self._list(value, path, depth + 1, room)
        shown = str(value)
        if self._hides_text(path, shown):
            return MASK if shown else shown
        if isinstance(value, (int, float)):
            return value if self._text(shown) == shown else MASK
        # JSON inside of a text (queued messages, templates) is a favourite hiding place.
        return self._shown(shown, room)

    def _list(self, value: Iterable, path: tuple[str, ...], depth: int, room: "_Room") -> list:
        result: list[Any] = []
        for item in value:
            if room.left <= 0:
                return [*result, LEFT_OUT]
            result.append(self._data(item, path, depth, room))
        return result

    def _mapping(
        self, value: Mapping, path: tuple[str, ...], depth: int, room: "_Room"
    ) -> dict[str, Any]:
        entries = [(str(key), _plain(str(key)), item) for key, item in value.items()]
        hides_value = self._hides_entry(path, {name: item for _key, name, item in entries})
        result: dict[str, Any] = {}
        for key, name, item in entries:
            if room.left <= 0:
                return {**result, LEFT_OUT: LEFT_OUT}
            shown = self._shown_name(key) if len(key) <= MAX_TEXT else MASK
            room.left -= len(shown)
            while shown in result:
                shown += "*"
            if hides_value and name == _VALUE:
                result[shown] = _hidden(item)
            else:
                result[shown] = self._data(item, (*path, name)[-self._reach :], depth, room)
        return result

    def _form(self, text: str) -> str:
        return "&".join(self._pair(pair) for pair in text.split("&"))

    def _pair(self, pair: str) -> str:
        name, mark, value = pair.partition("=")
        # a[b][c]=1 is the usual way to write a path in a form.
        path = _written_path(name)
        if mark and (path in _PARAMETERS or self._hides_text(path, unquote_plus(value))):
            return f"{self._encoded(name)}={MASK if value else ''}"
        return f"{self._encoded(name)}{mark}{self._encoded(value)}"

    def _encoded(self, text: str) -> str:
        plain = unquote_plus(text)
        shown = self._shown(plain, _Room())
        return text if shown == plain else quote(shown, safe=_READABLE)

    def _text(self, text: str, is_json: bool = False) -> str:
        """Free text without what looks like a secret.

        :param is_json: whether it is damaged JSON: any name in quotes that a path ends with hides.
        """
        if self._extra:
            text = self._extra.sub(MASK, text)
        for pattern in self._own_patterns:
            text = pattern.sub(MASK, text)
        if not _SUSPECT.search(text):  # no mutant: it only saves time
            return text
        text = _USERINFO.sub(f"{MASK}@", text)
        for pattern in _PATTERNS:
            text = pattern.sub(MASK, text)
        text = self._mask_named(text, _QUOTED_NAME, _json_value_end, is_json)
        if "alue" in text or "ALUE" in text:  # no mutant: it only saves time
            text = self._mask_named(text, _LABEL, _json_value_end, is_json)
        text = self._mask_named(text, _NAME, _plain_value_end, is_json)
        if "form-data" in text:  # no mutant: it only saves time
            text = self._mask_named(text, _PART, _part_end)
        if "<" in text:  # no mutant: it only saves time
            text = self._mask_elements(text)
        text = _CARD.sub(_mask_card, text)
        if self._personal:
            if "@" in text or "%40" in text:  # no mutant: it only saves time
                text = _EMAIL.sub(MASK, text)
            text = _PHONE.sub(MASK, text)
        return text

    def _mask_named(
        self, text: str, names: re.Pattern, value_end: Callable, is_json: bool = False
    ) -> str:
        done, start = [], 0
        for found in names.finditer(text):
            if found.start() < start:
                continue
            path = _written_path(found[1])
            hides = self._hides(path) or (path in _PARAMETERS and _is_parameter(text, found))
            if _is_quoted(found):
                hides = hides or (is_json and path[-1:] in self._ends)
                # without quotes "address: ..." is a sentence about any address
                of_address = self._is_of_address(path)
            else:
                of_address = False
            if not hides and not of_address:
                continue
            end = value_end(text, found)
            value = text[found.end() : end].strip("\\\"'")
            # a web address is a text of its own, not one somewhere in what is below the name
            if value not in _NO_SECRETS and (
                hides or value.startswith(("{", "[")) or "://" not in value
            ):
                done += [text[start : found.end()], _masked(text, found.end(), end)]
                start = end
        return "".join([*done, text[start:]])

    def _mask_elements(self, text: str) -> str:
        """Mask text in elements of XML or HTML that are secret by where they are."""
        stack: list[_Element] = []
        pieces, done = [], 0
        for tag in _TAG.finditer(text):
            content = text[done : tag.start()]
            pieces.append(self._content(stack, content))
            done = tag.end()
            closing, written, attributes = tag.groups()
            name = _plain(written.rpartition(":")[2])
            if closing:
                _close(stack, name)
                if name in _LABELS and stack:
                    stack[-1].hides_value = self._hides_label(stack[-1].path, content)
                pieces.append(tag[0])
            else:
                element = self._element(stack, name, attributes)
                pieces.append(_tag_without_values(tag[0]) if element.hides_value else tag[0])
                if not attributes.endswith("/") and name not in _EMPTY_ELEMENTS:
                    stack.append(element)
        pieces.append(self._content(stack, text[done:]))
        return "".join(pieces)

    def _element(self, stack: list["_Element"], name: str, attributes: str) -> "_Element":
        above = stack[-1] if stack else _Element((), False, False)
        path = (*above.path, name)[-self._reach :]
        labelled = any(
            self._hides_label(above.path, found[3])
            for found in _ATTRIBUTE.finditer(attributes)
            if _plain(found[1]) in _LABELS
        )
        inherited = above.hides or (above.hides_value and name == _VALUE)
        return _Element(path, inherited or labelled or self._hides(path), labelled)

    def _content(self, stack: list["_Element"], text: str) -> str:
        if not stack or not text.strip():
            return text
        return MASK if stack[-1].hides or self._hides_text(stack[-1].path, text) else text


@dataclass
class _Room:
    """How many more characters are shown."""

    left: int = sys.maxsize


@dataclass
class _Element:
    """An open element of XML or HTML.

    :param path: the names of the elements it is in, and its own.
    :param hides: whether all in it is hidden.
    :param hides_value: whether the value is that belongs to the name which the element holds.
    """

    path: tuple[str, ...]
    hides: bool
    hides_value: bool


def _close(stack: list[_Element], name: str) -> None:
    names = [element.path[-1] for element in stack[-_MAX_DEPTH:]]
    if name in names:
        del stack[len(stack) - 1 - names[::-1].index(name) :]


def _tag_without_values(tag: str) -> str:
    return _ATTRIBUTE.sub(
        lambda found: f'{found[1]}="{MASK}"' if _plain(found[1]) in _VALUES else found[0], tag
    )


#: Elements of HTML that are never closed.
_EMPTY_ELEMENTS = {"input", "meta", "link", "br", "hr", "img"}
#: Attributes of HTML that belong to the one called "name".
_VALUES = {_VALUE, "content"}
_NO_SECRETS = {"", "null", "true", "false", "None", "True", "False"}
_PARAMETERS = {(name,) for name in SECRET_PARAMETERS}
#: Left as they are in a part of an address that was changed anyway, for people.
_READABLE = '*@ {}[]":,'  # no mutant: letters are left anyway
_TEXTUAL = re.compile(r"^text/|json|xml|html|form-urlencoded|graphql|javascript|yaml|csv|multipart")


@_remembered
def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, normalize("NFKC", name).lower()))


@lru_cache(_REMEMBERED)
def _is_secret_name(plain: str) -> bool:
    return any(part in plain for part in SECRET_PARTS) or plain.endswith(SECRET_ENDS)


@lru_cache(_REMEMBERED)
def _is_of_address(path: tuple[str, ...]) -> bool:
    if not path or "errors" in path:
        return False
    *parents, name = path
    return name.endswith(ADDRESS_ENDS) or (
        name not in ADDRESS_KEPT and any(parent.endswith(ADDRESS_ENDS) for parent in parents)
    )


def _is_parameter(text: str, name: re.Match) -> bool:
    return text[name.start() - 1 : name.start()] in ("?", "&")


def _is_quoted(name: re.Match) -> bool:
    return '"' in name[0] or "'" in name[0]


def _hidden(value: Any) -> Any:
    return value if isinstance(value, bool) or value in (None, "", [], {}) else MASK


def _begins_json(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[")


def _without_end(text: str, cut: bool) -> str:
    return text[:-_LONGEST_SECRET] if cut else text


def _path(key: str) -> tuple[str, ...]:
    return tuple(_plain(part) for part in key.split("."))


@_remembered
def _written_path(name: str) -> tuple[str, ...]:
    with suppress(ValueError):
        name = json.loads(f'"{name}"')
    parts = re.split(r"[\[\].]+", unquote_plus(name))
    # positions in lists do not count
    return tuple(_plain(part) for part in parts if part and not part.isdigit())


def forms_of(value: str) -> set[str]:
    """How a text may be written elsewhere: as it is, for a URL, in HTML or JSON, base64, hex."""
    raw = value.encode("utf-8", "surrogatepass")
    return {
        value,
        html.escape(value),
        quote(raw, safe=""),  # no mutant: letters are left anyway
        quote(raw),
        quote_plus(raw),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        json.dumps(value)[1:-1].replace("/", "\\/"),
        base64.b64encode(raw).decode("ascii").partition("=")[0],
        base64.urlsafe_b64encode(raw).decode("ascii").partition("=")[0],
        raw.hex(),
    }


def _literals(values: Iterable[str]) -> re.Pattern | None:
    forms: set[str] = set().union(*(forms_of(value) for value in values if len(value or "") >= 4))
    longest_first = sorted(forms, key=len, reverse=True)
    # Percent escapes come in both cases.
    pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)
    return pattern if forms else None  # no mutant: any other false value would do


def value_mask(values: Iterable[str]) -> Callable[[str], str]:
    """A function that removes ``values`` from a text and leaves everything else as it is.

    :param values: secrets, also found encoded for a URL, as JSON or base64; those of less than 6
        characters are ignored, because any word could be one.
    """
    literals = _literals(value for value in values if value and len(value) >= 6)
    return (lambda text: literals.sub(MASK, text)) if literals else str


def _json_value_end(text: str, name: re.Match) -> int:
    """End of the JSON value behind ``name``; all the rest if nested, for its end is unknown."""
    start = name.end()
    if text.startswith(("{", "["), start):
        return len(text)
    opening = _ESCAPES.match(text, start).end()
    mark = text[opening : opening + 1]
    if mark in ('"', "'"):
        return _closing_quote(text, opening, mark, opening - start)
    return _end(_JSON_SCALAR_END, text, start)


def _plain_value_end(text: str, name: re.Match) -> int:
    start = name.end()
    if text.startswith(("{", "["), start):
        return len(text)
    if text.startswith(("'", '"'), start):
        return _closing_quote(text, start, text[start], 0)
    if "\n" in name[0]:
        return _end(_BLOCK_END, text, start)
    # A header's value has several words: "Cookie: a=1; b=2".
    begins_line = text[name.start() - 1 : name.start()] in ("", "\n")
    if _plain(name[1]).endswith(("cookie", "authorization")) or (begins_line and "-" in name[1]):
        return _end(_LINE_END, text, start)
    end = _end(_VALUE_END, text, start)
    return _MORE_WORDS.match(text, end).end() if ":" in name[0] else end


def _part_end(text: str, name: re.Match) -> int:
    return _end(_PART_END, text, name.end())


def _end(pattern: re.Pattern, text: str, start: int) -> int:
    found = pattern.search(text, start)
    return found.start() if found else len(text)


def _closing_quote(text: str, start: int, mark: str, escapes: int) -> int:
    # Inside of a text that is JSON itself, quotes carry as many backslashes as the opening one.
    for found in _QUOTES[mark].finditer(text, start + 1):
        count = len(found[0]) - 1
        if count % 2 == escapes % 2 and (count <= escapes or not escapes):
            return found.end()
    return len(text)


def _masked(text: str, start: int, end: int) -> str:
    quotes = _OPENING.match(text, start, end)[0]
    return f"{quotes}{MASK}{quotes}"


def _mask_card(found: re.Match) -> str:
    # Groups of digits: the card may have neighbours, as in "4242 4242 4242 4242 12 27".
    whole = found[0]
    groups = list(re.finditer(r"\d+", whole))
    pieces, done = [], 0
    for index, first in enumerate(groups):
        if first.start() < done:
            continue
        digits = ""
        for last in groups[index : index + 19]:  # no mutant: no card has more digits
            digits += last[0]
            if _CARD_PREFIX.fullmatch(digits) and _luhn(digits):
                pieces += [whole[done : first.start()], MASK]
                done = last.end()
                break
    return "".join([*pieces, whole[done:]])


def _luhn(digits: str) -> bool:
    values = (int(digit) * (1 + index % 2) for index, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in values) % 10 == 0
