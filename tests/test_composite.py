"""A plain function is an op, too: its backward is the tape."""

from typing import Any

import numpy as np
import pytest
from conftest import Gradcheck, WriteFile

from gradcheck_cli import Op, Variable, apply, check, jvp
from gradcheck_cli.errors import UsageError
from gradcheck_cli.variable.composite import composite

SHAPES = [(3, 4), (4, 5), (5,)]
NET = """
    def two_layer(x, w, b, scale=2.0):
        return scale * np.tanh(x @ w + b)

    def running(x):
        return np.cumsum(x)

    def cosh_backward(grad, out, x):
        return -grad * np.sinh(x)

    def energy(x, w):
        return np.sum(np.cosh(x @ w))

    OPS = [Op(np.cosh, cosh_backward, "()->()")]
    """


def two_layer(x: Any, w: Any, b: Any, scale: float = 2.0) -> Any:
    return scale * np.tanh(x @ w + b)


def test_a_network_is_checked() -> None:
    """Each input has a gradient, and each is right, at order 2 as well."""
    report = check(two_layer, shapes=SHAPES, order=2, edges=False)

    assert report.passed
    assert {entry.name for case in report.result.cases for entry in case.inputs} == {"x", "w", "b", "grad"}


def test_several_outputs() -> None:
    """Each has its cotangent."""
    assert check(lambda x, w: (np.sin(x) @ w, x.sum()), shapes=[(3, 4), (4,)], edges=False).passed


def test_params() -> None:
    """What has a default is a param."""
    op = composite(two_layer, SHAPES)

    assert dict(op.params) == {"scale": [2.0]}
    assert check(two_layer, shapes=SHAPES, params={"scale": 0.5}, edges=False).passed


def test_a_signature_instead_of_shapes() -> None:
    """Then shapes are drawn."""
    assert check(two_layer, signature="(n,k),(k,m),(m)->(n,m)", cases=4, edges=False).passed


def test_any_number_of_inputs() -> None:
    """As many as there are shapes."""

    def total(*parts: Any) -> Any:
        return np.sum(np.concatenate(parts) ** 2)

    assert composite(total, [(2,), (3,)]).names == ("parts0", "parts1")
    assert check(total, shapes=[(2,), (3,)], edges=False).passed


def test_installed_ops_by_name() -> None:
    """`apply` works in a function that gets arrays, too."""
    assert check(lambda x: apply("sigmoid", 3 * x), shapes=[(3,)], edges=False).passed


def test_a_composite_on_variables() -> None:
    """It is an op like any other: forward mode differentiates its backward."""
    op = composite(two_layer, SHAPES)
    rng = np.random.default_rng(0)
    points = tuple(rng.normal(size=shape) for shape in SHAPES)
    tangents = tuple(rng.normal(size=shape) for shape in SHAPES)

    by_op = jvp(lambda *x: apply(op, *x), points, tangents)
    np.testing.assert_allclose(by_op, jvp(two_layer, points, tangents), rtol=1e-12)


def test_on_the_command_line(op_file: WriteFile, gradcheck: Gradcheck) -> None:
    """By name, with a shape for each input."""
    op_file(NET, "net.py")
    shapes = [word for shape in ("3,4", "4,5", "5") for word in ("--shape", shape)]
    outcome = gradcheck("run", "net.py::two_layer", *shapes, "--param", "scale=3.0", "--no-edges")

    assert outcome.code == 0
    assert "(3,4) (4,5) (5,) scale=3.0" in outcome.stdout


def test_the_op_to_blame_is_named(op_file: WriteFile, gradcheck: Gradcheck) -> None:
    """Nobody wrote the network's gradient: one story, about the op inside, and its replay."""
    op_file(NET, "net.py")
    outcome = gradcheck("run", "net.py::energy", "--shape", "2,3", "--shape", "3", "--no-edges")

    assert outcome.code == 1
    assert outcome.stdout.count("\n  FAIL ") == 1
    assert "energy calls cosh, whose own backward (net.py:10 in cosh_backward) is wrong: GC201" in outcome.stdout
    assert "smallest failing input: (1,1) (1,)" in outcome.stdout
    assert gradcheck("run", "net.py::energy", "--lf").code == 1
    assert gradcheck("run", "--lf").code == 1


def test_what_the_tape_cannot_follow_at_one_case_is_said_there() -> None:
    """It was not met when the function was tried, or is no matter of the tape at all."""

    def turned(x: Any) -> Any:
        return np.flip(x) if x.size > 3 else x

    def flagged(x: Any) -> Any:
        return x if x.flags.writeable else -x

    assert "turned raises TapeError: np.flip has no" in str(check(turned, signature="(n)->(n)", edges=False))
    assert "flagged raises AttributeError" in str(check(flagged, signature="(n)->(n)", edges=False))


def test_precisions_may_be_mixed() -> None:
    """The tape's gradient has its data's type, and no op is blamed for the wider one on the way."""
    scale = np.array([1.0, 2.0, 3.0])
    cube = Op(lambda x: x**3, lambda grad, out, x: grad * x**2, "()->()", name="cube")
    right = check(lambda x: np.sum(np.sin(x * scale)), shapes=[(3,)], dtype="float32", edges=False)
    wrong = check(lambda x: np.sum(apply(cube, x * scale)), shapes=[(3,)], dtype="float32", edges=False)

    assert right.passed
    assert "calls cube, whose own backward" in str(wrong)


def test_a_value_that_the_tape_does_not_see_is_told() -> None:
    """Every op is right, so it is none of these that is to blame."""
    report = check(lambda x: x * (x.data if isinstance(x, Variable) else x), shapes=[(3,)], edges=False)

    assert {(finding.code, finding.cause) for finding in report.findings} == {("GC201", "detached")}
    assert "uses a value that the tape does not see" in str(report)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["two_layer"], "needs a shape for each of x, w, b (none given)"),
        (["two_layer", "--shape", "3,4"], "(1 given): --shape 3,4 for each"),
        (["two_layer", "--shape", "3,4", "--shape", "3,4", "--shape", "4"], "net.py:5: ValueError: matmul"),
        (["running", "--shape", "3"], "net.py:8: np.cumsum has no registered op"),
        (["absent", "--shape", "3"], "no op named 'absent' is in net.py"),
    ],
)
def test_what_cannot_be_checked_is_one_line(
    op_file: WriteFile, gradcheck: Gradcheck, arguments: list[str], message: str
) -> None:
    """Exit 2, with what to do."""
    op_file(NET, "net.py")
    outcome = gradcheck("run", f"net.py::{arguments[0]}", *arguments[1:])

    assert outcome.code == 2
    assert outcome.stdout == ""
    assert len(outcome.stderr.splitlines()) == 1
    assert message in outcome.stderr


def test_show_knows_no_shapes(op_file: WriteFile, gradcheck: Gradcheck) -> None:
    """It says how a plain function is checked."""
    op_file(NET, "net.py")

    assert "plain function without a backward; gradcheck run net.py::two_layer --shape" in (
        gradcheck("show", "net.py::two_layer").stderr
    )


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: {"y": x}, "returns a dict"),
        (lambda x: np.array([float(v) for v in x]), "would become a plain number"),
        (lambda x: np.asarray(x) * 2, "would become a plain array"),
    ],
)
def test_what_would_detach_is_refused(function: Any, message: str) -> None:
    """Before anything is checked."""
    with pytest.raises(UsageError, match=message):
        check(function, shapes=[(3,)])
