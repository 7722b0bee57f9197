"""The mutants of a module: its source with one formula changed, one after the other.

Changed are operators and the order of the factors of @, comparisons, and/or, not, signs, numbers,
True and False, the bounds of slices, .mT, and names of a kind (sum and mean, min and max, any and
all); roots, squares, logarithms, exponentials and clamps are left out. Docstrings, annotations,
decorators and the texts of errors and warnings stay as they are.
"""

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple

OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.FloorDiv: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Pow: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
PAIRS = [("sum", "mean"), ("min", "max"), ("any", "all"), ("argmin", "argmax")]
OTHER = dict(PAIRS) | {b: a for a, b in PAIRS}
LEFT_OUT = {"sqrt", "rsqrt", "square", "exp", "log", "abs", "clamp_min", "clamp_min_"}
LEFT_OUT |= {"exp_", "square_", "clamp_"}
BUILTINS = {"min", "max", "any", "all"}
IGNORED = (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom)
COMPOUND = (ast.BinOp, ast.BoolOp, ast.Compare, ast.UnaryOp, ast.IfExp, ast.Lambda)


class Mutant(NamedTuple):
    """A changed source, and where the change is."""

    line: int
    was: str  # the line, or the lines of an expression in one
    becomes: str
    source: str
    function: str | None  # the outermost one whose body holds it, by its qualified name
    lines: range  # of the statement, without those inside it


def mutants(source: str) -> list[Mutant]:
    """All mutants of a source."""
    data = source.encode()
    starts = [0]
    for row in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(row))
    original, found = ast.dump(ast.parse(source)), {}
    for node, parent, function, lines in _places(ast.parse(source)):
        for text in _edits(node, parent):
            begin = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            mutated = (data[:begin] + text.encode() + data[end:]).decode()
            assert ast.dump(ast.parse(mutated)) != original, (node.lineno, text)
            left, right = data[starts[node.lineno - 1] : begin], data[end : starts[node.end_lineno]]
            shown = [
                " ".join((left + middle + right).decode().split())
                for middle in (data[begin:end], text.encode())
            ]
            found.setdefault(mutated, Mutant(node.lineno, *shown, mutated, function, lines))
    return list(found.values())


def _places(node, parent=None, names=(), function=None, lines=None) -> Iterator[tuple]:
    """Every expression that may be changed, with what it is in."""
    if isinstance(node, IGNORED) or (
        isinstance(node, ast.Call) and "warn" in ast.unparse(node.func)
    ):
        return
    if isinstance(node, ast.stmt):
        inner = getattr(node, "body", None)
        end = inner[0].lineno - 1 if inner else node.end_lineno
        lines = range(node.lineno, max(node.lineno, end) + 1)
    yield node, parent, function, lines
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        names = (*names, node.name)
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        inside = function
        if isinstance(node, ast.FunctionDef) and field == "body":
            inside = function or ".".join(names)
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _places(child, node, names, inside, lines)


def _edits(node, parent) -> Iterator[str]:
    """What may stand in the place of a node."""

    def changed(**fields):
        other = copy.copy(node)
        vars(other).update(fields)
        return ast.unparse(other)

    match node:
        case ast.BinOp(left=left, op=ast.MatMult(), right=right):
            yield changed(left=right, right=left)
        case ast.BinOp(op=ast.Pow() | ast.BitOr() | ast.BitAnd()) | ast.BoolOp():
            yield f"({changed(op=OPERATORS[type(node.op)]())})"
        case ast.BinOp() | ast.AugAssign() if type(node.op) in OPERATORS:
            yield changed(op=OPERATORS[type(node.op)]())
        case ast.Compare(ops=ops):
            for i, op in enumerate(ops):
                yield changed(ops=[*ops[:i], OPERATORS[type(op)](), *ops[i + 1 :]])
        case ast.UnaryOp(operand=operand):
            yield _factor(operand)
        case ast.Constant(value=bool(value)):
            yield str(not value)
        case ast.Constant(value=int(value)):
            index = isinstance(parent, ast.Call | ast.keyword | ast.Subscript)
            yield "0" if value == 1 and index else str(value + 1)
        case ast.Constant(value=float(value)):
            yield repr(value / 2 if value else 1.0)
        case ast.Slice(lower=lower, upper=upper):
            if lower:
                yield changed(lower=None)
            if upper:
                yield changed(upper=None)
        case ast.Attribute(value=value, attr="mT" | "T"):
            yield _factor(value)
        case ast.Call(func=ast.Name(id=name)) if name in BUILTINS:
            yield changed(func=ast.Name(OTHER[name]))
        case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in OTHER:
            yield changed(func=ast.Attribute(value, OTHER[name]))
        case ast.Call(func=ast.Attribute(value=value, attr=name)) if name in LEFT_OUT:
            module = isinstance(value, ast.Name) and value.id in ("math", "np", "torch")
            yield _factor(node.args[0] if module else value)


def _factor(node) -> str:
    """The text of a node that may be multiplied."""
    return f"({ast.unparse(node)})" if isinstance(node, COMPOUND) else ast.unparse(node)
