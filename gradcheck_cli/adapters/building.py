"""Somebody's functions as an Op: wrappers that speak its contract, and still show whose they are."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradcheck_cli.adapters.given import Given
from gradcheck_cli.adapters.inputs import Inputs
from gradcheck_cli.adapters.words import gradient_names, is_target, listed, plain
from gradcheck_cli.errors import UsageError, suggestions
from gradcheck_cli.op import Op
from gradcheck_cli.source import place_of


def build(
    name: str,
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: Inputs,
    given: Given,
    *,
    theirs: tuple[Callable[..., Any], Callable[..., Any]],
    taken_for: str,
    differentiable: Sequence[str] = (),
    notes: Sequence[str] = (),
    dtypes: Sequence[str] = (),
) -> Op:
    """An Op of `forward(*arrays, **params)` and `backward(grad, out, *arrays, **params)`.

    `theirs` are the functions that a reader should be shown instead. Without `differentiable`, all inputs with a
    continuous domain are.
    """
    for wanted in given.wrt:
        if wanted not in inputs.names:
            hint = suggestions(wanted, inputs.names) or f"; there are {', '.join(inputs.names)}"
            raise UsageError(f"--wrt names {wanted!r}{hint}")
    chosen = given.wrt or differentiable or [n for n in inputs.names if n not in inputs.integers]
    if not chosen:
        raise UsageError(f"it has nothing to differentiate: {listed(inputs.names)} takes integers only")
    op = Op(
        _dressed(forward, theirs[0], inputs, ()),
        _dressed(backward, theirs[1], inputs, ("grad", "out")),
        inputs.signature,
        **{
            "params": {key: [value] for key, value in inputs.params.items()},
            "domain": inputs.domains,
            "name": name,
            "differentiable": list(chosen),
            # Nobody said that these functions are for any other.
            "dtypes": dtypes or (given.dtype or "float64",),
            **given.declaration,
        },
    )
    silent = [n for n in inputs.names if n not in chosen and n not in inputs.integers]
    without = (
        [f"no gradient of {', '.join(silent)} is returned, so none is checked"] if silent and not given.wrt else []
    )
    op.describe(place_of(theirs[0]) or "", taken_for, [*notes, *without], given.to_repeat)
    return op


def differentiated(inputs: Inputs, returned: Any, is_loss: bool) -> list[str]:
    """The inputs that backward returns gradients for: all, or all but integers, or all but what is called a target.

    Decided by how many gradients there are; where that fits nothing, they are all, and the check will count them. Only
    of a loss is `y` a target: mul(x, y) that returns one gradient has forgotten one. None for a target is no gradient.
    """
    continuous = [n for n in inputs.names if n not in inputs.integers]
    if isinstance(returned, (tuple, list)) and len(returned) == len(inputs.names):
        absent = {n for n, entry in zip(inputs.names, returned, strict=True) if entry is None}
        return [n for n in continuous if n not in absent or not is_target(n, is_loss)]
    others = [n for n in continuous if not is_target(n, is_loss)]
    if isinstance(returned, Mapping):
        known = [n for n in continuous if entry_of(returned, n) is not None]
        return known if set(others) <= set(known) else continuous
    count = len(returned) if isinstance(returned, (tuple, list)) else 1
    return others if count == len(others) and count not in (len(continuous), len(inputs.names)) else continuous


def gradients_of(returned: Any, names: Sequence[str], wanted: Sequence[str]) -> Any:
    """What backward returned as an Op returns it: a tuple, or the single gradient; `wanted` are differentiated.

    A dict is read by names (w, dw, grad_w), and None that follows the last input is left out.
    """
    if isinstance(returned, Mapping):
        return tuple(entry_of(returned, name) for name in wanted)
    if isinstance(returned, (tuple, list)):
        entries = list(returned)
        while len(entries) > len(names) and entries[-1] is None:
            entries.pop()
        return tuple(entries)
    return returned


def strays(returned: Any, names: Sequence[str]) -> list[str]:
    """A note about gradients in a dict that are of none of the inputs; UsageError where all of them are."""
    if not isinstance(returned, Mapping):
        return []
    known = {gradient for name in names for gradient in (plain(name), *gradient_names(name))}
    others = [str(key) for key in returned if plain(str(key)) not in known]
    if others and len(others) == len(returned):
        raise UsageError(
            f"it returns {listed(others)}, and these are gradients of nothing that it takes ({listed(names)})"
        )
    return (
        [f"what is returned for {listed(others)} is of nothing that it takes, so it is not checked"] if others else []
    )


def entry_of(returned: Mapping[Any, Any], name: str) -> Any:
    """The gradient with respect to `name` in a dict of them; None where there is none."""
    for key, value in returned.items():
        if key == name or plain(str(key)) in gradient_names(name):
            return value
    return None


def _dressed(
    wrapper: Callable[..., Any], theirs: Callable[..., Any], inputs: Inputs, head: tuple[str, ...]
) -> Callable[..., Any]:
    """A wrapper with the names of the inputs as its parameters, and somebody's function shown as what it wraps."""

    @functools.wraps(theirs, updated=())
    def dressed(*args: Any, **kwargs: Any) -> Any:
        return wrapper(*args, **kwargs)

    kinds = inspect.Parameter
    # A parameter may be called like an argument of backward itself.
    first = [h if h not in inputs.names and h not in inputs.params else f"{h}_" for h in head]
    listed = [kinds(n, kinds.POSITIONAL_ONLY) for n in (*first, *inputs.names)]
    keywords = [kinds(n, kinds.KEYWORD_ONLY) for n in inputs.params]
    dressed.__signature__ = inspect.Signature([*listed, *keywords])  # type: ignore[attr-defined]
    return dressed
