"""The pictures of the paper, drawn from the evidence into PNG files."""

from collections.abc import Callable
from pathlib import Path

from quire.bench.serving import scheduler
from quire.bench.structures import growth
from quire.report.architecture import diagram
from quire.report.architecture.house import House
from quire.report.evidence import Evidence

DRAWN: dict[str, Callable[[Evidence, House, Path], None]] = {
    "architecture": lambda _, house, path: diagram.draw(house, path),
    "growth": lambda evidence, _, path: growth.plot(evidence.report("growth"), path),
    "waiting": lambda evidence, _, path: scheduler.plot(evidence.report("scheduler"), path),
}


def draw(name: str, evidence: Evidence, house: House, folder: Path) -> Path:
    path = folder / f"{name}.png"
    DRAWN[name](evidence, house, path)
    return path
