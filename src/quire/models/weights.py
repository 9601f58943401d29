"""Filling a model from a checkpoint: which tensors it wants, which it got, and into which Weight each goes.

Knows nothing of file formats; a `Checkpoint` is whatever has named tensors. Invariant: either every Weight of the model
is loaded in full, or ModelLoadError names a tensor that was missing, left over or of another shape.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import torch
from rich.console import Console
from rich.progress import track
from torch import nn

from quire.errors import ModelLoadError
from quire.layers.parameter import Part, Weight

PROGRESS_FROM_BYTES = 1_000_000_000


class Checkpoint(Protocol):
    """Named tensors in files."""

    @property
    def files(self) -> tuple[Path, ...]: ...

    @property
    def num_bytes(self) -> int: ...

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of every tensor, by the name it has in a Hugging Face checkpoint."""
        ...

    def name_in_file(self, name: str) -> str:
        """What the file calls it, for messages."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The one that a model runs in if nobody says otherwise."""
        ...

    def tensor(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        """In the file's own memory and dtype where that is possible; a quantised tensor comes as numbers of `dtype`.
        Valid for as long as it is held."""
        ...

    def release(self, name: str) -> None:
        """The tensor is not needed soon: its memory may go. It can still be read, from the disk."""
        ...


def load_weights(
    model: nn.Module,
    checkpoint: Checkpoint,
    *,
    show_progress: bool = False,
    on_loaded: Callable[[Weight], None] | None = None,
) -> None:
    """Loads every Weight of `model`. Tensors are used where they lie in the file when they fit as they are.

    `on_loaded` hears of each Weight as soon as it is whole, and may turn it into something smaller: no more than one
    is ever held in both forms.
    """
    wanted = dict(_wanted(model))
    _check(wanted, checkpoint)
    names: Iterable[str] = wanted
    if show_progress and checkpoint.num_bytes >= PROGRESS_FROM_BYTES:
        names = track(
            wanted,
            description=f"Loading {checkpoint.num_bytes / 1e9:.1f} GB",
            console=Console(stderr=True),
            transient=True,
        )
    for name in names:
        weight, part = wanted[name]
        is_in_place = weight.weight_loader(part, checkpoint.tensor(name, weight.dtype))
        if on_loaded is not None and part is weight.parts[-1]:
            on_loaded(weight)
        if not is_in_place or weight.packed is not None:
            checkpoint.release(name)


def _wanted(model: nn.Module) -> Iterator[tuple[str, tuple[Weight, Part]]]:
    """Each tensor the model needs, by its name in the checkpoint."""
    for name, weight in model.named_parameters():
        assert isinstance(weight, Weight), name
        module, _, kind = name.rpartition(".")
        parent, _, _ = module.rpartition(".")
        for part in weight.parts:
            yield (f"{parent}.{part.module}.{kind}" if part.module else name), (weight, part)


def _check(wanted: Mapping[str, tuple[Weight, Part]], checkpoint: Checkpoint) -> None:
    where, shapes, shown_as = checkpoint.files[0].parent, checkpoint.shapes, checkpoint.name_in_file
    missing = [name for name in wanted if name not in shapes]
    if missing:
        shape = list(wanted[missing[0]][1].shape)
        raise ModelLoadError(
            f"{where}: the weights lack the tensor {shown_as(missing[0])} of shape {shape}{_and_more(missing)}."
        )
    extra = [name for name in shapes if name not in wanted and not _is_harmless(name)]
    if extra:
        raise ModelLoadError(
            f"{where}: the weights hold the tensor {shown_as(extra[0])} of shape {list(shapes[extra[0]])}"
            f"{_and_more(extra)}, which the model that the config describes does not have."
        )
    for name, (_, part) in wanted.items():
        if shapes[name] != part.shape:
            raise ModelLoadError(
                f"{where}: the tensor {shown_as(name)} has shape {list(shapes[name])}; the model that the config "
                f"describes expects {list(part.shape)}."
            )


def _is_harmless(name: str) -> bool:
    """Frequencies that we compute ourselves, and the output matrix of a model that ties it to the embedding (an untied
    model wants it)."""
    return name.endswith(".rotary_emb.inv_freq") or name == "lm_head.weight"


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
