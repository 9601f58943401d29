"""Vectors and judgements over HTTP are those of the models in a process of one's own."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quire.errors import ModelLoadError
from quire.retrieval.neural.embedder import Embedder
from quire.retrieval.neural.reranker import Reranker
from tests.models.tiny_encoders import tiny_tokenizer, write_tiny_encoder
from tests.patience import wait_until
from tests.server.scripted import scripted
from tests.server.serving import Running

TEXTS = ["a gathering of pages", "rain", "4 sheets, folded once"]
QUERY = "what is a quire?"
EMBED, RERANK = "/v1/embeddings", "/v1/rerank"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    embedder, judge = tmp_path_factory.mktemp("embedder"), tmp_path_factory.mktemp("judge")
    write_tiny_encoder(embedder)
    steps = ("Transformer", "Pooling", "Normalize")
    modules = [{"path": "" if step == "Transformer" else step, "type": f"models.{step}"} for step in steps]
    (embedder / "modules.json").write_text(json.dumps(modules))
    (embedder / "Pooling").mkdir()
    (embedder / "Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    prompts = {"prompts": {"query": "query: ", "document": "passage: "}}
    (embedder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    write_tiny_encoder(judge, is_classifier=True, num_labels=1)
    return embedder, judge


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: tuple[Path, Path]) -> Iterator[Running]:
    embedder, judge = map(str, models)
    with scripted(tmp_path_factory.mktemp("tokens"), "Hm.", embedder=embedder, reranker=judge) as (found, _):
        yield found


def vectors(answer: Any) -> Any:
    assert [item["index"] for item in answer["data"]] == [*range(len(answer["data"]))]
    return np.array([item["embedding"] for item in answer["data"]])


@pytest.mark.parametrize("model", [None, "by name"])
@pytest.mark.parametrize("input_type", ["document", "query"])
def test_embeddings_are_those_of_the_embedder(
    server: Running, models: tuple[Path, Path], model: str | None, input_type: str
) -> None:
    embedder, name = Embedder(models[0]), str(models[0])
    expected = embedder.embed_documents(TEXTS) if input_type == "document" else embedder.embed_queries(TEXTS)
    asked = {"input": TEXTS, "input_type": input_type, "model": name if model else None}
    answer = server.ask(EMBED, asked).json
    np.testing.assert_allclose(vectors(answer), expected, atol=1e-6)
    assert answer["model"] == name
    prefix = "passage: " if input_type == "document" else "query: "
    num_tokens = sum(len(tiny_tokenizer().encode(prefix + text).ids) for text in TEXTS)
    assert answer["usage"] == {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    packed = server.ask(EMBED, {**asked, "encoding_format": "base64"}).json["data"]
    decoded = [np.frombuffer(base64.b64decode(item["embedding"]), dtype="<f4") for item in packed]
    np.testing.assert_array_equal(np.array(decoded), vectors(answer).astype(np.float32))


def test_a_vector_is_cut_and_has_unit_length_again(server: Running) -> None:
    whole, cut = (vectors(server.ask(EMBED, {"input": TEXTS, "dimensions": n}).json) for n in (48, 5))
    np.testing.assert_allclose(cut, whole[:, :5] / np.linalg.norm(whole[:, :5], axis=1, keepdims=True), atol=1e-6)


def test_passages_are_judged_as_the_reranker_does(server: Running, models: tuple[Path, Path]) -> None:
    logits = Reranker(models[1]).score(QUERY, TEXTS).astype(float)
    order = sorted(range(len(TEXTS)), key=lambda index: -logits[index])
    documents = [TEXTS[0], {"text": TEXTS[1]}, TEXTS[2]]
    answer = server.ask(RERANK, {"query": QUERY, "documents": documents, "model": str(models[1])}).json
    assert [result["index"] for result in answer["results"]] == order
    for result in answer["results"]:
        assert result["relevance_score"] == pytest.approx(1 / (1 + np.exp(-logits[result["index"]])), abs=1e-6)
        assert result["document"] == {"text": TEXTS[result["index"]]}
    count = len(tiny_tokenizer().encode(QUERY, TEXTS[1]).ids)
    short = server.ask(RERANK, {"query": QUERY, "documents": [TEXTS[1]], "return_documents": False}).json
    assert short["usage"] == {"prompt_tokens": count, "total_tokens": count}
    assert short["results"][0].keys() == {"index", "relevance_score"}
    best = server.ask(RERANK, {"query": QUERY, "documents": documents, "top_n": 1}).json["results"]
    assert [result["index"] for result in best] == order[:1]
    assert short["id"].startswith("rerank-")


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        (EMBED, {"input": "x", "model": "nobody"}, 404, "There is no model 'nobody' here; allowed: 'tiny', '"),
        (EMBED, {"input": [5, 6]}, 400, "takes texts"),
        (EMBED, {"input": ["x"], "dimensions": 49}, 400, "allowed: 1 to 48"),
        (EMBED, {"input": ["x"], "dimensions": 0}, 400, "dimensions"),
        (EMBED, {"input": []}, 400, "input"),
        (EMBED, {"input": "x", "model": "tiny", "dimensions": 4}, 400, "the model's own width"),
        (RERANK, {"query": "x", "documents": ["x"], "model": "nobody"}, 404, "no reranker 'nobody'"),
        (RERANK, {"query": "x", "documents": []}, 400, "documents"),
        (RERANK, {"query": "x", "documents": [{"txt": "x"}]}, 400, "documents"),
        (RERANK, {"query": "x", "documents": ["x"], "top_n": 0}, 400, "top_n"),
        (RERANK, {"documents": ["x"]}, 400, "query"),
        (RERANK, {"query": "x", "documents": ["x"], "max_chunks_per_doc": 2}, 400, "judged as one"),
    ],
)
def test_what_cannot_be_answered_is_refused(server: Running, path: str, body: Any, status: int, words: str) -> None:
    reply = server.ask(path, body)
    assert (reply.status, words in reply.error["message"]) == (status, True), reply.body


def test_a_collection_that_is_made_here_has_vectors_of_the_embedder(server: Running, models: tuple[Path, Path]) -> None:
    made = server.ask("/v1/collections", {"name": "notes"}).json
    assert (made["vectors"], made["dim"]) == ("embedder", 48)
    documents = [{"id": text, "text": text} for text in TEXTS]
    assert server.ask("/v1/collections/notes/documents", {"documents": documents}).json["num_added"] == 3
    hits = server.ask("/v1/collections/notes/search", {"query": QUERY, "mode": "dense"}).json["data"]
    embedder = Embedder(models[0])
    expected = embedder.embed_documents(TEXTS) @ embedder.embed_queries([QUERY])[0]
    assert [(hit["document_id"], hit["score"]) for hit in hits] == [
        (TEXTS[index], pytest.approx(expected[index], abs=1e-5)) for index in np.argsort(-expected)
    ]


def test_without_models_there_is_none_to_ask(tmp_path: Path) -> None:
    with scripted(tmp_path, "Hm.", embedder="none") as (server, _):
        assert server.ask(EMBED, {"input": "x", "model": "all-MiniLM-L6-v2"}).status == 404
        reply = server.ask(RERANK, {"query": "x", "documents": ["x"]})
        assert (reply.status, "--reranker" in reply.error["message"]) == (404, True)
        assert server.ask("/v1/collections", {"name": "x"}).json["vectors"] == "none"
        reply = server.ask("/v1/collections", {"name": "y", "vectors": "embedder"})
        assert (reply.status, reply.error["param"]) == (400, "vectors")


def test_a_model_that_is_not_there_ends_the_server(tmp_path: Path) -> None:
    with scripted(tmp_path, "Hm.", reranker=str(tmp_path / "nothing")) as (server, _):
        wait_until(lambda: server.state.error is not None)
        assert isinstance(server.state.error, ModelLoadError)
