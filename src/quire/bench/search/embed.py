"""Vectors of paragraphs and of one query by all-MiniLM-L6-v2, beside sentence-transformers.

Cases: paragraphs (all of them in one call), query (one short text a call). cosine_min is the least similarity to the
vectors in float32 of sentence-transformers, or our own where that is not installed. Without an instruction that
multiplies bfloat16 we use float32, and the peer's float32 is the side to look at.

`data` (or QUIRE_DATA) is a folder with squad_a.json.gz: paragraphs, each with questions. Without one, words drawn from
a Zipf distribution take their place.
"""

import gzip
import json
import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import numpy as np

from quire.bench.harness import Case, Measurement
from quire.bench.results import Report
from quire.retrieval.embedding import Vectors
from quire.retrieval.neural.default_model import find_default_model
from quire.retrieval.neural.embedder import Embedder

PEER = "sentence_transformers"
NUM_LAYERS, WIDTH, INNER = 6, 384, 1536
MFLOP_PER_TOKEN = 2 * NUM_LAYERS * (4 * WIDTH * WIDTH + 2 * WIDTH * INNER) / 1e6
"""In matrices; attention adds a few percent."""
NUM_QUERIES = 50

Embed = Callable[[list[str]], Vectors]


def cases(*, data: str = "", num_paragraphs: int = 256, quick: bool = False) -> list[Case]:
    folder = data or os.environ.get("QUIRE_DATA", "")
    count = 8 if quick else num_paragraphs
    paragraphs, queries = _squad(Path(folder), count) if folder else _zipf(count)
    sides, judge = _sides()
    runs = {"paragraphs": partial(_time_paragraphs, paragraphs, judge(paragraphs), _num_tokens(paragraphs))}
    runs["query"] = partial(_time_queries, queries, judge(queries))
    sizes = {"paragraphs": len(paragraphs), "query": len(queries)}
    return [
        Case(name, partial(run, embed), {"texts": sizes[name]}, side)
        for name, run in runs.items()
        for side, embed in sides.items()
    ]


def explain(report: Report) -> str:
    rates = [
        f"{result.side}: {result.summary('tokens_per_s').median * MFLOP_PER_TOKEN / 1e3:.0f} GFLOP/s in matrices"
        for result in report.results
        if "tokens_per_s" in result.values
    ]
    return f"A token costs {MFLOP_PER_TOKEN:.1f} MFLOP in matrices, so arithmetic bounds it. " + "; ".join(rates) + "."


def _sides() -> tuple[dict[str, Embed], Embed]:
    """Those that are measured, and the one whose vectors the others should have."""
    sides: dict[str, Embed] = {"quire": Embedder().embed_documents}
    if not find_spec(PEER):
        return sides, Embedder(dtype="float32").embed_documents
    sides |= {f"sentence-transformers {dtype}": _peer(dtype) for dtype in ("bfloat16", "float32")}
    return sides, sides["sentence-transformers float32"]


def _peer(dtype: str) -> Embed:
    import torch

    transformer = import_module(PEER).SentenceTransformer
    model = transformer(str(find_default_model()), device="cpu", model_kwargs={"dtype": getattr(torch, dtype)})

    def embed(texts: list[str]) -> Vectors:
        vectors: Vectors = model.encode(texts, convert_to_tensor=True, show_progress_bar=False).float().numpy()
        return vectors

    return embed


def _time_paragraphs(paragraphs: list[str], expected: Vectors, num_tokens: int, embed: Embed) -> Measurement:
    start = perf_counter()
    vectors = embed(paragraphs)
    elapsed = perf_counter() - start
    return Measurement(
        {
            "paragraphs_per_s": len(paragraphs) / elapsed,
            "tokens_per_s": num_tokens / elapsed,
            "cosine_min": _least_cosine(vectors, expected),
        }
    )


def _time_queries(queries: list[str], expected: Vectors, embed: Embed) -> Measurement:
    times_ms, vectors = [], []
    for query in queries:
        start = perf_counter()
        vectors.append(embed([query]))
        times_ms.append(1e3 * (perf_counter() - start))
    values = {"query_ms": float(np.median(times_ms)), "cosine_min": _least_cosine(np.concatenate(vectors), expected)}
    return Measurement(values, {"query_ms": times_ms})


def _least_cosine(vectors: Vectors, expected: Vectors) -> float:
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((vectors * expected).sum(axis=1) / norms).min())


def _num_tokens(texts: list[str]) -> int:
    """With those that begin and end a text, as far as the model reads."""
    embedder = Embedder()
    return sum(min(len(embedder.tokens.starts(text)) + 2, embedder.max_tokens) for text in texts)


def _squad(folder: Path, count: int) -> tuple[list[str], list[str]]:
    with gzip.open(folder / "squad_a.json.gz", "rt", encoding="utf-8") as file:
        entries = json.load(file)
    asked = [pair["question"] for entry in entries for pair in entry["qas"][:1]]
    return [entry["text"] for entry in entries[:count]], asked[: min(count, NUM_QUERIES)]


def _zipf(count: int) -> tuple[list[str], list[str]]:
    ranks = np.random.default_rng(0).zipf(1.1, (count, 120)).clip(max=10**4)
    texts = [" ".join(f"word{rank}" for rank in row) for row in ranks]
    return texts, [text[:60] for text in texts[:NUM_QUERIES]]
