"""The two ends of a decoder: token ids to vectors, and vectors to the logits of all tokens. Each rank holds an equal
run of the vocabulary (zeros fill up the last one); with tied weights both ends hold the same Weight.

    rank 0 [ 0 … V/n )   rank 1 [ V/n … 2V/n )   …   rank n-1 [ … V ) zeros
"""

import torch

from quire.layers.layer import Layer
from quire.layers.parameter import Part, Weight
from quire.parallel.group import Group


class VocabParallelEmbedding(Layer):
    """Token ids to their vectors. An id outside the vocabulary is an IndexError in a group of one; no rank of several
    has it, and its vector is zeros."""

    def __init__(self, vocab_size: int, hidden_size: int, *, dtype: torch.dtype, group: Group) -> None:
        super().__init__()
        self.weight = Weight((Part((vocab_size, hidden_size), split_dim=0),), dtype, group)
        self.group = group
        self.num_rows = self.weight.shape[0]
        self.first_id = group.rank * self.num_rows

    def forward(self, token_ids_T: torch.Tensor) -> torch.Tensor:
        if self.group.size == 1:
            return self.weight.look_up(token_ids_T)
        rows_T = token_ids_T - self.first_id
        is_ours_T = (rows_T >= 0) & (rows_T < self.num_rows)
        x_TD = self.weight.look_up(rows_T * is_ours_T) * is_ours_T[:, None]
        return self.group.all_reduce(x_TD)


class ParallelLMHead(Layer):
    """Vectors to logits over the whole vocabulary, on every rank."""

    def __init__(self, vocab_size: int, hidden_size: int, *, dtype: torch.dtype, group: Group) -> None:
        super().__init__()
        self.weight = Weight((Part((vocab_size, hidden_size), split_dim=0),), dtype, group)
        self.group = group
        self.vocab_size = vocab_size

    def tie(self, embedding: VocabParallelEmbedding) -> None:
        """One Weight for both from now on."""
        self.weight = embedding.weight

    def forward(self, x_RD: torch.Tensor) -> torch.Tensor:
        logits_RV = self.group.all_gather(self.weight.project(x_RD), dim=-1)
        return logits_RV[:, : self.vocab_size]
