"""Targets: what names ops, where they are found, and what is said where they are not."""

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from gradcheck_cli import DeclarationError, GradcheckError, LoadError, UsageError, registry
from gradcheck_cli.registry import installed_ops, resolve

OPS_FILE = """
import numpy as np
from gradcheck_cli import Op

def half(x):
    return x / 2

def half_backward(grad, out, x):
    return grad / 2

OPS = [Op(half, half_backward, "()->()"), Op(half, half_backward, "()->()", name="halve")]
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder that gradcheck is run in; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    yield
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def write(path: str, text: str = OPS_FILE) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")
    return path


def names(*targets: str) -> list[str]:
    return [op.name for op in resolve(targets)]


def refused(error: type[Exception], *targets: str) -> str:
    with pytest.raises(error) as caught:
        resolve(targets)
    return str(caught.value)


# Installed ops


def test_the_built_in_ops_arrive_through_an_entry_point() -> None:
    """Those of issue 2, at least."""
    expected = "add subtract multiply divide negative power exp log sqrt sin cos tanh sigmoid relu maximum sum mean "
    expected += "sum_to broadcast_to reshape transpose swapaxes expand_dims getitem split concatenate matmul outer "
    expected += "softmax linear mean_squared_error"

    assert set(expected.split()) <= {op.name for op in installed_ops()}


def test_no_target_is_every_installed_op() -> None:
    """In their order."""
    assert names() == [op.name for op in installed_ops()]


def test_an_op_is_found_by_name() -> None:
    """In the order of the targets, each once."""
    assert names("matmul", "add", "matmul") == ["matmul", "add"]


def test_a_glob_names_several_ops() -> None:
    """As a shell would match."""
    assert names("s[iq][gnr]*") == ["sqrt", "sin", "sigmoid"]
    assert names("*mul*", "matmul") == ["multiply", "matmul"]


def test_a_typing_error_gets_a_suggestion() -> None:
    """The closest names."""
    assert refused(UsageError, "matmull") == "no op named 'matmull' is installed. Did you mean 'matmul'?"


def test_a_name_like_no_other_gets_the_list() -> None:
    """Of what there is, or its beginning."""
    message = refused(UsageError, "qqqq")

    assert message.startswith("no op named 'qqqq' is installed; there are add, ")


def test_a_file_without_its_suffix_is_recognised() -> None:
    """The commonest slip of all."""
    write("my_ops.py")

    assert refused(UsageError, "my_ops") == "no op named 'my_ops' is installed. Did you mean the file my_ops.py?"


def test_a_third_party_package_brings_its_ops(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point of group gradcheck.ops is all it takes."""
    write("their_ops.py")
    monkeypatch.syspath_prepend(Path.cwd())
    entry = EntryPoint("theirs", "their_ops", "gradcheck.ops")
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry] if group == "gradcheck.ops" else [])

    assert names() == ["half", "halve"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("OPS", ""), ("NONE", "OPS is empty"), ("half", "declares no ops; end it with"), ("SIZE", "declares no ops")],
)
def test_an_entry_point_may_name_the_table(monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    """Or something else, which is said."""
    write("their_ops.py", OPS_FILE + "NONE, SIZE = [], 3\n")
    monkeypatch.syspath_prepend(Path.cwd())
    entry = EntryPoint("theirs", f"their_ops:{name}", "gradcheck.ops")
    monkeypatch.setattr(registry, "entry_points", lambda **_: [entry])

    if message:
        assert message in refused(LoadError)
    else:
        assert names() == ["half", "halve"]


def test_a_broken_package_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its entry point."""
    entry = EntryPoint("theirs", "no_such_package", "gradcheck.ops")
    monkeypatch.setattr(registry, "entry_points", lambda **_: [entry])

    message = refused(LoadError)

    assert "entry point 'theirs' (no_such_package)" in message
    assert "cannot import no_such_package" in message


def test_a_broken_package_takes_nothing_else_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """An op that another package has is found by its name; whatever may be in the broken one is not passed over."""
    write("their_ops.py")
    monkeypatch.syspath_prepend(Path.cwd())
    modules = {"mine": "no_such_package", "theirs": "their_ops"}
    entries = [EntryPoint(name, module, "gradcheck.ops") for name, module in modules.items()]
    monkeypatch.setattr(registry, "entry_points", lambda **_: entries)

    assert names("half") == ["half"]
    for target in ("h*", "hidden"):
        assert "cannot import no_such_package" in refused(LoadError, target)
    broken: list[GradcheckError] = []
    assert [op.name for op in installed_ops(broken)] == ["half", "halve"]
    assert len(broken) == 1


def test_packages_may_have_ops_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The later one's is called after its entry point, always the same, and both are checked."""
    write("their_ops.py")
    write("our_ops.py", OPS_FILE + "import their_ops\nOPS[1:] = their_ops.OPS[1:]\n")
    monkeypatch.syspath_prepend(Path.cwd())
    entries = [EntryPoint(name, f"{name}_ops", "gradcheck.ops") for name in ("their", "our")]
    monkeypatch.setattr(registry, "entry_points", lambda **_: entries)

    assert names() == ["half", "halve", "their.half"]
    assert resolve(["their.half", "their*"]) == resolve(["*.half"])


# Files


def test_a_file_brings_its_table() -> None:
    """OPS, in its order."""
    assert names(write("my_ops.py")) == ["half", "halve"]


def test_a_file_in_a_folder_is_found() -> None:
    """By a relative and by an absolute path."""
    path = write("deep/down/my_ops.py")

    assert names(path) == names(str(Path(path).resolve())) == ["half", "halve"]


def test_a_file_and_a_name() -> None:
    """file.py::name, and a glob in the place of the name."""
    path = write("my_ops.py")

    assert names(f"{path}::halve") == ["halve"]
    assert names(f"{path}::h*f") == ["half"]


def test_a_file_and_a_variable() -> None:
    """An op of the table also goes by what it is called in the file; one that is left out is not in it."""
    path = write("my_ops.py", OPS_FILE + "HALF, OTHER = OPS\nOPS = [HALF]\n")

    assert names(f"{path}::HALF") == ["half"]
    assert "no op named 'OTHER' is in my_ops.py; there are half" in refused(UsageError, f"{path}::OTHER")


def test_a_name_that_is_not_in_the_file() -> None:
    """With what is."""
    message = refused(UsageError, f"{write('my_ops.py')}::hlf")

    assert message == "no op named 'hlf' is in my_ops.py. Did you mean 'half'?"


def test_a_file_is_loaded_once() -> None:
    """Two targets in one file are no two ops of one name."""
    path = write("my_ops.py")

    assert names(f"{path}::half", path, f"./{path}::half") == ["half", "halve"]


def test_a_file_without_a_table_brings_every_op_in_it() -> None:
    """Each op that stands in the module by itself, once."""
    path = write("my_ops.py", OPS_FILE.replace("OPS = [", "first, second = [") + "\nagain = first\n")

    assert names(path) == ["half", "halve"]


def test_an_empty_table_is_a_mistake() -> None:
    """A gate over nothing would be green for ever."""
    assert "OPS is empty" in refused(LoadError, str(write("my_ops.py", OPS_FILE + "\nOPS = []\n")))


def test_a_file_may_import_its_siblings() -> None:
    """Its folder is importable while it is loaded, and the path is what it was afterwards."""
    write("deep/sibling_of_mine.py")
    path = write("deep/my_ops.py", "from sibling_of_mine import OPS\n")
    before = list(sys.path)

    assert names(path) == ["half", "halve"]
    assert sys.path == before


def test_the_path_is_restored_after_a_failure() -> None:
    """A file that raises leaves nothing behind: it can be mended and loaded again."""
    path = write("deep/my_ops.py", "raise RuntimeError('not yet')\n")
    before = list(sys.path)
    refused(LoadError, path)

    assert sys.path == before
    assert names(write(path)) == ["half", "halve"]


def test_siblings_hide_nothing_that_is_installed() -> None:
    """A file called json.py beside the op file is not the json that others import."""
    write("deep/json.py", "raise RuntimeError('the wrong json')\n")

    assert names(write("deep/my_ops.py", "import json\n" + OPS_FILE)) == ["half", "halve"]


def test_an_op_file_may_be_called_like_an_installed_module() -> None:
    """numpy.py as an op file hides nobody's numpy."""
    import numpy as np

    assert names(write("numpy.py")) == ["half", "halve"]
    assert sys.modules["numpy"] is np


def test_siblings_of_the_same_name_are_not_mixed_up() -> None:
    """Two folders, each with its own `shared_parts`."""
    for folder, name in (("a", "first"), ("b", "second")):
        write(f"{folder}/shared_parts.py", f"NAME = {name!r}\n")
        write(
            f"{folder}/my_ops.py",
            f"from shared_parts import NAME\n{OPS_FILE}\nOPS = [Op(half, half_backward, '()', name=NAME)]\n",
        )

    assert names("a/my_ops.py", "b/my_ops.py") == ["first", "second"]


@pytest.mark.parametrize("line", ["from ..parts import OPS", "from my_project.parts import OPS"])
def test_a_file_in_a_package_imports_from_it(line: str) -> None:
    """Relatively, or by the name of the package, whose folder need not be on the path."""
    for folder in ("", "/layers"):
        write(f"work/my_project{folder}/__init__.py", "")
    write("work/my_project/parts.py")
    before = list(sys.path)

    assert names(write("work/my_project/layers/dense.py", f"{line}\n")) == ["half", "halve"]
    assert sys.path == before


def test_a_package_is_there_when_functions_import_from_it() -> None:
    """As they do to keep modules from importing each other in circles."""
    write("work/my_nets/__init__.py", "")
    write("work/my_nets/tools.py", "NAME = 'lazy'\n")
    lazy = "def name():\n    from .tools import NAME\n    return NAME\n"
    write("work/my_nets/other.py", "")
    path = write("work/my_nets/dense.py", f"from . import other\n{OPS_FILE}\n{lazy}")
    (op, _) = resolve([path])

    assert op.forward.__globals__["name"]() == "lazy"


def test_packages_of_the_same_name_are_not_mixed_up() -> None:
    """Two projects, each with its own `common`."""
    for folder, name in (("a", "first"), ("b", "second")):
        write(f"{folder}/common/__init__.py", "")
        write(f"{folder}/common/parts.py", f"NAME = {name!r}\n")
        table = "OPS = [Op(half, half_backward, '()', name=NAME)]\n"
        write(f"{folder}/common/my_ops.py", f"from .parts import NAME\n{OPS_FILE}\n{table}")

    assert names("a/common/my_ops.py", "b/common/my_ops.py") == ["first", "second"]


def test_a_file_imports_what_lies_in_the_working_folder() -> None:
    """As `python -m layers.dense` would let it."""
    write("my_parts.py")

    assert names(write("layers/dense.py", "from my_parts import OPS\n")) == ["half", "halve"]


# Modules


def test_a_module_and_a_name() -> None:
    """pkg.module::name."""
    write("my_package/__init__.py", "")
    write("my_package/my_module.py")

    assert names("my_package.my_module::halve") == ["halve"]


def test_a_whole_module() -> None:
    """pkg.module, from the same folder as pkg.module::name."""
    write("my_package/__init__.py", "")
    write("my_package/my_module.py")

    assert names("my_package.my_module") == ["half", "halve"]


def test_a_module_that_stands_alone_needs_a_name() -> None:
    """module::name: without the colons it would be an op's name."""
    write("my_module.py")

    assert names("my_module::half") == ["half"]


def test_the_path_is_restored_after_a_module() -> None:
    """The folder that gradcheck is run in is importable only for so long."""
    write("my_module.py")
    before = list(sys.path)
    resolve(["my_module::half"])

    assert sys.path == before


def test_a_package_that_raises_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it raises, wherever in it: one line, with file and line."""
    write("my_package/__init__.py", "\nraise RuntimeError('not today')\n")
    monkeypatch.syspath_prepend(Path.cwd())

    assert refused(LoadError, "my_package.part") == (
        "my_package/__init__.py:2: RuntimeError: not today (while it was being loaded)"
    )


# What cannot be used


def test_two_ops_of_one_name_are_refused() -> None:
    """Both places are named."""
    first, second = write("first.py"), write("second.py")
    message = refused(LoadError, first, second)

    assert message == "two ops are named 'half': first.py:11 and second.py:11; give one of them another name="


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", 'my_ops.py declares no ops; end it with OPS = [Op(forward, backward, "(n,k),(k,m)->(n,m)")]'),
        ("OPS = 3\n", 'my_ops.py: OPS is a int; write OPS = [Op(forward, backward, "(n,k),(k,m)->(n,m)")]'),
        ("OPS = [print]\n", "my_ops.py: OPS[0] is a builtin_function_or_method, not an Op; write OPS = ["),
        ("def f(:\n", "my_ops.py:1: syntax error: invalid syntax"),
        ("import json\njson.loads('{')\n", "my_ops.py:2: JSONDecodeError"),
        (
            "\nimport no_such_thing\n",
            "my_ops.py:2: cannot import no_such_thing; install it (pip install no_such_thing)",
        ),
        ("\n\n1 / 0\n", "my_ops.py:3: ZeroDivisionError: division by zero (while it was being loaded)"),
        ("raise SystemExit(3)\n", "my_ops.py:1: called sys.exit(3) while it was being loaded"),
        ("import numpy\nnumpy.ones(3).reshape(2)\n", "my_ops.py:2: ValueError: cannot reshape array of size 3 into"),
        ("raise ValueError('two\\nlines')\n", "my_ops.py:1: ValueError: two lines (while it was being loaded)"),
    ],
)
def test_a_file_that_cannot_be_used_is_blamed(text: str, message: str) -> None:
    """One line: file, line, what is wrong, what to write."""
    assert refused(LoadError, write("my_ops.py", text)).startswith(message)


def test_a_wrong_declaration_keeps_its_own_words() -> None:
    """They name op, file and line already."""
    path = write("my_ops.py", "from gradcheck_cli import Op\nOps = [Op(abs, abs, 'n->n')]\n")

    assert refused(DeclarationError, path).startswith("my_ops.py:2: op abs: ")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("missing.py", "missing.py: no such file"),
        ("missing.py::op", "missing.py: no such file"),
        ("no/such/file.py", "no/such/file.py: no such file"),
        ("folder", "folder is a folder; name an op file in it, such as folder/my_ops.py"),
        ("notes/text.txt", "notes/text.txt is not a Python file"),
    ],
)
def test_what_is_no_op_file_is_said(target: str, message: str) -> None:
    """Missing, a folder, or something else."""
    Path("folder").mkdir()
    write("notes/text.txt", "hello")

    assert refused(LoadError, target) == message


def test_a_module_that_cannot_be_imported_is_blamed() -> None:
    """With what to do."""
    assert "cannot import no_such_module" in refused(LoadError, "no_such_module::op")
