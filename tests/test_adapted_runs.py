"""`gradcheck run layers.py --shape ...` on files that declare nothing: the real command."""

import json
from pathlib import Path

import pytest
from conftest import Gradcheck

LAYERS = """
import numpy as np


def affine_forward(x, w, b):
    return x @ w + b, (x, w, b)


def affine_backward(dout, cache):
    x, w, b = cache
    return dout @ w.T, x.T @ dout, dout.sum(0)


def relu(x):
    return np.maximum(x, 0)


def relu_backward(dout, x):
    return dout * (x >= 0) * 2


class Scale:
    def __init__(self, factor):
        self.factor = factor

    def forward(self, x):
        return x * self.factor

    def backward(self, dout):
        return dout * self.factor


def helper(x):
    return x
"""


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    path = tmp_path / "layers.py"
    path.write_text(LAYERS, encoding="utf-8")
    return path


def test_what_the_shapes_do_not_fit_is_skipped(gradcheck: Gradcheck, layers: Path) -> None:
    """With the reason, beside what they fit."""
    outcome = gradcheck("run", "layers.py", "--shape", "4,3", "--shape", "3,2", "--shape", "2")

    assert outcome.code == 0
    assert "skip  it takes 1 input (x), but 3 shapes are given" in outcome.stdout
    assert "2 skipped, 1 passed" in outcome.stdout


def test_one_that_does_not_fit_is_bad_usage(gradcheck: Gradcheck, layers: Path) -> None:
    """Of a single target, what is wrong is one line."""
    few = gradcheck("run", "layers.py::affine", "--shape", "4,3")
    none = gradcheck("run", "layers.py::affine")
    odd = gradcheck("run", "layers.py::affine", "--shape", "4,3", "--shape", "2,2", "--shape", "2")
    built = gradcheck("run", "layers.py::Scale", "--shape", "3")

    assert [o.code for o in (few, none, odd, built)] == [2, 2, 2, 2]
    assert "affine: it takes 3 inputs (x, w, b), but 1 shape is given" in few.stderr
    assert "give a shape for each array: --shape 4,3 --shape ... --shape ..." in none.stderr
    assert "affine: it does not take (4,3) (2,2) (2,): ValueError" in odd.stderr
    assert "layers.py:6" in odd.stderr
    assert "its constructor takes factor" in built.stderr


def test_what_it_was_taken_for_is_said(gradcheck: Gradcheck, layers: Path) -> None:
    """With -v, and with every failure."""
    right = gradcheck("run", "layers.py::affine", "--shape", "4,3", "--shape", "3,2", "--shape", "2", "-v")
    wrong = gradcheck("run", "layers.py::relu", "--shape", "3")

    taken = "a pair, affine_forward and affine_backward: dout the upstream gradient, cache what affine_forward keeps"
    assert f"affine was taken for {taken}" in right.stdout
    assert wrong.code == 1
    assert "taken for a pair, relu and relu_backward: dout the upstream gradient, x the input" in wrong.stdout


def test_a_gradient_that_nobody_wrote_is_said_to_be_ours(gradcheck: Gradcheck, layers: Path) -> None:
    """A function without a backward passes by gradcheck's own tape: that is no check of anything of its author's."""
    outcome = gradcheck("run", "layers.py::helper", "--shape", "3")

    assert outcome.code == 0
    assert "helper: no backward of it was found; the gradient that is checked is gradcheck's own" in outcome.stdout


def test_a_failure_can_be_replayed(gradcheck: Gradcheck, layers: Path) -> None:
    """By its fixture and by --lf: the shapes, params and ways to call are in it."""
    gradcheck("run", "layers.py::relu", "--shape", "3", "--call", "dout, x")
    (saved,) = (gradcheck.folder / ".gradcheck" / "failures").glob("*.json")
    replayed = gradcheck("replay", str(saved))
    rerun = gradcheck("run", "layers.py::relu", "--lf")

    assert json.loads(saved.read_text(encoding="utf-8"))["cases"][0]["said"] == {"call": "dout, x"}
    assert replayed.code == rerun.code == 1
    assert "FAIL relu · GC201" in replayed.stdout

    layers.write_text(LAYERS.replace("(x >= 0) * 2", "(x >= 0)"), encoding="utf-8")
    mended = gradcheck("replay", str(saved))
    assert mended.code == 0
    assert "passes now, and was removed" in mended.stderr


def test_a_failure_of_a_class_can_be_replayed(gradcheck: Gradcheck, layers: Path) -> None:
    layers.write_text(LAYERS.replace("dout * self.factor", "dout"), encoding="utf-8")
    gradcheck("run", "layers.py::Scale", "--shape", "3", "--param", "factor=3.0")
    (saved,) = (gradcheck.folder / ".gradcheck" / "failures").glob("*.json")

    assert "FAIL Scale · GC201" in gradcheck("replay", str(saved)).stdout


def test_two_functions_can_be_paired_by_hand(gradcheck: Gradcheck, layers: Path) -> None:
    """Whatever they are called."""
    outcome = gradcheck("run", "layers.py::helper,relu_backward", "--shape", "3")
    missing = gradcheck("run", "layers.py::helper,relu_backwards", "--shape", "3")

    (saved,) = (gradcheck.folder / ".gradcheck" / "failures").glob("*.json")

    assert outcome.code == 1
    assert gradcheck("replay", str(saved)).code == 1
    assert gradcheck("run", "layers.py::helper,relu_backward", "--lf").code == 1
    assert missing.code == 2
    assert "has no function 'relu_backwards'. Did you mean 'relu_backward' or" in missing.stderr


def test_what_is_recognised_can_be_listed(gradcheck: Gradcheck, layers: Path) -> None:
    """Before any shape is given."""
    outcome = gradcheck("list", "layers.py")

    assert outcome.code == 0
    assert "affine  a pair: affine_forward and affine_backward  layers.py:9 in affine_backward" in outcome.stdout
    assert "Scale   a class" in outcome.stdout


def test_it_can_be_recorded_and_replayed(gradcheck: Gradcheck, layers: Path) -> None:
    recorded = gradcheck("record", "layers.py::Scale", "--shape", "3", "--param", "factor=2.0", "-o", "scale.json")

    assert recorded.code == 0
    assert gradcheck("replay", "scale.json").code == 0


def test_a_plain_function_is_left_to_the_tape(gradcheck: Gradcheck, layers: Path) -> None:
    """If it is named; nothing says that a helper has a gradient."""
    outcome = gradcheck("run", "layers.py::helper", "--shape", "3")

    assert outcome.code == 0
    assert "helper" in outcome.stdout
    assert "helper" not in gradcheck("run", "layers.py", "--shape", "3").stdout


def test_what_has_no_backward_says_what_would_fit(gradcheck: Gradcheck) -> None:
    (gradcheck.folder / "odd.py").write_text(
        "class Odd:\n    def forward(self, x):\n        return x\n", encoding="utf-8"
    )
    outcome = gradcheck("run", "odd.py::Odd", "--shape", "3")

    assert outcome.code == 2
    assert outcome.stderr.count("\n") == 1
    assert "odd.py::Odd has no backward that could be found" in outcome.stderr
    assert "f_forward and f_backward" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--signature (n", "each operand stands in parentheses"),
        ("--shape 3 --domain x=positiv", "'positiv' is not a domain; there are real, positive"),
        ("--shape 3 --domain q=positive", "--domain names 'q'; there are x"),
        ("--shape 3 --wrt q", "--wrt names 'q'; there are x"),
        ("--shape 3 --wrt 3", "is not a list of names, as in x,w"),
        ("--shape 3 --call dout,nothing", "'nothing' is none of dout, out, cache, x"),
        ("--shape 3 --device cuda", "--device is for torch, which relu's file does not import"),
        ("--shape 3 --param axis=1", "there is no param 'axis'"),
    ],
)
def test_bad_usage_is_one_line(gradcheck: Gradcheck, layers: Path, arguments: str, message: str) -> None:
    outcome = gradcheck("run", "layers.py::relu", *arguments.split())

    assert outcome.code == 2
    assert outcome.stderr.count("\n") == 1
    assert message in outcome.stderr


def test_declared_ops_take_no_declaration(gradcheck: Gradcheck) -> None:
    outcome = gradcheck("run", "tanh", "--signature", "()->()")

    assert outcome.code == 2
    assert "--signature is for functions that declare nothing; tanh is a declared op" in outcome.stderr


def test_a_signature_draws_all_kinds_of_shapes(gradcheck: Gradcheck, layers: Path) -> None:
    """As for an op: edges included."""
    outcome = gradcheck("run", "layers.py::affine", "--signature", "(n,k),(k,m),(m)->(n,m)")

    assert outcome.code == 0, outcome.stdout
    assert "edges" in outcome.stdout


def test_a_domain_keeps_values_where_forward_is_finite(gradcheck: Gradcheck) -> None:
    text = "import numpy as np\ndef f(x):\n    return np.log(x)\ndef df(x):\n    return 1 / x\n"
    (gradcheck.folder / "logs.py").write_text(text, encoding="utf-8")

    assert gradcheck("run", "logs.py", "--shape", "3", "--domain", "positive").code == 0
    assert gradcheck("run", "logs.py", "--shape", "3", "--domain", "x=interval(0.5,2)").code == 0


def test_a_missing_framework_is_one_line(gradcheck: Gradcheck) -> None:
    """That tells what to install."""
    text = "import notorch\nclass F(notorch.autograd.Function):\n    pass\n"
    (gradcheck.folder / "functions.py").write_text(text, encoding="utf-8")
    outcome = gradcheck("run", "functions.py", "--shape", "3")

    assert outcome.code == 2
    assert outcome.stderr == ("gradcheck: functions.py:1: cannot import notorch; install it (pip install notorch)\n")


def test_the_json_report_says_what_it_was_taken_for(gradcheck: Gradcheck, layers: Path) -> None:
    outcome = gradcheck("run", "layers.py::relu", "--shape", "3", "--report", "json=-")

    (op,) = json.loads(outcome.stdout)["ops"]
    assert op["taken_for"].startswith("a pair, relu and relu_backward")
    assert op["notes"] == []
