"""The bench asks the collection that it filled, stage by stage, and leaves nothing behind."""

import gzip
import itertools
import json
import time
from pathlib import Path

import numpy as np
import pytest

from quire.bench.harness import measure
from quire.bench.search import retrieval
from quire.bench.tail import tail_of
from quire.errors import ConfigError
from quire.retrieval.collection import Collection
from quire.retrieval.collection.search import Request
from quire.retrieval.pipeline import RetrievalPipeline
from quire.retrieval.store.state.reading import Reading
from tests.retrieval.fakes import HashedWords

PAUSE_S = 0.25  # what no other stage takes, on a busy machine either
TEXTS = [f"passage number {i} of the book about owls" for i in range(30)]


@pytest.fixture
def passages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(retrieval, "NeuralEmbedder", HashedWords)
    monkeypatch.setattr(retrieval.tempfile, "mkdtemp", lambda prefix: str(_made(tmp_path / "index")))
    folder = _made(tmp_path / "data")
    lines = "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(TEXTS))
    (folder / "passages.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def test_what_is_indexed_is_searched_at_every_size(passages: Path, tmp_path: Path) -> None:
    made = retrieval.cases(data=str(passages), sizes=(10, 1000), num_queries=7, num_embedded=5, k=3)
    results = measure(made, repetitions=2, warmup=1)
    assert [(result.name, result.params["chunks"]) for result in results] == [
        ("ingest", 10),
        ("search", 10),
        ("ingest", 30),
        ("search", 30),
    ]
    for ingest, search in zip(results[::2], results[1::2], strict=True):
        assert ingest.values["index_per_s"][0] == ingest.values["index_per_s"][1]  # it is filled once
        assert 0 < ingest.values["other_share"][0] < 1
        assert ingest.values["embed_per_s"][0] > ingest.values["ingest_per_s"][0]
        assert len(search.samples["total_ms"]) == 2 * 7
        for stage in ("embed", "dense", "lexical", "fuse", "fetch"):
            pairs = zip(search.samples[f"{stage}_ms"], search.samples["total_ms"], strict=True)
            assert all(0 < part <= total for part, total in pairs)
    assert not (tmp_path / "index").exists()


def test_the_last_documents_come_as_texts_and_are_cut_and_embedded(passages: Path) -> None:
    long = {"id": 30, "text": "many words of one passage. " * 100}
    with gzip.open(passages / "passages.jsonl.gz", "at") as file:
        file.write(json.dumps(long) + "\n")
    bench = retrieval._Bench(retrieval.given_dataset(str(passages)), 31, 3, 5, 3, is_recorded=False)
    bench.ingest()
    assert bench._collection is not None
    stats = bench._collection.stats()
    assert (stats.num_documents, stats.vectors) == (31, "embedder")
    assert stats.num_chunks > 31  # the long one is several
    bench.close()


def test_vectors_and_questions_beside_the_passages_are_used(passages: Path) -> None:
    np.save(passages / "minilm_100k_f16.npy", np.eye(32, dtype=np.float16)[:4])
    asked = gzip.compress(b'{"question": "who hoots?"}\n{"question": "left out"}\n')
    (passages / "sentence_questions.jsonl.gz").write_bytes(asked)
    dataset = retrieval.given_dataset(str(passages))
    assert retrieval._questions(dataset, TEXTS, 1) == ["who hoots?"]
    assert retrieval._vectors(dataset, 30, 32).shape == (4, 32)


def test_without_questions_the_beginnings_of_texts_are_asked(passages: Path) -> None:
    dataset = retrieval.given_dataset(str(passages))
    asked = retrieval._questions(dataset, ["one two three " * 10], 2)
    assert asked == ["one two three one two three one two three one two three"] * 2
    assert np.linalg.norm(retrieval._vectors(dataset, 6, 16), axis=1) == pytest.approx(np.ones(6))


def test_data_has_to_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUIRE_DATA", raising=False)
    with pytest.raises(ConfigError, match="give --data PATH"):
        retrieval.cases()


@pytest.mark.parametrize(
    ("stage", "owner", "method"),
    [
        ("embed", HashedWords, "embed_queries"),
        ("lexical", Reading, "lexical"),
        ("dense", Reading, "dense"),
        ("fuse", Request, "fuse"),
        ("fetch", Reading, "chunks"),
    ],
)
def test_the_stage_that_is_slow_for_one_question_is_the_cause(
    stage: str, owner: type, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, calls = getattr(owner, method), itertools.count(1)

    def slow_at_last(*args, **kwargs):
        if next(calls) == 50:
            time.sleep(PAUSE_S)
        return usual(*args, **kwargs)

    with Collection.open(tmp_path / "owls", embedder=HashedWords()) as collection:
        collection.add([{"id": str(i), "text": text} for i, text in enumerate(TEXTS)], progress=False)
        monkeypatch.setattr(owner, method, slow_at_last)
        asked = [*(f"owls number {i}" for i in range(49)), "a much longer question about owls"]
        pipeline = RetrievalPipeline(collection, k=3, cache_tokens=0)
        tail = tail_of("searches", list(retrieval.searches(pipeline, asked, is_recorded=True)))
    assert (tail.count, tail.num_slow, tail.cause.name) == (50, 1, stage)
    assert tail.cause.slow >= 1e3 * PAUSE_S > tail.cause.median
    assert [(fact.slow, fact.median) for fact in tail.facts if fact.name == "words"] == [(6, 3)]
