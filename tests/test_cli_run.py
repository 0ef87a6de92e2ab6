"""`gradcheck run`, `list`, `show` and the rest of the command, as a user meets them."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Gradcheck, Outcome, WriteFile

ESCAPE = "\x1b"

AFFINE = """
def affine(x, w, b):
    return x @ w + b

def right(grad, out, x, w, b):
    return grad @ w.T, x.T @ grad, grad.sum(0)

def missing_unbroadcast(grad, out, x, w, b):
    return grad @ w.T, x.T @ grad, grad

def factor_two(grad, out, x, w, b):
    return grad @ w.T, 2 * x.T @ grad, grad.sum(0)

def transposed(grad, out, x, w, b):
    return grad @ w.T, grad.T @ x, grad.sum(0)

OPS = [Op(affine, backward, "(n,k),(k,m),(m)->(n,m)", name=backward.__name__, loops=LOOPS)
       for backward in (right, missing_unbroadcast, factor_two, transposed)]
"""

SINES = """
def sin_backward(grad, out, x):
    "dL/dx = g * cos x"
    return grad * np.cos(x)

def forgets_cotangent(grad, out, x):
    return np.cos(x)

OPS = [
    Op(np.sin, sin_backward, "()->()", name="good"),
    Op(np.sin, forgets_cotangent, "()->()", name="bad"),
    Op(np.sin, forgets_cotangent, "()->()", name="worse"),
]
"""

SLOW = """
import time

def slow(x):
    print("started", flush=True)
    BODY
    return x

OPS = [
    Op(np.sin, lambda grad, out, x: grad * np.cos(x), "()->()", name="quick"),
    Op(slow, lambda grad, out, x: grad, "()->()"),
]
"""


def table(outcome: Outcome) -> list[dict[str, str]]:
    """The rows of the first table on stdout; columns stand two blanks apart."""
    lines = outcome.stdout.splitlines()
    titles = re.split(r" {2,}", lines[0].strip())
    rows = []
    for line in lines[1:]:
        if not line.strip():
            break
        cells = re.split(r" {2,}", line.strip(), maxsplit=len(titles) - 1)
        rows.append(dict(zip(titles, cells, strict=True)))
    return rows


def without_time(text: str) -> str:
    return re.sub(r"\d+\.\d\d s", "TIME", text)


def document(gradcheck: Gradcheck, *arguments: str) -> dict[str, Any]:
    """What `--report json=-` says."""
    parsed: dict[str, Any] = json.loads(gradcheck("run", *arguments, "--report", "json=-").stdout)
    return parsed


def test_one_shape_shows_the_family_of_matmul(gradcheck: Gradcheck) -> None:
    """Same batch, ones, lower rank, a plain matrix, more dimensions, a vector; all pass."""
    outcome = gradcheck("run", "matmul", "--shape", "2,3,4,5")

    partners = ("(2,3,5,6)", "(2,1,5,6)", "(3,5,6)", "(5,6)", "(2,2,3,5,6)", "(5,)")
    assert [f"(2,3,4,5) @ {partner}" for partner in partners] == [row["case"] for row in table(outcome)]
    assert {("a b", "pass")} == {(row["checked"], row["verdict"]) for row in table(outcome)}
    assert (outcome.code, outcome.stderr) == (0, "")


def test_every_built_in_op_passes(gradcheck: Gradcheck) -> None:
    outcome = gradcheck("run")

    assert {"pass"} == {row["verdict"] for row in table(outcome)}
    assert {"add", "getitem", "matmul", "softmax"} < {row["op"] for row in table(outcome)}
    assert (outcome.code, outcome.stderr) == (0, "")


def test_every_built_in_op_passes_in_float32(gradcheck: Gradcheck) -> None:
    outcome = gradcheck("run", "--dtype", "float32")

    assert {"pass"} == {row["verdict"].split()[0] for row in table(outcome)}
    assert outcome.code == 0


@pytest.mark.parametrize("op", ["add", "sum", "linear"])
def test_one_shape_shows_a_family_of_any_op(gradcheck: Gradcheck, op: str) -> None:
    """One row for each member, and one for the edges at the given shape."""
    outcome = gradcheck("run", op, "--shape", "2,3")

    *family, edges = table(outcome)
    assert len(family) > 1
    assert all(row["case"].startswith("(2,3)") and row["verdict"] == "pass" for row in family)
    assert (edges["case"].split()[1], edges["verdict"]) == ("edges", "pass")
    assert outcome.code == 0


def test_two_shapes_give_both_operands(gradcheck: Gradcheck) -> None:
    outcome = gradcheck("run", "add", "--shape", "2,1", "--shape", "3", "--no-edges")

    assert [row["case"] for row in table(outcome)] == ["(2,1) + (3,) x13"]


@pytest.mark.parametrize(
    ("name", "codes", "grad"),
    [("missing_unbroadcast", "GC101", "grad b"), ("factor_two", "GC201", "grad w"), ("transposed", "GC", "grad w")],
)
def test_a_wrong_affine_backward_is_named_with_input_and_magnitude(
    gradcheck: Gradcheck, op_file: WriteFile, name: str, codes: str, grad: str
) -> None:
    op_file(AFFINE.replace("LOOPS", "None"))
    outcome = gradcheck("run", f"my_ops.py::{name}")

    assert outcome.code == 1
    story = outcome.stdout[outcome.stdout.index(f" FAIL {name}") :]
    assert codes in story.splitlines()[0]
    assert grad in story.splitlines()[1]
    assert re.search(r"off by \d+(\.\d+)?(e\+\d+)? %|has shape \(\d.*\); [bw] has shape \(\d", story)


def test_a_factor_of_two_is_called_off_by_its_own_size(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file(AFFINE.replace("LOOPS", "None"))

    assert "off by 100 %" in gradcheck("run", "my_ops.py::factor_two").stdout


def test_only_the_wrong_affine_backwards_fail(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file(AFFINE.replace("LOOPS", "None"))
    outcome = gradcheck("run", "my_ops.py", "--no-edges")

    verdicts = {row["op"]: row["verdict"].split()[0] for row in table(outcome)}
    wrong = {"missing_unbroadcast": "FAIL", "factor_two": "FAIL", "transposed": "FAIL"}
    assert {"right": "pass", **wrong} == verdicts
    assert outcome.code == 1


def test_loop_dimensions_nobody_mentioned_are_forgiven_with_a_warning(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    """`x.T @ grad` knows nothing of batches; its author may never have meant them."""
    op_file(AFFINE.replace("LOOPS", "None"))
    outcome = gradcheck("run", "my_ops.py::right")

    assert outcome.code == 0
    assert " WARNING right" in outcome.stdout
    assert "loops=True" in outcome.stdout


def test_loop_dimensions_that_are_meant_must_work(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file(AFFINE.replace("LOOPS", "True"))

    assert gradcheck("run", "my_ops.py::right", "--cases", "6", "--no-edges").code == 1


def test_loop_dimensions_that_are_not_meant_are_not_drawn(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file(AFFINE.replace("LOOPS", "False"))
    outcome = gradcheck("run", "my_ops.py::right")

    assert outcome.code == 0
    assert "WARNING" not in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "selected"),
    [
        (["su*"], ["subtract", "sum", "sum_to"]),
        (["sin", "exp", "sin"], ["sin", "exp"]),
        (["-k", "mul and not matmul"], ["multiply"]),
        (["-k", "SUM_TO or (cos and not x)"], ["cos", "sum_to"]),
        (["su*", "--exclude", "sum*"], ["subtract"]),
        (["su*", "--exclude", "sum", "--exclude", "subtract"], ["sum_to"]),
    ],
    ids=" ".join,
)
def test_ops_are_selected(gradcheck: Gradcheck, arguments: list[str], selected: list[str]) -> None:
    assert selected == [op["name"] for op in document(gradcheck, *arguments, "--cases", "1")["ops"]]


def test_a_file_and_a_name_select_one_op(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file(SINES)

    assert [op["name"] for op in document(gradcheck, "my_ops.py::good")["ops"]] == ["good"]


def test_a_module_and_a_name_select_one_op(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file("", name="pkg/__init__.py")
    op_file(SINES, name="pkg/waves.py")

    assert [op["name"] for op in document(gradcheck, "pkg.waves::*[de]*", "--exclude", "good")["ops"]] == [
        "bad",
        "worse",
    ]


def test_a_file_without_ops_table_gives_its_ops(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file('sine = Op(np.sin, lambda grad, out, x: grad * np.cos(x), "()->()")')

    assert [op["name"] for op in document(gradcheck, "my_ops.py")["ops"]] == ["sin"]


def test_an_op_file_imports_its_sibling(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file("def cube_backward(grad, out, x):\n    return 3 * grad * x * x\n", name="formulas.py")
    op_file('import formulas\nOPS = [Op(lambda x: x**3, formulas.cube_backward, "()->()", name="cube")]')

    assert gradcheck("run", "my_ops.py").code == 0


@pytest.mark.parametrize("option", [["-x"], ["--maxfail", "1"]], ids=" ".join)
def test_the_first_failure_ends_the_run(gradcheck: Gradcheck, op_file: WriteFile, option: list[str]) -> None:
    op_file(SINES)
    outcome = gradcheck("run", "my_ops.py", *option)

    assert [row["op"] for row in table(outcome)] == ["good", "bad"]
    assert "stopped after 1 failed case" in outcome.stdout
    assert outcome.code == 1


def test_maxfail_counts_failed_cases(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file(SINES)
    ops = document(gradcheck, "my_ops.py", "--maxfail", "3")["ops"]

    assert {op["name"]: sum(case["verdict"] == "fail" for case in op["cases"]) for op in ops} == {"good": 0, "bad": 3}


def test_several_ops_take_one_line_each(gradcheck: Gradcheck) -> None:
    assert [row["op"] for row in table(gradcheck("run", "sin", "cos"))] == ["sin", "cos"]


def test_verbose_prints_one_line_per_case(gradcheck: Gradcheck) -> None:
    rows = table(gradcheck("run", "sin", "cos", "--cases", "3", "--no-edges", "-v"))

    assert [row["op"] for row in rows] == ["sin", "sin", "sin", "cos", "cos", "cos"]


def test_quiet_prints_the_summary_only(gradcheck: Gradcheck) -> None:
    assert [
        line.partition("   ")[0].replace("  ", " ")
        for line in gradcheck("run", "sin", "cos", "-q").stdout.splitlines()
        if line.strip()
    ] == [" 2 passed"]


def test_quiet_prints_what_is_wrong(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file(SINES)
    outcome = gradcheck("run", "my_ops.py", "-q", "--no-edges")

    assert re.findall(r"FAIL \w+", outcome.stdout) == ["FAIL bad", "FAIL worse"]


def test_a_json_report_is_written_beside_the_table(gradcheck: Gradcheck, tmp_path: Path) -> None:
    outcome = gradcheck("run", "sum", "--seed", "4", "--report", "json=report.json")

    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert (report["seed"], report["exit_code"], report["verdicts"]) == (4, 0, {"pass": 1})
    *random, edges = table(outcome)
    cases = report["ops"][0]["cases"]
    assert [row["case"] for row in random] == [case["name"] for case in cases if not case["edge"]]
    assert edges["case"] == f"{len([case for case in cases if case['edge']])} edges"


def test_json_on_stdout_is_alone_there_even_if_the_op_prints(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file('def loud(x):\n    print("NOISE")\n    return x\nOPS = [Op(loud, lambda grad, out, x: grad, "()->()")]')
    outcome = gradcheck("run", "my_ops.py", "--report", "json=-")

    assert json.loads(outcome.stdout)["verdicts"] == {"pass": 1}
    assert "NOISE" in outcome.stderr
    assert " 1 passed" in outcome.stderr


def test_what_an_op_prints_stays_out_of_the_table(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file('def loud(x):\n    print("NOISE")\n    return x\nOPS = [Op(loud, lambda grad, out, x: grad, "()->()")]')
    outcome = gradcheck("run", "my_ops.py")

    assert "NOISE" not in outcome.stdout
    assert "NOISE" in outcome.stderr


def test_garbage_is_collected_while_ops_run(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    """Only start-up goes without: large arrays in a cycle of somebody's backward must not pile up."""
    op_file(
        "import gc\ndef loud(x):\n    print('COLLECTED' if gc.isenabled() else 'KEPT')\n    return x\n"
        'OPS = [Op(loud, lambda grad, out, x: grad, "()->()")]'
    )
    outcome = gradcheck("run", "my_ops.py")

    assert set(outcome.stderr.split()) == {"COLLECTED"}


def test_a_finding_in_json_has_every_number(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file(AFFINE.replace("LOOPS", "False"))
    (op,) = document(gradcheck, "my_ops.py::factor_two", "--cases", "1", "--no-edges")["ops"]
    (finding,) = op["cases"][0]["findings"]

    assert (finding["code"], finding["severity"], finding["input"]) == ("GC201", "failure", "w")
    assert {"claimed", "numeric", "bar"} <= finding["evidence"].keys()
    assert abs(finding["evidence"]["claimed"] - finding["evidence"]["numeric"]) > finding["evidence"]["bar"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("axis=-1", -1), ("axis=(0,1)", [0, 1]), ("axis=None", None)],
    ids=["-1", "(0,1)", "None"],
)
def test_a_param_is_fixed(gradcheck: Gradcheck, setting: str, value: object) -> None:
    (op,) = document(gradcheck, "sum", "--rank", "3", "--param", setting)["ops"]

    assert [value] * len(op["cases"]) == [case["params"]["axis"] for case in op["cases"]]
    assert len(op["cases"]) > 20


def test_rank_fixes_the_largest_operand(gradcheck: Gradcheck) -> None:
    (op,) = document(gradcheck, "add", "--rank", "3")["ops"]

    assert {3} == {max(len(shape) for shape in case["shapes"]) for case in op["cases"]}


def test_max_side_bounds_every_dimension(gradcheck: Gradcheck) -> None:
    (op,) = document(gradcheck, "matmul", "--max-side", "2")["ops"]

    assert {0, 1, 2} == {side for case in op["cases"] for shape in case["shapes"] for side in shape}


def test_without_broadcasting_all_operands_have_one_shape(gradcheck: Gradcheck) -> None:
    (op,) = document(gradcheck, "add", "--no-broadcast")["ops"]

    assert all(case["shapes"][0] == case["shapes"][1] for case in op["cases"])


def test_the_same_seed_prints_the_same(gradcheck: Gradcheck) -> None:
    first, second = (gradcheck("run", "divide", "--seed", "7").stdout for _ in range(2))

    assert without_time(first) == without_time(second)


def test_another_seed_draws_other_cases(gradcheck: Gradcheck) -> None:
    first, second = (gradcheck("run", "divide", "--seed", seed).stdout for seed in ("7", "8"))

    assert table(Outcome(0, first, "")) != table(Outcome(0, second, ""))
    assert tuple(re.findall(r"seed \d+", first + second)) == ("seed 7", "seed 8")


@pytest.mark.parametrize("option", [("--eps", "1e-5"), ("--rtol", "1e-2"), ("--atol", "1e-4")], ids=" ".join)
def test_tolerances_switch_to_the_classic_test_and_say_so(gradcheck: Gradcheck, option: tuple[str, str]) -> None:
    outcome = gradcheck("run", "sin", *option)

    assert f"{option[0][2:]} {float(option[1]):g}" in outcome.stdout.partition("classic test:")[2]
    assert outcome.code == 0


def test_without_tolerances_nothing_is_said_of_the_classic_test(gradcheck: Gradcheck) -> None:
    assert "classic" not in gradcheck("run", "sin").stdout


def test_the_classic_test_finds_a_wrong_gradient(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file(SINES)

    assert gradcheck("run", "my_ops.py::bad", "--rtol", "1e-3").code == 1


@pytest.mark.parametrize(
    ("arguments", "environment", "colored"),
    [
        ([], {}, False),
        ([], {"FORCE_COLOR": "1"}, True),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (["--color", "always"], {}, True),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
    ],
)
def test_color_is_used_where_it_is_asked_for(
    gradcheck: Gradcheck, arguments: list[str], environment: dict[str, str], colored: bool
) -> None:
    outcome = gradcheck("run", "sin", *arguments, **environment)

    assert colored is (ESCAPE in outcome.stdout)
    assert ESCAPE not in outcome.stderr


def test_tables_fit_into_80_columns(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file(SINES)
    outcome = gradcheck("run", "getitem", "matmul", "softmax", "-v", COLUMNS="80")

    assert max(map(len, outcome.stdout.splitlines())) <= 80


def test_stories_fit_into_80_columns(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file(AFFINE.replace("LOOPS", "None"))
    outcome = gradcheck("run", "my_ops.py", "--cases", "6", COLUMNS="80")

    assert max(map(len, outcome.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    "name", ["\x1b[2J", "[red]", "[/]", "\u202egnp"], ids=["escape code", "markup", "closing markup", "bidi"]
)
def test_what_an_op_says_is_shown_and_not_obeyed(gradcheck: Gradcheck, op_file: WriteFile, name: str) -> None:
    op_file(f'def raises(x):\n    raise ValueError({name!r} + "end")\nOPS = [Op(raises, lambda *_: None, "(n)")]')
    outcome = gradcheck("run", "my_ops.py", "--color", "never")

    shown = name.encode("unicode_escape").decode() if not name.isprintable() else name
    assert f"ValueError: {shown}end" in outcome.stdout
    assert not set(outcome.stdout) & {ESCAPE, "\u202e"}
    assert outcome.code == 1


def test_an_exception_that_cannot_be_printed_is_still_reported(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file("""
        class Mute(Exception):
            def __str__(self):
                raise RuntimeError

        def raises(x):
            raise Mute

        OPS = [Op(raises, lambda grad, out, x: grad, "(n)")]
    """)
    outcome = gradcheck("run", "my_ops.py")

    assert "raises Mute" in outcome.stdout
    assert (outcome.code, outcome.stderr) == (1, "")


@pytest.mark.parametrize("call", ["sys.exit(0)", "raise SystemExit", "os._exit(0)"])
@pytest.mark.parametrize("role", ["forward", "backward"])
def test_an_op_that_exits_does_not_pass(gradcheck: Gradcheck, op_file: WriteFile, role: str, call: str) -> None:
    op_file(f"""
        import os, sys

        def leaves(*_):
            {call}

        functions = {{"forward": np.sin, "backward": lambda grad, out, x: grad * np.cos(x), "{role}": leaves}}
        OPS = [Op(functions["forward"], functions["backward"], "()->()", name="leaver")]
    """)
    outcome = gradcheck("run", "my_ops.py")

    assert outcome.code == 1
    assert "SystemExit" in outcome.stdout


def test_an_op_that_raises_a_bare_base_exception_leaves_no_traceback(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file("""
        class Odd(BaseException):
            pass

        def raises(x):
            raise Odd("odd")

        OPS = [Op(raises, lambda grad, out, x: grad, "(n)")]
    """)
    outcome = gradcheck("run", "my_ops.py")

    assert "Traceback" not in outcome.stderr
    assert "Odd" in outcome.stdout + outcome.stderr


def start_slow(
    gradcheck: Gradcheck, op_file: WriteFile, *arguments: str, slow: str = "time.sleep(60)"
) -> "subprocess.Popen[str]":
    """A run that has finished `quick` and hangs in `slow`; the op's own print tells when."""
    op_file(SLOW.replace("BODY", slow.replace("\n", "\n    ")))
    process = gradcheck.start("run", "my_ops.py", *arguments)
    assert process.stderr is not None
    assert process.stderr.readline() == "started\n"
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_run_reports_what_was_finished(
    gradcheck: Gradcheck, op_file: WriteFile, number: signal.Signals, code: int
) -> None:
    with start_slow(gradcheck, op_file) as process:
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=30)

    assert code == process.returncode
    assert [row["op"] for row in table(Outcome(code, stdout, stderr))] == ["quick"]
    assert "1 of 2 ops" in stdout
    assert "Traceback" not in stderr
    assert re.fullmatch(r"\s*gradcheck: \w+\s*", stderr)


SWALLOWS_ONCE = "try:\n    time.sleep(60)\nexcept:\n    pass"
SWALLOWS_ALL = "while True:\n    try:\n        time.sleep(60)\n    except:\n        pass"


@pytest.mark.parametrize(("body", "signals"), [(SWALLOWS_ONCE, 1), (SWALLOWS_ALL, 2)], ids=["once", "always"])
def test_an_op_that_swallows_an_interruption_is_left_all_the_same(
    gradcheck: Gradcheck, op_file: WriteFile, body: str, signals: int
) -> None:
    """`except:` without a name takes Ctrl-C, too: one is enough where forward returns, two where it never does."""
    with start_slow(gradcheck, op_file, slow=body) as process:
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
            time.sleep(0.3)
        stdout, stderr = process.communicate(timeout=30)

    assert (process.returncode, stderr.strip()) == (130, "gradcheck: interrupted")
    assert [row["op"] for row in table(Outcome(130, stdout, stderr))] == ["quick"]
    assert "1 of 2 ops" in stdout


def test_an_interrupted_run_writes_its_report(gradcheck: Gradcheck, op_file: WriteFile, tmp_path: Path) -> None:
    with start_slow(gradcheck, op_file, "--report", "json=report.json") as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)

    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [op["name"] for op in report["ops"]] == ["quick"]
    assert "interrupted" in report["stopped"]


def test_a_reader_that_leaves_early_is_no_reason_to_complain(gradcheck: Gradcheck) -> None:
    with gradcheck.start("run", "sin", "cos") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        stderr = process.stderr.read()
        process.wait(timeout=30)

    assert stderr == ""
    assert process.returncode == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_below_stdout_is_output_that_failed(gradcheck: Gradcheck, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gradcheck_cli", "run", "sin"],
            cwd=tmp_path,
            env=gradcheck.environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 3
    assert re.fullmatch(r"gradcheck: .*No space left on device\n", done.stderr)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_below_a_report_is_output_that_failed(gradcheck: Gradcheck) -> None:
    outcome = gradcheck("run", "sin", "--report", "json=/dev/full")

    assert outcome.code == 3
    assert re.fullmatch(r"gradcheck: .*No space left on device\n", outcome.stderr)


def test_an_environment_variable_sets_an_option(gradcheck: Gradcheck) -> None:
    assert "seed 11" in gradcheck("run", "sin", GRADCHECK_RUN_SEED="11").stdout


def test_list_names_every_op_with_its_signature(gradcheck: Gradcheck) -> None:
    rows = {row["op"]: row["signature"] for row in table(gradcheck("list"))}

    assert rows["matmul"] == "(n?,k),(k,m?)->(n?,m?)"
    assert len(rows) > 25


def test_list_shows_an_op_file(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file(SINES)
    rows = table(gradcheck("list", "my_ops.py", "-k", "good"))

    assert [(r["op"], r["signature"], r["formula"]) for r in rows] == [("good", "()->()", "dL/dx = g * cos x")]


def test_show_tells_everything_that_is_declared(gradcheck: Gradcheck) -> None:
    outcome = gradcheck("show", "sum")

    lines = [re.split(r" {2,}", line.strip(), maxsplit=1) for line in outcome.stdout.splitlines()]
    fields = {cells[0]: cells[-1] for cells in lines}
    assert {"(...)", "REAL"} == {fields["signature"], fields["input x"]}
    assert "AXES" in fields["param axis"]
    assert fields["param keepdims"] == "False, True"
    assert outcome.code == 0


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(gradcheck: Gradcheck, flag: str) -> None:
    from gradcheck_cli import __version__

    assert __version__ in gradcheck(flag).stdout


@pytest.mark.parametrize("arguments", [["-h"], ["run", "-h"], ["list", "--help"], ["show", "--help"]], ids=" ".join)
def test_help(gradcheck: Gradcheck, arguments: list[str]) -> None:
    outcome = gradcheck(*arguments)

    assert outcome.stdout.startswith("Usage: gradcheck")
    assert (outcome.code, outcome.stderr) == (0, "")


def test_help_comes_at_once(gradcheck: Gradcheck) -> None:
    """--help imports no numpy."""
    outcome = gradcheck("--help", PYTHONPROFILEIMPORTTIME="1")

    imported = {line.rpartition("|")[2].strip() for line in outcome.stderr.splitlines()}
    assert "click" in imported
    assert not imported & {"numpy", "rich"}


def test_completion_script_prints(gradcheck: Gradcheck) -> None:
    outcome = gradcheck(_GRADCHECK_COMPLETE="bash_source")

    assert "complete " in outcome.stdout
    assert (outcome.code, outcome.stderr) == (0, "")


def test_completion_offers_ops(gradcheck: Gradcheck) -> None:
    outcome = gradcheck(_GRADCHECK_COMPLETE="bash_complete", COMP_WORDS="gradcheck run ma", COMP_CWORD="2")

    assert outcome.stdout.split() == ["plain,maximum", "plain,matmul"]


def test_completion_offers_codes_and_causes(gradcheck: Gradcheck) -> None:
    """In whatever case they are typed."""
    words = ("gradcheck explain gc10", "gradcheck explain wrong_a")
    outcomes = [gradcheck(_GRADCHECK_COMPLETE="bash_complete", COMP_WORDS=w, COMP_CWORD="2") for w in words]

    codes, causes = (outcome.stdout.split() for outcome in outcomes)
    assert codes == [f"plain,GC10{digit}" for digit in range(1, 7)]
    assert causes == ["plain,wrong_axis", "plain,wrong_at_kink", "plain,wrong_at_edge"]


def test_a_run_is_an_answer_before_one_looks_away(gradcheck: Gradcheck) -> None:
    """The main job, as a whole process; a loose bound, so that only a blunder breaks it."""
    started = time.perf_counter()
    gradcheck("run", "matmul", "--shape", "2,3,4,5")

    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_list_of_ops_keeps_their_names_whole(gradcheck: Gradcheck, columns: int) -> None:
    """Formulas give way, names and signatures do not."""
    printed = gradcheck("list", COLUMNS=str(columns)).stdout

    assert " mean_squared_error " in printed
    assert " (n?,k),(k,m?)->(n?,m?) " in printed


def test_a_failure_is_not_lost_where_a_later_case_is_too_large(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file("""
        OPS = [
            Op(np.sin, lambda grad, out, x: -grad * np.cos(x), "()->()", name="wrong"),
            Op(np.cos, lambda grad, out, x: -grad * np.sin(x), "()->()", name="right"),
        ]
    """)
    outcome = gradcheck("run", "my_ops.py", "--max-elements", "15")

    assert {row["op"]: row["verdict"].split()[0] for row in table(outcome)} == {"wrong": "FAIL", "right": "pass"}
    assert outcome.code == 1


def test_a_param_that_no_shape_accepts_is_the_user_s_mistake(gradcheck: Gradcheck) -> None:
    outcome = gradcheck("run", "sum", "--param", "axis=7")

    assert (outcome.code, outcome.stdout) == (2, "")
    assert "axis=7" in outcome.stderr


def test_a_declaration_that_breaks_late_leaves_the_other_results(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file("""
        def broken(x):
            raise RuntimeError("no choices today")

        OPS = [
            Op(np.sin, lambda grad, out, x: grad * np.cos(x), "()->()", name="fine"),
            Op(np.sum, lambda grad, out, x, axis: grad, "(...)", params={"axis": broken}),
        ]
    """)
    outcome = gradcheck("run", "my_ops.py")

    assert [row["op"] for row in table(outcome)] == ["fine", "sum"]
    assert "no choices today" in outcome.stdout
    assert outcome.code == 1
