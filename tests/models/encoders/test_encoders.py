"""Encoders against transformers, on tiny random models of every family: packed texts, pairs, classifiers, decoders."""

from pathlib import Path

import pytest
import torch

from quire.errors import ConfigError, ModelLoadError
from quire.models.encoders import load_classifier, load_encoder, pack_texts
from tests.models.tiny import write_tiny
from tests.models.tiny_encoders import VOCAB_SIZE, tiny_tokenizer, write_tiny_encoder

KINDS = ["bert", "roberta", "xlm-roberta", "distilbert"]
LENS = [1, 7, 33, 64, 2]


def random_texts(vocab_size: int = VOCAB_SIZE) -> list[list[int]]:
    random = torch.Generator().manual_seed(3)
    return [torch.randint(4, vocab_size, (n,), generator=random).tolist() for n in LENS]


@torch.inference_mode()
def hidden_of_oracle(oracle: torch.nn.Module, texts: list[list[int]]) -> torch.Tensor:
    return torch.cat([oracle(torch.tensor([ids])).last_hidden_state[0] for ids in texts])


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_states_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    oracle = write_tiny_encoder(tmp_path, kind)
    texts = random_texts()
    hidden = load_encoder(tmp_path, dtype="float32").model(pack_texts(texts))
    torch.testing.assert_close(hidden, hidden_of_oracle(oracle, texts), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("act", ["gelu_new", "relu"])
def test_other_nonlinearities(act: str, tmp_path: Path) -> None:
    oracle = write_tiny_encoder(tmp_path, "bert", hidden_act=act)
    texts = random_texts()
    hidden = load_encoder(tmp_path, dtype="float32").model(pack_texts(texts))
    torch.testing.assert_close(hidden, hidden_of_oracle(oracle, texts), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_formats_come_close(dtype: str, tmp_path: Path) -> None:
    oracle = write_tiny_encoder(tmp_path, "bert")
    texts = random_texts()
    hidden = load_encoder(tmp_path, dtype=dtype).model(pack_texts(texts)).float()
    cosines = torch.cosine_similarity(hidden, hidden_of_oracle(oracle, texts), dim=-1)
    assert cosines.min() > 0.999


def test_int8_comes_close(tmp_path: Path) -> None:
    oracle = write_tiny_encoder(tmp_path, "bert")
    texts = random_texts()
    hidden = load_encoder(tmp_path, dtype="float32", quantization="int8").model(pack_texts(texts))
    assert torch.cosine_similarity(hidden, hidden_of_oracle(oracle, texts), dim=-1).min() > 0.99


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_labels", [1, 3])
def test_logits_of_pairs_are_those_of_transformers(kind: str, num_labels: int, tmp_path: Path) -> None:
    oracle = write_tiny_encoder(tmp_path, kind, is_classifier=True, num_labels=num_labels)
    texts = random_texts()
    types = [[0] * (len(ids) // 2) + [1] * (len(ids) - len(ids) // 2) for ids in texts]
    knows_types = kind == "bert"  # RoBERTa's table has one row, DistilBERT has none
    classifier = load_classifier(tmp_path, dtype="float32")
    logits = classifier.model(pack_texts(texts, types if knows_types else None))
    for i, ids in enumerate(texts):
        given = {"token_type_ids": torch.tensor([types[i]])} if knows_types else {}
        with torch.inference_mode():
            expected = oracle(torch.tensor([ids]), **given).logits[0]
        torch.testing.assert_close(logits[i], expected, rtol=1e-4, atol=1e-4)
    assert len(classifier.config.labels) == num_labels


@pytest.mark.parametrize("saves_head", [True, False])
def test_a_decoder_is_read_as_an_encoder(saves_head: bool, tmp_path: Path) -> None:
    oracle = write_tiny(tmp_path, "qwen3", tie_word_embeddings=True)
    if not saves_head:
        for file in tmp_path.iterdir():
            file.unlink()
        oracle.model.save_pretrained(tmp_path)
    tiny_tokenizer().save(str(tmp_path / "tokenizer.json"))
    texts = [*random_texts(320), list(range(5, 140))]
    encoder = load_encoder(tmp_path, dtype="float32")
    assert encoder.is_causal
    hidden = encoder.model(pack_texts(texts))
    torch.testing.assert_close(hidden, hidden_of_oracle(oracle.model, texts), rtol=1e-3, atol=1e-3)


def test_a_fingerprint_is_of_the_weights_and_not_of_the_place(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_tiny_encoder(tmp_path / name, "bert", seed=seed)
    a, b, c = (load_encoder(tmp_path / name).fingerprint for name in "abc")
    assert a == b != c


def test_what_is_not_supported_is_refused_by_name(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path, "bert")
    config = tmp_path / "config.json"
    original = config.read_text()
    config.write_text(original.replace('"gelu"', '"swish"'))
    with pytest.raises(ModelLoadError, match="hidden_act is 'swish'"):
        load_encoder(tmp_path)
    config.write_text(original.replace('"BertModel"', '"T5Model"'))
    with pytest.raises(ModelLoadError, match="T5"):
        load_encoder(tmp_path)
    config.write_text(original.replace('"BertModel"', "5"))
    with pytest.raises(ModelLoadError, match=r"architectures is \[5\]; expected a list of names"):
        load_encoder(tmp_path)
    config.write_text(original)
    with pytest.raises(ConfigError, match="dtype is 'int3'"):
        load_encoder(tmp_path, dtype="int3")
    with pytest.raises(ConfigError, match="quantization is 'int3'"):
        load_encoder(tmp_path, quantization="int3")


def test_an_encoder_without_its_head_is_no_classifier(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path, "roberta")
    with pytest.raises(ModelLoadError, match="lack the tensor"):
        load_classifier(tmp_path)
