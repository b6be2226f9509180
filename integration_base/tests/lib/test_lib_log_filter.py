"""Arguments of calls on models with secrets stay out of the log; nothing else does."""

import logging
from types import SimpleNamespace

import pytest

from odoo.addons.integration_base.lib.log_filter import HideArguments, HideQuery


class Records:
    def __init__(self, name):
        self._name = name

    def __repr__(self):
        return f"{self._name}(1,)"


@pytest.fixture
def log(caplog):
    logger = logging.getLogger("test.calls")
    hide = HideArguments("secret.")
    logger.addFilter(hide)
    caplog.set_level(logging.DEBUG, "test.calls")
    yield SimpleNamespace(logger=logger, caplog=caplog)
    logger.removeFilter(hide)


def test_arguments_of_a_call_are_hidden(log):
    log.logger.debug("call %s.%s(%s)", Records("secret.model"), "write", "{'value': 'typed'}")
    assert log.caplog.messages == ["call secret.model(1,).write(***)"]


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("call %s.%s(%s)", (Records("other.model"), "write", "{}")),
        ("ready", ()),
        ("%(a)s", ({"a": 1},)),
        ("%s %s %s", ("secret.model", "write", "{}")),
    ],
)
def test_everything_else_is_logged_as_it_is(log, message, arguments):
    log.logger.debug(message, *arguments)
    plain = arguments[0] if arguments and isinstance(arguments[0], dict) else arguments
    expected = message % plain
    assert log.caplog.messages == [expected]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("GET /a/callback?code=c0de&state=x HTTP/1.1", "GET /a/callback?*** HTTP/1.1"),
        ("GET /a/callback?code=c0de", "GET /a/callback?***"),
        (
            "GET /login?to=%2Fa%2fcallback%3Fcode%3Dc0de HTTP/1.1",
            "GET /login?to=%2Fa%2fcallback%3F*** HTTP/1.1",
        ),
        ("GET /a/callback HTTP/1.1", "GET /a/callback HTTP/1.1"),
        ("GET /b/callback?code=c0de HTTP/1.1", "GET /b/callback?code=c0de HTTP/1.1"),
    ],
)
def test_query_of_an_address_is_hidden(caplog, line, shown):
    logger, hide = logging.getLogger("test.addresses"), HideQuery("/a/callback")
    logger.addFilter(hide)
    caplog.set_level(logging.INFO, "test.addresses")
    logger.info('127.0.0.1 "%s" %s %s', line, 200, "-")
    logger.info("ready")
    logger.info("%(a)s", {"a": 1})
    logger.removeFilter(hide)
    assert caplog.messages == [f'127.0.0.1 "{shown}" 200 -', "ready", "1"]
