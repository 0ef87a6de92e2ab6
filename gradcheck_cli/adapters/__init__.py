"""Everybody's own code -> ops: one file for each style, one table.

A style is a function that looks at a module and yields what it recognises as Targets, and a row in STYLES. The first
that claims a name has it. Nothing here imports a framework that the user's own file has not imported.
"""

from __future__ import annotations

import fnmatch
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import Any

from gradcheck_cli.adapters.given import Given, Scope, Target
from gradcheck_cli.errors import LoadError, UsageError, suggestions
from gradcheck_cli.op import Op

__all__ = ["Given", "Target", "adapt", "op_from", "ops_of", "target_for", "targets_of"]

# In the order in which they may claim a name: (module in this folder, the framework that must have been imported).
STYLES = (
    ("torch_objects", "torch"),
    ("jaxes", "jax"),
    ("primitives", "autograd"),
    ("classes", ""),
    ("pairs", ""),
    ("switches", ""),
    ("pullbacks", ""),
    ("values", ""),
    ("traced", ""),
)
_EXAMPLE = 'OPS = [Op(forward, backward, "(n,k),(k,m)->(n,m)")]'
_FITS = (
    "f_forward and f_backward, f and df, fun and jac; a class with forward and backward; a torch.autograd.Function; "
    "a jax.custom_vjp"
)


def targets_of(module: ModuleType, where: str) -> list[Target]:
    """Everything in a module that can be checked, each name once."""
    scope = Scope(module, where)
    found: dict[str, Target] = {}
    for style, framework in STYLES:
        if framework and framework not in sys.modules:
            continue
        finder: Callable[[Scope], Iterator[Target]] = import_module(f"{__name__}.{style}").find
        for target in finder(scope):
            claimed = any(other.answers_to(target.name) for other in found.values())
            if not claimed:
                found[target.name] = target
    return list(found.values())


def ops_of(module: ModuleType, where: str, name: str | None, given: Given) -> list[Op]:
    """The ops that a module without declarations holds, or those of that name (or glob).

    Where several are found, those that do not fit what is given are ops that say why they are skipped. Raises
    UsageError where the only one does not fit, or nothing has that name, and LoadError where nothing is recognised.
    """
    if name is not None and "," in name:
        return [_op(_explicit(module, where, name), replace(given, pair=name), alone=True)]
    targets = targets_of(module, where)
    if name is None:
        chosen = [target for target in targets if not target.asked]
        if not chosen:
            raise LoadError(_nothing_in(where, targets))
    else:
        chosen = [t for t in targets if t.name == name] or [t for t in targets if t.answers_to(name)]
        chosen = chosen or [t for t in targets if fnmatch.fnmatchcase(t.name, name)]
        if not chosen:
            raise UsageError(_no_such(module, where, name, targets))
    return [_op(target, given, alone=len(chosen) == 1) for target in chosen]


def target_for(value: Any) -> Target | None:
    """What a class, or a function of a framework, is taken for by itself, as if it stood alone in a module."""
    module, name = ModuleType(getattr(value, "__module__", None) or type(value).__module__), _name(value)
    setattr(module, name, value)
    return next((target for target in targets_of(module, name) if target.answers_to(name)), None)


def op_from(
    forward: Any, backward: Callable[..., Any] | None = None, given: Given | None = None, *, product: bool = False
) -> Op:
    """An op of a class, a function of a framework, or a forward with its backward, as if it stood in a module.

    `product` says that backward is the product of a Hessian with a vector, and forward the gradient. Raises UsageError
    where it is none of these, or does not fit what is given.
    """
    given = given or Given()
    if backward is not None:
        from gradcheck_cli.adapters.pairs import target_of, title_of

        return _op(
            target_of(title_of(_name(forward), _name(backward)), forward, backward, "hessp" if product else ""),
            given,
            alone=True,
        )
    target, name = target_for(forward), _name(forward)
    if target is None:
        raise UsageError(f"{name}: needs an Op, or a forward and a backward; what is recognised: {_FITS}")
    return _op(target, given, alone=True)


def adapt(
    forward: Any,
    backward: Callable[..., Any] | None = None,
    signature: str | None = None,
    *,
    params: Mapping[str, Sequence[Any]] | None = None,
    wrt: Sequence[str] = (),
    call: str | None = None,
    device: str | None = None,
    **declaration: Any,
) -> Op:
    """An Op of functions that do not speak its contract, for an op file: `adapt(f_forward, f_backward, "(n,k)->(n)")`.

    `forward` may be a function with its `backward` (with a cache, or f and df), a class with both as methods, a
    torch.autograd.Function, an nn.Module, a jax.custom_vjp. `params`, `name`, `domain` and the like are those of Op;
    `wrt`, `call` and `device` those of `gradcheck run`. Raises UsageError where it is recognised as none of these.
    """
    choices = {name: list(listed) for name, listed in (params or {}).items()}
    first = {name: listed[0] for name, listed in choices.items() if listed}
    more = {**declaration, **({"params": choices} if choices else {})}
    return op_from(
        forward, backward, Given((), signature, first, wrt=tuple(wrt), call=call, device=device, declaration=more)
    )


def _op(target: Target, given: Given, alone: bool) -> Op:
    if given.device and "torch" not in sys.modules:
        raise UsageError(f"--device is for torch, which {target.name}'s file does not import")
    try:
        return target.op(given)
    except UsageError as error:
        if alone:
            raise UsageError(f"{target.name}: {error}") from None
        from gradcheck_cli.adapters.inputs import unfit

        return unfit(target.name, str(error), target.place)


def _explicit(module: ModuleType, where: str, names: str) -> Target:
    """`file.py::forward,backward`: two functions by name, whatever they are called."""
    from gradcheck_cli.adapters.pairs import target_of

    found = []
    for name in (part.strip() for part in names.split(",")):
        value = getattr(module, name, None)
        if not callable(value):
            callables = [key for key, entry in vars(module).items() if callable(entry)]
            raise UsageError(f"{where} has no function {name!r}{suggestions(name, callables)}")
        found.append((name, value))
    if len(found) != 2:
        raise UsageError(f"{where}::{names}: give a forward and a backward, {where}::f,df")
    (first, forward), (_, backward) = found
    return target_of(first, forward, backward)


def _no_such(module: ModuleType, where: str, name: str, targets: Sequence[Target]) -> str:
    if inspect.isclass(getattr(module, name, None)):
        return (
            f"{where}::{name} has no backward that could be found; call its methods forward and backward, or give "
            f"check() two functions that use it; what is recognised: {_FITS}"
        )
    if hasattr(module, name):  # A function without a partner: no style takes it for anything.
        return (
            f"{where}::{name} has no backward that could be found; if it has another name, write "
            f"{where}::{name},its_backward; what is recognised: {_FITS}"
        )
    known = [t.name for t in targets]
    if not known:
        return f"{where} declares no ops, and nothing in it is named {name!r}"
    listed = f"; there are {', '.join(known[:8])}" if known else ""
    return f"nothing named {name!r} is in {where}{suggestions(name, known) or listed}"


def _nothing_in(where: str, targets: Sequence[Target]) -> str:
    if targets:
        return f"{where}: name what is meant: {', '.join(f'{where}::{t.name}' for t in targets[:4])}"
    return f"{where} declares no ops; end it with {_EXAMPLE}, or name functions as gradcheck knows them: {_FITS}"


def _name(value: Any) -> str:
    """A speakable name; of a lambda, `forward`."""
    name = str(getattr(value, "__name__", None) or type(value).__name__)
    return name if name.isidentifier() else "forward"
