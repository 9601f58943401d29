"""What an encoder of the BERT family is: sizes, positions, nonlinearity, and the head of one that classifies. Read out
of a Hugging Face config.json by `from_hf`, the one place where its field names are known.

Knows nothing of tensors. Invariant: an EncoderConfig describes a network that we compute exactly; what we would have to
ignore was refused with words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from quire import kernels
from quire.errors import ModelLoadError, shown
from quire.models.config import Fields

FAMILIES = {
    "Bert": "bert",
    "Camembert": "roberta",
    "DistilBert": "distilbert",
    "Roberta": "roberta",
    "XLMRoberta": "roberta",
}
_MODEL_TYPES = {
    "bert": "Bert",
    "camembert": "Camembert",
    "distilbert": "DistilBert",
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
}
_NONLINEARITIES: dict[str, kernels.Nonlinearity] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    family: Literal["bert", "roberta", "distilbert"]
    """Whose names the checkpoint has, and where positions and the classifier differ."""
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_positions: int
    """Rows of the table of positions."""
    first_position: int
    """The row of a text's first token."""
    num_types: int
    """0: the network knows no parts of a pair."""
    layer_norm_eps: float
    nonlinearity: kernels.Nonlinearity
    labels: tuple[str, ...]
    """Of a classifier, in the order of its logits."""
    dtype: torch.dtype

    @property
    def max_len(self) -> int:
        """Tokens of a text."""
        return self.num_positions - self.first_position

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_heads


def is_encoder(hf: Mapping[str, Any], where: str = "config.json") -> bool:
    """Whether `from_hf` is for this config.json."""
    return _stem(hf, where) in FAMILIES


def from_hf(hf: Mapping[str, Any], *, dtype: torch.dtype, where: str = "config.json") -> EncoderConfig:
    """The encoder that a config.json describes. Raises ModelLoadError that begins with `where`."""
    stem = _stem(hf, where)
    if stem not in FAMILIES:
        given = shown(hf.get("architectures") or hf.get("model_type"))
        raise ModelLoadError(f"{where}: the architecture is {given}; encoders that run: {', '.join(FAMILIES)}.")
    family = FAMILIES[stem]
    fields = Fields(_with_bert_names(hf) if family == "distilbert" else hf, where)
    _refuse_what_we_do_not_run(fields)
    hidden_size, num_heads = fields.count("hidden_size"), fields.count("num_attention_heads")
    if hidden_size % num_heads:
        raise ModelLoadError(f"{where}: {num_heads} heads cannot share a hidden size of {hidden_size} equally.")
    return EncoderConfig(
        family=family,  # type: ignore[arg-type]  # the values of FAMILIES
        vocab_size=fields.count("vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=fields.count("intermediate_size"),
        num_layers=fields.count("num_hidden_layers"),
        num_heads=num_heads,
        num_positions=fields.count("max_position_embeddings"),
        # A padding token would have the position of its own id; real tokens come behind it.
        first_position=int(fields.number("pad_token_id", 1)) + 1 if family == "roberta" else 0,
        num_types=0 if family == "distilbert" else fields.count("type_vocab_size", 2),
        layer_norm_eps=fields.number("layer_norm_eps", 1e-12),
        nonlinearity=_NONLINEARITIES[fields.text("hidden_act", "gelu")],
        labels=_labels(fields),
        dtype=dtype,
    )


def _stem(hf: Mapping[str, Any], where: str) -> str:
    """`Bert` of BertModel, BertForSequenceClassification and so on."""
    named = Fields(hf, where).texts("architectures")
    name = named[0] if named else _MODEL_TYPES.get(str(hf.get("model_type")), "")
    return name.removesuffix("Model").partition("For")[0]


def _with_bert_names(hf: Mapping[str, Any]) -> dict[str, Any]:
    """DistilBERT's own names of sizes, as BERT calls them."""
    names = {
        "dim": "hidden_size",
        "hidden_dim": "intermediate_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "activation": "hidden_act",
    }
    return {names.get(name, name): value for name, value in hf.items()}


def _refuse_what_we_do_not_run(fields: Fields) -> None:
    act = fields.text("hidden_act", "gelu")
    if act not in _NONLINEARITIES:
        raise ModelLoadError(
            f"{fields.where}: hidden_act is {shown(act)}; supported: {', '.join(map(repr, _NONLINEARITIES))}."
        )
    positions = fields.text("position_embedding_type", "absolute")
    if positions != "absolute":
        raise ModelLoadError(f"{fields.where}: position_embedding_type is {shown(positions)}; supported: 'absolute'.")
    if fields.flag("is_decoder"):
        raise ModelLoadError(f"{fields.where}: is_decoder is true; an encoder sees its whole text.")


def _labels(fields: Fields) -> tuple[str, ...]:
    named = fields.values.get("id2label")
    if isinstance(named, Mapping) and named:
        try:
            return tuple(str(named[key]) for key in sorted(named, key=int))
        except ValueError as error:
            raise ModelLoadError(f"{fields.where}: id2label is {shown(named)}; expected names by number.") from error
    return tuple(f"LABEL_{i}" for i in range(fields.count("num_labels", 2)))
