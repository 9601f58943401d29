"""The kernels of encoders against float64, on sizes off every tile and vector boundary."""

import pytest
import torch

from quire import kernels
from tests.reference import kernels as slow

TOLERANCE = {torch.float32: 3e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3}
DTYPES = list(TOLERANCE)
NONLINEARITIES = ["none", "gelu", "gelu_tanh", "relu"]


def close(actual: torch.Tensor, expected: torch.Tensor, factor: float = 1) -> None:
    tolerance = TOLERANCE[actual.dtype] * factor
    torch.testing.assert_close(actual.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "size", [(1, 1, 1), (1, 32, 8), (2, 31, 9), (3, 64, 64), (5, 33, 65), (7, 100, 130), (13, 1056, 17), (301, 40, 70)]
)
def test_linear_packed(isa: str, dtype: torch.dtype, size: tuple[int, int, int]) -> None:
    rows, inputs, outputs = size
    torch.manual_seed(rows * inputs + outputs)
    x, weight = torch.randn(rows, inputs).to(dtype), (torch.randn(outputs, inputs) / inputs**0.5).to(dtype)
    bias = torch.randn(outputs).to(dtype)
    packed = kernels.pack_linear(weight)
    close(kernels.linear_packed(x, packed), x.double() @ weight.double().T)
    for kind in NONLINEARITIES:
        expected = slow.nonlinear(x.double() @ weight.double().T + bias.double(), kind)
        close(kernels.linear_packed(x, packed, bias, kind), expected)


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_linear_packed_of_float32_with_weights_in_fewer_bits(isa: str, stored: torch.dtype) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(13, 70), torch.randn(85, 70), torch.randn(85)
    packed = kernels.pack_linear(weight, stored)
    assert packed.data.nbytes == kernels.pack_linear(weight).data.nbytes // 2
    close(kernels.linear_packed(x, packed, bias), x.double() @ weight.to(stored).double().T + bias.double(), 10)


def test_a_row_of_a_packed_product_depends_on_no_other(isa: str) -> None:
    torch.manual_seed(0)
    x, packed = torch.randn(200, 96), kernels.pack_linear(torch.randn(70, 96))
    together = kernels.linear_packed(x, packed)
    assert torch.equal(together[150:151], kernels.linear_packed(x[150:151].contiguous(), packed))


def test_linear_packed_of_no_rows_is_empty() -> None:
    packed = kernels.pack_linear(torch.randn(5, 4))
    assert kernels.linear_packed(torch.empty(0, 4), packed).shape == (0, 5)


def test_a_packed_weight_refuses_another_format_or_width() -> None:
    packed = kernels.pack_linear(torch.randn(5, 4))
    with pytest.raises(ValueError, match=r"packed from torch\.float32"):
        kernels.linear_packed(torch.randn(2, 4).bfloat16(), packed)
    with pytest.raises(ValueError, match="rows of 4"):
        kernels.linear_packed(torch.randn(2, 3), packed)
    with pytest.raises(ValueError, match="contiguous matrix"):
        kernels.pack_linear(torch.randn(4, 5).T)
    with pytest.raises(ValueError, match=r"stored is torch\.float16; of torch\.bfloat16"):
        kernels.pack_linear(torch.randn(4, 5).bfloat16(), torch.float16)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", NONLINEARITIES)
def test_nonlinear_over_its_whole_range(isa: str, dtype: torch.dtype, kind: str) -> None:
    x = torch.cat([torch.linspace(-40, 40, 4001), torch.tensor([0.0, 1e30, -1e30])]).to(dtype)
    x = x[x.isfinite()]
    close(kernels.nonlinear_(x.clone(), kind), slow.nonlinear(x, kind))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 7, 16, 33, 384])
def test_layer_norm(isa: str, dtype: torch.dtype, width: int) -> None:
    torch.manual_seed(width)
    x, residual = (torch.randn(5, width).to(dtype) + 3 for _ in range(2))
    weight, bias = torch.randn(width).to(dtype), torch.randn(width).to(dtype)
    close(kernels.layer_norm(x, weight, bias, 1e-5), slow.layer_norm(x, weight, bias, 1e-5), 3)
    total = x.double() + residual.double()
    close(kernels.layer_norm(x, weight, bias, 1e-5, residual), slow.layer_norm(total, weight, bias, 1e-5), 3)


def test_layer_norm_of_large_equal_numbers_is_the_bias(isa: str) -> None:
    x, weight, bias = torch.full((1, 40), 3e4), torch.ones(40), torch.arange(40.0)
    close(kernels.layer_norm(x, weight, bias, 1e-12), bias.double()[None])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("head_dim", [8, 31, 32, 40, 64, 80, 128])
def test_encoder_attention(isa: str, dtype: torch.dtype, head_dim: int) -> None:
    torch.manual_seed(head_dim)
    lengths = [1, 3, 64, 0, 65, 130]
    qkv = torch.randn(sum(lengths), 9, head_dim).to(dtype)
    q, k, v = qkv[:, :3], qkv[:, 3:6], qkv[:, 6:]
    starts = torch.tensor([0, *lengths]).cumsum(0).int()
    out = kernels.encoder_attention(q, k, v, starts, head_dim**-0.5)
    close(out, slow.encoder_attention(q, k, v, lengths, head_dim**-0.5))


def test_encoder_attention_stays_finite_where_scores_are_large(isa: str) -> None:
    qkv = torch.full((70, 3, 32), 100.0)
    qkv[:, 2] = torch.arange(70.0)[:, None]
    out = kernels.encoder_attention(qkv[:, :1], qkv[:, 1:2], qkv[:, 2:], torch.tensor([0, 70]).int(), 1.0)
    close(out, torch.full((70, 1, 32), 34.5).double())


def test_encoder_attention_says_what_it_needs() -> None:
    x, starts = torch.randn(4, 2, 8), torch.tensor([0, 4]).int()
    with pytest.raises(ValueError, match="k is"):
        kernels.encoder_attention(x, x.transpose(0, 1), x, starts, 1.0)
    with pytest.raises(ValueError, match="starts is"):
        kernels.encoder_attention(x, x, x, starts.long(), 1.0)
    with pytest.raises(ValueError, match="scale is 0"):
        kernels.encoder_attention(x, x, x, starts, 0.0)
