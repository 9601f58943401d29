"""Trains the byte-level BPE vocabulary. Deterministic: the same text gives the same tokenizer.json, byte for byte.

Digits stand alone, so a number is copied figure by figure, and a passage number such as `[2]` is one token, so a
citation is one decision.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

END_OF_TEXT, SYSTEM, USER, ASSISTANT, END = SPECIAL = [
    "<|endoftext|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
]
PIECES = (
    r"\[\p{N}\]"  # a passage number
    r"|\s(?=\[\p{N}\])"  # and what stands before it
    r"|'(?:s|t|re|ve|m|ll|d)\b"
    r"| ?\p{L}+"
    r"| ?\p{N}"
    r"| ?[^\s\p{L}\p{N}]+?(?=\[\p{N}\])| ?[^\s\p{L}\p{N}]+"
    r"|\s+(?!\S)|\s+"
)


def train(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
