"""Mutants of ops: each does one thing wrong that people do wrong. `python -m tests.mutants` counts who is caught."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli import Op
from gradcheck_cli.case import Case
from gradcheck_cli.draw import Sampling
from gradcheck_cli.foreign import quiet
from gradcheck_cli.registry import installed_ops
from gradcheck_cli.runner import OpResult, Options, run_op
from gradcheck_cli.sample import Sampler

Array = NDArray[Any]
Backward = Callable[..., Any]
Bend = Callable[[Array], Array]

COMPARED = 40  # cases on which a mutant must agree with the original to count as equivalent


@dataclass(frozen=True)
class Mutant:
    """An op with one thing wrong: `kind` is what, `where` which gradient or operand."""

    kind: str
    where: str
    op: Op

    def __str__(self) -> str:
        return f"{self.op.name}: {self.kind} {self.where}".strip()


def mutants(op: Op) -> Iterator[Mutant]:
    """Every mutant of an op whose backward returns a gradient for every differentiable input."""

    def mutant(kind: str, where: str, backward: Backward) -> Mutant:
        return Mutant(kind, where, replace(op, backward=functools.wraps(op.backward)(backward)))

    wanted = [op.names[i] for i in op.differentiated]
    for (place, name), (kind, bend) in itertools.product(enumerate(wanted), BENDS.items()):
        yield mutant(kind, f"grad {name}", _bent(op.backward, place, bend))
    for i, j in itertools.combinations(range(len(wanted)), 2):
        yield mutant("gradients exchanged", f"{wanted[i]}, {wanted[j]}", _exchanged(op.backward, i, j))
    for i, j in itertools.combinations(range(len(op.names)), 2):
        yield mutant("operands exchanged", f"{op.names[i]}, {op.names[j]}", _misled(op.backward, i, j))
    if "unbroadcast" in op.backward.__code__.co_names:
        yield mutant("unbroadcast forgotten", "", _without_unbroadcast(op.backward))
    yield mutant("cotangent ignored", "", _heedless(op.backward))
    yield mutant("doubled in place", "the cotangent", _careless(op.backward, None))
    for place, name in enumerate(op.names):
        yield mutant("doubled in place", name, _careless(op.backward, place))


def caught(mutant: Mutant) -> bool:
    """Whether the op fails when it is checked."""
    *_, result = run_op(mutant.op, Options(maxfail=1))
    assert isinstance(result, OpResult)
    return result.verdict.bad


def drawn(op: Op) -> list[Case]:
    """Other cases than those that the op is checked on."""
    cases = Sampler(op, Sampling(seed=1, cases=COMPARED))
    return [case for case in cases if case.outputs is not None]


def equivalent(mutant: Mutant, original: Op, cases: Sequence[Case]) -> bool:
    """Whether the mutant does in every case what the original does, which makes it no mutant at all."""
    return all(_alike(mutant.op, original, case) for case in cases)


# One gradient -> a wrong one.


def _with_middle(change: Callable[[float], float]) -> Bend:
    def bend(g: Array) -> Array:
        bent = np.array(g, order="C")
        middle = bent.reshape(-1)[g.size // 2 : g.size // 2 + 1]
        middle[...] = change(middle)  # type: ignore[arg-type]
        return bent

    return bend


def _transposed(g: Array) -> Array:
    return np.swapaxes(g, -1, -2) if g.ndim > 1 else g


def _transposed_if_square(g: Array) -> Array:
    return _transposed(g) if g.ndim > 1 and g.shape[-1] == g.shape[-2] else g


BENDS: dict[str, Bend] = {
    "sign": lambda g: -g,
    "factor 2": lambda g: 2 * g,
    "zero": np.zeros_like,
    "reversed": lambda g: g[..., ::-1] if g.ndim else g,
    "transposed": _transposed,
    "transposed if square": _transposed_if_square,
    "one entry off by 1 %": _with_middle(lambda entry: 1.01 * entry),
    "one entry NaN": _with_middle(lambda entry: np.nan * entry),
    "float32": lambda g: g.astype(np.float32),
}


# A backward -> a wrong one.


def _bent(backward: Backward, place: int, bend: Bend) -> Backward:
    def wrong(*args: Any, **params: Any) -> Any:
        gradients = _listed(backward(*args, **params))
        gradients[place] = bend(gradients[place])
        return _packed(gradients)

    return wrong


def _exchanged(backward: Backward, i: int, j: int) -> Backward:
    def wrong(*args: Any, **params: Any) -> Any:
        gradients = _listed(backward(*args, **params))
        gradients[i], gradients[j] = gradients[j], gradients[i]
        return _packed(gradients)

    return wrong


def _misled(backward: Backward, i: int, j: int) -> Backward:
    def wrong(grad: Any, out: Any, *inputs: Array, **params: Any) -> Any:
        turned = list(inputs)
        turned[i], turned[j] = turned[j], turned[i]
        return backward(grad, out, *turned, **params)

    return wrong


def _without_unbroadcast(backward: Backward) -> Backward:
    def wrong(*args: Any, **params: Any) -> Any:
        with mock.patch.dict(backward.__globals__, unbroadcast=lambda grad, like: grad):
            return backward(*args, **params)

    return wrong


def _heedless(backward: Backward) -> Backward:
    def wrong(grad: Any, out: Any, *inputs: Array, **params: Any) -> Any:
        ones = tuple(map(np.ones_like, grad)) if isinstance(grad, tuple) else np.ones_like(grad)
        return backward(ones, out, *inputs, **params)

    return wrong


def _careless(backward: Backward, place: int | None) -> Backward:
    """The right gradients, and the input at `place`, or the cotangent, doubled."""

    def wrong(grad: Any, out: Any, *inputs: Array, **params: Any) -> Any:
        gradients = [g.copy() for g in _listed(backward(grad, out, *inputs, **params))]
        for victim in _listed(grad) if place is None else [inputs[place]]:
            np.multiply(victim, 2, out=victim)
        return _packed(gradients)

    return wrong


def _listed(gradients: Any) -> list[Array]:
    return [np.asarray(g) for g in (gradients if isinstance(gradients, (tuple, list)) else (gradients,))]


def _packed(gradients: Sequence[Array]) -> Any:
    return gradients[0] if len(gradients) == 1 else tuple(gradients)


def _alike(mutant: Op, original: Op, case: Case) -> bool:
    """The same gradients, and the same left of what they were computed from."""
    try:
        ours, theirs = _answers(mutant, case), _answers(original, case)
    except Exception:  # A mutant may raise anything; the original does not.
        return False
    return len(ours) == len(theirs) and all(
        a.dtype == b.dtype and a.shape == b.shape and np.allclose(a, b, rtol=1e-12, atol=0, equal_nan=True)
        for a, b in zip(ours, theirs, strict=True)
    )


def _answers(op: Op, case: Case) -> list[Array]:
    """The gradients, and what the inputs and cotangents have become."""
    assert case.outputs is not None
    inputs, cotangents = [x.copy() for x in case.inputs], [g.copy() for g in case.cotangents]
    outputs = case.outputs
    with quiet():
        returned = op.backward(outputs.pack(cotangents), outputs.pack(outputs.arrays), *inputs, **case.params)
    return [*_listed(returned), *inputs, *cotangents]


def main() -> None:
    """Print a table of kinds: how many mutants were made, caught and equivalent; then those that contradict."""
    made, found, same = Counter[str](), Counter[str](), Counter[str]()
    odd = []
    for op in installed_ops():
        cases = drawn(op)
        for mutant in mutants(op):
            is_caught, is_same = caught(mutant), equivalent(mutant, op, cases)
            made[mutant.kind] += 1
            found[mutant.kind] += is_caught
            same[mutant.kind] += is_same
            if is_caught == is_same:
                odd.append(f"{mutant}: {'caught though equivalent' if is_same else 'NOT CAUGHT'}")
    rows = [(kind, made[kind], found[kind], same[kind]) for kind in made]
    rows.append(("all", made.total(), found.total(), same.total()))
    lines = ["| mutant | made | caught | equivalent |", "|---|---:|---:|---:|"]
    lines += [f"| {kind} | {m} | {f} | {s} |" for kind, m, f, s in rows]
    print("\n".join([*lines, *odd]))  # noqa: T201 (this is what the command is for)


if __name__ == "__main__":
    main()
