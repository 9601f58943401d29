"""Linear layers over plain, int8 and 4-bit weights against float64 and exact integer products, on odd sizes."""

import pytest
import torch

from quire import kernels
from tests.reference import kernels as slow

TOLERANCE = {torch.float32: 3e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3}
DTYPES = list(TOLERANCE)
# rows, inputs, outputs: one of each, off every tile and vector boundary, more rows than a register tile
SIZES = [(1, 1, 1), (1, 32, 8), (2, 31, 9), (3, 64, 64), (5, 33, 65), (7, 100, 130), (13, 1056, 17), (70, 40, 70)]


def make(rows: int, inputs: int, outputs: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(rows * inputs + outputs)
    return (
        torch.randn(rows, inputs).to(dtype),
        (torch.randn(outputs, inputs) / inputs**0.5).to(dtype),
        torch.randn(outputs).to(dtype),
    )


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    tolerance = TOLERANCE[expected.dtype]
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [*SIZES, (197, 1100, 70)])  # and more rows than a block
def test_linear(isa: str, dtype: torch.dtype, size: tuple[int, int, int]) -> None:
    x, weight, bias = make(*size, dtype)
    close(kernels.linear(x, weight), (x.double() @ weight.double().T).to(dtype))
    close(kernels.linear(x, weight, bias), (x.double() @ weight.double().T + bias.double()).to(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [*SIZES, (83, 3075, 70), (80, 4500, 17)])  # and weights widened in parts
def test_int8(isa: str, dtype: torch.dtype, size: tuple[int, int, int]) -> None:
    x, weight, bias = make(*size, dtype)
    packed = kernels.quantize_int8(weight)
    close(kernels.linear_int8(x, packed), slow.linear_int8(x, weight, None))
    close(kernels.linear_int8(x, packed, bias), slow.linear_int8(x, weight, bias))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("size", "group"), [((1, 8, 1), 8), ((3, 64, 70), 32), ((7, 96, 130), 32), ((70, 192, 65), 64)]
)
def test_int4(isa: str, dtype: torch.dtype, size: tuple[int, int, int], group: int) -> None:
    x, weight, bias = make(*size, dtype)
    packed = kernels.quantize_int4(weight, group=group)
    close(kernels.linear_int4(x, packed), slow.linear_int4(x, weight, None, group))
    close(kernels.linear_int4(x, packed, bias), slow.linear_int4(x, weight, bias, group))


@pytest.mark.parametrize("rows", [2, 7, 40])
def test_a_row_of_a_quantized_layer_depends_on_no_other(isa: str, rows: int) -> None:
    x, weight, _ = make(rows, 96, 130, torch.bfloat16)
    x[0] *= 1000
    int8, int4 = kernels.quantize_int8(weight), kernels.quantize_int4(weight)
    for layer, packed in ((kernels.linear_int8, int8), (kernels.linear_int4, int4)):
        alone = torch.cat([layer(row[None], packed) for row in x])
        assert torch.equal(layer(x, packed), alone)


def test_every_family_packs_alike_and_multiplies_what_another_packed() -> None:
    from quire import _native

    x, weight, _ = make(5, 96, 100, torch.bfloat16)
    before, packed, products = _native.isa(), [], []
    for name in ("portable", "avx2", "avx512"):
        if _native.set_isa(name):
            packed.append((kernels.quantize_int8(weight), kernels.quantize_int4(weight)))
            products.append(kernels.linear_int8(x, packed[0][0]))
    _native.set_isa(before)
    for int8, int4 in packed:
        assert torch.equal(int8.data, packed[0][0].data)
        assert torch.equal(int8.scales, packed[0][0].scales)
        assert torch.equal(int4.data, packed[0][1].data)
    for product in products:
        close(product, products[0])


def test_extremes_do_not_saturate(isa: str) -> None:
    """All products at the ends of their range and of one sign: where a 16-bit sum would clip."""
    x, weight = torch.full((2, 256), 3.0), torch.full((3, 256), -2.0)
    weight[1] *= -1
    expected = torch.tensor([[-1536.0, 1536.0, -1536.0]] * 2)
    torch.testing.assert_close(kernels.linear_int8(x, kernels.quantize_int8(weight)), expected)
    # The extreme element of a 4-bit group is exact: it is -8 times its scale.
    torch.testing.assert_close(kernels.linear_int4(x, kernels.quantize_int4(weight)), expected)


def test_zeros_stay_zeros(isa: str) -> None:
    x, weight = torch.zeros(2, 64), torch.zeros(5, 64)
    assert not kernels.linear_int8(x, kernels.quantize_int8(weight)).any()
    assert not kernels.linear_int4(x, kernels.quantize_int4(weight)).any()


def test_rows_too_small_for_a_scale_become_zeros(isa: str) -> None:
    x, weight = torch.full((2, 64), 1e-38), torch.ones(5, 64)
    assert not kernels.linear_int8(x, kernels.quantize_int8(weight)).any()
    assert not kernels.linear_int4(x, kernels.quantize_int4(weight)).any()


def test_no_rows(isa: str) -> None:
    weight = torch.randn(5, 64)
    assert kernels.linear(torch.empty(0, 64), weight).shape == (0, 5)
    assert kernels.linear_int8(torch.empty(0, 64), kernels.quantize_int8(weight)).shape == (0, 5)
    assert kernels.linear_int4(torch.empty(0, 64), kernels.quantize_int4(weight)).shape == (0, 5)


def test_wrong_arguments_are_named() -> None:
    x, weight, bias = make(2, 64, 5, torch.bfloat16)
    with pytest.raises(ValueError, match=r"group is 48; allowed: a multiple of 8 that divides the weight's 64 inputs"):
        kernels.quantize_int4(weight, group=48)
    with pytest.raises(ValueError, match="contiguous rows of 64"):
        kernels.linear_int8(x[:, :32], kernels.quantize_int8(weight))
    with pytest.raises(ValueError, match=r"bias is torch.float32 \[5\]"):
        kernels.linear_int8(x, kernels.quantize_int8(weight), bias.float())
    with pytest.raises(ValueError, match=r"weight is torch\.float32"):
        kernels.linear(x, weight.float())
