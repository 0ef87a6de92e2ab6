"""`gradcheck init` and the table that it writes."""

from pathlib import Path

import pytest
from conftest import Gradcheck

from gradcheck_cli.config import Settings, load
from gradcheck_cli.errors import UsageError

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
    return dout * (x > 0)

def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)

def softmax_backward(dout, out):
    return out * (dout - (dout * out).sum(-1, keepdims=True))

def odd_forward(x, table):
    return x * table["k"], table

def odd_backward(dout, cache):
    return dout * cache["k"]
"""


@pytest.fixture
def project(gradcheck: Gradcheck) -> Path:
    (gradcheck.folder / "layers.py").write_text(LAYERS, encoding="utf-8")
    return gradcheck.folder


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_module_becomes_an_op_file(gradcheck: Gradcheck, project: Path) -> None:
    """With signatures that fit; a row to be completed where none does. And it runs."""
    outcome = gradcheck("init", "layers.py")
    text = (project / "layers_ops.py").read_text(encoding="utf-8")

    assert outcome.code == 0
    assert 'adapt(layers.affine_forward, layers.affine_backward, signature="(n,k),(k,m),(m)->(n,m)"),' in text
    assert 'adapt(layers.relu, layers.relu_backward, signature="()->()"),' in text
    assert 'adapt(layers.softmax, layers.softmax_backward, signature="(n,k)->(n,k)"),' in text
    assert '# adapt(layers.odd_forward, layers.odd_backward, signature="...")' in text
    run = gradcheck("run")
    assert run.code == 0, run.stdout
    assert "3 passed" in run.stdout


def test_it_shows_first(gradcheck: Gradcheck, project: Path) -> None:
    """--diff writes nothing."""
    outcome = gradcheck("init", "layers.py", "--diff")

    assert outcome.code == 0
    assert "+++ layers_ops.py" in outcome.stdout
    assert "+[tool.gradcheck]" in outcome.stdout
    assert files(project) == {"layers.py"}


def test_nothing_is_overwritten(gradcheck: Gradcheck, project: Path) -> None:
    """Only a pyproject.toml without the table is added to."""
    kept = {
        "layers_ops.py": "# mine\n",
        ".github/workflows/gradcheck.yml": "mine\n",
        ".pre-commit-config.yaml": "mine\n",
    }
    for name, text in kept.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, encoding="utf-8")
    (project / "pyproject.toml").write_text('[project]\nname = "mine"\n', encoding="utf-8")
    first = gradcheck("init", "layers.py")
    second = gradcheck("init", "layers.py")

    assert {name: (project / name).read_text(encoding="utf-8") for name in kept} == kept
    table = (project / "pyproject.toml").read_text(encoding="utf-8")
    assert table == '[project]\nname = "mine"\n\n[tool.gradcheck]\nops = ["layers_ops.py"]\n'
    assert first.stdout == "added to pyproject.toml\n"
    assert second.stdout == ""
    assert second.stderr.count("is left as it is") == 4


def test_without_a_module_it_writes_the_rest(gradcheck: Gradcheck) -> None:
    gradcheck("init")

    assert files(gradcheck.folder) == {"pyproject.toml", ".github/workflows/gradcheck.yml", ".pre-commit-config.yaml"}


def test_a_module_with_nothing_in_it(gradcheck: Gradcheck) -> None:
    (gradcheck.folder / "empty.py").write_text("x = 1\n", encoding="utf-8")
    outcome = gradcheck("init", "empty.py")

    assert outcome.code == 2
    assert outcome.stderr.count("\n") == 1
    assert files(gradcheck.folder) == {"empty.py"}


def test_the_table_is_what_run_does_by_itself(gradcheck: Gradcheck, project: Path) -> None:
    """And the command line is stronger."""
    gradcheck("init", "layers.py")
    table = '[tool.gradcheck]\nops = ["layers_ops.py"]\nseed = 7\ncases = 3\nmin-resolution = 1e-4\n'
    (project / "pyproject.toml").write_text(table, encoding="utf-8")

    assert "seed 7" in gradcheck("run", "--no-edges").stdout
    assert "3 ops, 9 cases, seed 5" in gradcheck("run", "--no-edges", "--seed", "5").stdout


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("opps = []", "pyproject.toml: [tool.gradcheck] has no key 'opps'. Did you mean 'ops'?"),
        ('ops = "my_ops.py"', "write a list of targets"),
        ("seed = -1", "seed is -1; it must be an integer of 0 or more"),
        ("cases = true", "cases is True; it must be an integer of 1 or more"),
        ("min-resolution = 0", "min-resolution is 0; it must be a number above 0"),
        ("min-resolution = nan", "min-resolution is nan; it must be a number above 0"),
        (f"min-resolution = {'9' * 400}", "it must be a number above 0"),
        (f"seed = {'9' * 5000}", "pyproject.toml cannot be read"),
        (f"ops = {'[' * 5000}{']' * 5000}", "pyproject.toml cannot be read"),
        ("seed = ", "pyproject.toml cannot be read"),
    ],
)
def test_a_table_that_cannot_be_meant_is_one_line(gradcheck: Gradcheck, table: str, message: str) -> None:
    (gradcheck.folder / "pyproject.toml").write_text(f"[tool.gradcheck]\n{table}\n", encoding="utf-8")
    outcome = gradcheck("run", "tanh")

    assert outcome.code == 2
    assert outcome.stderr.count("\n") == 1
    assert message in outcome.stderr


@pytest.mark.parametrize("text", ['tool = "x"', "tool = [1]", '[tool]\ngradcheck = "x"', "[[tool.gradcheck]]"])
def test_a_table_that_is_none_is_called_that(gradcheck: Gradcheck, text: str) -> None:
    (gradcheck.folder / "pyproject.toml").write_text(text, encoding="utf-8")
    outcome = gradcheck("run", "tanh")

    assert outcome.code == 2
    assert outcome.stderr == "gradcheck: pyproject.toml: [tool.gradcheck] is no table\n"


def test_the_nearest_table_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in it are where it lies."""
    (tmp_path / "pyproject.toml").write_text('[tool.gradcheck]\nops = ["a/ops.py", "tanh"]\n', encoding="utf-8")
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")

    assert load() == Settings(("ops.py", "tanh"))


def test_no_table_is_no_settings(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\n", encoding="utf-8")

    assert load(tmp_path) == Settings()


def test_a_table_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool]\ngradcheck = 3\n", encoding="utf-8")

    with pytest.raises(UsageError, match="is no table"):
        load(tmp_path)


def test_an_op_file_in_a_package_imports_from_it(gradcheck: Gradcheck, project: Path) -> None:
    """A module that imports relatively is no module by itself."""
    (project / "net").mkdir()
    for name, text in {"__init__": "", "tools": "import numpy", "layers": f"from . import tools\n{LAYERS}"}.items():
        (project / "net" / f"{name}.py").write_text(text, encoding="utf-8")

    assert gradcheck("init", "net/layers.py").code == 0
    assert "softmax" in gradcheck("run", "net/layers_ops.py").stdout
