"""The sides of a comparison must do the same work, and a share must be of the right limit."""

import pytest
import torch

from quire.bench.arithmetic import kernels
from quire.bench.harness import Result
from quire.bench.results import Report


@pytest.mark.parametrize("product", kernels._products(), ids=lambda p: f"{p.case}-{p.side}")
def test_every_side_multiplies(product):
    torch.manual_seed(0)
    x, weight = torch.randn(5, 128).bfloat16(), torch.randn(64, 128).bfloat16()
    with torch.inference_mode():
        out = product.multiply(product.prepare(x), product.pack(weight.clone()))
    expected = x.float() @ weight.float().T
    tolerance = {"linear_bf16": 0.01, "linear_int8": 0.03, "linear_int4": 0.2}[product.case]
    assert (out.float() - expected).norm() < tolerance * expected.norm()


def test_shares_are_of_reading_and_of_the_arithmetic_of_the_format():
    def result(name: str, side: str, gb_per_s: float, gop_per_s: float) -> Result:
        return Result(name, side, {}, {"gb_per_s": [gb_per_s], "gop_per_s": [gop_per_s]})

    results = [
        result("limit_read", "torch", 40, 1),
        result("limit_bf16", "torch", 1, 400),
        result("limit_int8", "torch", 1, 800),
        result("linear_int8", "quire", 30, 200),
        result("linear_bf16", "quire", 20, 300),
    ]
    text = kernels.explain(Report("kernels", results, environment={}))
    assert "linear_int8 : 75% of reading, 25% of arithmetic" in text
    assert "linear_bf16 : 50% of reading, 75% of arithmetic" in text


def test_an_unknown_case_is_named():
    with pytest.raises(ValueError, match=r"only is 'lineer'; allowed: attention, .*linear_int8"):
        kernels.cases(only="lineer", quick=True)


def test_bytes_of_a_shared_prefix_count_once():
    num_bytes, num_ops = kernels._attention_work(num_seqs=3, context=20, new=1, shared=16, row_bytes=256)
    assert num_bytes == 2 * (16 + 3 * 4) * kernels.KV_HEADS * 256
    assert num_ops == 4 * 3 * 20 * kernels.HEADS * kernels.HEAD_DIM
