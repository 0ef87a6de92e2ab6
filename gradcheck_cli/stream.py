"""Random draws that stay the same on every machine and in every NumPy version.

Only the raw 64-bit output of PCG64 is used, keyed by a hash of what is being drawn: NumPy may change how it turns
bits into distributions (NEP 19 allows it), and no case changes with it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.blocks import blocks

T = TypeVar("T")


class _Seed(np.random.bit_generator.ISeedSequence):
    """A hash as the state of a bit generator: it needs no more mixing, which takes NumPy ten times as long."""

    def __init__(self, digest: bytes) -> None:
        self._digest = digest

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> NDArray[Any]:
        return np.frombuffer(self._digest, "<u8")


class Stream:
    """A stream of draws, fixed by its keys."""

    def __init__(self, *keys: object) -> None:
        digest = hashlib.blake2b("\x1f".join(map(str, keys)).encode(), digest_size=32).digest()
        self._bits = np.random.PCG64(_Seed(digest))  # type: ignore[arg-type]

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
        table, found = _dyadic(bits), np.empty(math.prod(shape))
        for (part,) in blocks(found):
            raw = np.asarray(self._bits.random_raw(-(-part.size // 4)), "<u8").view("<u2")
            table.take(raw[: part.size], out=part, mode="clip")
        return found.reshape(shape)


@cache
def _dyadic(bits: int) -> NDArray[np.float64]:
    """What each number of sixteen bits stands for: the last bit is a sign, the others make a magnitude."""
    drawn = np.arange(2**16)
    magnitude = 0.5 + (drawn * (2**bits + 1) >> 16) * 2.0**-bits
    return np.asarray(np.where(drawn & 1, magnitude, -magnitude))


def in_turn(options: Sequence[T], index: int, *keys: object) -> T:
    """Number `index` of an endless sequence that goes through all options, each round in another random order.

    Draws that take turns by different keys meet in all combinations: index % n would tie them to each other.
    """
    round_, place = divmod(index, len(options))
    return Stream(*keys, round_).shuffled(options)[place]
