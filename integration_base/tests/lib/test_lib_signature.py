"""Signatures: only the right secret over the right bytes, and no input that raises."""

import hashlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from odoo.addons.integration_base.lib.signature import hmac_sha256, verify_hmac

BODY = b'{"id":1}'
# Computed with: printf '{"id":1}' | openssl dgst -sha256 -hmac hush
HEX = "5672948d9b0bb8de626568e7e449ed70154217d90c378dcb825cc2135fc649e6"
BASE64 = "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY="


def test_known_values():
    assert hmac_sha256("hush", BODY, "hex") == HEX
    assert hmac_sha256("hush", BODY) == BASE64


@given(st.text(min_size=1), st.binary(), st.sampled_from(["base64", "hex"]))
def test_own_signature_is_accepted(secret, body, encoding):
    signature = hmac_sha256(secret, body, encoding)
    assert verify_hmac([secret], body, signature, encoding)
    assert verify_hmac([secret], body, signature.encode(), encoding)


@given(st.text(min_size=1), st.text(min_size=1), st.binary(), st.binary())
def test_other_secret_or_body_is_refused(secret, other, body, changed):
    assume(secret != other and body != changed)
    # HMAC itself takes a key and the same key with zero bytes behind it for the same.
    assume(secret.rstrip("\0") != other.rstrip("\0"))
    assert not verify_hmac([other], body, hmac_sha256(secret, body))
    assert not verify_hmac([secret], changed, hmac_sha256(secret, body))


def test_every_active_secret_counts():
    signature = hmac_sha256("old", BODY)
    assert verify_hmac(["new", "old"], BODY, signature)
    assert verify_hmac(["old", "new"], BODY, signature)
    assert not verify_hmac(["new", "newer"], BODY, signature)


def test_empty_secrets_never_match():
    assert not verify_hmac([], BODY, hmac_sha256("", BODY))
    assert not verify_hmac([""], BODY, hmac_sha256("", BODY))
    assert not verify_hmac(["", "x"], BODY, hmac_sha256("", BODY))


@pytest.mark.parametrize(
    "received",
    [
        None,
        "",
        b"",
        "é",
        "\udc80",
        HEX,
        BASE64[:-1],
        BASE64 + "=",
        BASE64 + "," + BASE64,
        5,
        [],
        "A" * 10**6,
    ],
)
def test_malformed_header_is_just_wrong(received):
    assert verify_hmac(["hush"], BODY, received) is False


@given(st.none() | st.text() | st.binary())
def test_any_header_is_taken(received):
    assert verify_hmac(["hush"], BODY, received) is False


def test_hex_is_compared_as_written():
    assert not verify_hmac(["hush"], BODY, HEX.upper(), "hex")


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_algorithms_differ(algorithm):
    import hmac

    signature = hmac.new(b"hush", BODY, getattr(hashlib, algorithm)).hexdigest()
    for tried in ("sha1", "sha256", "sha512"):
        assert verify_hmac(["hush"], BODY, signature, "hex", tried) is (tried == algorithm)


@pytest.mark.parametrize(("what", "name"), [("encoding", "rot13"), ("algorithm", "md5")])
def test_unknown_way_is_a_bug_of_the_caller(what, name):
    with pytest.raises(ValueError, match=f"^unknown signature {what} '{name}'$"):
        verify_hmac(["hush"], BODY, BASE64, **{what: name})


def test_secret_that_is_no_text_is_just_another_secret():
    """Half of a character pair, as a damaged setting or a test may contain."""
    assert not verify_hmac(["\udc80"], BODY, BASE64)
    assert verify_hmac(["\udc80", "hush"], BODY, bytearray(BASE64, "ascii"))
