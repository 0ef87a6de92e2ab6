"""Jacobians, their products with vectors from either side, and Hessians, of functions written in NumPy.

`f` takes one array or several and returns one array; where it takes several, points and vectors are tuples. Called
with Variables (from within another derivative) the answers are Variables, so that derivatives nest to any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradcheck_cli.errors import TapeError
from gradcheck_cli.op import Op
from gradcheck_cli.variable import tape
from gradcheck_cli.variable.tape import Edge, Node
from gradcheck_cli.variable.variable import Variable, apply, fitted, seeded

Function = Callable[..., Any]


_SAME = Op(lambda x: x, lambda grad, _, __: grad, "(...)", name="same")


def vjp(f: Function, x: Any, w: Any = None) -> Any:
    """The product w^T J, reverse mode: one backward, whatever the size of x.

    `w` has the shape of f(x), and is ones if not given; the answer has the shape of x.
    """
    y, points, nested = _evaluated(f, x)
    return _like(x, _pulled(y, points, w, nested or isinstance(w, Variable)))


def jacobian(f: Function, x: Any) -> Any:
    """All of J, of shape f(x).shape + x.shape: one backward for each entry of f(x)."""
    y, points, nested = _evaluated(f, x)
    seeds = np.eye(y.size).reshape(y.size, *y.shape)
    rows = [_pulled(y, points, seed, nested) for seed in seeds]
    stacks = []
    for i, point in enumerate(points):
        entries = [np.reshape(row[i], -1) for row in rows] or [np.zeros(0)]
        stacks.append(np.reshape(np.concatenate(entries), y.shape + point.shape))
    return _like(x, stacks)


def hvp(f: Function, x: Any, v: Any) -> Any:
    """The product of the Hessian of a scalar f with v, of the shape of x: two backwards, no Hessian."""
    vectors = _vectors(x, v)

    def slope(*points: Any) -> Any:
        return sum(np.sum(g * t) for g, t in zip(vjp(f, points), vectors, strict=True))

    return vjp(slope, x)


def jvp(f: Function, x: Any, v: Any) -> Any:
    """The product J v, forward mode: one pass along the tape, whatever the size of f(x).

    An op's own `jvp(tangents, out, *inputs, **params)` is asked where it has one, with None as the tangent of a
    constant; elsewhere backward is differentiated: it is linear in the cotangent, and its transpose is J v.
    """
    y, points, nested = _evaluated(f, x)
    tangents: dict[Edge, Any] = {}
    for point, tangent in zip(points, _vectors(x, v), strict=True):
        assert point._edge is not None
        tangents[point._edge] = tangent if isinstance(tangent, Variable) else np.asarray(tangent)
    if y._edge is None:
        return np.zeros_like(y.data)
    with tape.recording(nested):
        for node in tape.ancestors([y._edge[0]]):
            if any(edge in tangents for edge in node.edges if edge is not None):
                tangents |= {(node, i): t for i, t in enumerate(_pushed(node, tangents, nested))}
    return tangents.get(y._edge, np.zeros_like(y.data))


def _pushed(node: Node, tangents: dict[Edge, Any], nested: bool) -> Sequence[Any]:
    """The tangents of a node's outputs."""
    assert node.op is not None
    known = [None if edge is None else tangents.get(edge) for edge in node.edges]
    lift = Variable._lift
    if node.op.jvp is not None:
        inputs: Sequence[Any] = node.inputs
        outputs: Sequence[Any] = node.outputs
        if nested:
            inputs = [lift(x, edge) for x, edge in zip(inputs, node.edges, strict=True)]
            outputs = [lift(y, (node, i)) for i, y in enumerate(outputs)]
        out = tuple(outputs) if node.several else outputs[0]
        answer = node.op.jvp(tuple(known), out, *inputs, **node.params)
        pushed = answer if isinstance(answer, (tuple, list)) else [answer]
        given, wanted = [None if t is None else np.shape(t) for t in pushed], [y.shape for y in node.outputs]
        if given != wanted:
            raise TapeError(f"op {node.op.name}: jvp returned shapes {given} for outputs of shapes {wanted}")
        return pushed
    # <backward(u), v> is linear in the cotangents u, and its gradient is J v.
    cotangents = [Variable(np.zeros_like(y)) for y in node.outputs]
    with tape.recording(wanted=True):
        gradients = node.pull(cotangents, lift if nested else lambda x, _: lift(x, None))
    seeds = [(g._edge, tangents[e]) for e, g in gradients if e in tangents and isinstance(g, Variable) and g._edge]
    return gradients_at(seeds, cotangents, nested)


def _evaluated(f: Function, x: Any) -> tuple[Variable, list[Variable], bool]:
    """f(x), the Variables that it was given, and whether this happens within another derivative."""
    parts = x if isinstance(x, tuple) else (x,)
    with tape.recording(wanted=True):
        points = [_point(part) for part in parts]
        y = f(*points)
    if isinstance(y, (tuple, list)):
        raise TapeError(f"f returned a {type(y).__name__}; return one array, np.concatenate joins several")
    if not isinstance(y, Variable):
        array = np.asarray(y)
        if array.dtype.kind not in "biufc":
            raise TapeError(f"f returned a {type(y).__name__}; return an array")
        y = Variable._of(array)
    return y, points, any(isinstance(p, Variable) for p in parts)


def _vectors(x: Any, v: Any) -> Sequence[Any]:
    """v as one vector for each part of x; raises TapeError where it has another shape."""
    parts, vectors = (x, v) if isinstance(x, tuple) else ((x,), (v,))
    given, wanted = (" and ".join(str(np.shape(part)) for part in each) for each in (vectors, parts))
    if given != wanted:
        raise TapeError(f"v has shape {given}, x {wanted}; they must be the same")
    return tuple(vectors)


def _point(x: Any) -> Variable:
    """x under another name: what f takes from elsewhere, even if it is x, is a constant to it."""
    if not isinstance(x, Variable):
        return Variable(x)
    point: Variable = apply(_SAME, x) if x._edge is not None else Variable(x.data)
    return point


def _pulled(y: Variable, points: Sequence[Variable], w: Any, nested: bool) -> list[Any]:
    """w^T J, one array for each point; zeros where y is a constant."""
    seeds = [] if y._edge is None else seeded([y], [w])
    return gradients_at(seeds, points, nested)


def gradients_at(seeds: Sequence[tuple[Edge, Any]], points: Sequence[Variable], nested: bool) -> list[Any]:
    """What flows from the seeds to each of the points."""
    wanted = {point._edge[0]: point for point in points if point._edge is not None}
    found: dict[Node, Any] = {node: np.zeros_like(point.data) for node, point in wanted.items()}
    with tape.recording(nested):
        for node, grads in tape.flow(seeds, Variable._lift if nested else None, wanted):
            if node in wanted:
                found[node] = fitted(grads[0], wanted[node].dtype)
    return list(found.values())


def _like(x: Any, answers: Sequence[Any]) -> Any:
    return tuple(answers) if isinstance(x, tuple) else answers[0]
