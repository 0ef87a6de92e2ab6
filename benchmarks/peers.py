"""One check of one given case, by everybody: python -m benchmarks.peers [--repeat N] [--only OP]. Prints Markdown.

Each tool checks the same function at the same float64 point, on one thread, at its defaults; milliseconds are medians.
What they look at differs: torch slow, the loop, scipy and `--mode full` ask for every entry, the others for a
direction.
Our first column is what the others check, values and shapes; "every check" adds what they do not: does forward repeat
itself and keep its promises, does backward, is it linear in the cotangent.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peer_ops import OPS, PeerOp
from gradcheck_cli.analytic import gradients, rounding
from gradcheck_cli.case import make_case
from gradcheck_cli.checks import examine
from gradcheck_cli.checks.finding import Verdict
from gradcheck_cli.checks.structure import check_structure, usable
from gradcheck_cli.checks.value import Judging, check_values

Check = Callable[[], bool]
_TURNS, _WARM = 4, 0.01  # seconds


def ours(op: PeerOp, mode: str = "auto", wrong: float = 0.0) -> Check:
    """Values and structure of one case that is given: forward and a cotangent, backward, the comparison."""
    declared, judging = op.declare(wrong), Judging(mode)

    def check() -> bool:
        case = make_case(declared, op.inputs, {}, seed=0, index=0)
        returned = gradients(case)
        findings = [*check_structure(case, returned)]
        exact = usable(returned, case)
        findings += check_values(case, exact, lambda: rounding(case, exact), judging)[1]
        return not findings

    return check


def ours_all(op: PeerOp, wrong: float = 0.0) -> Check:
    """Every check of one case."""
    declared = op.declare(wrong)
    return lambda: examine(make_case(declared, op.inputs, {}, seed=0, index=0), Judging()).verdict is Verdict.PASS


def torch_gradcheck(op: PeerOp, fast: bool = False, wrong: float = 0.0) -> Check:
    """torch.autograd.gradcheck, slow (every entry) or fast (one direction)."""
    import torch

    function = op.torch if not wrong else _planted_torch(op, wrong)
    inputs = tuple(torch.tensor(x, requires_grad=True) for x in op.inputs)
    return lambda: bool(torch.autograd.gradcheck(function, inputs, fast_mode=fast, raise_exception=False))


def jax_check_grads(op: PeerOp, wrong: float = 0.0) -> Check:
    """jax.test_util.check_grads, reverse mode, first order."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from jax.test_util import check_grads

    function = op.jax if not wrong else _planted_jax(op, wrong)
    return lambda: _no_error(lambda: check_grads(function, op.inputs, order=1, modes=["rev"]))


def autograd_check_grads(op: PeerOp, wrong: float = 0.0) -> Check:
    """autograd.test_util.check_grads, reverse mode, first order, with respect to every argument."""
    from autograd.test_util import check_grads

    function = op.autograd if not wrong else _planted_autograd(op, wrong)

    def one(values: Any) -> Any:
        return function(*values)

    return lambda: _no_error(lambda: check_grads(one, modes=["rev"], order=1)(tuple(op.inputs)))


def scipy_check_grad(op: PeerOp, wrong: float = 0.0) -> Check:
    """scipy.optimize.check_grad: forward differences of a scalar, and a tolerance for the number that it returns."""
    from scipy.optimize import check_grad

    w, sizes = op.cotangent, [x.size for x in op.inputs]
    start = np.concatenate([x.reshape(-1) for x in op.inputs])

    def apart(flat: Any) -> list[Any]:
        pieces = np.split(flat, np.cumsum(sizes)[:-1])
        return [piece.reshape(x.shape) for piece, x in zip(pieces, op.inputs, strict=True)]

    def loss(flat: Any) -> float:
        return float(np.sum(w * op.forward(*apart(flat))))

    def slope(flat: Any) -> Any:
        return np.concatenate([g.reshape(-1) for g in op.gradients(apart(flat), wrong)])

    return lambda: bool(check_grad(loss, slope, start) < 1e-5 * max(1.0, float(np.linalg.norm(slope(start)))))


def numpy_loop(op: PeerOp, wrong: float = 0.0) -> Check:
    """The loop that every course has: central differences, h = 1e-5, one entry after the other, relative error 1e-4."""
    w = op.cotangent

    def check() -> bool:
        inputs = [x.copy() for x in op.inputs]
        good = True
        for x, gradient in zip(inputs, op.gradients(inputs, wrong), strict=True):
            numeric = np.zeros_like(x)
            for at in np.ndindex(x.shape):
                kept = x[at]
                x[at] = kept + 1e-5
                ahead = np.array(op.forward(*inputs))
                x[at] = kept - 1e-5
                behind = np.array(op.forward(*inputs))  # it may be a view of what moves
                x[at] = kept
                numeric[at] = np.sum((ahead - behind) * w) / 2e-5
            scale = np.maximum(1e-8, np.abs(numeric) + np.abs(gradient))
            good &= bool(np.max(np.abs(numeric - gradient) / scale) < 1e-4)
        return good

    return check


TOOLS: dict[str, tuple[Callable[..., Check], str]] = {
    "gradcheck": (ours, "all entries along one direction; some or all alone"),
    "every check": (ours_all, "the same, forward's promises, repetition, linearity"),
    "gradcheck full": (lambda op, wrong=0.0: ours(op, "full", wrong), "every entry"),
    "torch slow": (torch_gradcheck, "every entry of the Jacobian"),
    "torch fast": (lambda op, wrong=0.0: torch_gradcheck(op, True, wrong), "one positive direction"),
    "jax": (jax_check_grads, "one direction"),
    "autograd": (autograd_check_grads, "one direction"),
    "scipy": (scipy_check_grad, "every entry"),
    "loop": (numpy_loop, "every entry"),
}


def _no_error(check: Callable[[], Any]) -> bool:
    try:
        check()
    except AssertionError:
        return False
    return True


def _planted_torch(op: PeerOp, wrong: float) -> Any:
    import torch

    class Planted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            ctx.save_for_backward(*inputs)
            return op.torch(*inputs)

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            arrays = [x.detach().numpy() for x in ctx.saved_tensors]
            return tuple(torch.tensor(g) for g in op.gradients(arrays, wrong, grad.detach().numpy()))

    return Planted.apply


def _planted_jax(op: PeerOp, wrong: float) -> Any:
    import jax
    import jax.numpy as jnp

    planted = jax.custom_vjp(op.jax)

    def backward(inputs: Any, grad: Any) -> Any:
        gradients = list(jax.vjp(op.jax, *inputs)[1](grad))
        first = jnp.ravel(gradients[0])
        gradients[0] = first.at[0].multiply(1 + wrong).reshape(gradients[0].shape)
        return tuple(gradients)

    planted.defvjp(lambda *inputs: (op.jax(*inputs), inputs), backward)
    return planted


def _planted_autograd(op: PeerOp, wrong: float) -> Any:
    from autograd.extend import defvjp, primitive

    function = primitive(op.forward)
    makers = [
        lambda out, *inputs, place=place: lambda grad: op.gradients(inputs, wrong, grad)[place]
        for place in range(len(op.inputs))
    ]
    defvjp(function, *makers)
    return function


def medians_ms(checks: dict[str, Check], repeat: int, budget: float = 4.0) -> dict[str, float]:
    """The median of several runs, fewer where they take long; in turn, so that a busy moment hits all of them.

    Whoever's turn it is runs for a moment before it is timed: the caches are full of another's code.
    """
    times: dict[str, list[float]] = {tool: [] for tool in checks}
    for _ in range(_TURNS):
        for tool, check in checks.items():
            own = times[tool]
            if len(own) >= 3 and sum(own) > budget:
                continue
            start = time.perf_counter()
            while time.perf_counter() - start < _WARM:
                check()
            for _ in range(-(-repeat // _TURNS)):
                start = time.perf_counter()
                check()
                own.append(time.perf_counter() - start)
                if sum(own) > budget:
                    break
    return {tool: 1e3 * statistics.median(own) for tool, own in times.items()}


def resolution(maker: Callable[..., Check], op: PeerOp) -> str:
    """The smallest relative error of one entry that a tool reports, in powers of ten; `-` where none is."""
    caught = "-"
    for exponent in range(15):
        if maker(op, wrong=10.0**-exponent)():
            break
        caught = f"1e-{exponent}"
    return caught


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--only", action="append", choices=[op.name for op in OPS])
    options = parser.parse_args()
    chosen = [op for op in OPS if not options.only or op.name in options.only]
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    times: dict[str, dict[str, float]] = {}
    print("| op | " + " | ".join(f"{tool}, ms" for tool in TOOLS) + " |")
    print("|---|" + "---|" * len(TOOLS))
    for op in chosen:
        checks = {tool: maker(op) for tool, (maker, _) in TOOLS.items()}
        for tool, check in checks.items():
            assert check(), f"{tool} refuses {op.name}"
        times[op.name] = row = medians_ms(checks, options.repeat)
        print(f"| {op.name} | " + " | ".join(f"{ms:.3g}" for ms in row.values()) + " |", flush=True)
    print("\nHow many times faster gradcheck is (geometric mean, least), and what each tool sees:\n")
    print("| tool | default mode | --mode full | asks | one wrong entry of tanh 32x32 seen from |")
    print("|---|---|---|---|---|")
    tanh = next(op for op in OPS if op.name == "tanh 32x32")
    for tool, (maker, asks) in TOOLS.items():
        ratios = [
            _ratios([row[tool] / row[ours_] for row in times.values()]) for ours_ in ("gradcheck", "gradcheck full")
        ]
        print(f"| {tool} | {ratios[0]} | {ratios[1]} | {asks} | {resolution(maker, tanh)} |", flush=True)


def _ratios(ratios: list[float]) -> str:
    return f"{statistics.geometric_mean(ratios):.2g}x ({min(ratios):.2g}x)"


if __name__ == "__main__":
    main()
