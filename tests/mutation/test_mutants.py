"""The mistakes that are made, and that a module's tests are asked about each."""

import ast

import pytest

from tests.mutation import __main__ as program
from tests.mutation.mutants import mutants


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("a == b", ["a == b  ->  pass", "a == b  ->  a != b"]),
        ("x = a < 5", ["a < 5  ->  a <= 5", "5  ->  6"]),
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
    monkeypatch.setattr(program, "ROOT", tmp_path)

    def test(assertion):
        (folder / "tests" / "lib" / "test_lib_limit.py").write_text(
            "import runpy\nfrom pathlib import Path\n"
            "LIMIT = Path(__file__).parents[2] / 'lib' / 'limit.py'\n"
            "allowed = runpy.run_path(str(LIMIT))['allowed']\n"
            f"def test_allowed():\n    {assertion}\n"
        )

    return test


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
