"""The request of /v1/completions, and prompts of every shape."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from quire.errors import InvalidRequestError
from quire.protocol.fields import MAX_TEXT_LIST, PromptIds
from quire.protocol.openai.sampling import SamplingBody
from quire.sampling_params import MAX_LOGPROBS, MAX_TOKENS

Prompt = str | list[int]


class CompletionRequest(SamplingBody):
    unsupported: ClassVar[Mapping[str, str]] = {**SamplingBody.unsupported, "suffix": "text is made left to right."}

    prompt: Annotated[
        str
        | Annotated[list[str], Field(min_length=1, max_length=MAX_TEXT_LIST)]
        | PromptIds
        | Annotated[list[PromptIds], Field(min_length=1, max_length=MAX_TEXT_LIST)],
        Field(description=f"text, a list of token ids, or a list of 1 to {MAX_TEXT_LIST} of either."),
    ]
    max_tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS)] = 16
    """0 with echo scores the prompt and makes no text."""
    logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    echo: bool = False
    add_special_tokens: bool = True

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.max_tokens == 0 and not self.echo and self.prompt_logprobs is None:
            raise InvalidRequestError(
                "max_tokens is 0, which leaves nothing to answer; allowed: 0 with echo or prompt_logprobs, else 1 "
                "or more.",
                param="max_tokens",
            )
        return self


def prompts_of(given: str | list[str] | list[int] | list[list[int]]) -> list[Prompt]:
    """One prompt or several, as a list of them. An empty list is one empty prompt."""
    if isinstance(given, str) or not given:
        return [given] if isinstance(given, str) else [[]]
    if isinstance(given[0], int):
        return [[*given]]
    return [*given]
