"""Vectors against transformers in float32 (mean of hidden states, length one), and what may not change them."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from quire import Chunker, Collection, Embedder
from quire.errors import ConfigError, InvalidRequestError, ModelLoadError
from tests.models.tiny import write_tiny
from tests.models.tiny_encoders import tiny_tokenizer, write_tiny_encoder

TEXTS = [
    "The quire is a gathering of pages.",
    "",
    "Ein Bogen Papier, viermal gefaltet: naïve Straße.",
    "paging " * 400,
    "二百 tokens, [SEP] written out, and an emoji 🙂.",
    "x",
]


def write_sentence_files(path: Path, *, pooling: str = "cls", prompts: dict[str, str] | None = None) -> None:
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (path / "modules.json").write_text(json.dumps(modules))
    (path / "1_Pooling").mkdir()
    (path / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{pooling}": True}))
    (path / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts or {}}))
    (path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 20}))


def tiny_embedder(tmp_path: Path, **kwargs: Any) -> Embedder:
    if not (tmp_path / "config.json").exists():
        write_tiny_encoder(tmp_path)
    return Embedder(tmp_path, **{"dtype": "float32", **kwargs})


@torch.inference_mode()
def test_the_default_model_gives_the_vectors_of_its_reference(minilm: Path) -> None:
    model = AutoModel.from_pretrained(minilm, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    plain = [text for text in TEXTS if "[SEP]" not in text]
    vectors = Embedder().embed_documents(plain)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(plain), 384)
    for text, vector in zip(plain, vectors, strict=True):
        given = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        expected = torch.nn.functional.normalize(model(**given).last_hidden_state[0].mean(0), dim=0)
        assert expected @ torch.from_numpy(vector) > 0.999


def test_a_collection_has_it_by_default(minilm: Path, tmp_path: Path) -> None:
    texts = ["A feline dozes on the rug.", "Stocks fell sharply today.", "Add salt to the boiling water."]
    with Collection.open(tmp_path) as collection:
        collection.add([{"id": text, "text": text} for text in texts], progress=False)
        assert collection.search("sleeping cat", k=1)[0].document_id == texts[0]
        assert collection.stats().embedder == Embedder().fingerprint


def test_a_chunker_may_count_as_the_model_does(minilm: Path) -> None:
    tokens = Embedder().tokens
    assert tokens.starts("Unfoldable quires, naïve") == [0, 2, 6, 11, 14, 17, 19]
    text = "Pages were folded, gathered and sewn, unquestionably. " * 60
    chunks = Chunker(64, 0, tokens=tokens).split("d", text)
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    assert 32 < max(len(tokenizer(chunk.text, add_special_tokens=False).input_ids) for chunk in chunks) <= 64


def test_what_is_written_like_a_special_token_is_text(minilm: Path) -> None:
    first, second = Embedder().embed_documents(["a [SEP] b", "a [sep ] b"])
    assert first @ second > 0.9  # a separator in the middle would be another text


def test_a_vector_depends_on_nothing_but_its_text(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path)
    texts = ["one", "two words", "three words here", "4", "a text of some more words than the others have"]
    together = tiny_embedder(tmp_path).embed_documents(texts)
    alone = np.concatenate([tiny_embedder(tmp_path, max_batch_tokens=1).embed_documents([text]) for text in texts])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_many_threads_get_their_own_vectors(tmp_path: Path) -> None:
    embedder = tiny_embedder(tmp_path)
    texts = [f"text number {i} of many" for i in range(40)]
    expected = embedder.embed_queries(texts)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: embedder.embed_queries([text])[0], texts))
    np.testing.assert_allclose(np.stack(found), expected, rtol=0, atol=1e-6)


def test_nothing_gives_no_vectors(tmp_path: Path) -> None:
    assert tiny_embedder(tmp_path).embed_documents([]).shape == (0, 48)


def test_progress_adds_up_to_the_number_of_texts(tmp_path: Path) -> None:
    done: list[int] = []
    tiny_embedder(tmp_path, max_batch_tokens=40).embed_documents(["some text"] * 30, on_progress=done.append)
    assert sum(done) == 30
    assert len(done) > 1


@pytest.mark.parametrize("pooling", ["cls_token", "mean_tokens", "max_tokens", "lasttoken"])
def test_pooling_prefixes_and_length_are_those_of_the_files(pooling: str, tmp_path: Path) -> None:
    oracle = write_tiny_encoder(tmp_path)
    write_sentence_files(tmp_path, pooling=pooling, prompts={"query": "ask: ", "document": ""})
    embedder = Embedder(tmp_path, dtype="float32")
    assert not embedder.normalize
    ids = [2, *tiny_tokenizer().encode("ask: " + "abc" * 9, add_special_tokens=False).ids[:18], 3]
    with torch.inference_mode():
        hidden = oracle(torch.tensor([ids])).last_hidden_state[0]
    expected = {
        "cls_token": hidden[0],
        "mean_tokens": hidden.mean(0),
        "max_tokens": hidden.amax(0),
        "lasttoken": hidden[-1],
    }[pooling]
    np.testing.assert_allclose(embedder.embed_queries(["abc" * 9])[0], expected, atol=1e-4)
    assert not np.allclose(embedder.embed_documents(["abc" * 9])[0], expected, atol=1e-2)


def test_fewer_dimensions_are_the_first_ones_at_length_one(tmp_path: Path) -> None:
    whole = tiny_embedder(tmp_path).embed_documents(["some text"])[0]
    cut = tiny_embedder(tmp_path, dimensions=8).embed_documents(["some text"])[0]
    np.testing.assert_allclose(cut, whole[:8] / np.linalg.norm(whole[:8]), atol=1e-6)


def test_a_decoder_is_pooled_at_its_last_token_behind_an_instruction(tmp_path: Path) -> None:
    oracle = write_tiny(tmp_path, "qwen3", tie_word_embeddings=True).model
    tiny_tokenizer().save(str(tmp_path / "tokenizer.json"))
    embedder = Embedder(tmp_path, dtype="float32", query_prefix="find: ")
    with torch.inference_mode():
        ids = tiny_tokenizer().encode("find: pages").ids
        expected = torch.nn.functional.normalize(oracle(torch.tensor([ids])).last_hidden_state[0, -1], dim=0)
    np.testing.assert_allclose(embedder.embed_queries(["pages"])[0], expected, atol=1e-4)


def test_the_fingerprint_differs_where_vectors_would(tmp_path: Path) -> None:
    same = {tiny_embedder(tmp_path, dtype=dtype).fingerprint for dtype in ("float32", "bfloat16")}
    assert len(same) == 1
    changes: list[dict[str, Any]] = [
        {"dimensions": 8},
        {"pooling": "cls"},
        {"document_prefix": "d"},
        {"normalize": False},
    ]
    others = {tiny_embedder(tmp_path, **change).fingerprint for change in changes}
    assert len(others | same) == len(changes) + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dimensions": 49}, "dimensions is 49; allowed: 1 to 48"),
        ({"max_tokens": 100}, "max_tokens is 100; allowed: 3 to 66"),
        ({"pooling": "median"}, "pooling is 'median'; allowed: mean, cls, last, max"),
        ({"max_batch_tokens": 0}, "max_batch_tokens is 0"),
    ],
)
def test_a_knob_says_what_it_may_be(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny_embedder(tmp_path, **arguments)


def test_a_single_text_is_no_list_of_texts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give a list"):
        tiny_embedder(tmp_path).embed_documents("text")


def test_half_a_character_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="surrogate"):
        tiny_embedder(tmp_path).embed_documents(["fine", "\ud800"])


def test_an_empty_text_is_refused_where_a_model_marks_no_ends(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path)
    bare = tiny_tokenizer()
    bare.post_processor = None
    bare.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InvalidRequestError, match="text 1 of 2 is empty"):
        tiny_embedder(tmp_path).embed_documents(["a", " "])


def test_a_step_that_would_be_left_out_is_refused(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path)
    write_sentence_files(tmp_path)
    modules = json.loads((tmp_path / "modules.json").read_text())
    modules.append({"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelLoadError, match="names the step Dense"):
        Embedder(tmp_path)
