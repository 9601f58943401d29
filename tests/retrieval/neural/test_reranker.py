"""Scores of pairs against transformers in float32, on tiny random classifiers of every family."""

from pathlib import Path

import numpy as np
import pytest
import torch

from quire import Collection, Reranker
from quire.errors import ConfigError, EngineClosedError, ModelLoadError
from tests.models.tiny_encoders import tiny_tokenizer, write_tiny_encoder

QUERY = "what is a quire?"
PASSAGES = ["a gathering of pages", "rain", "", "x " * 200, "4 sheets, folded once."]


def ids_of_pair(query: str, passage: str, room: int = 63) -> tuple[list[int], list[int]]:
    """[CLS] query [SEP] passage [SEP], the longer of the two cut, and the part of each token."""
    first, second = (tiny_tokenizer().encode(text, add_special_tokens=False).ids for text in (query, passage))
    while len(first) + len(second) > room:
        (first if len(first) > len(second) else second).pop()
    ids = [2, *first, 3, *second, 3]
    return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta", "distilbert"])
@pytest.mark.parametrize("num_labels", [1, 2])
@torch.inference_mode()
def test_scores_are_those_of_transformers(kind: str, num_labels: int, tmp_path: Path) -> None:
    oracle = write_tiny_encoder(tmp_path, kind, is_classifier=True, num_labels=num_labels)
    reranker = Reranker(tmp_path, dtype="float32", max_tokens=60)
    scores = reranker.score(QUERY, PASSAGES)
    assert scores.shape == (len(PASSAGES),)
    assert scores.dtype == np.float32
    for passage, score in zip(PASSAGES, scores, strict=True):
        ids, types = ids_of_pair(QUERY, passage, room=57)
        parts = {"token_type_ids": torch.tensor([types])} if kind == "bert" else {}
        logits = oracle(torch.tensor([ids]), **parts).logits[0]
        expected = logits[0] if num_labels == 1 else logits[1] - logits[0]
        assert score == pytest.approx(expected.item(), rel=1e-4, abs=1e-4)


def test_a_long_query_leaves_half_of_the_room_to_the_passage(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path, is_classifier=True, num_labels=1)
    reranker = Reranker(tmp_path, dtype="float32")
    first, second = reranker.score("q" * 500, ["a b c", "a b d"])
    assert first != second


def test_a_score_depends_on_no_other_passage(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path, is_classifier=True, num_labels=1)
    together = Reranker(tmp_path, dtype="float32").score(QUERY, PASSAGES * 80)
    one_by_one = Reranker(tmp_path, dtype="float32", max_batch_tokens=1)
    alone = np.concatenate([one_by_one.score(QUERY, [passage]) for passage in PASSAGES])
    np.testing.assert_allclose(together, np.tile(alone, 80), rtol=0, atol=1e-6)


def test_no_passages_have_no_scores(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path, is_classifier=True, num_labels=1)
    assert Reranker(tmp_path).score(QUERY, []).shape == (0,)


def test_a_collection_asks_it_for_the_order(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path / "model", is_classifier=True, num_labels=1)
    reranker = Reranker(tmp_path / "model", dtype="float32")
    texts = [f"page {word}" for word in ("one", "two", "three", "four", "five")]
    with Collection.open(tmp_path / "texts", embedder=None) as collection:
        collection.add([{"id": text, "text": text} for text in texts], progress=False)
        hits = collection.search("page", rerank=reranker)
    expected = sorted(texts, key=lambda text: -reranker.score("page", [text])[0])
    assert [hit.document_id for hit in hits] == expected


def test_more_than_two_labels_are_no_judgement(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path, is_classifier=True, num_labels=3)
    with pytest.raises(ModelLoadError, match="tells 3 labels apart"):
        Reranker(tmp_path)


def test_knobs_say_what_they_may_be(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path, is_classifier=True, num_labels=1)
    with pytest.raises(ConfigError, match="max_tokens is 67; allowed: 5 to 66"):
        Reranker(tmp_path, max_tokens=67)
    with pytest.raises(ConfigError, match="max_batch_tokens is 0"):
        Reranker(tmp_path, max_batch_tokens=0)
    with pytest.raises(ConfigError, match="give a list"):
        Reranker(tmp_path).score(QUERY, "one text")


def test_a_closed_one_says_so(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path, is_classifier=True, num_labels=1)
    reranker = Reranker(tmp_path)
    reranker.close()
    reranker.close()
    with pytest.raises(EngineClosedError):
        reranker.score(QUERY, PASSAGES)
