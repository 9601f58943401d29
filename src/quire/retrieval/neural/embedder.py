"""Text to vectors: prefix, tokens, an encoder over texts packed without padding, pooling, length one.

Knows nothing of indexes. A text's vector depends on nothing but the text: not on what is embedded beside it, nor on how
texts fall into batches. Safe to share between threads: what they ask at one time is computed together.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from quire.errors import ConfigError, InvalidRequestError, shown
from quire.models.encoders import LoadedEncoder, PackedTexts, load_encoder
from quire.models.tokenizer import Tokenizer
from quire.retrieval.embedding import Vectors
from quire.retrieval.neural.batched import MAX_BATCH_TOKENS, BatchedTexts, Texts, checked_texts
from quire.retrieval.neural.default_model import NAME, find_default_model
from quire.retrieval.neural.pooling import POOLINGS, Pooling, pool
from quire.retrieval.neural.sentence_transformers import SentenceConfig, read_sentence_config

TEXTS_PER_ROUND = 256
"""Tokenized together, on all threads; enough that the length of one text does not decide."""


class Embedder:
    """An embedding model.

    model             a directory, a hub id, or by default all-MiniLM-L6-v2 as it lies on this machine
    dtype             auto: bfloat16 where the machine multiplies it, else float32 with matrices kept in bfloat16
    quantization      "int8" or "int4": smaller weights, vectors a little off
    dimensions        keeps so many of a vector's first elements, for models trained to be cut (Matryoshka)
    max_tokens        reads so many of a text's tokens, at most what the model was made for
    query_prefix, document_prefix     stand before every text; None: as the model's files say
    pooling, normalize                None: as the model's files say, else last token for decoders, mean for others
    max_batch_tokens  computed at once; larger batches do not go faster
    """

    def __init__(
        self,
        model: str | Path = NAME,
        *,
        dtype: str = "auto",
        quantization: str | None = None,
        revision: str | None = None,
        dimensions: int | None = None,
        max_tokens: int | None = None,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        pooling: Pooling | None = None,
        normalize: bool | None = None,
        max_batch_tokens: int = MAX_BATCH_TOKENS,
    ) -> None:
        source = find_default_model() if model == NAME else model
        self._encoder = load_encoder(source, dtype=dtype, quantization=quantization, revision=revision)
        says = read_sentence_config(self._encoder.path)
        self.pooling: Pooling = _pooling(pooling, says, self._encoder)
        self.normalize = normalize if normalize is not None else says.normalize is not False
        self.query_prefix = says.query_prefix if query_prefix is None else query_prefix
        self.document_prefix = says.document_prefix if document_prefix is None else document_prefix
        self.max_tokens = _max_tokens(max_tokens, says, self._encoder)
        self.dim = _dimensions(dimensions, self._encoder.hidden_size)
        self._lower_case = says.lower_case
        vectors = _ToVectors(self._encoder.model, self.pooling, self.dim, self.normalize)
        self._batched = BatchedTexts(vectors, max_batch_tokens)

    @property
    def fingerprint(self) -> str:
        """Differs where the same text would get another vector; rounding (dtype, machine) does not count."""
        what = (
            self._encoder.fingerprint,
            self.pooling,
            self.normalize,
            self.query_prefix,
            self.document_prefix,
            self.max_tokens,
            self.dim,
            self._lower_case,
        )
        return hashlib.sha256(repr(what).encode()).hexdigest()

    @property
    def tokens(self) -> "ModelTokens":
        """How this model counts, for a chunker."""
        return ModelTokens(self._encoder.tokenizer, f"model {self._encoder.fingerprint}")

    def embed_documents(self, texts: Sequence[str], *, on_progress: Callable[[int], None] | None = None) -> Vectors:
        """[len(texts), dim], in their order. `on_progress` hears how many more are done, from time to time."""
        return self._embed(texts, self.document_prefix, on_progress)[0]

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """[len(texts), dim], in their order."""
        return self._embed(texts, self.query_prefix, None)[0]

    def embed_counted(self, texts: Sequence[str], *, are_queries: bool = False) -> tuple[Vectors, int]:
        """The vectors of documents, or of queries, and how many tokens were read for them."""
        return self._embed(texts, self.query_prefix if are_queries else self.document_prefix, None)

    def close(self) -> None:
        """Ends its thread, when what was asked is answered. Repeating it does nothing."""
        self._batched.close()

    def _embed(
        self, texts: Sequence[str], prefix: str, on_progress: Callable[[int], None] | None
    ) -> tuple[Vectors, int]:
        checked_texts(texts)
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        done = num_tokens = 0
        for begin in range(0, len(texts), TEXTS_PER_ROUND):
            token_ids = self._tokenize(texts[begin : begin + TEXTS_PER_ROUND], prefix)
            num_tokens += sum(map(len, token_ids))
            for batch in self._batched.results(Texts(token_ids)):
                vectors[done : done + len(batch)] = batch
                done += len(batch)
                if on_progress is not None:
                    on_progress(len(batch))
        return vectors, num_tokens

    def _tokenize(self, texts: Sequence[str], prefix: str) -> list[list[int]]:
        whole = [prefix + text.strip() for text in texts]
        if self._lower_case:
            whole = [text.lower() for text in whole]
        token_ids = self._encoder.tokenizer.encode_all(whole, self.max_tokens)
        if not all(token_ids):
            raise InvalidRequestError(
                f"text {token_ids.index([])} of {len(texts)} is empty, and this model marks no beginning and no end."
            )
        return token_ids


@dataclass(frozen=True, slots=True)
class ModelTokens:
    tokenizer: Tokenizer
    fingerprint: str

    def starts(self, text: str) -> list[int]:
        """Where in `text` each of its tokens begins."""
        return [start for start, _ in self.tokenizer.offsets(text)]


@dataclass(frozen=True, slots=True)
class _ToVectors:
    """What is computed of a batch. It holds no Embedder, so that one nobody uses any more can go."""

    model: torch.nn.Module
    pooling: Pooling
    dim: int
    normalize: bool

    def __call__(self, texts: PackedTexts) -> torch.Tensor:
        vectors_SD = pool(self.model(texts), texts.starts, self.pooling)[:, : self.dim]
        return torch.nn.functional.normalize(vectors_SD, dim=-1) if self.normalize else vectors_SD


def _pooling(given: Pooling | None, says: SentenceConfig, encoder: LoadedEncoder) -> Pooling:
    if given is None:
        return says.pooling or ("last" if encoder.is_causal else "mean")
    if given not in POOLINGS:
        raise ConfigError(f"pooling is {shown(given)}; allowed: {', '.join(POOLINGS)}.")
    return given


def _max_tokens(given: int | None, says: SentenceConfig, encoder: LoadedEncoder) -> int:
    if given is None:
        return min(says.max_tokens or encoder.max_len, encoder.max_len)
    if not 3 <= given <= encoder.max_len:
        raise ConfigError(f"max_tokens is {shown(given)}; allowed: 3 to {encoder.max_len}, the positions of the model.")
    return given


def _dimensions(given: int | None, hidden_size: int) -> int:
    if given is None:
        return hidden_size
    if not 1 <= given <= hidden_size:
        raise ConfigError(f"dimensions is {shown(given)}; allowed: 1 to {hidden_size}, the width of the model.")
    return given
