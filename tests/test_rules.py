"""The rule of a quantity is a constant of its chapter's source: no bound is a computed result."""

import ast

import pytest

from kflow.figures import parameters
from tests.site import NAMES, ROOT, cells

RULE = ("rtol", "atol", "low", "high")


def constant(node, known):
    """Whether an expression is made of literals, parameters and names of other constants."""
    if isinstance(node, ast.Name):
        return node.id in known
    if isinstance(node, ast.Constant):
        return True
    parts = {
        ast.UnaryOp: lambda n: [n.operand],
        ast.BinOp: lambda n: [n.left, n.right],
        ast.Tuple: lambda n: n.elts,
        ast.List: lambda n: n.elts,
        ast.Subscript: lambda n: [n.value, n.slice],
        ast.Dict: lambda n: [*n.keys, *n.values],
        ast.Compare: lambda n: [n.left, *n.comparators],
        ast.IfExp: lambda n: [n.test, n.body, n.orelse],
        ast.Call: _iterated,
    }.get(type(node))
    return parts is not None and all(constant(part, known) for part in parts(node))


def _iterated(call):
    """What is iterated over, x of enumerate(x) and of x.items(); of other calls no constant."""
    if ast.unparse(call.func) == "enumerate":
        return call.args
    if isinstance(call.func, ast.Attribute) and call.func.attr in ("items", "keys", "values"):
        return [call.func.value]
    return [ast.Lambda()]


def bind(target, value, known):
    """Add to `known` the names of a target that a constant is assigned to, element by element."""
    zipped = isinstance(value, ast.Call) and ast.unparse(value.func) == "zip"
    if zipped and isinstance(target, ast.Tuple):
        for element, iterable in zip(target.elts, value.args, strict=False):
            bind(element, iterable, known)
        return
    names = {n.id for n in ast.walk(target) if isinstance(n, ast.Name)}
    if constant(value, known):
        known |= names
    else:
        known -= names


def computed_rules(source, known=()):
    """The keywords of `quantity` in a source whose value isn't a constant of it."""
    known, found = set(known), []
    for statement in ast.parse(source).body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    bind(target, node.value, known)
            for loop in getattr(node, "generators", []):
                bind(loop.target, loop.iter, known)
            if isinstance(node, ast.For):
                bind(node.target, node.iter, known)
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("quantity"):
                rules = [k for k in node.keywords if k.arg in RULE]
                found += [ast.unparse(k) for k in rules if not constant(k.value, known)]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_is_a_constant_of_the_source_and_not_a_result(name):
    path = ROOT / f"notebooks/{name}.ipynb"
    source = "\n".join(cell.source for cell in cells(path))
    assert "quantity(" in source
    assert computed_rules(source, parameters.of_notebook(path)) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("quantity('a', x, low=0, high=gap / 3)", ["high=gap / 3"]),
        ("quantity('a', x, rtol=1e-3, atol=layers / 2)", []),
        ("[quantity(w, x, low=l) for w, (l, h) in zip(words, ((1, 2), (3, 4)))]", []),
        ("bands = ((1, 2),)\n[quantity('a', x, low=l) for x, (l, h) in zip(xs, bands)]", []),
        ("[quantity('a', x, high=x) for x in means]", ["high=x"]),
        ("bound = 3\nbound = max(means)\nquantity('a', x, high=bound)", ["high=bound"]),
        (
            "r = {'a': (1, 2)}\n[quantity(q, x, low=b[0]) for p, (q, b) in enumerate(r.items())]",
            [],
        ),
        ("r = {'a': gap}\n[quantity(q, x, low=b) for q, b in r.items()]", ["low=b"]),
        ("chapter.quantity('a', x, atol=round(gap, 2))", ["atol=round(gap, 2)"]),
    ],
)
def test_a_computed_rule_is_found(source, found):
    assert computed_rules(source, ["layers"]) == found
