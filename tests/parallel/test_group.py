import pytest
import torch

from quire.errors import ConfigError
from quire.parallel.group import SingleGroup, TorchGroup, share
from tests.parallel.ranks import run_ranks


def collectives(group):
    mine = torch.tensor([[1.0, 2.0], [3.0, 4.0]]) * 10**group.rank
    results = {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        results[f"sum {dtype}"] = group.all_reduce(mine.to(dtype, copy=True)).float()
    results["columns"] = group.all_gather(mine, dim=-1)
    results["rows of a transposed"] = group.all_gather(mine.T, dim=0)
    return results


def test_two_processes_sum_and_join_in_the_order_of_ranks(tmp_path):
    for results in run_ranks(2, collectives, tmp_path):
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            assert results[f"sum {dtype}"].tolist() == [[11, 22], [33, 44]]
        assert results["columns"].tolist() == [[1, 2, 10, 20], [3, 4, 30, 40]]
        assert results["rows of a transposed"].tolist() == [[1, 3], [2, 4], [10, 30], [20, 40]]


def test_a_group_of_one_hands_back_the_tensor_itself():
    x = torch.ones(3)
    assert SingleGroup().all_reduce(x) is x
    assert SingleGroup().all_gather(x, dim=0) is x


def test_what_cannot_be_shared_equally_is_refused_with_words():
    assert share("attention heads", 7, SingleGroup()) == 7
    three = SingleGroup()
    three.size = 3
    assert share("attention heads", 12, three) == 4
    with pytest.raises(ConfigError, match=r"tensor_parallel_size is 3; the model has 8 attention heads.*divisors of 8"):
        share("attention heads", 8, three)


def test_a_rank_outside_its_group_is_refused():
    with pytest.raises(ConfigError, match="rank is 2; allowed: 0 to 1 in a group of 2"):
        TorchGroup(2, 2, "file:///nowhere")
