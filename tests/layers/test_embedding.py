import pytest
import torch

from quire.layers.embedding import ParallelLMHead, VocabParallelEmbedding
from quire.parallel.group import SingleGroup
from tests.layers.ranks import Rank, load_all

TABLE = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
"""Seven tokens do not divide by two: the last rank has one row of zeros."""


def embedding(group):
    layer = VocabParallelEmbedding(7, 4, dtype=torch.float32, group=group)
    load_all(layer, {"weight": TABLE})
    return layer


def head(group):
    layer = ParallelLMHead(7, 4, dtype=torch.float32, group=group)
    load_all(layer, {"weight": TABLE})
    return layer


def test_every_token_is_found_on_one_rank():
    ids = torch.tensor([0, 3, 4, 6, 6])
    assert torch.equal(embedding(SingleGroup())(ids), TABLE[ids])
    assert torch.equal(embedding(Rank(0, 2))(ids) + embedding(Rank(1, 2))(ids), TABLE[ids])


def test_a_token_outside_the_vocabulary_is_an_error():
    with pytest.raises(IndexError):
        embedding(SingleGroup())(torch.tensor([7]))
    assert not torch.cat([embedding(Rank(rank, 2))(torch.tensor([-1, 7, 8])) for rank in range(2)]).any()


def test_logits_cover_the_vocabulary_and_no_more():
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(head(SingleGroup())(x), x @ TABLE.T)

    class JoiningRank(Rank):
        def all_gather(self, x, dim):
            return torch.cat((first, x), dim=dim)

    first = x @ TABLE[:4].T
    torch.testing.assert_close(head(JoiningRank(1, 2))(x), x @ TABLE.T)


def test_a_tied_head_holds_the_weight_of_the_embedding():
    table, tied = embedding(SingleGroup()), head(SingleGroup())
    tied.tie(table)
    assert tied.weight is table.weight
