"""A function of arrays as an op: its backward is the tape, so that a whole network can be checked like one op."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.errors import TapeError, UsageError, describe
from gradcheck_cli.foreign import call, quiet
from gradcheck_cli.op import Op
from gradcheck_cli.registry import companions
from gradcheck_cli.signature import Shape, show, tied
from gradcheck_cli.source import name_of, place_of, raised_at
from gradcheck_cli.variable import tape
from gradcheck_cli.variable.derivatives import vjp
from gradcheck_cli.variable.dispatch import using
from gradcheck_cli.variable.tape import Node
from gradcheck_cli.variable.variable import Variable

Array = NDArray[Any]
Function = Callable[..., Any]

_TRIED = 1_000_000  # entries up to which the function is tried at once; larger ones are drawn first, or refused


class Composite(Op):
    """An op whose backward is the tape: what is wrong with its gradient is wrong with an op that it calls."""

    def calls(self, inputs: Sequence[Array], params: Mapping[str, Any]) -> list[Node]:
        """The calls of ops that it consists of, oldest first."""
        function = inspect.unwrap(self.forward)
        with tape.recording(wanted=True), using(*companions(function)):
            answer = function(*map(Variable, inputs), **params)
        outputs = answer if isinstance(answer, (tuple, list)) else [answer]
        roots = [y._edge[0] for y in outputs if isinstance(y, Variable) and y._edge is not None]
        return [node for node in tape.ancestors(roots) if node.op is not None]


def composite(
    function: Function,
    shapes: Sequence[Shape] | None = (),
    *,
    signature: str = "",
    params: Mapping[str, Any] | None = None,
    **declaration: Any,
) -> Op:
    """An op of a function of NumPy code, for inputs of these shapes (or of that signature; None: of whatever shapes).

    Its positional parameters without a default are the inputs; those with one are params, which `params` sets. Other
    keywords are those of `Op`. Raises UsageError, in one line, for shapes that do not fit, and for what the tape
    cannot follow.
    """
    names, defaults = _parameters(function, len(shapes) if shapes else 1, params or {})
    if shapes is None:
        shapes, signature = (), ",".join(["(...)"] * len(names))
    if not signature and len(shapes) != len(names):
        given = f"{len(shapes)} given" if shapes else "none given"
        raise UsageError(
            f"{_name(function)} is a plain function, which needs a shape for each of "
            f"{', '.join(names) or 'its inputs'} ({given}): --shape 3,4 for each, or shapes=[(3, 4), ...] in Python"
        )
    choices = {name: [value] for name, value in defaults.items()}
    forward, backward = _forward(function, names), _backward(function, names)
    named = {"name": _name(function), **declaration}
    op = Composite(forward, backward, signature or tied(shapes), params=choices, **named)
    if shapes and sum(map(math.prod, shapes)) <= _TRIED:
        _try(op, function, shapes, defaults)
    return op


def _parameters(function: Function, count: int, given: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The names of the inputs, of which `count` are known to be given, and the params with their values."""
    names: list[str] = []
    defaults: dict[str, Any] = {}
    for p in inspect.signature(function).parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            names += [f"{p.name}{i}" for i in range(count - len(names))]
        elif p.name in given or p.default is not p.empty:
            defaults[p.name] = given.get(p.name, p.default)
        elif p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            names.append(p.name)
    return tuple(names), {**defaults, **given}


def _forward(function: Function, names: Sequence[str]) -> Function:
    @functools.wraps(function)
    def forward(*inputs: Any, **params: Any) -> Any:
        with using(*companions(function)):
            answer = function(*inputs, **params)
        if isinstance(answer, (tuple, list)):
            return tuple(y.data if isinstance(y, Variable) else y for y in answer)
        return answer.data if isinstance(answer, Variable) else answer

    return _called(forward, names)


def _backward(function: Function, names: Sequence[str]) -> Function:
    @functools.wraps(function)
    def backward(grad: Any, _out: Any, /, *inputs: Any, **params: Any) -> Any:
        def projected(*points: Any) -> Any:
            """<grad, outputs>, a scalar, however many outputs there are."""
            answer = function(*points, **params)
            several = isinstance(answer, (tuple, list))
            pairs = zip(grad if several else [grad], answer if several else [answer], strict=True)
            return sum(np.sum(w * y) for w, y in pairs)

        with using(*companions(function)):
            return vjp(projected, inputs)

    backward.__doc__ = "by the tape"
    return _called(backward, ("grad", "out", *names))


def _called(function: Any, names: Sequence[str]) -> Function:
    """A function of *args whose arguments have names: the place and name in messages stay those of what it wraps."""
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names]
    parameters.append(inspect.Parameter("params", inspect.Parameter.VAR_KEYWORD))
    function.__signature__ = inspect.Signature(parameters)
    typed: Function = function
    return typed


def _try(op: Op, function: Function, shapes: Sequence[Shape], params: Mapping[str, Any]) -> None:
    """Run it on Variables once, so that what cannot be followed is said before anything is checked."""
    points = [Variable(np.linspace(0.5, 1.5, math.prod(shape)).reshape(shape)) for shape in shapes]
    place = place_of(function) or op.name
    try:
        with quiet(), using(*companions(function)):
            answer = call(function, *points, **params)
    except TapeError as error:
        raise UsageError(f"{raised_at(error) or place}: {error}") from None
    except Exception as error:  # It is somebody's function.
        given = ", ".join(f"{name} {show(shape)}" for name, shape in zip(op.names, shapes, strict=True))
        raise UsageError(f"{raised_at(error) or place}: {describe(error)} (for {given})") from None
    for y in answer if isinstance(answer, (tuple, list)) else [answer]:
        if not isinstance(y, (Variable, np.ndarray, np.generic, int, float)):
            raise UsageError(f"{place}: it returns a {type(y).__name__}; return an array, or a tuple of arrays")


def _name(function: Function) -> str:
    name = name_of(function)
    return name if name.isidentifier() else "forward"
