"""A row of training: token ids, and the weight of each in the loss. Knows no tokenizer."""

from __future__ import annotations

from dataclasses import dataclass

NUM_CHOOSING = 4  # tokens that decide which sentence is quoted
QUOTE_TOKENS = 14  # a reply of more than so many is a quoted sentence


@dataclass(frozen=True)
class Emphasis:
    """Weights of an answer's first token, which decides where to read, and of its citation; of a quoted sentence also
    those of the few tokens that choose it and of the rest, which is copying."""

    first: float = 1.0
    citation: float = 1.0
    choosing: float = 1.0
    copied: float = 1.0


@dataclass(frozen=True)
class Row:
    ids: list[int]
    weights: list[float]  # of predicting ids[i]; the first one is never predicted


def join(first: Row, second: Row) -> Row:
    return Row(first.ids + second.ids, first.weights + second.weights)


def emphasised(reply: Row, emphasis: Emphasis) -> Row:
    """The token before a citation ends a quoted sentence and is not counted as copied."""
    weights = list(reply.weights)
    if len(weights) > QUOTE_TOKENS:
        copied = slice(1 + NUM_CHOOSING, -3)
        weights[2 : 1 + NUM_CHOOSING] = [emphasis.choosing] * (NUM_CHOOSING - 1)
        weights[copied] = [emphasis.copied] * len(weights[copied])
    weights[1], weights[-2] = emphasis.first, emphasis.citation
    return Row(reply.ids, weights)
