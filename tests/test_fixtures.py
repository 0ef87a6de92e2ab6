"""Fixtures: what is recorded replays, on every op; what has changed is told; an update rewrites what it should."""

import functools
import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Gradcheck, WriteFile
from numpy.typing import NDArray

from gradcheck_cli import Op
from gradcheck_cli.case import make_case
from gradcheck_cli.checks import CaseResult
from gradcheck_cli.checks.finding import Verdict
from gradcheck_cli.draw import Sampling
from gradcheck_cli.errors import FixtureError
from gradcheck_cli.fixtures import schema
from gradcheck_cli.fixtures.record import Recording, record
from gradcheck_cli.fixtures.replay import Replay, Update, expected_by_itself
from gradcheck_cli.fixtures.store import Fixture, Recorded, find, read, record_of, write
from gradcheck_cli.registry import resolve
from gradcheck_cli.runner import Options, RunFinished

ROOT = Path(__file__).parents[1]
FIXTURES = [read(path) for path in find([str(ROOT / "fixtures")])]
CASES = [
    pytest.param(case, id=f"{fixture.path.stem}-{case.number} {case.record.name}")
    for fixture in FIXTURES
    for case in fixture.cases
]
OPS = {op.name: op for op in resolve([])}
REPLAY = Replay(FIXTURES, Options())

Array = NDArray[Any]
MY_OPS = """
    def double(x):
        return 2 * x
    OPS = [Op(double, lambda grad, out, x: 2 * grad, "(n)->(n)", loops=False)]
"""


def finish(replay: Replay) -> RunFinished:
    *_, last = replay
    assert isinstance(last, RunFinished)
    return last


def codes(result: CaseResult) -> set[str]:
    return {finding.code for finding in result.findings}


@pytest.mark.parametrize("recorded", CASES)
def test_a_recorded_case_replays(recorded: Recorded) -> None:
    """Every case in fixtures/: same outputs, same gradients, and the numeric check passes."""
    result = REPLAY.replay(recorded, OPS[recorded.record.op])

    assert result.findings == ()


def test_every_built_in_op_is_recorded_by_somebody_else() -> None:
    """By a framework that knows nothing of our formulas."""
    golden = [case.record for fixture in FIXTURES if fixture.path.parent.name == "golden" for case in fixture.cases]

    assert {entry.op for entry in golden} == set(OPS)
    assert {entry.expected.computed_by.who for entry in golden if entry.expected} == {"torch"}


def test_the_golden_fixtures_are_small() -> None:
    """They are read by people, and stand in every checkout."""
    assert sum(path.stat().st_size for path in (ROOT / "fixtures" / "golden").iterdir()) < 400_000


def test_the_published_schema_is_the_one_in_use() -> None:
    """Written by: python -m gradcheck_cli.fixtures.schema > fixtures/schema.json."""

    def in_any_order(part: Any) -> Any:  # Versions of msgspec differ in which alternative comes first.
        if isinstance(part, dict):
            return {k: in_any_order(v) for k, v in part.items()}
        return sorted(map(in_any_order, part), key=repr) if isinstance(part, list) else part

    published = (ROOT / "fixtures" / "schema.json").read_text(encoding="utf-8")

    assert in_any_order(json.loads(published)) == in_any_order(json.loads(schema.json_schema()))


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.path.stem)
def test_writing_what_was_read_changes_no_byte(fixture: Fixture, tmp_path: Path) -> None:
    """So that an update changes the lines it is about, and no others."""
    copy = tmp_path / fixture.path.name
    write(copy, [case.record for case in fixture.cases], fixture.side)

    assert copy.read_bytes() == fixture.path.read_bytes()


# Whoever changes an op turns a fixture red.


def off_by_a_millionth(value: Any) -> Any:
    """The same, but for the largest entry of the first array that has one."""
    if isinstance(value, (tuple, list)):
        return (off_by_a_millionth(value[0]), *value[1:])
    changed = np.array(value, order="C")
    if changed.size:
        changed.reshape(-1)[np.argmax(np.abs(changed))] *= 1 + 1e-6
    return changed


def changed(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def other(*args: Any, **kwargs: Any) -> Any:
        return off_by_a_millionth(function(*args, **kwargs))

    return other


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize(("role", "code"), [("forward", "GC701"), ("backward", "GC702")])
def test_an_op_that_is_changed_turns_a_fixture_red(name: str, role: str, code: str) -> None:
    """By a millionth, in one entry: both the recorded values and the numeric check notice."""
    functions: dict[str, Any] = {role: changed(getattr(OPS[name], role))}
    op = replace(OPS[name], **functions)
    results = [REPLAY.replay(case, op) for f in FIXTURES for case in f.cases if case.record.op == name]

    assert code in set().union(*map(codes, results))
    assert any(result.verdict is Verdict.FAIL for result in results)


def test_a_convention_that_changes_at_a_kink_is_told() -> None:
    """The numeric check cannot: any subgradient is right there."""
    op = Op(OPS["relu"].forward, lambda grad, out, x: np.where(x >= 0, grad, 0), "()->()", name="relu")
    results = [REPLAY.replay(case, op) for f in FIXTURES for case in f.cases if case.record.op == "relu"]

    assert [codes(result) for result in results if result.findings] == [{"GC702"}]


# Every value survives.


def there_and_back(case_of: dict[str, Any], tmp_path: Path, inputs: tuple[Array, ...] = (np.ones(2),)) -> Recorded:
    """A case of some op with those params and inputs, written and read."""

    def forward(*args: Any, **_: Any) -> Any:
        return args[0]

    signature = ",".join("(...)" for _ in inputs)
    op = Op(forward, lambda grad, out, *x, **_: (grad,) * len(x), signature, name="odd")
    side: dict[str, Array] = {}
    path = tmp_path / "odd.json"
    write(path, [record_of(make_case(op, inputs, case_of, seed=0, index=0), side)], side)
    return read(path).cases[0]


PARAMS = [
    None, True, 0, -3, 2**70, 1.5, -0.0, 1e-310, math.inf, -math.inf, "mean", "nan", "\ud800é", (), [], (1, (2, [3])),
    {"a": (1,), "b": None}, slice(None, None, -1), slice(1, 2), Ellipsis, (Ellipsis, None, [0, -1]), 1 + 2j,
    complex(-0.0, math.inf), [True, False], np.int64(3), np.float32(0.1), np.bool_(True),
]  # fmt: skip


@pytest.mark.parametrize("value", PARAMS, ids=repr)
def test_a_param_survives(value: Any, tmp_path: Path) -> None:
    back = there_and_back({"p": value}, tmp_path).params["p"]

    assert repr(back) == repr(value)
    assert type(back) is type(value)


ARRAYS = [
    np.array(0.1), np.zeros((0, 3)), np.zeros((2, 0, 1)), np.array([-0.0, 0.0, 1e-310, 1e308, 0.1 + 0.2]),
    np.array([np.nan, np.inf, -np.inf]), np.array([0.1, 1 / 3, 16777217, -0.0, 1e-45], np.float32),
    np.array([[1 + 2j, complex(np.nan, -0.0)]]), np.array([0.1 - 1j / 3], np.complex64), np.array([True, False]),
    np.array([2**63], np.uint64), np.array([[1], [-2]], np.int8), np.arange(6.0).reshape(2, 3).T,
    np.array([0.1, 7], np.float16), np.array([1.5, 2], ">f8"), np.full((40, 40), np.nan),
    np.arange(3000) / np.float32(7), np.arange(2002) * (1 - 1j),
]  # fmt: skip


@pytest.mark.parametrize("array", ARRAYS, ids=lambda x: f"{x.dtype}{x.shape}")
def test_an_array_survives_to_the_bit(array: Array, tmp_path: Path) -> None:
    back = there_and_back({"p": array}, tmp_path).params["p"]

    assert (back.dtype, back.shape) == (array.dtype.newbyteorder("="), array.shape)
    assert back.tobytes() == array.astype(back.dtype).tobytes()
    assert (tmp_path / "odd.npz").exists() == (array.size > 1000)


def test_random_bits_survive(tmp_path: Path) -> None:
    """Floats of all magnitudes, in both precisions."""
    bits = np.random.default_rng(0).integers(0, 2**63, 1800, np.uint64)
    for dtype in (np.float64, np.float32):
        values = bits.view(dtype)[:900]
        values = np.where(np.isfinite(values), values, dtype(1))
        assert there_and_back({"p": values}, tmp_path).params["p"].tobytes() == values.tobytes()


@pytest.mark.parametrize("value", [{1, 2}, {1: 2}, b"x", np.array(["x"]), range(3)], ids=repr)
def test_a_param_that_cannot_be_written_is_named(value: Any, tmp_path: Path) -> None:
    with pytest.raises(FixtureError, match="odd: "):
        there_and_back({"p": value}, tmp_path)


def test_short_values_stay_short_and_lines_readable(tmp_path: Path) -> None:
    there_and_back({}, tmp_path, (np.array([[0.1, 0.2, 0.3], [1.25, -0.0, 3.0]], np.float32),))

    text = (tmp_path / "odd.json").read_text(encoding="utf-8")
    array = '"x0": {"dtype": "float32", "shape": [2, 3], "values": [[0.1, 0.2, 0.3], [1.25, -0.0, 3.0]]}'
    assert array in text
    assert max(map(len, text.splitlines())) <= 120


# What may be recorded, and what an update writes.


def double(x: Array) -> Array:
    return 2 * x


DOUBLE = Op(double, lambda grad, out, x: 2 * grad, "(n)->(n)", name="double", loops=False)
TRIPLE = replace(DOUBLE, forward=lambda x: 3 * x, backward=lambda grad, out, x: 3 * grad)


def a_file(tmp_path: Path, expected: bool = True, op: Op = DOUBLE) -> Fixture:
    """One case of an op, as a fixture or as a saved failure."""
    side: dict[str, Array] = {}
    case = make_case(op, (np.array([1.0, 2.5]),), {}, seed=0, index=0)
    values = expected_by_itself(case, side) if expected else None
    failure = None if expected else schema.Failure("GC201", "wrong_value", "x")
    write(tmp_path / "double.json", [record_of(case, side, expected=values, finding=failure)], side)
    return read(tmp_path / "double.json")


def after(fixture: Fixture, op: Op, update: Update) -> tuple[CaseResult, Recorded]:
    """The replay's result, and the case as it stands in the file afterwards."""
    replay = Replay([fixture], Options(), update)
    result = replay.replay(fixture.cases[0], op)
    replay.save()
    return result, read(fixture.path).cases[0]


@pytest.mark.parametrize(
    ("update", "verdict", "who"),
    [
        (Update.NOTHING, Verdict.FAIL, [2.0, 5.0]),
        (Update.MISSING, Verdict.FAIL, [2.0, 5.0]),
        (Update.CHANGED, Verdict.PASS, [3.0, 7.5]),
    ],
)
def test_only_update_rewrites_what_differs(update: Update, verdict: Verdict, who: list[float], tmp_path: Path) -> None:
    result, recorded = after(a_file(tmp_path), TRIPLE, update)

    assert result.verdict is verdict
    assert codes(result) == {"GC701"}
    assert recorded.expected is not None
    assert recorded.expected.outputs[0].tolist() == who


@pytest.mark.parametrize("update", [Update.MISSING, Update.CHANGED])
def test_a_saved_failure_that_is_mended_becomes_a_fixture(update: Update, tmp_path: Path) -> None:
    result, recorded = after(a_file(tmp_path, expected=False), DOUBLE, update)

    assert (result.verdict, result.findings) == (Verdict.PASS, ())
    assert recorded.expected is not None
    assert recorded.expected.gradients["x"].shape == (2,)


@pytest.mark.parametrize("update", list(Update))
def test_what_fails_the_numeric_check_is_never_written(update: Update, tmp_path: Path) -> None:
    wrong = replace(DOUBLE, backward=lambda grad, out, x: 3 * grad)
    for expected in (False, True):
        fixture = a_file(tmp_path, expected)
        before = fixture.path.read_bytes()
        result, _ = after(fixture, wrong, update)

        assert codes(result) == ({"GC201", "GC702"} if expected else {"GC201"})
        assert fixture.path.read_bytes() == before


def test_a_forward_of_another_shape_is_told_and_can_be_recorded_anew(tmp_path: Path) -> None:
    total = replace(DOUBLE, forward=np.sum, backward=lambda grad, out, x: np.full(x.shape, grad), signature="(n)->()")
    fixture = a_file(tmp_path)

    assert codes(after(fixture, total, Update.NOTHING)[0]) == {"GC701"}
    result, recorded = after(fixture, total, Update.CHANGED)
    assert result.verdict is Verdict.PASS
    assert recorded.cotangents[0].shape == ()


@pytest.mark.parametrize(
    "op",
    [
        replace(DOUBLE, backward=lambda grad, out, y: 2 * grad),
        replace(DOUBLE, signature="(n,m)->(n,m)"),
        Op(np.add, lambda grad, out, x, y: (grad, grad), "(n),(n)->(n)", name="double"),
    ],
    ids=["another name", "another rank", "more inputs"],
)
def test_an_op_that_takes_other_inputs_is_gone(op: Op, tmp_path: Path) -> None:
    result, _ = after(a_file(tmp_path), op, Update.CHANGED)

    assert (result.verdict, codes(result)) == (Verdict.ERROR, {"GC703"})


def test_recorded_gradients_of_another_kind_are_told(tmp_path: Path) -> None:
    """Complex ones for a real input, or of another shape."""
    fixture = a_file(tmp_path)
    recorded = fixture.cases[0]
    assert recorded.expected is not None
    for other in (np.array([1j, 2]), np.array([1.0, 2.0, 3.0])):
        expected = replace(recorded.expected, gradients={"x": other})
        result = Replay([fixture], Options()).replay(replace(recorded, expected=expected), DOUBLE)

        assert codes(result) == {"GC702"}


def test_a_cancelled_sum_may_round_otherwise(tmp_path: Path) -> None:
    """0.1 + 0.2 - 0.3 is 5.6e-17 or 0, as the order of the sum has it: that is no difference; 1e-14 is."""
    x, ones = np.array([0.1, 0.2, -0.3]), lambda grad, out, x: np.full(x.shape, grad)
    op = Op(lambda x: x[0] + x[1] + x[2], ones, "(n)->()", name="double", loops=False)
    side: dict[str, Array] = {}
    case = make_case(op, (x,), {}, seed=0, index=0)
    write(tmp_path / "double.json", [record_of(case, side, expected=expected_by_itself(case, side))], side)
    fixture = read(tmp_path / "double.json")

    assert after(fixture, replace(op, forward=lambda x: x[2] + x[1] + x[0]), Update.NOTHING)[0].findings == ()
    other = replace(op, forward=lambda x: x[0] + x[1] + x[2] + 1e-14)
    assert codes(after(fixture, other, Update.NOTHING)[0]) == {"GC701"}


def test_only_cases_that_pass_are_recorded() -> None:
    """Of an op that is right on its core shapes, what warns with loop dimensions is left out."""
    op = Op(lambda x: x * x.sum(-1), lambda g, o, x: g * x.sum() + (g * x).sum(), "(n)->(n)", name="op")
    recording: Recording = record({op: None}, Path("op.json"), Options(Sampling(cases=9)))
    wrong = record({replace(DOUBLE, backward=lambda g, o, x: g): None}, Path("op.json"), Options())

    assert recording.records
    assert not recording.wrong
    assert wrong.wrong == ["double: GC201 wrong_value in (3,)"] or wrong.wrong[0].startswith("double: GC201")
    assert not wrong.records


# The commands.


def test_record_then_replay(gradcheck: Gradcheck, op_file: WriteFile, tmp_path: Path) -> None:
    """A user's op file is named relative to the fixture, and found from either folder."""
    op_file(MY_OPS, "ops/my_ops.py")
    recorded = gradcheck("record", "ops/my_ops.py", "matmul", "-o", "fixtures/mine.json", "--cases", "3")
    document = json.loads((tmp_path / "fixtures" / "mine.json").read_text(encoding="utf-8"))
    replayed = gradcheck("replay", "fixtures", "--report", "json=report.json")
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))

    many = len(document["cases"])
    assert many > 6  # three random cases of each, and edges
    assert (recorded.code, recorded.stdout) == (0, f"recorded {many} cases in fixtures/mine.json\n")
    assert document["cases"][0]["source"] == "../ops/my_ops.py"
    assert document["cases"][-1]["expected"]["computed_by"]["who"] == "the op itself"
    assert (replayed.code, replayed.stderr) == (0, "")
    assert f"2 passed   2 ops, {many} cases, 1 fixture, float64" in replayed.stdout
    assert (report["fixtures"], report["ops"][0]["cases"][1]["recorded"]) == (1, "fixtures/mine.json, case 1")


def test_recording_again_needs_an_update(gradcheck: Gradcheck, tmp_path: Path) -> None:
    command = ("record", "sin", "-o", "sin.json", "--cases")
    assert gradcheck(*command, "2").code == 0
    before = (tmp_path / "sin.json").read_bytes()
    refused = gradcheck(*command, "2")
    assert (refused.code, refused.stderr.count("\n")) == (2, 1)
    assert "--update" in refused.stderr
    assert gradcheck(*command, "2", "--update").code == 0
    assert (tmp_path / "sin.json").read_bytes() == before
    assert gradcheck(*command, "4", "--update-new-only").stdout == "recorded 2 cases in sin.json\n"
    grown = (tmp_path / "sin.json").read_bytes()
    assert grown.startswith(before.rstrip(b"\n ]}"))
    assert gradcheck(*command, "1", "--update", "--update-new-only").code == 2


def test_a_wrong_op_is_not_recorded(gradcheck: Gradcheck, op_file: WriteFile, tmp_path: Path) -> None:
    op_file('OPS = [Op(np.sin, lambda grad, out, x: grad * np.sin(x), "()->()")]')
    outcome = gradcheck("record", "my_ops.py", "-o", "sin.json", "--cases", "4")

    assert outcome.code == 1
    assert outcome.stderr.startswith("gradcheck: nothing is recorded: sin: GC201")
    assert outcome.stderr.count("\n") == 1
    assert not (tmp_path / "sin.json").exists()


def test_a_param_that_cannot_be_recorded(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file('OPS = [Op(lambda x, k: x, lambda grad, out, x, k: grad, "()->()", name="op", params={"k": [{1}]})]')
    outcome = gradcheck("record", "my_ops.py", "-o", "op.json")

    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr == "gradcheck: op: param k={1} cannot be written in a fixture: it is a set\n"


@pytest.mark.parametrize("value", ["10**5000", "ENDLESS"])
def test_a_failure_whose_param_cannot_be_written_is_still_told(
    gradcheck: Gradcheck, op_file: WriteFile, value: str
) -> None:
    op_file(f"""
        ENDLESS = []
        ENDLESS.append(ENDLESS)
        OPS = [Op(lambda x, k: x, lambda grad, out, x, k: -grad, "()->()", name="op", params={{"k": [{value}]}})]
    """)
    outcome = gradcheck("run", "my_ops.py")

    assert outcome.code == 1
    assert re.fullmatch(
        "gradcheck: not saved for a replay: op: param k.*cannot be written in a fixture.*\n", outcome.stderr
    )


def test_an_op_that_is_gone_fails_and_the_others_are_replayed(
    gradcheck: Gradcheck, op_file: WriteFile, tmp_path: Path
) -> None:
    path = op_file(MY_OPS)
    gradcheck("record", "my_ops.py", "sin", "-o", "mine.json", "--cases", "2")
    path.write_text(path.read_text(encoding="utf-8").replace("double", "twice"), encoding="utf-8")
    renamed = gradcheck("replay", "mine.json")
    path.unlink()
    deleted = gradcheck("replay", "mine.json", "-q")

    for outcome in (renamed, deleted):
        assert outcome.code == 1
        assert "ERROR double · GC703 · op_gone" in outcome.stdout
        assert "1 with errors, 1 passed" in outcome.stdout
    assert "no op named 'double' is in my_ops.py" in renamed.stdout
    assert "my_ops.py: no such file" in deleted.stdout


def test_update_says_what_it_rewrites(gradcheck: Gradcheck, op_file: WriteFile, tmp_path: Path) -> None:
    path = op_file(MY_OPS)
    gradcheck("record", "my_ops.py", "-o", "mine.json", "--cases", "2")
    before = json.loads((tmp_path / "mine.json").read_text(encoding="utf-8"))["cases"]
    path.write_text(path.read_text(encoding="utf-8").replace("2 *", "3 *"), encoding="utf-8")
    differs = gradcheck("replay", "mine.json")
    updated = gradcheck("replay", "mine.json", "--update")
    after_it = json.loads((tmp_path / "mine.json").read_text(encoding="utf-8"))["cases"]

    assert differs.code == 1
    assert "FAIL double · GC701 · outputs_differ" in differs.stdout
    assert "gradcheck replay PATH --update" in differs.stdout
    assert (updated.code, updated.stderr) == (0, "gradcheck: rewrote mine.json\n")
    assert gradcheck("replay", "mine.json").code == 0
    assert [old.pop("expected") for old in before] != [new.pop("expected") for new in after_it]
    assert before == after_it


def test_other_json_files_in_a_folder_do_not_disturb(gradcheck: Gradcheck, tmp_path: Path) -> None:
    shutil.copy(ROOT / "fixtures" / "golden" / "sin.json", tmp_path)
    shutil.copy(ROOT / "fixtures" / "schema.json", tmp_path)
    (tmp_path / "package.json").write_text('{"name": "x"}', encoding="utf-8")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "broken.json").write_text("{", encoding="utf-8")

    assert "5 cases, 1 fixture" in gradcheck("replay", ".").stdout


def test_a_folder_without_fixtures_is_exit_5(gradcheck: Gradcheck, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    outcome = gradcheck("replay", "empty")

    assert (outcome.code, outcome.stdout) == (5, "")
    assert outcome.stderr == "gradcheck: no fixture in empty; gradcheck record writes some\n"


def test_a_large_array_stands_beside(gradcheck: Gradcheck, tmp_path: Path) -> None:
    command = ("record", "matmul", "--shape", "40,40", "--cases", "1", "-o", "large.json")
    assert gradcheck(*command).code == 0
    first = (tmp_path / "large.npz").read_bytes()
    assert gradcheck(*command, "--update").code == 0

    assert (tmp_path / "large.npz").read_bytes() == first
    assert (tmp_path / "large.json").stat().st_size < 10_000
    assert gradcheck("replay", "large.json").code == 0


def test_float32_replays(gradcheck: Gradcheck) -> None:
    ops = ("log", "softmax", "matmul")
    assert gradcheck("record", *ops, "--dtype", "float32", "--cases", "8", "-o", "f.json").code == 0
    replayed = gradcheck("replay", "f.json")

    assert (replayed.code, "float32" in replayed.stdout) == (0, True)
