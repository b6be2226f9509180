"""Small mistakes in a Python module, one at a time."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from runtime.checks.noticed import EQUIVALENT, is_documentation

_COMPARISONS = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


@dataclass(frozen=True)
class Mutant:
    """A module with one mistake.

    :param line: where it is.
    :param change: what was written there and what is instead.
    :param source: the whole module.
    """

    line: int
    change: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its lines."""
    tree = ast.parse(source)
    lines = source.splitlines()
    slots = sorted(_slots(tree), key=lambda slot: slot[2].lineno)
    for parent, place, node in slots:
        if EQUIVALENT in lines[node.lineno - 1]:
            continue
        for mistake in _mistakes(node):
            change = _change(node, mistake)
            put(parent, place, mistake)
            yield Mutant(node.lineno, change, ast.unparse(tree))
            put(parent, place, node)


def _change(node: ast.AST, mistake: ast.AST) -> str:
    if _is_list_of_words(node):
        return f"{set(node.value.split()) - set(mistake.value.split())} is missing"
    return f"{ast.unparse(node)}  ->  {ast.unparse(mistake)}"


def put(parent: ast.AST, place: tuple[str, int | None], node: ast.AST) -> None:
    """Let ``node`` be what stands at a place of its parent."""
    field, index = place
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _slots(parent: ast.AST) -> Iterator[tuple[ast.AST, tuple[str, int | None], ast.AST]]:
    """Every place in which something can be wrong: no types, no documentation."""
    for field, value in ast.iter_fields(parent):
        if field in ("annotation", "returns", "type_comment", "type_params"):
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or is_documentation(node):
                continue
            if hasattr(node, "lineno"):
                yield parent, (field, index), node
            yield from _slots(node)


def _is_list_of_words(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith("\n")
    )


def _mistakes(node: ast.AST) -> Iterator[ast.AST]:
    changed: list[ast.AST] = []
    match node:
        case ast.Compare(left, operators, others):
            changed = list(_other_comparisons(left, operators, others))
        case ast.BoolOp(operator, values):
            other = ast.Or() if isinstance(operator, ast.And) else ast.And()
            fewer = [values[:place] + values[place + 1 :] for place in range(len(values))]
            changed = [ast.BoolOp(other, values)]
            changed += [ast.BoolOp(operator, rest) if rest[1:] else rest[0] for rest in fewer]
        case ast.UnaryOp(ast.Not(), operand):
            changed = [operand]
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            changed = [ast.BinOp(left, _OPERATORS[type(operator)](), right)]
        case ast.AugAssign(target, operator, value) if type(operator) in _OPERATORS:
            changed = [ast.AugAssign(target, _OPERATORS[type(operator)](), value)]
        case ast.Constant(value) if _is_list_of_words(node):
            words = value.split()
            fewer = [words[:place] + words[place + 1 :] for place in range(len(words))]
            changed = [ast.Constant(" ".join(rest)) for rest in fewer]
        case ast.Constant(value):
            changed = [ast.Constant(other) for other in _other_values(value)]
        case ast.If(test, body, orelse):
            changed = [ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)]
        case ast.IfExp(test, body, orelse):
            changed = [body, orelse]
        case ast.Continue():
            changed = [ast.Break()]
        case ast.Break():
            changed = [ast.Continue()]
        case ast.Return(value) if value is not None and not isinstance(value, ast.Constant):
            changed = [ast.Return(ast.Constant(None))]
        case ast.Raise() | ast.Expr() | ast.Assert():
            changed = [ast.Pass()]
        case ast.Call(_, [argument], []) if not isinstance(argument, ast.Starred):
            changed = [argument]
    for mistake in changed:
        yield ast.fix_missing_locations(ast.copy_location(mistake, node))


def _other_comparisons(left: ast.expr, operators: list, others: list) -> Iterator[ast.Compare]:
    for place, operator in enumerate(operators):
        other = _COMPARISONS[type(operator)]()
        yield ast.Compare(left, [*operators[:place], other, *operators[place + 1 :]], others)


def _other_values(value: object) -> list[object]:
    match value:
        case bool():
            return [not value]
        case int() | float():
            return [value + 1]
        case str():
            return [f"XX{value}XX"]
        case bytes():
            return [b"XX" + value + b"XX"]
        case None:
            return [""]
    return []
