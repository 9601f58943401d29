"""Draws the losses of the log.jsonl of one run, or of courses that follow on each other."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

CURVES = {
    "answers": "answers, training rows",
    "invented": "answers, invented facts, held-out names",
    "squad": "short answers, SQuAD, held-out articles",
    "quoted_squad": "quoted sentences, SQuAD, held-out articles",
    "text": "plain text, held-out documents",
}


def plot_losses(logs: list[Path], image: Path) -> None:
    """A kind that a course did not look at is left out there."""
    records = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    tokens = [record["tokens"] / 1e6 for record in records]
    for name, label in CURVES.items():
        losses = [record["held_out"].get(name, record.get(name)) for record in records]
        axes.plot(tokens, [float("nan") if loss is None else loss for loss in losses], label=label, linewidth=1)
    axes.set(xlabel="million tokens", ylabel="loss (nats per token)", ylim=(0, 8))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(image, dpi=100, metadata={"Software": None})
    pyplot.close(figure)
