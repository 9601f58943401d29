"""The elastic benchmark gives memory back, and what ran goes on as if nothing had happened."""

from quire.bench.structures import elastic


def test_memory_goes_back_and_running_sequences_do_not_notice() -> None:
    (case,) = elastic.cases(quick=True)
    values = case.run().values
    assert values["unchanged_share"] == 1
    assert values["returned_mib"] > 4
    assert values["fragmentation_before"] > 0
