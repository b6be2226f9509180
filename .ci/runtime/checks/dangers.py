"""What opens a hole in an addon: requests and XML outside the guarded client and parser, code out
of data, TLS without verification, and rights beyond the user's without a reason.

Every `sudo()`, `su=True` and `SUPERUSER_ID` says why, in a comment `# sudo: ...` or
`# superuser: ...` in the statement or right above it: the next reader shall be able to judge it.
"""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from .files import Files, Finding

#: What speaks to other machines, and the files of an addon's lib/ that may use it.
NETWORK = {
    *("requests", "urllib.request", "urllib3", "http.client", "httpx", "aiohttp", "socket"),
    *("ftplib", "smtplib", "imaplib", "poplib", "telnetlib", "xmlrpc.client", "websocket"),
    *("websockets", "paramiko", "pycurl", "httplib2"),
}
CLIENT = ("http.py", "address_guard.py")
#: What makes code out of data.
CODE = {"pickle", "cPickle", "dill", "marshal", "shelve", "jsonpickle"}
CALLS = {"eval", "exec", "compile", "__import__"}
XML = {"lxml", "xml", "defusedxml"}
PARSERS = {
    *("fromstring", "fromstringlist", "parse", "parseString", "iterparse", "XML", "HTML", "XMLID"),
    *("XMLParser", "HTMLParser", "XMLPullParser", "make_parser"),
}
XML_READER = "xml_strict.py"
REASON = re.compile(r"#\s*(?:sudo|superuser):\s*\w")


def check(files: Files) -> Iterator[Finding]:
    """Findings of this rule."""
    for addon in files.addons:
        for file in sorted(addon.rglob("*.py")):
            inside = file.relative_to(addon)
            if "tests" not in inside.parts:
                yield from _file(files, file, file.name if inside.parts[0] == "lib" else "")


def _file(files: Files, file: Path, lib: str) -> Iterator[Finding]:
    """Findings in one file; `lib` is its name in the addon's lib/."""
    tree = ast.parse(file.read_text())
    reasons = _Reasons(file, tree)
    readers: set[str] = set()  # names bound to something of an XML library
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            readers |= _bound(node, XML)
    for node in ast.walk(tree):
        problems = [_import(node, lib), _call(node), _verification(node)]
        if lib != XML_READER:
            problems.append(_xml(node, readers))
        if _raises_rights(node) and not reasons.has(node):
            problems.append(
                "goes beyond the user's rights: say why in a comment `# sudo: ...` there or above."
            )
        for problem in filter(None, problems):
            yield Finding(files.name(file), f"line {node.lineno} {problem}")


def _modules(node: ast.AST) -> list[str]:
    """Full names of what an import may bind."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def _is_in(name: str, modules: set[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _bound(node: ast.Import | ast.ImportFrom, modules: set[str]) -> set[str]:
    names = zip(_modules(node), node.names, strict=False)
    return {
        alias.asname or alias.name.split(".")[0] for name, alias in names if _is_in(name, modules)
    }


def _import(node: ast.AST, lib: str) -> str | None:
    for name in _modules(node):
        if _is_in(name, NETWORK) and lib not in CLIENT:
            return f"imports {name}: only lib/http.py speaks to other machines, use its client."
        if _is_in(name, CODE):
            return f"imports {name}: it runs code that stands in the data, use JSON."
        if name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"):
            return f"imports {name}: use yaml.safe_load."
    return None


def _call(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    function = node.func
    if isinstance(function, ast.Name) and function.id in CALLS:
        return f"calls {function.id}(): nothing may make code out of data."
    if (
        isinstance(function, ast.Attribute)
        and function.attr in ("load", "load_all", "unsafe_load", "full_load")
        and isinstance(function.value, ast.Name)
        and function.value.id == "yaml"
    ):
        return f"calls yaml.{function.attr}(): use yaml.safe_load."
    return None


def _verification(node: ast.AST) -> str | None:
    told = None
    if isinstance(node, ast.keyword):
        told = (node.arg, node.value)
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        target = node.targets[0]
        name = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
        told = (name, node.value)
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and _is_off(key.value, value):
                told = (key.value, value)
    elif isinstance(node, ast.Attribute | ast.Name):
        name = node.attr if isinstance(node, ast.Attribute) else node.id
        if name in ("CERT_NONE", "_create_unverified_context"):
            return f"uses {name}: certificates are always verified."
    if told and _is_off(*told):
        return f"sets {told[0]} to False: certificates are always verified."
    return None


def _is_off(name: object, value: ast.expr) -> bool:
    return (
        name in ("verify", "check_hostname")
        and isinstance(value, ast.Constant)
        and not value.value
        and value.value is not None
    )


def _xml(node: ast.AST, readers: set[str]) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    function = node.func
    root, name = function, ""
    while isinstance(root, ast.Attribute):
        name = name or root.attr
        root = root.value
    if isinstance(root, ast.Name) and root.id in readers and (name or root.id) in PARSERS:
        return f"parses XML by {name or root.id}(): use lib/{XML_READER}, which reads no entities."
    return None


def _raises_rights(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "sudo":
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        return not (arguments and _is_false(arguments[0]))
    if isinstance(node, ast.keyword):
        return node.arg == "su" and not _is_false(node.value)
    name = getattr(node, "id", None) or getattr(node, "attr", None)
    return name == "SUPERUSER_ID"


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


class _Reasons:
    """Where the reasons of a file stand."""

    def __init__(self, file: Path, tree: ast.AST):
        self._alone: set[int] = set()
        self._given: set[int] = set()
        with file.open("rb") as lines:
            for token in tokenize.tokenize(lines.readline):
                if token.type == tokenize.COMMENT:
                    line = token.start[0]
                    if not token.line[: token.start[1]].strip():
                        self._alone.add(line)
                    if REASON.match(token.string):
                        self._given.add(line)
        self._starts: dict[int, int] = {}
        statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
        # an inner statement is visited after the one around it
        for statement in statements:
            first = min([statement.lineno, *(d.lineno for d in _decorators(statement))])
            for line in range(first, statement.end_lineno + 1):
                self._starts[line] = first

    def has(self, node: ast.AST) -> bool:
        """Whether the statement of `node`, or the comment above it, gives a reason."""
        start = self._starts[node.lineno]
        if any(line in self._given for line in range(start, node.end_lineno + 1)):
            return True
        line = start - 1
        while line in self._alone:
            if line in self._given:
                return True
            line -= 1
        return False


def _decorators(statement: ast.stmt) -> list[ast.expr]:
    return getattr(statement, "decorator_list", [])
