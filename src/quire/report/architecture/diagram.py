"""The architecture as a picture: every room in its layer, who needs whom, the structures and what they cost.

The rooms, their order and the arrows are read from the import contract and the sources (`house`), the structures and
their costs are those that `quire bench growth` measures. Only where things stand on the page is decided here. Arrows
that others imply are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from quire.bench.structures.growth import OPERATIONS
from quire.errors import ConfigError
from quire.report.architecture.house import USES, House, Room, Use

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg", ".pdf")
PAGE = (15.0, 9.4)
"""Inches. Printed across an A4 page, the smallest letters are 6 points high."""
DPI = 300
ROOMS_WIDTH = 0.70
GAP = 0.012
COLOURS = {USES: "#8a8f98", "schedules": "#c2410c", "retrieves": "#15803d", "keeps KV in": "#1d4ed8"}
FAMILIES = {
    "serving": ("#fde8d7", ("cli", "client", "server", "protocol")),
    "engine": ("#dbe7fb", ("llm", "engine", "models", "layers", "kernels", "parallel")),
    "scheduling and batching": ("#fbd9d0", ("scheduling",)),
    "KV cache": ("#cfdcfb", ("cache",)),
    "memory": ("#e2e2f5", ("memory",)),
    "retrieval": ("#d7f0dd", ("retrieval", "rag")),
    "measuring and telling": ("#f3ecd2", ("bench", "report")),
}
PLAIN = "#f1f2f4"
FEATURES = (
    ("engine", "continuous batching, chunked prefill, decode steps recorded and replayed"),
    ("cache", "prefix sharing by SHA-256 chain, copy-on-write, memory given back under pressure"),
    ("scheduling", "deadlines (least slack first), admission that says when to come back"),
    ("kernels", "bf16, int8 and int4 weights, int8 KV; AVX-512, AVX2 and plain C++ chosen at run time"),
    ("retrieval", "HNSW and BM25 joined by rank fusion, in a folder that survives a crash"),
    ("server", "the OpenAI API, keys and quotas, streams, draining"),
)


@dataclass(frozen=True, slots=True)
class Box:
    room: Room
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


def draw(house: House, path: Path) -> None:
    """Writes the picture; its suffix says the format. Makes the folder."""
    if path.suffix not in FORMATS:
        raise ConfigError(f"The picture is to be {path.name}; allowed: a name that ends in {', '.join(FORMATS)}.")
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            "The picture needs matplotlib, which is not installed; pip install 'quire[report]'."
        ) from error

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "quire", "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=PAGE, dpi=DPI)
        axes = figure.add_axes((0.01, 0.01, 0.98, 0.98), xlim=(0, 1), ylim=(0, 1))
        axes.axis("off")
        axes.text(0, 0.985, "Quire: a room may use those below it", fontsize=15, weight="bold", va="top")
        boxes = {box.room.name: box for box in _boxes(house)}
        for use in sorted(shown_uses(house), key=lambda use: (use.kind != USES, use.user, use.used)):
            _draw_arrow(axes, boxes[use.user], boxes[use.used], use)
        for box in boxes.values():
            _draw_room(axes, box)
        _draw_side(axes)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def shown_uses(house: House) -> set[Use]:
    return {*house.needed(), *(use for use in house.uses if use.kind != USES and use.user not in ("cli", "bench"))}


def _boxes(house: House) -> Iterator[Box]:
    top, bottom = 0.93, 0.01
    pitch = (top - bottom) / len(house.layers)
    for row, layer in enumerate(house.layers):
        width = (ROOMS_WIDTH - GAP * (len(layer) - 1)) / len(layer)
        narrow = min(width, 0.24)
        rest = ROOMS_WIDTH - len(layer) * narrow
        space = rest / (len(layer) + 1) if narrow < width else GAP
        for column, room in enumerate(layer):
            x = space * (column + 1) + narrow * column if narrow < width else (width + GAP) * column
            yield Box(room, x, top - pitch * row - 0.072, narrow, 0.072)


def _draw_room(axes: "Axes", box: Box) -> None:
    from matplotlib.patches import FancyBboxPatch

    shape = FancyBboxPatch(
        (box.x, box.y),
        box.width,
        box.height,
        boxstyle="round,pad=0,rounding_size=0.006",
        facecolor=_colour(box.room.name),
        edgecolor="#3f4650",
        linewidth=0.8,
    )
    axes.add_patch(shape)
    axes.text(box.middle, box.y + box.height - 0.008, box.room.name, fontsize=11, weight="bold", ha="center", va="top")
    question = fill(box.room.question, int(box.width * 185))
    axes.text(box.middle, box.y + 0.024, question, fontsize=7.6, ha="center", va="center", linespacing=1.1)


def _draw_arrow(axes: "Axes", user: Box, used: Box, use: Use) -> None:
    from matplotlib.patches import FancyArrowPatch

    is_plain = use.kind == USES
    start, end = _ends(user, used)
    arrow = FancyArrowPatch(
        start,
        end,
        arrowstyle="-|>",
        mutation_scale=9 if is_plain else 13,
        connectionstyle=f"arc3,rad={0.08 if start[0] < end[0] else -0.08}",
        color=COLOURS[use.kind],
        linewidth=0.8 if is_plain else 2.0,
        alpha=0.75 if is_plain else 1.0,
        zorder=0.5 if is_plain else 0.8,
    )
    axes.add_patch(arrow)


def _ends(user: Box, used: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """From the lower edge of the one to the upper edge of the other, or from side to side between neighbours."""
    if user.y > used.y:
        return (_toward(user, used), user.y), (_toward(used, user), used.y + used.height)
    left_first = user.x < used.x
    start, end = (user.x + user.width, used.x) if left_first else (user.x, used.x + used.width)
    return (start, user.y + user.height / 2), (end, used.y + used.height / 2)


def _toward(box: Box, other: Box) -> float:
    """Where on its edge an arrow from or to the other one meets this box."""
    return min(max(other.middle, box.x + 0.15 * box.width), box.x + 0.85 * box.width)


def _draw_side(axes: "Axes") -> None:
    x = ROOMS_WIDTH + 0.025
    axes.text(x, 0.93, "Core structures", fontsize=12, weight="bold", va="top")
    y = 0.895
    last = ""
    for operation in OPERATIONS:
        if operation.structure != last:
            axes.text(x, y, operation.structure, fontsize=8.6, weight="bold", va="top")
            y -= 0.0195
        last = operation.structure
        axes.text(x + 0.01, y, operation.name, fontsize=8, va="top")
        axes.text(0.995, y, f"O({operation.claim})", fontsize=8, va="top", ha="right", family="DejaVu Sans Mono")
        y -= 0.0205
    y -= 0.016
    axes.text(x, y, "Key features", fontsize=12, weight="bold", va="top")
    y -= 0.033
    for room, feature in FEATURES:
        text = fill(f"{room}: {feature}", 52)
        axes.text(x, y, text, fontsize=8, va="top", linespacing=1.15)
        y -= 0.0165 * (text.count("\n") + 1) + 0.006
    y -= 0.012
    axes.text(x, y, "Legend", fontsize=12, weight="bold", va="top")
    _draw_legend(axes, x, y - 0.04)


def _draw_legend(axes: "Axes", x: float, y: float) -> None:
    from matplotlib.patches import FancyArrowPatch, Rectangle

    for kind, colour in COLOURS.items():
        width = 0.8 if kind == USES else 2.0
        axes.add_patch(
            FancyArrowPatch((x, y), (x + 0.03, y), arrowstyle="-|>", mutation_scale=11, color=colour, linewidth=width)
        )
        axes.text(x + 0.036, y, kind, fontsize=8, va="center")
        y -= 0.021
    y += 0.021 * len(COLOURS)
    for name, (colour, _) in FAMILIES.items():
        axes.add_patch(
            Rectangle((x + 0.125, y - 0.007), 0.016, 0.014, facecolor=colour, edgecolor="#3f4650", linewidth=0.6)
        )
        axes.text(x + 0.147, y, name, fontsize=8, va="center")
        y -= 0.021


def _colour(room: str) -> str:
    return next((colour for colour, rooms in FAMILIES.values() if room in rooms), PLAIN)
