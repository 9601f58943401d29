"""The encoder of the BERT family: every token sees its whole text, and each sublayer is added to what it read and
normalised (post-norm). `Classifier` puts a head on the first token.

Letters: see `quire.layers`; S texts, C labels.
"""

import torch
from torch import nn

from quire import kernels
from quire.layers.embedding import VocabParallelEmbedding
from quire.layers.layer import Layer
from quire.layers.linear import ColumnParallelLinear, QKVParallelLinear, RowParallelLinear
from quire.layers.norm import LayerNorm
from quire.models.encoders.config import EncoderConfig
from quire.models.encoders.packed_texts import PackedTexts
from quire.models.encoders.recorded import RecordedLayers
from quire.parallel.group import SingleGroup

_ALONE = SingleGroup()


class Embeddings(Layer):
    """Word + position + part of the pair, normalised."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.first_position = config.first_position
        self.words = self._table(config.vocab_size, config)
        self.positions = self._table(config.num_positions, config)
        self.types = self._table(config.num_types, config) if config.num_types else None
        self.norm = LayerNorm(config.hidden_size, config.layer_norm_eps, dtype=config.dtype)

    def forward(self, texts: PackedTexts) -> torch.Tensor:
        x_TD: torch.Tensor = self.words(texts.token_ids)
        x_TD += self.positions(texts.positions + self.first_position)
        if self.types is not None:
            x_TD += self.types.weight[0] if texts.types is None else self.types(texts.types)
        out_TD: torch.Tensor = self.norm(x_TD)
        return out_TD

    @staticmethod
    def _table(rows: int, config: EncoderConfig) -> VocabParallelEmbedding:
        return VocabParallelEmbedding(rows, config.hidden_size, dtype=config.dtype, group=_ALONE)


class EncoderLayer(Layer):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width, inner, dtype = config.hidden_size, config.intermediate_size, config.dtype
        heads, head_dim = config.num_heads, config.head_dim
        self.qkv_proj = QKVParallelLinear(width, head_dim, heads, heads, bias=True, dtype=dtype, group=_ALONE)
        self.o_proj = RowParallelLinear(width, width, bias=True, dtype=dtype, group=_ALONE)
        self.attention_norm = LayerNorm(width, config.layer_norm_eps, dtype=dtype)
        self.up_proj = ColumnParallelLinear(width, inner, bias=True, dtype=dtype, group=_ALONE)
        self.down_proj = RowParallelLinear(inner, width, bias=True, dtype=dtype, group=_ALONE)
        self.output_norm = LayerNorm(width, config.layer_norm_eps, dtype=dtype)
        self.scale = head_dim**-0.5
        self.nonlinearity = config.nonlinearity

    def forward(self, x_TD: torch.Tensor, starts_S: torch.Tensor) -> torch.Tensor:
        q_THE, k_THE, v_THE = self.qkv_proj(x_TD)
        seen_TD = kernels.encoder_attention(q_THE, k_THE, v_THE, starts_S, self.scale).flatten(1)
        x_TD = self.attention_norm(self.o_proj(seen_TD), x_TD)
        inner_TI = self.up_proj.weight.project(x_TD, self.up_proj.bias, self.nonlinearity)
        out_TD: torch.Tensor = self.output_norm(self.down_proj(inner_TI), x_TD)
        return out_TD


class Encoder(Layer):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_layers))
        self._recorded = RecordedLayers()

    def forward(self, texts: PackedTexts) -> torch.Tensor:
        x_TD: torch.Tensor = self.embeddings(texts)
        hidden_TD = self._recorded.run(self.run_layers, x_TD, texts.starts)
        return self.run_layers(x_TD, texts.starts) if hidden_TD is None else hidden_TD

    def run_layers(self, x_TD: torch.Tensor, starts_S: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x_TD = layer(x_TD, starts_S)
        return x_TD


class EncoderModel(Layer):
    """The last hidden states of every token, [T, D]."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)

    def forward(self, texts: PackedTexts) -> torch.Tensor:
        hidden_TD: torch.Tensor = self.encoder(texts)
        return hidden_TD


class ClassifierHead(Layer):
    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width, dtype = config.hidden_size, config.dtype
        self.dense = ColumnParallelLinear(width, width, bias=True, dtype=dtype, group=_ALONE)
        self.out = ColumnParallelLinear(width, len(config.labels), bias=True, dtype=dtype, group=_ALONE)
        self.nonlinearity = torch.relu if config.family == "distilbert" else torch.tanh

    def forward(self, first_SD: torch.Tensor) -> torch.Tensor:
        logits_SC: torch.Tensor = self.out(self.nonlinearity(self.dense(first_SD)))
        return logits_SC


class Classifier(Layer):
    """Logits of every text or pair of texts, float32 [S, C]."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.head = ClassifierHead(config)

    def forward(self, texts: PackedTexts) -> torch.Tensor:
        hidden_TD = self.encoder(texts)
        logits_SC: torch.Tensor = self.head(hidden_TD[texts.starts[:-1].long()])
        return logits_SC.float()
