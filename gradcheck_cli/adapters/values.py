"""Functions that return (value, gradient): as for scipy.optimize with jac=True, and svm_loss(x, y) -> loss, dx."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from gradcheck_cli.adapters.building import build, differentiated, entry_of, gradients_of, strays
from gradcheck_cli.adapters.calls import leading, spread
from gradcheck_cli.adapters.derivatives import entries_of, pulled_back
from gradcheck_cli.adapters.dialect import Steady, spoken_by
from gradcheck_cli.adapters.given import Given, Scope, Target
from gradcheck_cli.adapters.inputs import Inputs, accepted, array_names, example, parameters, tried
from gradcheck_cli.adapters.pairs import dialect_of, is_plain
from gradcheck_cli.adapters.words import returned_names, words_of
from gradcheck_cli.errors import UsageError
from gradcheck_cli.foreign import call
from gradcheck_cli.op import Op
from gradcheck_cli.source import name_of, place_of

_VALUES = {"loss", "cost", "objective", "fun", "energy", "value", "fg", "likelihood", "nll", "criterion"}
_WITH = {"grad", "gradient", "jac", "derivative", "grads"}


def find(scope: Scope) -> Iterator[Target]:
    """Every function whose name or return statement says that it returns a value and its gradient.

    Whether it does, one call tells.
    """
    for name, value in scope:
        if is_plain(value) and spoken_by(value) in ("", "torch", "jax") and promises_gradients(value):
            what = "a function that returns (value, gradient)"
            yield Target(name, what, place_of(value) or "", lambda given, v=value: op_of(v, given))  # type: ignore[misc]


def promises_gradients(function: Callable[..., Any]) -> bool:
    """Whether the names say so: `return loss, dx`, `def cost_and_grad(...)`."""
    returned, words = returned_names(function), set(words_of(name_of(function)))
    grads = [n for n in returned[1:] if _is_gradient(n)]
    if len(returned) == 2 and _is_gradient(returned[0]) and set(words_of(returned[1])) & _VALUES:
        return True
    return (len(returned) >= 2 and len(grads) == len(returned) - 1) or bool(
        words & _VALUES and (words & _WITH or _returns_several(function))
    )


def _is_gradient(name: str) -> bool:
    return name.lower().startswith(("d", "grad")) or name.lower().endswith(("grad", "gradient"))


def _returns_several(function: Callable[..., Any]) -> bool:
    return len(returned_names(function)) >= 2


def op_of(function: Callable[..., Any], given: Given) -> Op:
    """The op of such a function; raises UsageError where it returns something else."""
    params = parameters(function)
    inputs = example(array_names(params, given), given, accepted(params, given))
    front = leading(params, inputs.params, len(inputs.names))
    dialect, steady = dialect_of(function, given), Steady()

    def both(*arrays: Any, **kwargs: Any) -> tuple[Any, Any]:
        with steady, dialect.around():
            values, named = spread([dialect.inward(x) for x in arrays], copy.deepcopy(kwargs), front)
            returned = call(function, *values, **named)
        returned = dialect.everything_outward(returned)
        if not isinstance(returned, (tuple, list)) or len(returned) < 2:
            raise UsageError(f"it returns {type(returned).__name__}, and not a value and its gradient")
        if isinstance(returned[0], Mapping):  # return grads, cost
            return returned[1], returned[0]
        return returned[0], returned[1] if len(returned) == 2 else tuple(returned[1:])

    (value, gradient), inputs = tried(both, inputs)
    if np.size(value) != 1:
        raise UsageError(
            f"it returns {np.shape(value)} and something else; (value, gradient) needs a single number first"
        )
    notes = strays(gradient, inputs.names)
    wanted = list(given.wrt) or _wanted(inputs, gradient)

    def backward(grad: Any, _out: Any, /, *arrays: Any, **kwargs: Any) -> Any:
        found = gradients_of(both(*arrays, **kwargs)[1], inputs.names, wanted)
        entries = entries_of(found, len(wanted))
        positions = [inputs.names.index(name) for name in wanted]
        if len(entries) != len(positions):
            return tuple(entries)
        return tuple(pulled_back(grad, e, arrays[p]) for e, p in zip(entries, positions, strict=True))

    return build(
        name_of(function),
        lambda *arrays, **kwargs: both(*arrays, **kwargs)[0],
        backward,
        inputs,
        given,
        theirs=(function, function),
        taken_for=f"a function that returns its value and its gradient with respect to {', '.join(wanted)}",
        differentiable=wanted,
        notes=notes,
    )


def _wanted(inputs: Inputs, gradient: Any) -> list[str]:
    """One gradient alone is that of the first input, as in scipy.optimize; a dict says of which; others are counted."""
    if isinstance(gradient, np.ndarray) or np.isscalar(gradient):
        return [inputs.names[0]]
    if isinstance(gradient, Mapping):
        return [name for name in inputs.names if entry_of(gradient, name) is not None]
    return differentiated(inputs, entries_of(gradient, len(inputs.names)), is_loss=True)
