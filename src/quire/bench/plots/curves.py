"""Curves into PNG files. Knows nothing of what was measured: each curve is a name and its points."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from quire.bench.results import number
from quire.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axis import XAxis, YAxis
    from matplotlib.figure import Figure

NUM_COLOURS = 10
LINES = ("-", "--", ":")
"""Of the first curves, of those that have the same colours again, and so on."""
FEW_POWERS = 100
"""Times the least: up to there a logarithmic axis has numbers between the powers of ten."""
MAX_NAMES_INSIDE = 5
INCHES_PER_NAME = 0.2
Points = Sequence[tuple[float | str, float]]
"""Where x is a word, each word has its place, in the order in which they come."""


def save_curves(path: Path, curves: Mapping[str, Points], *, x: str, y: str, is_logarithmic: bool = False) -> None:
    """One line through the points of each curve, in their order. Makes the folder. Raises ConfigError where matplotlib
    is missing."""
    save(path, draw_curves(curves, x=x, y=y, is_logarithmic=is_logarithmic))


def draw_curves(
    curves: Mapping[str, Points],
    *,
    x: str,
    y: str,
    title: str = "",
    is_logarithmic: bool = False,
    has_markers: bool = True,
) -> "Figure":
    figure = _new_figure()
    axes = figure.add_subplot(xlabel=x, ylabel=y, title=title)
    for place, (name, points) in enumerate(curves.items()):
        dashes = LINES[place // NUM_COLOURS % len(LINES)]
        axes.plot(*zip(*points, strict=True), dashes, marker="o" if has_markers else "", label=name)
    if is_logarithmic:
        make_logarithmic(axes.xaxis)
        make_logarithmic(axes.yaxis)
    axes.grid(alpha=0.3)
    if len(curves) > MAX_NAMES_INSIDE:
        figure.set_size_inches(10, max(4.5, INCHES_PER_NAME * len(curves)))
        figure.legend(loc="outside right upper", fontsize="small")
    else:
        axes.legend()
    return figure


def make_logarithmic(axis: "XAxis | YAxis") -> None:
    """With numbers as people write them, those between the powers of ten too where there are few of these."""
    from matplotlib.ticker import LogLocator

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    least, most = axis.get_data_interval()
    axis.set_major_formatter(lambda value, _: number(value))
    if most < FEW_POWERS * least:
        axis.set_minor_locator(LogLocator(subs=(2, 5)))
        axis.set_minor_formatter(lambda value, _: number(value))
    else:
        axis.set_minor_formatter("")


def save(path: Path, figure: "Figure") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")


def check_installed() -> None:
    """Raises ConfigError where nothing can be drawn, so that nobody measures in vain."""
    _new_figure()


def _new_figure() -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("Plots need matplotlib, which is not installed; pip install 'quire[plot]'.") from error
    return Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
