"""The mistakes that are made, and that a module's tests are asked about each."""

import ast
import json
import shutil

import pytest
from runtime.checks import noticed
from runtime.checks.files import Files

from tests.mutation import __main__ as program
from tests.mutation.mutants import mutants


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("a == b", ["a == b  ->  pass", "a == b  ->  a != b"]),
        ("x = a < 5", ["a < 5  ->  a <= 5", "5  ->  6"]),
        ("x = a < b <= c", ["a < b <= c  ->  a <= b <= c", "a < b <= c  ->  a < b < c"]),
        ("x = a in b", ["a in b  ->  a not in b"]),
        ("x = a is not None", ["a is not None  ->  a is None", "None  ->  ''"]),
        ("x = a and b", ["a and b  ->  a or b", "a and b  ->  b", "a and b  ->  a"]),
        ("x = not a", ["not a  ->  a"]),
        ("x = a + b", ["a + b  ->  a - b"]),
        ("x |= a", ["x |= a  ->  x &= a"]),
        ("x = True", ["True  ->  False"]),
        ("x = 'a'", ["'a'  ->  'XXaXX'"]),
        ("x = '\\na b\\n'", ["{'a'} is missing", "{'b'} is missing"]),
        ("x = b'a'", ["b'a'  ->  b'XXaXX'"]),
        ("x = a if b else c", ["a if b else c  ->  a", "a if b else c  ->  c"]),
        ("x = bool(a)", ["bool(a)  ->  a"]),
        ("x = f(*a)", []),
        ("raise a", ["raise a  ->  pass"]),
        ("f(a, b)", ["f(a, b)  ->  pass"]),
        ("def f(a: str = 'b') -> 'c': return a", ["'b'  ->  'XXbXX'", "return a  ->  return None"]),
        ("def f(): return False", ["False  ->  True"]),
        ("def f(): return", []),
        ("'''Words.'''", []),
        ("x = 1  # no mutant: it is any number", []),
    ],
)
def test_mistakes(line, changes):
    assert [mutant.change for mutant in mutants(f"{line}\n")] == changes


def test_conditions_and_loops():
    source = "for a in b:\n    if a:\n        continue\n    break"
    found = {mutant.line: mutant.source for mutant in mutants(source)}
    assert found == {
        2: source.replace("if a", "if not a"),
        3: source.replace("continue", "break"),
        4: source.replace("    break", "    continue"),
    }


def test_each_mutant_has_one_mistake():
    source = "def f(a, b=2):\n    return a > b and 'c' or f'{a} {b}'\n"
    known = ast.unparse(ast.parse(source))
    for mutant in mutants(source):
        assert mutant.source != known
        compile(mutant.source, "mutant", "exec")
    assert ast.unparse(ast.parse(source)) == known


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    folder = tmp_path / "integration_base"
    (folder / "lib").mkdir(parents=True)
    (folder / "tests" / "lib").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (folder / "lib" / "limit.py").write_text("def allowed(n):\n    return n < 5\n")
    (tmp_path / "tests" / "mutation").mkdir(parents=True)
    shutil.copy(program.ROOT / noticed.FOLDER / "mutants.py", tmp_path / noticed.FOLDER)
    monkeypatch.setattr(program, "ROOT", tmp_path)
    for module in (program, noticed):
        monkeypatch.setattr(module, "GUARDS", ("limit",))

    def test(assertion):
        (folder / "tests" / "lib" / "test_lib_limit.py").write_text(
            "import runpy\nfrom pathlib import Path\n"
            "LIMIT = Path(__file__).parents[2] / 'lib' / 'limit.py'\n"
            "allowed = runpy.run_path(str(LIMIT))['allowed']\n"
            f"def test_allowed():\n    {assertion}\n"
        )

    return test


@pytest.mark.long
def test_weak_tests_are_found_out(checkout, capfd):
    checkout("assert allowed(4) and not allowed(5)")
    assert program.survivors("limit") == 0
    assert "limit.py: 3 mutants, 3 noticed, 0 not, 0." in capfd.readouterr().out
    checkout("assert allowed(4)")
    assert program.survivors("limit") == 2
    assert "limit.py:2: nobody notices  n < 5  ->  n <= 5" in capfd.readouterr().out
    checkout("assert not allowed(4)")
    with pytest.raises(SystemExit, match="its tests fail without a mutant"):
        program.survivors("limit")


def findings(checkout):
    return [found.message for found in noticed.check(Files(checkout))]


@pytest.mark.long
def test_guard_is_as_it_was_when_every_mistake_was_noticed(checkout, tmp_path, capfd):
    changed = [
        "it or its tests changed since every mistake in it was noticed. Run `./run mutate limit` "
        "and commit tests/mutation/noticed.json."
    ]
    checkout("assert allowed(4) and not allowed(5)")
    assert findings(tmp_path) == changed
    assert program.survivors("limit", range(1, 3)) == 0
    assert findings(tmp_path) == changed, "only some lines were looked at"
    assert program.survivors("limit") == 0
    assert findings(tmp_path) == []
    noted = json.loads((tmp_path / noticed.NAME).read_text())
    assert noted == {"limit": {"digest": noticed.digest(tmp_path, "limit"), "mutants": 3}}

    checkout("assert allowed(4)")
    assert findings(tmp_path) == changed
    assert program.survivors("limit") == 2
    assert findings(tmp_path) == changed
    checkout("assert allowed(4) and not allowed(5)")
    assert findings(tmp_path) == changed, "what was noted is no longer true"


@pytest.mark.parametrize(
    ("file", "text", "matters"),
    [
        ("lib/limit.py", "def allowed(n):\n    return n < 6\n", True),
        ("lib/limit.py", "def allowed(n, *, m=None):\n    return n < 5\n", True),
        ("lib/limit.py", "def allowed(n):\n    return n < 5  # no mutant: why\n", True),
        (
            "lib/limit.py",
            "# why\ndef allowed(n):\n    return (\n        n < 5  # why\n    )\n",
            False,
        ),
        ("lib/limit.py", "'Module.'\ndef allowed(n):\n    'Text.'\n    return n < 5\n", False),
        ("tests/lib/test_lib_limit_more.py", "", True),
        ("tests/lib/test_lib_limits.py", "", False),
        ("tests/lib/test_lib_limit.py", "", True),
        ("../tests/mutation/mutants.py", "", True),
    ],
)
def test_what_a_digest_depends_on(checkout, tmp_path, file, text, matters):
    checkout("assert allowed(4)")
    before = noticed.digest(tmp_path, "limit")
    (tmp_path / noticed.ADDON / file).write_text(text)
    assert (noticed.digest(tmp_path, "limit") != before) == matters
