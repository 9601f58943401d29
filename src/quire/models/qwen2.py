"""Qwen2 and Qwen2.5: queries, keys and values have biases, the output projection has none."""

from quire.models.config import ModelConfig
from quire.models.decoder import CausalLM, DecoderLayer, GatedMLP, SelfAttention
from quire.parallel.group import Group


class Qwen2ForCausalLM(CausalLM):
    def new_layer(self, config: ModelConfig, window: int | None, group: Group) -> DecoderLayer:
        attention = SelfAttention(config, group, window=window, has_qkv_bias=True)
        return DecoderLayer(config, attention, GatedMLP(config, group))
