"""Where things are: the checkout, its state (.run) and the cache all checkouts share."""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
from pathlib import Path

from .console import EnvironmentProblem

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ROOT / ".ci" / "runtime"
STATE = ROOT / ".run"
LOGS = STATE / "logs"
TEST_ADDONS = ROOT / "tests" / "addons"
LOCK_FILE = RUNTIME / "requirements.lock"
BUILD_LOCK_FILE = RUNTIME / "requirements-build.lock"

# Parts of an addon that change no database.
IRRELEVANT = {"__pycache__", "tests", "readme", "description"}
# Everything together (Odoo unpacked, venv, PostgreSQL, databases) measured 3.1 GB.
NEEDED_GIGABYTES = 5


def cache() -> Path:
    """Folder of what is downloaded once: Odoo, virtual environments, schemas."""
    explicit = os.environ.get("INTEGRATION_CACHE")
    if explicit:
        return Path(explicit).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "odoo-integration"


def prepare() -> None:
    """Create the two folders and refuse a full or read-only disk before anything long begins."""
    for folder in (STATE, cache()):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".writable"
            probe.write_text("x")
            probe.unlink()
        except OSError as error:
            raise EnvironmentProblem(
                f"{folder} cannot be written ({error.strerror}): free or unlock the disk, "
                "or name another folder in INTEGRATION_CACHE."
            ) from error
    first_time = not (cache() / "ready").exists()
    free = shutil.disk_usage(cache()).free / 1e9
    if free < (NEEDED_GIGABYTES if first_time else 1):
        raise EnvironmentProblem(
            f"Only {free:.1f} GB are free on the disk of {cache()}, {NEEDED_GIGABYTES} GB are "
            f"needed: "
            "free some space, or name another folder in INTEGRATION_CACHE."
        )


def addons() -> list[Path]:
    """Folders of our own addons, sorted by name."""
    return sorted(manifest.parent for manifest in ROOT.glob("*/__manifest__.py"))


def test_addons() -> list[Path]:
    """Folders of the addons that only tests install, sorted by name."""
    return sorted(manifest.parent for manifest in TEST_ADDONS.glob("*/__manifest__.py"))


def manifest(addon: Path) -> dict:
    """The manifest of an addon as Odoo reads it."""
    return ast.literal_eval((addon / "__manifest__.py").read_text())


def fingerprint(*parts: str | bytes | Path) -> str:
    """Twelve hex digits that change when a text or the content of a file or folder changes."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            files = sorted(part.rglob("*")) if part.is_dir() else [part]
            for file in files:
                inside = file.relative_to(part).parts if part.is_dir() else ()
                if file.is_file() and not IRRELEVANT.intersection(inside):
                    digest.update(
                        str(file.relative_to(part.parent)).encode()
                        + b"\0"
                        + file.read_bytes()
                        + b"\0"
                    )
        else:
            digest.update((part.encode() if isinstance(part, str) else part) + b"\0")
    return digest.hexdigest()[:12]
