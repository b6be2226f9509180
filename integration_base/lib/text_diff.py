"""What a person changed in a JSON document, line by line."""

import difflib
import json


def pretty_json(text: str) -> str:
    """Return JSON in its canonical layout: two spaces, one value to a line, order kept.

    Numbers keep their digits (``12.10`` stays ``12.10``). What is not JSON is returned as it is.
    """
    try:
        value = json.loads(text, parse_float=_Literal, parse_int=_Literal)
    except ValueError:
        return text
    return _write(value, "")


def changed_lines(before: str, after: str, context: int = 2) -> list[str]:
    """Return the lines that differ between two JSON texts, as a unified diff without headers.

    :param context: equal lines shown around each change; ``@@`` stands for those left out.
    """
    lines = difflib.unified_diff(
        pretty_json(before).splitlines(),
        pretty_json(after).splitlines(),
        lineterm="",
        n=context,
    )
    return ["@@" if line.startswith("@@") else line for line in list(lines)[2:]]


class _Literal(str):
    """A number as it is written."""


def _write(value, indent):
    if isinstance(value, _Literal):
        return str(value)
    deeper = indent + "  "
    if isinstance(value, dict) and value:
        rows = (
            f"{deeper}{json.dumps(key, ensure_ascii=False)}: {_write(item, deeper)}"
            for key, item in value.items()
        )
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(deeper + _write(item, deeper) for item in value) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False)
