import pytest

from odoo.addons.integration_base.lib.typed_code import typed_code


def run(expression, filename, **names):
    code = compile(expression, filename, "eval")
    return eval(code, {"__builtins__": {}, **names})


def test_code_of_modules_is_none():
    assert typed_code() == ()
    assert [typed_code() for _ in range(1)] == [()]


@pytest.mark.parametrize("filename", ["", "ir.actions.server(7,)", "<None>"])
def test_code_without_the_usual_builtins_is_found(filename):
    assert run("look()", filename, look=typed_code) == (filename,)
    assert run("look()", filename, look=lambda: typed_code()) == (filename,)


def test_the_innermost_comes_first():
    found = run("inner('look()', '', look=look)", "outer", inner=run, look=typed_code)
    assert found == ("", "outer")


def test_functions_of_such_code_are_found_too():
    function = run("lambda: look()", "kept", look=typed_code)
    assert function() == ("kept",)
