"""An expression -> gates. It is parsed, never run: what is not on the list below is refused, whatever it means."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.errors import ShapeError, TapeError, UsageError, describe, suggestions
from gradcheck_cli.foreign import quiet
from gradcheck_cli.graph.inputs import MOST
from gradcheck_cli.op import Op
from gradcheck_cli.signature import Shape, show
from gradcheck_cli.variable import Variable, apply, backward

Array = NDArray[np.float64]

_LONGEST, _MOST_NODES, _MOST_GATES = 10_000, 500, 100
_OPERATORS: Mapping[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.Pow: "power",
    ast.MatMult: "matmul",
    ast.USub: "negative",
}
_NAMES: Mapping[type[ast.AST], str] = {
    ast.Attribute: "an attribute (.name)",
    ast.Lambda: "lambda",
    ast.Compare: "a comparison",
    ast.IfExp: "if ... else",
    ast.NamedExpr: "an assignment",
    ast.JoinedStr: "an f-string",
    ast.List: "a list",
    ast.Tuple: "a tuple",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.BitXor: "^ (** is the power)",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.Invert: "~",
    ast.Not: "not",
    ast.And: "and",
    ast.Or: "or",
}
_ALLOWED = "an expression has inputs, numbers, + - * / ** @, x[0], and ops by name: sigmoid(w @ x)"


@dataclass(frozen=True, eq=False)
class Gate:
    """A node of the graph: an input, a number, or a call of an op; `variable` has its value and gradient."""

    label: str
    variable: Variable
    op: Op | None = None
    args: tuple[Gate, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    number: bool = False  # a number that stands in the expression, which has no gradient

    @property
    def value(self) -> Array:
        """What comes out."""
        return self.variable.data

    @property
    def gradient(self) -> Array | None:
        """Of the sum of the whole expression's entries, by this gate's; None where it does not depend on it."""
        grad: Array | None = self.variable.grad
        return None if self.number else grad


def evaluate(text: str, inputs: Mapping[str, Array], ops: Mapping[str, Op]) -> list[Gate]:
    """The gates of an expression, in the order of evaluation and with gradients: the last one is its value.

    Raises UsageError, on one line, for what is no expression of these inputs and ops, or too large.
    """
    builder = _Builder(inputs, ops)
    root = builder.gate(_parse(text))  # which is made last
    if not builder.leaves:
        raise UsageError("the expression has no input, so there is no gradient; write x ** 2 and -i x=3")
    unused = [name for name in inputs if name not in builder.leaves]
    if unused:
        raise UsageError(f"-i {unused[0]} is not in the expression")
    try:
        with quiet():
            backward([root.variable], retain_grad=True)
    except TapeError:
        raise
    except Exception as error:  # It is somebody's backward; the note says whose.
        raise UsageError("; ".join([describe(error), *getattr(error, "__notes__", ())])) from None
    return builder.gates


def _parse(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise UsageError(f"the expression has more than {_LONGEST:,} characters; write it in a file: gradcheck run")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise UsageError(f"the expression cannot be read: {error.msg[:60]}; {_ALLOWED}") from None
    except (ValueError, MemoryError, RecursionError):
        raise UsageError("the expression cannot be read: it is nested too deeply, or holds odd characters") from None
    if sum(1 for _ in ast.walk(tree)) > _MOST_NODES:
        raise UsageError("the expression is too long for a graph; write it as a function: gradcheck run net.py::f")
    return tree


class _Builder:
    """Evaluates a tree; inputs that are named twice are one gate."""

    def __init__(self, inputs: Mapping[str, Array], ops: Mapping[str, Op]) -> None:
        self.inputs, self.ops = inputs, ops
        self.gates: list[Gate] = []
        self.leaves: dict[str, Gate] = {}
        self.size = 0

    def gate(self, node: ast.expr) -> Gate:
        """The gate of a node, after those of what it consists of."""
        match node:
            case ast.Constant():
                return self._number(node.value)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return self._number(-value)
            case ast.Name(id=name):
                return self._leaf(name)
            case ast.UnaryOp(op=ast.UAdd()):
                return self.gate(node.operand)
            case ast.UnaryOp(op=ast.USub()):
                return self._call("negative", [self.gate(node.operand)], {})
            case ast.BinOp() if type(node.op) in _OPERATORS:
                return self._call(_OPERATORS[type(node.op)], [self.gate(node.left), self.gate(node.right)], {})
            case ast.Subscript():
                picked = {"key": _key(node.slice)}
                return self._call("getitem", [self.gate(node.value)], picked, f"[{ast.unparse(node.slice)}]")
            case ast.Call(func=ast.Name(id=name)):
                self._known(name)
                return self._call(name, [self.gate(arg) for arg in node.args], dict(map(_param, node.keywords)))
        culprit = getattr(node, "op", node.func if isinstance(node, ast.Call) else node)
        what = _NAMES.get(type(culprit), type(culprit).__name__.lower())
        raise UsageError(f"{what} is not allowed; {_ALLOWED}")

    def _number(self, value: Any) -> Gate:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UsageError(f"{str(value)[:40]!r} is no number; {_ALLOWED}")
        if abs(value) > np.finfo(float).max:
            raise UsageError("a number in the expression is too large for a float")
        return self._add(Gate(f"{value:g}", Variable(np.float64(value)), number=True))

    def _leaf(self, name: str) -> Gate:
        if name not in self.inputs:
            if name in self.ops:
                raise UsageError(f"{name} is an op: write {name}(...)")
            raise UsageError(f"no input is named {name!r}{suggestions(name, self.inputs) or f': give -i {name}=2'}")
        if name not in self.leaves:
            self.leaves[name] = self._add(Gate(name, Variable(self.inputs[name])))
        return self.leaves[name]

    def _known(self, name: str) -> Op:
        if name not in self.ops:
            hint = suggestions(name, self.ops) or "; gradcheck list has them, --ops my_ops.py adds yours"
            raise UsageError(f"no op is named {name!r}{hint}")
        return self.ops[name]

    def _call(self, name: str, args: list[Gate], params: Mapping[str, Any], label: str = "") -> Gate:
        op = self._known(name)
        if len(args) != len(op.names):
            inputs = f"{', '.join(op.names)}; give params by name" if op.params else ", ".join(op.names)
            many = "1 input" if len(op.names) == 1 else f"{len(op.names)} inputs"
            raise UsageError(f"{name} takes {many} ({inputs}), not {len(args)}")
        for param in params:
            if param not in op.params:
                has = f"it has {', '.join(op.params)}" if op.params else "it has none"
                raise UsageError(f"{name} has no param {param!r}; {has}")
        self._make_room(op, [arg.value.shape for arg in args], params)
        try:
            with quiet():
                made = apply(op, *(arg.variable for arg in args), **params)
        except (TapeError, UsageError):
            raise
        except Exception as error:  # Shapes that do not fit, or whatever the op thinks of them.
            shapes = " and ".join(show(arg.value.shape) for arg in args)
            raise UsageError(f"{name} of {shapes} raises {describe(error)}") from None
        if isinstance(made, tuple):
            raise UsageError(f"{name} has several outputs; a gate has one")
        if made.dtype.kind != "f":
            raise UsageError(f"{name} returns {made.dtype}, and not floating-point numbers, so there is no gradient")
        shown = "".join(f" {key}={value!r}" for key, value in params.items())
        return self._add(Gate(label or name + shown, made, op, tuple(args), params, all(arg.number for arg in args)))

    def _add(self, gate: Gate) -> Gate:
        self.gates.append(gate)
        if len(self.gates) > _MOST_GATES:
            raise UsageError(f"the graph has more than {_MOST_GATES} gates; write it as a function: gradcheck run")
        self.size += gate.value.size
        return gate

    def _make_room(self, op: Op, shapes: list[Shape], params: Mapping[str, Any]) -> None:
        """Refuse what could become too large, before anything is allocated."""
        if self.size + _bound(op, shapes, params) > MOST:
            raise UsageError(f"{op.name} could make the graph larger than {MOST:,} numbers, which is the most there is")


def _bound(op: Op, shapes: list[Shape], params: Mapping[str, Any]) -> int:
    """How many numbers an op returns at the most: as its signature says, or else every pair of entries, repeated."""
    try:
        outputs = op.gufunc.output_shapes(op.gufunc.bind(shapes, op.names))
    except (ShapeError, ValueError):  # forward will say so
        outputs = None
    if outputs is not None:
        return sum(map(math.prod, outputs))
    bound = math.prod(max(math.prod(shape), 1) for shape in shapes)
    for name, value in params.items():
        if name == "shape":
            bound = max(bound, _product(value))
        elif name != "key":
            bound *= _product(value)
    return bound


def _product(value: Any) -> int:
    if isinstance(value, (tuple, list)):
        return math.prod(map(_product, value))
    return max(abs(value), 1) if isinstance(value, int) else 1


def _param(keyword: ast.keyword) -> tuple[str, Any]:
    if keyword.arg is None:
        raise UsageError(f"** is not allowed here; {_ALLOWED}")
    try:
        return keyword.arg, ast.literal_eval(keyword.value)
    except (ValueError, TypeError, MemoryError, RecursionError):
        raise UsageError(f"{keyword.arg}= takes a plain value, such as 0, (2, 3) or None") from None


def _key(node: ast.expr) -> Any:
    """An index of numbers, slices and ...; raises UsageError for another one."""
    if isinstance(node, ast.Tuple):
        return tuple(map(_key, node.elts))
    if isinstance(node, ast.Slice):
        return slice(*(None if part is None else _key(part) for part in (node.lower, node.upper, node.step)))
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, MemoryError, RecursionError):
        value = ""
    if not (value is None or value is Ellipsis or (isinstance(value, int) and abs(value) < 2**31)):
        raise UsageError("an index is made of whole numbers, slices, None and ...: x[0], x[:, 1:3]")
    return value
