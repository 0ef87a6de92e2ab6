# ruff: noqa: E501 (a table reads best with a row on a line)
"""What torch's own gradcheck and gradcheck say of 20 torch Functions: `python -m benchmarks.torch_functions`.

Prints the table in docs/your-code.md. Inputs are torch.randn in float64, with torch's defaults; ours are `--shape`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from gradcheck_cli import check

Function = torch.autograd.Function


def _function(name: str, forward: Callable[..., Any], backward: Callable[..., Any]) -> Any:
    """A Function that saves its inputs, of two plain functions: forward(*xs), backward(grad, *xs)."""

    def saved(ctx: Any, *xs: Any) -> Any:
        ctx.save_for_backward(*xs)
        return forward(*xs)

    def returned(ctx: Any, *grads: Any) -> Any:
        return backward(*grads, *ctx.saved_tensors)

    return type(name, (Function,), {"forward": staticmethod(saved), "backward": staticmethod(returned)})


@dataclass(frozen=True)
class Subject:
    """A Function, the shapes it gets, and what is wrong with it ("" for nothing)."""

    wrong: str
    function: Any
    shapes: tuple[tuple[int, ...], ...]


def _reversed(grad: Any, x: Any) -> Any:
    """Reads the cotangent's memory instead of its entries."""
    flat = grad if grad.is_contiguous() else torch.as_strided(grad, grad.shape, torch.empty(grad.shape).stride())
    return 2 * flat * x


def _in_place(grad: Any, x: Any) -> Any:
    return grad.mul_(2 * x)


def _one_off(grad: Any, x: Any) -> Any:
    gradient = grad * (1 - torch.tanh(x) ** 2)
    gradient[0, 0] *= 1.001
    return gradient


def _one_dropped(grad: Any, x: Any) -> Any:
    gradient = 2 * grad * x
    gradient.view(-1)[-1] = 0
    return gradient


def _softmax(grad: Any, x: Any) -> Any:
    y = x.softmax(-1)
    return y * (grad - (grad * y).sum(-1, keepdim=True))


def _norm(grad: Any, x: Any) -> Any:
    return grad[..., None] * x / x.norm(dim=-1, keepdim=True).clamp_min(1e-300)  # any subgradient at 0


def _overwritten(first: Any, second: Any, x: Any) -> Any:
    return torch.where(second != 0, second * x.exp(), first * x.cos())


X, Y, W, B = (4, 3), (4, 3), (3, 2), (3,)
SUBJECTS = [
    Subject("", _function("Square", lambda x: x * x, lambda g, x: 2 * g * x), (X,)),
    Subject("", _function("Matmul", lambda x, w: x @ w, lambda g, x, w: (g @ w.T, x.T @ g)), (X, W)),
    Subject("", _function("AddBias", lambda x, b: x + b, lambda g, x, b: (g, g.sum(0))), (X, B)),
    Subject("", _function("Softmax", lambda x: x.softmax(-1), _softmax), (X,)),
    Subject("", _function("Relu", lambda x: x.clamp(min=0), lambda g, x: g * (x > 0)), (X,)),
    Subject("", _function("Norm", lambda x: x.norm(dim=-1), _norm), (X,)),
    Subject("", _function("SinExp", lambda x: (x.sin(), x.exp()), lambda f, g, x: f * x.cos() + g * x.exp()), (X,)),
    Subject("wrong sign", _function("Cos", torch.cos, lambda g, x: g * x.sin()), (X,)),
    Subject("a factor of 2", _function("Halved", lambda x: x * x, lambda g, x: g * x), (X,)),
    Subject("missing unbroadcast", _function("HastyBias", lambda x, b: x + b, lambda g, x, b: (g, g)), (X, B)),
    Subject("swapped operands", _function("Swap", lambda x, y: x * y.sin(), lambda g, x, y: (g * x * y.cos(), g * y.sin())), (X, Y)),
    Subject("only the diagonal of a softmax", _function("Diagonal", lambda x: x.softmax(-1), lambda g, x: g * x.softmax(-1) * (1 - x.softmax(-1))), (X,)),
    Subject("not linear in the cotangent", _function("Squared", lambda x: x * x, lambda g, x: 2 * g * g.abs() * x), (X,)),
    Subject("upstream gradient ignored", _function("Ignores", lambda x: x * x, lambda g, x: 2 * x + 0 * g), (X,)),
    Subject("changes the cotangent in place", _function("InPlace", lambda x: x * x, _in_place), (X,)),
    Subject("reads memory, wrong if strided", _function("Memory", lambda x: x * x, _reversed), (X,)),
    Subject("gradient in float32", _function("Single", lambda x: x * x, lambda g, x: (2 * g * x).float()), (X,)),
    Subject("one entry off by 0.1 %", _function("OneOff", torch.tanh, _one_off), (X,)),
    Subject("one of 1,024 entries is dropped", _function("Dropped", lambda x: x * x, _one_dropped), ((32, 32),)),
    Subject("one output's gradient overwrites the other's", _function("Overwrites", lambda x: (x.sin(), x.exp()), _overwritten), (X,)),
]  # fmt: skip


def by_torch(subject: Subject, fast: bool) -> str:
    """What torch.autograd.gradcheck says: "pass", or what it complains of."""
    torch.manual_seed(0)
    inputs = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in subject.shapes]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.autograd.gradcheck(subject.function.apply, inputs, fast_mode=fast)
    except Exception as error:
        return type(error).__name__.replace("GradcheckError", "fail").replace("RuntimeError", "fail")
    return "pass"


def by_us(subject: Subject) -> str:
    """What `gradcheck run` says: "pass", or the first code and cause."""
    report = check(subject.function, shapes=subject.shapes)
    if report.passed:
        return "pass"
    finding = report.result.stories[0].finding
    return f"{finding.code} {finding.cause}"


def table() -> str:
    """The Markdown table."""
    lines = ["| Function | what is wrong | torch | torch, fast | gradcheck |", "|---|---|---|---|---|"]
    right = [0, 0, 0]
    for subject in SUBJECTS:
        said = by_torch(subject, fast=False), by_torch(subject, fast=True), by_us(subject)
        right = [n + ((word == "pass") == (not subject.wrong)) for n, word in zip(right, said, strict=True)]
        cells = [subject.function.__name__, subject.wrong or "-", *said]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append(f"| **{len(SUBJECTS)}** | **told right** | **{right[0]}** | **{right[1]}** | **{right[2]}** |")
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)  # more make small tensors slower, very much so on a busy machine
    print(table())
