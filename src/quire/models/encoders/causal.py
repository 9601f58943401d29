"""A decoder read as an encoder: its final hidden states, over texts that are computed whole in one step.

No cache outlives the step, and no layer reads what another one stored, so all layers write their KV into the same
blocks.
"""

import numpy as np
import torch

from quire.layers.attention import AttentionInput
from quire.layers.layer import Layer
from quire.models.config import ModelConfig
from quire.models.encoders.packed_texts import PackedTexts
from quire.models.registry import new_model
from quire.parallel.group import SingleGroup

BLOCK_SIZE = 64


class CausalEncoder(Layer):
    """The last hidden states of every token, [T, D]; a token has seen itself and what is before it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.model = new_model(config, SingleGroup()).model
        self.config = config

    def forward(self, texts: PackedTexts) -> torch.Tensor:
        attention, num_blocks = _blocks_of(texts)
        config = self.config
        shape = (num_blocks, 2, config.num_kv_heads, BLOCK_SIZE, config.head_dim)
        kv = torch.empty(shape, dtype=config.dtype)[:, None].expand(-1, config.num_layers, -1, -1, -1, -1)
        hidden_TD: torch.Tensor = self.model(texts.token_ids, texts.positions, kv, attention)
        return hidden_TD


def _blocks_of(texts: PackedTexts) -> tuple[AttentionInput, int]:
    """Blocks in the order of texts, each text beginning a new one; and how many they are."""
    lens = np.diff(texts.starts.numpy())
    num_blocks = -(-lens // BLOCK_SIZE)
    first_block = np.cumsum(num_blocks) - num_blocks
    slots = np.repeat(first_block * BLOCK_SIZE, lens) + texts.positions.numpy()
    tables = first_block[:, None] + np.arange(num_blocks.max(initial=0))
    attention = AttentionInput(
        slots=torch.from_numpy(slots.astype(np.int64)),
        block_tables=torch.from_numpy(tables.astype(np.int32)),
        context_lens=torch.from_numpy(lens.astype(np.int32)),
        query_starts=texts.starts,
    )
    return attention, int(num_blocks.sum())
