"""What the checkpoints of each family call the tensors of our one network.

    ours      layers.3.q_proj.weight
    bert      (bert.)encoder.layer.3.attention.self.query.weight
    distil    (distilbert.)transformer.layer.3.attention.q_lin.weight

`EncoderCheckpoint` shows a checkpoint under our names; tensors that the network has no use for (a pooler that nobody
asks, the head of the task it was trained on) are not shown.
"""

import re
from collections.abc import Mapping

import torch

from quire.models.packing.rows import Form, Rows
from quire.models.weights import Checkpoint

_EMBEDDINGS = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "types",
    "embeddings.LayerNorm": "norm",
}
_BERT_LAYER = {
    "attention.self.query": "q_proj",
    "attention.self.key": "k_proj",
    "attention.self.value": "v_proj",
    "attention.output.dense": "o_proj",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "up_proj",
    "output.dense": "down_proj",
    "output.LayerNorm": "output_norm",
}
_DISTILBERT_LAYER = {
    "attention.q_lin": "q_proj",
    "attention.k_lin": "k_proj",
    "attention.v_lin": "v_proj",
    "attention.out_lin": "o_proj",
    "sa_layer_norm": "attention_norm",
    "ffn.lin1": "up_proj",
    "ffn.lin2": "down_proj",
    "output_layer_norm": "output_norm",
}
_HEADS = {
    "bert": {"pooler.dense": "dense", "classifier": "out"},
    "roberta": {"classifier.dense": "dense", "classifier.out_proj": "out"},
    "distilbert": {"pre_classifier": "dense", "classifier": "out"},
}
_LAYER = re.compile(r"(?:encoder|transformer)\.layer\.(\d+)\.(.+)")
_KINDS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
"""The last two are those of checkpoints that began in TensorFlow."""


def our_name(name_in_file: str, family: str) -> str | None:
    """None: our network has no such tensor."""
    module, _, kind = re.sub(r"^(bert|roberta|distilbert)\.", "", name_in_file).rpartition(".")
    if kind not in _KINDS:
        return None
    ours = _our_module(module, family)
    return None if ours is None else f"{ours}.{_KINDS[kind]}"


def _our_module(module: str, family: str) -> str | None:
    if module in _EMBEDDINGS:
        return f"encoder.embeddings.{_EMBEDDINGS[module]}"
    if module in _HEADS[family]:
        return f"head.{_HEADS[family][module]}"
    match = _LAYER.fullmatch(module)
    inner = (_DISTILBERT_LAYER if family == "distilbert" else _BERT_LAYER).get(match[2]) if match else None
    return None if match is None or inner is None else f"encoder.layers.{match[1]}.{inner}"


class EncoderCheckpoint:
    """`inner` under our names; of those only the ones that begin with one of `parts`."""

    def __init__(self, inner: Checkpoint, family: str, parts: tuple[str, ...]) -> None:
        self._inner = inner
        ours = {name: our_name(inner.name_in_file(name), family) for name in inner.shapes}
        self._names = {ours_: name for name, ours_ in ours.items() if ours_ and ours_.startswith(parts)}
        self.files = inner.files
        self.num_bytes = inner.num_bytes

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {ours: self._inner.shapes[name] for ours, name in self._names.items()}

    @property
    def dtype(self) -> torch.dtype:
        return self._inner.dtype

    def name_in_file(self, name: str) -> str:
        return self._inner.name_in_file(self._names[name]) if name in self._names else name

    def tensor(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        return self._inner.tensor(self._names[name], dtype)

    def form(self, name: str) -> Form:
        return self._inner.form(self._names[name])

    def rows(self, name: str) -> Rows:
        return self._inner.rows(self._names[name])

    def release(self, name: str) -> None:
        self._inner.release(self._names[name])
