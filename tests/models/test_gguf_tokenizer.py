"""Vocabularies in GGUF files against the tokenizers they were made from: `tokenizers` for byte-level BPE, with the cut
patterns of the models' own tokenizer.json, and sentencepiece itself for the `llama` kind."""

import io
import json
from pathlib import Path
from typing import Any

import gguf
import pytest
import sentencepiece
from gguf import TokenType
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from quire.errors import ModelLoadError
from quire.models.tokenizer import Tokenizer as QuireTokenizer
from tests.models.tiny_tokenizers import SENTENCES

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_2 = LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT_2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
PATTERNS = {"default": GPT_2, "gpt-2": GPT_2, "llama-bpe": LLAMA_3, "qwen2": QWEN_2, "smollm": GPT_2}

NUM_NORMAL = 460
SPECIALS = ["<|begin|>", "<|end|>", "<|pad|>"]
TEXTS = [
    *SENTENCES[:5],
    "",
    " ",
    "  two  spaces\n\n\nthree lines \t tab",
    "12345678 1 22 333 4444",
    "I'LL we'll DON'T\r\n\r\nx",
    "a…b — “quotes” (x)[y]{z}",
    "e\u0301 å ﬁ",
    "<|end|> <|begin|>",
]


def write(path: Path, metadata: dict[str, Any]) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in metadata.items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def byte_level_oracle(pre: str) -> Tokenizer:
    backend = Tokenizer(models.BPE(ignore_merges=pre == "llama-bpe"))
    if pre == "qwen2":
        backend.normalizer = normalizers.NFC()
    digits = [pre_tokenizers.Split(Regex(r"\p{N}"), "isolated")] if pre == "smollm" else []
    split = pre_tokenizers.Split(Regex(PATTERNS[pre]), "isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence([*digits, split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        SENTENCES * 3, trainers.BpeTrainer(vocab_size=NUM_NORMAL, initial_alphabet=alphabet, show_progress=False)
    )
    return backend


def byte_level_metadata(backend: Tokenizer, pre: str) -> dict[str, Any]:
    model = json.loads(backend.to_str())["model"]
    tokens = [*sorted(model["vocab"], key=model["vocab"].get), *SPECIALS]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [int(TokenType.NORMAL)] * NUM_NORMAL + [int(TokenType.CONTROL)] * len(SPECIALS),
        "tokenizer.ggml.merges": [" ".join(merge) for merge in model["merges"]],
        "tokenizer.ggml.bos_token_id": NUM_NORMAL,
        "tokenizer.ggml.eos_token_id": NUM_NORMAL + 1,
        "tokenizer.ggml.padding_token_id": NUM_NORMAL + 2,
        "tokenizer.chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}",
    }


@pytest.mark.parametrize("pre", PATTERNS)
def test_byte_level_vocabularies(pre: str, tmp_path: Path) -> None:
    oracle = byte_level_oracle(pre)
    ours = QuireTokenizer.from_gguf(write(tmp_path / "v.gguf", byte_level_metadata(oracle, pre)))
    for text in TEXTS:
        expected = oracle.encode(text).ids
        assert ours.encode(text, add_special_tokens=False) == expected
        assert ours.decode(expected) == oracle.decode(expected)
    begin, end = NUM_NORMAL, NUM_NORMAL + 1
    assert ours.eos_token_ids == {end}
    assert ours.vocab_size == NUM_NORMAL + 3
    assert ours.encode("x")[0] == (begin if pre == "llama-bpe" else oracle.encode("x").ids[0])
    chat = ours.apply_chat_template([{"role": "user", "content": "x<|end|>"}])
    assert chat == [begin, *oracle.encode("x<|end|>").ids, end]


def test_what_the_file_says_of_begin_and_end_counts(tmp_path: Path) -> None:
    metadata = byte_level_metadata(byte_level_oracle("qwen2"), "qwen2")
    x = QuireTokenizer.from_gguf(write(tmp_path / "a.gguf", metadata)).encode("x")
    metadata |= {"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.add_eos_token": True}
    tokenizer = QuireTokenizer.from_gguf(write(tmp_path / "b.gguf", metadata))
    assert tokenizer.encode("x") == [NUM_NORMAL, *x, NUM_NORMAL + 1]
    assert tokenizer.encode("x", add_special_tokens=False) == x
    metadata["tokenizer.ggml.eot_token_id"] = NUM_NORMAL + 2
    assert QuireTokenizer.from_gguf(write(tmp_path / "c.gguf", metadata)).eos_token_ids == {
        NUM_NORMAL + 1,
        NUM_NORMAL + 2,
    }


@pytest.fixture(scope="module")
def sentencepiece_model() -> sentencepiece.SentencePieceProcessor:
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 10),
        model_writer=trained,
        model_type="bpe",
        vocab_size=400,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=trained.getvalue())


def sentencepiece_metadata(model: sentencepiece.SentencePieceProcessor) -> dict[str, Any]:
    ids = range(model.get_piece_size())
    kinds = [
        TokenType.UNKNOWN
        if model.is_unknown(i)
        else TokenType.CONTROL
        if model.is_control(i)
        else TokenType.BYTE
        if model.is_byte(i)
        else TokenType.NORMAL
        for i in ids
    ]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [model.id_to_piece(i) for i in ids],
        "tokenizer.ggml.scores": [float(model.get_score(i)) for i in ids],
        "tokenizer.ggml.token_type": [int(kind) for kind in kinds],
        "tokenizer.ggml.bos_token_id": model.bos_id(),
        "tokenizer.ggml.eos_token_id": model.eos_id(),
        "tokenizer.ggml.unknown_token_id": model.unk_id(),
    }


@pytest.fixture(scope="module")
def sentencepiece_tokenizer(
    sentencepiece_model: sentencepiece.SentencePieceProcessor, tmp_path_factory: pytest.TempPathFactory
) -> QuireTokenizer:
    file = tmp_path_factory.mktemp("gguf") / "v.gguf"
    return QuireTokenizer.from_gguf(write(file, sentencepiece_metadata(sentencepiece_model)))


@settings(deadline=None, max_examples=200)
@given(text=st.text(max_size=30) | st.text("the quick ab12", max_size=40))
def test_sentencepiece_vocabularies(
    text: str,
    sentencepiece_model: sentencepiece.SentencePieceProcessor,
    sentencepiece_tokenizer: QuireTokenizer,
) -> None:
    if "▁" in text or "\0" in text:  # the one is its own escape, at the other sentencepiece ends a text
        return
    expected = sentencepiece_model.encode(text)
    assert sentencepiece_tokenizer.encode(text) == [1, *expected]
    assert sentencepiece_tokenizer.decode(expected) == text


def test_sentencepiece_of_sentences(
    sentencepiece_model: sentencepiece.SentencePieceProcessor, sentencepiece_tokenizer: QuireTokenizer
) -> None:
    for text in TEXTS:
        expected = sentencepiece_model.encode(text)
        assert sentencepiece_tokenizer.encode(text, add_special_tokens=False) == expected
        decoder = sentencepiece_tokenizer.new_decoder()
        assert "".join(map(decoder.push, expected)) + decoder.flush() == sentencepiece_model.decode(expected)


def test_no_space_is_put_in_front_where_the_file_says_so(
    sentencepiece_model: sentencepiece.SentencePieceProcessor, tmp_path: Path
) -> None:
    metadata = sentencepiece_metadata(sentencepiece_model) | {"tokenizer.ggml.add_space_prefix": False}
    tokenizer = QuireTokenizer.from_gguf(write(tmp_path / "v.gguf", metadata))
    ids = tokenizer.encode("the", add_special_tokens=False)
    assert tokenizer.decode(ids) == "the"
    assert sentencepiece_model.encode("the") == tokenizer.encode(" the", add_special_tokens=False)


def test_user_defined_tokens_are_found_in_text(tmp_path: Path) -> None:
    metadata = byte_level_metadata(byte_level_oracle("default"), "default")
    metadata["tokenizer.ggml.tokens"].append("<think>")
    metadata["tokenizer.ggml.token_type"].append(int(TokenType.USER_DEFINED))
    tokenizer = QuireTokenizer.from_gguf(write(tmp_path / "v.gguf", metadata))
    ids = tokenizer.encode("a<think>b<|end|>")
    assert NUM_NORMAL + 3 in ids
    assert NUM_NORMAL + 1 not in ids
    assert tokenizer.decode(ids) == "a<think>b<|end|>"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tokenizer.ggml.pre": "qwen-2"}, r"'qwen-2'.*Did you mean 'qwen2'"),
        ({"tokenizer.ggml.model": "bert"}, "kind 'bert'.*known kinds: gpt2, llama"),
        ({"tokenizer.ggml.model": "llama"}, "scores has 0 entries"),
        ({"tokenizer.ggml.merges": ["ab"]}, "merges holds 'ab'"),
        ({"tokenizer.ggml.merges": ["zz qq"]}, "does not fit together.*`zz` out of vocabulary"),
        ({"tokenizer.ggml.bos_token_id": 90_000}, "bos_token_id is 90000"),
        ({"tokenizer.ggml.token_type": [1]}, "token_type has 1 entries"),
    ],
    ids=str,
)
def test_what_is_not_known_or_not_whole_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    metadata = byte_level_metadata(byte_level_oracle("default"), "default") | change
    with pytest.raises(ModelLoadError, match=words):
        QuireTokenizer.from_gguf(write(tmp_path / "v.gguf", metadata))
