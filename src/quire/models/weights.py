"""Filling a model from a checkpoint: which tensors it wants, which it got, and into which Weight each goes.

Knows nothing of file formats; a `Checkpoint` is whatever has named tensors. Invariant: either every Weight of the model
is loaded in full, or ModelLoadError names a tensor that was missing, left over or of another shape.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import torch
from rich.console import Console
from rich.progress import track
from torch import nn

from quire.errors import ModelLoadError
from quire.layers.parameter import Part, Weight
from quire.models.packing.plan import Packing
from quire.models.packing.rows import Form, Rows, fill
from quire.models.packing.store import MemoryStore, Store

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

    def form(self, name: str) -> Form:
        """How the file holds it."""
        ...

    def rows(self, name: str) -> Rows:
        """A matrix in whatever form the file has it, to be packed."""
        ...

    def release(self, name: str) -> None:
        """The tensor is not needed soon: its memory may go. It can still be read, from the disk."""
        ...


def load_weights(
    model: nn.Module,
    checkpoint: Checkpoint,
    *,
    plan: Mapping[str, Packing] | None = None,
    store: Store | None = None,
    show_progress: bool = False,
) -> None:
    """Loads every Weight of `model`. Tensors are used where they lie in the file when they fit as they are; those of
    the `plan` are packed into the `store`, or found there."""
    plan = plan or {}
    store = store or MemoryStore({name: packing.layout for name, packing in plan.items()})
    weights = dict(_weights(model))
    _check(weights, checkpoint)
    wanted: Iterable[str] = weights
    if show_progress and checkpoint.num_bytes >= PROGRESS_FROM_BYTES:
        doing = "Packing" if plan and not store.is_filled else "Loading"
        title = f"{doing} {checkpoint.num_bytes / 1e9:.1f} GB"
        wanted = track(weights, description=title, console=Console(stderr=True), transient=True)
    for name in wanted:
        weight, parts = weights[name]
        packing = plan.get(name)
        if packing is None or packing.keeps_rows:
            _load_plain(weight, parts, checkpoint)
        if packing is not None:
            _load_packed(name, weight, parts, packing, checkpoint, store)
    store.commit()


def _load_plain(weight: Weight, parts: Mapping[str, Part], checkpoint: Checkpoint) -> None:
    for name, part in parts.items():
        if not weight.weight_loader(part, checkpoint.tensor(name, weight.dtype)):
            checkpoint.release(name)


def _load_packed(
    name: str,
    weight: Weight,
    parts: Mapping[str, Part],
    packing: Packing,
    checkpoint: Checkpoint,
    store: Store,
) -> None:
    packed = packing.of(store.tensors(name))
    if not store.is_filled:
        fill(packed, [_rows_of_rank(weight, part, checkpoint.rows(tensor)) for tensor, part in parts.items()])
        for tensor in parts:
            checkpoint.release(tensor)
    weight.use_packed(packed, keeps_rows=packing.keeps_rows)


def _rows_of_rank(weight: Weight, part: Part, rows: Rows) -> Rows:
    is_whole = part.split_dim is None or weight.group.size == 1
    return rows if is_whole else rows.narrow(part.split_dim or 0, *weight.share_of(part))


def forms_of(model: nn.Module, checkpoint: Checkpoint) -> dict[str, set[Form]]:
    """How the parts of every parameter lie in the file, as far as the file has them."""
    return {
        name: {checkpoint.form(tensor) for tensor in parts if tensor in checkpoint.shapes}
        for name, (_, parts) in _weights(model)
    }


def _weights(model: nn.Module) -> Iterator[tuple[str, tuple[Weight, dict[str, Part]]]]:
    """Each parameter, and what it is made of by the names in the checkpoint."""
    for name, weight in model.named_parameters():
        assert isinstance(weight, Weight), name
        module, _, kind = name.rpartition(".")
        parent, _, _ = module.rpartition(".")
        parts = {f"{parent}.{part.module}.{kind}" if part.module else name: part for part in weight.parts}
        yield name, (weight, parts)


def _check(weights: Mapping[str, tuple[Weight, Mapping[str, Part]]], checkpoint: Checkpoint) -> None:
    wanted = {name: part for _, parts in weights.values() for name, part in parts.items()}
    where, shapes, shown_as = checkpoint.files[0].parent, checkpoint.shapes, checkpoint.name_in_file
    missing = [name for name in wanted if name not in shapes]
    if missing:
        shape = list(wanted[missing[0]].shape)
        raise ModelLoadError(
            f"{where}: the weights lack the tensor {shown_as(missing[0])} of shape {shape}{_and_more(missing)}."
        )
    extra = [name for name in shapes if name not in wanted and not _is_harmless(name)]
    if extra:
        raise ModelLoadError(
            f"{where}: the weights hold the tensor {shown_as(extra[0])} of shape {list(shapes[extra[0]])}"
            f"{_and_more(extra)}, which the model that the config describes does not have."
        )
    for name, part in wanted.items():
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
