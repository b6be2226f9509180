"""`./run bench`: see the README; started with a template database in the environment."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from pathlib import Path

from . import harness
from .case import all_cases


def main(arguments: list[str]) -> int:
    """Run the cases named, or all; returns 1 if one misses its gate."""
    known = all_cases()
    parser = argparse.ArgumentParser(
        prog="run bench",
        description="Measures the engine against floors: rates of both in turns, their ratio "
        "(higher is better), its spread, SQL queries and HTTP calls for each record.",
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(known))
    parser.add_argument("--list", action="store_true", help="say what each case measures, and end")
    parser.add_argument("--rounds", type=int, help="of each case and its floor (usually 5)")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the usual records (default: 1)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results there; - for the output")
    chosen = parser.parse_args(arguments)
    if chosen.list:
        for name, case in known.items():
            print(f"{name}\n{_indented(inspect.getdoc(case))}\n")
        return 0
    unknown = [name for name in chosen.cases if name not in known]
    if unknown:
        parser.error(f"there is no case {', '.join(unknown)}; there are {', '.join(known)}")
    if (chosen.rounds is not None and chosen.rounds < 1) or chosen.scale <= 0:
        parser.error("--rounds and --scale have to be positive")
    cases = [known[name] for name in chosen.cases or known]
    rows = []
    table = sys.stderr if chosen.json == "-" else sys.stdout
    for result in harness.run(cases, chosen.rounds, chosen.scale):
        rows.append(result.row())
        print(harness.HEADER, harness.line(rows[-1]), sep="\n", file=table, flush=True)
        for problem in result.problems:
            print(f"    {problem}", file=table, flush=True)
    if len(rows) > 1:
        print("", harness.HEADER, *map(harness.line, rows), sep="\n", file=table)
    if chosen.json:
        text = json.dumps(rows, indent=2)
        if chosen.json == "-":
            print(text)
        else:
            Path(chosen.json).write_text(text + "\n")
    return 0 if all(row["passed"] for row in rows) else 1


def _indented(text: str | None) -> str:
    return "\n".join(f"    {line}".rstrip() for line in (text or "").splitlines())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
