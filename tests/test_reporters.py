"""Reporters: pure functions from a run to text that is complete, narrow enough and safe to print."""

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gradcheck_cli import REAL, Op, one_of, unbroadcast
from gradcheck_cli.checks.value import InputResult
from gradcheck_cli.draw import Sampling
from gradcheck_cli.registry import installed_ops
from gradcheck_cli.reporters import FORMATS, console, renderer
from gradcheck_cli.reporters.catalogue import render_list, render_op
from gradcheck_cli.reporters.json_report import plain
from gradcheck_cli.reporters.text import count, number, printable
from gradcheck_cli.runner import Options, RunFinished, run

Array = NDArray[Any]
WIDTHS = [80, 120, None]


def run_all(ops: list[Op], **sampling: Any) -> RunFinished:
    *_, last = run(ops, Options(Sampling(**{"dtype": "float64", **sampling})))
    assert isinstance(last, RunFinished)
    return last


# Ops that are right, wrong, unjudged, warned about and skipped.


def square_backward(grad: Array, out: Array, x: Array) -> Any:
    return 2 * grad * x


def square_wrong(grad: Array, out: Array, x: Array) -> Any:
    return grad * x


def multiply_wrong(grad: Array, out: Array, a: Array, b: Array) -> Any:
    return unbroadcast(grad * b, a), grad * a


def crashing(grad: Array, out: Array, x: Array) -> Any:
    raise KeyError("no such gradient")


def copy_backward(grad: Array, out: Array, x: Array) -> Array:
    return grad.copy()


def hole(x: Array) -> Array:
    return np.where(x == 1 / 3, x, np.nan)


def picky(x: Array, k: int) -> Any:
    if k > x.ndim:
        raise ValueError("too many")
    return x * 1


def picky_backward(grad: Array, out: Array, x: Array, k: int) -> Array:
    return grad.copy()


def rows(x: Array, w: Array) -> Any:
    return x @ w


def rows_backward(grad: Array, out: Array, x: Array, w: Array) -> Any:
    return grad @ w.T, x.T @ grad


OPS = [
    Op(np.square, square_backward, "()->()", name="right"),
    Op(np.square, square_wrong, "()->()", name="wrong_value"),
    Op(np.multiply, multiply_wrong, "(),()->()", name="wrong_shape"),
    Op(np.square, crashing, "()->()", name="crashes"),
    Op(hole, copy_backward, "()->()", name="unjudged", domain=one_of([1 / 3])),
    Op(picky, picky_backward, "(...)", name="picky", params={"k": [0, 2]}),
    Op(rows, rows_backward, "(n,k),(k,m)->(n,m)", name="batched"),
    Op(np.square, square_backward, "()->()", name="skipped", dtypes=["float32"]),
    Op(
        np.square,
        square_wrong,
        "()->()",
        name="an_op_with_a_name_that_is_long_enough_to_be_a_whole_sentence_of_its_own",
    ),
]


@pytest.fixture(scope="module")
def mixed() -> RunFinished:
    """A run in which everything happens."""
    return run_all(OPS, cases=8)


@pytest.fixture(scope="module")
def single() -> RunFinished:
    """A run of one wrong op, shown case by case."""
    return run_all([OPS[1]], cases=8)


# The console


@pytest.mark.parametrize("verbosity", [-1, 0, 1])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_longer_than_the_terminal(mixed: RunFinished, width: int, verbosity: int) -> None:
    """Neither in the table nor in the stories, and without trailing blanks."""
    lines = console.render(mixed, width=width, verbosity=verbosity).splitlines()

    assert [line for line in lines if len(line) > width] == []
    assert [line for line in lines if line != line.rstrip()] == []


def test_what_is_piped_is_not_folded(mixed: RunFinished) -> None:
    """One row, one line, however long: made for grep."""
    lines = console.render(mixed, width=None).splitlines()

    for op in OPS:
        assert sum(line.startswith(f" {op.name} ") for line in lines) == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_every_op_has_its_verdict(mixed: RunFinished, width: int | None) -> None:
    """In the table, at every width; a name may be folded, not lost."""
    text = "".join(console.render(mixed, width=width).split())

    for op in OPS:
        assert op.name in text
    for verdict in ("pass", "FAIL", "ERROR", "inconclusive", "skip"):
        assert verdict in text


STORIES = [
    ("wrong_value", "FAIL", "GC201", "wrong_scale", "grad x", "smallest failing input: ", "in square_wrong"),
    ("wrong_shape", "FAIL", "GC101", "missing_unbroadcast", "grad b", "smallest failing input: ", "in multiply_wrong"),
    ("crashes", "ERROR", "GC106", "crashes", "no such gradient", "smallest failing input: ", "in crashing"),
    ("unjudged", "INCONCLUSIVE", "GC501", "outside", "grad x", "smallest input: ", "in copy_backward"),
    ("batched", "WARNING", "GC106", "crashes", "with loop dimensions", "smallest input: ", "in rows_backward"),
]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("name", "label", "code", "cause", "what", "shown", "place"), STORIES)
def test_a_story_is_complete(
    mixed: RunFinished,
    width: int | None,
    name: str,
    label: str,
    code: str,
    cause: str,
    what: str,
    shown: str,
    place: str,
) -> None:
    """What, where, how wrong and how often: label, op, code, cause, input, the smallest case and the place."""
    story = story_of(console.render(mixed, width=width), f"{label} {name} · {code}")

    assert story.startswith(f"{label} {name} · {code} · {cause}")
    for part in (what, shown, place, "test_reporters.py:", " cases"):
        assert part in story


def story_of(text: str, head: str) -> str:
    """A story from its heading to the next blank line, on one line."""
    paragraphs = [" ".join(p.split()) for p in re.split(r"\n\s*\n", text)]
    return next(p for p in paragraphs if p.startswith(head))


def test_a_story_shows_the_smallest_input(single: RunFinished) -> None:
    """One story for all its cases, with how many there are."""
    text = console.render(single)
    (result,) = single.ops
    failed = [case for case in result.cases if case.verdict.bad]

    assert text.count("FAIL wrong_value · GC201") == 1
    assert f"in {len(failed)} of {len(result.cases)} cases\n" in text
    assert "smallest failing input: ()   " in text


def test_a_story_says_what_to_write(mixed: RunFinished) -> None:
    """Behind an arrow."""
    assert "->  unbroadcast(grad_b, b)" in console.render(mixed)


def test_one_op_is_shown_case_by_case(single: RunFinished, mixed: RunFinished) -> None:
    """Several ops one by one, unless more is asked for."""

    def table_rows(run: RunFinished, verbosity: int) -> int:
        table = console.render(run, verbosity=verbosity).split("\n\n")[0]
        return len(table.splitlines()) - 1

    random = [case for case in single.ops[0].cases if not case.case.edge]
    assert table_rows(single, 0) == len(random) + 2  # and a row for the edges that fail, one for those that pass
    assert table_rows(single, 1) == len(single.ops[0].cases)
    assert table_rows(mixed, 0) == len(OPS)
    assert table_rows(mixed, 1) == sum(len(result.cases) or 1 for result in mixed.ops)


def test_the_error_of_an_unjudged_gradient_is_not_shown_beside_others() -> None:
    """Nothing is known of it, and the row is about those that were judged; alone it is all there is."""
    finished = run_all([OPS[0]], cases=1, edges=False)
    (case,) = finished.ops[0].cases
    unjudged = replace(case.inputs[0], name="grad", order=2, judged=False, worst=4.2)

    def shown(*inputs: InputResult) -> str:
        op = replace(finished.ops[0], cases=(replace(case, inputs=inputs),))
        return console.render(replace(finished, ops=(op,)))

    assert "4.2e+00" not in shown(*case.inputs, unjudged)
    assert "4.2e+00" in shown(unjudged)


def test_quiet_leaves_out_the_table(mixed: RunFinished) -> None:
    """What is wrong, and the summary."""
    text = console.render(mixed, verbosity=-1)

    assert "resolution" not in text
    assert "FAIL wrong_value · GC201" in text
    assert "WARNING" not in text


def test_the_summary_counts(mixed: RunFinished) -> None:
    """Verdicts, ops, cases, what forward refused."""
    summary = " ".join(console.render(mixed).splitlines()[-4:])

    assert "3 failed, 1 with errors, 1 inconclusive, 1 skipped, 3 passed" in summary
    assert f"9 ops, {sum(len(r.cases) for r in mixed.ops)} cases, seed 0, float64" in summary
    assert f"{mixed.ops[5].dropped} param combinations refused by forward" in summary


def test_the_summary_names_the_classic_test() -> None:
    """Whoever asked for tolerances sees that they are in use."""
    from gradcheck_cli import check

    assert "classic test: eps 1e-06, rtol 0.01, atol 1e-05" in str(check(OPS[0], rtol=0.01))


def test_nothing_checked_is_said() -> None:
    """An empty run is not silent."""
    assert "nothing checked" in console.render(run_all([]))


@pytest.mark.parametrize("color", [True, False])
def test_colour_is_a_choice(mixed: RunFinished, color: bool) -> None:
    """Escape sequences appear only where they are asked for."""
    assert ("\x1b[" in console.render(mixed, width=80, color=color)) is color


def test_colour_changes_no_word(mixed: RunFinished) -> None:
    """The same text, but for the colours."""
    coloured = re.sub(r"\x1b\[[0-9;]*m", "", console.render(mixed, width=80, color=True))

    assert [line.rstrip() for line in coloured.splitlines()] == console.render(mixed, width=80).splitlines()


# JSON


def document(run: RunFinished) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(renderer("json")(run))
    return parsed


def leaves(value: Any) -> Iterator[Any]:
    """Every number and string of a document."""
    if isinstance(value, dict):
        for entry in value.values():
            yield from leaves(entry)
    elif isinstance(value, list):
        yield len(value)  # a count is in the document as the length of a list
        for entry in value:
            yield from leaves(entry)
    else:
        yield value


@pytest.mark.parametrize("which", ["mixed", "single"])
def test_json_holds_every_number_that_is_printed(which: str, request: pytest.FixtureRequest) -> None:
    """Those of the table in full, those of the stories in their sentences."""
    run: RunFinished = request.getfixturevalue(which)
    found = list(leaves(document(run)))
    exact = {number(x) for x in found if isinstance(x, (int, float))}
    words = " ".join(x for x in found if isinstance(x, str))

    for printed in re.findall(r"\d(?:\.\d+)?e[+-]\d+", console.render(run, verbosity=1)):
        assert printed in exact or printed in words


def test_json_tells_what_the_console_tells(mixed: RunFinished) -> None:
    """Verdicts, codes, causes, inputs and sentences of every finding."""
    ops = {op["name"]: op for op in document(mixed)["ops"]}

    for result in mixed.ops:
        op = ops[result.op.name]
        told = [(f["code"], f["cause"], f["input"], f["message"]) for c in op["cases"] for f in c["findings"]]
        assert told == [(f.code, f.cause, f.input, f.message) for f in result.findings]
        assert (op["verdict"], op["dropped"], op["redrawn"]) == (result.verdict, result.dropped, result.redrawn)
        assert [c["verdict"] for c in op["cases"]] == [c.verdict for c in result.cases]
        assert [c["index"] for c in op["cases"]] == [c.case.index for c in result.cases]
        assert [c["edge"] or "" for c in op["cases"]] == [c.case.edge for c in result.cases]


def test_json_tells_the_stories(mixed: RunFinished) -> None:
    """What is printed once for many cases: the finding of the smallest case, why, and in how many it was found."""
    ops = {op["name"]: op for op in document(mixed)["ops"]}

    for result in mixed.ops:
        told = [(s["code"], s["cause"], s["message"], s["why"], s["cases"]) for s in ops[result.op.name]["stories"]]
        shown = [(s.finding, s.cases) for s in result.stories]
        assert told == [(f.code, f.cause, f.message, f.why, cases) for f, cases in shown]


def test_json_tells_the_run(mixed: RunFinished) -> None:
    """Seed, dtype, exit code, time, verdicts."""
    run = document(mixed)

    assert (run["seed"], run["dtypes"], run["exit_code"], run["seconds"]) == (0, ["float64"], 1, mixed.seconds)
    assert run["verdicts"] == {"pass": 3, "fail": 3, "error": 1, "inconclusive": 1, "skip": 1}


def test_json_says_why_an_op_was_skipped(mixed: RunFinished) -> None:
    """As the table does."""
    (skipped,) = [op for op in document(mixed)["ops"] if op["verdict"] == "skip"]

    assert "float32, not float64" in skipped["skipped"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.1, 0.1),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (np.float64(0.5), 0.5),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        ("text", "text"),
        ((1, (2,)), [1, [2]]),
        ({"a": (1,)}, {"a": [1]}),
        ({1: 2}, {"1": 2}),
        (slice(0, 2), "slice(0, 2, None)"),
        (Ellipsis, "Ellipsis"),
        ("\ud800", "\\ud800"),
    ],
)
def test_any_value_becomes_json(value: Any, expected: Any) -> None:
    """The nearest thing that JSON can hold."""
    assert plain(value) == expected
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == expected


def test_every_format_has_a_renderer() -> None:
    """Each row of the table can be imported and called."""
    for name in FORMATS:
        assert callable(renderer(name))


# Hostile text

HOSTILE = "\x1b[31mred\x07 \u202eright to left\u202c [bold]markup[/bold] :smile: two\nlines \ud800"


def hostile(grad: Array, out: Array, x: Array, word: str = "") -> Any:
    raise RuntimeError(HOSTILE)


HOSTILE_OP = Op(lambda x, word: x * 1, hostile, "()->()", name="hostile", params={"word": [HOSTILE]})


@pytest.fixture(scope="module")
def attacked() -> RunFinished:
    """An op whose messages and params try to take over the terminal."""
    return run_all([HOSTILE_OP], cases=2)


def unsafe(text: str) -> set[str]:
    """Characters that do something rather than say something."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c != "\n"}


@pytest.mark.parametrize("width", WIDTHS)
def test_the_console_spells_hostile_text_out(attacked: RunFinished, width: int | None) -> None:
    """No control or bidirectional character arrives; markup and emoji codes are just text."""
    text = console.render(attacked, width=width, verbosity=1)

    assert unsafe(text) == set()
    assert "[bold]markup[/bold] :smile:" in " ".join(text.split())
    assert "\\x1b[31mred\\x07" in text


def test_json_survives_hostile_text(attacked: RunFinished) -> None:
    """It can be encoded and parsed back, lone surrogates included."""
    text = renderer("json")(attacked)
    parsed = json.loads(text.encode("utf-8"))

    assert "\x1b[31mred\x07" in parsed["ops"][0]["cases"][0]["findings"][0]["message"]


def test_hostile_text_makes_no_row_of_its_own(attacked: RunFinished) -> None:
    """A newline in a param does not start a line that looks like a verdict."""
    table = console.render(attacked, verbosity=1).split("\n\n")[0]

    assert len(table.splitlines()) == 1 + len(attacked.ops[0].cases)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ümläut 漢字", "plain ümläut 漢字"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[0m", "\\x1b[0m"),
        ("\u202e", "\\u202e"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
        (3, "3"),
    ],
)
def test_printable_text(text: object, expected: str) -> None:
    """What is harmless stays; the rest is spelled out."""
    assert printable(text) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0"), (1.0, "1.0e+00"), (2.14e-15, "2.1e-15"), (math.inf, "inf"), (math.nan, "nan")],
)
def test_numbers_have_two_digits(value: float | None, text: str) -> None:
    """Enough for an error."""
    assert number(value) == text


@pytest.mark.parametrize(("many", "text"), [(0, "0 cases"), (1, "1 case"), (2, "2 cases")])
def test_counts(many: int, text: str) -> None:
    """One case, two cases."""
    assert count(many, "case") == text


# The catalogue


@pytest.mark.parametrize("render", [lambda width: render_list(installed_ops(), width, color=False)])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_list_fits_the_terminal(render: Callable[[int], str], width: int) -> None:
    """All built-in ops, at every width."""
    assert [line for line in render(width).splitlines() if len(line) > width] == []


def test_the_list_has_every_op() -> None:
    """Name, signature, params and formula on one line where there is room."""
    text = render_list(installed_ops(), None, color=False)

    for op in installed_ops():
        (line,) = [line for line in text.splitlines() if line.split()[:1] == [op.name]]
        assert op.gufunc.text in line
        assert op.formula in line


def described(x: Array, i: Array, axis: int = 0) -> Any:
    return x * 1


def described_backward(grad: Array, out: Array, x: Array, i: Array, axis: int = 0) -> Any:
    """dL/dx = g"""
    return grad


def test_an_op_is_shown_field_by_field() -> None:
    """Signature, formula, domains, params, loops, places and what is checked."""
    from gradcheck_cli import index

    op = Op(described, described_backward, "(n),(n)", domain=[REAL.avoiding(0), index("n")], params={"axis": [0, -1]})
    text = render_op(op, None, color=False)

    for part in ("(n),(n)", "dL/dx = g", "REAL.avoiding(0)", 'index("n"), not differentiated', "0, -1"):
        assert part in text
    assert re.search(r"forward +\S*test_reporters.py:\d+ in described\n", text)
    assert re.search(r"backward +\S*test_reporters.py:\d+ in described_backward\n", text)
    assert "grad x:" in text
    assert "grad x, i" not in text
