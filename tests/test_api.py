"""The Python door: `check`, its report, and what importing it costs."""

import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradcheck_cli
from gradcheck_cli import DeclarationError, Finding, GradcheckError, GradientError, Op, Report, UsageError, check
from gradcheck_cli.checks.finding import Verdict
from gradcheck_cli.draw import Sampling
from gradcheck_cli.numeric.classic import Classic
from gradcheck_cli.runner import OpResult, OpStarted, Options, RunFinished, run

Array = NDArray[Any]


def scale(x: Array, k: float = 2) -> Any:
    return k * x


def scale_backward(grad: Array, out: Array, x: Array, k: float = 2) -> Any:
    """dL/dx = k g"""
    return k * grad


def scale_wrong(grad: Array, out: Array, x: Array, k: float = 2) -> Any:
    return grad + 0 * x


RIGHT = Op(scale, scale_backward, "()->()", params={"k": [2, 3]})
WRONG = Op(scale, scale_wrong, "()->()", params={"k": [2, 3]})


def shapes_of(report: Report) -> set[Any]:
    return {result.case.shapes for result in report.result.cases}


# Checking an op


def test_a_right_op_passes() -> None:
    """With a resolution, and nothing found."""
    report = check(RIGHT, edges=False)

    assert (report.passed, report.verdict, report.findings) == (True, "pass", ())
    assert report.resolution is not None
    assert 0 < report.resolution < 1e-6


def test_a_wrong_op_fails() -> None:
    """With findings that say where."""
    report = check(WRONG)

    assert (report.passed, report.verdict) == (False, "fail")
    assert {(f.code, f.input) for f in report.findings} == {("GC201", "x")}


def test_a_finding_has_all_that_is_promised() -> None:
    """code, cause, severity, input, case, message, why and suggestion."""
    finding = check(WRONG).findings[0]

    assert isinstance(finding, Finding)
    assert (finding.code, finding.cause, finding.severity.name, finding.input) == (
        "GC201",
        "wrong_scale",
        "FAILURE",
        "x",
    )
    assert finding.case.op is WRONG
    assert finding.message.startswith("grad x")
    assert finding.why.startswith("Times 2 ")
    assert finding.suggestion == "grad_x * 2"


def test_the_resolution_is_that_of_the_bluntest_case() -> None:
    """The smallest error that every ordinary case would have caught; an edge in float32 says nothing about the op."""
    report = check(RIGHT)
    ordinary = [case for case in report.result.cases if not case.case.edge]
    resolutions = [r.resolution for case in ordinary for r in case.inputs if r.resolution is not None]

    assert len(ordinary) < len(report.result.cases)
    assert report.resolution == max(resolutions)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"cases": 3}, 3),
        ({"cases": 7, "seed": 4}, 7),
        ({"rank": 2, "cases": 5}, 5),
    ],
)
def test_options_are_those_of_the_command(options: dict[str, Any], expected: int) -> None:
    """As many cases as were asked for."""
    report = check(RIGHT, edges=False, **options)

    assert len(report.result.cases) == expected
    assert {case.case.seed for case in report.result.cases} == {options.get("seed", 0)}


def test_rank_and_side_are_kept() -> None:
    """Of the inputs that are drawn; no side is empty by chance."""
    report = check(RIGHT, rank=2, max_side=2)

    assert {len(shape) for shapes in shapes_of(report) for shape in shapes} == {2}
    assert {side for shapes in shapes_of(report) for shape in shapes for side in shape} == {1, 2}


def test_a_dtype_that_is_asked_for_needs_no_declaration() -> None:
    """Of a pair of functions: who says complex128 means it."""

    def conjugated(grad: Array, out: Array, _z: Array) -> Array:
        return grad * np.conj(out)

    def plain(grad: Array, out: Array, _z: Array) -> Array:
        return grad * out

    right, wrong = (check(np.exp, b, shapes=[(3,)], dtype="complex128", edges=False) for b in (conjugated, plain))

    assert right.passed
    assert {finding.code for finding in wrong.findings} == {"GC201"}


def test_dtype_is_that_of_the_inputs() -> None:
    """float32 is checked as float32."""
    report = check(RIGHT, dtype="float32")

    assert report.passed
    assert {str(x.dtype) for case in report.result.cases for x in case.case.inputs} == {"float32"}


def test_params_are_fixed() -> None:
    """As `--param` does."""
    assert {case.case.params["k"] for case in check(RIGHT, params={"k": 3}).result.cases} == {3}
    assert {case.case.params["k"] for case in check(RIGHT).result.cases} == {2, 3}


def test_the_same_seed_gives_the_same_report() -> None:
    """And another seed other values."""

    def values(seed: int) -> list[Any]:
        return [x.tolist() for case in check(RIGHT, seed=seed).result.cases for x in case.case.inputs]

    assert values(5) == values(5) != values(6)


@pytest.mark.parametrize("tolerance", ["eps", "rtol", "atol"])
def test_any_tolerance_asks_for_the_classic_test(tolerance: str) -> None:
    """And the report says so."""
    given: dict[str, Any] = {tolerance: 1e-4}
    report = check(RIGHT, **given)

    assert report.run.options.judging.tolerances == Classic(**given)
    assert "classic test: eps " in str(report)


def test_an_op_declares_itself() -> None:
    """check(op) takes no second declaration."""
    extras: list[dict[str, Any]] = [{"backward": abs}, {"signature": "()->()"}, {"domain": gradcheck_cli.REAL}]
    for extra in extras:
        with pytest.raises(UsageError, match="the op has its own"):
            check(RIGHT, **extra)


# Checking two functions


def test_two_functions_are_an_op() -> None:
    """Shapes say how many inputs there are."""
    report = check(np.multiply, lambda grad, _, a, b: (grad * b, grad * a), shapes=[(3, 4), (3, 4)])

    assert report.passed
    assert shapes_of(report) == {((3, 4), (3, 4))}
    assert (report.result.op.name, report.result.op.names) == ("multiply", ("a", "b"))


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3,), (2, 3, 4)])
def test_any_shape_will_do(shape: tuple[int, ...]) -> None:
    """Scalars, vectors, nothing at all."""
    assert check(scale, scale_backward, shapes=[shape]).passed


def test_shapes_are_taken_as_they_are() -> None:
    """No loop dimensions are made up for a function that said nothing of them."""
    assert shapes_of(check(scale, scale_backward, shapes=[[3, 4]])) == {((3, 4),)}  # type: ignore[list-item]


def test_two_functions_and_a_signature() -> None:
    """Shapes are drawn, or completed."""
    report = check(np.outer, lambda grad, _, a, b: (grad @ b, a @ grad), signature="(m),(n)")
    partial = check(np.outer, lambda grad, _, a, b: (grad @ b, a @ grad), signature="(m),(n)", shapes=[(5,)])

    assert report.passed
    assert len(shapes_of(report)) > 5
    assert {shapes[0] for shapes in shapes_of(partial)} == {(5,)}


def test_params_of_two_functions_are_given() -> None:
    """They need no choices."""
    report = check(scale, scale_backward, shapes=[(3,)], params={"k": 7})

    assert report.passed
    assert {case.case.params["k"] for case in report.result.cases} == {7}


def test_a_lambda_has_a_name_for_the_report() -> None:
    """It is called what it is."""
    assert check(lambda x: 2 * x, lambda grad, _, _x: 2 * grad, shapes=[(3,)]).result.op.name == "forward"


def test_further_keywords_are_those_of_op() -> None:
    """domain=, name=, ..."""
    report = check(np.log, lambda grad, _, x: grad / x, shapes=[(3,)], domain=gradcheck_cli.POSITIVE, name="ln")

    assert report.passed
    assert report.result.op.name == "ln"


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((scale,), {}, UsageError, "needs a shape for each of x"),
        ((scale, scale_backward), {}, UsageError, "needs shapes="),
        ((RIGHT,), {"params": {"q": 1}}, UsageError, "no param 'q'; it has k"),
        ((RIGHT,), {"shapes": [(3,), (3,)]}, UsageError, "2 shapes given"),
        ((RIGHT,), {"dtype": "float16"}, UsageError, "float64, float32, not float16"),
        ((scale, scale_backward), {"signature": "n->n"}, DeclarationError, "each operand stands in parentheses"),
        ((scale, scale_backward), {"shapes": [(3,)] * 3}, UsageError, r"takes 2 inputs \(x, k\), but 3 shapes"),
    ],
)
def test_what_cannot_be_checked_is_an_error(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type[GradcheckError], message: str
) -> None:
    """Never a wrong gradient: that is a report."""
    with pytest.raises(error, match=message):
        check(*arguments, **options)


@pytest.mark.parametrize("shape", [(-1,), (2.5,), ("3",)])
def test_a_shape_that_is_none_is_an_error_of_the_user(shape: Any) -> None:
    """Said as one, not as a crash inside NumPy."""
    with pytest.raises(GradcheckError):
        check(scale, scale_backward, shapes=[shape])


# Reports


def test_raise_for_failures_carries_the_story() -> None:
    """In a test suite the printed story is the assertion message."""
    report = check(WRONG)
    with pytest.raises(GradientError) as caught:
        report.raise_for_failures()

    assert isinstance(caught.value, AssertionError)
    assert str(caught.value) == str(report)
    assert "FAIL scale · GC201 · wrong_scale" in str(caught.value)
    assert "test_api.py:" in str(caught.value)


def test_raise_for_failures_is_silent_about_a_pass() -> None:
    """Warnings included."""
    check(RIGHT).raise_for_failures()


def test_a_gradient_that_was_never_judged_is_no_pass() -> None:
    """Inconclusive raises as well: the gate stays closed."""

    def hole(x: Array) -> Array:
        return np.where(x == 1 / 3, x, np.nan)

    op = Op(hole, lambda grad, _, _x: grad, "()->()", domain=gradcheck_cli.one_of([1 / 3]))
    report = check(op, edges=False, cases=6)

    assert (report.passed, report.verdict) == (False, "inconclusive")
    with pytest.raises(GradientError, match="INCONCLUSIVE"):
        report.raise_for_failures()


# Runs: what the command line and `check` have in common


def finished(ops: list[Op], **options: Any) -> RunFinished:
    *_, last = run(ops, Options(**options))
    assert isinstance(last, RunFinished)
    return last


def renamed(op: Op, name: str) -> Op:
    return Op(op.forward, op.backward, op.signature, params=op.params, name=name)


def test_events_come_in_order() -> None:
    """Each op starts, its cases finish, its result follows; the run ends."""
    ops = [renamed(RIGHT, "a"), renamed(RIGHT, "b")]
    kinds = [type(event).__name__ for event in run(ops, Options(Sampling(cases=2, edges=False)))]

    assert kinds == [*["OpStarted", "CaseFinished", "CaseFinished", "OpResult"] * 2, "RunFinished"]


def test_ops_are_numbered() -> None:
    """For progress."""
    started = [e for e in run([renamed(RIGHT, "a"), renamed(RIGHT, "b")], Options()) if isinstance(e, OpStarted)]

    assert [(e.number, e.total) for e in started] == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("ops", "code"),
    [
        ([RIGHT], 0),
        ([WRONG], 1),
        ([renamed(RIGHT, "a"), WRONG], 1),
        ([], 5),
        ([Op(np.square, lambda grad, _, x: 2 * grad * x, "()->()", dtypes=["float64"])], 0),
    ],
)
def test_exit_codes(ops: list[Op], code: int) -> None:
    """0 all right, 1 something wrong, 5 nothing checked."""
    assert finished(ops).exit_code == code


def test_an_op_that_options_do_not_fit_is_skipped_among_several() -> None:
    """Visibly; alone it is a usage error."""
    vector = Op(np.cumsum, lambda grad, _, _x: np.cumsum(grad[::-1])[::-1], "(n)", name="vector")
    matrix = Op(np.trace, lambda grad, _, x: grad * np.eye(*x.shape), "(n,m)", name="matrix")
    sampling = Sampling(shapes=((3,),))
    result = finished([vector, matrix], sampling=sampling)

    assert [(op.op.name, op.verdict) for op in result.ops] == [("vector", Verdict.PASS), ("matrix", Verdict.SKIP)]
    assert "x (3,) has 1 dimension, but (n,m) needs at least 2" in str(result.ops[1].skipped)
    with pytest.raises(UsageError):
        finished([matrix], sampling=sampling)


@pytest.mark.parametrize("limit", [1, 3])
def test_maxfail_stops_the_run(limit: int) -> None:
    """After so many failed cases; what was found is kept."""
    result = finished([WRONG, renamed(RIGHT, "never")], maxfail=limit)

    assert [op.op.name for op in result.ops] == ["scale"]
    assert len(result.ops[0].cases) == limit
    assert result.stopped == f"stopped after {limit} failed case{'s' * (limit > 1)}"


def test_an_inconclusive_case_is_drawn_again() -> None:
    """With other values, up to three times; the redraw is counted."""

    def unlucky(x: Array) -> Array:
        return np.where((np.abs(x - 1 / 3) < 0.1) & (x != 1 / 3), np.nan, x)

    op = Op(unlucky, lambda grad, _, _x: grad, "()->()", domain=gradcheck_cli.one_of([1 / 3, 2.0]))
    result = finished([op], sampling=Sampling(rank=0))

    assert result.ops[0].redrawn > 0
    assert any(case.case.attempt > 0 for case in result.ops[0].cases)
    assert result.exit_code == 0


def test_dropped_combinations_are_counted() -> None:
    """What forward refused is not hidden."""

    def picky(x: Array, k: int) -> Array:
        if k > x.ndim:
            raise ValueError("too many")
        return x + k

    result = finished([Op(picky, lambda grad, _, _x, k: grad + 0 * k, "(...)", params={"k": [3, 0]}, name="picky")])

    assert result.exit_code == 0
    assert result.ops[0].dropped > 0


def test_closing_a_run_early_keeps_what_was_yielded() -> None:
    """Interrupted runs still have their results."""
    events = run([renamed(RIGHT, "a"), renamed(RIGHT, "b")], Options())
    first = next(event for event in events if isinstance(event, OpResult))
    events.close()  # type: ignore[attr-defined]

    assert first.verdict is Verdict.PASS


# The door


def imported(*command: str) -> set[str]:
    """The top-level packages that a fresh Python has imported after a command."""
    code = f"import sys\nsys.argv = {['gradcheck', *command[1:]]!r}\n{command[0]}\nprint(*sys.modules, sep='\\n')"
    text = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return {name.partition(".")[0] for name in text.split()}


HELP = "import runpy\ntry: runpy.run_module('gradcheck_cli', run_name='__main__')\nexcept SystemExit: pass"


@pytest.mark.parametrize(
    ("command", "absent"),
    [
        (["import gradcheck_cli"], {"numpy", "click", "rich", "importlib_metadata", "inspect"}),
        (["import gradcheck_cli; gradcheck_cli.Op"], {"click", "rich"}),
        (["from gradcheck_cli import check, REAL, AXES"], {"click", "rich"}),
        ([HELP, "--help"], {"numpy", "rich"}),
        ([HELP, "run", "--help"], {"numpy", "rich"}),
        ([HELP, "run", "matmul", "--shape", "2,3,4,5"], {"msgspec", "difflib", "email"}),
        ([HELP, "-V"], {"numpy", "rich"}),
        ([HELP, "explain", "missing"], {"numpy"}),
        ([HELP, "explain", "GC999"], {"numpy"}),
    ],
)
def test_importing_costs_nothing_that_is_not_used(command: list[str], absent: set[str]) -> None:
    """The door brings no click, rich or numpy, `--help` and `explain` no numpy, `run` nothing that failures need."""
    assert imported(*command) & absent == set()


def test_the_door_opens_to_everything_it_lists() -> None:
    """Every public name can be had, and no other."""
    for name in gradcheck_cli.__all__:
        assert getattr(gradcheck_cli, name) is not None
    assert dir(gradcheck_cli) == sorted(gradcheck_cli.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'chekc'"):
        _ = gradcheck_cli.chekc


def test_the_door_lists_what_the_design_promises() -> None:
    """Declarations of section 4 need nothing else."""
    promised = "AXES PERMUTATIONS REAL POSITIVE NONNEGATIVE SPD interval one_of integers index Op unbroadcast check"

    assert set(promised.split()) <= set(gradcheck_cli.__all__)


# What op files share


@pytest.mark.parametrize(
    ("grad", "like"),
    [
        ((2, 3), (2, 3)),
        ((2, 3), (3,)),
        ((2, 3), (2, 1)),
        ((2, 3), (1, 1)),
        ((2, 3), ()),
        ((4, 2, 3), (1, 3)),
        ((0, 3), (1, 3)),
    ],
)
def test_unbroadcast_undoes_broadcasting(grad: tuple[int, ...], like: tuple[int, ...]) -> None:
    """<g, broadcast(x)> = <unbroadcast(g), x> for every x, and the shape is that of x."""
    rng = np.random.default_rng(0)
    g, x = rng.normal(size=grad), rng.normal(size=like)
    summed = gradcheck_cli.unbroadcast(g, x)

    assert np.shape(summed) == like
    assert np.sum(summed * x) == pytest.approx(np.sum(g * np.broadcast_to(x, grad)))


@pytest.mark.parametrize("rank", range(5))
def test_axes_are_accepted_by_numpy(rank: int) -> None:
    """Every choice of AXES is an axis argument for an array of that rank."""
    x = np.zeros((2,) * rank)

    for axis in gradcheck_cli.AXES(x.shape):
        np.sum(x, axis=axis)


@pytest.mark.parametrize("rank", range(6))
def test_permutations_are_accepted_by_numpy(rank: int) -> None:
    """Every choice of PERMUTATIONS is an axes argument."""
    x = np.zeros((2,) * rank)

    for axes in gradcheck_cli.PERMUTATIONS(x.shape):
        np.transpose(x, axes)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_all_permutations_are_there_up_to_rank_three(rank: int) -> None:
    """And None, and a negative one."""
    choices: list[Any] = gradcheck_cli.PERMUTATIONS((2,) * rank)

    assert set(itertools.permutations(range(rank))) <= set(choices)
    assert None in choices
    assert any(axes and min(axes) < 0 for axes in choices) is (rank > 1)
