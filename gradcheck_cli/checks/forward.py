"""GC4xx: does forward run, stay finite, keep its promises and leave its inputs alone?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.blocks import largest, largest_gap
from gradcheck_cli.case import REFUSALS, Case
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.errors import describe
from gradcheck_cli.foreign import quiet
from gradcheck_cli.signature import show
from gradcheck_cli.source import name_of, raised_at

_CANCELLED = 1024.0  # roundings of the largest input: what a sum that cancels may be off by, in another order


def check_forward(case: Case) -> Iterator[Finding]:
    """Findings about forward; but for GC406, which is undone, a FAILURE means that no gradient can be judged."""
    name = name_of(case.op.forward)
    if case.outputs is None:
        assert case.error is not None
        place = raised_at(case.error)
        yield Finding(
            "GC401",
            "forward_raises",
            Severity.ERROR,
            case,
            f"{name} raises {describe(case.error)}" + (f" at {place}" if place else ""),
            "declare what forward accepts: a signature, a domain or params that fit it"
            if isinstance(case.error, REFUSALS)
            else "",
        )
        return
    if case.mutated:
        yield Finding(
            "GC406",
            "mutates_input",
            Severity.FAILURE,
            case,
            f"{name} changes {', '.join(case.mutated)} in place",
            f"work on a copy: {case.mutated[0]} = {case.mutated[0]}.copy()",
            input=case.mutated[0],
        )
    yield from _dtypes(case)
    if any(y.dtype.kind in "fc" for y in case.outputs.arrays):
        yield from _shapes(case)
        yield from _values(case)


def _shapes(case: Case) -> Iterator[Finding]:
    assert case.outputs is not None
    signature = case.op.gufunc
    expected = signature.output_shapes(case.binding)
    actual = tuple(y.shape for y in case.outputs.arrays)
    if expected is None or expected == actual:
        return
    yield Finding(
        "GC403",
        "contradicts_signature",
        Severity.FAILURE,
        case,
        f"{name_of(case.op.forward)} returns {_shapes_text(actual)}, but {signature.text} "
        f"promises {_shapes_text(expected)}",
        "correct the signature, or leave out the arrow where the output depends on params",
    )


def _dtypes(case: Case) -> Iterator[Finding]:
    assert case.outputs is not None
    given = {_precision(case.inputs[i]) for i in case.op.differentiated}
    name = name_of(case.op.forward)
    outputs = case.outputs.arrays
    if not any(y.dtype.kind in "fc" for y in outputs):
        odd = outputs[0] if outputs else None
        if odd is None:
            yield _no_derivative(case, f"{name} returns an empty list or tuple: no output")
        elif odd.dtype == object:
            what = "None" if odd.shape == () and odd.item() is None else f"objects of shape {show(odd.shape)}"
            yield _no_derivative(case, f"{name} returns {what}, not numbers")
        else:
            yield _no_derivative(case, f"{name} returns {odd.dtype}, which has no derivative")
    for output in outputs:
        if output.dtype.kind in "fc" and _precision(output) not in given:
            yield Finding(
                "GC404",
                "wrong_dtype",
                Severity.WARNING,
                case,
                f"{name} returns {output.dtype} for {' and '.join(sorted(d.name for d in given))} inputs",
                "keep the dtype of the inputs",
            )


def _precision(x: NDArray[Any]) -> np.dtype[Any]:
    """The dtype of the real numbers in it: abs makes float64 of complex128, and loses nothing."""
    return np.finfo(x.dtype).dtype


def _no_derivative(case: Case, message: str) -> Finding:
    return Finding("GC404", "wrong_dtype", Severity.FAILURE, case, message, "return floating-point numbers")


def _values(case: Case) -> Iterator[Finding]:
    assert case.outputs is not None
    outputs = case.outputs.arrays
    outputs = tuple(y for y in outputs if y.dtype.kind in "fc")
    bad = [y for y in outputs if not np.isfinite(y).all()]
    if bad:
        count = sum(int(np.sum(~np.isfinite(y))) for y in bad)
        total = sum(y.size for y in outputs)
        yield Finding(
            "GC402",
            "not_finite",
            # The mean of nothing is NaN, exp(1e6) overflows: nobody said that these were in the domain.
            Severity.NOTE if case.edge or any(x.size == 0 for x in case.inputs) else Severity.FAILURE,
            case,
            f"{name_of(case.op.forward)} returns {count} of {total} entries as NaN or infinity",
            "narrow the op's domain=, or the sizes in its signature, to where forward is finite; or mend forward",
        )
        return
    try:
        with quiet():
            again = case.op.run([x.copy() for x in case.inputs] if case.mutated else case.inputs, case.params)
        answers = [y for y in again.arrays if y.dtype.kind in "fc"]
        repeats = len(answers) == len(outputs) and all(map(_alike, answers, outputs))
    except Exception:
        repeats = False
    if repeats and case.layout != "C":
        yield from _layout(case, outputs)
    if repeats:
        yield from _pattern(case, outputs)
    else:
        yield Finding(
            "GC405",
            "nondeterministic",
            Severity.FAILURE,
            case,
            f"{name_of(case.op.forward)} gives another answer when it is called again with the same inputs",
            "take randomness from an input or a seeded param, so that forward is a function",
        )


def _pattern(case: Case, outputs: Sequence[NDArray[Any]]) -> Iterator[Finding]:
    """GC403, where what one loop gets shows in the output of another: the signature says that loops do not mix.

    Values are taken from a neighbouring loop, so that they stay in the domain. One axis is tried, another in each case.
    """
    loop = case.binding.loop
    axes = [axis for axis, size in enumerate(loop) if size > 1]
    if not case.op.gufunc.has_loops or not axes or not outputs:
        return
    axis = axes[case.index % len(axes)]
    inputs, moved = [], False
    for x, own in zip(case.inputs, case.binding.loops, strict=True):
        place = axis - len(loop) + len(own)
        copy = np.array(x, order="C")
        if place >= 0 and own[place] > 1:
            ahead: tuple[Any, ...] = (slice(None),) * place
            copy[(*ahead, 0)] = copy[(*ahead, 1)]
            moved = True
        inputs.append(copy)
    try:
        with quiet():
            answers = [y for y in case.op.run(inputs, case.params).arrays if y.dtype.kind in "fc"]
    except Exception:  # Two equal rows may be more than a forward can bear.
        return
    for before, after in zip(outputs, answers, strict=False):
        if not moved or after.shape != before.shape or before.shape[: len(loop)] != loop:
            continue
        others = (*(slice(None),) * axis, slice(1, None))
        pair = after[others], before[others]
        if not _alike(*pair) and not _roughly(*pair, case):
            yield Finding(
                "GC403",
                "contradicts_signature",
                Severity.FAILURE,
                case,
                f"{name_of(case.op.forward)} mixes loops: with other inputs at index 0 of axis {axis}, its output "
                f"changes elsewhere, too; {case.op.gufunc.text} promises that it does not",
                "write that dimension into the signature, as in (n)->(n), or leave out the arrow",
            )
            return


def _layout(case: Case, outputs: Sequence[NDArray[Any]]) -> Iterator[Finding]:
    """GC407, where the same values in C order give something else entirely."""
    try:
        with quiet():
            plain = case.op.run([np.array(x, order="C") for x in case.inputs], case.params).arrays
        answers = [y for y in plain if y.dtype.kind in "fc"]
    except Exception:
        return
    if len(answers) == len(outputs) and all(_roughly(a, b, case) for a, b in zip(answers, outputs, strict=True)):
        return
    yield Finding(
        "GC407",
        "wrong_for_noncontiguous",
        Severity.FAILURE,
        case,
        f"{name_of(case.op.forward)} gives another answer for {case.layout} arrays than for the same values in C order",
        "index and reshape arrays, do not read their memory: no order='K' or 'A', .strides, .base, as_strided",
    )


def _roughly(a: NDArray[Any], b: NDArray[Any], case: Case) -> bool:
    """Equal to half of the digits: another order of a sum may cost some, other memory or another loop costs all.

    What is left where a sum over the inputs cancels has none to be compared by; and an output has no more than inputs.
    """
    if a.shape != b.shape:
        return False
    floats = [x for x in case.inputs if x.dtype.kind in "fc"]
    epsilon = max(float(np.finfo(x.dtype).eps) for x in (b, *floats))
    with np.errstate(all="ignore"):
        cancelled = _CANCELLED * max((float(np.max(np.abs(x), initial=0.0)) for x in floats), default=0.0)
        allowed = np.sqrt(epsilon) * np.max(np.abs(b), initial=0) + cancelled * epsilon
        return bool(np.all(np.abs(a - b) <= allowed))


def _alike(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Equal beyond rounding: threads may add up in another order."""
    if a.shape != b.shape:
        return False
    return bool((a == b).all()) or largest_gap(a, b) <= 64 * np.finfo(b.dtype).eps * largest(b)


def _shapes_text(shapes: tuple[tuple[int, ...], ...]) -> str:
    return " and ".join(map(show, shapes))
