"""`./run mutate`: see the README."""

from __future__ import annotations

import argparse
import importlib
import json
import math
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from runtime.checks.noticed import ADDON, GUARDS, digest, tests_of, write

from .mutants import Mutant, mutants

ROOT = Path(__file__).parents[2]
#: Loaded once: they take longer than the tests do.
LIBRARIES = ("requests", "urllib3", "lxml.etree", "hypothesis", "cryptography.x509", "pydantic")
#: Stands for the test that noticed the last mutant, among the times of all.
LAST = "last"
EVERYWHERE = range(1, sys.maxsize)
#: The copy of the addon that belongs to this process.
_WORK = Path()
#: Seconds of processor time a mutant may take, beside twice as long as the module itself ...
GRACE = 10
#: ... and so many times that by the clock: on a busy machine a mutant that nobody notices takes
#: longer, and must not be taken for one that never ends.
PATIENCE = 4
PROFILE = "mutants"
settings.register_profile(
    PROFILE,
    # the same answer every time, and nothing that is only of use to a reader
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def main(arguments: list[str]) -> int:
    """Mutate modules of ``lib``; returns 1 if the tests of one let a mistake pass."""
    parser = argparse.ArgumentParser(
        prog="run mutate",
        description="Changes modules of lib in every place, one mistake at a time: their own tests "
        "have to notice each.",
    )
    parser.add_argument(
        "modules",
        nargs="*",
        metavar="MODULE[:FIRST[-LAST]]",
        help=f"a module, or some lines of it; usually {', '.join(GUARDS)}",
    )
    modules = parser.parse_args(arguments).modules or GUARDS
    for name in LIBRARIES:
        importlib.import_module(name)
    return int(any([survivors(*_part(module)) for module in modules]))


def _part(argument: str) -> tuple[str, range]:
    module, _, lines = argument.partition(":")
    first, _, last = lines.partition("-")
    return module, range(int(first or 1), int(last or first or sys.maxsize - 1) + 1)


def survivors(module: str, lines: range = EVERYWHERE) -> int:
    """Print the mutants of a module that its tests let pass; returns how many these are.

    What was found out about a whole guard is noted, for `./run check`.
    """
    began = time.monotonic()
    cores = len(os.sched_getaffinity(0))
    looked_at = digest(ROOT, module)
    with tempfile.TemporaryDirectory() as name:
        work = _copy(Path(name) / "0")
        found = [m for m in mutants(_file(work, module).read_text()) if m.line in lines]
        started = time.monotonic()
        if not passes(work, module, 600):
            sys.exit(f"{module}: its tests fail without a mutant.")
        limit = 2 * (time.monotonic() - started) + GRACE
        works = [work, *(shutil.copytree(work, Path(name) / str(n)) for n in range(1, cores))]
        # forked before there is any thread, and each forks again for each of its mutants
        fork = multiprocessing.get_context("fork")
        free = fork.SimpleQueue()
        for work in works:
            free.put(work)
        with ProcessPoolExecutor(cores, fork, _take, (free,)) as pool:
            unnoticed = pool.map(partial(_is_unnoticed, module, limit), found)
            passed = 0
            for mutant, nobody in zip(found, unnoticed, strict=True):
                if nobody:
                    passed += 1
                    print(f"{module}.py:{mutant.line}: nobody notices  {mutant.change}", flush=True)
        minutes = (time.monotonic() - began) / 60
        print(
            f"{module}.py: {len(found)} mutants, {len(found) - passed} noticed, {passed} not, "
            f"{minutes:.1f} minutes.",
            flush=True,
        )
    if lines == EVERYWHERE and module in GUARDS:
        noted = {"digest": looked_at, "mutants": len(found)}
        write(ROOT, module, None if passed else noted)
    return passed


def _copy(work: Path) -> Path:
    for part in ("lib", "tests/lib"):
        shutil.copytree(ROOT / ADDON / part, work / ADDON / part)
    shutil.copy(ROOT / "pyproject.toml", work)
    return work


def _file(work: Path, module: str) -> Path:
    return work / ADDON / "lib" / f"{module}.py"


def _take(free: multiprocessing.SimpleQueue) -> None:
    global _WORK
    _WORK = free.get()


def _is_unnoticed(module: str, seconds: float, mutant: Mutant) -> bool:
    _file(_WORK, module).write_text(mutant.source)
    return passes(_WORK, module, seconds)


def passes(work: Path, module: str, seconds: float) -> bool:
    """Whether the tests of a module pass within that time, in a process of their own."""
    child = os.fork()
    if not child:
        os.setsid()
        os.chdir(work)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds),) * 2)
        silence = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(silence, number)
        sys.dont_write_bytecode = True
        # of Odoo nothing is needed, and examples that failed once are of another mutant
        options = ["-p", "no:odoo", "-p", "no:cacheprovider", "-x", "-q"]
        # whether they fail is enough to know, nobody reads why
        options += ["--assert", "plain", "--hypothesis-profile", PROFILE]
        options += map(str, tests_of(work, module))
        os._exit(pytest.main(options, [QuickFirst(work / "seconds.json")]))
    deadline = time.monotonic() + PATIENCE * seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


class QuickFirst:
    """Lets the tests that took the least time without a mutant run first.

    Before them only the one that noticed the last mutant, which was the neighbour of this one.

    :param file: keeps these times.
    """

    def __init__(self, file: Path):
        self._file = file
        self._seconds = json.loads(file.read_text()) if file.exists() else {}
        self._measures = not self._seconds

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: self._seconds.get(item.nodeid, 0))
        items.sort(key=lambda item: item.nodeid != self._seconds.get(LAST))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._seconds[LAST] = report.nodeid
        if self._measures:
            known = self._seconds.get(report.nodeid, 0)
            self._seconds[report.nodeid] = known + report.duration

    def pytest_sessionfinish(self) -> None:
        self._file.write_text(json.dumps(self._seconds))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
