"""The default embedding model, for tests that are about it."""

from pathlib import Path

import pytest

from quire.errors import ModelLoadError
from quire.retrieval.neural.default_model import find_default_model


@pytest.fixture(scope="session")
def minilm() -> Path:
    try:
        return find_default_model()
    except ModelLoadError as error:
        pytest.skip(str(error))
