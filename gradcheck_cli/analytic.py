"""Case -> the gradients that backward returns, one array per differentiated input, and their own rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.op import Outputs
from gradcheck_cli.pairs import as_complex, as_real
from gradcheck_cli.sample import Case, same
from gradcheck_cli.stream import Stream

Array = NDArray[Any]

# Ulp-moved calls of backward: three, and more for a gradient of few entries, whose spread would else be luck.
_MOVES, _MOVED_ENTRIES = 3, 24
# Four spreads of the entry itself, six RMS spreads of the whole gradient (a few draws can come out small by
# accident; their pooled size cannot), eight roundings of the value.
_OWN, _POOLED, _LAST = 4.0, 6.0, 8.0


@dataclass(frozen=True, slots=True)
class Gradients:
    """What backward returned, entry by entry; `count` is how many there were, None for a bare value."""

    entries: tuple[Any, ...]
    count: int
    error: Exception | None = None
    mutated: tuple[str, ...] = ()  # what backward changed: names of inputs, or "the cotangent"; put back


def gradients(case: Case) -> Gradients:
    """Call backward once with the case's cotangents."""
    return _call(case, case.inputs, case.cotangents)


def rounding(case: Case, exact: Mapping[int, Array]) -> dict[int, Array]:
    """How far backward's own rounding may move each entry of its gradients, as arrays of their shapes.

    Estimated by moving all that backward gets, forward's output too, by an ulp: 1 - out**2 loses digits that x
    still has. `exact` holds the gradients as real arrays, by input position.
    """
    smallest = min((g.size for g in exact.values() if g.size), default=1)
    moves = max(_MOVES, _MOVED_ENTRIES // smallest)
    moved = [_moved(case, turn) for turn in range(moves)]
    return {position: _floor(case, position, gradient, moved) for position, gradient in exact.items()}


def _floor(case: Case, position: int, gradient: Array, moved: Sequence[Mapping[int, Array]]) -> Array:
    """The floor of one gradient, from what it became in each turn."""
    turns = [m[position] for m in moved if position in m and m[position].shape == gradient.shape]
    spreads = np.abs(np.array(turns or [gradient]) - gradient)
    spreads = np.nan_to_num(spreads, nan=0.0, posinf=0.0)
    pooled = np.sqrt(np.mean(np.square(spreads))) if gradient.size else 0.0
    epsilon = np.finfo(case.inputs[position].dtype).eps
    floor: Array = _OWN * np.max(spreads, axis=0) + _POOLED * pooled + _LAST * epsilon * np.abs(gradient)
    return np.nan_to_num(floor, nan=0.0, posinf=0.0)


def _moved(case: Case, turn: int) -> dict[int, Array]:
    """The gradients, as real arrays, when inputs, outputs and cotangents move by an ulp, up or down at random."""
    assert case.outputs is not None
    stream = Stream(case.op.name, case.seed, case.index, "ulp", turn)
    outputs = Outputs(tuple(_nudge(y, stream) for y in case.outputs.arrays), case.outputs.several)
    inputs, cotangents = [_nudge(x, stream) for x in case.inputs], [_nudge(g, stream) for g in case.cotangents]
    entries = _call(replace(case, outputs=outputs), inputs, cotangents).entries
    arrays = {p: np.asarray(e) for p, e in zip(case.op.differentiated, entries, strict=False) if e is not None}
    return {p: as_real(a).astype(np.float64) for p, a in arrays.items() if a.dtype.kind in "fc"}


def _nudge(x: Array, stream: Stream) -> Array:
    """The float next to every entry, on a random side; zeros and other dtypes stay."""
    if x.dtype.kind == "c":
        return as_complex(_nudge(as_real(x), stream))
    if x.dtype.kind != "f":
        return x
    direction = np.where(stream.integers(2, x.shape) == 1, np.inf, -np.inf).astype(x.dtype)
    return np.where(x == 0, x, np.nextafter(x, direction)).astype(x.dtype)


def _call(case: Case, inputs: Sequence[Array], cotangents: Sequence[Array]) -> Gradients:
    """Call backward, keep what it changes from spreading, and sort what it returns by differentiated input."""
    assert case.outputs is not None
    watched = {**dict(zip(case.op.names, inputs, strict=True)), **_numbered("the cotangent", cotangents)}
    before = {name: np.copy(x) for name, x in watched.items()}
    error, returned = None, None
    try:
        with np.errstate(all="ignore"):
            returned = case.op.backward(
                case.outputs.pack(cotangents), case.outputs.pack(case.outputs.arrays), *inputs, **case.params
            )
    except Exception as raised:  # Whatever a backward raises is a finding, not our crash.
        error = raised
    entries, count = _sorted_entries(case, returned)
    changed = tuple(name for name, x in watched.items() if not same(x, before[name]))
    if changed:  # A gradient may be a view of what is about to be put back.
        entries = tuple(np.copy(e) if isinstance(e, np.ndarray) else e for e in entries)
    for name in changed:
        watched[name][...] = before[name]
    return Gradients(entries, count, error, changed)


def _sorted_entries(case: Case, returned: Any) -> tuple[tuple[Any, ...], int]:
    """One entry per differentiated input; backward may also return one (or None) for every input."""
    wanted = case.op.differentiated
    several = isinstance(returned, (tuple, list))
    entries = tuple(returned) if several else (returned,)
    if len(entries) == len(case.op.names) != len(wanted):
        return tuple(entries[i] for i in wanted), len(wanted)
    return entries, len(entries)


def _numbered(label: str, arrays: Sequence[Array]) -> dict[str, Array]:
    if len(arrays) == 1:
        return {label: arrays[0]}
    return {f"{label} {i}": x for i, x in enumerate(arrays)}
