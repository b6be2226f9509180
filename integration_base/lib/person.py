"""Find and remove what kept texts say about one person.

What is looked for is a few words that belong to the person alone: e-mail addresses, phone numbers,
external ids, the name, the street. What is removed is more: everything :class:`~.redact.Redactor`
takes for personal data in the texts that were found, for these are about the person.
"""

import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from html.entities import html5
from typing import Any
from unicodedata import normalize
from urllib.parse import unquote

from .redact import MASK, MAX_TEXT, Redactor

#: Shorter words would be found, and masked, all over the place.
SHORTEST = 4
#: A number alone is looked for only if it is so long that it can hardly be anything else.
_LONG_NUMBER = re.compile(r"\d{8,}")
#: One blank, in the ways it is written. Databases differ in what beyond ASCII they call a space.
_BLANK = (
    r"(?:[\s+\u0085\u00a0\u1680\u2000-\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff]"
    r"|\\+(?:[nrtbf]|u(?:00(?:20|85|a0)|1680|20(?:0[\da-d]|2[89f]|5f|60)|3000|feff))"
    r"|%(?:25)*(?:20|0[9ad]|c2%(?:25)*a0)"
    r"|&(?:amp;)*(?:nbsp|#0*(?:9|10|13|32|160)|#x0*(?:9|a|d|20|a0));?|<br\s*/?>)"
)
# any number of them: to count them would take a database ten times as long
# No character begins two of the ways: Python would try all combinations.
_PHONE_PARTS = (
    r"(?:[^0-9a-z\\%&]|\\(?:[nrtbf]|u[0-9a-f]{4})?|%(?:(?:25)*[0-9a-f]{2})?"
    r"|&(?:(?:amp;)*(?:nbsp|#\d+|#x[0-9a-f]+))?)*"
)
#: Of a word, what is written the same in all texts.
_PLAIN = re.compile(r"[0-9A-Za-z]+")
# Tried once for each run of backslashes: from each of them it would take quadratic time.
_ESCAPED = re.compile(r"(?<!\\)\\++u([0-9a-fA-F]{4})")
_ESCAPED_SPACE = re.compile(r"(?<!\\)\\++[nrtbf]")
#: Texts in each other that escapes are undone of.
_NESTED = 5


@dataclass(frozen=True)
class Person:
    """The words a person is known by.

    :param contacts: e-mail addresses and phone numbers; they belong to nobody else.
    :param ids: external ids of the person and of what belongs to them; they stay where they are.
    :param names: names, streets and the like; others may have the same ones.
    """

    contacts: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, contacts: Iterable = (), ids: Iterable = (), names: Iterable = ()) -> "Person":
        """Return the person, without words that are empty, too short or named twice."""

        def words(texts):
            stripped = (str(text or "").strip() for text in texts)
            return tuple(dict.fromkeys(text for text in stripped if len(text) >= SHORTEST))

        return cls(words(contacts), words(map(_id_name, ids)), words(names))

    def search_pattern(self, certain: bool = False) -> str:
        """Return a regular expression (Python's and PostgreSQL's) of texts worth a closer look.

        It is to be used without regard to case.

        :param certain: only by what belongs to nobody else.
        :returns: an empty text when there is nothing to look for.
        """
        words = (*self.contacts, *(() if certain else self.names))
        return "|".join([*map(_form, words), *map(_spelled, self.ids)])

    def rough_pattern(self, certain: bool = False) -> str:
        """Return a regular expression of all texts that :meth:`search_pattern` finds, and others.

        It is looked for several times faster.
        """
        words = (*self.contacts, *(() if certain else self.names))
        return "|".join([*map(_rough_form, words), *map(_longest_plain, self.ids)])

    def is_in(self, text: str | None, certain: bool = False) -> bool:
        """Whether the text names the person, and not somebody whose name contains theirs.

        :param certain: only by what belongs to nobody else.
        """
        exact = _exact(self, certain)
        return bool(text and exact) and any(exact.search(reading) for reading in _readings(text))

    def owns(self, text: str | None) -> bool:
        """Whether the text is about the person: by what is only theirs, or by two of their names.

        Somebody else may be called the same, or live in the same street, but hardly both.
        """
        if self.is_in(text, certain=True):
            return True
        return sum(Person(names=(name,)).is_in(text) for name in self.names) > 1

    def redactor(self, keys: Iterable[str] = (), patterns: Iterable[str] = ()) -> Redactor:
        """Return what removes this person's words, and personal data, from a text.

        :param keys: names of fields with personal data, beside the usual ones.
        :param patterns: more regular expressions of what is removed from free text.
        """
        words = (*self.contacts, *self.names)
        # what is found has to be what is removed; `extra` adds what is found nowhere, as base64
        written = [
            rf"(?i:(?<!\d){_form(word)}(?!\d))" if _is_phone(word) else rf"(?i:{_form(word)})"
            for word in words
        ]
        return Redactor(keys=keys, patterns=[*patterns, *map(_bounded, written)], extra=words)

    def excerpts(self, text: str | None) -> list:
        """Return the parts of a text about several records that name this person.

        :returns: the smallest JSON objects with a value that is certainly theirs; of other texts
            the lines.
        """
        if not text:
            return []
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            return [line for line in text.splitlines() if self.is_in(line, certain=True)]
        return list(self._objects(data))

    def _objects(self, data: Any):
        values = list(data.values()) if isinstance(data, dict) else data
        if not isinstance(values, list):
            return
        if isinstance(data, dict) and any(
            self.is_in(str(value), certain=True)
            for value in values
            if not isinstance(value, (dict, list))
        ):
            yield data
            return
        for value in values:
            yield from self._objects(value)


@lru_cache(maxsize=64)
def _exact(person: Person, certain: bool) -> re.Pattern | None:
    pattern = person.search_pattern(certain)
    if not pattern:
        return None
    # beside a letter or digit it is part of another word
    return re.compile(rf"(?<![^\W_])(?:{_bounded(pattern)})(?![^\W_])", re.IGNORECASE)


def _bounded(pattern: str) -> str:
    """Return a pattern of :func:`_form` for Python, which would take cubic time on backslashes.

    Those before a character are read from the first one of them on, and only once.
    """
    start = pattern.replace(r"\\*(?:", r"(?:(?<!\\)\\+)?(?:")
    return start.replace(r"\\+u", r"(?<!\\)\\+u")


def erased(text: str, person: Person, redactor: Redactor) -> str:
    """Return a stored text of any length without a person and personal data; JSON stays JSON.

    External ids stay. What names the person in a way that cannot be cut out is left out as a whole.

    :param redactor: see :meth:`Person.redactor`.
    """
    named = Person(person.contacts, (), person.names)
    if text.lstrip()[:1] in ("{", "[", '"'):
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            data = None
        if data is not None:
            clean = _without(redactor.data(data), named)
            if clean == data and not named.is_in(text):
                return text
            left = json.dumps(clean, ensure_ascii=False, indent=2 if "\n" in text else None)
            # half of a character, which JSON may hold and a database may not
            left = left.encode("utf-8", "replace").decode()
            return json.dumps(type(data)()) if named.is_in(left) else left
    # the redactor cuts longer ones, and what it does not look at cannot stay
    left = redactor.text(text) if len(text) <= MAX_TEXT else MASK
    return MASK if named.is_in(left) else left


def _without(value: Any, person: Person) -> Any:
    """Return parsed JSON without the texts that still name a person."""
    if isinstance(value, dict):
        return {
            MASK if person.is_in(key) else key: _without(item, person)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without(item, person) for item in value]
    return MASK if isinstance(value, str) and person.is_in(value) else value


def _id_name(external_id: Any) -> str:
    """``gid://shop/Customer/12345678`` is called ``12345678`` in other places: so, in all."""
    text = str(external_id or "")
    last = text.rpartition("/")[2]
    return last if _LONG_NUMBER.fullmatch(last) else text


def _is_phone(word: str) -> bool:
    return (
        "@" not in word and len(re.findall(r"\d", word)) >= 6 and not re.search(r"[^\W\d_]", word)
    )


def _phone_form(word: str) -> str:
    digits = "".join(re.findall(r"\d", word)).removeprefix("00")
    return "(?:00)?" + _PHONE_PARTS.join(digits)


def _form(word: str) -> str:
    """Return a regular expression of the ways a word is written in a text, in either case."""
    if _is_phone(word):
        return _phone_form(word)
    return f"{_BLANK}+".join(map(_spelled, word.split()))


def _rough_form(word: str) -> str:
    return _phone_form(word) if _is_phone(word) else _longest_plain(word)


def _longest_plain(word: str) -> str:
    # many have their address at the same service; and nothing is found in every text
    name = normalize("NFC", word).partition("@")[0]
    return max(_PLAIN.findall(name), key=len, default="")


def _spelled(word: str) -> str:
    return "".join(map(_written, normalize("NFC", word)))


@lru_cache(maxsize=1024)
def _written(char: str) -> str:
    """Return a regular expression of the ways a character is written.

    As it is, and escaped for JSON, a URL or HTML, once or several times, however the texts are
    nested in each other.
    """
    if char.isascii() and char.isalnum():
        return char
    # not every database knows the case of letters beyond ASCII
    cases = {char, char.lower(), char.upper()}
    forms = {normalize(kind, case) for case in cases for kind in ("NFC", "NFD")}
    written = {write(form) for form in forms for write in (re.escape, _in_json, _in_url, _in_html)}
    # quotes and slashes
    escapes = r"\\*" if char.isascii() else ""
    return f"{escapes}(?:{'|'.join(sorted(written))})"


def _in_json(text: str) -> str:
    units = text.encode("utf-16-be", "surrogatepass").hex()
    return "".join(rf"\\+u{units[start : start + 4]}" for start in range(0, len(units), 4))


def _in_url(text: str) -> str:
    return "".join(f"%(?:25)*{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))


def _in_html(text: str) -> str:
    return "".join(
        f"&(?:amp;)*(?:{'|'.join([f'#0*{ord(c)}', f'#x0*{ord(c):x}', *_ENTITIES.get(c, ())])});?"
        for c in text
    )


#: Names of characters in HTML: of letters, and of what has to be escaped.
_ENTITIES: dict[str, list[str]] = {}
for _name, _text in html5.items():
    if _name.endswith(";") and (not _text.isascii() or _text in "&<>\"'"):
        _ENTITIES.setdefault(_text, []).append(_name[:-1])


def _readings(text: str) -> list[str]:
    """Return the text as it is, and as it reads once its escapes are undone, and theirs."""
    readings = [text]
    for _ in range(_NESTED):
        plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), readings[-1])
        plain = _ESCAPED_SPACE.sub(" ", plain).replace("\\/", "/")
        plain = html.unescape(unquote(plain))
        if plain == readings[-1]:
            break
        readings.append(plain)
    return readings
