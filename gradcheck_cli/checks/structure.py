"""GC1xx and GC3xx: is what backward returns a gradient at all, in number, shape and dtype?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.analytic import Gradients, as_array, gradients, like
from gradcheck_cli.case import Case, with_inputs
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.errors import describe
from gradcheck_cli.signature import Shape, show
from gradcheck_cli.source import name_of, raised_at


def check_structure(case: Case, returned: Gradients) -> Iterator[Finding]:
    """Findings about the number, shape and dtype of the gradients."""
    backward = name_of(case.op.backward)
    if returned.error is not None and (changed := _changes_if_it_may(case)):
        yield _mutates(case, changed)
        return
    if returned.error is not None:
        place = raised_at(returned.error)
        # A singular matrix at an edge: backward says itself that it has no answer there.
        refused = bool(case.edge) and isinstance(returned.error, np.linalg.LinAlgError)
        yield Finding(
            "GC106",
            "crashes",
            Severity.WARNING if refused else Severity.ERROR,
            case,
            f"{backward} raises {describe(returned.error)}" + (f" at {place}" if place else ""),
        )
        return
    if returned.mutated:
        yield _mutates(case, returned.mutated)
    wanted = case.op.differentiated
    if returned.count == 1 < len(wanted) and returned.entries[0] is None:
        names = ", ".join(case.op.names[i] for i in wanted)
        yield _failure(
            case,
            "GC103",
            "missing",
            f"{backward} returns None; {len(wanted)} gradients are expected ({names})",
            f"return a tuple of gradients: is a return statement missing in {backward}?",
        )
        return
    if returned.count != len(wanted):
        names = ", ".join(case.op.names[i] for i in wanted)
        yield _failure(
            case,
            "GC102",
            "wrong_count",
            f"{backward} returns {returned.count} gradient{'s' * (returned.count != 1)} "
            f"for {len(wanted)} differentiable input{'s' * (len(wanted) != 1)} ({names})",
            "return one gradient per differentiable input, in order, as a tuple",
        )
        return
    for position, entry in zip(wanted, returned.entries, strict=True):
        yield from _check_entry(case, position, entry)


def _changes_if_it_may(case: Case) -> tuple[str, ...]:
    """What a backward that raises on read-only memory changes where it is allowed to."""
    if case.layout not in ("read-only", "zero-stride"):
        return ()
    writable = with_inputs(replace(case, layout="C"), tuple(np.array(x, order="C") for x in case.inputs))
    return gradients(writable).mutated


def _mutates(case: Case, changed: tuple[str, ...]) -> Finding:
    cause = "mutates_upstream" if changed[0].startswith("the cotangent") else "mutates_input"
    message = f"{name_of(case.op.backward)} changes {', '.join(changed)} in place"
    return _failure(case, "GC301", cause, message, "work on a copy; the caller still needs the original")


def usable(returned: Gradients, case: Case) -> dict[int, NDArray[Any]]:
    """Input position -> gradient in double precision, for every gradient of the right shape that holds numbers."""
    if returned.error is not None or returned.count != len(case.op.differentiated):
        return {}
    arrays = {i: as_array(e) for i, e in zip(case.op.differentiated, returned.entries, strict=True)}
    return {
        i: like(array.astype(np.result_type(array.dtype, np.float64)), case.inputs[i])
        for i, array in arrays.items()
        if array is not None
        and array.shape == case.inputs[i].shape
        and (array.dtype.kind != "c" or case.inputs[i].dtype.kind == "c")
    }


def _failure(
    case: Case,
    code: str,
    cause: str,
    message: str,
    suggestion: str = "",
    input: str | None = None,  # noqa: A002 (the word for it in a Finding)
    evidence: Mapping[str, object] | None = None,
) -> Finding:
    return Finding(code, cause, Severity.FAILURE, case, message, suggestion, input, evidence or {})


def _check_entry(case: Case, position: int, entry: Any) -> Iterator[Finding]:
    name, data = case.op.names[position], case.inputs[position]
    if entry is None:
        yield _failure(
            case,
            "GC103",
            "missing",
            f"grad {name} is None",
            f"return an array of {name}'s shape, of zeros where the output does not depend on it; "
            "or declare the input as not differentiable",
            input=name,
        )
        return
    array = as_array(entry)
    if array is None:
        yield _failure(
            case,
            "GC105",
            "not_an_array",
            f"grad {name} is a {_kind(entry)}, not an array of numbers",
            input=name,
        )
        return
    if array.shape != data.shape:
        yield _wrong_shape(case, name, array.shape, data.shape)
    # A Python number takes whatever dtype it meets: only arrays and NumPy scalars can drift.
    if hasattr(entry, "dtype") and array.dtype != data.dtype:
        yield _failure(
            case,
            "GC104",
            "wrong_dtype",
            f"grad {name} is {array.dtype}; {name} is {data.dtype}",
            f"grad_{name}.astype({name}.dtype), or find the constant or call that changes it",
            input=name,
        )


def _wrong_shape(case: Case, name: str, got: Shape, wanted: Shape) -> Finding:
    return _failure(
        case,
        "GC101",
        "wrong_shape",
        f"grad {name} has shape {show(got)}; {name} has shape {show(wanted)}.",
        f"return an array of {name}'s shape",
        input=name,
        evidence={"shape": list(got), "expected": list(wanted)},
    )


def _kind(entry: Any) -> str:
    dtype = getattr(entry, "dtype", None)
    return type(entry).__name__ if dtype is None else f"{type(entry).__name__} of dtype {dtype}"
