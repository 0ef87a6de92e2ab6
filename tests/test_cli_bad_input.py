"""Whatever is wrong with what the command is given: one clear line on stderr, and the right exit code."""

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import Gradcheck, Outcome, WriteFile


def complaint(outcome: Outcome) -> str:
    """The one line on stderr, once it is known to be the only thing that was printed."""
    assert outcome.stdout == ""
    assert re.fullmatch(r"gradcheck: [^\n]*\n", outcome.stderr), outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert "internal error" not in outcome.stderr
    return outcome.stderr


def shell(gradcheck: Gradcheck, arguments: str, before: str = "") -> Outcome:
    """The command as bash runs it, with redirections, in the test's folder."""
    done = subprocess.run(
        ["bash", "-c", f"{before} {sys.executable} -m gradcheck_cli {arguments}"],
        cwd=gradcheck.folder,
        env=gradcheck.environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", ["--help"]),
        ("runn", ["runn", "'run'"]),
        ("run matmull", ["matmull", "'matmul'"]),
        ("run add::matmull", ["add"]),
        ("run no_such_op", ["no_such_op", "add"]),
        ("show matmull", ["matmull", "'matmul'"]),
        ("list matmull", ["matmull", "'matmul'"]),
        ("show", ["OP"]),
        ("explain GC503", ["GC503", "'GC502'"]),
        ("explain gc50", ["gc50", "'GC501'"]),
        ("explain GC101 missing_unbroadcasts", ["missing_unbroadcasts", "'missing_unbroadcast'"]),
        ("explain --markdown add", ["'add'", "gradcheck explain"]),
        ("run add --rotl 1", ["--rotl", "--rtol"]),
        ("run matmul --shape 2,,3", ["--shape", "2,,3", "2,3,4"]),
        ("run matmul --shape -1,3", ["--shape", "-1,3"]),
        ("run matmul --shape ٣,3", ["--shape", "٣,3"]),
        ("run matmul --shape 1_000", ["--shape", "1_000"]),
        ("run matmul --shape 2x3", ["--shape", "2x3", "2,3,4"]),
        ("run matmul --shape (2,3", ["--shape", "(2,3", "2,3,4"]),
        ("run matmul --shape (", ["--shape", "(", "2,3,4"]),
        ("run matmul --shape 4 3", ["'3'", "--shape 4,3 --shape 3"]),
        ("run matmul --shape 4,3 3,2", ["'3,2'", "--shape 4,3 --shape 3"]),
        ("run add --atol 1_0", ["--atol", "1_0"]),
        ("run add --atol ٣", ["--atol", "٣"]),
        ("run add --domain index(n)", ["--domain", 'index("n")']),
        (f"run add --domain interval(0,{'9' * 400})", ["--domain", "interval"]),
        ("record add -o .", ["-o .", ".json"]),
        ("record add -o /", ["-o /", ".json"]),
        ("run matmul --shape 2.0,3", ["--shape", "2.0,3"]),
        ("run matmul --shape 999999,999999", ["matmul", "a (999999,999999)", "999,998,000,001", "--max-elements"]),
        ("run add --shape 9999999999999999999", ["--shape", "9999999999999999999"]),
        (f"run add --shape {','.join('1' * 65)}", ["65 dimensions", "64"]),
        (f"run add --shape {','.join('1' * 63)}", ["63 dimensions", "62"]),
        ("run matmul --shape 2,3 --shape 4,5", ["k is 3 in a (2,3) but 4 in b (4,5)"]),
        ("run matmul --shape ()", ["a ()", "at least 1"]),
        ("run add --shape 2 --shape 3", ["a (2,)", "b (3,)", "broadcast"]),
        ("run add --shape 2 --shape 2 --shape 2", ["3 shapes", "2 operands"]),
        ("run outer --shape 2,3", ["a (2,3)", "2 dimensions"]),
        ("run add --rtol nan", ["--rtol", "nan"]),
        ("run add --rtol inf", ["--rtol", "inf"]),
        ("run add --rtol abc", ["--rtol", "abc"]),
        ("run add --atol -1", ["--atol", "-1"]),
        ("run add --eps 0", ["--eps", "0"]),
        ("run add --eps nan", ["--eps", "nan"]),
        ("run add --seed -1", ["--seed", "-1"]),
        ("run add --seed 1.5", ["--seed", "1.5"]),
        ("run add --seed ٣", ["--seed", "٣"]),
        ("run add --cases 0", ["--cases", "0"]),
        ("run add --max-side 0", ["--max-side", "0"]),
        ("run add --maxfail 0", ["--maxfail", "0"]),
        ("run add --rank 65", ["dimensions", "64"]),
        ("run add --dtype int64", ["--dtype", "int64", "float64", "float32"]),
        ("run add --color purple", ["--color", "purple", "never"]),
        ("run add --param axis=1", ["add", "'axis'"]),
        ("run sum --param axes=1", ["sum", "'axes'", "axis", "keepdims"]),
        ("run sum --param axis", ["--param", "axis=-1"]),
        ("run no_such_file.py", ["no_such_file.py", "no such file"]),
        ("run no/such/folder/my_ops.py", ["no/such/folder/my_ops.py", "no such file"]),
        ("run .", ["folder"]),
        ("run no_such_package.ops::op", ["no_such_package"]),
        ("run json::op", ["json", "no ops"]),
        ("run add --report xml=report.xml", ["'xml'", "json"]),
        ("run add --report json", ["--report", "json=report.json"]),
        ("run add --report json=", ["--report", "json=report.json"]),
        ("run add --report json=.", ["folder"]),
        ("run add --report json=no/such/folder.json", ["no/such"]),
        ("run add --report json=- --report json=-", ["--report", "stdout"]),
    ],
)
def test_bad_usage(gradcheck: Gradcheck, arguments: str, words: list[str]) -> None:
    outcome = gradcheck(*arguments.split())

    line = complaint(outcome)
    assert outcome.code == 2
    assert [word for word in words if word not in line] == []


@pytest.mark.parametrize(
    "expression", ["", "add and", "(add", "add)", "add or or sum", "add sum", "not", "a==b", "f()"]
)
def test_a_bad_expression(gradcheck: Gradcheck, expression: str) -> None:
    outcome = gradcheck("run", "-k", expression)

    assert f"-k {expression!r}" in complaint(outcome)
    assert outcome.code == 2


@pytest.mark.parametrize("arguments", ["run -k zzz", "run add --exclude add", "list -k zzz"])
def test_nothing_selected_is_exit_5_and_says_why(gradcheck: Gradcheck, arguments: str) -> None:
    outcome = gradcheck(*arguments.split())

    assert "nothing was selected" in complaint(outcome)
    assert outcome.code == 5


@pytest.mark.parametrize(
    ("variable", "value"),
    [("GRADCHECK_RUN_RTOL", "abc"), ("GRADCHECK_RUN_SEED", "-1"), ("GRADCHECK_RUN_DTYPE", "int64")],
)
def test_a_bad_environment_variable_is_named(gradcheck: Gradcheck, variable: str, value: str) -> None:
    outcome = gradcheck("run", "add", **{variable: value})

    line = complaint(outcome)
    assert variable in line
    assert value in line
    assert outcome.code == 2


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_report_where_nobody_may_write_is_refused_before_the_run(gradcheck: Gradcheck) -> None:
    """For root too, whom os.access promises everything."""
    outcome = gradcheck("run", "add", "--report", "json=/proc/report.json")

    assert "/proc/report.json" in complaint(outcome)
    assert outcome.code == 2


class BadFile(NamedTuple):
    """An op file that cannot be used (behind the two import lines of `op_file`), and what must be said."""

    text: str
    words: list[str]


BAD_FILES = {
    "syntax error": BadFile("x = 1\ndef f(:\n    pass", ["my_ops.py:5", "syntax"]),
    "null byte": BadFile("x = '\0'", ["my_ops.py", "null bytes"]),
    "absent module": BadFile("import no_such_module_at_all", ["my_ops.py:4", "no_such_module_at_all", "install"]),
    "absent submodule": BadFile("import json.no_such_part", ["my_ops.py:4", "json.no_such_part"]),
    "absent name": BadFile("from json import no_such_name", ["my_ops.py:4", "no_such_name"]),
    "sys.exit": BadFile("import sys\nsys.exit(0)", ["my_ops.py:5", "sys.exit"]),
    "os._exit": BadFile("import os\nos._exit(0)", ["my_ops.py:5", "exit"]),
    "raises": BadFile("x = 1\n1 / 0", ["my_ops.py:5", "ZeroDivisionError"]),
    "raises a bare BaseException": BadFile("class Odd(BaseException): pass\nraise Odd", ["my_ops.py:5", "Odd"]),
    "raises what exits when it is printed": BadFile(
        "class Odd(Exception):\n    def __str__(self): raise SystemExit(0)\nraise Odd", ["my_ops.py:5", "SystemExit"]
    ),
    "exits when it is looked at": BadFile("def __getattr__(name): raise SystemExit(0)", ["my_ops.py:4", "SystemExit"]),
    "raises when it is looked at": BadFile("def __getattr__(name): 1 / 0", ["my_ops.py:4", "ZeroDivisionError"]),
    "raises in Python's own library": BadFile("import json\njson.loads('')", ["my_ops.py:5", "JSONDecodeError"]),
    "raises in a function": BadFile("def f():\n    return [][1]\nf()", ["my_ops.py:5", "IndexError"]),
    "duplicate names": BadFile(
        'a = Op(np.sin, lambda g, o, x: g, "()->()")\nb = Op(np.sin, lambda g, o, x: g, "()->()")\nOPS = [a, b]',
        ["'sin'", "my_ops.py:4", "my_ops.py:5", "name="],
    ),
    "OPS not a list": BadFile("OPS = 3", ["my_ops.py", "OPS is a int", "OPS = ["]),
    "OPS of functions": BadFile("OPS = [np.sin]", ["my_ops.py", "OPS[0]", "not an Op"]),
    "no ops": BadFile("x = 1", ["my_ops.py", "no ops", "OPS = ["]),
    "bad declaration": BadFile('OPS = [Op(np.sin, np.cos, "(n")]', ["my_ops.py:4", "op sin", "'(n'"]),
    "domain is None": BadFile(
        'OPS = [Op(np.sin, lambda g, o, x: g, "()->()", domain=None)]', ["my_ops.py:4", "op sin", "domain"]
    ),
    "params that raise": BadFile(
        """
def choices(x):
    raise RuntimeError("boom")
OPS = [Op(lambda x, a: x, lambda g, o, x, a: g, "()->()", name="odd", params={"a": choices})]""",
        ["odd", "params['a']", "boom"],
    ),
    "params that are no list": BadFile(
        'OPS = [Op(lambda x, a: x, lambda g, o, x, a: g, "()->()", name="odd", params={"a": lambda x: None})]',
        ["odd", "params['a']", "None"],
    ),
    "a domain too narrow for its place": BadFile(
        'OPS = [Op(np.sin, lambda g, o, x: g, "()->()", domain=interval(1e16, 1e16 + 2))]', ["sin", "too narrow"]
    ),
    "wraps itself, and declares nothing": BadFile("def f(x): return x\nf.__wrapped__ = f", ["my_ops.py", "no ops"]),
    "SPD on a shape that is not square": BadFile(
        'OPS = [Op(np.tril, lambda g, o, x: np.tril(g), "(m,n)", domain=SPD)]', ["tril", "SPD", "square"]
    ),
    "a sample that does not fit": BadFile(
        'OPS = [Op(np.sin, lambda g, o, x: g, "(n)->(n)", samples=[3.0])]', ["sin", "(n)->(n)", "sample"]
    ),
    "a complex sample of a real op": BadFile(
        'OPS = [Op(np.sin, lambda g, o, x: g, "()->()", samples=[1j])]', ["sin", "sample", "complex128"]
    ),
    "a sample of words": BadFile(
        'OPS = [Op(np.sin, lambda g, o, x: g, "()->()", samples=["one"])]', ["sin", "sample", "one"]
    ),
}


@pytest.mark.parametrize("bad", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_op_file(gradcheck: Gradcheck, op_file: WriteFile, bad: BadFile) -> None:
    op_file(bad.text)
    outcome = gradcheck("run", "my_ops.py")

    line = complaint(outcome)
    assert outcome.code == 2
    assert [word for word in bad.words if word not in line] == []


@pytest.mark.parametrize(
    "declaration",
    [
        'Op(np.tril, lambda g, o, x: np.tril(g), "(m,n)", domain=SPD)',
        'Op(np.exp, lambda g, o, x: g * o, "(n)->(n)", samples=[3.0])',
    ],
    ids=["domain", "sample"],
)
def test_a_declaration_that_cannot_be_drawn_is_no_skip_beside_other_ops(
    gradcheck: Gradcheck, op_file: WriteFile, declaration: str
) -> None:
    """A gate must not turn green because an op file broke."""
    op_file(f'OPS = [Op(np.sin, lambda g, o, x: g * np.cos(x), "()->()"), {declaration}]')

    assert gradcheck("run", "my_ops.py").code in (1, 2)


@pytest.mark.parametrize(
    ("forward", "backward", "code"),
    [("Exits()", "grad", "GC401"), ("x", "Exits()", "GC105")],
    ids=["forward", "backward"],
)
def test_what_exits_when_it_becomes_an_array_is_a_finding(
    gradcheck: Gradcheck, op_file: WriteFile, forward: str, backward: str, code: str
) -> None:
    op_file(f"""
        class Exits:
            def __array__(self, *args, **kwargs):
                raise SystemExit(0)

        OPS = [
            Op(lambda x: {forward}, lambda grad, out, x: {backward}, "()->()", name="exits"),
            Op(np.sin, lambda grad, out, x: grad * np.cos(x), "()->()"),
        ]
    """)
    outcome = gradcheck("run", "my_ops.py")

    assert code in outcome.stdout
    assert "1 passed" in outcome.stdout
    assert outcome.code == 1


def test_what_exits_where_nobody_expects_it_does_not_pass(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    """The table asks a param for its repr."""
    op_file("""
        class Exits:
            def __repr__(self):
                raise SystemExit(0)

        OPS = [Op(lambda x, a: x, lambda grad, out, x, a: grad, "()->()", name="exits", params={"a": [Exits()]})]
    """)
    outcome = gradcheck("run", "my_ops.py")

    assert "my_ops.py:6: SystemExit" in complaint(outcome)
    assert outcome.code == 2


def test_a_report_into_a_pipe_is_written_once(gradcheck: Gradcheck) -> None:
    """Whoever reads from it would take a first try for all there is."""
    outcome = shell(
        gradcheck, "run sin --shape 3 --report json=pipe -q; wait", before="mkfifo pipe; cat pipe > read.json &"
    )

    assert outcome.code == 0
    assert '"sin"' in (gradcheck.folder / "read.json").read_text(encoding="utf-8")


STREAMS = [
    "sys.stderr.close()",
    "sys.stderr = None",
    "sys.stdout = sys.stderr = open(os.devnull, 'w')",
    "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')",
    "sys.stdout.reconfigure(encoding='utf-16')",
    "sys.stdout.close(); sys.__stdout__.close()",
]


@pytest.mark.parametrize("change", STREAMS)
def test_an_error_is_told_whatever_an_op_file_makes_of_its_streams(
    gradcheck: Gradcheck, op_file: WriteFile, change: str
) -> None:
    op_file(f"import io, os, sys\n{change}\n1 / 0")
    outcome = gradcheck("run", "my_ops.py")

    assert "my_ops.py:6: ZeroDivisionError" in complaint(outcome)
    assert outcome.code == 2


@pytest.mark.parametrize("change", STREAMS)
def test_a_report_is_printed_whatever_an_op_file_makes_of_its_streams(
    gradcheck: Gradcheck, op_file: WriteFile, change: str
) -> None:
    op_file(f'import io, os, sys\n{change}\nOPS = [Op(np.sin, lambda grad, out, x: grad * np.cos(x), "()->()")]')
    outcome = gradcheck("run", "my_ops.py")

    assert "1 passed" in outcome.stdout
    assert (outcome.code, outcome.stderr) == (0, "")


@pytest.mark.parametrize("arguments", ["--help", "--version", "run --help", "list"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_below_stdout_is_no_internal_error(gradcheck: Gradcheck, arguments: str) -> None:
    outcome = shell(gradcheck, f"{arguments} > /dev/full")

    assert "output could not be written" in complaint(outcome)
    assert outcome.code == 3


@pytest.mark.parametrize(
    ("arguments", "code"), [("run add", 0), ("run nosuch", 2), ("run my_ops.py", 1)], ids=["right", "usage", "wrong"]
)
@pytest.mark.parametrize("sink", ["2>&-", "2>/dev/full"])
def test_the_exit_code_does_not_need_stderr(
    gradcheck: Gradcheck, op_file: WriteFile, arguments: str, code: int, sink: str
) -> None:
    op_file('OPS = [Op(np.sin, lambda grad, out, x: 1 / 0, "()->()")]')

    assert shell(gradcheck, f"{arguments} {sink}").code == code


def test_a_working_folder_that_is_gone(gradcheck: Gradcheck, tmp_path: Path) -> None:
    outcome = shell(gradcheck, "run add", before=f"mkdir gone; cd gone; rmdir {tmp_path}/gone;")

    assert "working folder is gone" in complaint(outcome)
    assert outcome.code == 2


@pytest.mark.parametrize("arguments", ["run LONG.py", "run LONG", "replay LONG", "run add --report json=LONG"])
def test_a_name_that_no_file_system_takes(gradcheck: Gradcheck, arguments: str) -> None:
    outcome = gradcheck(*arguments.replace("LONG", "a" * 300).split())

    assert "File name too long" in complaint(outcome)
    assert outcome.code == 2


def test_a_file_whose_name_is_no_text(gradcheck: Gradcheck) -> None:
    """Linux takes any bytes for a name."""
    outcome = shell(gradcheck, "run $'\\xff.py'", before="echo 1/0 > $'\\xff.py';")

    assert "ZeroDivisionError" in complaint(outcome)
    assert outcome.code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--shape 1000000000000", ["x (1000000000000,)", "--max-elements"]),
        ("--shape 1000000000,1000000000", ["1,000,000,000,000,000,000", "--max-elements"]),
        ("--shape 1000000000000 --max-elements 9999999999999", ["x (1000000000000,)", "--max-memory"]),
        (f"--shape {','.join('1' * 63)}", ["x has 63 dimensions"]),
        ("--signature (n,n)->(n,n) --shape 9999,9999", ["x (9999,9999)", "--max-elements"]),
    ],
)
def test_what_declares_nothing_is_not_tried_with_arrays_that_are_too_large(
    gradcheck: Gradcheck, op_file: WriteFile, arguments: str, words: list[str]
) -> None:
    """It is called once before it is an op: what `--shape` asks for is refused before that is allocated, too."""
    op_file("def f_forward(x):\n    return np.sin(x)\n\ndef f_backward(dout, x):\n    return dout * np.cos(x)")
    outcome = gradcheck("run", "my_ops.py", *arguments.split())

    line = complaint(outcome)
    assert outcome.code == 2
    assert [word for word in words if word not in line] == []


def test_an_array_of_as_many_dimensions_as_there_may_be(gradcheck: Gradcheck) -> None:
    outcome = gradcheck("run", "sin", "add", "--shape", ",".join("1" * 62))

    assert (outcome.code, outcome.stderr) == (0, "")


def test_an_object_that_has_every_attribute_is_an_op_like_any_other(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file("""
        class Anything:
            def __call__(self, x):
                return 2 * x

            def __getattr__(self, name):
                return self

        OPS = [Op(Anything(), lambda grad, out, x: 2 * grad, "()->()", name="anything")]
    """)

    assert gradcheck("run", "my_ops.py").code == 0


def test_where_a_function_exits_is_told(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file("def f_forward(x):\n    raise SystemExit(0)\n\ndef f_backward(dout, x):\n    return dout")
    outcome = gradcheck("run", "my_ops.py", "--shape", "3")

    assert "SystemExit: 0 at my_ops.py:5" in complaint(outcome)
    assert outcome.code == 2


def test_init_of_an_op_file_says_that_it_is_one(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file('OPS = [Op(np.sin, lambda grad, out, x: grad * np.cos(x), "()->()")]')
    outcome = gradcheck("init", "my_ops.py")

    assert "op file already: gradcheck run my_ops.py" in complaint(outcome)
    assert outcome.code == 2


def test_an_input_without_a_gradient_is_not_blamed_on_the_command_line_library(
    gradcheck: Gradcheck, op_file: WriteFile
) -> None:
    op_file("def f_forward(x):\n    return np.sin(x)\n\ndef f_backward(dout, x):\n    return dout * np.cos(x)")
    outcome = gradcheck("run", "my_ops.py", "--shape", "3", "--domain", "x=integers(0,9)")

    assert re.fullmatch("gradcheck: f: it has nothing to differentiate.*\n", complaint(outcome))
    assert outcome.code == 2


def test_a_relative_import_says_how_to_name_the_module(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file('from . import nothing\nOPS = [Op(np.sin, lambda grad, out, x: grad, "()->()")]', "no_package/my_ops.py")
    outcome = gradcheck("run", "no_package/my_ops.py")

    line = complaint(outcome)
    assert "no_package/my_ops.py:4" in line
    assert "gradcheck run package.module" in line


def test_a_folder_called_like_an_op_does_not_hide_it(gradcheck: Gradcheck, tmp_path: Path) -> None:
    (tmp_path / "sin").mkdir()

    assert gradcheck("run", "sin", "--shape", "3").code == 0


def test_a_file_that_is_not_python_is_no_unknown_op(gradcheck: Gradcheck, tmp_path: Path) -> None:
    (tmp_path / "ops.ipynb").write_text("{}", encoding="utf-8")

    assert "ops.ipynb is not a Python file" in complaint(gradcheck("run", "ops.ipynb"))


@pytest.mark.parametrize("columns", ["0", "-1", "٣", "1e3", "99999999999999999999"])
def test_odd_columns_are_survived(gradcheck: Gradcheck, columns: str) -> None:
    outcome = gradcheck("run", "sin", "--shape", "3", COLUMNS=columns)

    assert (outcome.code, outcome.stderr) == (0, "")


def test_show_tells_what_an_undeclared_function_is_taken_for(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file("def f_forward(x):\n    return np.sin(x)\n\ndef f_backward(dout, x):\n    return dout * np.cos(x)")
    outcome = gradcheck("show", "my_ops.py")

    assert "f_forward and f_backward" in outcome.stdout
    assert "--shape" in outcome.stdout
    assert "Never called" not in outcome.stdout


def test_an_empty_table_is_not_blamed_on_the_selection(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file("OPS = []")
    outcome = gradcheck("run", "my_ops.py")

    line = complaint(outcome)
    assert outcome.code in (2, 5)
    assert "my_ops.py" in line
    assert "-k" not in line


def test_a_name_that_is_not_in_the_file(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file('OPS = [Op(np.sin, lambda g, o, x: g, "()->()")]')
    outcome = gradcheck("run", "my_ops.py::sim")

    assert re.search(r"'sim'.*my_ops.py.*'sin'", complaint(outcome))
    assert outcome.code == 2


def test_a_file_named_without_its_ending_is_offered(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file("OPS = []")

    assert "my_ops.py" in complaint(gradcheck("run", "my_ops"))


def test_an_installed_op_and_a_file_of_the_same_name_clash(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file('OPS = [Op(np.sin, lambda g, o, x: g, "()->()")]')
    outcome = gradcheck("run", "sin", "my_ops.py")

    assert "'sin'" in complaint(outcome)
    assert outcome.code == 2


def test_several_targets_skip_what_a_shape_does_not_fit(gradcheck: Gradcheck) -> None:
    outcome = gradcheck("run", "outer", "sin", "--shape", "2,3,4")

    assert re.search(r"^ outer .*skip .*3 dimensions", outcome.stdout, re.MULTILINE)
    assert outcome.code == 0


def test_all_skipped_is_exit_5(gradcheck: Gradcheck) -> None:
    assert gradcheck("run", "outer", "concatenate", "--rank", "3").code == 5


# Ops that load, and turn out wrong while they run: exit 1, and the story names what is wrong.


class WrongOp(NamedTuple):
    """Forward and backward as source, the code of the finding, and what its story must say."""

    forward: str
    backward: str
    code: str
    words: list[str]


RIGHT = "lambda grad, out, a, b: (grad * b, grad * a)"

WRONG_OPS = {
    "too few gradients": WrongOp("a * b", "lambda grad, out, a, b: grad * b", "GC102", ["1 gradient", "2", "a, b"]),
    "too many gradients": WrongOp(
        "a * b", "lambda grad, out, a, b: (grad,) * 3", "GC102", ["3 gradients", "2", "a, b"]
    ),
    "no gradient": WrongOp("a * b", "lambda grad, out, a, b: None", "GC10", ["None"]),
    "None for one input": WrongOp("a * b", "lambda grad, out, a, b: (grad * b, None)", "GC103", ["grad b", "None"]),
    "wrong shape": WrongOp(
        "a * b",
        "lambda grad, out, a, b: (grad * b, (grad * a).sum())",
        "GC101",
        ["grad b has shape ()", "b has shape ("],
    ),
    "wrong dtype": WrongOp(
        "a * b",
        "lambda grad, out, a, b: (grad * b, (grad * a).astype(np.float32))",
        "GC104",
        ["grad b is float32", "b is float64"],
    ),
    "a gradient larger than memory": WrongOp(
        "a * b",
        "lambda grad, out, a, b: (grad * b, np.broadcast_to(1.0, (10**13,)))",
        "GC101",
        ["grad b has shape (10000000000000,)"],
    ),
    "raising backward": WrongOp("a * b", "lambda grad, out, a, b: 1 / 0", "GC106", ["ZeroDivisionError", "my_ops.py:"]),
    "strings": WrongOp("a * b", 'lambda grad, out, a, b: ("x", "y")', "GC105", ["grad a", "str"]),
    "objects": WrongOp(
        "a * b",
        "lambda grad, out, a, b: ((grad * b).astype(object), grad * a)",
        "GC105",
        ["grad a", "object"],
    ),
    "NaN gradient": WrongOp("a * b", "lambda grad, out, a, b: (grad * np.nan, grad * a)", "GC202", ["grad a", "nan"]),
    "NaN forward": WrongOp("a * b * np.nan", RIGHT, "GC402", ["NaN"]),
    "raising forward": WrongOp("a * b * (1 / 0)", RIGHT, "GC401", ["ZeroDivisionError", "my_ops.py:"]),
    "mutating forward": WrongOp("np.multiply(a, b, out=a)", RIGHT, "GC406", ["changes a in place"]),
    "random forward": WrongOp("a * b + RANDOM.random(a.shape)", RIGHT, "GC405", ["another answer"]),
    "integers": WrongOp("np.rint(a * b).astype(int)", RIGHT, "GC404", ["int64"]),
    "booleans": WrongOp("a > b", RIGHT, "GC404", ["bool"]),
    "complex": WrongOp("a * b * 1j", RIGHT, "GC104", ["complex128", "float64"]),
    "no outputs": WrongOp("[]", RIGHT, "GC404", ["empty list"]),
    "forgotten return": WrongOp("None", RIGHT, "GC40", ["returns None"]),
    "wrong output shape": WrongOp("(a * b).sum()", RIGHT, "GC403", ["()", "(n),(n)->(n)"]),
    "mutating backward": WrongOp(
        "a * b",
        "lambda grad, out, a, b: (np.multiply(grad, b, out=grad), grad * a)",
        "GC301",
        ["cotangent", "in place"],
    ),
    "backward that mutates the output": WrongOp(
        "a * b", "lambda grad, out, a, b: (out.fill(0), (grad * b, grad * a))[1]", "GC301", ["output", "in place"]
    ),
}


@pytest.mark.parametrize("wrong", WRONG_OPS.values(), ids=WRONG_OPS.keys())
def test_an_op_that_is_wrong_when_it_runs(gradcheck: Gradcheck, op_file: WriteFile, wrong: WrongOp) -> None:
    op_file(f"""
        RANDOM = np.random.default_rng(0)

        def forward(a, b):
            return {wrong.forward}

        backward = {wrong.backward}
        OPS = [Op(forward, backward, "(n),(n)->(n)", name="wrong", loops=False)]
    """)
    outcome = gradcheck("run", "my_ops.py")

    assert (outcome.code, outcome.stderr) == (1, "")
    head, story = re.findall(r" (?:FAIL|ERROR) wrong · (GC\d+) · .*\n((?:   .*\n)+)", outcome.stdout)[0]
    assert head.startswith(wrong.code)
    assert [word for word in wrong.words if word not in story] == []


@pytest.mark.parametrize(
    "forward", ["np.rint(x).astype(int)", "x > 0", "None", "3"], ids=["integers", "booleans", "None", "a constant"]
)
def test_a_forward_that_repeats_itself_is_not_called_nondeterministic(
    gradcheck: Gradcheck, op_file: WriteFile, forward: str
) -> None:
    op_file(f'OPS = [Op(lambda x: {forward}, lambda grad, out, x: grad, "(n)", name="steady")]')

    assert "GC405" not in gradcheck("run", "my_ops.py").stdout


def test_an_op_for_float32_alone_runs_without_being_told(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file('OPS = [Op(np.sin, lambda grad, out, x: grad * np.cos(x), "()->()", dtypes=["float32"])]')

    assert gradcheck("run", "my_ops.py").code == 0


def test_a_dtype_that_an_op_is_not_declared_for(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file('OPS = [Op(np.sin, lambda grad, out, x: grad * np.cos(x), "()->()", dtypes=["float64"])]')
    outcome = gradcheck("run", "my_ops.py", "--dtype", "float32")

    assert re.search("sin.*float64.*float32", complaint(outcome))
    assert outcome.code == 2


def test_output_sizes_that_only_the_signature_fixes_can_be_promised(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file("""
        def halves(x):
            return x[:2], x[2:]

        OPS = [Op(halves, lambda grads, outs, x: np.concatenate(grads), "(5)->(2),(3)", loops=False)]
    """)
    outcome = gradcheck("run", "my_ops.py")

    assert (outcome.code, outcome.stderr) == (0, "")


def test_numpy_warnings_of_an_empty_mean_stay_silent(gradcheck: Gradcheck) -> None:
    outcome = gradcheck("run", "mean", "--shape", "0")

    assert (outcome.code, outcome.stderr) == (0, "")


def test_a_params_value_that_cannot_be_printed_is_survived(gradcheck: Gradcheck, op_file: WriteFile) -> None:
    op_file("""
        class Mute:
            def __repr__(self):
                raise RuntimeError

        OPS = [Op(lambda x, a: x, lambda grad, out, x, a: grad, "(n)", name="mute", params={"a": [Mute()]})]
    """)
    outcome = gradcheck("run", "my_ops.py")

    assert (outcome.code, outcome.stderr) == (0, "")
