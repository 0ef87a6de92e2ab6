"""Where an operand's values come from: draw them, and keep perturbations inside."""

from __future__ import annotations

import ast
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.stream import Stream

Array = NDArray[Any]

# Random values of an unbounded domain come from [-REACH, REACH]: large enough to bend every elementary function,
# small enough that exp and x**y stay readable.
REACH = 3.0
# How close to a border or an avoided point a random value may come, as a fraction of the drawn range. Values nearer
# than that are edge cases, drawn on purpose and not by chance.
MARGIN = 0.02


class Domain:
    """A set of values that an operand may take; `differentiable` says whether slopes are asked for."""

    __slots__ = ()

    @property
    def differentiable(self) -> bool:
        """Whether the operand is a continuous variable."""
        return True

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and largest value, for steps that must stay inside."""
        return -math.inf, math.inf

    def ends(self, sizes: Mapping[str, int]) -> tuple[float, ...]:
        """The smallest and the largest value, where there are such; a border need not belong to the domain."""
        return tuple(end for end in self.limits if math.isfinite(end))

    def draw(self, stream: Stream, shape: tuple[int, ...], dtype: str, sizes: Mapping[str, int]) -> Array:
        """Random values as short decimals; raises ValueError where the domain has none of that shape."""
        raise NotImplementedError

    def project(self, direction: Array) -> Array:
        """The part of a direction (of the operand's shape) that keeps the operand in its domain."""
        return direction

    def contains(self, values: Array, sizes: Mapping[str, int]) -> bool:
        """Whether an operand may have these values."""
        raise NotImplementedError

    def scaled(self, values: Array, factor: Array | float) -> Array:
        """Values of another magnitude, measured from where the domain begins."""
        return values * factor

    def avoiding(self, *points: float) -> Domain:
        """The same domain without the neighbourhood of some points (kinks, poles)."""
        raise TypeError(f"{self} cannot avoid points; only intervals can")


@dataclass(frozen=True, slots=True)
class Interval(Domain):
    """Real numbers between two borders, without the neighbourhood of `avoided` points."""

    low: float = -math.inf
    high: float = math.inf
    avoided: tuple[float, ...] = ()
    closed: bool = False  # whether the borders belong to it; random values keep clear of them all the same

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"interval({self.low:g}, {self.high:g}) is empty: low must be below high")

    @property
    def limits(self) -> tuple[float, float]:
        return self.low, self.high

    def contains(self, values: Array, sizes: Mapping[str, int]) -> bool:
        low, high = self._window()
        parts = (values.real, values.imag) if values.dtype.kind == "c" else (values,)
        for x in parts:
            inside = (self.low <= x) & (x <= self.high) if self.closed else (self.low < x) & (x < self.high)
            clear = [np.abs(x - p) >= MARGIN * (high - low) for p in self.avoided]
            if not np.all(np.logical_and.reduce([inside, *clear])):
                return False
        return True

    def scaled(self, values: Array, factor: Array | float) -> Array:
        one_sided = math.isinf(self.low) != math.isinf(self.high)
        origin = (self.high if math.isinf(self.low) else self.low) if one_sided else 0.0
        return origin + (values - origin) * factor

    def avoiding(self, *points: float) -> Interval:
        if not all(math.isfinite(p) for p in points):
            raise ValueError(f"avoiding({', '.join(map(str, points))}): only finite points can be avoided")
        return replace(self, avoided=(*self.avoided, *map(float, points)))

    def draw(self, stream: Stream, shape: tuple[int, ...], dtype: str, sizes: Mapping[str, int]) -> Array:
        low, high = self._window()
        count = math.prod(shape)
        if not sys.float_info.min * 1e6 < high - low < math.inf:
            raise ValueError(f"{self} is too wide or too narrow to draw from")
        # 60 or more grid points per value keep accidental ties rare, and the decimals as short as that allows.
        grid = 10.0 ** math.floor(math.log10((high - low) / (60 * max(count, 10))))
        if max(-low, high) / grid >= 2.0**62:  # As many ticks as an integer has.
            raise ValueError(f"{self} is too narrow to draw from, so far from 0")
        segments = self._segments(low, high, grid)
        if not segments:
            raise ValueError(f"{self} leaves nothing to draw between {low:g} and {high:g}")
        starts = np.array([start for start, _ in segments], np.int64)
        ends = np.cumsum([stop - start for start, stop in segments])
        chosen = stream.distinct(int(ends[-1]), shape)
        segment = np.searchsorted(ends, chosen, side="right")
        ticks = starts[segment] + chosen - np.concatenate(([0], ends))[segment]
        with np.errstate(over="ignore"):  # 1e300 is infinite in single precision.
            return np.asarray(_decimals(ticks, round(math.log10(grid))), dtype)

    def _window(self) -> tuple[float, float]:
        """The finite range that random values are drawn from, off the borders."""
        if math.isinf(self.low) and math.isinf(self.high):
            return -REACH, REACH
        if math.isinf(self.low):
            return self.high - REACH, self.high - MARGIN * REACH
        if math.isinf(self.high):
            return self.low + MARGIN * REACH, self.low + REACH
        margin = MARGIN * (self.high - self.low)
        return self.low + margin, self.high - margin

    def _segments(self, low: float, high: float, grid: float) -> list[tuple[int, int]]:
        """Half-open runs of grid ticks in the window that keep clear of the avoided points."""
        clear = MARGIN * (high - low)
        cuts = sorted((p - clear, p + clear) for p in self.avoided)
        segments = []
        position = low
        for left, right in [*cuts, (high, high)]:
            start, stop = math.ceil(position / grid), math.floor(min(left, high) / grid) + 1
            if start < stop:
                segments.append((start, stop))
            position = max(position, right)
        return segments

    def __str__(self) -> str:
        named = {(-math.inf, math.inf): "REAL", (0.0, math.inf): "NONNEGATIVE" if self.closed else "POSITIVE"}
        text = named.get((self.low, self.high), f"interval({self.low:g}, {self.high:g})")
        return text + (f".avoiding({', '.join(f'{p:g}' for p in self.avoided)})" if self.avoided else "")


def _decimals(ticks: Array, exponent: int) -> Array:
    """`ticks` times 10^exponent, rounded once, so that 0.37 comes out as the literal 0.37 does."""
    if abs(exponent) <= 22:  # A power of ten that is a float.
        return ticks * 10.0**exponent if exponent >= 0 else ticks / 10.0**-exponent
    return np.array([float(f"{tick}e{exponent}") for tick in ticks.reshape(-1)]).reshape(ticks.shape)


@dataclass(frozen=True, slots=True)
class Spd(Domain):
    """Symmetric positive definite matrices in the last two dimensions."""

    def draw(self, stream: Stream, shape: tuple[int, ...], dtype: str, sizes: Mapping[str, int]) -> Array:
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise ValueError(f"SPD needs square matrices, and the signature gives the shape {shape}")
        n = shape[-1]
        upper = np.triu((stream.integers(201, shape) - 100) / 100)
        symmetric = upper + np.swapaxes(np.triu(upper, 1), -1, -2)
        # Diagonally dominant with a positive diagonal, hence positive definite (Gershgorin).
        return np.asarray(symmetric + (n + 0.5) * np.eye(n), dtype)

    def contains(self, values: Array, sizes: Mapping[str, int]) -> bool:
        if not values.size:
            return True
        if values.ndim < 2 or not np.array_equal(values, np.swapaxes(values, -1, -2)):
            return False
        return bool(np.all(np.linalg.eigvalsh(values) > 0))

    def project(self, direction: Array) -> Array:
        return (direction + np.swapaxes(direction, -1, -2)) / 2

    def __str__(self) -> str:
        return "SPD"


@dataclass(frozen=True, slots=True)
class OneOf(Domain):
    """One of a few values each; differentiated only if they are floats."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("one_of() needs at least one value")

    @property
    def differentiable(self) -> bool:
        return np.asarray(self.values).dtype.kind == "f"

    def draw(self, stream: Stream, shape: tuple[int, ...], dtype: str, sizes: Mapping[str, int]) -> Array:
        values = np.asarray(self.values)
        drawn = values[stream.integers(len(values), shape)]
        return np.asarray(drawn, dtype if self.differentiable else values.dtype)

    def contains(self, values: Array, sizes: Mapping[str, int]) -> bool:
        return bool(np.all(np.isin(values, np.asarray(self.values, values.dtype))))

    def __str__(self) -> str:
        return f"one_of({list(self.values)})"


@dataclass(frozen=True, slots=True)
class Integers(Domain):
    """Integers from low to high, both included; not differentiated."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"integers({self.low}, {self.high}) is empty: low must not be above high")
        if int(self.low) != self.low or int(self.high) != self.high or self.high - self.low >= 2**62:
            raise ValueError(
                f"integers({self.low}, {self.high}): the bounds must be integers that are not that far apart"
            )

    @property
    def differentiable(self) -> bool:
        return False

    def draw(self, stream: Stream, shape: tuple[int, ...], dtype: str, sizes: Mapping[str, int]) -> Array:
        return self.low + stream.integers(self.high - self.low + 1, shape)

    @property
    def limits(self) -> tuple[float, float]:
        return self.low, self.high

    def contains(self, values: Array, sizes: Mapping[str, int]) -> bool:
        return bool(np.all((values >= self.low) & (values <= self.high)))

    def __str__(self) -> str:
        return f"integers({self.low}, {self.high})"


@dataclass(frozen=True, slots=True)
class Index(Domain):
    """A valid index into the dimension of that name; not differentiated."""

    dimension: str

    @property
    def differentiable(self) -> bool:
        return False

    def draw(self, stream: Stream, shape: tuple[int, ...], dtype: str, sizes: Mapping[str, int]) -> Array:
        size = sizes[self.dimension]
        if not size and 0 not in shape:
            raise ValueError(f"no index fits the empty dimension {self.dimension}")
        return stream.integers(max(size, 1), shape)

    def ends(self, sizes: Mapping[str, int]) -> tuple[float, ...]:
        return 0, sizes[self.dimension] - 1

    def contains(self, values: Array, sizes: Mapping[str, int]) -> bool:
        return bool(np.all((values >= 0) & (values < sizes[self.dimension])))

    def __str__(self) -> str:
        return f'index("{self.dimension}")'


REAL = Interval()
POSITIVE = Interval(0.0)
NONNEGATIVE = Interval(0.0, closed=True)
SPD = Spd()


def interval(low: float, high: float) -> Interval:
    """Real numbers between `low` and `high`; either may be infinite."""
    return Interval(float(low), float(high))


def one_of(values: Sequence[Any]) -> OneOf:
    """One of `values` for each element."""
    return OneOf(tuple(values))


def integers(low: int, high: int) -> Integers:
    """Integers from `low` to `high`, both included, for an operand that is not differentiated."""
    return Integers(low, high)


def index(dimension: str) -> Index:
    """Indices into the named dimension, for an operand that is not differentiated."""
    return Index(dimension)


def domain_of(text: str) -> Domain:
    """The domain that a text names: `positive`, `interval(-1, 1)`, `integers(0, 9)`; raises ValueError."""
    constants = {"real": REAL, "positive": POSITIVE, "nonnegative": NONNEGATIVE, "spd": SPD}
    functions = {"interval": interval, "integers": integers, "index": index, "one_of": one_of}
    bare = text.strip()
    if bare.lower() in constants:
        return constants[bare.lower()]
    name, bracket, rest = bare.partition("(")
    try:
        if bracket and name in functions and rest.endswith(")"):
            arguments = ast.literal_eval(f"({rest[:-1]},)")
            domain: Domain = functions[name](*arguments)  # type: ignore[operator]
            return domain
    except (SyntaxError, TypeError, ValueError, ArithmeticError, MemoryError, RecursionError) as error:
        if "malformed" not in str(error):  # ast's word for index(n), which tells nobody to write index("n").
            raise ValueError(f"{text[:60]!r} is not a domain: {error}") from None
    known = [*constants, "interval(low,high)", "integers(low,high)", "one_of([...])", 'index("n")']
    raise ValueError(f"{text[:60]!r} is not a domain; there are {', '.join(known)}")
