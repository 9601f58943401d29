"""Pictures are read back: a line is where its numbers are."""

import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from quire.bench.harness import Measurement, Result
from quire.bench.machine.resources import Watch
from quire.bench.plots import check_installed, save_curves
from quire.bench.results import Report
from quire.bench.serving import scheduler
from quire.errors import ConfigError

FIRST, SECOND, THIRD = "C0", "C1", "C2"
"""matplotlib's colours of the first lines."""


def pixels(path: Path, colour: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the picture's pixels of this colour; row 0 is the top."""
    picture = imread(path)[:, :, :3]
    return np.nonzero((abs(picture - to_rgb(colour)) < 0.02).all(axis=2))


def test_a_rising_line_rises_and_a_falling_one_falls(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lines.png"
    save_curves(path, {"up": [(0, 0), (1, 10)], "down": [(0, 10), (1, 0)]}, x="x", y="y")
    for colour, sign in ((FIRST, -1), (SECOND, 1)):
        rows, columns = pixels(path, colour)
        assert np.sign(np.corrcoef(rows, columns)[0, 1]) == sign
        assert np.ptp(columns) > imread(path).shape[1] / 2


def batching(wait_ms: float, items_per_s: float, batch_items: float, added_ms: float) -> Result:
    result = Result("batching", f"wait {wait_ms:g} ms", {})
    values = {"items_per_s": items_per_s, "batch_items": batch_items}
    result.add(Measurement(values, {"added_ms": [added_ms]}), Watch())
    return result


def test_the_trade_off_of_waiting_is_drawn_against_the_full_batch(tmp_path: Path) -> None:
    results = [batching(0, 90, 40, 1), batching(50, 95, 50, 20), batching(float("inf"), 100, 64, 100)]
    scheduler.plot(Report("scheduler", results), tmp_path / "scheduler.png")
    heights = [pixels(tmp_path / "scheduler.png", colour)[0].mean() for colour in (FIRST, SECOND, THIRD)]
    assert heights == sorted(heights)  # shares of 0.9, 0.95, 1; of 0.62, 0.78, 1; of 0.01, 0.2, 1; row 0 is the top


def test_without_matplotlib_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r"pip install 'quire\[plot\]'"):
        check_installed()
