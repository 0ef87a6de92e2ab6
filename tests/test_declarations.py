"""A wrong `Op(...)` is refused on the spot: op, file:line, what is wrong, what to write."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from gradcheck_cli import POSITIVE, REAL, SPD, DeclarationError, Op, index


def backward(grad: Any, out: Any, x: Any) -> Any:
    return grad


def pair_backward(grad: Any, out: Any, a: Any, b: Any) -> Any:
    return grad, grad


def take(x: Any, i: Any) -> Any:
    return x[i]


def take_backward(grad: Any, out: Any, x: Any, i: Any) -> Any:
    return x


def round_backward(grad: Any, out: Any, x: Any, decimals: int) -> Any:
    return np.zeros_like(x)


class Wrong(NamedTuple):
    """A declaration and what its refusal must say."""

    declare: Callable[[], Op]
    op: str
    words: list[str]


anything: Any = Op  # a wrong call is the point here, not a typing error

WRONG = {
    "forward is no function": Wrong(
        lambda: anything("sin", backward, "()->()"), "", ["forward", "'sin'", "Op(forward"]
    ),
    "backward is no function": Wrong(
        lambda: anything(np.sin, None, "()->()"), "sin", ["backward", "None", "Op(forward"]
    ),
    "a lambda has no name": Wrong(lambda: Op(lambda x: x, backward, "()->()"), "<lambda>", ["name", 'name="my_op"']),
    "a name with blanks": Wrong(lambda: Op(np.sin, backward, "()->()", name="my op"), "my op", ["'my op'", "name="]),
    "a name with markup": Wrong(lambda: Op(np.sin, backward, "()->()", name="[red]"), "[red]", ["'[red]'", "name="]),
    "a name that is a number": Wrong(lambda: anything(np.sin, backward, "()->()", name=3), "sin", ["3", "name="]),
    "signature is no string": Wrong(lambda: anything(np.sin, backward, 3), "sin", ["signature is 3", "(n,k)"]),
    "signature without parentheses": Wrong(lambda: Op(np.sin, backward, "n->n"), "sin", ["'n->n'", "parentheses"]),
    "signature left open": Wrong(lambda: Op(np.sin, backward, "(n"), "sin", ["'(n'", "parentheses", "(n,k)"]),
    "signature with two arrows": Wrong(lambda: Op(np.sin, backward, "()->()->()"), "sin", ["two arrows"]),
    "signature without inputs": Wrong(lambda: Op(np.sin, backward, "->()"), "sin", ["no inputs", "(n,k)"]),
    "signature without outputs": Wrong(lambda: Op(np.sin, backward, "()->"), "sin", ["no output", "arrow"]),
    "a strange dimension": Wrong(lambda: Op(np.sin, backward, "(n-1)->()"), "sin", ["'n-1'", "n?"]),
    "an unknown output dimension": Wrong(lambda: Op(np.sin, backward, "(n)->(m)"), "sin", ["'m'", "arrow"]),
    "dots beside a dimension": Wrong(lambda: Op(np.sin, backward, "(...,n)->(n)"), "sin", ["'...'", "loop dimensions"]),
    "too many operands for forward": Wrong(
        lambda: Op(lambda x: x, pair_backward, "(),()->()", name="one"), "one", ["forward", "(a, b)", "2 inputs"]
    ),
    "too few arguments for backward": Wrong(
        lambda: Op(np.add, backward, "(),()->()"), "add", ["backward", "(grad, out, ", "def backward(grad, out, "]
    ),
    "a backward that takes grad alone": Wrong(
        lambda: Op(np.sin, lambda grad: grad, "()->()"), "sin", ["backward", "(grad, out, x"]
    ),
    "a param that forward does not take": Wrong(
        lambda: Op(lambda x: x, backward, "()->()", name="plain", params={"axis": [0]}), "plain", ["forward", "axis"]
    ),
    "a param that backward does not take": Wrong(
        lambda: Op(np.sum, backward, "(...)", params={"axis": [0]}), "sum", ["backward", "axis", "def backward("]
    ),
    "params is a list": Wrong(lambda: anything(np.sum, backward, "(...)", params=["axis"]), "sum", ["params", "{"]),
    "a param without choices": Wrong(
        lambda: Op(np.sum, backward, "(...)", params={"axis": []}), "sum", ["params['axis']", "[]"]
    ),
    "a bare value as choices": Wrong(
        lambda: anything(np.sum, backward, "(...)", params={"axis": 0}), "sum", ["params['axis'] is 0", "'axis': [0]"]
    ),
    "a string as choices": Wrong(
        lambda: Op(np.sum, backward, "(...)", params={"mode": "abc"}), "sum", ["params['mode']", "['abc']"]
    ),
    "too many domains": Wrong(
        lambda: Op(np.sin, backward, "()->()", domain=[REAL, REAL]), "sin", ["domain", "2", "()->()", "one for each"]
    ),
    "a domain by name": Wrong(lambda: anything(np.sin, backward, "()->()", domain="REAL"), "sin", ["domain", "'REAL'"]),
    "no domain": Wrong(lambda: anything(np.sin, backward, "()->()", domain=None), "sin", ["domain", "None"]),
    "an index into nothing": Wrong(
        lambda: Op(take, take_backward, "(n),()->()", domain=[REAL, index("m")]), "take", ['index("m")', "n"]
    ),
    "loops is a word": Wrong(lambda: anything(np.sin, backward, "()->()", loops="no"), "sin", ["loops", "loops=True"]),
    "loops without an arrow": Wrong(
        lambda: Op(np.sum, backward, "(n)", loops=True), "sum", ["loops=True", "(n)", "arrow"]
    ),
    "an unknown differentiable input": Wrong(
        lambda: Op(np.sin, backward, "()->()", differentiable=["y"]), "sin", ["differentiable", "'y'", "x"]
    ),
    "too many differentiable flags": Wrong(
        lambda: Op(np.sin, backward, "()->()", differentiable=[True, True]), "sin", ["differentiable", "x"]
    ),
    "differentiable is a flag": Wrong(
        lambda: anything(np.sin, backward, "()->()", differentiable=True), "sin", ["differentiable", "x"]
    ),
    "nothing differentiable": Wrong(
        lambda: Op(np.sin, backward, "()->()", differentiable=[]), "sin", ["no input is differentiable"]
    ),
    "an unknown dtype": Wrong(
        lambda: Op(np.sin, backward, "()->()", dtypes=["float16"]), "sin", ["dtypes", "float16", "float64, float32"]
    ),
    "complex SPD": Wrong(
        lambda: Op(np.linalg.inv, backward, "(n,n)->(n,n)", domain=SPD, dtypes=["float64", "complex64"]),
        "inv",
        ["dtypes", "SPD is of real matrices"],
    ),
    "dtypes is a number": Wrong(lambda: anything(np.sin, backward, "()->()", dtypes=3), "sin", ["dtypes", "float64"]),
    "a sample of too many inputs": Wrong(
        lambda: Op(np.sin, backward, "()->()", samples=[(1.0, 2.0)]), "sin", ["sample", "2 inputs", "(x"]
    ),
    "a sample with an unknown param": Wrong(
        lambda: Op(np.sin, backward, "()->()", samples=[(1.0, {"axis": 0})]), "sin", ["sample", "'axis'", "params="]
    ),
    "a sample that does not fit": Wrong(
        lambda: Op(np.sin, backward, "(n)->(n)", samples=[1.0]), "sin", ["sample", "x ()", "(n)->(n)"]
    ),
    "a sample of words": Wrong(lambda: Op(np.sin, backward, "()->()", samples=["one"]), "sin", ["sample", "one"]),
    "samples is None": Wrong(lambda: anything(np.sin, backward, "()->()", samples=None), "sin", ["samples", "None"]),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_declaration_names_op_place_problem_and_remedy(wrong: Wrong) -> None:
    with pytest.raises(DeclarationError) as caught:
        wrong.declare()

    message = str(caught.value)
    assert re.match(rf"\S*test_declarations\.py:\d+: op {re.escape(wrong.op)}", message)
    assert [word for word in wrong.words if word not in message] == []


def test_the_line_is_the_one_of_the_declaration() -> None:
    line = test_the_line_is_the_one_of_the_declaration.__code__.co_firstlineno

    with pytest.raises(DeclarationError, match=rf"test_declarations\.py:{line + 4}: op sin: "):
        Op(np.sin, backward, "(n")


def test_a_misspelt_field_is_python_s_own_complaint() -> None:
    with pytest.raises(TypeError, match="domains"):
        anything(np.sin, backward, "()->()", domains=POSITIVE)


def test_a_generator_of_choices_is_read_once() -> None:
    op = anything(np.round, round_backward, "()->()", params={"decimals": (n for n in (1, 2))})

    assert op.choices([()]) == {"decimals": [1, 2]}


def test_inputs_are_called_what_backward_calls_them() -> None:
    op = Op(np.add, pair_backward, "(),()->()")

    assert op.names == ("a", "b")


def test_the_formula_is_the_first_paragraph_of_backward_s_docstring() -> None:
    def documented(grad: Any, out: Any, x: Any) -> Any:
        """dL/dx = g
        * cos x

        From a table.
        """
        return grad * np.cos(x)

    assert Op(np.sin, documented, "()->()").formula == "dL/dx = g * cos x"
