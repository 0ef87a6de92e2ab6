"""A fixture file may come from anybody: what is odd about one is refused in one line, before it can do harm."""

import copy
import io
import json
import pickle
import re
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Gradcheck, Outcome

from gradcheck_cli.errors import FixtureError
from gradcheck_cli.fixtures.store import read

ARRAY = {"dtype": "float64", "shape": [2], "values": [0.5, 1.5]}
CASE: dict[str, Any] = {
    "name": "(2,)",
    "op": "negative",
    "inputs": {"x": ARRAY},
    "cotangents": [{"dtype": "float64", "shape": [2], "values": [1.0, -0.5]}],
    "expected": {
        "computed_by": {"who": "hand", "version": ""},
        "policy": {"ulps": 256.0, "rounding": True},
        "outputs": [{"dtype": "float64", "shape": [2], "values": [-0.5, -1.5]}],
        "gradients": {"x": {"dtype": "float64", "shape": [2], "values": [-1.0, 0.5]}},
    },
}
GOOD = {"gradcheck": 1, "cases": [CASE]}


def complaint(outcome: Outcome) -> str:
    """The one line on stderr, once it is known to be the only thing that was printed."""
    assert outcome.stdout == ""
    assert re.fullmatch(r"gradcheck: [^\n]*\n", outcome.stderr), outcome.stderr
    assert outcome.code == 2
    assert "internal error" not in outcome.stderr
    return outcome.stderr


def test_the_fixture_that_the_others_are_made_of_is_good(gradcheck: Gradcheck, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(json.dumps(GOOD), encoding="utf-8")

    assert gradcheck("replay", "bad.json").code == 0


def with_(path: str, value: Any) -> str:
    """The good fixture with something else in one place; `...` takes it away."""
    document = copy.deepcopy(GOOD)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = document
    for part in parents:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(document)


def literal(path: str, text: str) -> str:
    """The same with something that is not JSON."""
    return with_(path, "@@").replace('"@@"', text)


X = "cases.0.inputs.x"
TEXTS: dict[str, tuple[str, list[str]]] = {
    "empty": ("", ["no JSON"]),
    "truncated": (json.dumps(GOOD)[:-20], ["no JSON", "line 1"]),
    "cut in a string": (json.dumps(GOOD)[:40], ["no JSON"]),
    "another document": ('{"name": "x"}', ["no fixture", '"gradcheck"']),
    "a list": ("[1]", ["no fixture"]),
    "NaN": (literal(f"{X}.values.0", "NaN"), ["NaN", '"nan"']),
    "-Infinity": (literal(f"{X}.values.0", "-Infinity"), ["-Infinity", '"-inf"']),
    "1e999": (literal(f"{X}.values.0", "1e999"), ["1e999", "float"]),
    "many digits": (literal(f"{X}.values.0", "1" * 5000), ["no JSON"]),
    "a key twice": (json.dumps(GOOD)[:-1] + ', "cases": []}', ["'cases'", "twice"]),
    "a key twice inside": (literal(X, '{"dtype": "float64", "dtype": "bool"}'), ["'dtype'", "twice"]),
    "deep": ("[" * 200_000 + "]" * 200_000, ["200,000", "100"]),
    "deep values": (literal(f"{X}.values", "[" * 150 + "]" * 150), ["levels"]),
    "deep objects": ('{"gradcheck":1,"cases":' + '{"a":' * 200_000, ["levels"]),
    "a string without end": ('{"gradcheck": "' + '\\"' * 1_000_000, ["no JSON"]),
    "another format": (with_("gradcheck", 2), ["format 2", "format 1"]),
    "format true": (with_("gradcheck", "1"), ['format "1"']),
    "no cases": (with_("cases", []), ["$.cases"]),
    "an unknown field": (with_("cases.0.inptus", {}), ["`inptus`", "$.cases[0]"]),
    "a missing field": (with_("cases.0.inputs", ...), ["`inputs`", "$.cases[0]"]),
    "a number for a name": (with_("cases.0.op", 3), ["$.cases[0].op"]),
    "a glob for a name": (with_("cases.0.op", "*"), ["$.cases[0].op"]),
    "an object dtype": (with_(f"{X}.dtype", "object"), ["'object'", "dtype"]),
    "a huge side": (with_(f"{X}.shape", [10**13]), ["$.cases[0].inputs", "10000000"]),
    "a huge shape": (with_(f"{X}.shape", [10**5, 10**5]), ["cases[0].inputs.x", "10,000,000"]),
    "a huge shape of nothing": (with_(f"{X}.shape", [0, 10**6, 10**6]), ["cases[0].inputs.x", "10,000,000"]),
    "a negative side": (with_(f"{X}.shape", [-1]), ["$.cases[0].inputs"]),
    "65 dimensions": (with_(f"{X}.shape", [1] * 65), ["$.cases[0].inputs", "64"]),
    "too few values": (with_(f"{X}.shape", [3]), ["cases[0].inputs.x.values", "2 entries", "3"]),
    "ragged": (with_(f"{X}", {"dtype": "float64", "shape": [2, 1], "values": [[1.0], 2.0]}), ["float", "list of 1"]),
    "words": (with_(f"{X}.values.1", "rm -rf"), ["cases[0].inputs.x.values[1]", "'rm -rf'"]),
    "true for a number": (with_(f"{X}.values.1", True), ["values[1]", "'True'"]),
    "half an integer": (with_(X, {"dtype": "int64", "shape": [1], "values": [0.5]}), ["values[0]", "'0.5'"]),
    "an integer out of range": (with_(X, {"dtype": "int8", "shape": [1], "values": [300]}), ["inputs.x", "int8"]),
    "a float out of range": (with_(X, {"dtype": "float32", "shape": [1], "values": [1e300]}), ["inputs.x", "float32"]),
    "neither values nor npz": (with_(f"{X}.values", ...), ["inputs.x", "values or npz"]),
    "an npz that is not there": (with_(X, {"dtype": "float64", "shape": [2], "npz": "0" * 16}), ["bad.npz", "no such"]),
    "an npz elsewhere": (with_(X, {"dtype": "float64", "shape": [2], "npz": "../../etc/x"}), ["$.cases[0].inputs"]),
    "NaN in a cotangent": (with_("cases.0.cotangents.0.values.0", "nan"), ["cotangents[0]", "finite"]),
    "integers for a cotangent": (
        with_("cases.0.cotangents.0", {"dtype": "int64", "shape": [2], "values": [1, 2]}),
        ["cotangents[0]", "finite"],
    ),
    "a policy that lets all pass": (with_("cases.0.expected.policy.ulps", 1e15), ["$.cases[0].expected.policy.ulps"]),
    "outputs by nobody": (with_("cases.0.expected.computed_by", ...), ["computed_by"]),
    "an unknown kind of param": (with_("cases.0.params", {"p": {"is": "lambda"}}), ["'lambda'", "params"]),
    "a deep param": (
        with_("cases.0.params", json.loads('{"p":' + '{"is":"list","items":[' * 60 + "]}" * 60 + "}")),
        ["levels"],
    ),
    "an op file elsewhere": (with_("cases.0.source", "/etc/evil.py"), ["/etc/evil.py", "working folder"]),
    "an op file above": (with_("cases.0.source", "../../evil.py"), ["../../evil.py", "working folder"]),
    "no module": (with_("cases.0.source", "no_such_module_at_all"), ["no_such_module_at_all"]),
}


@pytest.mark.parametrize(("text", "words"), TEXTS.values(), ids=TEXTS.keys())
def test_a_bad_file_is_refused(gradcheck: Gradcheck, tmp_path: Path, text: str, words: list[str]) -> None:
    (tmp_path / "bad.json").write_text(text, encoding="utf-8")
    started = time.perf_counter()
    line = complaint(gradcheck("replay", "bad.json"))

    assert [word for word in ["bad.json", *words] if word not in line] == []
    assert time.perf_counter() - started < 20


def test_a_broken_file_in_a_folder_is_not_passed_over(gradcheck: Gradcheck, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(json.dumps(GOOD)[:-5], encoding="utf-8")
    (tmp_path / "empty.json").write_text("", encoding="utf-8")
    (tmp_path / "good.json").write_text(json.dumps(GOOD), encoding="utf-8")

    assert re.search("(bad|empty).json", complaint(gradcheck("replay", ".")))


@pytest.mark.parametrize("data", [b"\xff\xfe{}", b"\x80", b'{"gradcheck": 1}\0', pickle.dumps({"gradcheck": 1})])
def test_what_is_no_text_is_refused(gradcheck: Gradcheck, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad.json").write_bytes(data)

    assert "bad.json" in complaint(gradcheck("replay", "bad.json"))


def test_a_huge_file_is_refused(gradcheck: Gradcheck, tmp_path: Path) -> None:
    """By its size: it is not read to the end."""
    with (tmp_path / "bad.json").open("wb") as file:
        file.write(b'{"gradcheck": 1, "cases": [')
        file.truncate(10 * 2**30)

    assert "larger than 16 MiB" in complaint(gradcheck("replay", "bad.json"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("replay", ["PATHS"]),
        ("replay nowhere.json", ["nowhere.json", "no such file or folder"]),
        ("replay good.json --update --update-new-only", ["--update"]),
        ("replay good.json --report xml=x", ["xml"]),
        ("record -o x.json", ["TARGETS"]),
        ("record sin", ["--output"]),
        ("record sin -o x.txt", ["x.txt", ".json"]),
        ("record sin -o folder.json", ["folder.json", "folder"]),
        ("record sin -o good.json", ["good.json", "--update"]),
        ("record sin -o taken.json", ["taken.npz", "another name"]),
        ("record sin -o x.json --cases 0", ["--cases"]),
        ("record matmul -o x.json --shape 2,3 --shape 4,5", ["k is 3"]),
        ("record no_such -o x.json", ["no_such"]),
        ("record sin -o good.json --update-new-only --update", ["choose one"]),
    ],
)
def test_bad_usage(gradcheck: Gradcheck, tmp_path: Path, arguments: str, words: list[str]) -> None:
    (tmp_path / "good.json").write_text(json.dumps(GOOD), encoding="utf-8")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "taken.npz").touch()
    line = complaint(gradcheck(*arguments.split()))

    assert [word for word in words if word not in line] == []


# The .npz beside a fixture.

SIZE = 2000


@pytest.fixture
def large(gradcheck: Gradcheck, tmp_path: Path) -> Path:
    """A fixture whose arrays stand in an .npz."""
    assert gradcheck("record", "negative", "--shape", str(SIZE), "--cases", "1", "-o", "large.json").code == 0
    assert read(tmp_path / "large.json").cases[0].inputs["x"].shape == (SIZE,)
    return tmp_path / "large.npz"


def repacked(path: Path, change: Callable[[str, bytes], bytes | None], compression: int = zipfile.ZIP_STORED) -> None:
    """Every member put through `change`; None leaves it out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            new = change(name, data)
            if new is not None:
                archive.writestr(name, new)


def saved(array: Any, *, objects: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=objects)
    return buffer.getvalue()


class Bomb:
    """Whoever unpickles it writes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("exploded"),)


def flipped(_: str, data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def declaring(shape: str) -> Callable[[str, bytes], bytes]:
    """A header that declares another shape, as long as it was."""
    text = f"'shape': {shape}, }}".encode()
    return lambda _, data: re.sub(rb"'shape': \(\d+,\), \} *", lambda old: text.ljust(len(old[0])), data)


CHANGES: dict[str, tuple[Callable[[str, bytes], bytes | None], list[str]]] = {
    "a bit": (flipped, ["was changed"]),
    "pickled": (lambda *_: saved(np.array([Bomb()], object), objects=True), ["object", "float64"]),
    "nothing but a pickle": (lambda *_: pickle.dumps(Bomb()), ["cannot be read"]),
    "left out": (lambda *_: None, ["is not in it"]),
    "empty": (lambda *_: b"", ["cannot be read"]),
    "cut": (lambda _, data: data[:-8], ["cut short"]),
    "another shape": (lambda *_: saved(np.zeros((SIZE // 2, 2))), [f"({SIZE // 2}, 2)"]),
    "another dtype": (lambda *_: saved(np.zeros(SIZE, np.int64)), ["int64"]),
    "10^13 elements": (declaring("(9999999999999,)"), ["9999999999999"]),
    "a bomb": (lambda *_: saved(np.zeros(2**20)), ["takes 8,388,736 bytes"]),
    "a bomb behind the array": (lambda _, data: data + bytes(2**22), ["takes"]),
    "a long header": (lambda *_: b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b"(" * 100, ["version 1.0"]),
}


@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_npz_is_refused(
    gradcheck: Gradcheck, large: Path, change: Callable[[str, bytes], bytes | None], words: list[str]
) -> None:
    repacked(large, change, zipfile.ZIP_DEFLATED)
    line = complaint(gradcheck("replay", "large.json"))

    assert [word for word in ["large.json", "large.npz", *words] if word not in line] == []
    assert not (large.parent / "exploded").exists()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[: len(data) // 2], ["cannot be read"]),
        (lambda data: b"", ["cannot be read"]),
        (lambda data: pickle.dumps(Bomb()), ["cannot be read"]),
        (lambda data: data + bytes(2**20), ["more in it"]),
    ],
    ids=["truncated", "empty", "pickle", "more"],
)
def test_a_damaged_npz_is_refused(
    gradcheck: Gradcheck, large: Path, damage: Callable[[bytes], bytes], words: list[str]
) -> None:
    large.write_bytes(damage(large.read_bytes()))
    line = complaint(gradcheck("replay", "large.json"))

    assert [word for word in ["large.json", "large.npz", *words] if word not in line] == []
    assert not (large.parent / "exploded").exists()


def test_a_missing_npz_is_named(gradcheck: Gradcheck, large: Path) -> None:
    large.unlink()

    assert "large.npz: no such file" in complaint(gradcheck("replay", "large.json"))


@pytest.mark.parametrize("seed", range(4))
def test_random_damage_is_refused_or_harmless(seed: int, tmp_path: Path) -> None:
    """Bytes changed at random: read() answers, or raises FixtureError, and nothing else."""
    rng = np.random.default_rng(seed)
    good = np.frombuffer(json.dumps(GOOD).encode(), np.uint8)
    path = tmp_path / "bad.json"
    for _ in range(200):
        bad = good.copy()
        places = rng.integers(0, len(bad), rng.integers(1, 4))
        bad[places] = rng.choice(np.frombuffer(b'[]{}",:0129.-e\\\x00\xffnt', np.uint8), len(places))
        path.write_bytes(bad.tobytes())
        with suppress(FixtureError):
            read(path)
