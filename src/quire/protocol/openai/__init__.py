"""The OpenAI API, with the further parameters that vLLM's users send.

Reference: the API's own names, types and bounds. Requests are checked types; `answers` are the dicts that are sent.
"""

from quire.protocol.openai.chat import ChatCompletionRequest
from quire.protocol.openai.completions import CompletionRequest, Prompt, prompts_of
from quire.protocol.openai.messages import ChatMessage, TemplateBody
from quire.protocol.openai.params import to_sampling_params
from quire.protocol.openai.sampling import SamplingBody
from quire.protocol.openai.texts import DetokenizeRequest, EmbeddingRequest, TokenizeRequest

__all__ = [
    "ChatCompletionRequest",
    "ChatMessage",
    "CompletionRequest",
    "DetokenizeRequest",
    "EmbeddingRequest",
    "Prompt",
    "SamplingBody",
    "TemplateBody",
    "TokenizeRequest",
    "prompts_of",
    "to_sampling_params",
]
