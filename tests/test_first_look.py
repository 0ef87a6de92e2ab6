"""The first look: what it believes is right, what it does not believe the ladder decides, and what it costs."""

import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from conftest import Gradcheck, WriteFile
from numpy.typing import NDArray
from test_numeric import SMOOTH, Smooth

from gradcheck_cli import Op, check, unbroadcast
from gradcheck_cli.analytic import gradients, rounding
from gradcheck_cli.blocks import BLOCK, largest, largest_gap
from gradcheck_cli.case import Case, lay_out, make_case
from gradcheck_cli.checks import examine
from gradcheck_cli.checks.colours import colours_of
from gradcheck_cli.checks.finding import Severity
from gradcheck_cli.checks.forward import check_forward
from gradcheck_cli.checks.oracle import oracle_of
from gradcheck_cli.checks.quick import Agreement, Looks
from gradcheck_cli.checks.structure import usable
from gradcheck_cli.checks.value import Judging
from gradcheck_cli.numeric.direction import Direction
from gradcheck_cli.numeric.glimpses import Differences
from gradcheck_cli.numeric.quick import CLOSE, extrapolate, fewer, look

Array = NDArray[Any]
Function = Callable[..., Any]


def numbers(*shape: int) -> Array:
    """Between 0.1 and 2, of either sign."""
    random = np.random.default_rng(3)
    return np.asarray(random.uniform(0.1, 2, shape) * random.choice([-1, 1], shape))


def matmul_backward(grad: Array, out: Array, a: Array, b: Array) -> Any:
    return unbroadcast(grad @ b.swapaxes(-1, -2), a), unbroadcast(a.swapaxes(-1, -2) @ grad, b)


def tanh_backward(grad: Array, out: Array, x: Array) -> Any:
    return grad * (1 - out * out)


MATMUL = Op(np.matmul, matmul_backward, "(n,k),(k,m)->(n,m)", name="matmul")
TANH = Op(np.tanh, tanh_backward, "()->()", name="tanh")
ADD = Op(np.add, lambda grad, out, a, b: (unbroadcast(grad, a), unbroadcast(grad, b)), "(),()->()", name="add")


def case_of(op: Op, *inputs: Array) -> Case:
    return make_case(op, inputs, {}, seed=0, index=0)


def first_look(case: Case, mode: str = "auto") -> dict[int, Agreement]:
    """What a first look believes, by input position."""
    exact = usable(gradients(case), case)
    looks = Looks(case, oracle_of(case), exact, lambda: rounding(case, exact), mode, 10_000)
    return looks.agreements(list(exact))


class Counted:
    """A function that counts its calls."""

    def __init__(self, function: Function) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *args: Array) -> Any:
        self.calls += 1
        return self.function(*args)


class Glimpsed:
    """One function at many points, its differences as they are."""

    epsilon = 2.0**-52

    def __init__(self, function: Function, x: Array) -> None:
        self.function, self.x = function, x
        self.low, self.high = np.full(x.shape, -np.inf), np.full(x.shape, np.inf)
        self.scale = 2.0 ** np.floor(np.log2(np.maximum(np.abs(x), 1)))

    def __call__(self, unit: Array, steps: Sequence[int], one_sided: bool = False, alone: bool = False) -> Differences:
        t = np.array([unit * 2.0**-step for step in steps])
        here, ahead, behind = (self.function(x) for x in (self.x, self.x + t, self.x - t))
        level, bend = np.hypot(ahead[0], behind[0]), ahead[0] + behind[0] - 2 * here
        return Differences(ahead - behind, (self.x + t) - (self.x - t), level, bend, [1] * len(unit))


# The slopes


@pytest.mark.parametrize("name", SMOOTH)
def test_a_tight_bar_holds_the_truth(name: str) -> None:
    """Where a bar is narrow enough to believe something: nearly always, and never by more than 1e-12."""
    function: Smooth = SMOOTH[name]
    x = np.random.default_rng(5).uniform(function.low, function.high, 2000)
    seen = look(Glimpsed(function.function, x))
    truth = function.derivative(x)
    close = seen.bar <= CLOSE * np.maximum(np.abs(truth), 1e-3)
    off = (np.abs(seen.value - truth) - seen.bar)[close] / (np.abs(truth[close]) + 1)

    assert not off.size or np.mean(off <= 8 * 2.0**-52) > 0.998
    assert np.all(off < 1e-12)


def test_most_slopes_are_known_at_once() -> None:
    """All of a tanh's, to twelve digits."""
    x = np.random.default_rng(5).uniform(-3, 3, 500)
    seen = look(Glimpsed(np.tanh, x))

    assert np.quantile(seen.bar, 0.9) < 1e-12


def test_the_largest_step_of_a_line_is_the_best() -> None:
    """Small steps only add noise."""
    noise = np.array([1.0, 2.0, 4.0, 8.0, 16.0])[:, None] * 1e-13
    value, bar = extrapolate(np.full((5, 1), 3.0), noise)

    assert value.item() == 3.0
    assert bar.item() == pytest.approx(1e-13, rel=0.02)


@pytest.mark.parametrize(
    ("function", "count", "one_sided"),
    [
        (lambda x: 3 * x, 1, True),
        (lambda x: x * x, 1, False),
        (np.exp, 2, False),
        (lambda x: np.sin(9 * x), 4, False),
    ],
    ids=["line", "parabola", "exp", "sin"],
)
def test_further_directions_take_as_few_steps_as_do(function: Function, count: int, one_sided: bool) -> None:
    """A line one, and one side of it; a parabola both sides, an exp two, what bends more nearly all."""
    plan = fewer(look(Glimpsed(function, np.array([0.7]))), 1, 1e-7)

    assert (len(plan.steps), plan.one_sided) == (count, one_sided)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_line_is_seen_beside_a_kink(side: float) -> None:
    """Where only the larger steps cross it: twelve digits at the first look."""
    seen = look(Glimpsed(np.abs, np.array([side / 20])))

    assert seen.value.item() == pytest.approx(side, abs=1e-12)
    assert seen.bar.item() < 1e-12


# What is believed


@pytest.mark.parametrize(
    ("op", "inputs"),
    [
        (TANH, (numbers(32, 32),)),
        (MATMUL, (numbers(2, 3, 4, 5), numbers(3, 5, 6))),
        (ADD, (numbers(4, 1, 5), numbers(3, 1))),
    ],
    ids=["tanh", "matmul", "add"],
)
def test_a_right_gradient_is_believed(op: Op, inputs: Sequence[Array]) -> None:
    """Every input, to twelve digits."""
    found = first_look(case_of(op, *inputs))

    assert found.keys() == set(range(len(inputs)))
    assert all(agreement.resolution < 1e-11 for agreement in found.values())


@pytest.mark.parametrize("mode", ["auto", "full", "probe"])
@pytest.mark.parametrize("error", [1e-9, 0.3, np.inf])
def test_a_wrong_entry_is_not_believed(error: float, mode: str) -> None:
    """One of a thousand, off by next to nothing or by everything."""

    def wrong(grad: Array, out: Array, x: Array) -> Any:
        gradient = tanh_backward(grad, out, x)
        gradient[5, 7] = gradient[5, 7] * (1 + error) if np.isfinite(error) else 0
        return gradient

    assert first_look(case_of(Op(np.tanh, wrong, "()->()"), numbers(32, 32)), mode) == {}


def test_errors_that_cancel_in_a_sum_are_seen() -> None:
    """Two entries exchanged, or +-50 % in turn: no direction of ones would see it."""

    def exchanged(grad: Array, out: Array, a: Array, b: Array) -> Any:
        first, second = matmul_backward(grad, out, a, b)
        return first[..., ::-1], second

    assert 0 not in first_look(case_of(Op(np.matmul, exchanged, "(n,k),(k,m)->(n,m)"), numbers(4, 5), numbers(5, 6)))


def test_a_slope_beyond_a_kink_is_not_believed() -> None:
    """Twice the slope at relu(0), among a hundred right ones."""
    x = numbers(10, 10)
    x[3, 4] = 0
    relu = Op(lambda x: np.maximum(x, 0), lambda grad, out, x: grad * np.where(x == 0, 2, x > 0), "()->()", name="relu")

    assert first_look(case_of(relu, x)) == {}
    assert any(f.severity is Severity.FAILURE for f in examine(case_of(relu, x), Judging()).findings)


def test_single_precision_is_judged_by_the_double() -> None:
    """To its own rounding, where forward runs in double precision, too."""
    found = first_look(case_of(TANH, numbers(6, 7).astype(np.float32)))

    assert 1e-8 < found[0].resolution < 1e-4


def test_a_forward_for_single_precision_alone_is_left_to_the_ladder() -> None:
    """Its noise leaves no digits to be quick with."""
    op = Op(lambda x: np.tanh(x.astype(np.float32)), tanh_backward, "()->()", name="op")

    assert first_look(case_of(op, numbers(6, 7).astype(np.float32))) == {}


# What it costs


@pytest.mark.parametrize(
    ("function", "backward", "signature", "shapes", "most"),
    [
        (np.tanh, tanh_backward, "()->()", [(100_000,)], 45),
        (np.exp, lambda grad, out, x: grad * out, "()->()", [(100_000,)], 35),
        (np.matmul, matmul_backward, "(n,k),(k,m)->(n,m)", [(200, 200), (200, 200)], 45),
        (lambda x: x.sum(), lambda grad, out, x: np.full(x.shape, grad), "(n)->()", [(100_000,)], 35),
    ],
    ids=["tanh", "exp", "matmul", "sum"],
)
def test_a_large_input_takes_some_thirty_calls(
    function: Function, backward: Function, signature: str, shapes: Sequence[tuple[int, ...]], most: int
) -> None:
    """Two inputs a few more; entries do not count."""
    counted = Counted(function)
    op = Op(counted, backward, signature, name="op")
    result = examine(case_of(op, *(numbers(*shape) for shape in shapes)), Judging())

    assert not result.findings
    assert counted.calls <= most


def test_an_elementwise_jacobian_takes_as_many_calls_as_one_entry() -> None:
    """All 10,000 entries by themselves, in mode full."""
    counted = Counted(np.tanh)
    op = Op(counted, tanh_backward, "()->()", name="op")
    result = examine(case_of(op, numbers(100, 100)), Judging("full"))

    assert [i.method for i in result.inputs] == ["full"]
    assert counted.calls <= 35


def test_a_batch_takes_as_many_directions_as_one_matrix_has_entries() -> None:
    """Loop dimensions share theirs."""
    counted = Counted(np.matmul)
    op = Op(counted, matmul_backward, "(n,k),(k,m)->(n,m)", name="op")
    result = examine(case_of(op, numbers(50, 4, 5), numbers(50, 5, 3)), Judging("full"))

    assert [i.method for i in result.inputs] == ["full", "full"]
    assert counted.calls <= 10 * (4 * 5 + 5 * 3) + 40


def test_a_column_of_a_product_takes_one_call() -> None:
    """Where no loops make it sparse; its steps are those that one direction showed to be enough."""
    counted = Counted(np.matmul)
    op = Op(counted, matmul_backward, "(n,k),(k,m)->(n,m)", name="op")
    examine(case_of(op, numbers(20, 20), numbers(20, 20)), Judging("full"))

    assert counted.calls <= 800 + 40


def test_a_wrong_entry_among_many_is_found_in_a_few_looks() -> None:
    """Named, and not by asking every one of 50,000."""

    def wrong(grad: Array, out: Array, x: Array) -> Any:
        gradient = tanh_backward(grad, out, x)
        gradient[34_567] *= 1.01
        return gradient

    counted = Counted(np.tanh)
    result = examine(case_of(Op(counted, wrong, "()->()", name="op"), numbers(50_000)), Judging())

    assert "grad x[34567]" in result.findings[0].message
    assert counted.calls < 5_000


def test_memory_is_eight_times_the_input() -> None:
    """x, its output, two cotangents' worth and what backward makes of them."""
    case = numbers(1_000_000)
    tracemalloc.start()
    examine(case_of(TANH, case), Judging())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak <= 8.5 * case.nbytes


# Stacked calls, colours, and signatures that lie


def test_a_stacked_call_is_one_call() -> None:
    """Ten points of a small op for the price of one."""
    counted = Counted(np.tanh)
    result = examine(case_of(Op(counted, tanh_backward, "()->()", name="op"), numbers(3, 4)), Judging())

    assert not result.findings
    assert counted.calls <= 12


@pytest.mark.parametrize(
    ("forward", "signature"),
    [
        (lambda x: x - x.mean(axis=0), "(n,d)->(n,d)"),
        (lambda x: x.reshape(-1), "(...)"),
        (lambda x: np.tanh(x) if x.ndim == 2 else np.exp(x), "(n,d)->(n,d)"),
    ],
    ids=["over the first axis", "no arrow", "by rank"],
)
def test_what_a_stacked_call_does_not_reproduce_is_called_point_by_point(forward: Function, signature: str) -> None:
    """A forward that does something else with one axis more."""
    op = Op(forward, lambda grad, out, x: grad, signature, name="op")

    case = case_of(op, numbers(3, 4))
    points = oracle_of(case).points
    values = [
        values for _, values, _ in points.at([Direction(((0, 5),))], np.zeros(4, int), np.array([0.1, -0.1, 0.2, 0.3]))
    ]

    assert not points.stacks
    assert np.concatenate(values)[2].tolist() == points.evaluate(Direction(((0, 5),)), 0.2)[0].tolist()


def test_what_is_stacked_for_one_input_is_tried_again_for_another() -> None:
    """This forward broadcasts over its first operand's loops, and takes the second's for its own."""
    op = Op(lambda a, b: a + 0 * b.sum(axis=0), lambda grad, out, a, b: (grad, 0 * b), "(n),(n)->(n)", name="op")
    points, t = oracle_of(case_of(op, numbers(4), numbers(4))).points, np.array([0.1, -0.1, 0.2, -0.2])

    for direction in (Direction(((0, 1),)), Direction(((1, 1),))):
        values = np.concatenate([values for _, values, _ in points.at([direction], np.zeros(4, int), t)])
        assert values.tolist() == [points.evaluate(direction, step)[0].tolist() for step in t]


def test_a_stacked_call_that_does_not_reproduce_the_output_is_not_trusted() -> None:
    """With an axis in front this forward takes the mean over points: f(x) among them says so, and each is called."""

    def backward(grad: Array, out: Array, x: Array) -> Any:
        return grad - grad.mean(axis=0)

    case = case_of(Op(lambda x: x - x.mean(axis=0), backward, "(n,d)->(n,d)", name="op"), numbers(3, 4))

    assert first_look(case)[0].resolution < 1e-11
    assert not examine(case, Judging()).findings


@pytest.mark.parametrize(("forward", "most"), [(lambda a: a.sum(axis=-1), 1), (lambda a: np.tanh(a).sum(axis=-1), 10)])
def test_what_is_linear_is_asked_for_one_step(forward: Function, most: int) -> None:
    """For each direction one point, not ten: <g, x> = <w, f> says beforehand that it may do."""
    points = []

    def counted(a: Array) -> Any:
        points.append(a.size // 12)
        return forward(a)

    def backward(grad: Array, out: Array, a: Array) -> Any:
        return grad[..., None] * (np.ones_like(a) if most == 1 else 1 - np.tanh(a) ** 2)

    assert not examine(case_of(Op(counted, backward, "(n)->()", name="op"), numbers(12)), Judging()).findings
    assert max(points) == 1 + most * (1 + 12)  # f(x) among them, one direction through all, one for each entry


def test_that_x_itself_is_reproduced_proves_nothing() -> None:
    """At zeros every mean is 0, though with an axis in front this forward centres a sample, not each of its groups."""

    def centred(x: Array) -> Array:
        groups = x.reshape(len(x), 2, -1)
        return np.asarray(groups - groups.mean(axis=-1, keepdims=True)).reshape(x.shape)

    points = oracle_of(
        case_of(Op(centred, lambda grad, *_: centred(grad), "(b,4)->(b,4)", name="op"), np.zeros((2, 4)))
    ).points

    for t in (0.0, 0.5):
        outputs, _ = points.outputs([Direction(((0, 1),))], np.zeros(2, int), np.full(2, t))
        assert outputs[0].tolist() == [-t / 2, t / 2, 0, 0, 0, 0, 0, 0]


def sum_of_a_vector(x: Array) -> Any:
    """Of nothing else: with an axis in front it raises."""
    (_,) = x.shape
    return x.sum()


@pytest.mark.parametrize("forward", [lambda x: x.sum(), sum_of_a_vector], ids=["mixes points", "raises"])
def test_what_cannot_be_stacked_takes_few_calls(forward: Function) -> None:
    """Not as many as one stacked call would have answered."""
    counted = Counted(forward)
    op = Op(counted, lambda grad, out, x: np.full(x.shape, grad), "(n)->()", name="op")

    assert not examine(case_of(op, numbers(100)), Judging()).findings
    assert counted.calls <= 15


class Buffered:
    """A tanh that answers in the same array every time."""

    def __init__(self) -> None:
        self.out: Array | None = None

    def __call__(self, x: Array) -> Array:
        self.out = np.empty_like(x) if self.out is None else self.out
        return np.asarray(np.tanh(x, out=self.out))


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (lambda x: x.reshape(-1), lambda grad, out, x: grad.reshape(x.shape)),
        (Buffered(), lambda grad, out, x: grad * (1 - np.tanh(x) ** 2)),
    ],
    ids=["a view", "a buffer"],
)
def test_large_outputs_may_share_memory(forward: Function, backward: Function) -> None:
    """Of two points that are compared: what the second overwrites is asked for again."""
    found = first_look(case_of(Op(forward, backward, "(n,m)", name="op"), numbers(200, 200)))

    assert found[0].resolution < 1e-8


def test_a_missing_dimension_cannot_be_stacked() -> None:
    """A vector with an axis in front would be a matrix."""
    op = Op(np.matmul, lambda grad, out, a, b: (a, b), "(n?,k),(k,m?)->(n?,m?)", name="op")

    assert not oracle_of(case_of(op, numbers(3), numbers(3))).points.stacks
    assert oracle_of(case_of(op, numbers(2, 3), numbers(3, 2))).points.stacks


def test_cells_hold_what_belongs_to_a_loop() -> None:
    """A broadcast entry gets the sum of its outputs."""
    case = case_of(ADD, numbers(4, 1, 5), numbers(3, 1))
    outputs = np.arange(60.0)[None]
    first, second = (colours_of(case, position) for position in (0, 1))

    assert first is not None
    assert second is not None
    assert first.cells(outputs).reshape(4, 1, 5).tolist() == outputs.reshape(4, 3, 5).sum(1, keepdims=True).tolist()
    assert second.cells(outputs).reshape(3, 1).tolist() == outputs.reshape(4, 3, 5).sum((0, 2))[:, None].tolist()


def softmax(x: Array) -> Array:
    """Over everything, whatever the signature says."""
    e = np.exp(x - x.max())
    return np.asarray(e / e.sum())


def softmax_backward(grad: Array, out: Array, x: Array) -> Any:
    return out * (grad - (grad * out).sum())


@pytest.mark.parametrize(
    ("signature", "loops", "severity"),
    [("()->()", None, Severity.FAILURE), ("(n)->(n)", True, Severity.FAILURE), ("(n)->(n)", None, Severity.WARNING)],
)
def test_a_signature_that_lies_about_its_loops_is_told(signature: str, loops: bool | None, severity: Severity) -> None:
    """GC403; a warning where nobody mentioned loops."""
    found = check(Op(softmax, softmax_backward, signature, loops=loops)).findings
    worst = max(found, key=lambda finding: finding.severity)

    assert (worst.code, worst.cause, worst.severity) == ("GC403", "contradicts_signature", severity)
    assert "mixes loops" in worst.message


def test_a_signature_that_tells_the_truth_is_believed() -> None:
    """The same forward, declared as what it is."""
    assert check(Op(softmax, softmax_backward, "(n)->(n)", loops=False)).passed


def test_what_cancels_may_round_otherwise() -> None:
    """A sum of 0.1, 0.2 and -0.3 has no digits to tell whether loops mix, if other memory means another order."""

    def forward(x: Array) -> Any:
        return np.cumsum(x if x.flags.c_contiguous else x[..., ::-1], axis=-1)[..., -1]

    op = Op(forward, lambda grad, out, x: np.repeat(grad[..., None], 3, axis=-1), "(n)->()", name="op")
    x = lay_out(np.array([[0.5, 0.5, 0.5], [0.1, 0.2, -0.3]]), "strided")

    assert not list(check_forward(make_case(op, (x,), {}, seed=0, index=0, layout="strided")))


# Limits


def test_max_evals_keeps_full_from_asking_every_entry(gradcheck: Gradcheck) -> None:
    """The report says what was done instead."""
    outcome = gradcheck(
        "run", "matmul", "--shape", "30,40", "--shape", "40,50", "--mode", "full", "--max-evals", "1000"
    )

    assert outcome.code == 0
    assert "2 of 2 gradients checked along random directions\n" in outcome.stdout


def test_what_needs_too_much_memory_is_refused_before_it_is_allocated(gradcheck: Gradcheck) -> None:
    """One line that says how much, and what to change."""
    outcome = gradcheck("run", "tanh", "--shape", "3000000", "--max-memory", "100MB")

    assert (outcome.code, outcome.stdout) == (2, "")
    assert "would take about 0.19 GB; the limit is 0.1 GB (--max-memory)" in outcome.stderr


@pytest.mark.parametrize("text", ["0", "-1GB", "many", "1e9", "9999999", "nan", "99999999999TB", ""])
def test_an_odd_amount_of_memory_is_refused(gradcheck: Gradcheck, text: str) -> None:
    """By name."""
    outcome = gradcheck("run", "tanh", "--max-memory", text)

    assert outcome.code == 2
    assert "--max-memory" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_the_slowest_ops_are_named(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    """As many as were asked for."""
    op_file("""
        import time

        def slow(x):
            time.sleep(0.002)
            return x

        def tanh_backward(grad, out, x):
            return grad * (1 - out**2)

        OPS = [Op(slow, lambda grad, out, x: grad, "(n)"), Op(np.tanh, tanh_backward, "()->()")]
    """)
    outcome = gradcheck("run", "my_ops.py", "--cases", "2", "--no-edges", "--durations", "1")

    assert "slowest: slow 0." in outcome.stdout
    assert "tanh 0." not in outcome.stdout.split("slowest")[1]


# Blocks


@pytest.mark.parametrize("size", [0, 1, BLOCK, 2 * BLOCK + 3])
def test_the_largest_number_of_any_size(size: int) -> None:
    """Block by block as all at once."""
    x = numbers(size)

    assert largest(x) == np.max(np.abs(x), initial=0.0)
    assert largest_gap(x, 2 * x) == np.max(np.abs(x - 2 * x), initial=0.0)


def test_nan_is_never_lost() -> None:
    """Wherever it stands."""
    x = numbers(2 * BLOCK)
    x[7] = np.nan

    assert np.isnan(largest(x))
    assert np.isnan(largest_gap(x, x))
