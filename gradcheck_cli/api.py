"""The Python door: `check(op)` and `check(forward, backward, shapes=[...])` -> Report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradcheck_cli.adapters import Given, op_from, target_for
from gradcheck_cli.checks import resolution_of
from gradcheck_cli.checks.finding import Finding, Verdict
from gradcheck_cli.checks.value import MAX_EVALS, Judging
from gradcheck_cli.draw import Sampling
from gradcheck_cli.errors import GradientError, UsageError
from gradcheck_cli.limits import Limits
from gradcheck_cli.numeric.classic import tolerances
from gradcheck_cli.op import Op
from gradcheck_cli.runner import OpResult, Options, RunFinished, run
from gradcheck_cli.signature import Shape, parse, plain
from gradcheck_cli.source import call_error

_BADNESS = (Verdict.PASS, Verdict.SKIP, Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.ERROR)


@dataclass(frozen=True)
class Report:
    """What `check` found out; `str(report)` is what the command line would print."""

    run: RunFinished

    @property
    def result(self) -> OpResult:
        """The op with all its cases."""
        return self.run.ops[0]

    @property
    def verdict(self) -> Verdict:
        """pass, fail, inconclusive, error or skip: the worst, where there are several ops."""
        return max((result.verdict for result in self.run.ops), key=_BADNESS.index)

    @property
    def passed(self) -> bool:
        """Whether every gradient was judged, and right."""
        return self.verdict is Verdict.PASS

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that was noticed, warnings included."""
        return tuple(finding for result in self.run.ops for finding in result.findings)

    @property
    def resolution(self) -> float | None:
        """The smallest error that every case would have caught, relative to the gradient's largest entry."""
        return resolution_of([case for result in self.run.ops for case in result.cases])

    def raise_for_failures(self) -> None:
        """Raise GradientError with the printed story unless the check passed."""
        if not self.passed:
            raise GradientError(str(self))

    def __str__(self) -> str:
        from gradcheck_cli.reporters.console import render

        return render(self.run)


def check(
    op: Any,
    backward: Callable[..., Any] | None = None,
    *,
    jac: Callable[..., Any] | bool | None = None,
    hess: Callable[..., Any] | None = None,
    hessp: Callable[..., Any] | None = None,
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
    wrt: Sequence[str] = (),
    call: str | None = None,
    device: str | None = None,
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

    `backward(grad, out, *inputs, **params)` returns one gradient per input. What the command line recognises in a file
    may stand here too: `check(affine_forward, affine_backward, shapes=...)` with a cache, `check(Layer, shapes=...)` of
    a class, a torch.autograd.Function, an nn.Module or a jax.custom_vjp, and `check(fun, jac=..., hess=..., hessp=...)`
    as scipy.optimize takes them (`jac=True`: fun returns its gradient too). A plain function of NumPy code is
    differentiated by its tape: `check(net, shapes=[(3, 4), (4, 5)])`.

    Without a `signature` the shapes are taken as they are. `params` fixes params, as `--param` does; for functions it
    gives them. `wrt` names the inputs that have gradients, `call` says how backward is called ("dout, cache"),
    `device` where torch computes. Any of `eps`, `rtol`, `atol` switches to the classic test; `order=2` checks the
    derivative of backward, too. Further keywords (`domain`, `name`, `loops`, ...) are those of `Op`. Raises
    DeclarationError or UsageError for what cannot be checked, never for a wrong gradient.
    """
    given = tuple(_shape(shape) for shape in shapes)
    try:
        dtype = None if dtype is None else np.dtype(dtype).name
    except TypeError:
        raise UsageError(f"dtype {dtype!r} is no dtype; write for instance float32") from None
    fixed = dict(params or {})
    if isinstance(op, Op):
        if any((backward, signature, declaration, wrt, call, device, jac, hess, hessp)):
            raise UsageError("check(op) takes no backward and no declaration: the op has its own")
        ops = [op]
    else:
        said = Given(
            given,
            signature,
            fixed,
            wrt=tuple(wrt),
            call=call,
            device=device,
            dtype=dtype,
            declaration=declaration,
            limits=Limits(memory=max_memory),
        )
        ops = _ops(op, backward, jac, hess, hessp, said)
    sampling = Sampling(seed, cases, given, rank, max_side, broadcast, dtype, fixed, edges=edges, max_memory=max_memory)
    options = Options(sampling, Judging(mode, min_resolution, tolerances(eps, rtol, atol), max_evals, order))
    *_, last = run(ops, options)
    assert isinstance(last, RunFinished)
    return Report(last)


def _shape(shape: Sequence[int]) -> Shape:
    if not isinstance(shape, (tuple, list)) or not all(isinstance(s, int) and s >= 0 for s in shape):
        raise UsageError(f"{shape!r} is no shape; write shapes=[(3, 4), (4,)], one for each input")
    return tuple(shape)


def _ops(
    forward: Any,
    backward: Callable[..., Any] | None,
    jac: Callable[..., Any] | bool | None,
    hess: Callable[..., Any] | None,
    hessp: Callable[..., Any] | None,
    given: Given,
) -> list[Op]:
    """The op of a forward and its backward, or those of a function, its gradient and its Hessian."""
    if not callable(forward):
        raise UsageError("check() needs an Op, or a forward and a backward")
    if jac is None and hess is None and hessp is None:
        if backward is None and target_for(forward) is None:
            text = given.signature or ""
            from gradcheck_cli.variable.composite import composite  # And with it the whole tape.

            return [composite(forward, given.shapes, signature=text, params=given.params, **given.declaration)]
        if backward is not None and given.signature is None and not given.shapes:
            raise UsageError("check(forward, backward) needs shapes=[(3, 4), ...], one per input, or a signature")
        as_declared = backward is not None and not given.call and _speaks_our_contract(backward, given)
        return [_declare(forward, backward, given) if as_declared and backward else op_from(forward, backward, given)]
    if backward is not None:
        raise UsageError("check(fun, jac=...) takes no backward beside it")
    if (hess or hessp) and not callable(jac):
        raise UsageError("check(fun, hess=...) needs jac=, the gradient that the Hessian is the derivative of")
    if jac is True:
        from gradcheck_cli.adapters.values import op_of

        ops = [op_of(forward, given)]
    else:
        ops = [op_from(forward, jac or None, given)]
    for second, product in ((hess, False), (hessp, True)):
        if second is not None:
            named = replace(given, declaration={**given.declaration, "name": _name(second)})
            ops.append(op_from(jac, second, named, product=product))
    return ops


def _speaks_our_contract(backward: Callable[..., Any], given: Given) -> bool:
    """Whether backward can be called as backward(grad, out, *inputs, **params)."""
    count = len(given.shapes)
    if given.signature:
        try:
            count = len(parse(given.signature).inputs)
        except ValueError:  # Op says what is wrong with it.
            return True
    return call_error(backward, 2 + count, list(given.params)) is None


def _declare(forward: Callable[..., Any], backward: Callable[..., Any], given: Given) -> Op:
    text = given.signature or plain(given.shapes)
    choices = {name: [value] for name, value in given.params.items()}
    said: dict[str, Any] = {"name": _name(forward)}
    if given.wrt:
        said["differentiable"] = given.wrt
    if given.dtype:
        said["dtypes"] = [given.dtype]
    return Op(forward, backward, text, params=choices, **{**said, **given.declaration})


def _name(forward: Callable[..., Any]) -> str:
    """A function's name; one that has no speakable name (a lambda) is called `forward`."""
    name = str(getattr(forward, "__name__", "forward"))
    return name if name.isidentifier() else "forward"
