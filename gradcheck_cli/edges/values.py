"""Values that code forgets: zeros, ties, numbers that the op itself mentions, borders, very small and large ones.

An edge value is a row in VALUES: from a plain draw to what stands in its place, or None. Whether the operand's domain
has such values is asked afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.domain import Domain
from gradcheck_cli.op import Op
from gradcheck_cli.source import numbers_in
from gradcheck_cli.stream import Stream

Array = NDArray[Any]

_MOST, _LARGEST = 8, 1e3  # landmarks, and how large they may be
_HUGE = 987_654.3  # no power of ten: huge values should not all be whole numbers, where floor jumps
_BESIDE = 2.0**-10  # of a landmark: near enough for a threshold that is off, far enough to be judged


class Plain(NamedTuple):
    """What an edge value may be made from, beside the plain draw."""

    domain: Domain
    pair: Array  # two values of the domain, the same for all operands that share it
    sizes: Mapping[str, int]  # of the dimensions, for indices
    landmarks: Array  # where kinks and branches are likely
    stream: Stream


def landmarks(op: Op, params: Sequence[Mapping[str, Any]]) -> Array:
    """0, 1, -1 and the numbers that an op mentions: constants of its code, defaults, params. Kinks are often there."""
    given = [value for choice in params for value in choice.values() if isinstance(value, (int, float))]
    small = [value for value in given if abs(value) <= _LARGEST]
    found = [0.0, 1.0, -1.0, *map(float, (*small, *numbers_in(op.forward)))]
    return np.array(list(dict.fromkeys(x for x in found if math.isfinite(x) and abs(x) <= _LARGEST))[:_MOST])


def _one_zero(x: Array, plain: Plain) -> Array | None:
    if x.size < 2:
        return None
    values = x.copy()
    values.reshape(-1)[plain.stream.one(x.size)] = 0
    return values


def _ties(x: Array, plain: Plain) -> Array | None:
    if plain.pair.size < 2:
        return None
    picked: Array = plain.pair[plain.stream.integers(2, x.shape)]
    return picked


def _equal(x: Array, plain: Plain) -> Array | None:
    return np.full(x.shape, plain.pair[0]) if plain.pair.size else None


def _landmarks(x: Array, plain: Plain) -> Array | None:
    """Every landmark of the domain in turn, in another order for each operand."""
    inside = [mark for mark in plain.landmarks.tolist() if plain.domain.contains(np.array(mark, x.dtype), plain.sizes)]
    return np.resize(np.array(plain.stream.shuffled(inside)), x.shape) if inside and x.size else None


def _near_landmarks(x: Array, plain: Plain) -> Array | None:
    marks = _landmarks(x, plain)
    if marks is None:
        return None
    sides = np.where(plain.stream.integers(2, x.shape) == 1, _BESIDE, -_BESIDE)
    values: Array = marks + sides * np.maximum(np.abs(marks), 1.0)
    return values


def _border(x: Array, plain: Plain) -> Array | None:
    """Every second entry on a border; both borders in turn where there are two."""
    ends = plain.domain.ends(plain.sizes)
    return _every_second(x, np.resize(np.repeat(ends, 2), x.shape)) if ends else None


def _near_border(x: Array, plain: Plain) -> Array | None:
    """As far from a border as 1e-1, 1e-2 ... 1e-6, each in turn."""
    low, high = plain.domain.limits
    if not math.isfinite(low) and not math.isfinite(high):
        return None
    room = high - low if math.isfinite(high - low) else 1.0
    distance = room * 10.0 ** -np.resize(np.arange(1, 7), x.shape)
    from_low: Array = low + distance
    from_high: Array = high - distance
    if math.isfinite(high - low):
        return np.where(np.resize([True, False], x.shape), from_low, from_high)
    return from_low if math.isfinite(low) else from_high


def _wide(x: Array, plain: Plain) -> Array:
    return plain.domain.scaled(x, 10.0 ** (plain.stream.integers(13, x.shape) - 6))


def _every_second(x: Array, values: Array) -> Array:
    return np.where(np.resize([True, False], x.shape), values, x)


SCALES = ("near border", "tiny", "huge", "wide")  # numbers so far apart that one step cannot suit all of them
VALUES: dict[str, Callable[[Array, Plain], Array | None]] = {
    "zeros": lambda x, _: np.zeros_like(x),
    "one zero": _one_zero,
    "ties": _ties,
    "all equal": _equal,
    "landmarks": _landmarks,
    "near landmarks": _near_landmarks,
    "border": _border,
    "near border": _near_border,
    "tiny": lambda x, plain: plain.domain.scaled(x, 1e-6),
    "huge": lambda x, plain: plain.domain.scaled(x, _HUGE),
    "wide": _wide,
}
