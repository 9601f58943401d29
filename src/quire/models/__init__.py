"""Which models can run, and how do they come from files into memory?

`load` is the way in; tokenizers live here too, since they come from the same files.
"""

from quire.models.config import ModelConfig
from quire.models.decoder import CausalLM
from quire.models.loading import LoadedModel, load

__all__ = ["CausalLM", "LoadedModel", "ModelConfig", "load"]
