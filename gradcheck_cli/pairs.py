"""Complex arrays as pairs of reals, so that everything numeric knows real numbers only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def as_real(x: Array) -> Array:
    """A complex array as pairs of reals, along a new last axis; any other array as it is."""
    return np.stack([x.real, x.imag], axis=-1) if x.dtype.kind == "c" else x


def as_complex(pairs: Array) -> Array:
    """The inverse of `as_real` for a complex array."""
    return np.asarray(pairs[..., 0] + 1j * pairs[..., 1], np.result_type(pairs.dtype, np.complex64))
