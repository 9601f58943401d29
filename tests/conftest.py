"""Tests keep what they cache in a folder of their own, subprocesses included, and log as if they were alone. What
hypothesis tries is the same every time, and no example is too slow for it: a test fails for what the code does."""

import gc
import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.load_profile("ci")


def pytest_collection_finish() -> None:
    """What was imported stays: collections of rubbish, which every benchmark asks for, need not look through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("QUIRE_CACHE")
    os.environ["QUIRE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["QUIRE_CACHE"]
    else:
        os.environ["QUIRE_CACHE"] = before


@pytest.fixture(autouse=True)
def logger() -> Iterator[None]:
    """What a command configures ends with its test, as the stream that it logs to does."""
    quire = logging.getLogger("quire")
    handlers, level, propagate = quire.handlers[:], quire.level, quire.propagate
    yield
    quire.handlers[:], quire.propagate = handlers, propagate
    quire.setLevel(level)
