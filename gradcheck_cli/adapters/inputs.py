"""Which arguments of somebody's function are arrays, of which shapes and values."""

from __future__ import annotations

import copy
import inspect
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradcheck_cli.adapters.given import Given
from gradcheck_cli.domain import REAL, Domain, Index, Integers
from gradcheck_cli.errors import ShapeError, UsageError, describe, suggestions
from gradcheck_cli.foreign import call, quiet
from gradcheck_cli.op import Array, Op
from gradcheck_cli.signature import Binding, Shape, Signature, parse, show
from gradcheck_cli.source import raised_at
from gradcheck_cli.stream import Stream

_WANTS_INTEGERS = (IndexError, TypeError, RuntimeError)  # the last is torch's
Parameters = Sequence[inspect.Parameter]
Forward = Callable[..., Any]  # (*arrays, **params) -> whatever somebody's forward returns


@dataclass(frozen=True)
class Inputs:
    """The arrays that an op takes, in order, with an example of each; and the params that it is given."""

    names: tuple[str, ...]
    arrays: tuple[Array, ...]
    domains: tuple[Domain, ...]
    signature: str
    params: Mapping[str, Any]

    @property
    def integers(self) -> tuple[str, ...]:
        """The inputs that are not differentiated, since they hold integers."""
        return tuple(n for n, d in zip(self.names, self.domains, strict=True) if not d.differentiable)

    def fresh(self) -> tuple[list[Array], dict[str, Any]]:
        """The example, to be changed by whom it may concern."""
        return [x.copy() for x in self.arrays], copy.deepcopy(dict(self.params))


class Unfit(Signature):
    """The signature of what cannot be called with what is given: nothing fits it, and it says why."""

    def bind(self, shapes: Sequence[Shape], names: Sequence[str] = ()) -> Binding:
        """Raises ShapeError."""
        raise ShapeError(self.text)


def unfit(name: str, reason: str, declared: str) -> Op:
    """An op that is skipped, with the reason."""

    def nothing(*_args: Any, **_params: Any) -> None:
        """Never called."""

    op = Op(nothing, nothing, Unfit(reason, parse("(...)").inputs, None), name=name)
    object.__setattr__(op, "declared", declared)
    return op


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a function; none where Python cannot tell."""
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []


def positional(params: Parameters) -> list[inspect.Parameter]:
    """Those that can be passed by position."""
    return [p for p in params if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def accepted(params: Parameters, given: Given) -> dict[str, Any]:
    """What `--param` gives that a function with these parameters takes."""
    anything = any(p.kind is p.VAR_KEYWORD for p in params)
    names = {p.name for p in params if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL, p.POSITIONAL_ONLY)}
    return {name: value for name, value in given.params.items() if anything or name in names}


def array_names(params: Parameters, given: Given, count: int | None = None) -> tuple[str, ...]:
    """The parameters that are arrays: as many as shapes are given, and at least those that have no value otherwise.

    Raises UsageError where these cannot be.
    """
    count = operand_count(given) if count is None else count
    free = [p for p in positional(params) if p.name not in given.params]
    required = [p.name for p in free if p.default is p.empty]
    several = any(p.kind is p.VAR_POSITIONAL for p in params)
    if count is None:
        raise UsageError(_what_is_missing(required or [p.name for p in free]))
    names = [p.name for p in free][:count]
    if len(names) < count and several:
        names += [f"x{i}" for i in range(len(names), count)]
    missing = [name for name in required if name not in names]
    if missing:
        raise UsageError(
            f"it takes {_count(required)} ({', '.join(required)}), but {_given(given, count)}; "
            f"give a shape for each, or a value: --param {missing[0]}=..."
        )
    if len(names) < count:
        named = f" ({', '.join(p.name for p in free)})" if free else ""
        raise UsageError(f"it takes {_count(free)}{named}, but {_given(given, count)}")
    return tuple(names)


def operand_count(given: Given) -> int | None:
    """How many arrays the user spoke of; None for nothing."""
    if given.signature is not None:
        return len(_parsed(given.signature).inputs)
    return len(given.shapes) or len(given.arrays) or None


def example(
    names: Sequence[str], given: Given, params: Mapping[str, Any], known: Mapping[str, Array] | None = None
) -> Inputs:
    """An example of every array; those that are `known` already come last and keep their shapes.

    Raises UsageError for a signature that is none, what is too large, and a domain without values of that shape.
    """
    known = known or {}
    every = (*names, *known)
    text = given.signature or signature_of(given.shapes or [x.shape for x in given.arrays[: len(names)]])
    text = _with_fixed(text, [x.shape for x in known.values()])
    shapes, sizes = example_shapes(_parsed(text), given.shapes)
    given.limits.check(list(zip(every, shapes, strict=True)))
    domains = tuple(_domain(name, given, every) for name in every)
    if given.arrays and len(given.arrays) == len(every):
        domains = tuple(map(_domain_of, given.arrays, domains))
        return Inputs(every, given.arrays, domains, text, params)
    arrays = [_drawn(name, d, s, sizes, i) for i, (name, d, s) in enumerate(zip(every, domains, shapes, strict=True))]
    return Inputs(every, tuple(arrays), domains, text, params)


def tried(forward: Forward, inputs: Inputs) -> tuple[Any, Inputs]:
    """What forward returns for the example; where it wants integers (labels, indices), the inputs with such.

    Raises UsageError where it takes neither.
    """
    try:
        return attempt(forward, inputs), inputs
    except Exception as error:  # Whatever somebody's forward raises.
        for candidate in _with_integers(forward, inputs) if isinstance(error, _WANTS_INTEGERS) else ():
            try:
                return attempt(forward, candidate), candidate
            except Exception:  # noqa: S112 (the next one)
                continue
        at = raised_at(error)
        shapes = " ".join(show(x.shape) for x in inputs.arrays)
        raise UsageError(f"it does not take {shapes}: {describe(error)}" + (f" at {at}" if at else "")) from None


def attempt(function: Forward, inputs: Inputs) -> Any:
    """Call a function with the example; whatever it raises passes through."""
    arrays, params = inputs.fresh()
    with quiet():
        return call(function, *arrays, **params)


def signature_of(shapes: Sequence[Shape]) -> str:
    """Shapes as they are, `(a,b),(b,c),(c)`: equal sizes have one name, so that smaller cases keep together."""
    letters: dict[int, str] = {}
    for shape in shapes:
        for side in shape:
            letters.setdefault(side, _letter(len(letters)))
    return ",".join("(" + ",".join("1" if side == 1 else letters[side] for side in shape) + ")" for shape in shapes)


def example_shapes(signature: Signature, given: Sequence[Shape]) -> tuple[list[Shape], dict[str, int]]:
    """A shape for every operand, of the given ones and of sizes 3, 2, 4, 5 ...; and the sizes by name."""
    bound = signature.bind(given)
    sizes = dict(bound.sizes)
    for operand in signature.inputs:
        for dimension in operand.dimensions:
            if dimension.name not in sizes:
                taken = len(sizes)
                sizes[dimension.name] = dimension.size or ((3, 2)[taken] if taken < 2 else taken + 2)
    binding = Binding(sizes, bound.missing, (), bound.any_shape or (2, 3))
    # Of what is elementwise, one number tells nothing about calls: all operands get one shape then.
    plain: Shape = (2, 3) if signature.elementwise else ()
    rest = [plain + signature.core_shape(operand, binding) for operand in signature.inputs[len(given) :]]
    return [*given, *rest], sizes


def _with_integers(forward: Forward, inputs: Inputs) -> Iterator[Inputs]:
    """The example with integers in one of the inputs, which index a dimension if calls tell which."""
    sizes = parse(inputs.signature).bind([x.shape for x in inputs.arrays]).sizes
    order = sorted(range(len(inputs.arrays)), key=lambda i: (i == 0, -i))
    for position in order:
        low = replace(
            inputs, arrays=_replaced(inputs.arrays, position, np.zeros_like(inputs.arrays[position], np.int64))
        )
        if not _works(forward, low):
            continue
        x = inputs.arrays[position]
        others = [n for i, a in enumerate(inputs.arrays) if i != position for n in a.shape]

        def takes(number: int, x: Array = x, position: int = position) -> bool:
            filled = np.full_like(x, number, np.int64)
            return _works(forward, replace(inputs, arrays=_replaced(inputs.arrays, position, filled)))

        high = max(min([n for n in others if n > 1], default=1) - 1, 1)
        domain: Domain = Integers(0, next((n for n in range(high, 1, -1) if takes(n)), 1))
        for name, size in sorted(sizes.items(), key=lambda item: item[1]):
            if not name.isdigit() and takes(size - 1) and not takes(size):
                domain = Index(name)
                break
        drawn = _drawn(inputs.names[position], domain, x.shape, sizes, position)
        domains = (*inputs.domains[:position], domain, *inputs.domains[position + 1 :])
        yield replace(inputs, arrays=_replaced(inputs.arrays, position, drawn), domains=domains)


def _works(forward: Forward, inputs: Inputs) -> bool:
    try:
        attempt(forward, inputs)
    except Exception:  # Whatever somebody's forward raises.
        return False
    return True


def _replaced(arrays: Sequence[Array], position: int, x: Array) -> tuple[Array, ...]:
    return (*arrays[:position], x, *arrays[position + 1 :])


def _domain(name: str, given: Given, names: Sequence[str]) -> Domain:
    unknown = [n for n in given.domains if n and n not in names]
    if unknown:
        hint = suggestions(unknown[0], names) or f"; there are {', '.join(names)}"
        raise UsageError(f"--domain names {unknown[0]!r}{hint}")
    return given.domains.get(name, given.domains.get("", REAL))


def _domain_of(x: Array, domain: Domain) -> Domain:
    """The domain of an array that is there already: integers are no real numbers."""
    if x.dtype.kind not in "iu":
        return domain
    return Integers(int(np.min(x, initial=0)), int(np.max(x, initial=0)))


def _drawn(name: str, domain: Domain, shape: Shape, sizes: Mapping[str, int], position: int) -> Array:
    try:
        return domain.draw(Stream("example", name, position), shape, "float64", sizes)
    except (ValueError, KeyError) as error:
        raise UsageError(f"{name} {show(shape)}: {describe(error)}") from None


def _with_fixed(text: str, shapes: Sequence[Shape]) -> str:
    """A signature with further operands of fixed shapes behind its own."""
    if not shapes:
        return text
    inputs, arrow, outputs = text.partition("->")
    fixed = ",".join("(" + ",".join(map(str, shape)) + ")" for shape in shapes)
    return f"{inputs.strip()},{fixed}{arrow}{outputs}".lstrip(",")


def _parsed(text: str) -> Signature:
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _letter(index: int) -> str:
    """a, b, c ... z, a1, b1 ..."""
    turn, place = divmod(index, 26)
    return string.ascii_lowercase[place] + (str(turn) if turn else "")


def _what_is_missing(names: Sequence[str]) -> str:
    shapes = " ".join(["--shape 4,3"] + ["--shape ..."] * (len(names) - 1))
    takes = f"it takes {', '.join(names)}; " if names else ""
    return f"{takes}give a shape for each array: {shapes}; or --signature"


def _given(given: Given, count: int) -> str:
    what = "operand" if given.signature is not None else "shape"
    return f"{count} {what}{'s are' if count != 1 else ' is'} given"


def _count(things: Sequence[object]) -> str:
    return f"{len(things)} input{'' if len(things) == 1 else 's'}"
