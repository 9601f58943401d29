"""A letter for each block, by hand."""

from quire.cache.block_map import STATES, map_blocks

REF_COUNTS = [0, 0, 1, 1, 2, 3, 0]
DIGESTS = {1: b"1", 3: b"3", 5: b"5", 6: b"6"}


def test_each_block_has_the_letter_of_what_it_does() -> None:
    drawn = map_blocks(REF_COUNTS, DIGESTS, {b"3", b"5", b"6", b"gone"}, max_cells=7)
    assert (drawn.cells, drawn.blocks_per_cell) == (".fhHsSF", 1)
    assert drawn.counts == dict.fromkeys(STATES, 1)


def test_a_cell_of_several_blocks_shows_the_most_notable() -> None:
    drawn = map_blocks(REF_COUNTS, DIGESTS, {b"6"}, max_cells=3)
    assert (drawn.cells, drawn.blocks_per_cell) == ("hsF", 3)
    assert drawn.counts["h"] == 2
    assert map_blocks([], {}, (), max_cells=3).cells == ""
