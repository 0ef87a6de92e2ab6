"""`NAME=VALUE` -> an input. Numbers are values (`x=2`, `x=2,3`); a shape stands behind a word (`x=normal:2,3`)."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcheck_cli.errors import UsageError, suggestions
from gradcheck_cli.signature import Shape
from gradcheck_cli.stream import Stream

Array = NDArray[np.float64]

MOST = 1_000_000  # numbers in a graph, all gates together
_LONGEST = 10_000  # characters of a value
_DRAWN = re.compile(r"(?P<word>[A-Za-z_]+)(:(?P<shape>[0-9]{1,18}(,[0-9]{1,18})*,?))?", re.ASCII)
_HOW = "write x=2, x=2,3 or x=[[1,2],[3,4]] for values, x=normal:3,4 for a shape"


def _normal(stream: Stream, shape: Shape) -> Array:
    """Box and Muller's, in short decimals: a graph is read by people."""
    u, v = ((stream.integers(2**53, shape) + 1) / 2.0**53 for _ in range(2))
    return np.asarray(np.round(np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v), 2), np.float64)


def _uniform(stream: Stream, shape: Shape) -> Array:
    return np.asarray(stream.integers(2000, shape) / 1000 - 1, np.float64)


def _counted(_: Stream, shape: Shape) -> Array:
    return np.arange(1.0, math.prod(shape) + 1).reshape(shape)


# What may stand before a shape.
WORDS: dict[str, Callable[[Stream, Shape], Array]] = {
    "normal": _normal,
    "uniform": _uniform,
    "ones": lambda _, shape: np.ones(shape),
    "zeros": lambda _, shape: np.zeros(shape),
    "arange": _counted,
}


def read_inputs(settings: Sequence[str], seed: int = 0) -> dict[str, Array]:
    """Float64 arrays by name; raises UsageError, before anything large is allocated, for what is none."""
    inputs: dict[str, Array] = {}
    for setting in settings:
        name, separator, text = setting.partition("=")
        name = name.strip()
        if not separator or not name.isidentifier():
            raise UsageError(f"-i {_short(setting)}: it is not NAME=VALUE; {_HOW}")
        if name in inputs:
            raise UsageError(f"-i {name} is given twice")
        room = MOST - sum(x.size for x in inputs.values())
        inputs[name] = _read(name, text.strip(), Stream("graph", seed, name), room)
    return inputs


def _read(name: str, text: str, stream: Stream, room: int) -> Array:
    match = _DRAWN.fullmatch(text)
    if match is None or (match["word"] not in WORDS and match["shape"] is None):
        return _values(name, text)
    if match["word"] not in WORDS:
        raise UsageError(f"-i {name}={text}: there is {', '.join(WORDS)}{suggestions(match['word'], WORDS)}")
    shape = tuple(int(side) for side in (match["shape"] or "").split(",") if side)
    if math.prod(shape) > room or len(shape) > 32:
        raise UsageError(f"-i {name}={_short(text)} is too large: a graph has at most {MOST:,} numbers")
    return WORDS[match["word"]](stream, shape)


def _values(name: str, text: str) -> Array:
    problem = UsageError(f"-i {name}={_short(text)}: these are no numbers; {_HOW}")
    if len(text) > _LONGEST:
        raise UsageError(f"-i {name} is longer than {_LONGEST:,} characters; write a shape: {name}=normal:100")
    try:
        values: Any = np.array(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise problem from None
    if values.dtype.kind not in "iuf" or not values.size or not np.all(np.isfinite(values)):
        raise problem
    return np.asarray(values, np.float64)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
