"""Derivatives without an upstream gradient -> gradients: f' of what is elementwise, gradients of scalars, Jacobians."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradcheck_cli.op import Array

SLOPE = "f' of an elementwise function"


def entries_of(returned: Any, count: int) -> list[Any]:
    """What a derivative returned, one entry for each of `count` inputs where it can be told."""
    if hasattr(returned, "toarray"):  # A sparse Jacobian.
        returned = returned.toarray()
    if isinstance(returned, (tuple, list)) and not (count == 1 and _is_one_array(returned)):
        return list(returned)
    return [returned]


def is_of(derivative: Any, out: Any, x: Array) -> bool:
    """Whether a derivative may be that of a scalar, or the Jacobian of several, with respect to x, by its shape."""
    leading = () if np.size(out) == 1 else np.shape(out)
    return bool(np.shape(derivative) == leading + x.shape)


def unstacked(entries: Sequence[Any], out: Any, arrays: Sequence[Array]) -> list[Any]:
    """np.array([df_dx, df_dy]) of a scalar f(x, y) as two entries; others as they are."""
    alike = len(arrays) > 1 and len({x.shape for x in arrays}) == 1 and np.size(out) == 1
    if alike and len(entries) == 1 and np.shape(entries[0]) == (len(arrays), *arrays[0].shape):
        return list(entries[0])
    return list(entries)


def pulled_back(grad: Any, derivative: Any, x: Array) -> Any:
    """The gradient with respect to x: grad times a derivative, whose shape says what it is.

    Of a scalar: its gradient. Of shape out + x: the Jacobian; where both have rows, a Jacobian of each. Of the shape of
    both: f', elementwise. What has another shape is handed on as it is, to be found wrong.
    """
    try:
        d = np.asarray(derivative.toarray() if hasattr(derivative, "toarray") else derivative)
    except Exception:  # Ragged lists.
        return derivative
    if derivative is None or isinstance(grad, tuple) or d.dtype.kind not in "fciub":
        return derivative
    grad = np.asarray(grad)
    if d.shape == grad.shape + x.shape:
        return np.tensordot(grad, d, grad.ndim) if grad.ndim else grad * d
    if x.ndim == grad.ndim > 1 and x.shape[:-1] == grad.shape[:-1] and d.shape == grad.shape + x.shape[-1:]:
        return np.einsum("...i,...ij->...j", grad, d)
    if d.shape == grad.shape == x.shape:
        return grad * d
    if grad.size == 1 and d.shape == x.shape:
        return grad.reshape(()) * d
    return d


def kind_of(out: Any, derivatives: Sequence[Any], arrays: Sequence[Array]) -> str:
    """What the derivatives are, in words, by their shapes."""
    shape = np.shape(out)
    if len(shape) == 0 or int(np.prod(shape)) == 1:
        return "the gradient of a scalar"
    if any(np.shape(d) == shape + x.shape for d, x in zip(derivatives, arrays, strict=False)):
        return "a Jacobian"
    if any(np.shape(d) == shape + x.shape[-1:] for d, x in zip(derivatives, arrays, strict=False)):
        return "a Jacobian for each row"
    return SLOPE


def _is_one_array(values: Sequence[Any]) -> bool:
    """Whether a list is what a person wrote instead of an array: of numbers, or of rows."""
    try:
        return len(values) != 1 and np.asarray(values).dtype.kind in "fiu"
    except Exception:
        return False
