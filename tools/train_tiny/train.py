"""Trains quire-tiny on a CPU: `python -m tools.train_tiny.train --data DIR --out DIR`.

Writes to --out: the corpora as they were read, tokenizer.json, checkpoint.pt (replaced atomically every few minutes;
`--resume` goes on from it) and log.jsonl. The first course starts from random weights, the others from a model
directory (`--start`). The learning rate warms up, stays, and falls linearly over the last `--decay` steps; before these
it does not depend on `--end`, so a course may be ended early from any checkpoint. Each worker is a process with one
thread and a part of every batch: matrices this small gain nothing from more threads.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
import os
import random
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
import torch.multiprocessing
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from . import corpora
from .data import RowBuilder, vocabulary_texts
from .exchange import load_exported
from .model import Network, Shape
from .muon import Muon
from .recipe import COURSES, STAGES, TOKENS_PER_STEP, Course, stage_of
from .rows import Emphasis
from .tokenizer import train as train_tokenizer

KEPT = "corpora.pickle"  # in --out
VALIDATION_KINDS = ["invented", "squad", "quoted_squad", "text"]
# The same questions in all courses; of a long answer only what chooses it counts.
VALIDATION = dataclasses.replace(STAGES[0], emphasis=Emphasis(choosing=1.0, copied=0.0))


@dataclasses.dataclass
class Losses:
    answers: Tensor
    total: Tensor


def optimizers(network: Network) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for the embedding and the norms."""
    matrices = [p for p in network.layers.parameters() if p.ndim == 2]
    norms = [p for p in network.parameters() if p.ndim == 1]
    rest = [{"params": [network.embed_tokens.weight], "weight_decay": 0.01}, {"params": norms, "weight_decay": 0.0}]
    return [
        Muon(matrices, lr=1e-3, weight_decay=0.05),
        torch.optim.AdamW(rest, lr=1e-3, betas=(0.9, 0.98), fused=True),
    ]


@functools.cache
def fast_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; where it does not, float32 is several times as fast."""
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def losses(network: Network, forward: Callable[..., Tensor], ids: np.ndarray, weights: np.ndarray) -> Losses:
    """Weighted next-token loss; logits are taken only where a weight asks for them."""
    ids_BT, weights_BT = torch.from_numpy(ids), torch.from_numpy(weights)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast_bfloat16()):
        hidden_BTD = forward(ids_BT[:, :-1])
        chosen = weights_BT > 0
        logits_RV = network.logits(hidden_BTD[chosen])
    each_R = functional.cross_entropy(logits_RV.float(), ids_BT[:, 1:][chosen], reduction="none")
    weights_R = weights_BT[chosen]
    answers = each_R.detach()[weights_R >= 1].mean()
    return Losses(answers, (each_R * weights_R).sum() / weights_R.sum())


def validate(network: Network, rows: RowBuilder) -> dict[str, float]:
    """Loss on held-out documents by kind: of the answers, and of plain text."""
    result = {}
    for kind in VALIDATION_KINDS:
        rng = random.Random(kind)
        ids, weights = rows.pad([rows.row(rng, kind, 257, VALIDATION) for _ in range(24)], 257)
        with torch.inference_mode():
            found = losses(network, network, ids, weights)
        result[kind] = float(found.total if kind == "text" else found.answers)
    return result


class Trainer:
    """Network, optimizers and step count, which together are a checkpoint."""

    def __init__(self, network: Network, worker: int, num_workers: int, compiled: bool) -> None:
        self.network = network
        self.worker, self.num_workers = worker, num_workers
        self.forward: Callable[..., Tensor] = torch.compile(network, dynamic=False) if compiled else network
        self.optimizers = optimizers(network)
        self.step = 0
        self.tokens = 0

    def save(self, path: Path) -> None:
        partial = path.with_suffix(".partial")
        state: dict[str, Any] = {"shape": dataclasses.asdict(self.network.shape), "network": self.network.state_dict()}
        state |= {"optimizers": [o.state_dict() for o in self.optimizers], "step": self.step, "tokens": self.tokens}
        torch.save(state, partial)
        os.replace(partial, path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.tokens = state["step"], state["tokens"]

    def start(self, directory: Path, step: int) -> None:
        """From an exported model, as if at `step`."""
        load_exported(self.network, directory)
        self.step, self.tokens = step, step * TOKENS_PER_STEP

    def advance(self, rows: RowBuilder, rate: float) -> Losses:
        """One step at learning rate `rate`."""
        stage = stage_of(self.step)
        length = stage.lengths[self.step % len(stage.lengths)]
        num_rows = TOKENS_PER_STEP // length // self.num_workers
        ids, weights = rows.batch(self.step, self.worker, num_rows, length, stage)
        found = losses(self.network, self.forward, ids, weights)
        found.total.backward()
        self._average_gradients()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        self.tokens += TOKENS_PER_STEP
        return found

    def _average_gradients(self) -> None:
        gradients = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        torch.distributed.all_reduce(flat)
        flat /= self.num_workers
        for gradient, averaged in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(averaged.view_as(gradient))


def fit(trainer: Trainer, rows: RowBuilder, held_out: RowBuilder, args: argparse.Namespace) -> None:
    """All workers step together; the first one also keeps the log and the checkpoints."""
    course = course_of(args)
    saved = time.monotonic()
    answers, totals = [], []
    while trainer.step < course.end:
        found = trainer.advance(rows, course.learning_rate(trainer.step))
        if trainer.worker > 0:
            continue
        answers.append(float(found.answers))
        totals.append(float(found.total.detach()))
        if trainer.step % args.validate_every == 0 or trainer.step == course.end:
            record: dict[str, Any] = {
                "step": trainer.step,
                "tokens": trainer.tokens,
                "answers": mean(answers),
                "total": mean(totals),
            }
            record |= {"held_out": validate(trainer.network, held_out), "time": round(time.time())}
            answers, totals = [], []
            with (args.out / "log.jsonl").open("a") as log:
                log.write(json.dumps(record) + "\n")
            print(json.dumps(record), flush=True)
        if time.monotonic() - saved > args.save_every_s or trainer.step == course.end:
            trainer.save(args.out / "checkpoint.pt")
            saved = time.monotonic()


def mean(values: list[float]) -> float | None:
    """Of the numbers among them: a batch of plain text alone has no loss of answers."""
    numbers = [value for value in values if not math.isnan(value)]
    return round(sum(numbers) / len(numbers), 4) if numbers else None


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("QUIRE_DATA"), help="folder of the corpora")
    parser.add_argument("--out", type=Path, required=True, help="folder for tokenizer, checkpoint and log")
    parser.add_argument(
        "--course", choices=list(COURSES), default="first", help="of recipe.py; all but the first need --start"
    )
    parser.add_argument("--start", type=Path, help="model directory, as export.py writes it, to start from")
    parser.add_argument("--end", type=int, help="last step, if not the recipe's")
    parser.add_argument("--decay", type=int, help="steps over which the rate falls to zero, if not the recipe's")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--validate-every", type=int, default=250, help="steps between two lines of the log")
    parser.add_argument("--save-every-s", type=float, default=180.0, help="seconds between two checkpoints")
    parser.add_argument("--eager", action="store_true", help="without torch.compile: slower, but starts at once")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    args = parser.parse_args()
    if args.data is None:
        parser.error("no corpora: give --data DIR or set QUIRE_DATA")
    if (args.start is None) != (args.course == "first"):
        parser.error("--start DIR belongs to the later courses, and to no other")
    return args


def course_of(args: argparse.Namespace) -> Course:
    given = {name: value for name in ("end", "decay") if (value := getattr(args, name)) is not None}
    return dataclasses.replace(COURSES[args.course], **given)


def work(worker: int, args: argparse.Namespace) -> None:
    """One of the processes, from reading the corpora to the last step."""
    torch.set_num_threads(1)
    store = f"file://{args.out.resolve() / 'rendezvous'}"
    torch.distributed.init_process_group(
        "gloo", init_method=store, rank=worker, world_size=args.workers, timeout=timedelta(hours=12)
    )
    torch.manual_seed(args.seed)
    training, held_out = corpora.load_once(args.data, args.out / KEPT)
    tokenizer = Tokenizer.from_file(str(args.out / "tokenizer.json"))
    trainer = Trainer(Network(Shape()), worker, args.workers, compiled=not args.eager)
    if args.start:
        trainer.start(args.start, course_of(args).start)
    if args.resume:
        trainer.load(args.out / "checkpoint.pt")
    fit(trainer, RowBuilder(tokenizer, training, args.seed), RowBuilder(tokenizer, held_out, 0, evaluation=True), args)


def main() -> None:
    args = parse_arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "rendezvous").unlink(missing_ok=True)
    training, _ = corpora.load_once(args.data, args.out / KEPT)  # before the workers all do
    if args.start:
        shutil.copy(args.start / "tokenizer.json", args.out)
    elif not (args.out / "tokenizer.json").exists():
        texts = vocabulary_texts(training, args.seed)
        train_tokenizer(texts, Shape().vocab_size).save(str(args.out / "tokenizer.json"))
    torch.multiprocessing.spawn(work, (args,), nprocs=args.workers)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
