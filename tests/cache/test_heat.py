"""Blocks that are found again and again are hot, until nobody asks for a while."""

from quire.cache.events import BlocksRemoved, BlocksShared, BlocksStored
from quire.cache.heat import HALVING_S, BlockHeat


def test_found_twice_is_hot_until_it_cools_or_goes() -> None:
    now_s = [0.0]
    heat = BlockHeat(lambda: now_s[0])
    heat(BlocksStored([b"a", b"b"], b"", [1, 2], 1))
    heat(BlocksShared([b"a", b"b"]))
    assert heat.hot() == set()
    for _ in range(3):
        heat(BlocksShared([b"a"]))
    heat(BlocksShared([b"b"]))
    assert heat.hot() == {b"a", b"b"}  # 4 and 2
    now_s[0] = 61.0
    assert heat.hot() == {b"a"}  # 2 and 1
    heat(BlocksShared([b"b"]))
    assert heat.hot() == {b"a", b"b"}  # 2 and 2
    now_s[0] = 300.0
    assert heat.hot() == set()
    heat(BlocksRemoved([b"a"]))
    heat(BlocksShared([b"b", b"b"]))
    assert heat.hot() == {b"b"}


def test_a_long_silence_cools_everything() -> None:
    now_s = [0.0]
    heat = BlockHeat(lambda: now_s[0])
    for _ in range(3):
        heat(BlocksShared([b"a"]))
    now_s[0] = 2000 * HALVING_S  # a day and a half
    assert heat.hot() == set()
    heat(BlocksShared([b"a"]))
    assert heat.hot() == set()
