"""Against transformers where it does the same, and against what a user could do to it where it does not."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from quire.errors import InvalidRequestError, ModelLoadError
from quire.models.text.special_tokens import SpecialTokens
from quire.models.tokenizer import Tokenizer
from tests.models.tiny_tokenizers import BOS, CHAT_TEMPLATE, EOS, KINDS, byte_fallback, byte_level, write_tiny_tokenizer

TOKENIZERS = {name: Tokenizer(make()) for name, make in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=60)
@given(text=st.text(max_size=40))
def test_encode_is_that_of_transformers(kind: str, text: str) -> None:
    theirs = PreTrainedTokenizerFast(tokenizer_object=KINDS[kind]())
    if any(token in text for token in theirs.all_special_tokens):
        return
    assert TOKENIZERS[kind].encode(text) == theirs.encode(text)


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_in_text_are_text(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    unknown = {tokenizer.token_id("<unk>"), tokenizer.token_id("[UNK]")}
    specials = tokenizer.special_token_ids - unknown
    assert specials
    for token_id in specials:
        content = tokenizer.decode([token_id], skip_special_tokens=False)
        ids = tokenizer.encode(f"a {content} b {content}{content}", add_special_tokens=False)
        assert specials.isdisjoint(ids)


def test_trusted_text_has_its_special_tokens() -> None:
    tokenizer = TOKENIZERS["byte_level"]
    theirs = PreTrainedTokenizerFast(tokenizer_object=byte_level())
    for text in ("", EOS, f"{BOS}hello  world{EOS}\n", f"a{EOS}{EOS} b", f"  {BOS} "):
        assert tokenizer.encode_trusted(text) == theirs.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("prefix", ["prepend", "metaspace", "none"])
def test_a_prefix_space_comes_where_transformers_has_it(prefix: str) -> None:
    theirs = PreTrainedTokenizerFast(tokenizer_object=byte_fallback(prefix))
    ours = Tokenizer(byte_fallback(prefix))
    for text in ("[INST] the quick [/INST]the</s>", "the [INST]the", "[INST]", "the quick"):
        assert ours.encode_trusted(text) == theirs.encode(text, add_special_tokens=False)


def test_begin_of_sequence_is_added_once_by_encode_and_never_by_a_chat() -> None:
    tokenizer = Tokenizer(byte_fallback(), named_tokens={"bos_token": "<s>"})
    assert tokenizer.encode("the")[0] == 1
    assert tokenizer.encode("the", add_special_tokens=False)[0] != 1
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "the"}], template="{{ bos_token }}{{ messages[0].content }}"
    )
    assert chat == tokenizer.encode("the")


@pytest.mark.parametrize("lstrip", [True, False])
@pytest.mark.parametrize("rstrip", [True, False])
def test_special_tokens_take_the_white_space_they_ask_for(lstrip: bool, rstrip: bool) -> None:
    from tokenizers import AddedToken

    def make() -> Any:
        backend = byte_level()
        backend.add_special_tokens([AddedToken("<|x|>", special=True, lstrip=lstrip, rstrip=rstrip, normalized=False)])
        return backend

    theirs = PreTrainedTokenizerFast(tokenizer_object=make())
    text = "a  <|x|> \n b<|x|><|x|> <|x|>"
    assert Tokenizer(make()).encode_trusted(text) == theirs.encode(text, add_special_tokens=False)


def test_a_long_run_of_spaces_is_looked_at_once() -> None:
    from tokenizers import AddedToken

    tokens = SpecialTokens({1: AddedToken("<|x|>", special=True, lstrip=True)})
    spaces = " " * 100_000  # once for each of them takes minutes
    assert list(tokens.split(f"{spaces}y{spaces}<|x|>")) == [f"{spaces}y", 1]


def test_a_directory_gives_its_ends_template_and_named_tokens(tmp_path: Path) -> None:
    write_tiny_tokenizer(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": [7, 8]}))
    tokenizer = Tokenizer.from_directory(tmp_path)
    assert tokenizer.eos_token_ids == {2, 7, 8}
    assert tokenizer.chat_template == CHAT_TEMPLATE
    assert tokenizer.named_tokens["bos_token"] == BOS
    assert tokenizer.vocab_size == 320
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": 9}))
    (tmp_path / "chat_template.jinja").write_text("other")
    tokenizer = Tokenizer.from_directory(tmp_path)
    assert tokenizer.eos_token_ids == {2, 7, 8, 9}
    assert tokenizer.chat_template == "other"
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.encode("The quick 😀") == theirs.encode("The quick 😀")


def test_tokens_that_only_the_config_lists_are_added(tmp_path: Path) -> None:
    write_tiny_tokenizer(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"] = {
        "320": {"content": "<|new|>", "special": True, "normalized": False},
        "321": {"content": "<think>", "special": False, "normalized": False},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = Tokenizer.from_directory(tmp_path)
    assert tokenizer.vocab_size == 322
    assert tokenizer.encode_trusted("<|new|><think>") == [320, 321]
    assert 320 not in tokenizer.encode("<|new|>")
    config["added_tokens_decoder"] = {"400": {"content": "<|far|>", "special": True}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadError, match=r"'<\|far\|>' the id 400"):
        Tokenizer.from_directory(tmp_path)


def test_directories_that_are_not_tokenizers(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"no tokenizer\.json"):
        Tokenizer.from_directory(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelLoadError, match="is not a tokenizer"):
        Tokenizer.from_directory(tmp_path)
    write_tiny_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(ModelLoadError, match=r"tokenizer_config\.json is not JSON"):
        Tokenizer.from_directory(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        {"added_tokens_decoder": {"x": {"content": "<|a|>"}}},
        {"added_tokens_decoder": [1]},
        {"added_tokens_decoder": {"400": {}}},
        {"eos_token": {}},
        {"eos_token": True},
        {"chat_template": [{"name": "default"}]},
        {"chat_template": {"default": "x"}},
    ],
)
def test_a_config_of_another_form_is_named(config: dict[str, Any], tmp_path: Path) -> None:
    write_tiny_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadError, match=r"tokenizer_config\.json is not that of a tokenizer"):
        Tokenizer.from_directory(tmp_path)


def test_bad_words_are_banned_at_the_start_and_after_a_space() -> None:
    tokenizer = TOKENIZERS["byte_level"]
    ways = tokenizer.bad_word_ids(["the"])
    assert sorted(tokenizer.decode(ids) for ids in ways) == [" the", "the"]
    assert tokenizer.bad_word_ids([]) == []


def test_decode_skips_special_tokens_only_when_asked() -> None:
    tokenizer = TOKENIZERS["byte_level"]
    ids = [1, *tokenizer.encode("hi"), 2, 100_000]
    assert tokenizer.decode(ids) == "hi"
    assert tokenizer.decode(ids, skip_special_tokens=False) == f"{BOS}hi{EOS}"


def test_token_bytes_join_to_the_text() -> None:
    tokenizer = TOKENIZERS["byte_level"]
    table = tokenizer.token_bytes()
    assert table is not None
    assert len(table) == tokenizer.vocab_size
    text = "naïve 😀 日本"
    assert b"".join(table[i] for i in tokenizer.encode(text)).decode() == text
    assert TOKENIZERS["byte_fallback"].token_bytes() is None


def test_a_model_without_a_chat_template_says_what_to_do() -> None:
    with pytest.raises(InvalidRequestError, match=r"no chat template\. Give one as chat_template"):
        Tokenizer(byte_level()).apply_chat_template([{"role": "user", "content": "hi"}])


def test_truncation_and_padding_in_the_file_do_not_count() -> None:
    backend = byte_level()
    backend.enable_truncation(2)
    backend.enable_padding(length=8)
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    assert Tokenizer(backend).decode(Tokenizer(backend).encode("a long enough text")) == "a long enough text"


def test_half_a_surrogate_pair_is_refused() -> None:
    tokenizer = Tokenizer(byte_level(), chat_template=CHAT_TEMPLATE)
    with pytest.raises(InvalidRequestError, match="surrogate"):
        tokenizer.encode("a\ud800")
    with pytest.raises(InvalidRequestError, match="surrogate"):
        tokenizer.apply_chat_template([{"role": "user", "content": "a\udc00"}])
