import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from quire.config import EngineConfig
from quire.engine.assembly import assemble
from tests.models.tiny import write_tiny
from tests.models.tiny_tokenizers import write_tiny_tokenizer
from tests.server.serving import Running, running


@pytest.fixture(autouse=True, scope="session")
def _quiet() -> None:
    """What commands of other tests configured writes to streams that are closed by now."""
    logging.getLogger("quire").handlers.clear()


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served")
    write_tiny(path, "qwen3", seed=2)
    write_tiny_tokenizer(path)
    return path


@pytest.fixture(scope="session")
def tiny(model_path: Path) -> Iterator[Running]:
    """A server of a tiny random model that can speak."""
    config = EngineConfig(num_threads=1, max_num_seqs=16, kv_cache_memory=32 << 20)
    with running(assemble(model_path, config), trust_request_chat_template=True) as server:
        yield server
