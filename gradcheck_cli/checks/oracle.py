"""What a gradient is compared with: the case's forward over real numbers, as precise as it can be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.case import Case, widened
from gradcheck_cli.numeric.curves import Function
from gradcheck_cli.pairs import as_complex, as_real

Array = NDArray[Any]

_STEPS = (1.0, 1 / 8, 1 / 64, 1 / 4096)


@dataclass(frozen=True)
class Oracle:
    """A forward on real arrays, where it is differentiated, and the cotangents to project its outputs on.

    Complex arrays appear as pairs of reals (a last axis of length 2). The gradient of a real L with respect to
    z = x + iy is dL/dx + i dL/dy then, which is torch's convention (JAX's is its conjugate).
    """

    forward: Function
    analytic: Function | None  # the forward where it may be tried on complex numbers, for the complex step
    inputs: list[Array]
    weights: NDArray[np.float64]
    limits: list[tuple[float, float]]
    epsilon: float  # spacing of 1.0 in the coarsest dtype around

    def variation(self, position: int) -> float:
        """How fast some output, times its cotangent, changes over a step of one in every entry of an input.

        0 where nothing changes; a smaller step is tried where a step of one leaves the domain.
        """
        x = self.inputs[position]
        signs = np.where(np.arange(x.size) % 2, 1, -1).reshape(x.shape)
        start = self._weighed(self.inputs)
        for step in _STEPS:
            moved = [*self.inputs]
            moved[position] = x + np.asarray(step * signs, x.dtype)
            change = np.abs(self._weighed(moved) - start) / step
            if np.all(np.isfinite(change)):
                return float(np.max(change, initial=0.0))
        return 0.0

    def _weighed(self, inputs: Sequence[Array]) -> Array:
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
    inputs = list((widened(case) or case).inputs)
    are_complex = [x.dtype.kind == "c" for x in inputs]

    def forward(reals: Sequence[Array]) -> Sequence[Array]:
        arrays = [as_complex(x) if c else x for x, c in zip(reals, are_complex, strict=True)]
        if case.mutated:
            arrays = [x.copy() for x in arrays]
        return [as_real(y) for y in case.op.run(arrays, case.params).arrays if y.dtype.kind in "fc"]

    def analytic(arrays: Sequence[Array]) -> Sequence[Array]:
        return case.op.run(arrays, case.params).arrays

    assert case.outputs is not None
    pairs = zip(case.cotangents, case.outputs.arrays, strict=True)
    weights = [as_real(w).astype(np.float64).reshape(-1) for w, y in pairs if y.dtype.kind in "fc"]
    real = not any(are_complex) and all(y.dtype.kind == "f" for y in case.outputs.arrays) and not case.mutated
    limits = [domain.limits for domain in case.op.domains]
    reals = [as_real(x) for x in inputs]
    floats = [x for x in (*inputs, *case.outputs.arrays) if x.dtype.kind in "fc"]
    epsilon = max(float(np.finfo(x.dtype).eps) for x in floats)
    return Oracle(forward, analytic if real else None, reals, np.concatenate(weights), limits, epsilon)
