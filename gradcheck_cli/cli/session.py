"""What every command that runs cases does: follow the events to the end or an interruption, then write the reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from gradcheck_cli import interruption
from gradcheck_cli.errors import Terminated, UsageError

if TYPE_CHECKING:
    from gradcheck_cli.checks import CaseResult
    from gradcheck_cli.cli.terminal import Progress
    from gradcheck_cli.runner import Event, Options, RunFinished


def consume(
    events: Iterable[Event], asked: int, options: Options, progress: Progress, report: Callable[[RunFinished], None]
) -> RunFinished:
    """Run to the end. At an interruption, report what was finished until then, and raise it again."""
    import time

    from gradcheck_cli.runner import CaseFinished, OpResult, OpStarted, RunFinished

    started = time.perf_counter()
    done: list[OpResult] = []
    current: list[CaseResult] = []

    def report_so_far() -> None:
        from gradcheck_cli.stories import stories

        interruption.last_words = None
        progress.clear()
        stopped = f"interrupted: {len(done)} of {asked} ops were checked"
        begun = [OpResult(current[0].case.op, tuple(current))] if current else []
        results = [replace(result, told=stories(result.cases)) for result in (*done, *begun)]  # not shrunk any more
        report(RunFinished(tuple(results), asked, options, time.perf_counter() - started, stopped))

    interruption.last_words = report_so_far
    try:
        for event in events:
            if isinstance(event, OpStarted):
                progress.show(f"{event.number}/{event.total} {event.op.name}")
                current = []
            elif isinstance(event, CaseFinished):
                current.append(event.result)
            elif isinstance(event, OpResult):
                done.append(event)
                current = []
                progress.show(f"{event.op.name}: looking for the smallest input")
                _ = event.stories  # Shrunk here, where an interruption costs nothing.
            elif isinstance(event, RunFinished):
                return event
    except (KeyboardInterrupt, Terminated):
        report_so_far()
        raise
    finally:
        interruption.last_words = None
        progress.clear()
    raise AssertionError("a run ends with RunFinished")


def check_sinks(reports: Sequence[tuple[str, str]]) -> None:
    """Check formats and paths before anything runs: a report that cannot be written must not cost a run."""
    from gradcheck_cli.reporters import FORMATS

    if sum(path == "-" for _, path in reports) > 1:
        raise UsageError("only one --report can go to stdout (-)")
    for kind, path in reports:
        if kind not in FORMATS:
            raise UsageError(f"no report format {kind!r}; there is {', '.join(FORMATS)}")
        folder = Path(path).parent
        if path == "-":
            continue
        if Path(path).is_dir() or not folder.is_dir():
            raise UsageError(
                f"report {path} cannot be written: {'a folder' if Path(path).is_dir() else f'no folder {folder}'}"
            )
        try_to_write(Path(path))


def try_to_write(path: Path) -> None:
    """Open the file as it will be opened, and leave nothing behind; raises UsageError."""
    existed = path.exists()
    if path.is_fifo():  # A pipe: whoever reads from it would take this for all there is.
        return
    try:
        path.open("a").close()
        if not existed:
            path.unlink()
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def write_reports(
    finished: RunFinished, sinks: Sequence[tuple[str, str]], stdout: TextIO, color: str, verbosity: int
) -> None:
    """The table on stdout, or on stderr where a report claims stdout; then the reports."""
    from gradcheck_cli.cli.terminal import STDERR, use_color, width, write, write_file
    from gradcheck_cli.reporters import renderer
    from gradcheck_cli.reporters.console import render

    screen = STDERR if any(path == "-" for _, path in sinks) else stdout
    write(screen, render(finished, width=width(screen), color=use_color(color, screen), verbosity=verbosity))
    for kind, path in sinks:
        text = renderer(kind)(finished)
        if path == "-":
            write(stdout, text)
        else:
            write_file(Path(path), text)
