"""A knob with a wrong name or value is refused with what is allowed."""

import pytest

from quire.config import EngineConfig
from quire.errors import ConfigError

REFUSED = [
    ({"blok_size": 8}, "'blok_size' is not a knob of the engine. Did you mean 'block_size'?"),
    ({"dtype": "float61"}, "dtype is 'float61'; allowed: auto, float32, bfloat16, float16. Did you mean 'float16'?"),
    ({"block_size": 0}, "block_size is 0; allowed: a whole number of at least 1 and at most 1024."),
    ({"block_size": 8.0}, "block_size is 8.0"),
    ({"max_num_seqs": True}, "max_num_seqs is True"),
    ({"memory_fraction": 1.5}, "memory_fraction is 1.5; allowed: a number of at least 0.01 and at most 0.95."),
    ({"memory_fraction": float("nan")}, "memory_fraction is nan"),
    ({"enable_prefix_caching": 1}, "enable_prefix_caching is 1; allowed: True or False."),
    ({"scheduling_policy": "fifo"}, "scheduling_policy is 'fifo'; allowed: fcfs, priority, shortest, slo."),
    ({"device": "cuda"}, "device is 'cuda'; allowed: auto, cpu."),
    ({"chat_template": 5}, "chat_template is 5; allowed: a string."),
    ({"max_model_len": 0}, "max_model_len is 0; allowed: a whole number of at least 1."),
]


@pytest.mark.parametrize(("knobs", "message"), REFUSED, ids=lambda x: next(iter(x)) if isinstance(x, dict) else None)
def test_refused(knobs: dict, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        EngineConfig.from_kwargs(knobs)
    assert str(refused.value).startswith(message)


def test_none_stands_for_the_default_where_there_is_none() -> None:
    assert EngineConfig.from_kwargs({"max_model_len": None, "memory_fraction": 1e-2}).max_model_len is None
    with pytest.raises(ConfigError, match="block_size is None"):
        EngineConfig(block_size=None)
