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
from typing import Any
from urllib.parse import quote, unquote

from .redact import MASK, MAX_TEXT, Redactor

#: Shorter words would be found, and masked, all over the place.
SHORTEST = 4
#: A number alone is looked for only if it is so long that it can hardly be anything else.
_LONG_NUMBER = re.compile(r"\d{8,}")
_PHONE_PARTS = r"(?:[\s()./-]|%[0-9a-fA-F]{2}){0,3}"
_ESCAPED = re.compile(r"\\+u([0-9a-fA-F]{4})")
_ESCAPED_SPACE = re.compile(r"\\+[nrtbf]")


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

        return cls(
            words(contacts), words(name for id_ in ids for name in _id_names(id_)), words(names)
        )

    def search_pattern(self, certain: bool = False) -> str:
        """Return a regular expression (Python's and PostgreSQL's) of texts worth a closer look.

        :param certain: only by what belongs to nobody else.
        :returns: an empty text when there is nothing to look for.
        """
        words = (*self.contacts, *self.ids, *(() if certain else self.names))
        return "|".join(form for word in words for form in _forms(word))

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
        phones = [rf"(?<!\d){_phone_form(word)}(?!\d)" for word in self.contacts if _is_phone(word)]
        return Redactor(
            keys=keys,
            patterns=[*patterns, *phones],
            extra=[form for word in words for form in {word, html.escape(word)}],
        )

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
    return re.compile(rf"(?<![^\W_])(?:{pattern})(?![^\W_])", re.IGNORECASE)


def erased(text: str, redactor: Redactor) -> str:
    """Return a stored text of any length without personal data; JSON stays JSON.

    :param redactor: see :meth:`Person.redactor`.
    """
    if text.lstrip()[:1] in ("{", "["):
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            data = None
        if data is not None:
            clean = redactor.data(data)
            if clean == data:
                return text
            return json.dumps(clean, ensure_ascii=False, indent=2 if "\n" in text else None)
    # the redactor cuts longer ones, and what it does not look at cannot stay
    return redactor.text(text) if len(text) <= MAX_TEXT else MASK


def _id_names(external_id: Any) -> list[str]:
    """``gid://shop/Customer/12345678`` is called ``12345678`` in other places."""
    text = str(external_id or "")
    last = text.rpartition("/")[2]
    return [text, last] if _LONG_NUMBER.fullmatch(last) else [text]


def _is_phone(word: str) -> bool:
    return (
        "@" not in word and len(re.findall(r"\d", word)) >= 6 and not re.search(r"[^\W\d_]", word)
    )


def _phone_form(word: str) -> str:
    digits = "".join(re.findall(r"\d", word)).removeprefix("00")
    return "(?:00)?" + _PHONE_PARTS.join(digits)


def _forms(word: str) -> list[str]:
    """Return regular expressions of the ways a word is written in a text."""
    if _is_phone(word):
        return [_phone_form(word)]
    # not every database knows the case of letters beyond ASCII
    cases = {word, word.lower(), word.upper()}
    written = {
        form
        for case in cases
        for form in (case, json.dumps(case)[1:-1], html.escape(case), quote(case))
    }
    return sorted({_flexible(form) for form in written})


def _flexible(form: str) -> str:
    """Any space is a space, JSON inside of JSON has more backslashes, and some escape slashes."""
    pattern = re.sub(r"(?:\\ )+", r"\\s+", re.escape(form))
    return re.sub(r"(?:\\\\)+", r"\\\\+", pattern).replace("/", r"\\*/")


def _readings(text: str) -> list[str]:
    """Return the text as it is, and as it reads once its escapes are undone."""
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    plain = _ESCAPED_SPACE.sub(" ", plain).replace("\\/", "/")
    return [text, html.unescape(unquote(plain))]
