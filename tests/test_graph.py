"""`gradcheck graph`: expressions are read by an allow-list, and every gradient on the graph is verified."""

from typing import Any

import numpy as np
import pytest
from conftest import Gradcheck, WriteFile

from gradcheck_cli.errors import UsageError
from gradcheck_cli.graph import Gate, Verdict, evaluate, read_inputs, verify
from gradcheck_cli.registry import installed_ops
from gradcheck_cli.reporters.graph import render_dot, render_mermaid, render_tree

OPS = {op.name: op for op in installed_ops()}
CIRCUIT = "1 / (1 + exp(-(w0*x0 + w1*x1 + w2)))"
GIVEN = ["w0=2", "x0=-1", "w1=-3", "x1=-2", "w2=-3"]
ESCAPE = "\x1b"


def gates_of(text: str, *settings: str) -> list[Gate]:
    return evaluate(text, read_inputs(settings), OPS)


def gradients(text: str, *settings: str) -> dict[str, Any]:
    """Of the inputs, by name."""
    return {g.label: g.gradient.tolist() for g in gates_of(text, *settings) if not g.args and g.gradient is not None}


# What is computed


def test_the_sigmoid_circuit(gradcheck: Gradcheck) -> None:
    """Gate by gate, with the document's gates: add distributes, multiply swaps."""
    outcome = gradcheck("graph", CIRCUIT, *[word for value in GIVEN for word in ("-i", value)])

    assert outcome.code == 0
    assert outcome.stdout.splitlines() == [
        " divide  value 0.7311  grad 1  right",
        " ├── 1",
        " └── add  value 1.368  grad -0.5344  right",
        "     ├── 1",
        "     └── exp  value 0.3679  grad -0.5344  right",
        "         └── negative  value -1  grad -0.1966  right",
        "             └── add  value 1  grad 0.1966  right",
        "                 ├── add  value 4  grad 0.1966  right",
        "                 │   ├── multiply  value -2  grad 0.1966  right",
        "                 │   │   ├── w0  value 2  grad -0.1966  right",
        "                 │   │   └── x0  value -1  grad 0.3932  right",
        "                 │   └── multiply  value 6  grad 0.1966  right",
        "                 │       ├── w1  value -3  grad -0.3932  right",
        "                 │       └── x1  value -2  grad -0.5898  right",
        "                 └── w2  value -3  grad 0.1966  right",
        "",
        outcome.stdout.splitlines()[-1],
    ]
    assert outcome.stdout.splitlines()[-1].startswith(" 13 gradients, all right; an error of ")


def test_an_input_that_is_used_twice_is_one_gate() -> None:
    """A copy gate adds."""
    assert gradients("x * x + 3 * x", "x=5") == {"x": 13.0}


def test_a_sign_in_front() -> None:
    """A plus is no gate."""
    assert [gate.label for gate in gates_of("+x - -y", "x=2", "y=3")] == ["x", "y", "negative", "subtract"]


def test_ops_params_and_indices() -> None:
    """By name, as `gradcheck list` has them."""
    assert gradients("sum(x[1:, 0] * 2, axis=0)", "x=[[1,2],[3,4]]") == {"x": [[0.0, 0.0], [2.0, 0.0]]}
    assert gradients("x @ y - x ** 2", "x=3,4", "y=1,2") == {"x": [-4.0, -4.0], "y": [6.0, 8.0]}


def test_every_gate_is_verified() -> None:
    """Inputs, gates between and the value; numbers have no gradient."""
    verified = verify(gates_of("relu(w @ x) * 2", "w=normal:2,3", "x=normal:3"))

    assert [(entry.gate.label, entry.verdict) for entry in verified] == [
        ("w", Verdict.RIGHT),
        ("x", Verdict.RIGHT),
        ("matmul", Verdict.RIGHT),
        ("relu", Verdict.RIGHT),
        ("2", None),
        ("multiply", Verdict.RIGHT),
    ]


def test_a_kink_is_right() -> None:
    """Any subgradient passes."""
    assert {entry.verdict for entry in verify(gates_of("relu(x)", "x=0,1"))} == {Verdict.RIGHT}


def test_what_is_not_differentiated_has_no_verdict() -> None:
    """A condition."""
    assert verify(gates_of("where(c, x, 2)", "c=1", "x=3"))[0].verdict is None


def test_a_wrong_op_is_blamed(op_file: WriteFile, gradcheck: Gradcheck) -> None:
    """Every gradient behind it is wrong, the op is named once: exit 1."""
    op_file("OPS = [Op(np.cosh, lambda grad, out, x: -grad * np.sinh(x), '()->()')]")
    outcome = gradcheck("graph", "cosh(x) * y", "-i", "x=0.5", "-i", "y=2", "--ops", "my_ops.py")

    assert outcome.code == 1
    assert "x  value 0.5  grad -1.042  wrong" in outcome.stdout
    assert "y  value 2  grad 1.128  right" in outcome.stdout
    assert outcome.stdout.count("calls cosh, whose own backward (my_ops.py:4 in <lambda>) is wrong: GC201") == 1
    assert outcome.stdout.endswith("4 gradients, 1 wrong\n")


@pytest.mark.parametrize(
    ("forward", "backward", "message"),
    [
        ("np.square", "grad / missing", "NameError: name 'missing' is not defined; raised in backward of op odd"),
        ("np.square", "None", "returned None for input 0"),
        ("lambda x: 'text'", "grad", "odd returns <U4, and not floating-point numbers"),
        ("lambda x: x.astype(int)", "grad", "odd returns int64, and not floating-point numbers"),
    ],
)
def test_an_op_that_is_none_is_one_line(
    op_file: WriteFile, gradcheck: Gradcheck, forward: str, backward: str, message: str
) -> None:
    """Nobody's fault but its author's: exit 2."""
    op_file(f"OPS = [Op({forward}, lambda grad, out, x: {backward}, '()->()', name='odd')]")
    outcome = gradcheck("graph", "odd(x)", "-i", "x=0.5", "--ops", "my_ops.py")

    assert (outcome.code, outcome.stdout, len(outcome.stderr.splitlines())) == (2, "", 1)
    assert message in outcome.stderr


def test_a_noisy_expression_cannot_be_judged(op_file: WriteFile, gradcheck: Gradcheck) -> None:
    """It is called so."""
    op_file("OPS = [Op(lambda x: x + np.random.rand(), lambda grad, out, x: grad, '()->()', name='noisy')]")
    outcome = gradcheck("graph", "noisy(x)", "-i", "x=0.5", "--ops", "my_ops.py")

    assert outcome.code == 1
    assert "UNJUDGED x: expression gives another answer" in outcome.stdout


def test_what_is_not_finite_cannot_be_judged(gradcheck: Gradcheck) -> None:
    """No pass: exit 1."""
    outcome = gradcheck("graph", "log(x)", "-i", "x=-1")

    assert outcome.code == 1
    assert "UNJUDGED x: the expression is not finite here" in outcome.stdout


# Inputs


def test_numbers_are_values_and_words_have_shapes() -> None:
    """`2,3` is a vector of two; `ones:2,3` a matrix."""
    inputs = read_inputs(["a=2", "b=2,3", "c=[[1,2],[3,4]]", "d=ones:2,3", "e=normal:4", "f=uniform", "g=arange:2,2"])

    assert {name: x.shape for name, x in inputs.items()} == {
        "a": (), "b": (2,), "c": (2, 2), "d": (2, 3), "e": (4,), "f": (), "g": (2, 2),
    }  # fmt: skip
    assert inputs["b"].tolist() == [2.0, 3.0]
    assert inputs["g"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert {x.dtype for x in inputs.values()} == {np.dtype("float64")}


def test_drawn_values_are_the_same_again() -> None:
    """By name and seed, in short decimals."""
    (first,) = read_inputs(["x=normal:200"], 1).values()

    np.testing.assert_array_equal(first, read_inputs(["y=ones", "x=normal:200"], 1)["x"])
    assert not np.array_equal(first, read_inputs(["x=normal:200"], 2)["x"])
    np.testing.assert_array_equal(first, np.round(first, 2))
    assert abs(first.mean()) < 0.3
    assert 0.8 < first.std() < 1.2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("x", "is not NAME=VALUE"),
        ("2=x", "is not NAME=VALUE"),
        ("x=", "these are no numbers"),
        ("x=abc", "these are no numbers"),
        ("x=[1,[2]]", "these are no numbers"),
        ("x='1'", "these are no numbers"),
        ("x=True", "these are no numbers"),
        ("x=1e999", "these are no numbers"),
        ("x=" + "[" * 3000, "these are no numbers"),
        ("x=__import__('os')", "these are no numbers"),
        ("x=2**9**9", "these are no numbers"),
        ("x=norml:3", "Did you mean 'normal'"),
        ("x=normal:99999999,99999999", "is too large"),
        ("x=zeros:" + ",".join("1" * 40), "is too large"),
    ],
)
def test_what_is_no_input_is_refused(setting: str, message: str) -> None:
    """On one line, before anything is allocated."""
    with pytest.raises(UsageError, match=message) as caught:
        read_inputs([setting])
    assert len(str(caught.value)) < 300


# Expressions


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x.__class__", "an attribute (.name) is not allowed"),
        ("__import__('os').system('id')", "an attribute (.name) is not allowed"),
        ("(lambda: x)()", "lambda is not allowed"),
        ("x if x else x", "if ... else is not allowed"),
        ("[x for x in x]", "listcomp is not allowed"),
        ("x < 1", "a comparison is not allowed"),
        ("x ^ 2", "^ (** is the power) is not allowed"),
        ("x // 2 or ~x", "or is not allowed"),
        ("x // 2", "// is not allowed"),
        ("f'{x}'", "an f-string is not allowed"),
        ("'x'", "is no number"),
        ("1j * x", "is no number"),
        ("9e999 * x", "too large for a float"),
        ("1" * 5000, "cannot be read"),
        ("x +", "cannot be read"),
        ("", "cannot be read"),
        ("x\0", "cannot be read"),
        ("(" * 500 + "x" + ")" * 500, "cannot be read"),
        ("-" * 9000 + "x", "cannot be read"),
        ("x" + "+x" * 400, "too long for a graph"),
        ("x" * 20_000, "more than 10,000 characters"),
        ("x" + "+x*x" * 60, "more than 100 gates"),
        ("outer(outer(b, b), outer(b, b))", "larger than 1,000,000 numbers"),
        ("broadcast_to(x, shape=(1000000, 100000))", "larger than 1,000,000 numbers"),
        ("2 ** 10 ** 10", "has no input"),
        ("y", "no input is named 'y'"),
        ("sin", "sin is an op: write sin(...)"),
        ("sinn(x)", "Did you mean 'sin'"),
        ("sin(x, 2)", "sin takes 1 input (x), not 2"),
        ("sum(x, axs=0)", "no param 'axs'; it has axis, keepdims"),
        ("sum(x, axis=x)", "axis= takes a plain value"),
        ("sum(x, **{})", "** is not allowed here"),
        ("sum(*x)", "starred is not allowed"),
        ("x[x]", "an index is made of whole numbers"),
        ("x[5]", "raises IndexError"),
        ("b @ x", "raises ValueError"),
        ("split(b, indices_or_sections=2, axis=0)", "several outputs"),
    ],
)
def test_hostile_expressions_are_one_line(text: str, message: str) -> None:
    """Nothing is run, nothing hangs, nothing large is allocated."""
    inputs = {"x": np.ones(()), "b": np.ones(100)}
    with pytest.raises(UsageError) as caught:
        evaluate(text, {name: x for name, x in inputs.items() if name in text}, OPS)

    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


def test_huge_exponents_are_floats(gradcheck: Gradcheck) -> None:
    """x ** 999999999999 overflows, and that is all."""
    outcome = gradcheck("graph", "x ** 999999999999", "-i", "x=2")

    assert outcome.code == 1
    assert outcome.stdout.endswith("2 gradients, 2 unjudged\n")


def test_errors_are_one_line(gradcheck: Gradcheck) -> None:
    """Exit 2, no traceback; what is unused is a typo."""
    for arguments in (["x.y", "-i", "x=2"], ["x", "-i", "x=2", "-i", "b=3"], ["x", "-i", "x=1", "-i", "x=2"]):
        outcome = gradcheck("graph", *arguments)
        assert (outcome.code, outcome.stdout, len(outcome.stderr.splitlines())) == (2, "", 1)


# Formats


def test_mermaid_and_dot(gradcheck: Gradcheck) -> None:
    """Gates as boxes, with arrows the way the values go; to a file with -o."""
    arguments = ("graph", "x * y", "-i", "x=2", "-i", "y=3")

    assert gradcheck(*arguments, "--format", "mermaid").stdout.splitlines() == [
        "flowchart LR",
        '  n0["x<br/>value 2<br/>grad 3<br/>right"]',
        "  style n0 stroke:#2a7",
        '  n1["y<br/>value 3<br/>grad 2<br/>right"]',
        "  style n1 stroke:#2a7",
        '  n2["multiply<br/>value 6<br/>grad 1<br/>right"]',
        "  style n2 stroke:#2a7",
        "  n0 --> n2",
        "  n1 --> n2",
    ]
    written = gradcheck(*arguments, "--format", "dot", "-o", "graph.dot")
    assert (written.code, written.stdout) == (0, "")
    dot = (gradcheck.folder / "graph.dot").read_text(encoding="utf-8")
    assert '  n2 [label="multiply\\nvalue 6\\ngrad 1\\nright", color="#2a7"]' in dot
    assert "  n0 -> n2" in dot


def test_a_file_that_cannot_be_written(gradcheck: Gradcheck) -> None:
    """Is said before anything is computed."""
    assert gradcheck("graph", "x", "-i", "x=2", "-o", "no/where.dot").code == 2


def test_labels_are_escaped() -> None:
    """A param's text may hold anything; terminals, Mermaid and dot obey none of it."""
    (entry,) = verify(gates_of("x", "x=2"))
    hostile = Gate(f'{ESCAPE}[31m"<b>\n\\', entry.gate.variable)
    for render in (render_tree, render_mermaid, render_dot):
        text = render([type(entry)(hostile, Verdict.RIGHT)])
        assert ESCAPE not in text
    assert "#quot;#lt;b#gt;" in render_mermaid([type(entry)(hostile, None)])
    assert '\\"<b>' in render_dot([type(entry)(hostile, None)])


def test_a_gate_that_is_used_twice_is_drawn_once() -> None:
    """What is below it stands above already; an input is shown again."""
    (x, y) = gates_of("sin(x)", "x=0.5")
    twice = evaluate("y * y", {"y": np.array(0.5)}, OPS)[-1]
    both = Gate("multiply", twice.variable, OPS["multiply"], (y, y))
    tree = render_tree(verify([x, y, both]))

    assert "sin, see above" in tree
    assert tree.count("x  value") == 1


def test_many_numbers_are_summed_up() -> None:
    """Shape and range."""
    assert "(3,4) from 1 to 12" in render_tree(verify(gates_of("sum(x)", "x=arange:3,4")))
