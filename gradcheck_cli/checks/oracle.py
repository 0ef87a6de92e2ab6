"""What a gradient is compared with: the case's forward over real numbers, as precise as it can be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.case import Case, widened
from gradcheck_cli.numeric.curves import around
from gradcheck_cli.numeric.points import Function, Points, Stacked
from gradcheck_cli.pairs import as_complex, as_real
from gradcheck_cli.signature import Shape

Array = NDArray[Any]

_STEPS = (1.0, 1 / 8, 1 / 64, 1 / 4096)
_LAST = 16.0  # roundings of the largest output that are no variation


@dataclass(frozen=True)
class Oracle:
    """A forward on real arrays, where it is differentiated, and the cotangents to project its outputs on.

    Complex arrays appear as pairs of reals (a last axis of length 2). The gradient of a real L with respect to
    z = x + iy is dL/dx + i dL/dy then, which is torch's convention (JAX's is its conjugate).
    """

    forward: Function
    stacked: Stacked | None  # the same at many points at once, if it proves to be that
    analytic: Function | None  # the forward where it may be tried on complex numbers, for the complex step
    inputs: list[Array]
    weights: NDArray[np.float64]
    limits: list[tuple[float, float]]
    epsilon: float  # spacing of 1.0 in the coarsest dtype around
    outputs: Sequence[Array] | None = None  # f(x), where it is at hand just as forward would give it again

    @cached_property
    def points(self) -> Points:
        """Forward around the inputs."""
        return around(self.forward, self.inputs, self.weights.size, self.stacked, self.outputs)

    def variation(self, position: int) -> float:
        """How fast some output, times its cotangent, changes over a step of one in every entry of an input.

        0 where nothing changes but last digits; a smaller step is tried where a step of one leaves the domain.
        """
        x = self.inputs[position]
        signs = np.where(np.arange(x.size) % 2, 1, -1).reshape(x.shape)
        start = self.weighed(self.inputs)
        for step in _STEPS:
            moved = [*self.inputs]
            moved[position] = x + np.asarray(step * signs, x.dtype)
            change = np.abs(self.weighed(moved) - start)
            if np.all(np.isfinite(change)):
                most = float(np.max(change, initial=0.0))
                last = _LAST * self.epsilon * float(np.max(np.abs(start), initial=0.0))
                return most / step if most > last else 0.0
        return 0.0

    def weighed(self, inputs: Sequence[Array]) -> Array:
        """Every output times its cotangent, flat; NaN where forward fails."""
        try:
            weighed: Array = self.weights * np.concatenate([y.reshape(-1) for y in self.forward(inputs)])
        except Exception:  # Outside its domain a forward may raise anything.
            return np.full(self.weights.shape, np.nan)
        return weighed


def oracle_of(case: Case) -> Oracle:
    """The oracle of a case: its forward in float64 where that computes in float64, else in the case's dtype.

    A float32 forward rounds at 1e-7 and its slopes at 1e-5; the same function in float64 judges a float32 gradient
    far more finely.
    """
    assert case.outputs is not None
    wide = widened(case) or case
    forward = _Forward(wide)
    pairs = zip(case.cotangents, case.outputs.arrays, strict=True)
    weights = [as_real(w).astype(np.float64, copy=False).reshape(-1) for w, y in pairs if y.dtype.kind in "fc"]
    floats = [x for x in (*wide.inputs, *case.outputs.arrays) if x.dtype.kind in "fc"]
    return Oracle(
        forward=forward.plain,
        stacked=forward.stacked if forward.stackable else None,
        analytic=forward.analytic if forward.real else None,
        inputs=[as_real(x) for x in wide.inputs],
        weights=weights[0] if len(weights) == 1 else np.concatenate(weights),
        limits=[domain.limits for domain in case.op.domains],
        epsilon=max(float(np.finfo(x.dtype).eps) for x in floats),
        outputs=forward.known(),
    )


class _Forward:
    """A case's forward over real arrays: at one point, at many, and at complex points where it is real."""

    def __init__(self, case: Case) -> None:
        assert case.outputs is not None
        self.case, self.outputs = case, case.outputs.arrays
        self.complex = [x.dtype.kind == "c" for x in case.inputs]
        self.real = not (any(self.complex) or case.mutated) and all(y.dtype.kind == "f" for y in self.outputs)

    @property
    def stackable(self) -> bool:
        """Whether an axis may be put in front; a `?` dimension that is missing would be taken for it."""
        return self.real and self.case.op.gufunc.has_loops and not self.case.binding.missing

    def known(self) -> Sequence[Array] | None:
        """The outputs, where the same arrays in another layout do not round otherwise."""
        return self.outputs if self.real and all(x.flags.c_contiguous for x in self.case.inputs) else None

    def plain(self, reals: Sequence[Array]) -> Sequence[Array]:
        """Outputs that have slopes, as real arrays."""
        if self.real:
            return self._run(reals)
        arrays = [as_complex(x) if c else x for x, c in zip(reals, self.complex, strict=True)]
        if self.case.mutated:
            arrays = [x.copy() for x in arrays]
        return [as_real(y) for y in self._run(arrays) if y.dtype.kind in "fc"]

    def stacked(self, reals: Sequence[Array], moved: Sequence[bool], count: int) -> NDArray[np.float64]:
        """The same at `count` points, as (points, outputs); inputs that moved have one more axis in front."""
        loops = self.case.binding.loops
        rank = max(map(len, loops), default=0)
        arrays = [_behind(x, own, m, rank) for x, own, m in zip(reals, loops, moved, strict=True)]
        outputs = [np.asarray(y, np.float64).reshape(count, -1) for y in self._run(arrays)]
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=1)

    def analytic(self, arrays: Sequence[Array]) -> Sequence[Array]:
        """Outputs at complex points."""
        return self._run(arrays)

    def _run(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        return self.case.op.run(arrays, self.case.params).arrays


def _behind(x: Array, loops: Shape, moved: bool, rank: int) -> Array:
    """An operand with the axis of points in front of all loop dimensions, whatever their number."""
    shape = x.shape[1:] if moved else x.shape
    return x.reshape(x.shape[0] if moved else 1, *(1,) * (rank - len(loops)), *shape)
