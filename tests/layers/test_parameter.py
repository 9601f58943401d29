import torch

from quire.layers.parameter import Part, Weight
from quire.parallel.group import SingleGroup
from tests.layers.ranks import Rank

ROWS = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [9.0, 10.0, 11.0, 12.0]])


def loaded(parts, group, *tensors, dtype=torch.float32):
    weight = Weight(parts, dtype, group)
    for part, tensor in zip(parts, tensors, strict=True):
        weight.weight_loader(part, tensor)
    return weight.tolist()


def test_rows_columns_and_copies_of_each_rank():
    by_columns, whole = (Part((3, 4), split_dim=1),), (Part((3, 4)),)
    assert loaded(by_columns, Rank(0, 2), ROWS) == [[1, 2], [5, 6], [9, 10]]
    assert loaded(by_columns, Rank(1, 2), ROWS) == [[3, 4], [7, 8], [11, 12]]
    assert loaded(whole, Rank(1, 2), ROWS) == ROWS.tolist()


def test_the_last_slice_is_filled_up_with_zeros():
    by_rows = (Part((3, 4), split_dim=0),)
    assert loaded(by_rows, Rank(0, 2), ROWS) == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert loaded(by_rows, Rank(1, 2), ROWS) == [[9, 10, 11, 12], [0, 0, 0, 0]]
    assert loaded(by_rows, Rank(4, 5), ROWS) == [[0, 0, 0, 0]]


def test_parts_of_a_rank_stand_one_below_the_other():
    parts = (Part((2, 2), split_dim=0, module="gate"), Part((2, 2), split_dim=0, module="up"))
    gate, up = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 6.0], [7.0, 8.0]])
    assert loaded(parts, SingleGroup(), gate, up) == [[1, 2], [3, 4], [5, 6], [7, 8]]
    # Here each part has, whole, the shape of the parameter on one rank, and still only its slice belongs in it.
    assert loaded(parts, Rank(1, 2), gate, up) == [[3, 4], [7, 8]]


def test_a_tensor_is_adopted_only_where_it_fits_as_it_is():
    part = Part((3, 4), split_dim=0)
    weight = Weight((part,), torch.float32, SingleGroup())
    assert weight.weight_loader(part, ROWS) is True
    assert weight.data_ptr() == ROWS.data_ptr()
    for other in (ROWS.bfloat16(), ROWS.T.contiguous().T):
        weight = Weight((part,), torch.float32, SingleGroup())
        assert weight.weight_loader(part, other) is False
        assert torch.equal(weight, ROWS)
        assert weight.is_contiguous()
