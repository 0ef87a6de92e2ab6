"""Option types that refuse what click lets through: NaN, Arabic digits, sizes below one."""

from __future__ import annotations

import ast
import math
import re
from typing import Any

import click

_BYTES = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?)\s*(?P<unit>[KMGT]?)(?P<binary>i?)B?", re.ASCII | re.IGNORECASE)
_SHAPE = re.compile(r"\s*(?P<sides>[0-9]+(\s*,\s*[0-9]+)*\s*,?)?\s*", re.ASCII)


class FiniteFloat(click.ParamType):
    """A finite number at or above a bound; click's FloatRange accepts nan, which would pass everything."""

    name = "number"

    def __init__(self, *, above: float | None = None, least: float | None = None) -> None:
        self.above, self.least = above, least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = None
        if number is None or not str(value).isascii() or "_" in str(value):
            self.fail(f"{value!r} is not a number", param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not finite", param, ctx)
        if self.above is not None and number <= self.above:
            self.fail(f"{value} must be greater than {self.above:g}", param, ctx)
        if self.least is not None and number < self.least:
            self.fail(f"{value} must be {self.least:g} or more", param, ctx)
        return number


class Integer(click.ParamType):
    """An integer in ASCII digits, at or above a bound."""

    name = "integer"

    def __init__(self, *, least: int = 0) -> None:
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value)
        if not re.fullmatch(r"-?[0-9]+", text, re.ASCII):
            self.fail(f"{text!r} is not an integer", param, ctx)
        if len(text) > 18:
            self.fail(f"{text} has too many digits", param, ctx)
        if int(text) < self.least:
            self.fail(f"{text} must be {self.least} or more", param, ctx)
        return int(text)


class Bytes(click.ParamType):
    """An amount of memory: 500MB, 2GB, 1.5GiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = _BYTES.fullmatch(value.strip())
        if match is None or not 1 <= float(match["number"]) < 1e6:
            self.fail(f"{value!r} is not an amount of memory; write 500MB or 2GB", param, ctx)
        base = 1024 if match["binary"] else 1000
        return int(float(match["number"]) * base ** " KMGT".index((match["unit"] or " ").upper()))


class ShapeType(click.ParamType):
    """A shape such as `2,3,4,5`; `()` is 0-d."""

    name = "shape"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        bare = value.strip()
        match = _SHAPE.fullmatch(bare[1:-1] if bare.startswith("(") and bare.endswith(")") else bare)
        if match is None or not bare:
            self.fail(f"{value!r} is not a shape; write 2,3,4 (or () for 0-d)", param, ctx)
        sides = (match["sides"] or "").rstrip(" ,")
        if any(len(side.strip()) > 18 for side in sides.split(",")):
            self.fail(f"{value!r} has a dimension that no memory holds", param, ctx)
        return tuple(int(side) for side in sides.split(",") if side.strip())


class Setting(click.ParamType):
    """NAME=LITERAL, the value a Python literal: `axis=-1`, `axes=(1,0)`, `keepdims=True`, `mode=mean`."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        if isinstance(value, tuple):
            return value
        key, separator, text = value.partition("=")
        if not separator or not key.strip().isidentifier():
            self.fail(f"{value!r} is not NAME=VALUE, as in axis=-1", param, ctx)
        try:
            literal = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            literal = text.strip()  # a bare word is a string: nobody types mode='"mean"' into a shell
        return key.strip(), literal


class DomainType(click.ParamType):
    """NAME=DOMAIN, or a domain for all inputs: `x=positive`, `y=integers(0,9)`, `interval(-1,1)`."""

    name = "name=domain"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        if isinstance(value, tuple):
            return value
        from gradcheck_cli.domain import domain_of

        key, separator, text = value.partition("=")
        key, text = (key.strip(), text) if separator and key.strip().isidentifier() else ("", value)
        try:
            return key, domain_of(text)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Names(click.ParamType):
    """Names with commas between them: `x,w`."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(part.strip() for part in value.split(",") if part.strip())
        if not names or not all(name.isidentifier() for name in names):
            self.fail(f"{value!r} is not a list of names, as in x,w", param, ctx)
        return names


class ReportTarget(click.ParamType):
    """FMT=PATH; `-` is stdout."""

    name = "fmt=path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        kind, separator, path = value.partition("=")
        if not separator or not path:
            self.fail(f"{value!r} is not FMT=PATH, as in json=report.json or json=-", param, ctx)
        return kind, path
