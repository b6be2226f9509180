"""Calls that must not be repeated: what an error says of them, and which key the next one has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.integration_base.lib.errors import (
    AddressError,
    AuthError,
    ConfigurationError,
    InvalidPayloadError,
    NotReadyError,
    RateLimitedError,
    RequestRefused,
    RetryableError,
)
from odoo.addons.integration_base.lib.intents import (
    intent_key,
    intent_of,
    needs_fresh_key,
    outcome_of,
    seconds_to_wait,
    service_key,
)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RetryableError("refused connection", outcome="not_sent"), "not_sent"),
        (RetryableError("time-out", outcome="unknown"), "unknown"),
        (RetryableError("the last try under this key failed", outcome="refused"), "refused"),
        (RetryableError("a web page where data was expected"), "unknown"),
        (RateLimitedError("429"), "not_sent"),
        (AuthError("401"), "not_sent"),
        (RequestRefused("400", status=400), "refused"),
        (RequestRefused("never sent", status=None), "refused"),
        (RequestRefused("is in progress", status=409), "unknown"),
        (ConfigurationError("no account chosen"), "refused"),
        (AddressError("leads to 10.0.0.1"), "not_sent"),
        # the effect may have happened; only its answer was cut off
        (InvalidPayloadError("truncated JSON"), "unknown"),
        (NotReadyError("the label is in production"), "unknown"),
        (KeyError("id"), "unknown"),
        (KeyboardInterrupt(), "unknown"),
    ],
)
def test_only_certain_failures_are_no_effect(error, outcome):
    assert outcome_of(error) == outcome


def test_key_names_the_effect_and_nothing_else():
    key = intent_key("db", 1, "refund", "account.payment", 7, "1")
    assert key == intent_key("db", 1, "refund", "account.payment", 7, "1")
    others = {
        intent_key("copy", 1, "refund", "account.payment", 7, "1"),
        intent_key("db", 2, "refund", "account.payment", 7, "1"),
        intent_key("db", 1, "capture", "account.payment", 7, "1"),
        intent_key("db", 1, "refund", "account.move", 7, "1"),
        intent_key("db", 1, "refund", "account.payment", 71, ""),
        intent_key("db", 1, "refund", "account.payment", 7, "2"),
        intent_key("db", 1, "refund", "account.payment", 7, None),
    }
    assert len(others | {key}) == 8


@given(st.integers(1, 10**6))
def test_each_try_has_its_own_key_of_one_intent(number):
    key = intent_key("db", 1, "refund", "account.payment", 7)
    sent = service_key(key, number)
    assert intent_of(sent) == key
    assert (sent == key) == (number == 1)
    assert len(sent) <= 255, "Stripe takes no longer ones"


def test_key_is_kept_as_long_as_that_protects_and_no_longer():
    assert not needs_fresh_key("not_sent", False)
    assert not needs_fresh_key("not_sent", True)
    # the first repetition after a lost answer: an honoured key cannot double
    assert not needs_fresh_key("unknown", False)
    assert not needs_fresh_key("new", False)
    # the second: the service may keep answering with a saved error
    assert needs_fresh_key("unknown", True)
    assert needs_fresh_key("new", True)
    assert needs_fresh_key("refused", False)
    assert needs_fresh_key("void", False)


@pytest.mark.parametrize(
    ("elapsed", "late", "fresh", "wait"),
    [
        (10, 60, False, 50),
        (60, 60, False, 0),
        (500, 60, True, 0),
        (10, 0, False, 0),
        # a lost request under the old key would be carried out beside the new one
        (10, 0, True, 50),
        (10, 300, True, 290),
    ],
)
def test_late_requests_are_waited_for(elapsed, late, fresh, wait):
    assert seconds_to_wait(elapsed, late, fresh, 60) == wait
