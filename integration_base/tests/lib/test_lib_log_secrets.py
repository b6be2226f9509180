"""Known secrets stay out of the log, whoever logs them; all else gets there as it is."""

import base64
import logging
import time
from types import SimpleNamespace

import pytest

from odoo.addons.integration_base.lib import log_secrets
from odoo.addons.integration_base.lib.log_secrets import HideSecrets, KnownSecrets, hide_secrets

SECRET = "s3cr3t/V4lue"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (SECRET, "***"),
        (f"a {SECRET}{SECRET} b", "a ****** b"),
        (SECRET.upper(), "***"),
        ("x=s3cr3t%2fV4lue&y", "x=***&y"),
        (base64.b64encode(SECRET.encode()).decode(), "***"),
        (SECRET.encode().hex(), "***"),
        ("a\u0130" + SECRET, "a\u0130***"),
        ("\u0130", "\u0130"),
        (SECRET[:-1], SECRET[:-1]),
        ("other1 another", "*** another"),
        ("short", "short"),
        ("", ""),
    ],
)
def test_known_secrets(text, shown):
    secrets = KnownSecrets()
    for value in (SECRET, "other1", "short", SECRET):
        secrets.add(value)
    assert secrets.mask(text) == shown


def test_secrets_that_end_alike():
    secrets = KnownSecrets(limit=2)
    secrets.add("1-ending")
    secrets.add("2-ending")
    assert secrets.mask("1-ending 2-ending 3-ending") == "*** *** 3-ending"
    secrets.add("1-ending")
    secrets.add("3-ending")
    assert secrets.mask("1-ending 2-ending 3-ending") == "*** 2-ending ***"
    secrets.add("another-4")
    secrets.add("another-5")
    assert secrets.mask("1-ending 3-ending another-4 another-5") == "1-ending 3-ending *** ***"
    # nothing is left of those that are forgotten
    assert set(secrets._endings) == {form[-6:] for form in _forms("another-4", "another-5")}
    assert repr(secrets) == "<KnownSecrets: 2>"


def _forms(*values):
    return {form.lower() for value in values for form in log_secrets.forms_of(value)}


def test_as_many_are_known_as_can_be_needed():
    secrets = KnownSecrets()
    for number in range(2001):
        secrets.add(f"{number:06}")
    assert secrets.mask("000000 000001 002000") == "000000 *** ***"


def test_looking_into_a_text_does_not_depend_on_how_many_are_known():
    text = "2026-11-21 12:00:00,000 1 INFO odoo.addons.queue_job: started job 12 " * 20

    def seconds(secrets):
        secrets.mask(text)
        started = time.process_time()
        for _time in range(50):
            assert secrets.mask(text) == text
        return time.process_time() - started

    few, many = KnownSecrets(), KnownSecrets()
    few.add(SECRET)
    for number in range(1500):
        many.add(f"{number}-{SECRET}")
    assert seconds(many) < 5 * seconds(few) + 0.05


@pytest.fixture
def hidden():
    """A logger whose records lost a secret before any handler got them."""
    secrets = KnownSecrets()
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(HideSecrets(before, secrets))
    logger, records = logging.Logger("test.secrets"), []
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    yield SimpleNamespace(logger=logger, records=records, secrets=secrets)
    logging.setLogRecordFactory(before)


def _written(record):
    return logging.Formatter("%(levelname)s %(name)s %(message)s").format(record)


@pytest.mark.parametrize(
    ("message", "arguments", "shown"),
    [
        (f"a {SECRET}", (), "a ***"),
        ("a %s %d", (SECRET, 1), "a *** 1"),
        ("a %(b)s", ({"b": SECRET},), "a ***"),
        (ValueError(SECRET), (), "***"),
        # its author made a mistake, and Python would print all of it to say so
        ("a %d", (SECRET,), "a %d ('***',)"),
        ("a %s %s", (SECRET,), "a %s %s ('***',)"),
        ("a %(b)s", ({"c": SECRET},), "a %(b)s {'c': '***'}"),
        ("a %z", (SECRET,), "a %z ('***',)"),
        (f"100% {SECRET}", (), "100% ***"),
    ],
)
def test_messages_without_the_secret(hidden, message, arguments, shown):
    hidden.secrets.add(SECRET)
    hidden.logger.error(message, *arguments)
    (record,) = hidden.records
    assert _written(record) == f"ERROR test.secrets {shown}"
    assert record.args is None or record.msg is message
    assert SECRET not in str(record.__dict__)


def test_tracebacks_without_the_secret(hidden):
    hidden.secrets.add(SECRET)
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ValueError(f"token {SECRET} is not good") from error
    except ValueError:
        hidden.logger.exception("it failed")
    (record,) = hidden.records
    written = _written(record)
    assert written.startswith("ERROR test.secrets it failed\nTraceback (most recent call last)")
    assert "KeyError: '***'" in written
    assert written.endswith("ValueError: token *** is not good")
    # whoever keeps records as they are has none of it either
    assert record.exc_info is None


def test_stacks_without_the_secret(hidden):
    hidden.secrets.add("test_stacks_without_the_secret")
    hidden.logger.warning("here", stack_info=True)
    written = _written(hidden.records[0])
    assert "test_stacks" not in written
    assert "Stack (most recent call last)" in written


def test_other_records_stay_as_they_are(hidden):
    hidden.logger.warning("before anything is %s %s", "known", SECRET)
    hidden.secrets.add("other-secret")
    arguments = ("a", 1)
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        hidden.logger.exception("a %s %d", *arguments)
        failure = error
    before, after = hidden.records
    assert before.getMessage() == f"before anything is known {SECRET}"
    assert (after.msg, after.args, after.exc_text) == ("a %s %d", arguments, None)
    assert after.exc_info[1] is failure
    assert _written(after).endswith(f"ValueError: {SECRET}")


def test_what_cannot_be_looked_into_is_a_line_without_its_text(hidden):
    class Broken:
        def __str__(self):
            raise RuntimeError(SECRET)

        __repr__ = __str__

    hidden.secrets.add(SECRET)
    hidden.logger.error("a %s", Broken(), exc_info=ValueError(SECRET), stack_info=True)
    assert _written(hidden.records[0]) == (
        "ERROR test.secrets *** (left out: secrets could not be removed, RuntimeError)"
    )
    record = hidden.records[0]
    assert record.args is record.exc_info is record.exc_text is record.stack_info is None


def test_it_is_put_in_once(monkeypatch):
    before = logging.getLogRecordFactory()
    made = []
    monkeypatch.setattr(logging, "getLogRecordFactory", lambda: made[-1] if made else before)
    monkeypatch.setattr(logging, "setLogRecordFactory", made.append)
    if isinstance(before, HideSecrets):
        before = before._make
    hide_secrets()
    hide_secrets()
    (factory,) = made
    monkeypatch.setattr(log_secrets.SECRETS, "mask", lambda text: text.replace(SECRET, "***"))
    log_secrets.SECRETS.add("of-the-process")
    record = factory("n", logging.INFO, "p", 1, f"x {SECRET}", (), None, func="f")
    assert (record.getMessage(), record.funcName) == ("x ***", "f")
