"""A notebook's parameters: the cell tagged `parameters` is the schema, read here and nowhere else.

A line reads `layers: int = 500  # [1, 100000] layers of the flow`: a name, a type, a default, the
range that is allowed and the meaning; what `kflow.figures.shares` reads may follow. A range may go
on, `# [2, 600], even, at most n: points in a game`, where `n` is another parameter. `kflow run`,
`kflow.figures.begin` and the box "run it yourself" of each chapter use the same schema.
"""

import ast
import difflib
import io
import json
import math
import re
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kflow.figures import shares
from kflow.figures.shares import Shares

Value = int | float | str | bool
Schema = dict[str, "Parameter"]
NO_SCHEMA = (
    ValueError, TypeError, KeyError, AttributeError, SyntaxError, RecursionError, MemoryError,
    tokenize.TokenError,
)  # fmt: skip
TYPES = {"int": int, "float": float, "str": str, "bool": bool}
RANGE = re.compile(r"#\s*([\[(])\s*([^,\])]+),\s*([^,\])]+)([\])])\s*(.*)")
LIMITS = re.compile(r"(?:, (even))?(?:, at most (\w+))?: (.*)")
CHOICES = re.compile(r"#\s*\{([^}]*)\}\s*(.*)")


@dataclass(frozen=True)
class Parameter:
    """One parameter: an allowed `interval` such as "(0, 100]", or `choices`, or neither (bool).

    A number of points may have to be `even`, and no more than the parameter `most`.
    """

    name: str
    kind: str
    default: Value
    interval: str = ""
    low: float = -math.inf
    high: float = math.inf
    even: bool = False
    most: str = ""
    choices: tuple[str, ...] = ()
    meaning: str = ""
    shares: Shares = Shares()

    @property
    def allowed(self) -> str:
        """What may be given, for messages and tables."""
        if self.interval:
            limits = f", at most {self.most}" if self.most else ""
            return self.interval + ", even" * self.even + limits
        return "{" + ", ".join(self.choices) + "}" if self.choices else self.kind

    def check(self, value: Value) -> Value:
        """`value` as this parameter's type; TypeError or ValueError say what is allowed."""
        wanted = TYPES[self.kind]
        if self.kind == "float" and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if self.kind == "int" and isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not wanted:
            raise TypeError(
                f"parameter {self.name} = {value!r} is {type(value).__name__}, not {self.kind}; "
                f"allowed: {self.allowed}"
            )
        if not self._holds(value):
            raise ValueError(f"parameter {self.name} = {value!r} is outside {self.allowed}")
        if self.even and float(value) % 2:
            raise ValueError(
                f"parameter {self.name} = {value!r} is odd and cannot be halved; "
                f"allowed: {self.allowed}"
            )
        return value

    def read(self, text: str) -> Value:
        """The value that a command line's `text` stands for, checked."""
        if self.kind == "str":
            return self.check(text)
        try:
            literal = ast.literal_eval(text.capitalize() if self.kind == "bool" else text)
        except (ValueError, SyntaxError):
            raise TypeError(
                f"parameter {self.name} = {text!r} is not {self.kind}; allowed: {self.allowed}"
            ) from None
        return self.check(literal)

    def _holds(self, value: Value) -> bool:
        if self.choices:
            return str(value) in self.choices
        if not self.interval:
            return True
        number = float(value)
        above = number > self.low or (self.interval[0] == "[" and number == self.low)
        below = number < self.high or (self.interval[-1] == "]" and number == self.high)
        return above and below


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown `name`: the likeliest known one, or all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known) or 'none'}"


def parse(source: str) -> Schema:
    """The schema in the source of a parameters cell; ValueError names what does not fit."""
    comments = {
        token.start[0]: token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    schema: Schema = {}
    for node in ast.parse(source).body:
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            raise ValueError(
                f"line {node.lineno} of the parameters cell is not `name: type = default`"
            )
        name, kind = node.target.id, ast.unparse(node.annotation)
        if kind not in TYPES or node.value is None:
            raise ValueError(f"parameter {name} needs a type of {sorted(TYPES)} and a default")
        if name in schema:
            raise ValueError(f"parameter {name} is declared twice")
        comment, found = shares.read(comments.get(node.end_lineno or 0, ""))
        default = ast.literal_eval(node.value)
        parameter = Parameter(name, kind, default, **_range(comment), shares=found)
        if kind != "bool" and parameter.allowed == kind:
            raise ValueError(f"parameter {name} needs a comment `# [low, high] meaning`")
        parameter.check(parameter.default)
        schema[name] = parameter
    complete(schema, {})
    return schema


def _range(comment: str) -> dict:
    if match := RANGE.match(comment):
        left, low, high, right, meaning = match.groups()
        return {
            "interval": f"{left}{low.strip()}, {high.strip()}{right}",
            "low": _number(low),
            "high": _number(high),
            **_limits(meaning.rstrip()),
        }
    if match := CHOICES.match(comment):
        choices = tuple(choice.strip() for choice in match[1].split(","))
        return {"choices": choices, "meaning": match[2].strip()}
    return {"meaning": comment.lstrip("# ").strip()}


def _limits(text: str) -> dict:
    """What follows a range: its limits, if a comma begins them, and the meaning."""
    if match := LIMITS.fullmatch(text):
        return {"even": bool(match[1]), "most": match[2] or "", "meaning": match[3]}
    if text.startswith(","):
        raise ValueError(f"a range goes on with `, even`, `, at most NAME` and `: `, not {text!r}")
    return {"meaning": text}


def _number(text: str) -> float:
    base, _, power = text.strip().partition("**")
    return float(base) ** float(power) if power else float(base)


def of_notebook(path: Path) -> Schema:
    """The schema of an .ipynb; empty where it has no cell tagged `parameters`."""
    try:
        for cell in json.loads(Path(path).read_text("utf-8"))["cells"]:
            if "parameters" in cell["metadata"].get("tags", []):
                return parse("".join(cell["source"]))
    except NO_SCHEMA as error:
        raise ValueError(f"{path} is no notebook with parameters: {error!r}") from error
    return {}


def complete(schema: Schema, given: Mapping[str, Value]) -> dict[str, Value]:
    """All values, defaults filled in; an unknown name is refused with the nearest one."""
    for name in given:
        if name not in schema:
            raise ValueError(f"unknown parameter {name!r}: {nearest(name, schema)}")
    values = {name: p.check(given.get(name, p.default)) for name, p in schema.items()}
    for name, p in schema.items():
        if p.most and p.most not in schema:
            raise ValueError(f"parameter {name} is at most {p.most!r}, which is no parameter")
        if p.most and float(values[name]) > float(values[p.most]):
            raise ValueError(
                f"parameter {name} = {values[name]!r} is more than {p.most} = {values[p.most]!r}; "
                f"allowed: {p.allowed}"
            )
    return values


def of_session(cells: list[str]) -> tuple[Schema, list[str]]:
    """The schema in the executed `cells` and the names that papermill's injected cell assigns.

    The parameters cell is the last one that parses as a schema; papermill's begins "# Parameters".
    """
    schema, injected = {}, []
    for source in cells:
        if source.startswith("# Parameters\n"):
            injected = [
                target.id
                for node in ast.parse(source).body
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            ]
        elif found := _schema_or_nothing(source):
            schema, injected = found, []
    return schema, injected


def _schema_or_nothing(source: str) -> Schema:
    try:
        nodes = ast.parse(source).body
    except SyntaxError:  # a cell with IPython magics
        return {}
    annotated = nodes and all(isinstance(node, ast.AnnAssign) for node in nodes)
    return parse(source) if annotated else {}
