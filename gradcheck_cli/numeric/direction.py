"""Directions in input space, and what is known of them without calling anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.blocks import blocks
from gradcheck_cli.numeric.estimate import FloatArray

Array = NDArray[Any]


class Direction(NamedTuple):
    """A direction in input space: for each input that moves, a flat coordinate or an array of the input's shape."""

    moves: tuple[tuple[int, int | Array], ...]
    entry: int | None = None  # which single entry it asks about, if it does (a domain may move others along)
    random: bool = False  # signs drawn at random: independent of whatever they are multiplied with

    def dot(self, gradients: Mapping[int, Array]) -> float:
        """<v, g>, where `gradients` has an array for each input that moves."""
        total = 0.0
        for position, step in self.moves:
            if isinstance(step, int):
                total += float(gradients[position].item(step))
                continue
            with np.errstate(all="ignore"):
                total += sum(float((g * v).sum()) for g, v in blocks(gradients[position], step))
        return total

    def weigh(self, sizes: Mapping[int, Array]) -> float:
        """How far errors of that size may move <v, g>: sum |v_i| |size_i|, or their norm where v is random.

        Whatever errors have in common, random signs add them up like a walk.
        """
        power = 2 if self.random else 1
        weighed = Direction(tuple((p, s if isinstance(s, int) else np.abs(s) ** power) for p, s in self.moves))
        total = weighed.dot({position: np.abs(size) ** power for position, size in sizes.items()})
        return float(total ** (1 / power))

    def largest(self, inputs: Sequence[Array], sizes: Callable[[int], float]) -> float:
        """The largest |x| over the entries that move; `sizes` are those of whole inputs."""
        moving = (abs(inputs[p].item(s)) if isinstance(s, int) else sizes(p) for p, s in self.moves)
        return max([0.0, *moving])  # in this order: NaN is no size

    @property
    def extent(self) -> float:
        """The sum of all |v_i|, or their norm where v is random: what errors of 1 make of <v, g>, as in `weigh`."""
        power = 2 if self.random else 1
        total = sum(1.0 if isinstance(step, int) else float((np.abs(step) ** power).sum()) for _, step in self.moves)
        return float(total ** (1 / power))

    def borders(self, inputs: Sequence[Array], limits: Sequence[tuple[float, float]]) -> tuple[float, float]:
        """The range of t in which every moving input of x + t v stays within its limits."""
        low, high = -np.inf, np.inf
        for position, step in self.moves:
            least, most = limits[position]
            if least == -np.inf and most == np.inf:
                continue
            x = inputs[position].reshape(-1)
            v = np.ones(1) if isinstance(step, int) else np.asarray(step, np.float64).reshape(-1)
            x = x[step : step + 1] if isinstance(step, int) else x
            with np.errstate(all="ignore"):
                down, up = (least - x) / v, (most - x) / v
            down, up = np.minimum(down, up)[v != 0], np.maximum(down, up)[v != 0]
            low, high = max(low, float(np.max(down, initial=-np.inf))), min(high, float(np.min(up, initial=np.inf)))
        return low, high


class Reach(NamedTuple):
    """How far directions go: arrays (K,), as in `Lines`."""

    size: FloatArray  # the largest |x| that moves
    scale: FloatArray
    low: FloatArray
    high: FloatArray


def reach(
    directions: Sequence[Direction],
    inputs: Sequence[Array],
    limits: Sequence[tuple[float, float]],
    sizes: Callable[[int], float],
) -> Reach:
    """How far every input may be moved along some directions, within its limits; `sizes` are the largest |x|."""
    size = np.array([d.largest(inputs, sizes) for d in directions])
    borders = [d.borders(inputs, limits) for d in directions]
    low, high = np.array([low for low, _ in borders]), np.array([high for _, high in borders])
    return Reach(size, 2.0 ** np.floor(np.log2(np.maximum(size, 1.0))), low, high)
