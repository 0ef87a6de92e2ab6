"""The Python door: `check(op)` and `check(forward, backward, shapes=[...])` -> Report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck_cli.checks import resolution_of
from gradcheck_cli.checks.finding import Finding, Verdict
from gradcheck_cli.checks.value import MAX_EVALS, Judging
from gradcheck_cli.draw import Sampling
from gradcheck_cli.errors import GradientError, UsageError
from gradcheck_cli.numeric.classic import Classic
from gradcheck_cli.op import Op
from gradcheck_cli.runner import OpResult, Options, RunFinished, run
from gradcheck_cli.signature import Shape, plain
from gradcheck_cli.variable.composite import composite


@dataclass(frozen=True)
class Report:
    """What `check` found out about one op; `str(report)` is what the command line would print."""

    run: RunFinished

    @property
    def result(self) -> OpResult:
        """The op with all its cases."""
        return self.run.ops[0]

    @property
    def verdict(self) -> Verdict:
        """pass, fail, inconclusive, error or skip."""
        return self.result.verdict

    @property
    def passed(self) -> bool:
        """Whether every gradient was judged, and right."""
        return self.verdict is Verdict.PASS

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that was noticed, warnings included."""
        return self.result.findings

    @property
    def resolution(self) -> float | None:
        """The smallest error that every case would have caught, relative to the gradient's largest entry."""
        return resolution_of(self.result.cases)

    def raise_for_failures(self) -> None:
        """Raise GradientError with the printed story unless the check passed."""
        if not self.passed:
            raise GradientError(str(self))

    def __str__(self) -> str:
        from gradcheck_cli.reporters.console import render

        return render(self.run)


def check(
    op: Op | Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    *,
    shapes: Sequence[Shape] = (),
    signature: str | None = None,
    seed: int = 0,
    cases: int | None = None,
    edges: bool | None = None,
    rank: int | None = None,
    max_side: int = 4,
    broadcast: bool = True,
    dtype: str | None = None,
    params: Mapping[str, Any] | None = None,
    mode: str = "auto",
    max_evals: int = MAX_EVALS,
    max_memory: int | None = None,
    min_resolution: float | None = None,
    eps: float | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    order: int = 1,
    **declaration: Any,
) -> Report:
    """Check an op, or a forward and a backward: `check(op, seed=0)`, `check(forward, backward, shapes=[(3, 4)])`.

    A function of NumPy code without a backward is differentiated by its tape: `check(net, shapes=[(3, 4), (4, 5)])`.
    `backward(grad, out, *inputs, **params)` returns one gradient per input. Without a `signature` the shapes are
    taken as they are. `params` fixes params, as `--param` does; for a forward and a backward it gives them. Any of
    `eps`, `rtol`, `atol` switches to the classic test; `order=2` checks the derivative of backward, too. Further
    keywords (`domain`, `name`, `loops`, ...) are those of `Op`. Raises DeclarationError or UsageError for what cannot
    be checked, never for a wrong gradient.
    """
    given = tuple(_shape(shape) for shape in shapes)
    fixed = dict(params or {})
    if not isinstance(op, Op) and backward is None:
        op = composite(op, given, signature=signature or "", params=fixed, **declaration)
    elif not isinstance(op, Op):
        op = _declare(op, backward, given, signature, fixed, declaration)
    elif backward is not None or signature is not None or declaration:
        raise UsageError("check(op) takes no backward and no declaration: the op has its own")
    try:
        dtype = None if dtype is None else np.dtype(dtype).name
    except TypeError:
        raise UsageError(f"dtype {dtype!r} is no dtype; write for instance float32") from None
    sampling = Sampling(seed, cases, given, rank, max_side, broadcast, dtype, fixed, edges=edges, max_memory=max_memory)
    options = Options(sampling, Judging(mode, min_resolution, tolerances(eps, rtol, atol), max_evals, order))
    *_, last = run([op], options)
    assert isinstance(last, RunFinished)
    return Report(last)


def tolerances(eps: float | None, rtol: float | None, atol: float | None) -> Classic | None:
    """The classic test if any of its numbers was given, completed by its defaults."""
    given = {"eps": eps, "rtol": rtol, "atol": atol}
    chosen = {name: value for name, value in given.items() if value is not None}
    return Classic(**chosen) if chosen else None


def _shape(shape: Sequence[int]) -> Shape:
    if not isinstance(shape, (tuple, list)) or not all(isinstance(s, int) and s >= 0 for s in shape):
        raise UsageError(f"{shape!r} is no shape; write shapes=[(3, 4), (4,)], one for each input")
    return tuple(shape)


def _declare(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None,
    shapes: tuple[Shape, ...],
    signature: str | None,
    params: Mapping[str, Any],
    declaration: Mapping[str, Any],
) -> Op:
    assert backward is not None
    if signature is None and not shapes:
        raise UsageError("check(forward, backward) needs shapes=[(3, 4), ...], one per input, or a signature")
    choices = {name: [value] for name, value in params.items()}
    return Op(forward, backward, signature or plain(shapes), params=choices, **{"name": _name(forward), **declaration})


def _name(forward: Callable[..., Any]) -> str:
    """A function's name; one that has no speakable name (a lambda) is called `forward`."""
    name = str(getattr(forward, "__name__", "forward"))
    return name if name.isidentifier() else "forward"
