"""Which matrices of a model are packed, and into what: those that linear layers multiply by, the output head included,
and embeddings whose file has no plain rows to read. Norms and biases are small. How bits are packed is the kernels'
business.

    what is asked   plain weights   Q4_0 of a GGUF file   its other quantised types
    nothing         as they are     int4, to the bit      int8
    int8            int8            int8                  int8
    int4            int4            int4, to the bit      int4
    none            as they are     the model's dtype     the model's dtype
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quire import kernels
from quire.errors import ConfigError
from quire.kernels.quantized import Layout, QuantizedWeight
from quire.layers.embedding import ParallelLMHead, VocabParallelEmbedding
from quire.layers.linear import Linear
from quire.layers.parameter import Weight
from quire.models.packing.rows import Form


@dataclass(frozen=True, slots=True)
class Packing:
    """What becomes of one Weight."""

    kind: type[QuantizedWeight]
    keeps_rows: bool
    """An embedding reads its plain rows."""
    outputs: int
    inputs: int

    @property
    def layout(self) -> Layout:
        return self.kind.layout(self.outputs, self.inputs)

    def of(self, tensors: Mapping[str, Tensor]) -> QuantizedWeight:
        return self.kind.of(tensors, self.outputs, self.inputs)


KINDS: dict[str, type[QuantizedWeight]] = {
    "int8": kernels.Int8Weight,
    "int4": kernels.Int4Weight,
}


def plan_packing(model: nn.Module, forms: Mapping[str, set[Form]], quantization: str | None) -> dict[str, Packing]:
    """By the name of each parameter to be packed. `forms` are those of its parts. Raises ConfigError where the model's
    sizes cannot be packed so."""
    multiplied, looked_up = _matrices(model)
    plan = {}
    for name, weight in model.named_parameters():
        assert isinstance(weight, Weight)
        is_plain = Form.PLAIN in forms[name]
        if weight not in multiplied and (is_plain or weight not in looked_up):
            continue
        kind = _kind(quantization, forms[name])
        if kind is None:
            continue
        keeps_rows = weight in looked_up and is_plain
        if weight in looked_up and not is_plain:
            kind = "int8"  # the packed form whose rows can be read
        if kind == "int4":
            _check_groups(weight)
        plan[name] = Packing(KINDS[kind], keeps_rows, *weight.shape)
    return plan


def pack_for_machine(model: nn.Module, stored: torch.dtype | None = None) -> None:
    """Every matrix that linear layers of the loaded `model` multiply by, one after the other, into the layout of this
    machine's registers; float32 weights rounded to `stored`, if given."""
    multiplied, looked_up = _matrices(model)
    for weight in multiplied:
        fewer_bits = stored if weight.dtype is torch.float32 else None
        weight.use_packed(kernels.pack_linear(weight, fewer_bits), keeps_rows=weight in looked_up)


def _matrices(model: nn.Module) -> tuple[set[Weight], set[Weight]]:
    """Those that linear layers multiply by, and those whose rows are looked up."""
    modules = list(model.modules())
    multiplied = {module.weight for module in modules if isinstance(module, (Linear, ParallelLMHead))}
    looked_up = {module.weight for module in modules if isinstance(module, VocabParallelEmbedding)}
    return multiplied, looked_up


def _kind(quantization: str | None, forms: set[Form]) -> str | None:
    if quantization is not None:
        return None if quantization == "none" else quantization
    if Form.PLAIN in forms:
        return None
    return "int4" if forms == {Form.Q4_0} else "int8"


def _check_groups(weight: Weight) -> None:
    if weight.shape[1] % kernels.INT4_GROUP:
        raise ConfigError(
            f"quantization is 'int4', which groups inputs by {kernels.INT4_GROUP}; this model has a layer with "
            f"{weight.shape[1]} inputs. Use 'int8'."
        )
