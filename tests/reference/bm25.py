"""BM25 by the formulas, document by document, in float64."""

import math
from collections.abc import Mapping, Sequence


def scores(
    documents: Mapping[int, Sequence[str]], query: Sequence[str], variant: str, k1: float, b: float, delta: float
) -> dict[int, float]:
    """Of every document that holds a word of the query."""
    mean = sum(map(len, documents.values())) / max(1, len(documents))
    found: dict[int, float] = {}
    for term in query:
        frequencies = {key: count for key, terms in documents.items() if (count := terms.count(term))}
        for key, frequency in frequencies.items():
            part = _part(variant, frequency, len(documents[key]) / mean, k1, b, delta)
            found[key] = found.get(key, 0.0) + _idf(variant, len(documents), len(frequencies)) * part
    return found


def phrase_frequencies(documents: Mapping[int, Sequence[str]], phrase: Sequence[str | None]) -> dict[int, int]:
    """Of every document that holds the phrase, in which None between words stands for any word."""
    words = [(offset, word) for offset, word in enumerate(phrase) if word is not None]
    words = [(offset - words[0][0], word) for offset, word in words]
    counts = {
        key: sum(
            all(terms[start + offset] == word for offset, word in words) for start in range(len(terms) - words[-1][0])
        )
        for key, terms in documents.items()
    }
    return {key: count for key, count in counts.items() if count}


def phrase_scores(
    documents: Mapping[int, Sequence[str]],
    phrase: Sequence[str | None],
    variant: str,
    k1: float,
    b: float,
    delta: float,
) -> dict[int, float]:
    """Of every document that holds the phrase, which counts as one word with all its words' idf."""
    mean = sum(map(len, documents.values())) / len(documents)
    words = [word for word in phrase if word is not None]
    weight = sum(_idf(variant, len(documents), sum(word in terms for terms in documents.values())) for word in words)
    return {
        key: weight * _part(variant, frequency, len(documents[key]) / mean, k1, b, delta)
        for key, frequency in phrase_frequencies(documents, phrase).items()
    }


def _idf(variant: str, n: int, df: int) -> float:
    return {
        "robertson": math.log(max(1.0, (n - df + 0.5) / (df + 0.5))),
        "lucene": math.log(1 + (n - df + 0.5) / (df + 0.5)),
        "atire": math.log(n / df),
        "bm25+": math.log((n + 1) / df),
        "bm25l": math.log((n + 1) / (df + 0.5)),
    }[variant]


def _part(variant: str, f: int, relative_length: float, k1: float, b: float, delta: float) -> float:
    norm = 1 - b + b * relative_length
    if variant == "bm25l":
        c = f / norm + delta
        return (k1 + 1) * c / (k1 + c)
    saturated = f / (f + k1 * norm)
    if variant in ("atire", "bm25+"):
        saturated *= k1 + 1
    return saturated + (delta if variant == "bm25+" else 0)
