"""Qwen3 (dense): every query and key head is RMS-normalised before rotation; biases only where the config asks."""

from quire.models.config import ModelConfig
from quire.models.decoder import CausalLM, DecoderLayer, GatedMLP, SelfAttention
from quire.parallel.group import Group


class Qwen3ForCausalLM(CausalLM):
    def new_layer(self, config: ModelConfig, window: int | None, group: Group) -> DecoderLayer:
        attention = SelfAttention(
            config,
            group,
            window=window,
            has_qkv_bias=config.attention_bias,
            has_output_bias=config.attention_bias,
            has_head_norm=True,
        )
        return DecoderLayer(config, attention, GatedMLP(config, group))
