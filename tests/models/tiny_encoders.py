"""Tiny random encoders on disk, written through transformers: the files that users have, seeded."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedModel

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *(chr(c) for c in range(ord("a"), ord("z") + 1)), *"0123456789.,!?")
VOCAB_SIZE = 120
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "max_position_embeddings": 66,
    "pad_token_id": 0,
}


def tiny_encoder(
    kind: str = "bert", *, is_classifier: bool = False, seed: int = 0, **overrides: Any
) -> PreTrainedModel:
    """A float32 transformers model (bert, roberta, xlm-roberta, distilbert): the oracle of ours."""
    config = AutoConfig.for_model(kind, **{**_sizes(kind), **overrides})
    maker = AutoModelForSequenceClassification if is_classifier else AutoModel
    model = maker.from_config(config, dtype=torch.float32, attn_implementation="eager")
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=random)
            is_norm = "norm" in name.lower() and name.endswith("weight")
            parameter.copy_(1 + 0.1 * noise if is_norm else 0.3 * noise)
    return model.eval()


def write_tiny_encoder(path: Path, kind: str = "bert", **kwargs: Any) -> PreTrainedModel:
    """Writes config, safetensors and tokenizer into the directory `path`; returns the model."""
    model = tiny_encoder(kind, **kwargs)
    model.save_pretrained(path)
    tiny_tokenizer().save(str(path / "tokenizer.json"))
    return model


def tiny_tokenizer() -> Tokenizer:
    """Letters and digits, a token each, between [CLS] and [SEP]."""
    backend = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("", behavior="isolated")]
    )
    backend.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return backend


def _sizes(kind: str) -> dict[str, Any]:
    if kind != "distilbert":
        return SIZES
    names = {
        "hidden_size": "dim",
        "intermediate_size": "hidden_dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
    }
    return {names.get(name, name): value for name, value in SIZES.items()}
