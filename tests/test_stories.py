"""Stories: one bug is told once, under whatever codes it was found, on its plainest case."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcheck_cli import Op, check
from gradcheck_cli.case import Case
from gradcheck_cli.checks import CaseResult
from gradcheck_cli.checks.finding import Finding, Severity
from gradcheck_cli.op import Outputs
from gradcheck_cli.reporters.story import shown_stories
from gradcheck_cli.stories import Story, stories

Array = NDArray[Any]


def backward(grad: Array, out: Array, a: Array, b: Array) -> tuple[Array, Array]:
    return grad * b, grad * a


OP = Op(np.multiply, backward, "(n),(n)->(n)")


def result(
    index: int,
    *found: tuple[str, str, str | None],
    size: int = 3,
    severity: Severity = Severity.FAILURE,
    edge: str = "",
) -> CaseResult:
    """A case with findings, each a code, a cause and an input."""
    x = np.ones(size)
    case = Case(OP, index, 0, (x, x), {}, Outputs((x,), False), (x,), edge=edge)
    crash = {"GC106": max(severity, Severity.ERROR)}
    findings = [Finding(code, cause, crash.get(code, severity), case, "", input=name) for code, cause, name in found]
    return CaseResult(case, (), tuple(findings))


def told(results: list[CaseResult]) -> list[tuple[str, str | None, int, tuple[str, ...]]]:
    """Cause, input, cases and codes of each story."""
    return [(s.finding.cause, s.finding.input, s.cases, s.codes) for s in stories(results)]


def test_one_cause_under_several_codes_is_one_story() -> None:
    """Of a wrong shape and, where matrices are square, of wrong values; the most frequent code comes first."""
    shape, value = ("GC101", "not_transposed", "a"), ("GC201", "not_transposed", "a")

    assert told([result(0, value), result(1, shape), result(2, shape)]) == [
        ("not_transposed", "a", 3, ("GC101", "GC201"))
    ]


def test_a_crash_of_the_same_cause_is_the_same_story() -> None:
    """Though a crash names no input."""
    crash, value = ("GC106", "not_transposed", None), ("GC201", "not_transposed", "a")

    (story,) = stories([result(0, value), result(1, crash), result(2, value)])

    assert (story.finding.cause, story.cases, story.codes) == ("not_transposed", 3, ("GC201", "GC106"))


def test_a_crash_of_another_cause_is_another_story() -> None:
    """Two bugs, until one is mended."""
    crash, value = ("GC106", "crashes", None), ("GC201", "sign_flipped", "a")

    assert [cause for cause, *_ in told([result(0, value), result(1, crash)])] == ["sign_flipped", "crashes"]


def test_each_input_has_its_story() -> None:
    """The same slip in two gradients is two lines to mend."""
    both = (("GC201", "sign_flipped", "a"), ("GC201", "sign_flipped", "b"))

    assert told([result(0, *both), result(1, *both)]) == [
        ("sign_flipped", "a", 2, ("GC201",)),
        ("sign_flipped", "b", 2, ("GC201",)),
    ]


def test_a_case_counts_once() -> None:
    """Though it has the cause under two codes."""
    assert told([result(0, ("GC101", "wrong_shape", "a"), ("GC201", "wrong_shape", "a"))])[0][2] == 1


def test_rare_causes_are_mentioned_aside() -> None:
    """Less than a fifth of the main story's cases: a small case that fits another cause by accident."""
    often = [result(n, ("GC201", "wrong_axis", "a")) for n in range(11)]
    rare = [result(n, ("GC201", "sign_flipped", "a")) for n in (11, 12)]

    assert [(s.finding.cause, s.aside) for s in stories(often + rare)] == [("wrong_axis", (("sign_flipped", 2),))]


def test_rarer_causes_of_one_gradient_are_mentioned() -> None:
    """In the story of the most frequent one: whoever mends that sees what is left."""
    often = [result(n, ("GC201", "wrong_axis", "a")) for n in range(10)]
    less = [result(n, ("GC201", "sign_flipped", "a")) for n in (10, 11)]

    assert [(s.finding.cause, s.cases, s.aside) for s in stories(often + less)] == [
        ("wrong_axis", 10, (("sign_flipped", 2),)),
    ]


def test_a_rare_cause_of_another_input_is_told() -> None:
    """It is rare beside what the same input has, or not at all."""
    often = [result(n, ("GC201", "wrong_axis", "a")) for n in range(11)]

    assert [s.finding.input for s in stories([*often, result(11, ("GC201", "sign_flipped", "b"))])] == ["a", "b"]


def test_a_warning_is_no_failure_s_story() -> None:
    """Whoever declares nothing is told of it separately."""
    failed = result(0, ("GC201", "sign_flipped", "a"))
    warned = result(1, ("GC201", "sign_flipped", "a"), severity=Severity.WARNING)

    assert [s.finding.severity for s in stories([failed, warned])] == [Severity.FAILURE, Severity.WARNING]


def test_notes_are_no_stories() -> None:
    """Of an edge that cannot be judged there is nothing to tell."""
    assert stories([result(0, ("GC501", "jump", "a"), severity=Severity.NOTE, edge="zeros")]) == ()


@pytest.mark.parametrize(
    ("results", "index"),
    [
        ([result(0, ("GC201", "sign_flipped", "a"), size=4), result(1, ("GC201", "sign_flipped", "a"), size=2)], 1),
        ([result(0, ("GC201", "sign_flipped", "a"), size=0), result(1, ("GC201", "sign_flipped", "a"), size=2)], 1),
        (
            [
                result(0, ("GC201", "sign_flipped", "a"), edge="zeros"),
                result(1, ("GC201", "sign_flipped", "a")),
            ],
            1,
        ),
    ],
    ids=["smaller", "not empty", "no edge"],
)
def test_the_plainest_case_is_shown(results: list[CaseResult], index: int) -> None:
    """Small, but not empty, and drawn without special purpose."""
    assert stories(results)[0].finding.case.index == index


def test_quiet_leaves_out_warnings() -> None:
    """And verbose shows inconclusive cases of inputs that others judged."""
    found = stories(
        [
            result(0, ("GC201", "sign_flipped", "a")),
            result(1, ("GC501", "jump", "a"), severity=Severity.INCONCLUSIVE),
            result(2, ("GC201", "sign_flipped", "b"), severity=Severity.WARNING),
        ]
    )

    def severities(told: list[Story]) -> set[Severity]:
        return {story.finding.severity for story in told}

    assert severities(shown_stories(found, [], -1)) == {Severity.FAILURE}
    assert severities(shown_stories(found, [], 0)) == {Severity.FAILURE, Severity.WARNING}
    assert severities(shown_stories(found, ["a"], 0)) == {Severity.FAILURE, Severity.WARNING, Severity.INCONCLUSIVE}
    assert severities(shown_stories(found, [], 1)) == {Severity.FAILURE, Severity.WARNING, Severity.INCONCLUSIVE}


# Of real ops.


def told_of(forward: Callable[..., Any], wrong: Callable[..., Any], signature: str) -> list[tuple[str, str | None]]:
    """Cause and input of each story of a check."""
    report = check(Op(forward, wrong, signature, loops=False))
    return [(story.finding.cause, story.finding.input) for story in report.result.stories]


def test_a_missing_transpose_is_told_once() -> None:
    """A wrong shape for some shapes, a crash or wrong values for others."""

    def wrong(grad: Array, out: Array, x: Array, w: Array) -> tuple[Array, Array]:
        return grad @ w, x.T @ grad

    def linear(x: Array, w: Array) -> Array:
        return np.asarray(x @ w.T)

    assert told_of(linear, wrong, "(n,k),(m,k)->(n,m)") == [("not_transposed", "w")]


def test_a_flipped_sign_is_told_once() -> None:
    """In random cases and at edges alike."""

    def wrong(grad: Array, out: Array, x: Array) -> Array:
        return np.asarray(-grad * np.cos(x))

    assert told_of(np.sin, wrong, "(n)->(n)") == [("sign_flipped", "x")]
