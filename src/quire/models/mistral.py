"""Mistral: the plain decoder without biases, whose layers may all attend through a sliding window."""

from quire.models.config import ModelConfig
from quire.models.decoder import CausalLM, DecoderLayer, GatedMLP, SelfAttention
from quire.parallel.group import Group


class MistralForCausalLM(CausalLM):
    def new_layer(self, config: ModelConfig, window: int | None, group: Group) -> DecoderLayer:
        return DecoderLayer(config, SelfAttention(config, group, window=window), GatedMLP(config, group))
