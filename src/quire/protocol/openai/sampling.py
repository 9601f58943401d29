"""What chats and completions have in common: how tokens are chosen, when to stop, in which form, and how it is sent.

What this server cannot do stands in `unsupported`, with the reason that the caller is told.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from quire.errors import InvalidRequestError
from quire.protocol.fields import MAX_TEXT_LIST, Body, Label, Penalty, PromptIds, Share, TokenIds
from quire.sampling_params import (
    MAX_BAD_WORDS,
    MAX_LOGPROBS,
    MAX_N,
    MAX_SCHEMA_CHARS,
    MAX_STOP_CHARS,
    MAX_STOP_STRINGS,
    MAX_TOKENS,
)

Word = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARS)]
Pattern = Annotated[str, Field(min_length=1, max_length=MAX_SCHEMA_CHARS)]
Words = Annotated[list[Word], Field(min_length=1, max_length=MAX_TEXT_LIST)]

_ONE_ANSWER = "every completion is one sample; ask for n of them and choose."


class StreamOptions(Body):
    unsupported: ClassVar[Mapping[str, str]] = {"include_obfuscation": "events are sent as they are."}

    include_usage: bool = False
    """A last event with the counts of tokens."""
    continuous_usage_stats: bool = False
    """The counts so far in every event."""


class JsonSchema(Body):
    name: Annotated[str, Field(max_length=64)] = "schema"
    description: Annotated[str, Field(max_length=MAX_SCHEMA_CHARS)] | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None
    """The schema is held to in any case."""


class ResponseFormat(Body):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise InvalidRequestError(
                f"type is {self.type!r}; json_schema comes with type 'json_schema', and only with it.", param="type"
            )
        return self


class StructuredOutputsField(Body):
    unsupported: ClassVar[Mapping[str, str]] = {
        "structural_tag": "give the whole form as grammar.",
        "whitespace_pattern": "white space in JSON is bounded already.",
        "disable_any_whitespace": "give a regex where white space must not come.",
    }

    json_: dict[str, Any] | Pattern | None = Field(None, alias="json", description="a JSON schema.")
    json_object: bool = False
    regex: Pattern | None = None
    choice: Words | None = None
    grammar: Pattern | None = None


class DecodingBody(Body):
    """How tokens are chosen, in which form, and how urgently: under the same names in every protocol."""

    unsupported: ClassVar[Mapping[str, str]] = {
        "best_of": _ONE_ANSWER,
        "use_beam_search": _ONE_ANSWER,
        "length_penalty": _ONE_ANSWER,
        "early_stopping": _ONE_ANSWER,
        "truncate_prompt_tokens": "send the part of the prompt that counts.",
        "logits_processors": "it would run code of the caller's; logit_bias, bad_words and allowed_token_ids do much.",
        "spaces_between_special_tokens": "text is what the model's own decoder makes.",
        "guided_decoding_backend": "there is one backend.",
        "guided_whitespace_pattern": "white space in JSON is bounded already.",
        "stream_interval": "every token is sent as soon as it is there.",
        "kv_transfer_params": "there is one server.",
        "vllm_xargs": "there are no further arguments.",
        "logits_processors_args": "there are no such processors.",
        "logprob_token_ids": "ask for logprobs; prompt_logprobs and echo score texts of your own.",
        "repetition_detection": "repetition_penalty and frequency_penalty work against it.",
        "return_prompt_text": "return_token_ids gives the prompt's ids, and /detokenize their text.",
        "request_id": "send it as the header X-Request-Id.",
        "session_id": "equal prefixes are found whoever sends them.",
        "truncation_side": "send the part of the prompt that counts.",
        "ec_transfer_params": "there is one server.",
        "watermarking": "tokens are drawn from the model's distribution.",
    }

    model: Label | None = None
    stream: bool = False

    temperature: Annotated[float, Field(ge=0, le=100)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    logit_bias: Annotated[dict[str, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=4096)] | None = None
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 64)] | None = None
    top_k: Annotated[int, Field(ge=-1, lt=1 << 31)] = 0
    min_p: Share = 0.0
    repetition_penalty: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    ignore_eos: bool = False
    stop_token_ids: TokenIds | None = None
    min_tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS)] = 0
    bad_words: Annotated[list[Word], Field(max_length=MAX_BAD_WORDS)] | None = None
    allowed_token_ids: PromptIds | None = None
    skip_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    priority: Annotated[int, Field(ge=-(1 << 31), lt=1 << 31)] = 0
    slo_ms: Annotated[float, Field(gt=0, le=1e9)] | None = None
    cache_salt: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Requests with different salts never share KV."""
    structured_outputs: StructuredOutputsField | None = None
    guided_json: Annotated[dict[str, Any] | Pattern | None, Field(description="a JSON schema.")] = None
    guided_regex: Pattern | None = None
    guided_choice: Words | None = None
    guided_grammar: Pattern | None = None


class SamplingBody(DecodingBody):
    """What chats and completions have in common."""

    stream_options: StreamOptions | None = None
    user: Label | None = None
    """Who asks, in the caller's own terms. It stands in the log beside the request."""

    n: Annotated[int, Field(ge=1, le=MAX_N)] = 1
    stop: Annotated[
        Word | Annotated[list[Word], Field(max_length=MAX_STOP_STRINGS)] | None,
        Field(description=f"a string of 1 to {MAX_STOP_CHARS} characters, or at most {MAX_STOP_STRINGS} of them."),
    ] = None
    response_format: ResponseFormat | None = None
    prompt_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    return_tokens_as_token_ids: bool = False
    """Log-probabilities name a token `token_id:5` rather than by its text."""
    return_token_ids: bool = False
    """The token ids of prompt and completion come with their text."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError("stream_options needs stream to be true.", param="stream_options")
        if self.prompt_logprobs is not None and self.stream:
            raise InvalidRequestError("prompt_logprobs comes with the whole answer, not streamed.", param="stream")
        return self
