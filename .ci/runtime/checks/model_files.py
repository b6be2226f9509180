"""One model to a file, and the file is named after it: a model is found without searching."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from .files import Files, Finding


def check(files: Files) -> Iterator[Finding]:
    """Findings of this rule."""
    for addon in files.addons:
        by_file = defaultdict(list)
        for model in files.models(addon):
            by_file[model.file].append(model.name)
        for file, names in by_file.items():
            if len(names) > 1:
                yield Finding(files.name(file), f"defines {', '.join(names)}: give each a file.")
            elif file.stem != names[0].replace(".", "_"):
                wanted = f"{names[0].replace('.', '_')}.py"
                yield Finding(files.name(file), f"defines {names[0]}: name the file {wanted}.")
