"""The request of /v1/chat/completions."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from quire.errors import InvalidRequestError
from quire.protocol.fields import Label
from quire.protocol.openai.grounding import RetrievalOptions
from quire.protocol.openai.messages import TEXT_ONLY, Messages, TemplateBody
from quire.protocol.openai.sampling import SamplingBody
from quire.protocol.openai.tools import TOOL_CHOICES, ToolChoice, check_tools
from quire.sampling_params import MAX_LOGPROBS, MAX_TOKENS

NOT_STORED = "this server keeps nothing of a request."

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class ChatCompletionRequest(SamplingBody, TemplateBody):
    unsupported: ClassVar[Mapping[str, str]] = {
        **SamplingBody.unsupported,
        "functions": "send tools, which came after it.",
        "function_call": "send tool_choice, which came after it.",
        "audio": TEXT_ONLY,
        "metadata": NOT_STORED,
        "prediction": "the answer is not drafted from a prediction.",
        "verbosity": "say in the messages how much is wanted.",
        "web_search_options": "this server does not search the web.",
        "documents": "put them into the messages, or into a collection.",
        "continue_final_message": "send a plain prompt to /v1/completions.",
        "add_special_tokens": "the template writes the special tokens.",
        "echo": "the messages are yours already.",
        "thinking_token_budget": "max_tokens counts thoughts and answer together.",
        "mm_processor_kwargs": TEXT_ONLY,
        "media_io_kwargs": TEXT_ONLY,
    }

    messages: Messages
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    tool_choice: Annotated[ToolChoice | None, Field(description=TOOL_CHOICES)] = None
    """Default: auto where there are tools."""
    parallel_tool_calls: bool = True
    """False: at most one call, the first."""
    reasoning_effort: ReasoningEffort | None = None
    """For templates that know it; none and any other turn `enable_thinking` off and on where they know that."""
    include_reasoning: bool = True
    """False leaves the thoughts out of the answer."""
    collection: Label | None = None
    """The answer stands on passages of this collection and comes with `citations`; it is greedy unless `temperature`
    is given."""
    retrieval: RetrievalOptions | None = None
    modalities: list[Literal["text"]] | None = None
    service_tier: Literal["auto", "default"] | None = None
    """There is one."""
    store: bool = False
    safety_identifier: Label | None = None
    """Stands in the log as `user` does."""
    prompt_cache_key: Label | None = None
    """Asks that equal prefixes meet, which here they always do; cache_salt keeps them apart."""

    @field_validator("store")
    @classmethod
    def _is_not_stored(cls, store: bool) -> bool:
        if store:
            raise InvalidRequestError(f"store is true; allowed: false, since {NOT_STORED}")
        return store

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        check_tools(self.tools or (), self.tool_choice)
        if self.retrieval is not None and self.collection is None:
            raise InvalidRequestError("retrieval needs a collection to search.", param="retrieval")
        if self.top_logprobs is not None and not self.logprobs:
            raise InvalidRequestError("top_logprobs needs logprobs to be true.", param="top_logprobs")
        if self.max_tokens is not None and self.max_completion_tokens not in (None, self.max_tokens):
            raise InvalidRequestError(
                f"max_tokens is {self.max_tokens} and max_completion_tokens is {self.max_completion_tokens}; "
                f"give one of them.",
                param="max_tokens",
            )
        return self
