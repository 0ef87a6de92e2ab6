"""`gradcheck run`: compose options, run, print, exit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradcheck_cli.cli.complete import complete_targets
from gradcheck_cli.cli.types import Bytes, DomainType, FiniteFloat, Integer, Names, ReportTarget, Setting, ShapeType
from gradcheck_cli.errors import OutputError, UsageError

if TYPE_CHECKING:
    from gradcheck_cli.adapters import Given
    from gradcheck_cli.op import Op
    from gradcheck_cli.runner import Options, RunFinished


@click.command("run", short_help="Check the gradients of ops.")
@click.argument("targets", nargs=-1, shell_complete=complete_targets)
@click.option("--shape", multiple=True, type=ShapeType(), help="Shape of an operand, in order: 2,3,4 or ().")
@click.option("--rank", type=Integer(), help="Rank of the largest operand.")
@click.option("--max-side", type=Integer(least=1), default=4, show_default=True, help="Largest random dimension.")
@click.option("--max-elements", type=Integer(least=1), default=10_000_000, show_default=True, help="Largest array.")
@click.option("--cases", type=Integer(least=1), help="Random cases per op.  [20, or as many as a param has choices]")
@click.option(
    "--edges/--no-edges",
    default=None,
    help="Zeros, ties, empty arrays and other edges.  [on; beside --shape only where it is small]",
)
@click.option("--broadcast/--no-broadcast", default=True, show_default=True, help="Let operands broadcast.")
@click.option(
    "--dtype",
    type=click.Choice(["float64", "float32", "complex128", "complex64"]),
    help="Of the inputs.  [the first that the op is declared for]",
)
@click.option("--param", multiple=True, type=Setting(), help="Fix a param: axis=-1.")
@click.option("--signature", metavar="TEXT", help="Of functions that declare nothing: (n,k),(k,m)->(n,m).")
@click.option("--domain", multiple=True, type=DomainType(), help="Of such an input: x=positive, y=integers(0,9).")
@click.option("--wrt", type=Names(), help="Such inputs that have gradients: x,w.")
@click.option("--call", metavar="NAMES", help="How to call such a backward: dout,cache.")
@click.option("--device", metavar="NAME", help="Where torch computes: cpu, cuda.")
@click.option("--seed", type=Integer(), default=0, show_default=True, help="Another seed, other values.")
@click.option(
    "--mode",
    type=click.Choice(["auto", "full", "probe"]),
    default="auto",
    show_default=True,
    help="Every coordinate (full), random directions (probe), or by size.",
)
@click.option(
    "--order", type=click.IntRange(1, 2), default=1, show_default=True, help="2: backward is differentiated, too."
)
@click.option(
    "--max-evals",
    type=Integer(least=1),
    default=1_000_000,
    show_default=True,
    help="Forward calls for one question; an input too large for it is asked along directions.",
)
@click.option("--max-memory", type=Bytes(), help="Skip or refuse what needs more: 500MB, 2GB.  [half of the machine's]")
@click.option("--min-resolution", type=FiniteFloat(above=0), help="Coarsest pass.  [1e-3; float32 1e-2]")
@click.option("--allow-inconclusive", is_flag=True, help="Let a gradient through that no case could judge.")
@click.option("--eps", type=FiniteFloat(above=0), help="Step of the classic test.  [1e-6]")
@click.option("--rtol", type=FiniteFloat(least=0), help="Relative tolerance of the classic test.  [1e-3]")
@click.option("--atol", type=FiniteFloat(least=0), help="Absolute tolerance of the classic test.  [1e-5]")
@click.option("-k", metavar="EXPR", help="Keep ops whose name matches: 'mul and not matmul'.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out ops of that name.")
@click.option("-x", "exitfirst", is_flag=True, help="Stop at the first failed case.")
@click.option("--maxfail", type=Integer(least=1), help="Stop after so many failed cases.")
@click.option("--lf", "last_failed", is_flag=True, help="Only rerun the failures that were saved.")
@click.option("--save/--no-save", default=True, show_default=True, help="Save failures in .gradcheck/failures.")
@click.option("--durations", type=Integer(), default=0, metavar="N", help="Name the N slowest ops.")
@click.option("--report", multiple=True, type=ReportTarget(), help="Also write json=PATH (- is stdout).")
@click.option("-v", "--verbose", is_flag=True, help="One line per case, and inconclusive cases too.")
@click.option("-q", "--quiet", is_flag=True, help="Only what is wrong, and the summary.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
def command(**options: Any) -> int:
    """Check the gradients of TARGETS: op names, globs, file.py, file.py::op, pkg.module::op. All installed ops if none.

    A file that declares no ops is looked through for what it may mean: f_forward and f_backward, classes with both,
    torch Functions, ... These need a --shape for each array, or a --signature. file.py::f,df names a pair.
    A plain function is an op, too: gradcheck run net.py::two_layer --shape 3,4 --shape 4,5 differentiates it by a tape.

    Without --eps, --rtol and --atol there is no tolerance: every numeric derivative carries its own error bar.

    Exit codes: 0 all passed, 1 a gradient is wrong or was never judged or an op raised, 2 bad usage or a bad op file,
    3 gradcheck itself or its output failed, 5 nothing was checked.
    """
    from gradcheck_cli.cli.select import select
    from gradcheck_cli.cli.session import check_sinks, consume, write_reports
    from gradcheck_cli.cli.terminal import STDERR, Progress, ops_print_to_stderr, say
    from gradcheck_cli.registry import located
    from gradcheck_cli.runner import run

    check_sinks(options["report"])
    options = _configured(options)
    settings = _options(options)
    if options["last_failed"]:
        return _last_failed(options)
    with ops_print_to_stderr() as stdout:
        sources = located(options["targets"], _given(options), _by_tape(options["shape"], options["signature"] or ""))
        ops = select(list(sources), options["k"], options["exclude"])
        if not ops:
            say("nothing was selected: -k and --exclude leave no op")
            return 5
        verbosity = options["verbose"] - options["quiet"]
        progress = Progress(STDERR, enabled=verbosity >= 0)

        def report(finished: RunFinished) -> None:
            write_reports(finished, options["report"], stdout, options["color"], verbosity)

        finished = consume(run(ops, settings), len(ops), settings, progress, report)
        # A failure of the classic test, or of another resolution, would pass when it is replayed.
        usual = settings.judging.tolerances is None and settings.judging.min_resolution is None
        if options["save"] and usual and any(result.verdict.bad for result in finished.ops):
            finished = _saved(finished, sources)
        report(finished)
    return finished.exit_code


def _saved(finished: RunFinished, sources: dict[Op, str | None]) -> RunFinished:
    """Save the failures; where that is not possible, the run is still worth its report."""
    from gradcheck_cli.cli.terminal import say
    from gradcheck_cli.fixtures.failures import save_failures

    try:
        noted, unsaved = save_failures(finished, sources)
        for reason in unsaved:
            say(f"not saved for a replay: {reason}")
        return noted
    except OutputError as error:
        say(f"failures are not saved: {error}")
        return finished


def _last_failed(options: dict[str, Any]) -> int:
    """Rerun the saved failures of the selected ops, as they were saved."""
    from gradcheck_cli.cli.replay import rerun
    from gradcheck_cli.cli.select import keeper
    from gradcheck_cli.cli.terminal import ops_print_to_stderr, say
    from gradcheck_cli.fixtures.failures import FOLDER
    from gradcheck_cli.fixtures.replay import Update
    from gradcheck_cli.fixtures.store import Recorded, find, read

    context = click.get_current_context()
    for name in _OF_DRAWING:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
            raise UsageError(f"--lf reruns cases as they were saved; leave out {flag}")
    with ops_print_to_stderr() as stdout:
        fixtures = [read(path) for path in find([str(FOLDER)])] if FOLDER.is_dir() else []
        wanted = keeper(options["k"], options["exclude"])
        meant = _meant(options["targets"])

        def asked(case: Recorded) -> bool:
            here = not options["targets"] or (case.record.op, _place(case.source)) in meant
            return here and wanted(case.record.op)

        fixtures = [fixture for fixture in fixtures if any(map(asked, fixture.cases))]
        if not fixtures:
            say(f"nothing is left to rerun: no failure is saved in {FOLDER}")
            return 5
        return rerun(fixtures, Update.NOTHING, options, stdout)


def _meant(targets: Sequence[str]) -> set[tuple[str, Path | str | None]]:
    """(name, place) of everything that targets name; what declares nothing needs no shapes to be named."""
    from gradcheck_cli.registry import located, recognised

    meant, by_tape = set(), _by_tape(None)
    for target in targets:
        place, _, name = target.partition("::")
        found = recognised(target)
        if found is None:
            meant |= {(op.name, _place(source)) for op, source in located([target], plain=by_tape).items()}
        else:
            meant |= {(known, _place(place)) for known in (*(t.name for t in found), name.partition(",")[0])}
    return meant


def _by_tape(shapes: Sequence[tuple[int, ...]] | None, signature: str = "") -> Callable[..., Op]:
    """What makes an op of a plain function; the tape is only imported where there is one."""

    def make(function: Callable[..., Any]) -> Op:
        from gradcheck_cli.variable.composite import composite

        op = composite(function, shapes, signature=signature)
        note = "no backward of it was found; the gradient that is checked is gradcheck's own"
        op.describe(op.declared, "", [note], {})
        return op

    return make


def _place(source: str | None) -> Path | str | None:
    """An op's file or module, however it was written."""
    return Path(source).resolve() if source is not None and source.endswith(".py") else source


# What a saved case has settled, or was judged by: the defaults, or it would not have been saved.
_OF_DRAWING = (
    *("shape", "rank", "max_side", "max_elements", "cases", "edges", "broadcast", "dtype", "param", "seed"),
    *("signature", "domain", "wrt", "call", "device"),
    *("mode", "order", "max_evals", "max_memory", "min_resolution", "eps", "rtol", "atol", "exitfirst", "maxfail"),
)
_FLAGS = {"exitfirst": "-x"}


def _configured(options: dict[str, Any]) -> dict[str, Any]:
    """The options, where nobody gave them, as [tool.gradcheck] has them."""
    from gradcheck_cli.config import load

    configured, context = load(), click.get_current_context()
    values = {"seed": configured.seed, "cases": configured.cases, "min_resolution": configured.min_resolution}
    unsaid = {
        name: value
        for name, value in values.items()
        if value is not None and context.get_parameter_source(name) is click.core.ParameterSource.DEFAULT
    }
    return {**options, **unsaid, "targets": options["targets"] or configured.ops}


def _given(options: dict[str, Any]) -> Given:
    """What is said about functions that declare nothing."""
    from gradcheck_cli.adapters import Given
    from gradcheck_cli.limits import Limits

    return Given(
        shapes=options["shape"],
        signature=options["signature"],
        params=dict(options["param"]),
        domains=dict(options["domain"]),
        wrt=options["wrt"] or (),
        call=options["call"],
        device=options["device"],
        dtype=options["dtype"],
        limits=Limits(options["max_elements"], options["max_memory"]),
    )


def _options(options: dict[str, Any]) -> Options:
    from gradcheck_cli.checks.value import Judging
    from gradcheck_cli.draw import Sampling
    from gradcheck_cli.numeric.classic import tolerances
    from gradcheck_cli.runner import Options

    sampling = Sampling(
        seed=options["seed"],
        cases=options["cases"],
        shapes=options["shape"],
        rank=options["rank"],
        max_side=options["max_side"],
        broadcast=options["broadcast"],
        dtype=options["dtype"],
        params=dict(options["param"]),
        max_elements=options["max_elements"],
        edges=options["edges"],
        max_memory=options["max_memory"],
    )
    classic = tolerances(options["eps"], options["rtol"], options["atol"])
    judging = Judging(
        options["mode"], options["min_resolution"], classic, max_evals=options["max_evals"], order=options["order"]
    )
    maxfail = 1 if options["exitfirst"] else options["maxfail"]
    return Options(sampling, judging, options["allow_inconclusive"], maxfail, options["durations"])
