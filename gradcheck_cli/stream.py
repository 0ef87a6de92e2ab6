"""Random draws that stay the same on every machine and in every NumPy version.

Only the raw 64-bit output of PCG64 is used, keyed by a hash of what is being drawn: NumPy may change how it turns
bits into distributions (NEP 19 allows it), and no case changes with it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.blocks import blocks

T = TypeVar("T")


class Stream:
    """A stream of draws, fixed by its keys."""

    def __init__(self, *keys: object) -> None:
        digest = hashlib.blake2b("\x1f".join(map(str, keys)).encode(), digest_size=16).digest()
        self._bits = np.random.PCG64(int.from_bytes(digest, "little"))

    def integers(self, below: int, shape: tuple[int, ...] = ()) -> NDArray[np.int64]:
        """Integers in [0, below), as an array of `shape`."""
        # Modulo bias is `below` / 2^64, nothing that a check could notice.
        raw = self._bits.random_raw(math.prod(shape))
        return (np.asarray(raw, np.uint64) % np.uint64(below)).astype(np.int64).reshape(shape)

    def distinct(self, below: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """Like `integers`, without repeats as far as the range and a few redraws allow."""
        drawn = self.integers(below, (math.prod(shape),))
        for _ in range(8):
            _, first = np.unique(drawn, return_index=True)
            repeated = np.ones(drawn.size, dtype=bool)
            repeated[first] = False
            if not repeated.any():
                break
            drawn[repeated] = self.integers(below, (int(repeated.sum()),))
        return drawn.reshape(shape)

    def one(self, below: int) -> int:
        """One integer in [0, below)."""
        return int(self.integers(below))

    def choice(self, options: Sequence[T]) -> T:
        """One of several."""
        return options[self.one(len(options))]

    def shuffled(self, options: Sequence[T]) -> list[T]:
        """All of them, in random order."""
        rest, result = list(options), []
        while rest:
            result.append(rest.pop(self.one(len(rest))))
        return result

    def dyadic(self, shape: tuple[int, ...], bits: int = 3) -> NDArray[np.float64]:
        """Signed numbers of few mantissa bits in +-[1/2, 3/2]: none near zero, so that none hides an error."""
        steps, found = 2**bits, np.empty(math.prod(shape))
        for (part,) in blocks(found):
            part[...] = 0.5 + self._bits.random_raw(part.size) % np.uint64(steps + 1) / steps
        for (part,) in blocks(found):
            np.negative(part, out=part, where=self._bits.random_raw(part.size) & np.uint64(1) == 0)
        return found.reshape(shape)


def in_turn(options: Sequence[T], index: int, *keys: object) -> T:
    """Number `index` of an endless sequence that goes through all options, each round in another random order.

    Draws that take turns by different keys meet in all combinations: index % n would tie them to each other.
    """
    round_, place = divmod(index, len(options))
    return Stream(*keys, round_).shuffled(options)[place]
