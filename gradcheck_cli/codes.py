"""The table of codes and causes: what a finding means, a tiny op that has it, and what to write instead.

Everything that speaks of codes (the JSON report, `gradcheck explain`, docs/findings.md) reads it from here. It is only
text, and imports no numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradcheck_cli.errors import UsageError, suggestions

MARK = "  # wrong: "  # stands behind the one line of an example that is to blame


@dataclass(frozen=True)
class Code:
    """What a code means, with an op file that has the bug and what mends it."""

    meaning: str  # one sentence, without capital and full stop
    detail: str  # what is asked, why it matters, what evidence a finding gives
    example: str  # a complete op file; one line is marked
    fix: str  # what to do instead, in words
    instead: str  # what belongs in the place of the marked line

    @property
    def mended(self) -> str:
        """The example with the marked line replaced."""
        lines = self.example.splitlines(keepends=True)
        marked = next(i for i, line in enumerate(lines) if MARK in line)
        margin = lines[marked][: len(lines[marked]) - len(lines[marked].lstrip())]
        lines[marked] = "".join(f"{margin}{line}\n" for line in self.instead.splitlines())
        return "".join(lines)


def lookup(name: str) -> str:
    """The code or cause as the tables spell it, in whatever case it was typed; raises UsageError."""
    spelled = name.upper() if name.upper() in CODES else name.lower()
    if spelled in CODES or spelled in CAUSES:
        return spelled
    hint = suggestions(name.upper(), CODES) or suggestions(name.lower(), CAUSES) or "; gradcheck explain lists them all"
    raise UsageError(f"no code or cause is named {name!r}{hint}")


# GC1xx structure, 2xx value, 3xx behaviour, 4xx forward, 5xx numerics, 6xx order 2 and forward mode, 7xx fixtures.
CODES: dict[str, Code] = {
    "GC101": Code(
        meaning="a gradient has another shape than the data",
        detail=(
            "Every gradient must have the shape of its input: it says what each entry of it is worth. Where an input "
            "was broadcast, each of its entries was used several times, and its gradient is the sum over those uses. "
            "An optimiser that subtracts a gradient of another shape fails, or broadcasts and grows the parameter. "
            "The finding gives both shapes, and the axes to sum over where that is the cause."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op, unbroadcast


def multiply_backward(grad, out, a, b):
    da = unbroadcast(grad * b, a)
    db = grad * a  # wrong: b may have been broadcast
    return da, db


OPS = [Op(np.multiply, multiply_backward, "(),()->()")]
""",
        fix="sum the gradient over the axes along which its input was broadcast; `unbroadcast` finds them",
        instead="db = unbroadcast(grad * a, b)",
    ),
    "GC102": Code(
        meaning="backward returns the wrong number of gradients",
        detail=(
            "Backward returns one gradient for each differentiable input, in order: a tuple, or a bare array where "
            "there is only one. A gradient too few leaves an input untrained; one too many gets assigned to the "
            "wrong input. The finding gives both numbers and the inputs that are meant."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def matmul_backward(grad, out, a, b):
    return grad @ b.T  # wrong: b has a gradient too


OPS = [Op(np.matmul, matmul_backward, "(n,k),(k,m)->(n,m)", loops=False)]
""",
        fix="return a tuple with one gradient per input; integer operands have none: give them a domain of integers",
        instead="return grad @ b.T, a.T @ grad",
    ),
    "GC103": Code(
        meaning="a gradient is missing (None)",
        detail=(
            "Backward returned None where an array is due; most often a return statement was forgotten. None is not "
            "the same as zero: whoever adds up gradients cannot add it. The finding names the inputs that go "
            "without."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def square_backward(grad, out, x):
    dx = 2 * grad * x  # wrong: and where is the return?


OPS = [Op(np.square, square_backward, "()->()")]
""",
        fix="return the gradient; return zeros of the input's shape where the output does not depend on it",
        instead="return 2 * grad * x",
    ),
    "GC104": Code(
        meaning="a gradient has another dtype than the data",
        detail=(
            "A gradient has the dtype of its input. A float64 gradient of float32 data doubles memory and slows down "
            "everything that it meets; a float16 one loses digits. A constant, a mask or a call with a dtype of its "
            "own is the usual cause. The finding gives both dtypes."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def relu(x):
    return np.maximum(x, 0)


def relu_backward(grad, out, x):
    mask = (x > 0).astype(np.float64)  # wrong: x may be float32
    return grad * mask


OPS = [Op(relu, relu_backward, "()->()", dtypes=("float32", "float64"))]
""",
        fix="make constants and masks of the input's dtype",
        instead="mask = (x > 0).astype(x.dtype)",
    ),
    "GC105": Code(
        meaning="a gradient is no array of numbers",
        detail=(
            "A gradient must be something that NumPy can make an array of numbers of. A dict, a string or a ragged "
            "list is not, whatever it holds. The finding names the type that came back."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def square_backward(grad, out, x):
    return {"x": 2 * grad * x}  # wrong: a dict is no gradient


OPS = [Op(np.square, square_backward, "()->()")]
""",
        fix="return the array itself, or a tuple of arrays in the order of the inputs",
        instead="return 2 * grad * x",
    ),
    "GC106": Code(
        meaning="backward raises",
        detail=(
            "Backward must work wherever forward does: for every rank, every size including 1 and 0, every param. "
            "The finding gives the exception and the line that raised it; the case tells with which shapes."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def total(x):
    return x.sum(-1)


def total_backward(grad, out, x):
    spread = grad[:, None]  # wrong: grad is 0-d where x is a vector
    return spread * np.ones_like(x)


OPS = [Op(total, total_backward, "(n)->()")]
""",
        fix="write for any number of dimensions: count axes from the end, and use `...` for those before",
        instead="spread = grad[..., None]",
    ),
    "GC201": Code(
        meaning="a gradient differs from the numeric derivative by more than its error bar",
        detail=(
            "Forward is differentiated numerically at this very point, with a bar for all that can be wrong about "
            "the result; backward's answer lies outside of it, and did so again with other steps. So it is no matter "
            "of tolerance: one of forward and backward is not what the other says it is. The finding gives the worst "
            "entry, both numbers, the bar, and how many of the entries that were looked at differ."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def tanh_backward(grad, out, x):
    return grad * (1 - x**2)  # wrong: 1 - tanh(x)**2


OPS = [Op(np.tanh, tanh_backward, "()->()")]
""",
        fix="derive the formula again for the entry that is named; its ratio to the numeric derivative often tells",
        instead="return grad * (1 - out**2)",
    ),
    "GC202": Code(
        meaning="a gradient is not finite where the slope is",
        detail=(
            "Backward returned NaN or infinity at a point where forward has an ordinary slope. One such entry turns "
            "all the parameters of a model into NaN within a step. It comes from 0/0, log(0), inf/inf or inf - inf "
            "on the way. The finding gives the entry and the finite slope that was measured there."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def softplus(x):
    return np.logaddexp(0, x)


def softplus_backward(grad, out, x):
    return grad * np.exp(x) / (1 + np.exp(x))  # wrong: inf/inf


OPS = [Op(softplus, softplus_backward, "()->()", samples=[1000.0])]
""",
        fix="rewrite the formula so that what overflows does so harmlessly, or treat the point in a branch of its own",
        instead="return grad / (1 + np.exp(-x))",
    ),
    "GC301": Code(
        meaning="backward changes its inputs or cotangents",
        detail=(
            "What backward is given belongs to the caller: the same cotangent may go to another op, the same input "
            "to another backward. Working in place corrupts those, far from here. The finding names what was "
            "changed; it was put back, so that the other checks see the op as if it had worked on a copy."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def square_backward(grad, out, x):
    grad *= 2 * x  # wrong: grad belongs to the caller
    return grad


OPS = [Op(np.square, square_backward, "()->()")]
""",
        fix="make a new array instead of working in place",
        instead="grad = 2 * x * grad",
    ),
    "GC302": Code(
        meaning="backward is not linear in its cotangent",
        detail=(
            "A backward computes J'g, which is linear in g: twice the cotangent gives twice the gradient, and the "
            "gradient of a sum is the sum of the gradients, also over the outputs of an op that has several. "
            "`g*g*c`, `|g|*c` and clipping inside of backward are not. They agree with the truth for some g, such as "
            "the 1 that tests like to use, and not for those that a network sends."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def sin_backward(grad, out, x):
    return np.abs(grad) * np.cos(x)  # wrong: if grad < 0


OPS = [Op(np.sin, sin_backward, "()->()")]
""",
        fix="multiply by the cotangent, once; clip gradients in the optimiser, not in backward",
        instead="return grad * np.cos(x)",
    ),
    "GC303": Code(
        meaning="backward ignores its cotangent",
        detail=(
            "Backward returns the same whatever cotangent it gets: it is the plain derivative, and the chain rule's "
            "factor is missing. That is right only where the op is the last one and its cotangent is 1."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def sin_backward(grad, out, x):
    return np.cos(x)  # wrong: grad is not in it


OPS = [Op(np.sin, sin_backward, "()->()")]
""",
        fix="multiply the derivative by the cotangent",
        instead="return grad * np.cos(x)",
    ),
    "GC304": Code(
        meaning="backward gives another answer for another memory layout",
        detail=(
            "The same values must give the same gradient, however they lie in memory: Fortran-ordered, strided, "
            "backwards, broadcast with a stride of zero, or read-only. A transposed or sliced array is enough to "
            "meet one of these. `ravel` and `reshape` that copy where a view was hoped for, `order='K'` and "
            "`as_strided` are the usual causes. The finding names the layout."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def square_backward(grad, out, x):
    dx = np.zeros_like(x)  # of x's memory order too
    dx.ravel()[:] = 2 * grad.ravel() * x.ravel()  # wrong: may be a copy
    return dx


OPS = [Op(np.square, square_backward, "()->()")]
""",
        fix="assign through `dx[...]`, or reshape a result instead of writing into a reshaped array",
        instead="dx[...] = 2 * grad * x",
    ),
    "GC305": Code(
        meaning="backward does not repeat itself",
        detail=(
            "Called again with the same arrays, backward gave another answer: it keeps state between calls, such as "
            "a buffer that it adds to, or it draws random numbers. The first step of a training run is right then, "
            "and the others are not."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op

total = {}


def square_backward(grad, out, x):
    dx = total.get(x.shape, 0) + 2 * grad * x  # wrong: state between calls
    total[x.shape] = dx
    return dx


OPS = [Op(np.square, square_backward, "()->()")]
""",
        fix="compute the gradient from the arguments alone; adding gradients up is the caller's part",
        instead="dx = 2 * grad * x",
    ),
    "GC401": Code(
        meaning="forward raises",
        detail=(
            "Forward refused inputs that the declaration allows, so there is nothing to differentiate. Mostly the "
            "declaration is too generous: a domain, a signature or a param that forward does not support. The "
            "finding gives the exception and its line, or the choice of a param that no shape accepts."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def logdet(a):
    root = np.linalg.cholesky(a)
    return 2 * np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(-1)


def logdet_backward(grad, out, a):
    return grad[..., None, None] * np.linalg.inv(a)


OPS = [Op(logdet, logdet_backward, "(n,n)->()")]  # wrong: any matrix?
""",
        fix="declare what forward accepts: `domain=`, the signature, `params=`",
        instead='from gradcheck_cli import SPD\n\nOPS = [Op(logdet, logdet_backward, "(n,n)->()", domain=SPD)]',
    ),
    "GC402": Code(
        meaning="forward is not finite",
        detail=(
            "Forward returned NaN or infinity for inputs that the declaration allows; there is no slope there. "
            "Either the domain is too wide, or forward overflows where it should not. The finding gives the number "
            "of such entries."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def log_backward(grad, out, x):
    return grad / x


OPS = [Op(np.log, log_backward, "()->()")]  # wrong: log(-1) is NaN
""",
        fix="narrow the domain to where forward is finite, or mend forward",
        instead='from gradcheck_cli import POSITIVE\n\nOPS = [Op(np.log, log_backward, "()->()", domain=POSITIVE)]',
    ),
    "GC403": Code(
        meaning="forward contradicts its signature",
        detail=(
            "The outputs have other shapes than the signature promises. Which entries of an output depend on which "
            "of an input is read from the signature, and a wrong one would have the wrong things compared. The "
            "finding gives the shapes that were promised and those that came."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def cumsum_backward(grad, out, x):
    return np.cumsum(grad[::-1])[::-1]


OPS = [Op(np.cumsum, cumsum_backward, "(n)->()")]  # wrong: n sums
""",
        fix="correct the signature; leave out the arrow where the output's shape depends on params",
        instead='OPS = [Op(np.cumsum, cumsum_backward, "(n)->(n)")]',
    ),
    "GC404": Code(
        meaning="forward changes the dtype",
        detail=(
            "Forward answers in another precision than it was asked in, which is a warning; or it returns integers, "
            "booleans or objects, which have no derivative, and that is a failure. A NumPy scalar is float64 and "
            "turns float32 arrays into float64, which a Python number does not. The finding gives both dtypes."
        ),
        example="""\
import math

import numpy as np
from gradcheck_cli import Op


def scale(x):
    return x * np.sqrt(2)  # wrong: np.sqrt(2) is a float64


def scale_backward(grad, out, x):
    return (grad * math.sqrt(2)).astype(x.dtype)


OPS = [Op(scale, scale_backward, "()->()", dtypes=("float32", "float64"))]
""",
        fix="use Python numbers for constants, or arrays of the input's dtype",
        instead="return x * math.sqrt(2)",
    ),
    "GC405": Code(
        meaning="forward does not repeat itself",
        detail=(
            "Called again with the same inputs, forward gave another answer, so it is no function and has no "
            "derivative. Fresh random numbers and state kept between calls are the usual causes."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def mask_of(x):
    rng = np.random.default_rng()  # wrong: another mask at each call
    return rng.random(x.shape) < 0.5


def dropout(x):
    return x * mask_of(x)


def dropout_backward(grad, out, x):
    return grad * mask_of(x)


OPS = [Op(dropout, dropout_backward, "(...)")]
""",
        fix="take randomness from an input or from a seeded param; remove state",
        instead="rng = np.random.default_rng(0)",
    ),
    "GC406": Code(
        meaning="forward changes its inputs",
        detail=(
            "Forward works in place on what it was given, so that backward, and everybody else who holds the array, "
            "sees other values than the caller meant. The finding names the inputs; they were put back before "
            "backward was called."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def center(x):
    x -= x.mean(-1, keepdims=True)  # wrong: x belongs to the caller
    return x


def center_backward(grad, out, x):
    return grad - grad.mean(-1, keepdims=True)


OPS = [Op(center, center_backward, "(n)->(n)")]
""",
        fix="make a new array instead of working in place",
        instead="x = x - x.mean(-1, keepdims=True)",
    ),
    "GC407": Code(
        meaning="forward gives another answer for another memory layout",
        detail=(
            "The same values must give the same output, however they lie in memory: Fortran-ordered, strided, "
            "backwards, broadcast with a stride of zero, or read-only. Else forward is a function of something that "
            "backward cannot know. `order='K'` or `order='A'`, `as_strided` and raw buffers are the usual causes. "
            "The finding names the layout."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def ramp(x):
    flat = x.ravel(order="K")  # wrong: as x lies in memory
    return np.dot(np.arange(x.size, dtype=x.dtype), flat)


def ramp_backward(grad, out, x):
    return grad * np.arange(x.size, dtype=x.dtype).reshape(x.shape)


OPS = [Op(ramp, ramp_backward, "(n,m)->()", loops=False)]
""",
        fix="flatten in the order of the indices, which is the default",
        instead="flat = x.ravel()",
    ),
    "GC501": Code(
        meaning="the slope could not be judged at this point",
        detail=(
            "No derivative could be measured at this point, so nothing is said about the gradient: forward jumps "
            "there, moves in steps, is too noisy, or is not finite close by; the cause tells which. Such a case is "
            "drawn again with other values. Where a gradient could be judged in no case at all, the op is "
            "inconclusive, which is no pass."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def half_tanh(x):
    y = np.tanh(x).astype(np.float16)  # wrong: it moves in steps
    return y.astype(x.dtype)


def half_tanh_backward(grad, out, x):
    return grad * (1 - np.tanh(x) ** 2)


OPS = [Op(half_tanh, half_tanh_backward, "()->()")]
""",
        fix=(
            "check the function whose slope backward means (here the one without rounding), or keep the domain away "
            "from a jump: `REAL.avoiding(0)`"
        ),
        instead="y = np.tanh(x)",
    ),
    "GC502": Code(
        meaning="the error bar is too wide to mean anything",
        detail=(
            "The gradient agrees with the numeric derivative, but so would a wrong one: an error of the size that is "
            "given would not have been seen. Digits are lost in forward (too_coarse) or in backward itself "
            "(unsteady_backward), which is a fault in its own right. `--min-resolution` says how fine a pass must "
            "be."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op, interval


def variance(x):
    return (x**2).mean(-1) - x.mean(-1) ** 2  # wrong: 1e10 - 1e10


def variance_backward(grad, out, x):
    away = x - x.mean(-1, keepdims=True)
    return 2 * grad[..., None] * away / x.shape[-1]


FAR = interval(1e5, 1e5 + 1)
OPS = [Op(variance, variance_backward, "(8)->()", domain=FAR)]
""",
        fix="rewrite the formula that cancels, or check where it does not",
        instead="return ((x - x.mean(-1, keepdims=True)) ** 2).mean(-1)",
    ),
    "GC601": Code(
        meaning="a second derivative differs from the numeric one by more than its error bar",
        detail=(
            "At `--order 2` backward is differentiated itself: the tape follows it, and the answer is compared with "
            "differences of backward, by its inputs and by its cotangent. A wrong one means that an op which backward "
            "calls has a wrong backward, or that a value came in which the tape does not see. The finding says which, "
            "where every call could be asked."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def sinh_backward(grad, out, x):
    return grad * np.cosh(x)


def cosh_backward(grad, out, x):
    return -grad * np.sinh(x)  # wrong: cosh is not cos


OPS = [
    Op(np.sinh, sinh_backward, "()->()"),
    Op(np.cosh, cosh_backward, "()->()"),
]
""",
        fix="mend the op that the story names, or compute in backward what it takes from elsewhere",
        instead="return grad * np.sinh(x)",
    ),
    "GC602": Code(
        meaning="jvp contradicts backward",
        detail=(
            "Forward mode computes Jv, reverse mode J'w, and <w, Jv> is <J'w, v> whatever v and w are. No difference "
            "is taken, so that the two must agree to rounding. Backward agrees with the numeric derivative here; the "
            "tangent that jvp returns does not fit it, has another shape than the output, or jvp raises."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def tanh_backward(grad, out, x):
    return grad * (1 - out**2)


def tanh_jvp(tangents, out, x):
    (v,) = tangents
    return v * (1 - x**2)  # wrong: 1 - tanh(x)**2


OPS = [Op(np.tanh, tanh_backward, "()->()", jvp=tanh_jvp)]
""",
        fix="derive jvp from the formula that backward uses: it is the same Jacobian, from the other side",
        instead="return v * (1 - out**2)",
    ),
    "GC603": Code(
        meaning="backward cannot be differentiated, so order 2 was not checked",
        detail=(
            "Backward runs on arrays, but not on Variables: it leaves NumPy, calls a function that no registered op "
            "answers for, or writes into a plain array. Its gradient is right; a gradient of its gradient would be "
            "lost, so the tape refuses. The finding gives the function or the line, and what to write instead."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def double(x):
    return 2 * x


def double_backward(grad, out, x):
    dx = np.zeros(x.shape)
    dx[...] = 2 * grad  # wrong: dx is a plain array
    return dx


OPS = [Op(double, double_backward, "(n)->(n)", dtypes=["float64"])]
""",
        fix="use NumPy functions that have ops, and write on `np.zeros_like(x)`; or declare the op that is missing",
        instead="dx = 2 * grad",
    ),
    "GC701": Code(
        meaning="forward's outputs differ from the recorded ones",
        detail=(
            "A fixture holds what forward returned when it was recorded, or what another framework returns. Beyond the "
            "policy that stands beside it, which allows for rounding, forward returns something else today. The "
            "finding gives the entry, both values and who computed the recorded one."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def square(x):
    return np.square(x) + 1e-3  # wrong: recorded without the 1e-3


def square_backward(grad, out, x):
    return 2 * grad * x


OPS = [Op(square, square_backward, "()->()")]
""",
        fix="mend forward; or, if the change is meant, `gradcheck replay PATH --update`",
        instead="return np.square(x)",
    ),
    "GC702": Code(
        meaning="backward's gradients differ from the recorded ones",
        detail=(
            "As GC701, for the gradients. Where the numeric check passes as well, the recorded gradient may have been "
            "wrong, or the change may be meant, as another choice at a kink is."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def square(x):
    return np.square(x)


def square_backward(grad, out, x):
    return 2.001 * grad * x  # wrong: recorded with 2


OPS = [Op(square, square_backward, "()->()")]
""",
        fix="mend backward; or, if the change is meant, `gradcheck replay PATH --update`",
        instead="return 2 * grad * x",
    ),
    "GC703": Code(
        meaning="the recorded op is gone, or takes other inputs",
        detail=(
            "A fixture outlives no op: a case that cannot be run is a check that is lost, so it fails. The finding "
            "says what was looked for, and where."
        ),
        example="""\
import numpy as np
from gradcheck_cli import Op


def square(x):
    return np.square(x)


def square_backward(grad, out, x):
    return 2 * grad * x


NAME = "squared"  # wrong: recorded as square
OPS = [Op(square, square_backward, "()->()", name=NAME)]
""",
        fix="bring the op back under its name; or delete the case and record anew",
        instead='NAME = "square"',
    ),
}

# What a finding says to be the reason, as far as that is known.
CAUSES: dict[str, str] = {
    # structure
    "missing_unbroadcast": "an input was broadcast, and its gradient is not summed over the axes along which it was",
    "wrong_unbroadcast_axis": "an input was broadcast, and its gradient is summed over another axis than that",
    "not_transposed": "the gradient has the input's shape reversed: it is the transpose",
    "wrong_shape": "the gradient has another shape than its input, and no simple slip explains it",
    "wrong_count": "there are more or fewer gradients than differentiable inputs",
    "missing": "the gradient is None",
    "wrong_dtype": "the dtype is not that of the inputs",
    "not_an_array": "what came back is not an array of numbers",
    "crashes": "backward raises an exception",
    # value
    "wrong_value": "the gradient lies outside of the numeric derivative's error bar",
    "wrong_jointly": "each gradient seems right alone, but not when all inputs move by the same step, as at ties",
    "wrong_axis": "the gradient is right for another axis than the one that was asked for",
    "permuted_or_reversed": "the entries are right but stand in the wrong places: permuted, reversed or transposed",
    "swapped_inputs": "the gradients of two inputs are interchanged",
    "sign_flipped": "the gradient has the wrong sign",
    "wrong_scale": "the gradient is off by a constant factor",
    "zero_gradient": "the gradient is zero where the slope is not",
    "overwrites_instead_of_accumulates": "an entry that is used several times gets the gradient of one use, not all",
    "missing_term": "the gradient is one of the terms of the right one; another is missing",
    "wrong_element": "a few entries are wrong and all the others are right",
    "branch_swapped": "the two sides of a condition have each other's gradient",
    "wrong_at_kink": "right on both sides of a kink, and no subgradient at it",
    "wrong_tie": "right where the values differ, wrong where they are equal",
    "wrong_at_edge": "right beside a special value, wrong at it",
    "nan_gradient": "the gradient is NaN or infinite where the slope is finite",
    "nan_at_edge": "the gradient is NaN or infinite at a special value, where the slope is finite",
    "wrong_for_empty": "right for arrays that have entries, wrong for empty ones",
    "wrong_for_0d": "right for arrays with dimensions, wrong for a 0-d one",
    "unexplained": "wrong, and none of the known slips explains it",
    # behaviour
    "mutates_input": "an input is changed in place",
    "mutates_upstream": "the cotangent is changed in place",
    "ignores_upstream": "the gradient is the same whatever the cotangent is",
    "nonlinear_in_upstream": "the gradient does not scale and add up with the cotangent",
    "wrong_for_noncontiguous": "right for C-contiguous arrays, wrong for the same values in another memory layout",
    "nondeterministic": "a second call with the same arrays gives another answer",
    # forward
    "forward_raises": "forward raises an exception for inputs that the declaration allows",
    "impossible_choice": "a param has a choice that no shape accepts",
    "not_finite": "forward returns NaN or infinity",
    "contradicts_signature": "forward's outputs have other shapes than the signature promises",
    # higher orders and forward mode
    "wrong_op_inside": "an op that is called on the way has a wrong backward itself",
    "detached": "a value that is used on the way is not on the tape, so its derivative is lost",
    "not_recorded": "backward cannot run on Variables",
    "wrong_jvp": "backward agrees with the numeric derivative, and jvp does not agree with backward",
    # fixtures
    "outputs_differ": "forward no longer returns what was recorded",
    "gradients_differ": "backward no longer returns what was recorded",
    "op_gone": "the recorded op cannot be found, or takes other inputs than it did",
    # numerics
    "smooth": "the error bar is too wide",
    "kink": "several kinks meet along the direction",
    "jump": "forward jumps here",
    "noisy": "forward's own noise hides the slope",
    "quantised": "forward moves in steps",
    "ill_conditioned": "the slope grows without bound, or rounding the input moves it",
    "outside": "forward is not finite around this point",
    "too_coarse": "the numeric derivative is too uncertain for a pass to mean much",
    "unsteady_backward": "backward itself loses digits: it moves when what it gets is rounded otherwise",
}
