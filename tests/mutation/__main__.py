"""`./run mutate`: see the README."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

from .mutants import mutants

ROOT = Path(__file__).parents[2]
ADDON = "integration_base"
#: The modules that stand between us and everybody else; a rule lost there is a hole.
GUARDS = ("address_guard", "signature")
#: Loaded once: they take longer than the tests do.
LIBRARIES = ("requests", "urllib3", "lxml.etree", "hypothesis", "cryptography.x509", "pydantic")
#: Seconds a mutant may take, beside four times as long as the module itself.
GRACE = 10


def main(arguments: list[str]) -> int:
    """Mutate modules of ``lib``; returns 1 if the tests of one let a mistake pass."""
    parser = argparse.ArgumentParser(
        prog="run mutate",
        description="Changes modules of lib in every place, one mistake at a time: their own tests "
        "have to notice each.",
    )
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"usually {', '.join(GUARDS)}")
    modules = parser.parse_args(arguments).modules or GUARDS
    for name in LIBRARIES:
        importlib.import_module(name)
    return int(any([survivors(module) for module in modules]))


def survivors(module: str) -> int:
    """Print the mutants of a module that its tests let pass; returns how many these are."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for part in ("lib", "tests/lib"):
            shutil.copytree(ROOT / ADDON / part, work / ADDON / part)
        shutil.copy(ROOT / "pyproject.toml", work)
        file = work / ADDON / "lib" / f"{module}.py"
        tests = work / ADDON / "tests" / "lib" / f"test_lib_{module}.py"
        started = time.monotonic()
        if not passes(work, tests, 600):
            sys.exit(f"{module}: its tests fail without a mutant.")
        limit = 4 * (time.monotonic() - started) + GRACE
        count, passed = 0, 0
        for mutant in mutants(file.read_text()):
            file.write_text(mutant.source)
            count += 1
            if passes(work, tests, limit):
                passed += 1
                print(f"{module}.py:{mutant.line}: nobody notices  {mutant.change}", flush=True)
        print(f"{module}.py: {count} mutants, {count - passed} noticed, {passed} not.", flush=True)
    return passed


def passes(work: Path, tests: Path, seconds: float) -> bool:
    """Whether the tests pass within that time, in a process of their own."""
    child = os.fork()
    if not child:
        os.setsid()
        os.chdir(work)
        silence = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(silence, number)
        sys.dont_write_bytecode = True
        # of Odoo nothing is needed, and examples that failed once are of another mutant
        options = ["-p", "no:odoo", "-p", "no:cacheprovider", "-x", "-q"]
        os._exit(pytest.main([*options, str(tests)]))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
