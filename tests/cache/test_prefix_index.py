"""Digests against hashlib, written out; the index against what a reader can check by hand."""

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire._native import hash_blocks
from quire.cache.prefix_index import PrefixIndex, extend_digests, root_digest

TOKEN_IDS = st.lists(st.integers(0, 2**31 - 1), max_size=200)


def digests_by_hashlib(parent: bytes, token_ids: list[int], block_size: int) -> list[bytes]:
    digests = []
    for start in range(0, len(token_ids) - block_size + 1, block_size):
        block = token_ids[start : start + block_size]
        parent = hashlib.sha256(parent + struct.pack(f"<{block_size}i", *block)).digest()
        digests.append(parent)
    return digests


@given(token_ids=TOKEN_IDS, block_size=st.integers(1, 70))
def test_digests_are_those_of_hashlib(token_ids: list[int], block_size: int) -> None:
    root = root_digest(b"model")
    expected = digests_by_hashlib(root, token_ids, block_size)
    assert hash_blocks(root, token_ids, 0, block_size, len(token_ids) // block_size) == expected


@given(token_ids=TOKEN_IDS, block_size=st.integers(1, 9), data=st.data())
def test_a_chain_extended_bit_by_bit_is_the_chain(token_ids: list[int], block_size: int, data: st.DataObject) -> None:
    root, digests = root_digest(b"model"), list[bytes]()
    expected = digests_by_hashlib(root, token_ids, block_size)
    for num_blocks in sorted(data.draw(st.lists(st.integers(0, len(expected))))):
        extend_digests(digests, root, token_ids, block_size, num_blocks)
        assert digests == expected[:num_blocks]


def test_long_lists_are_hashed_without_the_interpreter_lock() -> None:
    token_ids = list(range(40_000))
    assert hash_blocks(bytes(32), token_ids, 0, 16, 2500) == digests_by_hashlib(bytes(32), token_ids, 16)


@pytest.mark.parametrize("token_id", [-1, 2**31, 2**80])
def test_an_id_that_does_not_fit_is_named(token_id: int) -> None:
    with pytest.raises(ValueError, match=f"token id {token_id} at position 1 cannot be hashed"):
        hash_blocks(bytes(32), [0, token_id], 0, 2, 1)


def test_what_is_no_token_id_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        hash_blocks(bytes(32), ["a"], 0, 1, 1)


@pytest.mark.parametrize(
    ("parent", "start", "block_size", "num_blocks"),
    [(bytes(31), 0, 1, 1), (bytes(32), 0, 0, 1), (bytes(32), 0, 2, 2), (bytes(32), 4, 1, 1), (bytes(32), 1, 3, 2**62)],
)
def test_blocks_that_are_not_there_are_refused(parent: bytes, start: int, block_size: int, num_blocks: int) -> None:
    with pytest.raises(ValueError, match=r"32 bytes|block_size is 0|no .* full blocks"):
        hash_blocks(parent, [1, 2, 3], start, block_size, num_blocks)


def test_no_part_of_the_root_can_pass_for_another() -> None:
    roots = {
        root_digest(b""),
        root_digest(b"ab"),
        root_digest(b"a", adapter="b"),
        root_digest(b"", adapter="ab"),
        root_digest(b"a", cache_salt="b"),
        root_digest(b"", cache_salt="ab"),
        root_digest(b"", adapter="a", cache_salt="b"),
    }
    assert len(roots) == 7


def test_longest_prefix_is_found_and_the_first_page_of_a_digest_stays() -> None:
    index = PrefixIndex()
    assert index.store([b"a", b"b", b"c"], [5, 6, 7]) == [b"a", b"b", b"c"]
    assert index.store([b"a", b"d"], [8, 9]) == [b"d"]
    assert index.find([b"a", b"b", b"x", b"c"]) == [5, 6]
    assert index.find([b"x", b"a"]) == []
    assert index.remove([6]) == [b"b"]
    assert index.find([b"a", b"b", b"c"]) == [5]
    index.rename([(5, 0), (8, 1)])
    assert index.find([b"a"]) == [0]
    index.check_invariants(owners=[])
    assert set(index.clear()) == {b"a", b"c", b"d"}
    assert len(index) == 0


def test_a_promise_lasts_until_its_last_owner_withdraws_it() -> None:
    index = PrefixIndex()
    index.promise(1, b"a")
    index.promise(2, b"a")
    index.promise(1, b"b")
    assert index.is_promised(b"a")
    assert index.is_promised(b"b")
    index.promise(2, None)
    assert not index.is_promised(b"a")
    index.promise(2, None)
    index.check_invariants(owners=[1])
    with pytest.raises(AssertionError):
        index.check_invariants(owners=[2])
