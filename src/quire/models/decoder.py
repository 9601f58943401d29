"""The decoder that the supported models share, in the parts they differ by: pre-norm layers of self-attention over the
paged cache and a gated feed-forward, tied or untied at the ends.

Each model's own file says which parts it is made of. Module names are those of the checkpoints, so that a Weight's
place in the model is its name in the file. Letters: see `quire.layers`, and L layers.
"""

from abc import ABC, abstractmethod

import torch
from torch import nn

from quire.layers.activation import SiluAndMul
from quire.layers.attention import AttentionInput, PagedAttention
from quire.layers.embedding import ParallelLMHead, VocabParallelEmbedding
from quire.layers.layer import Layer
from quire.layers.linear import MergedColumnParallelLinear, QKVParallelLinear, RowParallelLinear
from quire.layers.norm import RMSNorm
from quire.layers.rotary import RotaryEmbedding
from quire.models.config import ModelConfig
from quire.parallel.group import Group


class SelfAttention(Layer):
    """Grouped-query attention. `has_head_norm`: each query and key head is normalised before it is rotated."""

    def __init__(
        self,
        config: ModelConfig,
        group: Group,
        *,
        window: int | None,
        has_qkv_bias: bool = False,
        has_output_bias: bool = False,
        has_head_norm: bool = False,
    ) -> None:
        super().__init__()
        self.qkv_proj = QKVParallelLinear(
            config.hidden_size,
            config.head_dim,
            config.num_heads,
            config.num_kv_heads,
            bias=has_qkv_bias,
            dtype=config.dtype,
            group=group,
        )
        self.o_proj = RowParallelLinear(
            config.num_heads * config.head_dim,
            config.hidden_size,
            bias=has_output_bias,
            dtype=config.dtype,
            group=group,
        )
        self.q_norm = self._head_norm(config) if has_head_norm else None
        self.k_norm = self._head_norm(config) if has_head_norm else None
        self.attention = PagedAttention(config.head_dim, window)

    def forward(
        self,
        x_TD: torch.Tensor,
        positions_T: torch.Tensor,
        rotary: RotaryEmbedding,
        kv: torch.Tensor,
        attention: AttentionInput,
    ) -> torch.Tensor:
        q_THE, k_TKE, v_TKE = self.qkv_proj(x_TD)
        out_THE = self.attention(
            q_THE, k_TKE, v_TKE, positions_T, rotary, kv, attention, q_norm=self.q_norm, k_norm=self.k_norm
        )
        out_TD: torch.Tensor = self.o_proj(out_THE.flatten(1))
        return out_TD

    @staticmethod
    def _head_norm(config: ModelConfig) -> RMSNorm:
        return RMSNorm(config.head_dim, config.rms_norm_eps, dtype=config.dtype)


class GatedMLP(Layer):
    """SwiGLU: down(silu(gate(x)) * up(x))."""

    def __init__(self, config: ModelConfig, group: Group, *, has_bias: bool = False) -> None:
        super().__init__()
        inner = config.intermediate_size
        self.gate_up_proj = MergedColumnParallelLinear(
            config.hidden_size, {"gate_proj": inner, "up_proj": inner}, bias=has_bias, dtype=config.dtype, group=group
        )
        self.act = SiluAndMul()
        self.down_proj = RowParallelLinear(inner, config.hidden_size, bias=has_bias, dtype=config.dtype, group=group)

    def forward(self, x_TD: torch.Tensor) -> torch.Tensor:
        out_TD: torch.Tensor = self.down_proj(self.act(self.gate_up_proj(x_TD)))
        return out_TD


class DecoderLayer(Layer):
    """x + attention(norm(x)), then the same with the feed-forward. The sums are carried in `residual_TD`, so that each
    is made together with the norm that follows it."""

    def __init__(self, config: ModelConfig, self_attn: SelfAttention, mlp: GatedMLP) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps, dtype=config.dtype)
        self.self_attn = self_attn
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps, dtype=config.dtype)
        self.mlp = mlp

    def forward(
        self,
        x_TD: torch.Tensor,
        residual_TD: torch.Tensor | None,
        positions_T: torch.Tensor,
        rotary: RotaryEmbedding,
        kv: torch.Tensor,
        attention: AttentionInput,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if residual_TD is None:  # the first layer has nothing to add yet
            residual_TD, x_TD = x_TD, self.input_layernorm(x_TD)
        else:
            x_TD, residual_TD = self.input_layernorm.add(x_TD, residual_TD)
        x_TD = self.self_attn(x_TD, positions_T, rotary, kv, attention)
        x_TD, residual_TD = self.post_attention_layernorm.add(x_TD, residual_TD)
        return self.mlp(x_TD), residual_TD


class Decoder(Layer):
    """Embedding, layers and final norm."""

    def __init__(self, config: ModelConfig, layers: list[DecoderLayer], group: Group) -> None:
        super().__init__()
        self.embed_tokens = VocabParallelEmbedding(
            config.vocab_size, config.hidden_size, dtype=config.dtype, group=group
        )
        self.layers = nn.ModuleList(layers)
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps, dtype=config.dtype)
        self.rotary = RotaryEmbedding(config.rope, config.head_dim, config.max_model_len)

    def forward(
        self, token_ids_T: torch.Tensor, positions_T: torch.Tensor, kv: torch.Tensor, attention: AttentionInput
    ) -> torch.Tensor:
        x_TD: torch.Tensor = self.embed_tokens(token_ids_T)
        residual_TD: torch.Tensor | None = None
        for layer, layer_kv in zip(self.layers, kv.unbind(1), strict=True):
            x_TD, residual_TD = layer(x_TD, residual_TD, positions_T, self.rotary, layer_kv, attention)
        assert residual_TD is not None  # there is at least one layer
        hidden_TD, _ = self.norm.add(x_TD, residual_TD)
        return hidden_TD


class CausalLM(Layer, ABC):
    """A language model: hidden states of every token of a step, and logits where they are wanted."""

    def __init__(self, config: ModelConfig, group: Group) -> None:
        super().__init__()
        layers = [self.new_layer(config, window, group) for window in config.windows]
        self.model = Decoder(config, layers, group)
        self.lm_head = ParallelLMHead(config.vocab_size, config.hidden_size, dtype=config.dtype, group=group)
        if config.tie_word_embeddings:
            self.lm_head.tie(self.model.embed_tokens)

    @abstractmethod
    def new_layer(self, config: ModelConfig, window: int | None, group: Group) -> DecoderLayer:
        """One layer of this architecture, attending `window` tokens back."""

    def forward(
        self, token_ids_T: torch.Tensor, positions_T: torch.Tensor, kv: torch.Tensor, attention: AttentionInput
    ) -> torch.Tensor:
        """The final, normalised hidden states, hidden_TD. Writes the KV of the T tokens into `kv`, [N, L, 2, K, B, E]
        of this rank's heads."""
        hidden_TD: torch.Tensor = self.model(token_ids_T, positions_T, kv, attention)
        return hidden_TD

    def compute_logits(self, hidden_RD: torch.Tensor) -> torch.Tensor:
        """float32 logits_RV, the same on every rank."""
        logits_RV: torch.Tensor = self.lm_head(hidden_RD)
        return logits_RV.float()
