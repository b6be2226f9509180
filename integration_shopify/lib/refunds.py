"""What is refunded, and to which payments it goes back."""


def number_of(gid: str) -> int:
    """Return the number of a Shopify id: later records have larger ones."""
    number = gid.rsplit("/", 1)[-1]
    return int(number) if number.isdecimal() else 0
