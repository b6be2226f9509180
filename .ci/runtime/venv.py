"""The virtual environment, in the cache, one for each combination of Python, lock file and Odoo."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import time
from pathlib import Path

from . import debian, paths
from .console import EnvironmentProblem, run, step
from .odoo_source import OdooSource

# Nothing but the lock file may decide what is installed.
PIP_ENVIRONMENT = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}
PIP_INSTALL = (
    *("-m", "pip", "install", "-q", "--no-compile", "--require-hashes", "--no-deps"),
    "--no-build-isolation",  # else pip fetches what builds a package itself, unpinned
)

# Odoo starts itself again for its live chat process, by the path of the script that started it.
SCRIPT = "from odoo.cli.command import main\n\nmain()\n"


def ensure(odoo: OdooSource) -> Path:
    """Build the environment if it is not there; returns its Python.

    :raises EnvironmentProblem: wrong Python, no network, a package whose hash differs from the lock
        file.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if sys.version_info >= (3, 14):
        raise EnvironmentProblem(
            f"Odoo 19 runs on Python 3.11 to 3.13 and this is {version}: start again with "
            f"`python3.13 run ...`."
        )
    platform = sysconfig.get_platform()
    key = paths.fingerprint(
        version, platform, paths.BUILD_LOCK_FILE, paths.LOCK_FILE, str(odoo.path), SCRIPT
    )
    folder = paths.cache() / f"venv-{version}-{key}"
    python = folder / "bin" / "python"
    if (folder / "complete").exists() and python.exists():
        (folder / "complete").touch()
        return python
    _remove_unused()
    shutil.rmtree(folder, ignore_errors=True)
    with step("Creating the virtual environment"):
        _create(folder, python)
    with step("Installing the Python packages of the lock file"):
        for lock_file in (paths.BUILD_LOCK_FILE, paths.LOCK_FILE):
            run(
                [*(python, *PIP_INSTALL), "-r", lock_file],
                "The Python packages cannot be installed: check the network and pip's settings "
                "(`pip config list`), then start again.",
                env=PIP_ENVIRONMENT,
            )
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "odoo_source.pth").write_text(f"{odoo.path}\n")
    script = folder / "bin" / "odoo"
    script.write_text(f"#!{python}\n{SCRIPT}")
    script.chmod(0o755)
    (folder / "complete").touch()
    return python


def _remove_unused() -> None:
    """Delete the environments of older lock files, once no checkout has used them for two weeks."""
    for complete in paths.cache().glob("venv-*/complete"):
        if complete.stat().st_mtime < time.time() - 14 * 24 * 3600:
            shutil.rmtree(complete.parent, ignore_errors=True)


def _create(folder: Path, python: Path) -> None:
    problem = "The virtual environment cannot be created: is the disk full?"
    try:
        import ensurepip  # noqa: F401 - Debian splits it off into python3-venv
    except ImportError:
        run([sys.executable, "-m", "venv", "--without-pip", folder], problem)
        wheel = _pip_wheel()
        run(
            [python, wheel / "pip", "install", "-q", "--no-index", wheel],
            "pip cannot be put into the virtual environment: run `apt-get install python3-venv`, "
            "then start again.",
            env=PIP_ENVIRONMENT,
        )
    else:
        run([sys.executable, "-m", "venv", folder], problem)


def _pip_wheel() -> Path:
    """pip out of Debian's package, for a Python that came without python3-venv."""
    apt = debian.Apt(paths.cache() / "apt")
    apt.update()
    target = paths.cache() / "pip"
    for file in apt.download("python3-pip-whl/sid"):
        debian.unpack(file, target)
    return next((target / "usr/share/python-wheels").glob("pip-*.whl"))


def environment(python: Path) -> dict[str, str]:
    """Environment variables for whatever runs inside the virtual environment."""
    clean = {
        key: value
        for key, value in os.environ.items()
        if key not in ("PYTHONPATH", "PYTHONHOME", "ODOO_RC")
    }
    return {
        **clean,
        "VIRTUAL_ENV": str(python.parent.parent),
        "PATH": f"{python.parent}{os.pathsep}{clean.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        # Some machines forbid it, and each start of Odoo then compiles its modules for 15 seconds.
        "PYTHONDONTWRITEBYTECODE": "",
    }
