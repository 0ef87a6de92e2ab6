"""What names say: which functions belong together, and what the parameters of a backward stand for."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

# In the name of a function, wherever they stand in it.
_FORWARD = {"forward", "fwd", "fprop", "fw", "feedforward", "forwardprop", "forwardpropagate", "forwardpropagation"}
_BACKWARD = {"backward", "backwards", "bwd", "bprop", "bw", "backprop", "backpropagate", "backpropagation"}
_BACKWARD |= {"backwardprop", "backwardpropagate", "backwardpropagation"}
_ONE_WORD = re.compile(r"(?<![a-z])(feed_forward|(forward|back|backward)_prop(agate|agation)?)(?=_|$)")
# At its beginning or end.
_EITHER_END = {
    "back",
    "vjp",
    "pullback",
    "grad",
    "grads",
    "gradient",
    "gradients",
    "deriv",
    "derivative",
    "derivatives",
    "derivate",
}
_EITHER_END |= {"der", "prime", "jac", "jacobian", "d", "fprime"}
_HESSIANS = {"hess", "hessian"}
_HESSPS = {"hessp", "hvp"}
_FUNCTION = ("fn", "func", "function")  # sigmoid_fn, at the end of a name
_VERBS = {"compute", "calc", "calculate", "get", "eval", "evaluate", "of", "first"}
_KINDS = {"activation", "act", "loss", "cost"}  # that forwards may say, where backwards do not: mse_loss and mse_grad
# What a function is called whose gradient is called no more than `jac` or `backward`.
NAMELESS = ("", "fun", "func", "f", "objective", "loss", "cost", "value", "energy", "residual", "residuals")

CACHES = re.compile(
    r"(\w*_)?(cache[sd]?|ctx|context|saved(_\w+)?|memo(ry)?|residuals?|res|stash|tape|intermediates?|stored)",
    re.IGNORECASE,
)
OUTS = re.compile(r"(\w*_)?(out|outs|outputs?|result|ans|y|fx|activations?|activated|a|s|sig|probs?)", re.IGNORECASE)
RATES = re.compile(r"(lr|learning_?rate|learn_rate|eta|alpha|step_?size)", re.IGNORECASE)
_TARGETS = re.compile(
    r"(targets?|labels?|truth|gt|ground_truth|y_?true|mask|idx|indices|index|classes|y_?hot|one_?hot)", re.IGNORECASE
)
_TARGETS_OF_LOSSES = re.compile(r"(y|t|ts|y_?t|y_?gt)", re.IGNORECASE)
_LOSSES = {
    "loss",
    "cost",
    "error",
    "mse",
    "mae",
    "entropy",
    "crossentropy",
    "objective",
    "criterion",
    "nll",
    "ce",
    "bce",
    "cce",
    "rmse",
    "huber",
    "hinge",
}
_COTANGENT = re.compile(
    r"""(
        d_?( out\w* | y\w* | z\w* | [ahosefruvtpqcglx]\d? | ah | hs | values? | loss | logits? | scores? | next\w*
           | \w_next
           | prev\w* | top\w* | up\w* | res\w* | ans | act\w* | l_?d\w+ | pred\w* | next | final\w* | state\w* )
      | d[A-Z]\w* | d_[A-Z]\w*
      | g | g_?[yzohas]\d? | g_?out\w* | go | gs | gys | ct | cts | v | vec | seed
      | grads? | gradients? | grad_?\w+ | gradient_?\w+ | \w+_grads? | \w+_gradients?
      | upstream\w* | delta\w* | cot\w* | adj\w* | \w+_bar | errors? | err | \w*_error | eta | top_diff
    )""",
    re.VERBOSE,
)


def words_of(name: str) -> list[str]:
    """`AffineForward`, `affine_forward`, `affineForward` -> affine, forward."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+", " ", name)
    return spaced.lower().split()


def stem_of(name: str) -> tuple[str, str]:
    """What a name is about, and its role in a pair: forward, backward, hessian, hessp, or none."""
    words = _ONE_WORD.sub(lambda found: found[0].replace("_", ""), "_".join(words_of(name))).split("_")
    while len(words) > 1 and words[-1] in _FUNCTION:
        words.pop()
    for role, markers in (("forward", _FORWARD), ("backward", _BACKWARD)):
        for position, word in enumerate(words):
            if word in markers:
                return "_".join(words[:position] + words[position + 1 :]), role
    if words[-2:-1] and words[-2] in _HESSIANS and words[-1] in ("p", "prod"):
        return "_".join(words[:-2]), "hessp"
    for role, markers in (("hessian", _HESSIANS), ("hessp", _HESSPS), ("backward", _EITHER_END)):
        for position in (-1, 0):
            if words and words[position] in markers:
                return "_".join(words[:-1] if position else words[1:]), role
    return "_".join(words), ""


def essence(stem: str, kinds: bool) -> str:
    """A stem without its verbs, and without what kind of function it is, where that leaves something."""
    words = [w for w in stem.split("_") if w not in _VERBS]
    return "_".join((kinds and [w for w in words if w not in _KINDS]) or words)


def is_orphan(name: str) -> bool:
    """Whether a function without a partner seems to be a gradient by hand; a private one is a part of something."""
    words = words_of(name)
    return (
        not name.startswith("_")
        and stem_of(name)[1] == "backward"
        and not words[0].startswith(("num", "clip", "zero", "check", "approx", "grad"))
    )


# Methods of classes, the likelier names first.
_FORWARDS = (
    _FORWARD | {"forwardpass", "forwardprop", "forwardpropagation", "feedforward"},
    {"call"},
    {"loss", "calcloss", "cost", "activation", "activate", "compute", "calculate", "fn", "f", "function", "evaluate"},
    {"fun", "func", "objective", "value"},
)
_BACKWARDS = (
    _BACKWARD | {"back", "backwardpass", "backpropagate", "backwardprop", "backwardpropagation", "vjp"},
    {"grad", "gradient", "gradients", "derivative", "deriv", "prime", "calcdloss", "df", "dloss", "jac", "jacobian"},
)


def methods_named(names: Sequence[str], backward: bool) -> str | None:
    """The one of a class's methods that computes outputs, or gradients; None where no name says so."""
    for tier in _BACKWARDS if backward else _FORWARDS:
        for name in names:
            if "".join(words_of(name)) in tier:
                return name
    return None


def is_cotangent(name: str) -> bool:
    """Whether a parameter of that name is the upstream gradient: dout, grad_output, gy, delta ..."""
    return _COTANGENT.fullmatch(name) is not None


def is_target(name: str, of_loss: bool) -> bool:
    """Whether a parameter of that name is what outputs are compared with, and not differentiated."""
    return bool(_TARGETS.fullmatch(name) or (of_loss and _TARGETS_OF_LOSSES.fullmatch(name)))


def is_loss(name: str) -> bool:
    """Whether something of that name compares outputs with targets."""
    return bool(_LOSSES & set(words_of(name)))


def plain(name: str) -> str:
    """A name without case and underscores, for comparisons."""
    return name.replace("_", "").lower()


def gradient_names(name: str) -> list[str]:
    """How the gradient with respect to `name` may be called, in plain letters, the likeliest first."""
    n = plain(name)
    first = [f"d{n}", f"grad{n}", f"{n}grad", f"gradient{n}", f"{n}gradient", f"grads{n}", f"{n}grads"]
    return [*first, f"dl{n}", f"dld{n}", f"dj{n}", f"djd{n}", f"dloss{n}", f"g{n}", f"delta{n}"]


def returned_names(function: Callable[..., Any]) -> list[str]:
    """The names in `return out, mask`, the last such statement; "" for what has none; nothing where there is none.

    What functions within it return is theirs.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError, IndexError):
        return []
    found: list[ast.Tuple] = []
    todo: list[ast.AST] = list(getattr(tree.body[0], "body", ())) if tree.body else []
    while todo:
        node = todo.pop(0)
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            found.append(node.value)
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            todo += ast.iter_child_nodes(node)
    return [_name_in(part) for part in max(found, key=lambda n: n.lineno).elts] if found else []


def _name_in(node: ast.expr) -> str:
    if isinstance(node, ast.Lambda):
        return "<lambda>"
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def listed(names: Sequence[str]) -> str:
    """`x, w, b`, for messages."""
    return ", ".join(names)
