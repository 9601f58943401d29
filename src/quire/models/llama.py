"""Llama 2 and 3: the plain decoder. Where the config asks for biases, all four attention projections have them."""

from quire.models.config import ModelConfig
from quire.models.decoder import CausalLM, DecoderLayer, GatedMLP, SelfAttention
from quire.parallel.group import Group


class LlamaForCausalLM(CausalLM):
    def new_layer(self, config: ModelConfig, window: int | None, group: Group) -> DecoderLayer:
        attention = SelfAttention(
            config,
            group,
            window=window,
            has_qkv_bias=config.attention_bias,
            has_output_bias=config.attention_bias,
        )
        return DecoderLayer(config, attention, GatedMLP(config, group, has_bias=config.mlp_bias))
