"""What `./run test` adds to pytest: distribution over workers, and real servers as fixtures."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from . import core_tests, server, testbed

# Tests that start servers take longest. Those of a group run one after the other: stories depend on
# how fast a server is, and more of them at once would disturb each other.
SERVER_TESTS = {
    "stories": ("tests/e2e/",),
    "harness": ("tests/bench/", "tests/chaos/test_orders.py", "tests/chaos/test_operations.py"),
}

# Tests that judge seconds, of this project's own or of a browser: a machine that stands still for a
# while lets them fail. They are tried again, and the summary says so.
CLOCK_TESTS = (
    "integration_base/tests/lib/test_lib_http.py",
    "integration_base/tests/test_rate_bucket.py",
    "integration_base/tests/test_tours.py",
    "integration_shopify/tests/test_tours.py",
    "tests/bench/",
    "tests/e2e/test_limits.py",
    "tests/e2e/test_resilience.py",
    "tests/e2e/test_stock.py",
    "tests/runtime/test_server.py",
    "tests/simulators/",
)
TRIES = 3


class Scheduling(LoadScopeScheduling):
    """Keeps the tests of a file on one worker, and those of a group that starts servers.

    (xdist's own groups change the ids of tests in a way that pytest 9.2 does not notice.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return _server_group(nodeid) or nodeid.split("::")[0]


def _server_group(nodeid: str) -> str | None:
    groups = (group for group, folders in SERVER_TESTS.items() if nodeid.startswith(folders))
    return next(groups, None)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling | None:
    """Use our distribution unless the person chose one."""
    return Scheduling(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests that judge seconds; server tests come first: they take longest, and the other
    workers go on meanwhile."""
    if core_tests.VARIABLE in os.environ:
        _select_core_tests(config, items)
    for item in items:
        if item.nodeid.startswith(CLOCK_TESTS):
            item.add_marker(pytest.mark.flaky(reruns=TRIES - 1, reruns_delay=5))
    items.sort(key=lambda item: not _server_group(item.nodeid))


def _select_core_tests(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what `core_tests` leaves out, and note the module of the others."""
    left_out = []
    for item in items:
        module = item.path.parts[item.path.parts.index("tests") - 1]
        inherited = Path(item.reportinfo()[0]) != item.path
        if inherited or (module, item.name) in core_tests.LEFT_OUT:
            left_out.append(item)
        else:
            item.user_properties.append(("module", module))
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """In a run of Odoo's own tests: show and record how many passed in each module."""
    if core_tests.VARIABLE not in os.environ or terminalreporter.config.option.collectonly:
        return
    reports = terminalreporter.stats.get("passed", [])
    passed = Counter(dict(report.user_properties)["module"] for report in reports)
    terminalreporter.section("passed tests of each module", sep="-")
    for module, count in sorted(passed.items()):
        terminalreporter.write_line(f"{module}: {count}")
    core_tests.record(passed)


@pytest.fixture(scope="session", autouse=True)
def _files_of_other_workers() -> None:
    """Leave the clean-up of files to the end: workers share a database and its file store.

    After each class Odoo deletes the files that no row of the database has; those of a test that
    another worker has just then in an open transaction are among them.
    """
    from odoo.tests.common import TransactionCase

    TransactionCase._gc_filestore = classmethod(lambda cls: None)


@pytest.fixture(scope="session")
def project() -> testbed.InsideProject:
    """The checkout with its Odoo and PostgreSQL."""
    return testbed.InsideProject()


@pytest.fixture(scope="module")
def odoo_server(project: testbed.InsideProject) -> Iterator[Callable[..., testbed.TestServer]]:
    """Factory of running Odoo servers, `odoo_server(workers=2)`; all end with the module.

    `odoo_server(test_addons=True)` has the addons of tests/addons too.
    """
    started: list[testbed.TestServer] = []

    def start(**options: object) -> testbed.TestServer:
        started.append(testbed.TestServer.create(project, **options))
        return started[-1]

    yield start
    for instance in started:
        instance.remove()


@pytest.fixture(scope="module")
def shop_simulator(project: testbed.InsideProject) -> Iterator[Callable[[], server.Service]]:
    """Factory of running shop simulators, address in `url`; all end with the module."""
    started: list[server.Service] = []

    def start() -> server.Service:
        started.append(testbed.start_simulator(project))
        return started[-1]

    yield start
    for instance in started:
        instance.stop()


@pytest.fixture(scope="module")
def generic_simulator(project: testbed.InsideProject) -> Iterator[Callable[[], server.Service]]:
    """Factory of running simulators of the service of connector generic, address in `url`."""
    started: list[server.Service] = []

    def start() -> server.Service:
        started.append(testbed.start_simulator(project, "generic"))
        return started[-1]

    yield start
    for instance in started:
        instance.stop()
