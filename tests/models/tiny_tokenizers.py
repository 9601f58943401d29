"""Small tokenizers of every kind that models come with, trained on a few sentences in many scripts."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SENTENCES = [
    "The quick brown fox jumps over the lazy dog. It's 12345 steps, isn't it?",
    "Überraschung: naïve façade, déjà vu — señor Ángel! Привет, мир.",
    "今天天气很好。日本語も少し。한국어도.",
    "emoji 😀👩‍👩‍👧‍👦🇩🇪 and tabs\tand\n\nlines  with   spaces ",
    '{"name": "Ada", "age": 36, "tags": ["a", "b"], "ok": true, "none": null}',
] * 4

PAD, BOS, EOS = "<|pad|>", "<|begin|>", "<|end|>"
CHAT_MARKS = ["<|im_start|>", "<|im_end|>"]

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _trained_once(train: Callable[[], Tokenizer]) -> Callable[[], Tokenizer]:
    """Fresh copies of one tokenizer: these trainers break ties anew every time."""
    form = cache(lambda: train().to_str())
    return lambda: Tokenizer.from_str(form())


def byte_level(vocab_size: int = 320) -> Tokenizer:
    """As GPT-2, Llama 3 and Qwen: every text has ids. 0 pads, 1 begins, 2 ends; the chat marks follow."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, BOS, EOS, *CHAT_MARKS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(SENTENCES, trainer)
    return backend


def byte_fallback(prefix: str = "prepend") -> Tokenizer:
    """As Llama 2 (`prefix` prepend), Mistral (metaspace), Gemma (none): what the vocabulary lacks becomes bytes."""
    marks = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"]
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    alphabet = [*"▁abcdefghijklmnopqrstuvwxyz.,!?'\nT😀é"]
    pairs = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("▁", "a"), ("q", "u"), ("▁", "▁")]
    tokens = [*marks, *bytes_, *alphabet, *(left + right for left, right in pairs)]
    backend = Tokenizer(
        models.BPE(
            {token: i for i, token in enumerate(tokens)}, pairs, unk_token="<unk>", fuse_unk=True, byte_fallback=True
        )
    )
    backend.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if prefix == "metaspace":
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        before = [normalizers.Prepend("▁")] if prefix == "prepend" else []
        backend.normalizer = normalizers.Sequence([*before, normalizers.Replace(" ", "▁")])
    strips = [] if prefix == "none" else [decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence([*steps, *strips])
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return backend


@_trained_once
def metaspace() -> Tokenizer:
    """As T5 and XLM-R."""
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(SENTENCES, trainer)
    return backend


@_trained_once
def word_piece() -> Tokenizer:
    """As BERT."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=200, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False
    )
    backend.train_from_iterator(SENTENCES, trainer)
    return backend


KINDS = {
    "byte_level": byte_level,
    "byte_fallback": byte_fallback,
    "byte_fallback_metaspace": lambda: byte_fallback("metaspace"),
    "byte_fallback_no_prefix": lambda: byte_fallback("none"),
    "metaspace": metaspace,
    "word_piece": word_piece,
}


def write_tiny_tokenizer(path: Path, vocab_size: int = 320, *, chat_template: str | None = CHAT_TEMPLATE) -> Tokenizer:
    """tokenizer.json and tokenizer_config.json of `byte_level` into the directory `path`; fits `write_tiny`."""
    path.mkdir(parents=True, exist_ok=True)
    backend = byte_level(vocab_size)
    backend.save(str(path / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
    }
    if chat_template is not None:
        config["chat_template"] = chat_template
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    return backend
