"""Which matrices of a model are packed into fewer bits: those that linear layers multiply by, the output head included.
Embeddings keep their rows, norms and biases are small. How bits are packed is the kernels' business.
"""

from collections.abc import Callable

import torch
from torch import nn

from quire import kernels
from quire.errors import ConfigError
from quire.layers.embedding import ParallelLMHead, VocabParallelEmbedding
from quire.layers.linear import Linear
from quire.layers.parameter import Packed, Weight

QUANTIZERS: dict[str, Callable[[torch.Tensor], Packed]] = {
    "int8": kernels.quantize_int8,
    "int4": kernels.quantize_int4,
}


def packer(
    model: nn.Module, quantization: str | None, *, otherwise: Callable[[torch.Tensor], Packed] | None = None
) -> Callable[[Weight], None] | None:
    """What `load_weights` is to call with each loaded Weight of `model`; None for nothing. Where there is no
    quantization, matrices are packed by `otherwise`, if given. Raises ConfigError where the model's sizes cannot be
    packed so."""
    quantize = otherwise if quantization is None else QUANTIZERS[quantization]
    if quantize is None:
        return None
    multiplied = {module.weight for module in model.modules() if isinstance(module, (Linear, ParallelLMHead))}
    looked_up = {module.weight for module in model.modules() if isinstance(module, VocabParallelEmbedding)}
    if quantization == "int4":
        _check_groups(multiplied)

    def pack(weight: Weight) -> None:
        if weight in multiplied:
            weight.pack(quantize, keep_rows=weight in looked_up)

    return pack


def _check_groups(weights: set[Weight]) -> None:
    for weight in weights:
        if weight.shape[1] % kernels.INT4_GROUP:
            raise ConfigError(
                f"quantization is 'int4', which groups inputs by {kernels.INT4_GROUP}; this model has a layer with "
                f"{weight.shape[1]} inputs. Use 'int8'."
            )
