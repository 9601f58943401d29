"""Which documents say these words, best first: an inverted index with BM25, searchable at once after every change.

Face of csrc/retrieval/inverted_index. Texts go through the analyzer; a list of str in place of a text is taken as its
terms, as they are, for an analysis of one's own. Ids are whole numbers of 64 bits. Safe to use from many threads.

Statistics count deleted documents until `compact()`, which runs by itself when a quarter of the index is deleted.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from quire import _native
from quire.errors import ConfigError, InvalidRequestError, shown, suggest
from quire.retrieval.analyzer import Analyzer, character_classes
from quire.retrieval.ids import as_filter, as_ids

Text: TypeAlias = str | Sequence[str]
Variant: TypeAlias = Literal["lucene", "robertson", "atire", "bm25+", "bm25l"]

VARIANTS = {"robertson": 0, "lucene": 1, "atire": 2, "bm25+": 3, "bm25l": 4}
_DELTAS = {"bm25+": 1.0, "bm25l": 0.5}


@dataclass(frozen=True, slots=True)
class InvertedIndexStats:
    num_documents: int
    num_deleted: int
    num_terms: int
    num_postings: int
    posting_bytes: int
    position_bytes: int
    ram_bytes: int
    mapped_bytes: int
    """What lies in the mapped file, read as needed and dropped under memory pressure."""
    mean_length: float
    """Terms per document, deleted ones included."""


class InvertedIndex:
    """An index of words.

    variant    of BM25: lucene, robertson, atire, bm25+ or bm25l (csrc/retrieval/postings/bm25.h has the formulas)
    k1         how soon more of the same word stops counting; 0: at once
    b          how much long documents are held back; 0: not at all, 1: in full
    delta      the least that a word counts in a long document (bm25+ and bm25l; 1.0 and 0.5 unless given)
    positions  keep where in a text each word occurs, for `search_phrase`; about a byte for each word of the texts
    analyzer   from words to terms; English unless given
    """

    def __init__(
        self,
        variant: Variant = "lucene",
        *,
        k1: float = 1.5,
        b: float = 0.75,
        delta: float | None = None,
        positions: bool = False,
        analyzer: Analyzer | None = None,
    ) -> None:
        if variant not in VARIANTS:
            raise ConfigError(
                f"variant is {shown(variant)}; allowed: {', '.join(VARIANTS)}.{suggest(variant, VARIANTS)}"
            )
        if delta is not None and variant not in _DELTAS:
            raise ConfigError(f"delta is {delta}, but {variant} has none; leave it out, or take bm25+ or bm25l")
        self.analyzer = analyzer or Analyzer()
        self._native = _native.InvertedIndex(
            VARIANTS[variant],
            _between("k1", k1, 0, 1000),
            _between("b", b, 0, 1),
            _between("delta", _DELTAS.get(variant, 0.0) if delta is None else delta, 0, 1000),
            positions,
            character_classes(),
            self.analyzer.description,
        )

    def add(self, ids: npt.ArrayLike, texts: Iterable[Text]) -> None:
        """Adds new documents, all or none. Raises InvalidRequestError for an id that is here or is given twice."""
        self._put(ids, texts, replaces=False)

    def update(self, ids: npt.ArrayLike, texts: Iterable[Text]) -> None:
        """Gives known ids new texts. An unknown id changes nothing; an analyzer that raises may leave some replaced."""
        self._put(ids, texts, replaces=True)

    def delete(self, ids: npt.ArrayLike) -> None:
        """Takes documents out, all or none."""
        self._native.delete(as_ids(ids))

    def compact(self) -> None:
        """Frees what was deleted and stops counting it."""
        self._native.compact()

    def search(
        self,
        query: Text,
        k: int = 10,
        *,
        filter: npt.ArrayLike | Iterable[int] | None = None,  # noqa: A002
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """At most `k` ids and their scores, best first; a word said twice counts twice.

        Only documents that hold a word of the query with an idf above 0 are found, so there may be none.
        filter     ids that may be found, or an array of bool in which filter[id] says so.
        """
        return self._native.search(self.terms(query), _checked_k(k), as_filter(filter))

    def search_phrase(
        self,
        phrase: Text,
        k: int = 10,
        *,
        filter: npt.ArrayLike | Iterable[int] | None = None,  # noqa: A002
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The same for documents that hold the words of the phrase in a row; a stop word between them is any word.

        A phrase scores as one word does, its idf the sum of its words'. Raises InvalidRequestError where the index was
        made without `positions`.
        """
        if not self._native.has_positions():
            raise InvalidRequestError("this index keeps no positions; make it with positions=True", param="phrase")
        terms = self._analysed(phrase) if isinstance(phrase, str) else tuple(phrase)
        return self._native.search_phrase(terms, _checked_k(k), as_filter(filter))

    def score(self, query: Text, key: int) -> float:
        """What a search for `query` would score this document: 0 where it holds no word of it."""
        return self._native.score(self.terms(query), key)

    def terms(self, text: Text) -> tuple[str, ...]:
        """The terms of a text, in their order."""
        if isinstance(text, str):
            return tuple(term for term in self._analysed(text) if term is not None)
        return tuple(text)

    def document_frequency(self, word: str) -> int:
        """In how many documents the word's term occurs; 0 for a stop word."""
        return sum(map(self._native.document_frequency, self._at_most_one_term(word)))

    def term_frequency(self, word: str, key: int) -> int:
        """How often the word's term occurs in this document."""
        return sum(self._native.term_frequency(term, key) for term in self._at_most_one_term(word))

    def length(self, key: int) -> int:
        """How many terms this document has."""
        return self._native.length(key)

    def __len__(self) -> int:
        return len(self._native)

    def __contains__(self, key: int) -> bool:
        return self._native.contains(key)

    def ids(self) -> npt.NDArray[np.int64]:
        """All ids, in the order in which they came."""
        return np.array(self._native.ids(), dtype=np.int64)

    def stats(self) -> InvertedIndexStats:
        return InvertedIndexStats(*self._native.stats())

    def check_invariants(self) -> None:
        """Raises AssertionError at the first thing that must not be; for tests."""
        try:
            self._native.check_invariants()
        except RuntimeError as error:
            raise AssertionError(str(error)) from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes one file, synced to disk before it takes the place of one that was there. Raises OSError."""
        self._native.save(os.fspath(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, analyzer: Analyzer | None = None) -> "InvertedIndex":
        """Maps a saved index; changes to it stay in memory until saved. The file must not be changed meanwhile.

        analyzer   is needed where the saved index had one with functions of its own, and otherwise must be the same.
        Raises CorruptIndexError, OSError, or ConfigError for another analyzer.
        """
        index = cls.__new__(cls)
        index._native = _native.InvertedIndex.load(os.fspath(path), character_classes())
        described = index._native.analyzer()
        index.analyzer = analyzer or Analyzer.described(described)
        if index.analyzer.description != described:
            raise ConfigError(
                f"analyzer is {index.analyzer.description}, but {os.fspath(path)} was written with {described}"
            )
        return index

    @staticmethod
    def verify(path: str | os.PathLike[str]) -> None:
        """Reads a whole saved index and raises CorruptIndexError where a bit differs from what was written."""
        _native.InvertedIndex.verify(os.fspath(path))

    def _analysed(self, text: str) -> tuple[str | None, ...]:
        """The same with None for a word that is not indexed."""
        return self._native.analyse(self.analyzer.lower(text), self.analyzer.normalise)

    def _at_most_one_term(self, word: str) -> tuple[str, ...]:
        terms = self.terms(word)
        if len(terms) > 1:
            raise InvalidRequestError(f"{shown(word)} is {len(terms)} terms; ask for one word", param="word")
        return terms

    def _put(self, ids: npt.ArrayLike, texts: Iterable[Text], *, replaces: bool) -> None:
        if isinstance(texts, str):
            raise InvalidRequestError(f"texts is the single text {shown(texts)}; give a list of texts", param="texts")
        documents = tuple(texts)
        lower = tuple(self.analyzer.lower(text) for text in documents if isinstance(text, str))
        if len(lower) == len(documents):
            self._native.add(as_ids(ids), lower, replaces, self.analyzer.normalise)
        elif lower:
            raise InvalidRequestError("texts mixes str and lists of terms; give one kind", param="texts")
        else:
            self._native.add_terms(as_ids(ids), tuple(tuple(terms) for terms in documents), replaces)


def _checked_k(k: int) -> int:
    if k < 1:
        raise InvalidRequestError(f"k is {shown(k)}; allowed: 1 or more", param="k")
    return k


def _between(name: str, value: float, least: float, most: float) -> float:
    if not least <= value <= most:
        raise ConfigError(f"{name} is {shown(value)}; allowed: {least} to {most}")
    return value
