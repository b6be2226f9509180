"""docker-compose.yml: valid, with health checks, volumes and pinned images, without a secret."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .files import Files, Finding

NAME = "docker-compose.yml"
SECRET = re.compile(r"(password|secret|token|key)$", re.IGNORECASE)
TOP_LEVEL = {"name", "services", "volumes", "networks", "secrets", "configs"}
SERVICE_KEYS = {
    *("image", "build", "command", "entrypoint", "environment", "env_file", "ports", "volumes"),
    *("depends_on", "healthcheck", "restart", "secrets", "configs", "user", "init", "shm_size"),
    *("networks", "expose", "stop_grace_period", "read_only", "tmpfs", "profiles", "working_dir"),
}  # fmt: skip


def check(files: Files) -> Iterator[Finding]:
    """Findings of this rule."""
    import yaml  # in the virtual environment; the rest of the runtime lives without it

    path = files.root / NAME
    if not path.exists():
        yield Finding(NAME, "is missing.")
        return
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        yield Finding(NAME, f"is no YAML: {error}")
        return
    problem = _docker(path)
    if problem:
        yield Finding(NAME, f"is refused by `docker compose config`: {problem}")
    for key in sorted(content.keys() - TOP_LEVEL):
        yield Finding(NAME, f"{key} is no key of a compose file: remove it.")
    for name, service in content.get("services", {}).items():
        yield from _service(name, service, set(content.get("volumes") or ()))


def _service(name: str, service: dict, volumes: set[str]) -> Iterator[Finding]:
    for key in sorted(service.keys() - SERVICE_KEYS):
        yield Finding(NAME, f"service {name}: {key} is not known: correct or remove it.")
    image = service.get("image", "")
    if image and not re.search(r":[\w.-]*\d", image):
        yield Finding(NAME, f"service {name}: image {image} names no version: add one.")
    if "healthcheck" not in service:
        yield Finding(NAME, f"service {name} has no healthcheck: add one.")
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0] if isinstance(volume, str) else volume.get("source", "")
        if source and source[0] not in "./" and source not in volumes:
            yield Finding(NAME, f"service {name}: volume {source} is not declared below volumes.")
    environment = service.get("environment", {})
    pairs = environment.items() if isinstance(environment, dict) else _split(environment)
    for key, value in pairs:
        if SECRET.search(key) and value and not str(value).startswith("${"):
            yield Finding(NAME, f"service {name}: {key} is written out: take it from ${{{key}}}.")


def _split(environment: list[str]) -> Iterator[tuple[str, str]]:
    for item in environment:
        key, _sign, value = item.partition("=")
        yield key, value


def _docker(path: Path) -> str | None:
    """What `docker compose config` says against the file; None without Docker."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if not shutil.which(command[0]):
            continue
        version = subprocess.run([*command, "version"], capture_output=True, check=False)
        if version.returncode:
            continue
        done = subprocess.run(
            [*command, "-f", str(path), "config", "--quiet", "--no-interpolate"],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stderr.strip().splitlines()[-1] if done.returncode else None
    return None
