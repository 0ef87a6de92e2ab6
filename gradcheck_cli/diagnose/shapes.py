"""Hypotheses about a gradient of the wrong shape: what would make it the right one?"""

from __future__ import annotations

import itertools
import math

import numpy as np

from gradcheck_cli.diagnose.axes import wrong_axis_of_sum
from gradcheck_cli.diagnose.evidence import Array, Cause, Evidence
from gradcheck_cli.helpers import unbroadcast
from gradcheck_cli.signature import Shape, show


def missing_unbroadcast(e: Evidence) -> Cause | None:
    """Summed to the input's shape, it is right."""
    g = e.returned
    if g is None or not e.complete or g.ndim < e.x.ndim or not e.agreement(_summed(g, e.x)):
        return None
    added = g.ndim - e.x.ndim
    if g.size == e.x.size and _used_often(e):
        why = f"It is summed already, but in the shape {show(g.shape)}: axes of length 1 are left"
        return Cause("wrong_shape", why, f"no keepdims, or grad_{e.name}.reshape({e.name}.shape)")
    axes = [a for a, n in enumerate(g.shape) if a < added or e.x.shape[a - added] != n]
    where = f"ax{'is' if len(axes) == 1 else 'es'} {', '.join(map(str, axes))}"
    them = "it" if len(axes) == 1 else "them"
    why = f"{e.name} was broadcast along {where}: sum the gradient over {them}"
    return Cause("missing_unbroadcast", why, f"unbroadcast(grad_{e.name}, {e.name})")


def _used_often(e: Evidence) -> bool:
    """Whether an entry moves several outputs, so that something had to be summed."""
    parts = e.contributions
    return parts is not None and bool(np.any(np.count_nonzero(np.abs(parts) > 1e-12 * e.largest, axis=0) > 1))


def _summed(g: Array, x: Array) -> Array | None:
    try:
        return np.asarray(unbroadcast(g, x))
    except ValueError:
        return None


def not_transposed(e: Evidence) -> Cause | None:
    """Transposed, it is right."""
    g = e.returned
    if g is None or not e.complete or g.ndim < 2:
        return None
    for turned, code in ((g.T, f"grad_{e.name}.T"), (np.swapaxes(g, -1, -2), f"np.swapaxes(grad_{e.name}, -1, -2)")):
        if turned.shape == e.x.shape and (agreement := e.agreement(turned.copy())):
            return Cause("not_transposed", f"Transposed, it {agreement}", code)
    return None


def swapped_inputs(e: Evidence) -> Cause | None:
    """It has the shape and the values of another input's gradient."""
    g = e.returned
    for position in e.case.op.differentiated if g is not None else ():
        other = Evidence(e.case, position)
        fits = position != e.position and g is not None and g.shape == other.x.shape and other.complete
        if fits and (agreement := other.agreement(g)):
            names = ", ".join(f"grad_{e.case.op.names[p]}" for p in e.case.op.differentiated)
            return Cause("swapped_inputs", f"It is the gradient of {other.name}: as that it {agreement}", names)
    return None


def permuted(e: Evidence) -> Cause | None:
    """With its axes in another order, it is right."""
    g = e.returned
    if g is None or not e.complete or g.ndim != e.x.ndim or sorted(g.shape) != sorted(e.x.shape):
        return None
    for order in _orders(g.shape, e.x.shape):
        if agreement := e.agreement(np.transpose(g, order).copy()):
            why = f"With its axes in the order {order}, it {agreement}"
            return Cause("permuted_or_reversed", why, "undo a permutation of axes with its inverse: np.argsort(axes)")
    return None


def _orders(got: Shape, wanted: Shape) -> list[tuple[int, ...]]:
    if len(got) > 5:
        return []
    return [o for o in itertools.permutations(range(len(got))) if tuple(got[a] for a in o) == wanted]


def summed_along_another_axis(e: Evidence) -> Cause | None:
    """The sum over the uses of a broadcast input, but along other axes."""
    return wrong_axis_of_sum(e) if e.complete else None


def wrong_shape(e: Evidence) -> Cause | None:
    """Reshaped, it is right; or it only has as many entries."""
    g = e.returned
    if g is None or g.size != e.x.size:
        return None
    if agreement := e.agreement(g.reshape(e.x.shape)) if e.complete else None:
        return Cause("wrong_shape", f"Reshaped, it {agreement}", f"grad_{e.name}.reshape({e.name}.shape)")
    if math.prod(g.shape) == math.prod(e.x.shape):
        return Cause("wrong_shape", f"It has as many entries as {show(e.x.shape)}, in another order", "")
    return None
