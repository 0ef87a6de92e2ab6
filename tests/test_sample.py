"""Cases: reproducible from (op, seed, index), and varied in shape, params and layout."""

import itertools
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcheck_cli import REAL, SPD, Op, UsageError, check, index
from gradcheck_cli.case import Case, lay_out, same
from gradcheck_cli.draw import Sampling
from gradcheck_cli.registry import installed_ops
from gradcheck_cli.sample import Sampler

Array = NDArray[Any]

BUILT_IN = {op.name: op for op in installed_ops()}


def copy(x: Array, **params: Any) -> Array:
    return x.copy()


def copy_backward(grad: Array, out: Array, x: Array, **params: Any) -> Array:
    return grad.copy()


def copying(signature: str = "()->()", **declaration: Any) -> Op:
    """An op that accepts everything and is right."""
    return Op(copy, copy_backward, signature, **declaration)


def cases(op: Op, edges: bool | None = False, **sampling: Any) -> list[Case]:
    """Those drawn at random; edges have tests of their own."""
    return list(Sampler(op, Sampling(edges=edges, **sampling)))


def arrays(case: Case) -> list[Array]:
    return [*case.inputs, *case.cotangents]


def contents(drawn: Iterable[Case]) -> list[Any]:
    """Everything that a case is made of, bit by bit."""
    return [
        (c.index, c.layout, c.params, [(x.shape, x.strides, str(x.dtype), x.tolist()) for x in arrays(c)])
        for c in drawn
    ]


# The same case everywhere


@pytest.mark.parametrize("name", BUILT_IN)
def test_drawing_twice_draws_the_same(name: str) -> None:
    """Shapes, layouts, params, values and cotangents."""
    first, second = (cases(BUILT_IN[name], edges=None) for _ in range(2))

    assert contents(first) == contents(second)


PRINT_CASES = """
import hashlib
from gradcheck_cli.registry import installed_ops
from gradcheck_cli.draw import Sampling
from gradcheck_cli.sample import Sampler

for op in installed_ops():
    for case in Sampler(op, Sampling(seed=7, cases=6)):
        values = [x.tolist() for x in (*case.inputs, *case.cotangents)]
        print(op.name, case.index, case.layout, case.name, hashlib.sha256(repr(values).encode()).hexdigest()[:8])
"""


def test_another_process_draws_the_same() -> None:
    """Also where Python hashes strings with another seed."""
    runs = [
        subprocess.run(
            [sys.executable, "-c", PRINT_CASES],
            env={"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]

    assert runs[0] == runs[1]
    assert runs[0].count("\n") > 100


@pytest.mark.parametrize("name", ["add", "matmul", "sum", "outer", "split", "linear"])
def test_a_case_does_not_depend_on_how_many_are_drawn(name: str) -> None:
    """The fifth case of five is the fifth of twenty."""
    few, many = cases(BUILT_IN[name], cases=5), cases(BUILT_IN[name], cases=20)

    assert contents(few) == contents(c for c in many if c.index < 5)


def test_a_case_of_undeclared_loops_does_not_depend_on_how_many_are_drawn() -> None:
    """They come last, and are the same all the same."""
    op = copying("(n)->(n)")
    few, many = cases(op, cases=6), cases(op, cases=20)

    assert contents(few) == contents(c for c in many if c.index < 6)


@pytest.mark.parametrize("change", [{"seed": 1}, {"max_side": 9}])
def test_other_settings_draw_other_cases(change: dict[str, Any]) -> None:
    """Another seed, other values."""
    assert contents(cases(BUILT_IN["add"])) != contents(cases(BUILT_IN["add"], **change))


def test_ops_of_other_names_draw_other_cases() -> None:
    """The name is part of the key."""
    assert contents(cases(copying(name="a"))) != contents(cases(copying(name="b")))


def test_a_case_is_pinned() -> None:
    """A case that was reported once can be drawn again: a change here is a line in the CHANGELOG."""
    case = cases(copying("(n)"), cases=1)[0]

    assert (case.name, case.layout) == ("(4,)", "F")
    assert [x.tolist() for x in arrays(case)] == [[0.74, 1.9, -3.0, -1.7], [1.0, -0.875, 1.25, 0.75]]


# What is drawn


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_inputs_and_cotangents_have_the_dtype_of_the_run(name: str, dtype: str) -> None:
    """All of them; a cotangent has the shape of its output, too."""
    for case in cases(BUILT_IN[name], edges=None, dtype=dtype):
        drawn = [x for x in arrays(case) if x.dtype.kind != "i"]  # where's condition is none
        assert {str(x.dtype) for x in drawn} == {dtype}
        assert case.outputs is not None
        assert [w.shape for w in case.cotangents] == [y.shape for y in case.outputs.arrays]


def test_cotangents_are_signed() -> None:
    """Positive ones would hide sign errors that cancel."""
    drawn = np.concatenate([w.ravel() for case in cases(BUILT_IN["add"]) for w in case.cotangents])

    assert 0.3 < np.mean(drawn > 0) < 0.7
    assert np.abs(drawn).min() >= 0.5


def test_inputs_of_one_case_differ() -> None:
    """a - b of equal operands, or their product, would hide a mix-up."""
    for case in cases(BUILT_IN["add"], broadcast=False):
        a, b = case.inputs

        assert not np.array_equal(a, b)


def test_cases_of_one_op_differ() -> None:
    """No case is drawn twice."""
    values = [repr([x.tolist() for x in case.inputs]) for case in cases(BUILT_IN["exp"])]

    assert len(set(values)) == 20


def test_integer_operands_stay_integers() -> None:
    """An index fits its dimension, in a run of float32 as well."""

    def take(x: Array, i: Array) -> Array:
        return x[i]

    def take_backward(grad: Array, out: Array, x: Array, i: Array) -> Array:
        return grad

    for case in cases(Op(take, take_backward, "(n),(m)", domain=[REAL, index("n")]), dtype="float32"):
        x, i = case.inputs

        assert (x.dtype.kind, i.dtype.kind) == ("f", "i")
        assert np.all((i >= 0) & (i < len(x)))


def test_a_shape_that_a_domain_does_not_have_is_a_usage_error() -> None:
    """It names the op, the input and the shape."""
    with pytest.raises(UsageError, match=r"copy: x \(2,3\): SPD needs square matrices"):
        cases(copying("(n,m)->(n,m)", domain=SPD), shapes=((2, 3),))


def test_a_dtype_that_was_not_declared_is_refused() -> None:
    """The op says which ones it is for."""
    with pytest.raises(UsageError, match=r"copy.* declared for float64, not float32"):
        cases(copying(dtypes=["float64"]), dtype="float32")


# Params


def test_params_are_multiplied_out() -> None:
    """Every combination is met."""
    op = copying(params={"a": [1, 2, 3], "b": [False, True]})
    met = {(case.params["a"], case.params["b"]) for case in cases(op)}

    assert met == set(itertools.product([1, 2, 3], [False, True]))


def test_every_choice_is_met_though_there_are_more_combinations_than_cases() -> None:
    """Five times five choices in twenty cases: each of the ten at least once, or a wrong one passes unseen."""
    op = copying(params={"a": [0, 1, 2, 3, 4], "b": [0, 1, 2, 3, 4]})
    met = [(case.params["a"], case.params["b"]) for case in cases(op)]

    assert {a for a, _ in met} == {0, 1, 2, 3, 4}
    assert {b for _, b in met} == {0, 1, 2, 3, 4}


def test_choices_may_depend_on_the_shapes() -> None:
    """A function of the input shapes is asked for every case."""
    op = copying("(...)", params={"axis": lambda x: range(len(x)) or [None]})

    for case in cases(op):
        assert case.params["axis"] in (range(case.inputs[0].ndim) or [None])


def test_a_param_can_be_fixed() -> None:
    """`--param` leaves the others free."""
    op = copying(params={"a": [1, 2], "b": [1, 2]})
    met = {(case.params["a"], case.params["b"]) for case in cases(op, params={"a": 9})}

    assert met == {(9, 1), (9, 2)}


def test_an_unknown_param_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(UsageError, match=r"copy.* no param 'c'; it has a, b"):
        cases(copying(params={"a": [1], "b": [1]}), params={"c": 1})


@pytest.mark.parametrize("error", [ValueError, TypeError, IndexError])
def test_a_combination_that_forward_refuses_is_dropped_and_counted(error: type[Exception]) -> None:
    """Where a and b are equal, forward refuses: nothing is drawn, and it does not go unsaid."""

    def picky(x: Array, a: int, b: int) -> Array:
        if a == b:
            raise error("a and b must differ")
        return x.copy()

    sampler = Sampler(Op(picky, copy_backward, "()->()", params={"a": [1, 2], "b": [1, 2]}), Sampling())
    met = {(case.params["a"], case.params["b"]) for case in sampler}

    assert met == {(1, 2), (2, 1)}
    assert sampler.dropped > 0


def test_another_exception_is_no_refusal() -> None:
    """A forward that crashes is a case with an error, for the checks to report."""

    def failing(x: Array, a: int) -> Array:
        raise RuntimeError("out of order")

    drawn = cases(Op(failing, copy_backward, "()->()", params={"a": [1]}))

    assert {type(case.error) for case in drawn} == {RuntimeError}
    assert all(case.outputs is None for case in drawn)


def test_a_forward_that_refuses_everything_leaves_one_case() -> None:
    """Or nothing would say why."""

    def never(x: Array, a: int) -> Array:
        raise ValueError("no")

    (case,) = cases(Op(never, copy_backward, "()->()", params={"a": [1, 2]}))

    assert str(case.error) == "no"


def long_enough(x: Array, k: int) -> Array:
    if len(x) < k:
        raise ValueError("too short")
    return x.copy()


def codes(op: Op, **options: Any) -> set[str]:
    return {finding.code for finding in check(op, **options).findings}


def test_a_choice_that_no_shape_accepts_is_an_error() -> None:
    """GC401: sides go up to four, so that five is never long enough."""
    report = check(Op(long_enough, copy_backward, "(n)", params={"k": [1, 5]}))

    assert not report.passed
    assert {(f.code, f.cause) for f in report.findings} == {("GC401", "impossible_choice")}
    assert "no shape accepts k=5: forward raises ValueError: too short" in str(report)


@pytest.mark.parametrize("few", [1, 2, 20])
def test_a_choice_that_is_merely_unlucky_is_no_error(few: int) -> None:
    """Four is long enough for some shapes, if not for the few that were drawn."""
    assert codes(Op(long_enough, copy_backward, "(n)", params={"k": [1, 4]}), cases=few) == set()


def test_a_choice_that_depends_on_another_is_no_error() -> None:
    """axis=1 with a mode that takes it is enough."""

    def moded(x: Array, mode: str, axis: int) -> Array:
        if mode == "flat" and axis:
            raise ValueError("flat has one axis")
        return x.copy()

    assert codes(Op(moded, copy_backward, "(n)", params={"mode": ["flat", "rows"], "axis": [0, 1]})) == set()


# Layouts


@pytest.mark.parametrize("layout", ["C", "F", "strided", "reversed"])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (3, 4), (2, 3, 4), (0, 3)])
def test_a_layout_changes_no_value(layout: str, shape: tuple[int, ...]) -> None:
    """The same array, however it lies in memory."""
    values = np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape)

    assert np.array_equal(lay_out(values, layout), values)
    assert lay_out(values, layout).shape == shape


def test_layouts_are_what_they_say() -> None:
    """Strides tell: rows first, columns first, every second entry, backwards."""
    values = np.arange(12.0).reshape(3, 4)

    assert lay_out(values, "C").strides == (32, 8)
    assert lay_out(values, "F").strides == (8, 24)
    assert lay_out(values, "strided").strides == (64, 16)
    assert lay_out(values, "reversed").strides == (-32, -8)


def test_every_layout_is_drawn() -> None:
    """Within twenty cases; and inputs lie as the case says."""
    drawn = [case for case in cases(copying("(n,m)")) if min(case.inputs[0].shape) > 1]
    flags = {case.layout: case.inputs[0].flags for case in drawn}

    assert set(flags) == {"C", "F", "strided", "reversed"}
    assert flags["F"].f_contiguous
    assert not flags["strided"].contiguous
    assert min(case.inputs[0].strides[0] for case in drawn if case.layout == "reversed") < 0


@pytest.mark.parametrize("signature", ["(...)", "()->()"])
def test_layouts_and_ranks_vary_independently(signature: str) -> None:
    """Matrices and stacks of them each meet more than one layout in forty cases."""
    met = defaultdict(set)
    for case in cases(copying(signature), cases=40):
        met[case.inputs[0].ndim].add(case.layout)

    assert min(len(met[rank]) for rank in (1, 2, 3, 4)) > 1, dict(met)


def test_params_and_ranks_vary_independently() -> None:
    """Forty cases of a sum keep and drop dimensions at every rank."""
    met = defaultdict(set)
    for case in cases(BUILT_IN["sum"], cases=40):
        met[case.inputs[0].ndim].add(case.params["keepdims"])

    assert [met[rank] for rank in range(5)] == [{False, True}] * 5


# Loops and samples


def test_undeclared_loops_come_last() -> None:
    """Only an op that is right on its core shapes is forgiven for loop dimensions it never mentioned."""
    with_loops = [bool(case.undeclared) for case in cases(copying("(n)->(n)"))]

    assert with_loops == sorted(with_loops)
    assert set(with_loops) == {False, True}


@pytest.mark.parametrize("loops", [True, False])
def test_declared_loops_are_not_marked(loops: bool) -> None:
    """Where they are meant there is nothing to forgive, and where they are ruled out none are drawn."""
    drawn = cases(copying("(n)->(n)", loops=loops))

    assert not any(case.undeclared for case in drawn)
    assert any(case.inputs[0].ndim > 1 for case in drawn) is loops


def strict(x: Array) -> Array:
    if x.ndim != 1:
        raise ValueError("vectors only")
    return x.copy()


def flattening(x: Array) -> Array:
    return x.flatten()


@pytest.mark.parametrize("forward", [strict, flattening])
def test_loops_that_forward_does_not_support_are_not_drawn(forward: Callable[..., Any]) -> None:
    """Because it refuses them, or because its output is not loop + core."""
    assert {case.inputs[0].ndim for case in cases(Op(forward, copy_backward, "(n)->(n)"))} == {1}


def test_samples_come_first() -> None:
    """The cases that the author knows matter, numbered from -1 downwards, as they were given."""
    drawn = cases(copying(samples=[[0.5], [[1.0, 2.0]]]), cases=3)

    assert [case.index for case in drawn] == [-1, -2, 0, 1, 2]
    assert [case.inputs[0].tolist() for case in drawn[:2]] == [0.5, [1.0, 2.0]]


def test_samples_take_the_dtype_of_the_run() -> None:
    """A list of Python numbers has none of its own."""
    (case, *_) = cases(copying(samples=[[[1.0, 2.0]]]), dtype="float32")

    assert case.inputs[0].dtype == np.float32


def test_a_sample_may_have_params_of_its_own() -> None:
    """Even ones that are not among the choices; the others are drawn."""
    op = copying(params={"a": [1, 2], "b": [3]}, samples=[([1.0], {"a": 7})])

    assert cases(op)[0].params == {"a": 7, "b": 3}


def test_a_sample_that_forward_refuses_does_not_vanish() -> None:
    """The author said that it matters: with its params given, a refusal is a case with an error."""
    op = Op(long_enough, copy_backward, "(n)", params={"k": [1]}, samples=[([1.0, 2.0], {"k": 3})])

    assert isinstance(cases(op)[0].error, ValueError)


def test_a_redraw_keeps_everything_but_the_values() -> None:
    """Shapes, params and layout stay; inputs and cotangents are others; it can be repeated."""
    sampler = Sampler(BUILT_IN["sum"], Sampling())
    case = next(c for c in sampler if c.inputs[0].size > 1 and c.cotangents[0].size > 1)
    again = sampler.redraw(case, 1)

    assert (again.shapes, again.params, again.layout, again.index) == (
        case.shapes,
        case.params,
        case.layout,
        case.index,
    )
    assert not any(np.array_equal(a, b) for a, b in zip(arrays(case), arrays(again), strict=True))
    assert contents([again]) == contents([sampler.redraw(case, 1)]) != contents([sampler.redraw(case, 2)])


def test_shapes_that_were_given_are_the_first_operands() -> None:
    """`--shape`: each case completes them."""
    assert {case.shapes[0] for case in cases(BUILT_IN["matmul"], shapes=((2, 3, 4, 5),))} == {(2, 3, 4, 5)}


# What forward does to a case


def test_a_forward_that_changes_its_input_is_noticed_and_undone() -> None:
    """The case names the input; its values are those that were drawn, and the output is a copy."""

    def in_place(x: Array) -> Array:
        x += 1
        return x

    changed = cases(Op(in_place, copy_backward, "()->()", name="copy"))
    untouched = cases(copying())

    for case, expected in zip(changed, untouched, strict=True):
        assert case.mutated == ("x",)
        assert case.outputs is not None
        assert np.array_equal(case.inputs[0], expected.inputs[0])
        assert np.array_equal(case.outputs.arrays[0], expected.inputs[0] + 1)


def test_names_of_cases_read_like_code() -> None:
    """Shapes between the op's sign, params behind."""
    matmul, total = cases(BUILT_IN["matmul"], shapes=((2, 3), (3, 4)))[0], cases(BUILT_IN["sum"], shapes=((2, 3),))[0]

    assert matmul.name == "(2,3) @ (3,4)"
    assert replace(total, params={"axis": -1, "keepdims": True}).name == "(2,3) axis=-1 keepdims=True"


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1.0, np.nan], [1.0, np.nan], True),
        ([1.0], [2.0], False),
        ([1], [1], True),
        ([1.0], [[1.0]], False),
        ([], [], True),
        (["a"], ["a"], True),
    ],
)
def test_same_values(a: Any, b: Any, expected: bool) -> None:
    """NaN is the same as NaN, and shapes count."""
    assert same(np.asarray(a), np.asarray(b)) is expected


@pytest.mark.parametrize("count", [5, 20, 30, 250])
def test_every_listed_choice_is_met(count: int) -> None:
    """However many there are: a backward that is wrong for one of them must not pass."""
    op = copying(params={"p": list(range(count))})

    assert {case.params["p"] for case in cases(op)} == set(range(count))


def test_a_rare_choice_is_met_on_the_shapes_that_accept_it() -> None:
    """Most ranks refuse axis 3; some case has it all the same."""
    op = copying("(...)", params={"axis": [0, 1, 2, 3]})

    def pick(x: Array, axis: int) -> Any:
        return x + 0 * np.expand_dims(np.sum(x, axis=axis), axis)

    assert 3 in {case.params["axis"] for case in cases(replace(op, forward=pick))}


def test_a_random_case_that_is_too_large_is_left_out() -> None:
    """Nobody asked for it; the others are drawn, and the loss is counted."""
    sampler = Sampler(BUILT_IN["sin"], Sampling(max_elements=15, edges=False))
    sizes = [case.inputs[0].size for case in sampler]

    assert 0 < max(sizes) <= 15
    assert sampler.refused


def test_small_given_shapes_are_drawn_until_some_entries_were_asked() -> None:
    """One number may have the sign that hides a bug."""
    drawn = cases(BUILT_IN["relu"], shapes=((),))

    assert len(drawn) == 20
    assert {bool(case.inputs[0] > 0) for case in drawn} == {False, True}


def test_no_more_cases_are_drawn_than_were_asked_for() -> None:
    """Choices that are missed then are the user's own decision."""
    assert len(cases(copying(params={"p": list(range(30))}), cases=3)) == 3
