"""Decoding token by token gives what decoding the whole gives, whatever the ids, and never half a character."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.models.tokenizer import Tokenizer
from tests.models.tiny_tokenizers import KINDS

TOKENIZERS = {name: Tokenizer(make()) for name, make in KINDS.items()}


def pieces(tokenizer: Tokenizer, ids: list[int], *, skip_special_tokens: bool = True) -> list[str]:
    decoder = tokenizer.new_decoder(skip_special_tokens=skip_special_tokens)
    return [*(decoder.push(token_id) for token_id in ids), decoder.flush()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("skip", [True, False])
@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_pieces_joined_are_the_decoded_whole(kind: str, skip: bool, data: st.DataObject) -> None:
    tokenizer = TOKENIZERS[kind]
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size + 5), max_size=30))
    assert "".join(pieces(tokenizer, ids, skip_special_tokens=skip)) == tokenizer.decode(ids, skip_special_tokens=skip)


@pytest.mark.parametrize("kind", [name for name in KINDS if name.startswith("byte_fallback")])
@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_runs_of_byte_tokens(kind: str, data: st.DataObject) -> None:
    """Mostly byte tokens, valid and broken, between some text."""
    tokenizer = TOKENIZERS[kind]
    text = st.text(max_size=4).map(lambda s: [tokenizer.token_id(f"<0x{b:02X}>") for b in s.encode()])
    broken = st.lists(st.integers(0, 300), max_size=3)
    ids = [i for part in data.draw(st.lists(text | broken, max_size=6)) for i in part]
    assert "".join(pieces(tokenizer, ids)) == tokenizer.decode(ids)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=100)
@given(text=st.text(max_size=30))
def test_no_piece_ends_in_half_a_character(kind: str, text: str) -> None:
    tokenizer = TOKENIZERS[kind]
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert ("\ufffd" in "".join(pieces(tokenizer, ids))) == ("\ufffd" in tokenizer.decode(ids))
    if kind == "byte_level":
        assert "".join(pieces(tokenizer, ids)) == text


def test_a_character_of_several_tokens_comes_when_it_is_whole() -> None:
    tokenizer = TOKENIZERS["byte_level"]
    ids = tokenizer.encode("a😀b", add_special_tokens=False)
    assert len(ids) > 3
    given_pieces = pieces(tokenizer, ids)
    assert [piece for piece in given_pieces if piece] == ["a", "😀", "b"]


def test_a_decoder_is_as_new_after_flush() -> None:
    for tokenizer in TOKENIZERS.values():
        ids = tokenizer.encode("the quick fox", add_special_tokens=False)
        decoder = tokenizer.new_decoder()
        once = "".join(map(decoder.push, ids)) + decoder.flush()
        assert "".join(map(decoder.push, ids)) + decoder.flush() == once == tokenizer.decode(ids)
