"""What rounding hides: far out, what is left of 1 - tanh(x)^2 or log(1 + exp(-x)) is a few last digits of 1.

Where a claim and a slope disagree by no more, or forward moves in steps of such digits, neither is known to be wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.checks.judgement import Array, Judgement, across_and_inside
from gradcheck_cli.checks.oracle import Oracle
from gradcheck_cli.numeric.estimate import Outcome

_HIDDEN = 64.0  # roundings of 1 that a slope may lose: what is lost may change x times as fast as it is large
_ROWS = 64  # directions of which it is asked whether forward moves in steps
_WIDTHS = (2.0**-6, 2.0**-10, 2.0**-14)  # of intervals in which it may, in units of what moves
# In gaps between a claim and a measured slope: how near one is to that across many steps, the other to that of each of
# them, and the noise. Next to a kink slopes inside differ among themselves; elsewhere they are also that across.
_ACROSS, _INSIDE, _NOISE = 1 / 2, 1 / 8, 1 / 16


def excuse(oracle: Oracle, judgement: Judgement) -> Judgement:
    """The same judgement, with nothing called wrong that rounding may have made of what is right."""
    lost = _lost(oracle) * np.array([d.extent for d in judgement.directions])
    little = np.flatnonzero(judgement.wrong & (judgement.deviation <= lost))
    measured = judgement.measured.take(little)
    judgement = judgement.put(little, replace(measured, bar=measured.bar + lost[little]))
    steps = _steps(oracle, judgement)
    undecided = np.full(len(steps), int(Outcome.QUANTISED))
    return judgement.put(steps, replace(judgement.measured.take(steps), outcome=undecided))


def _lost(oracle: Oracle) -> float:
    """What may get lost of a slope beside numbers like 1, if there are any: not in an op whose values are all tiny.

    At -40 those of log(1 + exp(x)) are, too; at 40 they are not.
    """
    weight = float(np.max(np.abs(oracle.weights), initial=0.0))
    values = [oracle.weighed(inputs) for inputs in _elsewhere(oracle)]
    largest = max(float(np.max(np.abs(v), initial=0.0, where=np.isfinite(v))) for v in values)
    return _HIDDEN * oracle.epsilon * min(largest, weight)


def _elsewhere(oracle: Oracle) -> Iterator[list[Array]]:
    """The inputs, and others near them: closer to zero, beyond it, exchanged within the first; at 1, if closer yet."""
    inputs, limits = oracle.inputs, oracle.limits
    for moved in (
        inputs,
        [x / 4 if x.dtype.kind == "f" else x for x in inputs],
        [-x if x.dtype.kind == "f" else x for x in inputs],
        [x if i else np.roll(x, 1) for i, x in enumerate(inputs)],
        [np.copysign(np.maximum(np.abs(x), 1), x) if x.dtype.kind == "f" else x for x in inputs],
    ):
        yield [
            np.asarray(np.clip(m, low, high), x.dtype) for m, x, (low, high) in zip(moved, inputs, limits, strict=True)
        ]


def _steps(oracle: Oracle, judgement: Judgement) -> NDArray[np.intp]:
    """Where forward moves in steps: the slope that was measured is that of one, and what is claimed is that of many.

    The worst is looked at first: mostly there is nothing to see.
    """
    wrong = np.flatnonzero(judgement.wrong)
    wrong = wrong[np.argsort(-judgement.deviation[wrong], kind="stable")][:_ROWS]
    if not wrong.size or not _moves_in_steps(oracle, judgement.take([int(wrong[0])]))[0]:
        return wrong[:0]
    return wrong[_moves_in_steps(oracle, judgement.take(wrong.tolist()))]


def _moves_in_steps(oracle: Oracle, judgement: Judgement) -> NDArray[np.bool_]:
    claimed, measured = judgement.claimed, judgement.measured.value
    gap = np.abs(claimed - measured)
    found = np.zeros(len(gap), bool)
    for width in _WIDTHS:
        across, inside, noise = across_and_inside(oracle, judgement.directions, width)
        with np.errstate(all="ignore"):
            of_one = np.all(np.abs(inside - measured) <= _INSIDE * gap, axis=0)
            found |= of_one & (np.abs(across - claimed) <= _ACROSS * gap) & (noise <= _NOISE * gap)
    return found
