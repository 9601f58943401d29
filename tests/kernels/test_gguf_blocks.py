"""GGUF's blocks against the gguf package's own dequantisation, also where no quantiser of ours would have made them."""

import gguf
import numpy as np
import pytest
import torch

from quire import kernels
from quire.kernels.quantized import Int4Weight, Int8Weight, _empty

Q4_0, Q8_0 = gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.Q8_0


def random_blocks(rows: int, inputs: int, kind: gguf.GGMLQuantizationType) -> torch.Tensor:
    """Any integers under any finite scale."""
    rng = np.random.default_rng(rows)
    num_bytes = gguf.GGML_QUANT_SIZES[kind][1]
    blocks = rng.integers(0, 256, (rows * inputs // 32, num_bytes), dtype=np.uint8)
    blocks[:, :2] = rng.normal(0, 0.1, (len(blocks), 1)).astype(np.float16).view(np.uint8)
    return torch.from_numpy(blocks.reshape(rows, -1))


def numbers_of(blocks: torch.Tensor, kind: gguf.GGMLQuantizationType) -> torch.Tensor:
    return torch.from_numpy(gguf.quants.dequantize(blocks.numpy(), kind))


@pytest.mark.parametrize(("rows", "inputs"), [(1, 32), (64, 96), (200, 1024)])
def test_q8_0_numbers(rows: int, inputs: int) -> None:
    blocks = random_blocks(rows, inputs, Q8_0)
    assert torch.equal(kernels.dequantize_q8_0(blocks), numbers_of(blocks, Q8_0))


@pytest.mark.parametrize(("rows", "inputs"), [(1, 32), (64, 96), (65, 64), (200, 160)])
def test_q4_0_is_packed_to_the_bit(rows: int, inputs: int) -> None:
    """A row of activations that is 127 at one input reads that input's weights exactly."""
    blocks = random_blocks(rows, inputs, Q4_0)
    packed = Int4Weight.of(_empty(Int4Weight.layout(rows, inputs)), rows, inputs)
    packed.data.fill_(255)
    for first in range(0, rows, 64):
        packed.pack_q4_0_(first, blocks[first : first + 64])
    read = kernels.linear_int4(127 * torch.eye(inputs), packed)
    assert torch.equal(read, 127 * numbers_of(blocks, Q4_0).T)


def test_q4_0_of_a_quantiser_is_what_packing_its_numbers_gives() -> None:
    torch.manual_seed(0)
    blocks = torch.from_numpy(gguf.quants.quantize(torch.randn(70, 64).numpy(), Q4_0))
    packed = Int4Weight.of(_empty(Int4Weight.layout(70, 64)), 70, 64)
    packed.pack_q4_0_(0, blocks)
    assert torch.equal(packed.data, kernels.quantize_int4(numbers_of(blocks, Q4_0)).data)


def test_runs_of_rows_make_the_whole_matrix(isa: str) -> None:
    torch.manual_seed(0)
    weight = torch.randn(300, 64).bfloat16()
    for kind, whole in ((Int8Weight, kernels.quantize_int8(weight)), (Int4Weight, kernels.quantize_int4(weight))):
        parts = kind.of(_empty(kind.layout(300, 64)), 300, 64)
        for begin, end in ((128, 256), (0, 128), (256, 300)):
            parts.pack_(begin, weight[begin:end])
        assert torch.equal(parts.data, whole.data)
        with pytest.raises(ValueError, match="rows 64 to 100 of 300 are to be packed"):
            parts.pack_(64, weight[64:100])
        with pytest.raises(ValueError, match="rows 32 to 96 of 300"):
            parts.pack_(32, weight[32:96])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", [1, 7, 64])
def test_packed_rows_are_looked_up(dtype: torch.dtype, width: int) -> None:
    torch.manual_seed(width)
    table = torch.randn(130, width)
    scales = table.abs().amax(1, keepdim=True) / 127
    expected = ((table / scales).round() * scales).to(dtype)
    ids = torch.tensor([0, 129, 64, 64, 63])
    found = kernels.embedding_int8(ids, kernels.quantize_int8(table), dtype)
    torch.testing.assert_close(found, expected[ids])
    with pytest.raises(IndexError, match="the token id 130 is outside"):
        kernels.embedding_int8(torch.tensor([130]), kernels.quantize_int8(table), dtype)


def test_checksums_tell_bytes_and_lengths_apart() -> None:
    data = torch.zeros(3_000_000, dtype=torch.uint8)
    known = {kernels.checksum(data), kernels.checksum(data[:-1])}
    for place in (0, 1_500_000, 2_999_999):
        data[place] = 1
        known.add(kernels.checksum(data))
    assert len(known) == 5
    assert kernels.checksum(data) == kernels.checksum(data.clone())
