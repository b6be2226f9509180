"""The search for secrets finds them: else every test built on it would pass for nothing."""

import base64
import json
from urllib.parse import quote, urlencode

import pytest

from tests import canary

# the same in every process: it is part of the names of tests
SECRET = 'canary-0f1e2d3c4b5a6978"+/=&8796a5b4c3d2e1f0'


@pytest.mark.parametrize(
    "kept",
    [
        SECRET,
        f"Authorization: Bearer {SECRET}",
        json.dumps({"key": SECRET}),
        json.dumps({"body": json.dumps({"key": SECRET})}),
        repr({"key": SECRET}),
        urlencode({"key": SECRET}),
        f"/callback/{quote(SECRET)}",
        SECRET.encode().hex(),
        r"\x" + f"user:{SECRET}".encode().hex().upper(),
        *(base64.b64encode(f"{'x' * size}:{SECRET}:more".encode()).decode() for size in range(6)),
        base64.urlsafe_b64encode(f"user:{SECRET}".encode()).decode(),
        base64.b64encode(SECRET.encode()),
    ],
)
def test_secret_is_found_in_every_shape(kept):
    assert canary.traces({"key": SECRET}, kept)


def test_nothing_is_found_where_there_is_nothing():
    other = canary.make("test")
    kept = "".join(pattern.decode() for pattern in canary.shapes(other).values())
    assert canary.traces({"key": SECRET}, kept) == []


def test_finding_tells_the_place_without_the_secret():
    (found,) = canary.traces({"key": SECRET}, f"INSERT INTO log VALUES ('{SECRET}')")
    assert "INSERT INTO log" in found
    assert SECRET not in found
