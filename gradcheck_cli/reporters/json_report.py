"""The run as one JSON document: every number that is printed, and the full ones behind them."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import numpy as np

from gradcheck_cli import __version__
from gradcheck_cli.checks import CaseResult
from gradcheck_cli.checks.finding import Finding
from gradcheck_cli.checks.value import InputResult
from gradcheck_cli.codes import CODES
from gradcheck_cli.reporters.text import printable
from gradcheck_cli.runner import OpResult, RunFinished
from gradcheck_cli.stories import Story


def render(run: RunFinished) -> str:
    """The document, ending in a newline."""
    sampling = run.options.sampling
    document = {
        "gradcheck": __version__,
        "seed": sampling.seed,
        "fixtures": run.fixtures,
        "dtypes": list(run.dtypes),
        "test": str(run.options.judging.tolerances or "error bars"),
        "exit_code": run.exit_code,
        "stopped": run.stopped,
        "seconds": run.seconds,
        "verdicts": Counter(str(op.verdict) for op in run.ops),
        "ops": [_op(result) for result in run.ops],
    }
    return json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """The nearest thing that JSON can hold: not-finite numbers as strings, anything unknown as its repr."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return printable(repr(value))


def _op(result: OpResult) -> dict[str, Any]:
    op = result.op
    return {
        "name": op.name,
        "verdict": str(result.verdict),
        "signature": op.gufunc.text,
        "place": op.place,
        "taken_for": op.taken_for,
        "notes": list(op.notes),
        "skipped": result.skipped,
        "broken": result.broken,
        "unjudged": list(result.unjudged),
        "dropped": result.dropped,
        "refused": list(result.refused),
        "redrawn": result.redrawn,
        "seconds": result.seconds,
        "stories": [_story(story) for story in result.stories],
        "cases": [_case(case) for case in result.cases],
    }


def _story(story: Story) -> dict[str, Any]:
    case = story.finding.case
    return {
        **_finding(story.finding),
        "cases": story.cases,
        "codes": list(story.codes),
        "also": dict(story.aside),
        "case": {"name": case.name, "shapes": [list(s) for s in case.shapes], "params": dict(case.params)},
        "edge": case.edge or None,
        "layout": case.layout,
        "saved": story.saved or None,
    }


def _case(result: CaseResult) -> dict[str, Any]:
    case = result.case
    return {
        "index": case.index,
        "attempt": case.attempt,
        "name": case.name,
        "shapes": [list(shape) for shape in case.shapes],
        "params": dict(case.params),
        "edge": case.edge or None,
        "layout": case.layout,
        "recorded": case.recorded or None,
        "verdict": str(result.verdict),
        "inputs": [_input(entry) for entry in result.inputs],
        "findings": [_finding(finding) for finding in result.findings],
    }


def _input(result: InputResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "order": result.order,
        "judged": result.judged,
        "worst": result.worst,
        "resolution": result.resolution,
        "method": result.method,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "meaning": CODES[finding.code].meaning,
        "cause": finding.cause,
        "severity": finding.severity.name.lower(),
        "input": finding.input,
        "message": finding.message,
        "why": finding.why,
        "suggestion": finding.suggestion,
        "evidence": dict(finding.evidence),
    }
