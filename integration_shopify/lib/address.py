"""Comparing addresses and names the way people do: case, spaces and punctuation do not matter."""

import re
import unicodedata

_NOISE = re.compile(r"[\s.,;:#/\\'\"()-]+")


def normal(text) -> str:
    """Return ``text`` in the form it is compared in (``Mill St. 5`` = ``mill st 5``)."""
    if not text:
        return ""
    return _NOISE.sub(" ", unicodedata.normalize("NFKC", str(text)).casefold()).strip()


def email(text) -> str:
    """Return an e-mail address in the form it is compared in, or an empty text."""
    text = (text or "").strip().casefold()
    return text if "@" in text and " " not in text else ""


def person(address) -> str:
    """Return the name of the person on a Shopify address (or customer), else an empty text."""
    parts = " ".join(filter(None, (address.firstName.strip(), address.lastName.strip())))
    return parts or (getattr(address, "name", "") or "").strip()


def is_empty(address) -> bool:
    """Whether a Shopify address says nothing about a place or a person (protected data)."""
    return not any(
        (address.address1, address.city, address.zip, address.countryCodeV2, person(address))
    )
