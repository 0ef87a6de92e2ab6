"""The ops of benchmarks.peers, in everybody's words: NumPy, torch, jax, autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradcheck_cli import Op, unbroadcast

F = Callable[..., Any]


@dataclass(frozen=True)
class PeerOp:
    """One function at one point; `backward(grad, out, *inputs)` is by hand."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    signature: str
    forward: F
    backward: F
    torch: F
    jax: F
    autograd: F

    @property
    def inputs(self) -> tuple[Any, ...]:
        """Numbers between -2 and 2, clear of 0 for relu's sake."""
        random = np.random.default_rng(7)
        return tuple(random.uniform(0.05, 2, s) * random.choice([-1, 1], s) for s in self.shapes)

    @property
    def cotangent(self) -> Any:
        """A weight for every output."""
        return np.random.default_rng(8).normal(size=np.shape(self.forward(*self.inputs)))

    def gradients(self, inputs: Sequence[Any], wrong: float = 0.0, grad: Any = None) -> list[Any]:
        """What backward returns, the first entry of the first gradient off by a factor 1 + wrong."""
        w = self.cotangent if grad is None else grad
        found = self.backward(w, self.forward(*inputs), *inputs)
        gradients = [np.array(g) for g in (found if isinstance(found, tuple) else (found,))]
        gradients[0].reshape(-1)[0] *= 1 + wrong
        return gradients

    def declare(self, wrong: float = 0.0) -> Op:
        """The op as gradcheck sees it."""
        if not wrong:
            return Op(self.forward, self.backward, self.signature, name=self.name.split()[0])

        def planted(grad: Any, out: Any, *inputs: Any) -> Any:
            found = self.gradients(inputs, wrong, grad)
            return tuple(found) if len(found) > 1 else found[0]

        return Op(self.forward, planted, self.signature, name=self.name.split()[0])


def _torch(name: str, **keywords: Any) -> F:
    def function(*inputs: Any) -> Any:
        import torch

        return getattr(torch, name)(*inputs, **keywords)

    return function


def _jax(name: str, **keywords: Any) -> F:
    def function(*inputs: Any) -> Any:
        import jax.numpy as jnp

        return getattr(jnp, name)(*inputs, **keywords)

    return function


def _autograd(name: str, **keywords: Any) -> F:
    def function(*inputs: Any) -> Any:
        import autograd.numpy as anp

        return getattr(anp, name)(*inputs, **keywords)

    return function


def _elementwise(name: str, backward: F, shape: tuple[int, ...] = (32, 32), torch_name: str = "") -> PeerOp:
    label = f"{name} {'x'.join(map(str, shape))}"
    return PeerOp(
        label, (shape,), "()->()", getattr(np, name), backward, _torch(torch_name or name), _jax(name), _autograd(name)
    )


def _matmul_backward(grad: Any, out: Any, a: Any, b: Any) -> Any:
    return unbroadcast(grad @ b.swapaxes(-1, -2), a), unbroadcast(a.swapaxes(-1, -2) @ grad, b)


def _matmul(label: str, a: tuple[int, ...], b: tuple[int, ...]) -> PeerOp:
    return PeerOp(
        f"matmul {label}",
        (a, b),
        "(n,k),(k,m)->(n,m)",
        np.matmul,
        _matmul_backward,
        _torch("matmul"),
        _jax("matmul"),
        _autograd("matmul"),
    )


def _sigmoid(np_: Any) -> F:
    return lambda x: 1 / (1 + np_.exp(-x))


def _relu(np_: Any) -> F:
    return lambda x: np_.maximum(x, 0.0)


def _softmax(np_: Any) -> F:
    def softmax(x: Any) -> Any:
        e = np_.exp(x - np_.max(x, axis=-1, keepdims=True))
        return e / np_.sum(e, axis=-1, keepdims=True)

    return softmax


def _softmax_backward(grad: Any, out: Any, x: Any) -> Any:
    return out * (grad - np.sum(grad * out, axis=-1, keepdims=True))


def _layernorm(np_: Any) -> F:
    def layernorm(x: Any) -> Any:
        centred = x - np_.mean(x, axis=-1, keepdims=True)
        return centred / np_.sqrt(np_.mean(centred**2, axis=-1, keepdims=True) + 1e-5)

    return layernorm


def _layernorm_backward(grad: Any, out: Any, x: Any) -> Any:
    deviation = np.sqrt(np.var(x, axis=-1, keepdims=True) + 1e-5)
    inner = grad - np.mean(grad, axis=-1, keepdims=True) - out * np.mean(grad * out, axis=-1, keepdims=True)
    return inner / deviation


def _conv(x: Any, w: Any) -> Any:
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
    return np.tensordot(windows, w, axes=([1, 4, 5], [1, 2, 3])).transpose(0, 3, 1, 2)


def _conv_backward(grad: Any, out: Any, x: Any, w: Any) -> Any:
    height, width = w.shape[2:]
    padded = np.pad(grad, ((0, 0), (0, 0), (height - 1, height - 1), (width - 1, width - 1)))
    windows = np.lib.stride_tricks.sliding_window_view(x, grad.shape[2:], axis=(2, 3))
    grad_w = np.tensordot(grad, windows, axes=([0, 2, 3], [0, 4, 5]))
    return _conv(padded, w[:, :, ::-1, ::-1].swapaxes(0, 1)), grad_w


def _jax_conv(x: Any, w: Any) -> Any:
    from jax import lax

    return lax.conv_general_dilated(x, w, (1, 1), "VALID")


def _autograd_conv(x: Any, w: Any) -> Any:
    from autograd.scipy.signal import convolve

    return convolve(x, w[:, :, ::-1, ::-1], axes=([2, 3], [2, 3]), dot_axes=([1], [1]), mode="valid")


def _torch_conv(x: Any, w: Any) -> Any:
    from torch.nn.functional import conv2d

    return conv2d(x, w)


def _of(module: str, make: Callable[[Any], F]) -> F:
    def function(*inputs: Any) -> Any:
        import importlib

        return make(importlib.import_module(module))(*inputs)

    return function


def _composed(
    name: str, shape: tuple[int, ...], signature: str, make: Callable[[Any], F], backward: F, torch: F
) -> PeerOp:
    label = f"{name} {'x'.join(map(str, shape))}"
    return PeerOp(
        label, (shape,), signature, make(np), backward, torch, _of("jax.numpy", make), _of("autograd.numpy", make)
    )


def _layer_norm_of_torch(x: Any) -> Any:
    import torch

    return torch.nn.functional.layer_norm(x, x.shape[-1:], eps=1e-5)


OPS = [
    PeerOp(
        "add (4,1,5)+(3,1)",
        ((4, 1, 5), (3, 1)),
        "(),()->()",
        np.add,
        lambda grad, out, a, b: (unbroadcast(grad, a), unbroadcast(grad, b)),
        _torch("add"),
        _jax("add"),
        _autograd("add"),
    ),
    _elementwise("exp", lambda grad, out, x: grad * out),
    _elementwise("tanh", lambda grad, out, x: grad * (1 - out**2)),
    _composed("sigmoid", (32, 32), "()->()", _sigmoid, lambda grad, out, x: grad * out * (1 - out), _torch("sigmoid")),
    _composed("relu", (32, 32), "()->()", _relu, lambda grad, out, x: grad * (x > 0), _torch("relu")),
    PeerOp(
        "sum 32x32",
        ((32, 32),),
        "(n)->()",
        lambda x: np.sum(x, axis=-1),
        lambda grad, out, x: np.broadcast_to(grad[..., None], x.shape),
        _torch("sum", dim=-1),
        _jax("sum", axis=-1),
        _autograd("sum", axis=-1),
    ),
    PeerOp(
        "reshape 32x32",
        ((32, 32),),
        "(...)",
        lambda x: np.reshape(x, (-1, 8)),
        lambda grad, out, x: grad.reshape(x.shape),
        _torch("reshape", shape=(-1, 8)),
        lambda x: x.reshape(-1, 8),
        lambda x: x.reshape((-1, 8)),
    ),
    PeerOp(
        "transpose 32x32",
        ((32, 32),),
        "(...)",
        np.transpose,
        lambda grad, out, x: grad.transpose(),
        lambda x: x.T,
        lambda x: x.T,
        lambda x: x.T,
    ),
    _composed("softmax", (8, 16), "(n)->(n)", _softmax, _softmax_backward, _torch("softmax", dim=-1)),
    _composed("layernorm", (8, 16), "(n)->(n)", _layernorm, _layernorm_backward, _layer_norm_of_torch),
    _matmul("(2,3,4,5)@(2,3,5,6)", (2, 3, 4, 5), (2, 3, 5, 6)),
    _matmul("(2,3,4,5)@(3,5,6)", (2, 3, 4, 5), (3, 5, 6)),
    _matmul("16x16", (16, 16), (16, 16)),
    _matmul("32x32", (32, 32), (32, 32)),
    _matmul("64x64", (64, 64), (64, 64)),
    PeerOp(
        "conv2d (2,3,8,8)*(4,3,3,3)",
        ((2, 3, 8, 8), (4, 3, 3, 3)),
        "(b,c,h,w),(o,c,3,3)",
        _conv,
        _conv_backward,
        _torch_conv,
        _jax_conv,
        _autograd_conv,
    ),
]
