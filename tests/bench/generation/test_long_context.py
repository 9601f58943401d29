from pathlib import Path

import torch

from quire.bench.generation import long_context
from quire.bench.generation.workloads import HIGHEST_ID
from tests.models.tiny import write_tiny


def test_every_sequence_reads_kv_of_its_own(tmp_path: Path) -> None:
    write_tiny(tmp_path, "qwen3", vocab_size=HIGHEST_ID)
    cases = long_context.cases(model=str(tmp_path), weights="bf16", sequences=3, tokens=40, steps=2, threads=1)
    assert [case.params["kv"] for case in cases] == ["auto", "int8"]
    for case in cases:
        assert case.run().values["step_ms"] > 0
        _, executor, inputs = case.run.__self__._made  # type: ignore[attr-defined]
        assert sorted(inputs.block_tables.reshape(-1)) == list(range(9))
        assert list(inputs.slots) == [2 * 16 + 7, 5 * 16 + 7, 8 * 16 + 7]
        first = executor._kv[0]
        assert first.count_nonzero()
        assert all(torch.equal(first[..., :7, :], block[..., :7, :]) for block in executor._kv)
        case.close()
