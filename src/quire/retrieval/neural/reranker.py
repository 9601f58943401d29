"""How well does each passage answer a query: a cross-encoder, which reads the two together.

Slower than comparing vectors, and a better judge; it is for the best few of a search. Safe to share between threads:
what they ask at one time is computed together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from quire.errors import ConfigError, ModelLoadError, shown
from quire.models.encoders import LoadedClassifier, PackedTexts, load_classifier
from quire.retrieval.neural.batched import MAX_BATCH_TOKENS, BatchedTexts, Texts, checked_texts

TEXTS_PER_ROUND = 256
"""Tokenized together, on all threads."""


class Reranker:
    """A sequence classifier of the BERT family, such as cross-encoder/ms-marco-MiniLM-L6-v2.

    model             a directory or a hub id
    dtype             auto: bfloat16 where the machine multiplies it, else float32 with matrices kept in bfloat16
    quantization      "int8" or "int4": smaller weights, scores a little off
    max_tokens        reads so many tokens of query and passage together, at most what the model was made for
    max_batch_tokens  computed at once; larger batches do not go faster
    """

    def __init__(
        self,
        model: str | Path,
        *,
        dtype: str = "auto",
        quantization: str | None = None,
        revision: str | None = None,
        max_tokens: int | None = None,
        max_batch_tokens: int = MAX_BATCH_TOKENS,
    ) -> None:
        loaded = load_classifier(model, dtype=dtype, quantization=quantization, revision=revision)
        self.max_tokens = _max_tokens(max_tokens, loaded.config.max_len)
        self._tokenizer = loaded.tokenizer
        # Only BERT was taught with parts; the others have a table of one row, or one that nobody trained.
        self._knows_types = loaded.config.family == "bert" and loaded.config.num_types > 1
        self._batched = BatchedTexts(_ToScores(loaded.model, _num_labels(loaded)), max_batch_tokens)

    def score(self, query: str, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """[len(texts)]: the model's logit for each passage, higher is better. Of two labels it is how far the second
        is above the first. What is too long is cut, the longer of query and passage first."""
        return self.score_counted(query, texts)[0]

    def score_counted(self, query: str, texts: Sequence[str]) -> tuple[npt.NDArray[np.float32], int]:
        """The same, and how many tokens were read for it."""
        checked_texts(texts)
        scores, num_tokens = [np.empty(0, dtype=np.float32)], 0
        for begin in range(0, len(texts), TEXTS_PER_ROUND):
            passages = texts[begin : begin + TEXTS_PER_ROUND]
            token_ids, types = self._tokenizer.encode_pairs(query, passages, self.max_tokens)
            num_tokens += sum(map(len, token_ids))
            scores += self._batched.results(Texts(token_ids, types if self._knows_types else None))
        return np.concatenate(scores), num_tokens

    def close(self) -> None:
        """Ends its thread, when what was asked is answered. Repeating it does nothing."""
        self._batched.close()


@dataclass(frozen=True, slots=True)
class _ToScores:
    """What is computed of a batch. It holds no Reranker, so that one nobody uses any more can go."""

    model: torch.nn.Module
    num_labels: int

    def __call__(self, texts: PackedTexts) -> torch.Tensor:
        logits_SC: torch.Tensor = self.model(texts)
        return logits_SC[:, 0] if self.num_labels == 1 else logits_SC[:, 1] - logits_SC[:, 0]


def _num_labels(loaded: LoadedClassifier) -> int:
    labels = loaded.config.labels
    if len(labels) > 2:
        raise ModelLoadError(
            f"{loaded.path} tells {len(labels)} labels apart ({', '.join(labels)}); a reranker has one, or two, the "
            "second of which means that the passage answers the query."
        )
    return len(labels)


def _max_tokens(given: int | None, max_len: int) -> int:
    if given is None:
        return max_len
    if not 5 <= given <= max_len:
        raise ConfigError(f"max_tokens is {shown(given)}; allowed: 5 to {max_len}, the positions of the model.")
    return given
