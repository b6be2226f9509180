"""Nothing of one machine in any file: no private paths, no package index or mirror."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .files import Files, Finding

PATTERNS = {
    # The look-behind leaves URLs and relative paths alone.
    re.compile(r"(?<![\w./}-])/(?:work|root|home|Users)/[\w.-]+"): "names a folder of one machine",
    re.compile(r"--(?:extra-)?index-url|--find-links|--trusted-host"): "names a package index",
    re.compile(
        r"files\.pythonhosted\.org|pypi\.org/simple|registry\.npmjs\.org"
    ): "names a registry",
}
TEXT = {
    ".py",
    ".xml",
    ".md",
    ".txt",
    ".toml",
    ".yml",
    ".yaml",
    ".json",
    ".csv",
    ".lock",
    ".in",
    ".js",
    ".sh",
    "",
}


def check(files: Files) -> Iterator[Finding]:
    """Findings of this rule."""
    own = files.root / ".ci" / "runtime" / "checks"
    for path in files.tracked:
        if path.suffix not in TEXT or own in path.parents or path.name == "LICENSE":
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for pattern, problem in PATTERNS.items():
            found = pattern.search(text)
            if found:
                line = text.count("\n", 0, found.start()) + 1
                yield Finding(files.name(path), f"line {line} {problem}: {found[0]}. Take it out.")
