"""An op's backward as an op itself: cotangents and inputs go in, gradients come out, and the tape is its backward."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.domain import REAL, Index, integers
from gradcheck_cli.errors import TapeError, describe
from gradcheck_cli.op import Op
from gradcheck_cli.registry import companions
from gradcheck_cli.signature import plain
from gradcheck_cli.source import name_of
from gradcheck_cli.variable import tape
from gradcheck_cli.variable.derivatives import gradients_at
from gradcheck_cli.variable.dispatch import using
from gradcheck_cli.variable.tape import Node
from gradcheck_cli.variable.variable import Variable, apply

Array = NDArray[Any]


class Recorded:
    """One call of an op's backward on Variables: `points` went in (cotangents first), `gradients` came out.

    Raises TapeError, which says why, where backward cannot run on Variables. Ops that stand in the same OPS table are
    in use meanwhile.
    """

    def __init__(self, op: Op, cotangents: Sequence[Array], inputs: Sequence[Array], params: Mapping[str, Any]) -> None:
        moving = [Variable(x) if i in op.differentiated else x for i, x in enumerate(inputs)]
        upstream = [Variable(w) for w in cotangents]
        with tape.recording(wanted=True), using(*companions(op.backward)):
            try:
                answer = apply(op, *moving, **params)
                node = (answer[0] if isinstance(answer, tuple) else answer)._edge[0]
                pulled = node.pull(upstream, Variable._lift)
            except TapeError:
                raise
            except Exception as error:  # It is somebody's backward, and knows arrays only.
                problem = f"backward of {op.name} ({op.place}) cannot run on Variables: {describe(error)}"
                raise TapeError(problem) from error
        self.points = [*upstream, *(x for x in moving if isinstance(x, Variable))]
        self.gradients = [Variable._lift(gradient, None) for _, gradient in pulled]

    @property
    def nodes(self) -> list[Node]:
        """The calls of ops that backward consisted of, oldest first."""
        roots = [g._edge[0] for g in self.gradients if g._edge is not None]
        return [node for node in tape.ancestors(roots) if node.op is not None]

    def pulled(self, upstream: Sequence[Array]) -> list[Array]:
        """What cotangents of the gradients come back as, for each of the points."""
        pairs = zip(self.gradients, upstream, strict=True)
        return gradients_at([(g._edge, u) for g, u in pairs if g._edge is not None], self.points, nested=False)


def backward_as_op(op: Op, inputs: Sequence[Array], outputs: Sequence[Array]) -> Op:
    """The op `(*cotangents, *inputs) -> gradients`, for inputs and outputs of these shapes.

    Its backward raises TapeError where the backward of `op` cannot run on Variables.
    """
    count = len(outputs)
    names = _names(op, count)
    wanted = [*(y.dtype.kind == "f" for y in outputs), *(op.differentiable or ())]

    def forward(*args: Array, **params: Any) -> Any:
        answer = op.run(args[count:], params)
        out = answer.pack(answer.arrays)
        gradients = op.backward(answer.pack(args[:count]), out, *args[count:], **params)
        return tuple(gradients) if isinstance(gradients, (tuple, list)) else gradients

    def backward(upstream: Any, _out: Any, *args: Array, **params: Any) -> list[Array]:
        recorded = Recorded(op, args[:count], args[count:], params)
        found = iter(recorded.pulled(upstream if isinstance(upstream, tuple) else (upstream,)))
        moving = [True] * count + [bool(w) for w in op.differentiable or ()]
        entries = [next(found) if moves else None for moves in moving]
        pairs = zip(entries, args, wanted, strict=True)
        return [np.asarray(entry, x.dtype) for entry, x, asked in pairs if asked and entry is not None]

    _call_like(forward, op, names)
    _call_like(backward, op, ("upstream", "out", *names))
    shapes = [x.shape for x in (*outputs, *inputs)]
    sizes = op.gufunc.bind(tuple(x.shape for x in inputs), op.names).sizes
    # Dimensions have other names here, and what is an index among them stays one.
    own = [integers(0, max(sizes[d.dimension] - 1, 0)) if isinstance(d, Index) else d for d in op.domains]
    domains = [*([REAL] * count), *own]
    return Op(forward, backward, plain(shapes), domain=domains, differentiable=wanted, name=f"{op.name}.backward")


def _names(op: Op, count: int) -> tuple[str, ...]:
    """What the inputs are called: grad, or grad0, grad1 ..., and then as the op has it."""
    word = "grad"
    while any(name.startswith(word) for name in op.names):
        word += "_"
    return (*([word] if count == 1 else (f"{word}{i}" for i in range(count))), *op.names)


def _call_like(function: Any, op: Op, names: Sequence[str]) -> None:
    """Give a function of *args the name of the op's backward, and names for its arguments."""
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names]
    parameters.append(inspect.Parameter("params", inspect.Parameter.VAR_KEYWORD))
    function.__name__, function.__signature__ = name_of(op.backward), inspect.Signature(parameters)
