"""Take secrets and personal data out of what is kept: exchanges, logs, errors.

Secrets go by the name of their field or header, by their shape in free text, and by value where the
caller knows them. When a text cannot be understood, too much is taken out rather than too little.
"""

import base64
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, wraps
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

_logger = logging.getLogger(__name__)

MASK = "***"
#: Larger bodies are cut before they are looked at: only the beginning is ever stored.
MAX_TEXT = 256 * 1024
MAX_URL = 16 * 1024
#: No secret is longer, so the end of a cut text can hold no more than this of one.
_LONGEST_SECRET = 8 * 1024
_MAX_DEPTH = 100
# PostgreSQL takes neither, and one of them would lose the records of a whole batch.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


#: A field whose name (letters and digits only, lower case) contains one of these is a secret.
SECRET_PARTS = _words("""
    password passwd passphrase passcode secret apikey privatekey accesskey signingkey clientkey
    encryptionkey authorization credential accesstoken refreshtoken idtoken sessiontoken authtoken
    bearertoken cardnumber
""")
#: ... or ends with one of these.
SECRET_ENDS = _words("token tokens hmac signature cookie cookies sessionid")
#: ... or is one of these.
SECRET_KEYS = _words("auth pwd pass pin cvv cvc cvn cvv2 iban accountnumber routingnumber bic")
#: ... or is one of these in a URL or form. In JSON "key" is the name of a metafield or attribute.
SECRET_PARAMETERS = _words("key sig")
#: Personal data: a name alone, or a path of names ("customer.name") counted from its end.
PERSONAL_KEYS = _words("""
    email contactemail emailaddress phone mobile telephone fax phonenumber
    firstname lastname middlename fullname nickname displayname attentionname personname contactname
    address1 address2 address3 addressline addressline1 addressline2 addressline3 street street1
    street2 streetaddress zip zipcode postalcode postcode formattedarea latitude longitude
    ip ipaddress browserip clientip remoteip birthday birthdate dateofbirth taxid vatnumber
    customer.name billingaddress.name shippingaddress.name defaultaddress.name address.name
    addresses.name recipient.name receiver.name shipto.name shipfrom.name shipper.name contact.name
    billingdetails.name shipping.name cardholder.name
    address.formatted billingaddress.formatted shippingaddress.formatted defaultaddress.formatted
""")
#: Header names containing one of these are secret.
SECRET_HEADERS = _words(
    "auth token secret key password passwd cookie signature hmac session credential"
)

# Anchored at the start of a run of characters: a search that starts anew at each of them would take
# quadratic time on a long run without an @.
_EMAIL = re.compile(r"(?<![\w.+%'!#$^{|}~-])[\w.+%'!#$^{|}~-]+(?:@|%40)[\w.-]+")
# Not behind a slash: that is an id in a path (gid://shop/Order/4...).
_CARD = re.compile(r"(?<![\w/.])\d+(?:[ -]\d+)*")
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
    r"(?<![A-Za-z0-9])whsec_[A-Za-z0-9+/=_-]+",
    r"(?<![\w-])eyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?",
    r"(?<![\w-])gAAAA[\w-]{20,}={0,2}",
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)",
)
_PATTERNS = [re.compile(pattern) for pattern in SECRET_PATTERNS]
# Without any of these no rule for free text applies: most values are short words and numbers.
_SUSPECT = re.compile(r"[:=<@%+_\s]|eyJ|gAAAA|-----|00\d|\d{15}|\d{4}-\d{4}")
_USERINFO = re.compile(r"(?<=://)[^/\s?#\"'<>]*@")
# Names with the value behind them: JSON that is broken, headers, forms, XML, and Python reprs.
_QUOTED_NAME = re.compile(r'(?<!\\)\\*"((?:[^"\\]|\\+[^"\\]){1,200})\\*"\s*:\s*')
_NAME = re.compile(r"(?<![\w.%-])([\w.%-]+(?:\[[\w.%-]*\])*)[\"']?[ \t]*(?:=>|[=:])[ \t]*")
_XML = re.compile(r"<([\w.:-]+)((?:\s[^<>]*)?)>(\s*<!\[CDATA\[[^\]]{0,4000}|[^<]+)")
_TAG = re.compile(r"<(/?)([\w.:-]+)[^<>]*>")
_LINE_END = re.compile(r"[\r\n]")
_VALUE_END = re.compile(r"[\s&;,\"'<>)}\]]")
_JSON_SCALAR_END = re.compile(r"[,}\]\s]")


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
        self._headers = {_plain(name) for name in self._settings["headers"]}
        self._own_patterns = [re.compile(pattern) for pattern in self._settings["patterns"]]
        self._extra = _literals(self._settings["extra"])
        self._personal = personal

    def with_secrets(self, values: Iterable[str]) -> "Redactor":
        """A redactor that also removes ``values``."""
        fresh = tuple(v for v in values if v and v not in self._settings["extra"])
        if not fresh:
            return self
        return Redactor(**{**self._settings, "extra": self._settings["extra"] + fresh})

    @_never_raises
    def text(self, text: Any) -> str:
        """Free text (an error, a log line) without what looks like a secret."""
        text = text if isinstance(text, str) else str(text)
        return _without_end(self._text(text[:MAX_TEXT]), len(text) > MAX_TEXT)

    @_never_raises
    def url(self, url: Any) -> str:
        """A URL without user, password and secret parameters; the rest is kept as it is."""
        url = str(url)[:MAX_URL]
        base, mark, query = url.partition("?")
        query, hash_mark, fragment = query.partition("#")
        base = self._text(_USERINFO.sub(f"{MASK}@", base))
        return base + mark + self._form(query) + hash_mark + self._form(fragment)

    def headers(self, headers: Mapping[str, Any] | None) -> dict[str, str]:
        """Headers with the secret ones masked."""
        return {
            self.text(name): self._header(str(name), value)
            for name, value in dict(headers or {}).items()
        }

    @_never_raises
    def data(self, value: Any) -> Any:
        """A copy of parsed JSON (dicts, lists, scalars) without secrets."""
        return self._data(value, (), 0)

    @_never_raises
    def body(self, body: bytes | str | None, content_type: str | None = "") -> str:
        """A request's or answer's body as text to store.

        JSON stays valid JSON, forms stay forms, anything else is text; what is not text at all is
        described by its size and type.

        :param body: the raw body; more than 256 KiB are cut to that first.
        :param content_type: the ``Content-Type`` header; it only helps, it is not trusted.
        """
        if not body:
            return ""
        kind = (content_type or "").partition(";")[0].strip().lower()
        cut = len(body) > MAX_TEXT
        if isinstance(body, str):
            text = body[:MAX_TEXT]
        elif b"\0" in body[:1024] or (kind and not _TEXTUAL.search(kind)):
            return f"<{len(body):,} bytes of {self._text(kind[:100]) or 'binary data'}>"
        else:
            text = body[:MAX_TEXT].decode("utf-8", "replace")
        text = text.removeprefix("\ufeff")
        if not cut and (parsed := self._json(text)) is not None:
            return parsed
        shown = self._form(text) if "x-www-form-urlencoded" in kind else self._text(text)
        return _without_end(shown, cut)

    # === INTERNAL === #

    @_never_raises
    def _header(self, name: str, value: Any) -> str:
        plain = _plain(name)
        if plain in self._headers or any(part in plain for part in SECRET_HEADERS):
            return MASK
        if isinstance(value, bytes):
            value = value.decode("latin-1")
        return self.url(value) if plain in ("location", "referer") else self.text(value)

    def _secret(self, path: tuple[str, ...]) -> bool:
        if not path:
            return False
        name = path[-1]
        return (
            _is_secret_name(name)
            or (name,) in self._keys
            or any(path[-size:] in self._keys for size in range(2, min(len(path), 6) + 1))
        )

    def _json(self, text: str) -> str | None:
        if text.lstrip()[:1] not in ("{", "["):
            return None
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return json.dumps(self._data(value, (), 0), ensure_ascii=False)

    def _data(self, value: Any, path: tuple[str, ...], depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if self._secret(path):
            return value if value in ("", [], {}) else MASK
        if depth > _MAX_DEPTH:
            return MASK
        if isinstance(value, Mapping):
            result: dict[str, Any] = {}
            for key, item in value.items():
                shown = self._text(str(key))
                while shown in result:
                    shown += "*"
                result[shown] = self._data(item, (*path, _plain(str(key))), depth + 1)
            return result
        if isinstance(value, (list, tuple)):
            return [self._data(item, path, depth + 1) for item in value]
        if isinstance(value, str):
            # JSON inside of a text (queued messages, templates) is a favourite hiding place.
            return self._json(value) or self._text(value)
        if isinstance(value, (int, float)):
            shown = str(value)
            return value if self._text(shown) == shown else MASK
        return self._text(str(value))

    def _form(self, text: str) -> str:
        return "&".join(self._pair(pair) for pair in text.split("&"))

    def _pair(self, pair: str) -> str:
        name, mark, value = pair.partition("=")
        # a[b][c]=1 is the usual way to write a path in a form.
        path = tuple(_plain(part) for part in re.split(r"[\[\].]+", unquote_plus(name)) if part)
        if mark and (self._secret(path) or path[-1:] in _PARAMETERS):
            return f"{self._encoded(name)}={MASK if value else ''}"
        return f"{self._encoded(name)}{mark}{self._encoded(value)}"

    def _encoded(self, text: str) -> str:
        plain = unquote_plus(text)
        shown = (self._json(plain) if plain[:1] in "{[" and plain else None) or self._text(plain)
        return text if shown == plain else quote(shown, safe='*@ {}[]":,')

    def _text(self, text: str) -> str:
        if not text:
            return text
        if self._extra:
            text = self._extra.sub(MASK, text)
        for pattern in self._own_patterns:
            text = pattern.sub(MASK, text)
        if not _SUSPECT.search(text):
            return text
        text = _USERINFO.sub(f"{MASK}@", text)
        for pattern in _PATTERNS:
            text = pattern.sub(MASK, text)
        text = self._mask_named(text, _QUOTED_NAME, _json_value_end)
        text = self._mask_named(text, _NAME, _plain_value_end)
        if "<" in text:
            text = self._mask_elements(_XML.sub(self._xml, text))
        text = _CARD.sub(_mask_card, text)
        if self._personal:
            if "@" in text or "%40" in text:
                text = _EMAIL.sub(MASK, text)
            text = _PHONE.sub(MASK, text)
        return text

    def _mask_named(self, text: str, names: re.Pattern, value_end: Callable) -> str:
        done, start = [], 0
        for found in names.finditer(text):
            if found.start() < start or not self._written_secret(text, found):
                continue
            end = value_end(text, found)
            if text[found.end() : end].strip("\\\"'") not in _NO_SECRETS:
                done += [text[start : found.end()], _masked(text, found.end(), end)]
                start = end
        return "".join([*done, text[start:]]) if done else text

    def _written_secret(self, text: str, found: re.Match) -> bool:
        path = _written_path(found[1])
        if self._secret(path):
            return True
        return path[-1:] in _PARAMETERS and text[max(found.start() - 1, 0)] in "?&"

    def _mask_elements(self, text: str) -> str:
        """Mask text in XML elements that are secret by where they are, as in nested JSON."""
        stack: list[tuple[str, bool]] = []
        pieces, done = [], 0
        for tag in _TAG.finditer(text):
            if stack and stack[-1][1] and text[done : tag.start()].strip():
                pieces.append(MASK)
            else:
                pieces.append(text[done : tag.start()])
            pieces.append(tag[0])
            done = tag.end()
            closing, name = tag[1], _plain(tag[2].rpartition(":")[2])
            if closing:
                names = [opened for opened, _secret in stack[-_MAX_DEPTH:]]
                if name in names:
                    del stack[len(stack) - 1 - names[::-1].index(name) :]
            elif not tag[0].endswith("/>"):
                path = (*(opened for opened, _secret in stack[-5:]), name)
                secret = (bool(stack) and stack[-1][1]) or self._secret(path)
                stack.append((name, secret))
        if stack and stack[-1][1] and text[done:].strip():
            return "".join([*pieces, MASK])
        return "".join([*pieces, text[done:]])

    def _xml(self, found: re.Match) -> str:
        name, attributes, _content = found.groups()
        if not self._secret((_plain(name.rpartition(":")[2]),)):
            return found[0]
        return f"<{name}{attributes}>{MASK}"


_NO_SECRETS = {"", "null", "true", "false", "None", "True", "False"}
_PARAMETERS = {(name,) for name in SECRET_PARAMETERS}
_TEXTUAL = re.compile(r"^text/|json|xml|html|form-urlencoded|graphql|javascript|yaml|csv|multipart")


@lru_cache(maxsize=4096)
def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


@lru_cache(maxsize=4096)
def _is_secret_name(plain: str) -> bool:
    return any(part in plain for part in SECRET_PARTS) or plain.endswith(SECRET_ENDS)


def _without_end(text: str, cut: bool) -> str:
    return text[:-_LONGEST_SECRET] if cut else text


def _path(key: str) -> tuple[str, ...]:
    return tuple(_plain(part) for part in key.split("."))


def _written_path(name: str) -> tuple[str, ...]:
    if "\\" in name:
        try:
            name = json.loads(f'"{name}"')
        except ValueError:
            name = name.replace("\\", "")
    parts = re.split(r"[\[\].]+", unquote_plus(name))
    return tuple(_plain(part) for part in parts if part)


def _literals(values: Iterable[str]) -> re.Pattern | None:
    forms: set[str] = set()
    for value in values:
        if not value or len(value) < 4:
            continue
        raw = value.encode("utf-8", "surrogatepass")
        forms |= {
            value,
            quote(raw, safe=""),
            quote(raw),
            quote_plus(raw),
            json.dumps(value)[1:-1],
            json.dumps(value, ensure_ascii=False)[1:-1],
            base64.b64encode(raw).decode("ascii"),
            base64.urlsafe_b64encode(raw).decode("ascii"),
        }
    longest_first = sorted(forms, key=len, reverse=True)
    return (
        # Percent escapes come in both cases.
        re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE) if forms else None
    )


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
    opening = text[start : start + 1]
    if opening in ("{", "["):
        return len(text)
    escapes = len(text[start : start + 20]) - len(text[start : start + 20].lstrip("\\"))
    if text[start + escapes : start + escapes + 1] == '"':
        return _closing_quote(text, start + escapes, '"', escapes)
    end = _JSON_SCALAR_END.search(text, start)
    return end.start() if end else len(text)


def _plain_value_end(text: str, name: re.Match) -> int:
    start = name.end()
    opening = text[start : start + 1]
    if opening in ("{", "["):
        return len(text)
    if opening in ("'", '"'):
        return _closing_quote(text, start, opening, 0)
    if text.startswith(MASK, start):
        return start
    # A header's value has several words: "Cookie: a=1; b=2".
    whole_line = _plain(name[1]).endswith(("cookie", "authorization"))
    end = (_LINE_END if whole_line else _VALUE_END).search(text, start)
    return end.start() if end else len(text)


def _closing_quote(text: str, start: int, mark: str, escapes: int) -> int:
    # Inside of a text that is JSON itself, quotes carry as many backslashes as the opening one.
    index = text.find(mark, start + 1)
    while index >= 0:
        before = index - 1
        while before > start and text[before] == "\\":
            before -= 1
        count = index - 1 - before
        if count <= escapes and count % 2 == escapes % 2:
            return index + 1
        if not escapes and count % 2 == 0:
            return index + 1
        index = text.find(mark, index + 1)
    return len(text)


def _masked(text: str, start: int, end: int) -> str:
    value = text[start:end]
    core = value.lstrip("\\")
    escapes = value[: len(value) - len(core)]
    for mark in ('"', "'"):
        if core.startswith(mark):
            return f"{escapes}{mark}{MASK}{escapes}{mark}"
    return MASK


def _mask_card(found: re.Match) -> str:
    # Groups of digits: the card may have neighbours, as in "4242 4242 4242 4242 12 27".
    whole = found[0]
    groups = [(g.start(), g.end()) for g in re.finditer(r"\d+", whole)]
    pieces, done, index = [], 0, 0
    while index < len(groups):
        step = 1
        for last in range(index, min(index + 6, len(groups))):
            digits = "".join(whole[start:end] for start, end in groups[index : last + 1])
            if _CARD_PREFIX.fullmatch(digits) and _luhn(digits):
                pieces += [whole[done : groups[index][0]], MASK]
                done = groups[last][1]
                step = last - index + 1
                break
        index += step
    return "".join([*pieces, whole[done:]])


def _luhn(digits: str) -> bool:
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
