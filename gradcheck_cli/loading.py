"""Places in the file system and dotted names -> modules; whatever goes wrong there is one line that says where."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from gradcheck_cli.errors import DeclarationError, GradcheckError, LoadError, Terminated, describe
from gradcheck_cli.source import raised_at, short_path

_MANGLED = "_gradcheck_"
_packages: dict[str, Path] = {}  # that files have brought in: by name, the folder that holds it


def is_dotted_module(place: str) -> bool:
    """Whether a text is the dotted name of a module that is there; raises LoadError where its package cannot load."""
    if "." not in place or not all(part.isidentifier() for part in place.split(".")):
        return False
    with blamed(f"module {place}"), _importable(Path.cwd()):
        try:
            return importlib.util.find_spec(place) is not None
        except (ModuleNotFoundError, ValueError):
            return False


def dotted_module(name: str) -> ModuleType:
    """The module of that name; raises LoadError."""
    with blamed(f"module {name}"), _importable(Path.cwd()):
        return importlib.import_module(name)


def file_module(place: str) -> ModuleType:
    """The module that a file is, loaded once; raises LoadError."""
    path = Path(place)
    shown = short_path(place)
    if path.is_dir():
        raise LoadError(f"{shown} is a folder; name an op file in it, such as {Path(shown) / 'my_ops.py'}")
    if not path.is_file():
        raise LoadError(f"{shown}: no such file")
    path = path.resolve()
    package, root = _package_of(path)
    # The mangled name keeps my_ops.py from hiding an installed my_ops; sys.modules needs it for pickling. In a package
    # it stands below that, so that `from .utils import f` finds what the file means.
    key = hashlib.blake2b(os.fsencode(path), digest_size=4).hexdigest()
    name = f"{package}{_MANGLED}{path.stem}_{key}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{shown} is not a Python file")
    with blamed(shown):
        module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with blamed(shown), _importable(path.parent, root, Path.cwd(), package=package):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _package_of(path: Path) -> tuple[str, Path]:
    """The package that a file is in, `pkg.sub.`, and the folder that holds it; "" and the file's own for none."""
    folder, names = path.parent, list[str]()
    while folder.name.isidentifier() and (folder / "__init__.py").is_file():
        names.insert(0, f"{folder.name}.")
        folder = folder.parent
    return "".join(names), folder


@contextmanager
def _importable(*folders: Path, package: str = "") -> Iterator[None]:
    """Let a file import its siblings and its package while it is loaded; last on the path, so that they hide nothing.

    Siblings are forgotten again, lest the next folder's of the same name be taken for them; a package is when there is
    another of its name, since its functions may import from it when they are called.
    """
    top = package.partition(".")[0]
    if top in _packages and _packages[top] != folders[1]:
        for name in [n for n in sys.modules if n.partition(".")[0] == top and _MANGLED not in n]:
            del sys.modules[name]
    known = set(sys.modules)
    added = [folder for folder in dict.fromkeys(map(str, folders)) if folder not in sys.path]
    sys.path.extend(added)
    try:
        yield
    finally:
        for folder in added:
            with suppress(ValueError):  # the file may have edited sys.path itself
                sys.path.remove(folder)
        for name in set(sys.modules) - known:
            file = getattr(sys.modules[name], "__file__", None)
            if top and name.partition(".")[0] == top:
                _packages[top] = folders[1]
            elif file and str(Path(file).parent) in added and _MANGLED not in name:
                del sys.modules[name]


@contextmanager
def looked_at() -> Iterator[None]:
    """Turn what somebody's objects raise when they are only looked at (`__getattr__`) into one line that says where."""
    try:
        yield
    except (GradcheckError, KeyboardInterrupt, Terminated):
        raise
    except BaseException as error:
        place = raised_at(error, by_us=False)
        if place is None:
            raise
        raise LoadError(f"{place}: {describe(error)} (while it was looked at)") from None


@contextmanager
def blamed(where: str) -> Iterator[None]:
    """Turn whatever importing somebody's code raises into one line that says where."""
    try:
        yield
    except (LoadError, DeclarationError, KeyboardInterrupt, Terminated):
        raise
    except SyntaxError as error:
        place = f"{short_path(error.filename)}:{error.lineno}" if error.filename and error.lineno else where
        raise LoadError(f"{place}: syntax error: {error.msg}") from None
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if raised_at(error) is None:  # The target itself.
            raise LoadError(f"{where}: cannot import {error.name}: there is no such module") from None
        raise LoadError(f"{raised_at(error)}: cannot import {error.name}; install it (pip install {missing})") from None
    except ImportError as error:
        relative = "attempted relative import" in str(error)
        advice = "; name part of a package by its dots, from the folder above: gradcheck run package.module"
        raise LoadError(f"{raised_at(error) or where}: {describe(error)}{advice if relative else ''}") from None
    except SystemExit as error:
        raise LoadError(
            f"{raised_at(error) or where}: called sys.exit({error.code!r}) while it was being loaded"
        ) from None
    except BaseException as error:
        raise LoadError(f"{raised_at(error) or where}: {describe(error)} (while it was being loaded)") from None
