"""The request of /v1/chat/completions."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from quire.errors import InvalidRequestError
from quire.protocol.openai.messages import NO_TOOLS, TEXT_ONLY, Messages, TemplateBody
from quire.protocol.openai.sampling import SamplingBody
from quire.sampling_params import MAX_LOGPROBS, MAX_TOKENS

_NOT_STORED = "this server keeps nothing of a request."


class ChatCompletionRequest(SamplingBody, TemplateBody):
    unsupported: ClassVar[Mapping[str, str]] = {
        **SamplingBody.unsupported,
        "tools": NO_TOOLS,
        "tool_choice": NO_TOOLS,
        "parallel_tool_calls": NO_TOOLS,
        "functions": NO_TOOLS,
        "function_call": NO_TOOLS,
        "audio": TEXT_ONLY,
        "modalities": TEXT_ONLY,
        "store": _NOT_STORED,
        "metadata": _NOT_STORED,
        "prediction": "the answer is not drafted from a prediction.",
        "reasoning_effort": "give what the model's template understands as chat_template_kwargs.",
        "verbosity": "give what the model's template understands as chat_template_kwargs.",
        "service_tier": "there is one tier; priority and slo_ms say what is urgent.",
        "web_search_options": "this server does not search the web.",
        "prompt_cache_key": "prefixes are shared by themselves; cache_salt keeps them apart.",
        "safety_identifier": "send it as user.",
        "documents": "put them into the messages.",
        "continue_final_message": "send a plain prompt to /v1/completions.",
        "add_special_tokens": "the template writes the special tokens.",
        "echo": "the messages are yours already.",
    }

    messages: Messages
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise InvalidRequestError("top_logprobs needs logprobs to be true.", param="top_logprobs")
        if self.max_tokens is not None and self.max_completion_tokens not in (None, self.max_tokens):
            raise InvalidRequestError(
                f"max_tokens is {self.max_tokens} and max_completion_tokens is {self.max_completion_tokens}; "
                f"give one of them.",
                param="max_tokens",
            )
        return self
