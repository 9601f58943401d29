"""Which class runs which architecture."""

from quire.models.config import ModelConfig
from quire.models.decoder import CausalLM
from quire.models.llama import LlamaForCausalLM
from quire.models.mistral import MistralForCausalLM
from quire.models.qwen2 import Qwen2ForCausalLM
from quire.models.qwen3 import Qwen3ForCausalLM
from quire.parallel.group import Group

ARCHITECTURES: dict[str, type[CausalLM]] = {
    "llama": LlamaForCausalLM,
    "mistral": MistralForCausalLM,
    "qwen2": Qwen2ForCausalLM,
    "qwen3": Qwen3ForCausalLM,
}


def new_model(config: ModelConfig, group: Group) -> CausalLM:
    """The model that `config` describes, its weights yet to be loaded."""
    return ARCHITECTURES[config.architecture](config, group)
