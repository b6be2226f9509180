"""Chromium for browser tours and screenshots."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .console import EnvironmentProblem, run, say, step

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
MISSING = "No chromium here: install it (`apt-get install chromium`)"


def find(*, required: bool) -> Path | None:
    """Chromium's program, installed with apt if we are root; None when tours have to be skipped.

    :raises EnvironmentProblem: there is none, and `required`.
    """
    program = _which()
    if program:
        return program
    if os.geteuid() == 0 and shutil.which("apt-get"):
        try:
            with step("Installing chromium for the browser tests"):
                run(["apt-get", "update", "-q"], MISSING, timeout=600)
                run(
                    ["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium"],
                    MISSING,
                    env={"DEBIAN_FRONTEND": "noninteractive"},
                )
        except EnvironmentProblem as problem:
            if required:
                raise
            say(f"Browser tests are skipped. {problem}")
        return _which()
    if required:
        raise EnvironmentProblem(f"{MISSING}; browser tests may not be skipped in CI.")
    say(f"Browser tests are skipped. {MISSING}.")
    return None


def _which() -> Path | None:
    return next((Path(path) for name in NAMES if (path := shutil.which(name))), None)
