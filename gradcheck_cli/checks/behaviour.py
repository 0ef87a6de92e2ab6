"""GC302-GC305: what backward says when it is asked again: of the same, of another layout, of other cotangents.

No derivative is needed for any of these, so they are asked of every case. All differences are judged by backward's own
rounding: scaling by a power of two moves no digit, a sum moves the last ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.analytic import again, least_rounding, unsteadiness
from gradcheck_cli.blocks import largest, largest_finite, largest_gap
from gradcheck_cli.case import Case
from gradcheck_cli.checks.finding import Finding, Severity, apart
from gradcheck_cli.source import name_of
from gradcheck_cli.stream import Stream, in_turn

Array = NDArray[Any]
Gradients = Mapping[int, Array]

_LAST = 64.0  # roundings of the largest entry that no answer is held to
_HALF_OF_THE_DIGITS = 2.0**-26 / 8  # a floor counts _FLOORS times
_FLOORS = 8.0  # times backward's estimated rounding: the estimate of six draws may be short of the largest of many
# A negative factor tells |g| and g * g apart from g, a large one what is clipped, a small one what is taken for 0.
_FACTORS = (-0.5, 1024.0)
_AT_ONCE = (-1024.0, 0.5)


class _Difference(NamedTuple):
    """The entry of one gradient that two answers differ most in."""

    position: int
    where: str
    got: float
    wanted: float

    @property
    def texts(self) -> tuple[str, str]:
        """Both numbers, as they are told."""
        return apart(self.got, self.wanted)


def check_behaviour(case: Case, gradients: Gradients, floors: Callable[[], Gradients]) -> list[Finding]:
    """At most one finding per input: what comes later may be the consequence of what came first.

    Most backwards obey every law at once; only of others is each asked by itself, and are `floors` measured.
    """
    found: dict[int, Finding] = {}
    if not _obeys(case, gradients):
        for finding, position in _all(case, gradients, floors()):
            found.setdefault(position, finding)
    return list(found.values())


def _obeys(case: Case, gradients: Gradients) -> bool:
    """Whether B(a w + b u) = a B(w) + b B(u), up to the least that rounding may do; u is w, turned around.

    Whatever has a memory, or no need of its cotangent, or is linear in C order alone, fails this as well.
    """
    (far, near), natural = _AT_ONCE, case.natural_slope
    cotangents = [near * w.reshape(-1)[::-1].reshape(w.shape) for w in case.cotangents]
    expected, allowed = {}, {}
    alone = again(case, cotangents=cotangents, layout=None if case.layout == "C" else "C")
    for p, g in gradients.items():
        if p not in alone or alone[p].shape != g.shape:
            return False
        allowed[p] = _FLOORS * abs(far) * least_rounding(case, p, g, natural)[1] + _last(alone[p])
        expected[p] = far * g
        expected[p] += alone.pop(p)
    for i, w in enumerate(case.cotangents):
        cotangents[i] = np.asarray(far * w + cotangents[i], w.dtype)
    together = again(case, cotangents=cotangents)
    return together.keys() == gradients.keys() and all(
        g.shape == expected[p].shape and largest_gap(g, expected[p]) <= allowed[p] for p, g in together.items()
    )


def _all(case: Case, gradients: Gradients, floors: Gradients) -> Iterator[tuple[Finding, int]]:
    backward = name_of(case.op.backward)
    for d in _differences(again(case), gradients, floors):
        yield _finding(
            case,
            d,
            "GC305",
            "nondeterministic",
            f"called again with the same arrays, {backward} gives another grad {{name}}{d.where}: "
            f"{d.texts[0]} after {d.texts[1]}.",
            "keep nothing between calls, and take randomness from an input or a param",
        )
    # What an ulp changes as much, next to a singular matrix, neither memory nor the cotangent is to blame for.
    moved = unsteadiness(case, gradients)
    floors = {position: floor + moved[position] for position, floor in floors.items()}
    if case.layout != "C":
        plain = again(case, layout="C")
        # Another order of a sum may cost half of the digits (next to a variance of 0), one of memory costs all.
        rough = {p: floors[p] + _HALF_OF_THE_DIGITS * largest(g) for p, g in plain.items() if p in floors}
        for d in _differences(gradients, plain, rough):
            yield _finding(
                case,
                d,
                "GC304",
                "wrong_for_noncontiguous",
                f"grad {{name}}{d.where} is {d.texts[0]} for {case.layout} arrays; "
                f"it is {d.texts[1]} for the same values in C order.",
                "index and reshape arrays, do not read their memory: no order='K' or 'A', .strides, .base, as_strided",
            )
    yield from _linear(case, gradients, floors)


def _linear(case: Case, gradients: Gradients, floors: Gradients) -> Iterator[tuple[Finding, int]]:
    """B(0) = 0, B(c w) = c B(w), B(w + u) = B(w) + B(u): one after the other, since large arrays should not pile up."""
    yield from _of_nothing(case, gradients, floors)
    for factor in _FACTORS:
        yield from _scaled(case, gradients, floors, factor)
    yield from _added(case, gradients, floors)


def _of_nothing(case: Case, gradients: Gradients, floors: Gradients) -> Iterator[tuple[Finding, int]]:
    zeros = again(case, cotangents=[np.zeros_like(w) for w in case.cotangents])
    if not any(map(largest, zeros.values())):
        return
    nothing = {p: np.zeros_like(g) for p, g in gradients.items()}
    kept = {d.position for d in _differences(zeros, gradients, floors)}
    for d in _differences(zeros, nothing, floors):
        ignored = d.position not in kept
        yield _finding(
            case,
            d,
            "GC303" if ignored else "GC302",
            "ignores_upstream" if ignored else "nonlinear_in_upstream",
            f"for a cotangent of zeros, grad {{name}}{d.where} is {'still ' * ignored}{d.texts[0]}.",
            "multiply the local derivative by the upstream gradient, once",
        )


def _scaled(case: Case, gradients: Gradients, floors: Gradients, factor: float) -> Iterator[tuple[Finding, int]]:
    scaled = again(case, cotangents=[np.asarray(factor * w, w.dtype) for w in case.cotangents])
    for d in _differences(scaled, _times(gradients, factor), _times(floors, abs(factor))):
        yield _finding(
            case,
            d,
            "GC302",
            "nonlinear_in_upstream",
            f"for {factor:g} times the cotangent, grad {{name}}{d.where} is {d.texts[0]}; "
            f"{factor:g} times the gradient is {d.texts[1]}.",
            "the upstream gradient is a factor, once: no powers, absolute values or clipping of it",
        )


def _added(case: Case, gradients: Gradients, floors: Gradients) -> Iterator[tuple[Finding, int]]:
    what, others = _other_cotangents(case)
    alone = again(case, cotangents=others)
    # What is added may be large where the gradient is small, or cancel to little, and rounds in its own dtype.
    epsilons = {p: float(np.finfo(case.inputs[p].dtype).eps) for p in alone}
    natural = replace(case, cotangents=tuple(others)).natural_slope
    wider = {p: 2 * floors[p] + _last(alone[p], e) + e * natural for p, e in epsilons.items() if p in gradients}
    # Added before backward is called again, which may return the same buffer.
    added = {p: gradients[p] + alone.pop(p) for p in wider if alone[p].shape == gradients[p].shape}
    others = [w + u for w, u in zip(case.cotangents, others, strict=True)]
    for d in _differences(again(case, cotangents=others), added, wider):
        yield _finding(
            case,
            d,
            "GC302",
            "nonlinear_in_upstream",
            f"with {what} added to the cotangent, grad {{name}}{d.where} is {d.texts[0]}; "
            f"the sum of both gradients is {d.texts[1]}.",
            "a gradient is linear in the upstream gradient: what several outputs contribute adds up",
        )


def _other_cotangents(case: Case) -> tuple[str, list[Array]]:
    """Something to add to the cotangents, another kind for every case; of several outputs, to one of them."""
    count = len(case.cotangents)
    kind = in_turn(("random numbers", "ones", "a single entry"), max(case.index, 0), case.op.name, "added")
    chosen = in_turn(range(count), max(case.index, 0), case.op.name, "output")
    stream = Stream(case.op.name, case.seed, case.edge or case.index, "added")
    others = []
    for number, w in enumerate(case.cotangents):
        u = np.asarray(stream.dyadic(w.shape) if kind == "random numbers" else np.ones(w.shape), w.dtype)
        if kind == "a single entry":
            u[np.arange(u.size).reshape(u.shape) != stream.one(max(u.size, 1))] = 0
        has_slope = case.outputs is None or case.outputs.arrays[number].dtype.kind in "fc"
        others.append(u if number == chosen and has_slope else np.zeros_like(u))
    return kind + (f" (output {chosen} alone)" if count > 1 else ""), others


def _differences(got: Gradients, wanted: Gradients, floors: Gradients) -> Iterator[_Difference]:
    """For each input, where two answers differ most, if by more than rounding; infinities and NaN do not count."""
    for position in got.keys() & wanted.keys():
        ours, theirs = got[position], wanted[position]
        if ours.shape != theirs.shape or not ours.size:
            continue
        with np.errstate(all="ignore"):
            if largest_gap(ours, theirs) <= _FLOORS * np.min(floors[position]):
                continue
            gap = np.abs(ours - theirs) - _FLOORS * floors[position] - _last(theirs)
        gap = np.where(np.isfinite(gap), gap, -1.0)
        worst = int(np.argmax(gap))
        if gap.reshape(-1)[worst] > 0:
            place = np.unravel_index(worst, gap.shape)
            where = f"[{', '.join(str(int(i)) for i in place)}]" if gap.ndim else ""
            yield _Difference(position, where, float(ours[place]), float(theirs[place]))


def _last(x: Array, epsilon: float = 2.0**-52) -> float:
    return _LAST * epsilon * largest_finite(x)


def _times(arrays: Gradients, factor: float) -> dict[int, Array]:
    return {p: factor * x for p, x in arrays.items()}


def _finding(case: Case, d: _Difference, code: str, cause: str, message: str, suggestion: str) -> tuple[Finding, int]:
    name = case.op.names[d.position]
    evidence = {"got": d.got, "expected": d.wanted}
    text = message.format(name=name)
    return Finding(code, cause, Severity.FAILURE, case, text, suggestion, name, evidence), d.position
