"""Running a function in real processes that form one group."""

import multiprocessing as mp
from collections.abc import Callable
from pathlib import Path

import torch

from quire.parallel.group import TorchGroup


def run_ranks(size: int, work: Callable[..., object], tmp_path: Path, *args: object) -> list[object]:
    """What `work(group, *args)` returns on each rank, in the order of ranks."""
    context = mp.get_context("spawn")
    processes = [context.Process(target=_run, args=(rank, size, work, tmp_path, args)) for rank in range(size)]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join(120)
            assert process.exitcode == 0
    finally:
        for process in processes:
            process.kill()
    return [torch.load(tmp_path / f"rank{rank}.pt") for rank in range(size)]


def _run(rank: int, size: int, work: Callable[..., object], tmp_path: Path, args: tuple[object, ...]) -> None:
    torch.set_num_threads(1)
    group = TorchGroup(rank, size, f"file://{tmp_path / 'rendezvous'}")
    torch.save(work(group, *args), tmp_path / f"rank{rank}.pt")
    group.close()
