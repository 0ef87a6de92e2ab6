"""Entry points: what importlib.metadata finds is found, without it where packages are folders."""

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from gradcheck_cli.installed import EntryPoint, entry_points

GROUP = "gradcheck.ops"


def package(name: str, text: str, where: str = ".") -> None:
    folder = Path(where) / f"{name}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "entry_points.txt").write_text(text, encoding="utf-8")


def expected(group: str) -> list[EntryPoint]:
    return [EntryPoint(entry.name, entry.value) for entry in metadata.entry_points(group=group)]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("group", [GROUP, "console_scripts", "pytest11", "nobody.declares.this"])
def test_what_is_installed_here_is_found(group: str) -> None:
    """Whatever that is."""
    assert sorted(entry_points(group)) == sorted(expected(group))


def test_one_group_of_several_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """With comments, spaces and empty lines as people leave them."""
    package(
        "theirs", f"# theirs\n[other]\na = b\n\n[ {GROUP} ]\nnot = this\n[{GROUP}]\n# c = d\n mine=their.ops:OPS [x]\n"
    )
    monkeypatch.syspath_prepend(Path.cwd())

    assert EntryPoint("mine", "their.ops:OPS [x]") in entry_points(GROUP)
    assert sorted(entry_points(GROUP)) == sorted(expected(GROUP))


def test_the_first_package_of_a_name_hides_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """However its name is spelled: what is imported is the first, too."""
    package("Their.Ops", f"[{GROUP}]\nnew = new_ops\n", "first")
    package("their_ops", f"[{GROUP}]\nold = old_ops\n", "second")
    for folder in ("second", "first"):
        monkeypatch.syspath_prepend(Path(folder).resolve())

    assert [entry.name for entry in entry_points(GROUP)] == ["new", "builtin"]
    assert entry_points(GROUP) == expected(GROUP)


def test_packages_in_an_archive_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """These are left to importlib.metadata."""
    with zipfile.ZipFile("their.zip", "w") as archive:
        archive.writestr("theirs-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
        archive.writestr("theirs-1.0.dist-info/entry_points.txt", f"[{GROUP}]\nzipped = zipped_ops\n")
    monkeypatch.syspath_prepend(Path("their.zip").resolve())

    assert EntryPoint("zipped", "zipped_ops") in entry_points(GROUP)


def test_folders_that_are_not_there_hold_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """sys.path often has some."""
    before = entry_points(GROUP)
    monkeypatch.syspath_prepend(Path("nowhere").resolve())

    assert entry_points(GROUP) == before


@pytest.mark.parametrize("value", ["os.path:join", "os:path.join", "os.path : join [extra]"])
def test_an_object_of_a_module_is_loaded(value: str) -> None:
    """As the specification of entry points has it."""
    import os

    assert EntryPoint("any", value).load() is os.path.join


def test_a_module_is_loaded() -> None:
    """The usual case."""
    assert EntryPoint("any", "os.path").load().__name__ in ("posixpath", "ntpath")


def test_importlib_metadata_is_not_imported_for_folders() -> None:
    """That is the purpose of it all."""
    code = "import sys; from gradcheck_cli.registry import installed_ops; installed_ops(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "importlib.metadata" not in done.stdout.split()
