"""A replay gives what the layers give, to the bit, and what cannot be replayed is left to the layers."""

from pathlib import Path

import pytest
import torch

from quire.models.encoders import load_encoder, pack_texts
from quire.models.encoders.recorded import MAX_TOKENS, RecordedLayers
from tests.models.tiny_encoders import VOCAB_SIZE, write_tiny_encoder


def random_text(length: int) -> list[int]:
    return torch.randint(4, VOCAB_SIZE, (length,)).tolist()


@pytest.mark.parametrize("quantization", [None, "int8"])
def test_a_replay_gives_what_the_layers_give(quantization: str | None, tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path, "bert")
    encoder = load_encoder(tmp_path, dtype="float32", quantization=quantization).model.encoder
    seen = []
    for length in (3, 1, 3, MAX_TOKENS, 3, 1, MAX_TOKENS + 1):
        texts = pack_texts([random_text(length)])
        states = encoder.run_layers(encoder.embeddings(texts), texts.starts)
        assert torch.equal(encoder(texts), states)
        seen.append(states)
    assert not torch.equal(seen[0], seen[2])
    assert set(encoder._recorded._by_length) == {1, 3, MAX_TOKENS}


def test_several_texts_and_a_second_caller_are_left_to_the_layers() -> None:
    recorded, x_TD = RecordedLayers(), torch.ones(4, 2)
    assert recorded.run(lambda x, _: x, x_TD, torch.tensor([0, 2, 4], dtype=torch.int32)) is None
    with recorded._lock:
        assert recorded.run(lambda x, _: x, x_TD, torch.tensor([0, 4], dtype=torch.int32)) is None


def test_layers_that_only_torch_can_compute_are_not_recorded() -> None:
    recorded, starts = RecordedLayers(), torch.tensor([0, 4], dtype=torch.int32)
    for _ in range(2):
        assert recorded.run(lambda x, _: x + 1, torch.ones(4, 2), starts) is None
