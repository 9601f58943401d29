"""Pieces of a section put together to passages of so many tokens, in their order, with some overlap.

    room 10, overlap 3     pieces   4  3  2  1  5  5  12
                           passages [4  3  2  1]
                                          [2  1  5]        2 + 1 again: they fit into the overlap, and leave room for 5
                                                [5]        nothing again: 5 would not fit into it
                                                   [12 is cut before it comes here]

Invariant: every piece is in a passage, and every passage but the last ends behind the one before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    start: int
    end: int
    num_tokens: int


def packed(pieces: Sequence[Piece], room: int, overlap: int) -> Iterator[tuple[int, int]]:
    """[start, end) of each passage. No piece has more tokens than `room`."""
    begin = 0
    while begin < len(pieces):
        end = _end_of_passage(pieces, begin, room)
        yield pieces[begin].start, pieces[end - 1].end
        if end == len(pieces):
            return
        begin = _begin_again(pieces, begin, end, min(overlap, room - pieces[end].num_tokens))


def _end_of_passage(pieces: Sequence[Piece], begin: int, room: int) -> int:
    end = begin
    while end < len(pieces) and (end == begin or pieces[end].num_tokens <= room):
        room -= pieces[end].num_tokens
        end += 1
    return end


def _begin_again(pieces: Sequence[Piece], begin: int, end: int, room: int) -> int:
    """As many of the last pieces before `end` as fit into `room`."""
    first = end
    while first - 1 > begin and pieces[first - 1].num_tokens <= room:
        first -= 1
        room -= pieces[first].num_tokens
    return first
