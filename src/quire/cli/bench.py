"""`quire bench <case>`: one subcommand per benchmark, with the benchmark's own parameters as flags.

Knows how to run and show a benchmark, and nothing of what any of them measures.
"""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quire.bench import registry
from quire.bench.registry import Benchmark, Parameter
from quire.cli.datasets import download
from quire.cli.flags import option_parameter, with_parameters
from quire.cli.help import GroupedCommand, WholeGroup
from quire.cli.writing import make_folder, make_room, writing
from quire.errors import ConfigError, shown

if TYPE_CHECKING:
    from quire.bench.results import Report

ALL = "all"
THOUSANDS = {"k": 10**3, "M": 10**6}


class BenchGroup(WholeGroup):
    """Its commands are the benchmarks there are; each is made when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 (the overridden signature)
        return [*registry.find_benchmarks(), ALL, *_others()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 (the overridden signature)
        if cmd_name == ALL:
            return typer.main.get_command(
                _single(ALL, _run_all, "Run the benchmarks of the suite: together under 15 minutes on two cores.")
            )
        if cmd_name in _others():
            return typer.main.get_command(_single(cmd_name, *_others()[cmd_name]))
        benchmark = registry.find_benchmarks().get(cmd_name)
        return None if benchmark is None else typer.main.get_command(bench_app(benchmark))


app = typer.Typer(cls=BenchGroup, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def about() -> None:
    """Measure something, with its spread: warm-up, repetitions, interval, memory, and where it was measured."""


def bench_app(benchmark: Benchmark) -> typer.Typer:
    """The command of one benchmark."""
    return _single(benchmark.name, _runner(benchmark), benchmark.help)


def run_benchmark(
    benchmark: Benchmark,
    arguments: dict[str, Any],
    *,
    repetitions: int,
    warmup: int,
    json_path: Path | None,
    csv_path: Path | None,
    compare_path: Path | None,
    plot_dir: Path | None = None,
    traces_memory: bool = False,
) -> None:
    """Measures, prints the table, writes what was asked for."""
    from rich.console import Console

    from quire.bench import plots
    from quire.bench.harness import measure
    from quire.bench.results import Report

    if plot_dir is not None:
        plots.check_installed()
    make_room(json_path, csv_path)
    make_folder(plot_dir)
    earlier = _load(compare_path, "--compare") if compare_path else None
    cases = benchmark.cases(arguments)
    results = measure(
        cases, repetitions=repetitions, warmup=warmup, traces_memory=traces_memory, console=Console(stderr=True)
    )
    report = Report(benchmark.name, results)
    if json_path:
        _write(json_path, report.to_json())  # first, so that nothing which is said or drawn of it can lose it
    _tell(report, earlier, csv_path, benchmark.explain(report))
    _draw(report, benchmark, plot_dir)


def _tell(report: "Report", earlier: "Report | None", csv_path: Path | None, explanation: str = "") -> None:
    from rich.console import Console

    from quire.bench.results import compare

    console = Console()
    console.print(report.table())
    if tails := report.tails():
        console.print(tails, markup=False, highlight=False)
    if explanation:
        console.print(explanation, markup=False)
    if earlier is not None:
        console.print(compare(report, earlier))
    if csv_path:
        _write(csv_path, report.to_csv())


def _draw(report: "Report", benchmark: Benchmark | None, folder: Path | None) -> None:
    """The benchmark's own picture, where it has one, and those that any report may have."""
    if folder is None:
        return
    from quire.bench.plots.pictures import save_pictures

    own = folder / f"{report.title}.png"
    drawn = [own] if benchmark is not None and benchmark.plot(report, own) else []
    drawn += save_pictures(report, folder)
    print("\n".join(map(str, drawn)) if drawn else f"{report.title} has nothing to draw.")


def show(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="What --json wrote.")],
    csv_path: Annotated[Path | None, typer.Option("--csv", help="Write a line per metric there.")] = None,
    compare_path: Annotated[Path | None, typer.Option("--compare", help="A saved --json to hold it against.")] = None,
    plot_dir: Annotated[Path | None, typer.Option("--plot", help="Folder for its pictures.")] = None,
) -> None:
    report = _load(path, "FILE")
    earlier = _load(compare_path, "--compare") if compare_path else None
    make_room(csv_path)
    make_folder(plot_dir)
    if plot_dir is not None:
        from quire.bench import plots

        plots.check_installed()
    _tell(report, earlier, csv_path)
    _draw(report, registry.find_benchmarks().get(report.title), plot_dir)


def _runner(benchmark: Benchmark) -> Callable[..., None]:
    def run(
        repetitions: Annotated[int, typer.Option(min=1, help="How often each case is measured.")] = 5,
        warmup: Annotated[int, typer.Option(min=0, help="Runs before that, thrown away.")] = 1,
        json_path: Annotated[Path | None, typer.Option("--json", help="Write the results there.")] = None,
        csv_path: Annotated[Path | None, typer.Option("--csv", help="Write a line per metric there.")] = None,
        compare_path: Annotated[
            Path | None, typer.Option("--compare", help="A saved --json to hold them against.")
        ] = None,
        plot_dir: Annotated[
            Path | None, typer.Option("--plot", help="Folder for pictures of what there is to draw.")
        ] = None,
        traces_memory: Annotated[
            bool, typer.Option("--memory", help="Look at resident memory ten times a second, for a picture of it.")
        ] = False,
        **arguments: Any,
    ) -> None:
        given = {p.name: _parsed(p, arguments[p.name]) for p in benchmark.parameters}
        run_benchmark(
            benchmark,
            given,
            repetitions=repetitions,
            warmup=warmup,
            json_path=json_path,
            csv_path=csv_path,
            compare_path=compare_path,
            plot_dir=plot_dir,
            traces_memory=traces_memory,
        )

    common = [p for p in inspect.signature(run, eval_str=True).parameters.values() if p.name != "arguments"]
    own = [_as_parameter(p) for p in benchmark.parameters]
    return with_parameters(run, [*common, *own])


def _run_all(
    out: Annotated[Path, typer.Option(help="Folder for a JSON and a CSV file per benchmark, and the pictures.")] = Path(
        "benchmarks/out"
    ),
) -> None:
    """Goes on where one fails, and says so at the end."""
    from quire.bench.suite import SUITE, run_suite

    make_folder(out)
    failed = run_suite(SUITE, out)
    if failed:
        print(f"error: {len(failed)} of {len(SUITE)} benchmarks failed; by itself each says why:", file=sys.stderr)
        print("\n".join(f"  {command}" for command in failed), file=sys.stderr)
        raise typer.Exit(1)


def _as_parameter(parameter: Parameter) -> inspect.Parameter:
    is_list = parameter.type == tuple[int, ...]
    default = ",".join(map(str, parameter.default)) if is_list else parameter.default
    return option_parameter(
        parameter.name, str if is_list else parameter.type, default, typer.Option(rich_help_panel="Sizes")
    )


def _parsed(parameter: Parameter, value: Any) -> Any:
    if parameter.type is int and value < (least := min(1, parameter.default)):
        raise ConfigError(f"{parameter.name} is {value}; allowed: whole numbers from {least} up.")
    if parameter.type != tuple[int, ...]:
        return value
    try:
        sizes = tuple(_whole_number(part) for part in str(value).split(",") if value)
    except ValueError:
        sizes = (0,)
    if any(size < 1 for size in sizes):
        raise ConfigError(
            f"{parameter.name} is {shown(value)}; allowed: whole numbers above 0 with commas between, like 500,10k,2M."
        )
    return sizes


def _whole_number(text: str) -> int:
    digits, letter = (text[:-1], text[-1]) if text[-1:] in THOUSANDS else (text, "")
    return int(digits) * THOUSANDS.get(letter, 1)


def _others() -> dict[str, tuple[Callable[..., None], str]]:
    """Commands that measure nothing."""
    return {
        "download": (download, "Fetch a published collection to measure on; without a name, list them."),
        "show": (show, "Show saved results again: the table, the pictures, and what became of an earlier run."),
    }


def _single(name: str, function: Callable[..., None], help_line: str) -> typer.Typer:
    single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    single.command(name, help=help_line, cls=GroupedCommand)(function)
    return single


def _load(path: Path, given_as: str) -> "Report":
    from quire.bench.results import Report

    try:
        return Report.load(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{given_as} {str(path)!r} cannot be used: {error}") from error


def _write(path: Path, text: str) -> None:
    with writing(path):
        path.write_text(text)
