"""What is asked of a dataset that is measured on: the questions that come with it, or else the beginnings of texts."""

import os
from collections.abc import Sequence
from itertools import islice
from random import Random

from quire.bench.datasets import Dataset, open_dataset
from quire.errors import ConfigError

WORDS = 12


def given_place(data: str) -> str:
    """What `--data` says, or the environment."""
    return data or os.environ.get("QUIRE_DATA", "")


def given_dataset(data: str) -> Dataset:
    place = given_place(data)
    if not place:
        raise ConfigError("Nothing is named to be searched; give --data PATH, PATH:format, or set QUIRE_DATA.")
    return open_dataset(place)


def questions_for(dataset: Dataset, texts: Sequence[str], count: int) -> list[str]:
    """At most `count`, the same every time."""
    found = [question.text for question in islice(dataset.questions(), count)]
    if not found and texts:
        drawn = Random(0).choices(texts, k=count)
        found = [" ".join(text.split()[:WORDS]) for text in drawn]
    return found


def sizes_within(sizes: Sequence[int], available: int) -> list[int]:
    """Each size once, in order; one that is larger than all there is becomes all there is."""
    return list(dict.fromkeys(min(size, available) for size in sizes))
