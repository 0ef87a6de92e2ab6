"""`--order 2`: a wrong derivative of backward is found, with what is to blame; what cannot be asked is said."""

import json
from typing import Any

import numpy as np
import pytest
from conftest import Gradcheck, WriteFile

from gradcheck_cli import REAL, Op, check, index, integers, no_grad, one_of, unbroadcast
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.errors import UsageError
from gradcheck_cli.registry import installed_ops

BUILT_IN = {op.name: op for op in installed_ops()}
LABELS = {"grad (order 2)", "x (order 2)"}


def square_backward(grad: Any, out: Any, x: Any) -> Any:
    return 2 * grad * x


def square(backward: Any, signature: str = "()->()", **declaration: Any) -> Op:
    return Op(np.square, backward, signature, **declaration)


def found(op: Op, code: str = "GC6", **options: Any) -> list[Finding]:
    """The findings of that code, at order 2."""
    findings = check(op, **{"order": 2, "cases": 4, "edges": False, **options}).findings
    return [finding for finding in findings if finding.code.startswith(code)]


# What is right


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_ops_pass_at_order_two(name: str) -> None:
    """Every gradient of every built-in op is differentiated, judged, and right."""
    report = check(BUILT_IN[name], order=2, cases=4, edges=False)

    judged = {entry.name for case in report.result.cases for entry in case.inputs if entry.order == 2 and entry.judged}
    assert report.passed
    assert [finding.message for finding in report.findings if finding.severity > Severity.NOTE] == []
    assert {BUILT_IN[name].names[i] for i in BUILT_IN[name].differentiated} <= judged


def taken_backward(grad: Any, out: Any, x: Any, i: Any) -> Any:
    gradient = np.zeros_like(x)
    np.add.at(gradient, i, 2 * grad * x[i])
    return gradient


def test_an_index_is_one_at_order_two() -> None:
    """Into a dimension that has another name there, be it empty."""
    domain = REAL, index("n")
    op = Op(lambda x, i: x[i] ** 2, taken_backward, "(n),(k)->(k)", domain=domain, name="taken", loops=False)

    assert check(op, order=2, cases=4).passed


def labelled(x: Any, y: Any) -> Any:
    return (1 - y) * x**2


@pytest.mark.parametrize(
    ("backward", "codes"),
    [
        (lambda grad, _out, x, y: grad * (1 - y) * 2 * x, set()),
        (lambda grad, _out, x, y: grad * (1 - y) * np.where(x == 1, 2.0, 2 * x), {"GC601"}),
    ],
    ids=["right", "a branch that forgets x"],
)
def test_labels_may_stand_in_a_product_at_order_two(backward: Any, codes: set[str]) -> None:
    """Integers have no slope, whatever the ops make of floats in their place."""
    op = Op(labelled, backward, "(n),(n)->(n)", domain=(REAL, integers(0, 1)), samples=[[[1.0, 2.0], np.array([0, 1])]])

    assert {finding.code for finding in found(op)} == codes


@pytest.mark.parametrize("name", ["relu", "absolute", "maximum"])
def test_kinks_and_ties_are_no_failures(name: str) -> None:
    """Where forward has a kink backward jumps: nothing can be said there, and nothing is."""
    op = BUILT_IN[name]
    zeros = [np.array([0.0, 1.0, -2.0])] * len(op.names)
    with_ties = Op(op.forward, op.backward, op.gufunc, samples=[tuple(zeros)], name=name)

    assert found(with_ties, "GC601", edges=True, cases=2) == []


def test_a_tie_has_no_one_second_derivative() -> None:
    """max(x, x + x^2) is x + x^2 near 0, but a tape that gives each side half of a tie knows of half the bend."""
    zeros: dict[str, Any] = {"signature": "(n)", "samples": [np.zeros(3)], "cases": 1, "edges": False}
    report = check(lambda x: np.maximum(x, x + x * x), order=2, **zeros)

    assert report.passed
    assert ("GC501", "kink") in {(finding.code, finding.cause) for finding in report.findings}


def test_sums_that_cancel_are_no_failures() -> None:
    """Of a sharp softmax, where the tape's linearity shows rounding and nothing else."""
    report = check(BUILT_IN["softmax"], order=2, seed=4)

    assert report.passed


def test_order_one_does_not_ask() -> None:
    """The gradients alone, as ever."""
    report = check(square(lambda grad, out, x: 2 * grad * np.asarray(x)))

    assert {entry.order for case in report.result.cases for entry in case.inputs} == {1}
    assert report.findings == ()


def test_several_outputs() -> None:
    """Each has a cotangent of its own; a quotient beside a remainder of integers has none for these."""

    def both(x: Any) -> Any:
        return np.sin(x), np.floor(x).astype(int), x * x

    def both_backward(grads: Any, outs: Any, x: Any) -> Any:
        return grads[0] * np.cos(x) + 2 * grads[2] * x

    report = check(both, both_backward, signature="(n)", order=2, cases=4, edges=False)

    assert report.passed
    assert {e.label for c in report.result.cases for e in c.inputs} == {
        "x",
        "grad0 (order 2)",
        "grad2 (order 2)",
        "x (order 2)",
    }


def test_single_precision() -> None:
    """Differences of backward in double precision judge its derivative in single precision."""
    assert check(BUILT_IN["tanh"], order=2, dtype="float32", cases=4).passed


# What is wrong


def test_an_op_that_backward_calls_is_wrong(op_file: WriteFile, gradcheck: Gradcheck) -> None:
    """It stands in the same table; the story names it, and where it is."""
    op_file(
        """
        def sinh_backward(grad, out, x):
            return grad * np.cosh(x)

        def cosh_backward(grad, out, x):
            return -grad * np.sinh(x)

        OPS = [Op(np.sinh, sinh_backward, "()->()"), Op(np.cosh, cosh_backward, "()->()")]
        """
    )
    outcome = gradcheck("run", "my_ops.py::sinh", "--order", "2", "--cases", "4", "--no-edges")

    assert outcome.code == 1
    assert "FAIL sinh · GC601 · wrong_op_inside" in outcome.stdout
    assert "d sinh_backward / d x is" in outcome.stdout
    assert (
        "sinh_backward calls cosh, whose own backward (my_ops.py:7 in cosh_backward) is wrong: GC201" in outcome.stdout
    )


def test_an_op_inside_whose_gradient_has_a_wrong_shape(op_file: WriteFile, gradcheck: Gradcheck) -> None:
    """The tape cannot go on there; it is no skip."""
    op_file(
        """
        def sinh_backward(grad, out, x):
            return grad * np.cosh(x)

        def cosh_backward(grad, out, x):
            return np.sum(grad * np.sinh(x))

        OPS = [Op(np.sinh, sinh_backward, "()->()"), Op(np.cosh, cosh_backward, "()->()")]
        """
    )
    outcome = gradcheck("run", "my_ops.py::sinh", "--order", "2", "--cases", "4", "--no-edges")

    assert "GC601 · wrong_op_inside" in outcome.stdout
    assert "is wrong: GC101" in outcome.stdout


def test_what_is_not_recorded_is_found() -> None:
    """A derivative that is lost on the way is 0, and the numeric one is not."""

    def backward(grad: Any, out: Any, x: Any) -> Any:
        with no_grad():
            slope = 2 * x
        return grad * slope

    finding = found(square(backward))[0]

    assert (finding.code, finding.cause) == ("GC601", "detached")
    assert finding.message.startswith("d backward / d x")
    assert "Every op that backward calls is right here" in finding.why


def test_what_forward_saved_is_found() -> None:
    """A mask or a buffer that forward leaves behind is no argument of backward."""
    saved: dict[str, Any] = {}

    def forward(x: Any) -> Any:
        saved["slope"] = 2 * x
        return x * x

    def backward(grad: Any, out: Any, x: Any) -> Any:
        return grad * saved["slope"]

    assert {finding.cause for finding in found(Op(forward, backward, "()->()"), "GC601")} == {"detached"}


def test_one_story_for_all_derivatives() -> None:
    """A wrong op inside shows by the cotangent and by each input: told once."""

    def backward(grad: Any, out: Any, x: Any) -> Any:
        with no_grad():
            return 2 * grad * x

    report = check(square(backward), order=2, cases=4, edges=False)

    assert [story.finding.code for story in report.result.stories] == ["GC601"]
    assert report.result.stories[0].finding.case.shapes == ((),)


def test_a_wrong_gradient_is_told_at_order_one() -> None:
    """Its derivative is not asked for."""
    report = check(square(lambda grad, out, x: grad * x), order=2, cases=4, edges=False)

    assert {finding.code for finding in report.findings} == {"GC201"}


def test_a_saved_failure_is_replayed_at_order_two(op_file: WriteFile, gradcheck: Gradcheck) -> None:
    """Until it is mended, and then it is gone."""
    bad = """
        def square_backward(grad, out, x):
            with no_grad():
                return 2 * grad * x

        OPS = [Op(np.square, square_backward, "()->()")]
        """
    op_file(bad)
    gradcheck("run", "my_ops.py", "--order", "2", "--cases", "4", "--no-edges")

    assert gradcheck("run", "my_ops.py", "--lf").code == 1
    op_file(bad.replace("with no_grad():", "if True:"))
    assert gradcheck("run", "my_ops.py", "--lf").code == 0


# What cannot be asked


def test_a_backward_that_leaves_numpy_is_skipped_visibly(op_file: WriteFile, gradcheck: Gradcheck) -> None:
    """Its gradient is right: exit 0, but the reason is told, with file and line."""
    op_file(
        """
        def square_backward(grad, out, x):
            return 2 * grad * np.asarray(x)

        OPS = [Op(np.square, square_backward, "()->()")]
        """
    )
    outcome = gradcheck("run", "my_ops.py", "--order", "2", "--cases", "4", "--no-edges")

    assert outcome.code == 0
    assert "warning GC603" in outcome.stdout
    assert (
        "order 2 was not checked: backward of square (my_ops.py:4 in square_backward) cannot run on Variables: a"
        in (outcome.stdout)
    )


@pytest.mark.parametrize(
    ("backward", "reason"),
    [
        (lambda grad, out, x: 2 * grad * x + 0 * np.cumsum(x).sum(), "np.cumsum has no registered op"),
        (lambda grad, out, x: 2 * grad * x * (x.flags is not None), "Variable has no attribute 'flags'"),
    ],
)
def test_the_reason_is_given(backward: Any, reason: str) -> None:
    """The tape's sentence, or what the code raised on something that is no array."""
    (finding,) = found(square(backward), cases=1)

    assert (finding.code, finding.severity) == ("GC603", Severity.WARNING)
    assert reason in finding.message


def test_complex_numbers_are_skipped() -> None:
    """The tape's ops are declared for real numbers."""
    op = Op(np.square, lambda grad, out, x: 2 * grad * np.conj(x), "()->()", dtypes=("complex128",))

    assert "real numbers only" in found(op, cases=1)[0].message


def test_a_jump_of_backward_is_inconclusive() -> None:
    """A derivative that was judged nowhere is no pass."""
    relu = BUILT_IN["relu"]
    report = check(relu.forward, relu.backward, signature="()->()", domain=one_of([0.0]), order=2, cases=2, edges=False)

    assert report.result.unjudged == ("x (order 2)",)
    assert report.findings[0].message.endswith("slopes cannot be judged: backward jumps here")


# The doors


def test_json_has_the_orders(gradcheck: Gradcheck) -> None:
    """Each gradient with its name and order."""
    document = json.loads(gradcheck("run", "sin", "--order", "2", "--shape", "2", "--report", "json=-").stdout)

    inputs = document["ops"][0]["cases"][0]["inputs"]
    assert [(entry["name"], entry["order"]) for entry in inputs] == [("x", 1), ("grad", 2), ("x", 2)]


def test_the_table_says_what_was_checked(gradcheck: Gradcheck) -> None:
    """Order 2 apart from order 1."""
    assert "x, order 2: grad x" in gradcheck("run", "sin", "--order", "2", "--shape", "2").stdout


@pytest.mark.parametrize("order", ["0", "3", "two"])
def test_there_are_two_orders(gradcheck: Gradcheck, order: str) -> None:
    """One line, exit 2."""
    outcome = gradcheck("run", "sin", "--order", order)

    assert outcome.code == 2
    assert len(outcome.stderr.splitlines()) == 1
    with pytest.raises(UsageError, match="order is 3"):
        check(BUILT_IN["sin"], order=3)


# Forward mode


def matmul_backward(grad: Any, out: Any, a: Any, b: Any) -> Any:
    return unbroadcast(grad @ np.swapaxes(b, -1, -2), a), unbroadcast(np.swapaxes(a, -1, -2) @ grad, b)


def matmul_jvp(tangents: Any, out: Any, a: Any, b: Any) -> Any:
    left, right = tangents
    return (0 if left is None else left @ b) + (0 if right is None else a @ right)


def matmul(jvp: Any) -> Op:
    return Op(np.matmul, matmul_backward, "(n,k),(k,m)->(n,m)", jvp=jvp)


def test_a_right_jvp_passes() -> None:
    """Each tangent alone and all at once, at every edge."""
    assert check(matmul(matmul_jvp)).findings == ()


@pytest.mark.parametrize(
    ("jvp", "name", "message"),
    [
        (lambda t, out, a, b: 2 * matmul_jvp(t, out, a, b), "a", "by jvp"),
        (lambda t, out, a, b: matmul_jvp((t[0], None), out, a, b) + 0 * out, "b", "is 0 by jvp"),
        (lambda t, out, a, b: np.sum(matmul_jvp(t, out, a, b)), "a", "returns ()"),
        (lambda t, out, a, b: matmul_jvp((t[0] + 0, t[1]), out, a, b), "b", "raises TypeError"),
        (lambda t, out, a, b: (1 + all(x is not None for x in t)) * matmul_jvp(t, out, a, b), None, "by jvp"),
    ],
    ids=["twice", "one input", "shape", "raises on None", "jointly"],
)
def test_a_wrong_jvp_is_found(jvp: Any, name: str | None, message: str) -> None:
    """At order 1, without any difference being taken."""
    findings = [f for f in check(matmul(jvp), cases=4, edges=False).findings if f.code == "GC602"]

    assert findings
    assert {f.input for f in findings} == {name}
    assert message in findings[0].message


def test_a_jvp_may_choose_another_subgradient() -> None:
    """At relu(0) forward mode may say 1 where reverse mode says 0."""

    def jvp(tangents: Any, out: Any, x: Any) -> Any:
        return np.where(x >= 0, tangents[0], 0)

    def backward(grad: Any, out: Any, x: Any) -> Any:
        return np.where(x > 0, grad, 0)

    def relu(x: Any) -> Any:
        return np.maximum(x, 0)

    assert check(relu, backward, signature="()->()", jvp=jvp, samples=[np.zeros(3)]).passed


def test_a_jvp_beside_a_wrong_backward_is_not_judged() -> None:
    """Backward is told; who contradicts what is wrong may be right."""
    op = square(lambda grad, out, x: grad * x, jvp=lambda t, out, x: 2 * x * t[0])

    assert {f.code for f in check(op, cases=4).findings} == {"GC201"}
