"""Requests of the OpenAI API, with the further parameters that vLLM's users send, and what they ask of the sampler.

Reference: the API's own names, types and bounds. What this server cannot do yet stands in `unsupported`, with the
reason that the caller is told.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from quire.errors import InvalidRequestError, shown
from quire.protocol.fields import MAX_TEXT_LIST, Body, Label, Penalty, PromptIds, Share, TokenIds
from quire.sampling_params import (
    MAX_BAD_WORDS,
    MAX_LOGPROBS,
    MAX_N,
    MAX_SCHEMA_CHARS,
    MAX_STOP_CHARS,
    MAX_STOP_STRINGS,
    MAX_TOKENS,
    SamplingParams,
    StructuredOutputs,
)

Word = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARS)]
Pattern = Annotated[str, Field(min_length=1, max_length=MAX_SCHEMA_CHARS)]
Words = Annotated[list[Word], Field(min_length=1, max_length=MAX_TEXT_LIST)]

_ONE_ANSWER = "every completion is one sample; ask for n of them and choose."
_NO_TOOLS = "this server calls no tools yet."
_TEXT_ONLY = "this server reads and writes text."
_NOT_STORED = "this server keeps nothing of a request."


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


class SamplingBody(Body):
    """What chats and completions have in common."""

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
    }

    model: Label | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: Label | None = None
    """Who asks, in the caller's own terms. It stands in the log beside the request."""

    n: Annotated[int, Field(ge=1, le=MAX_N)] = 1
    temperature: Annotated[float, Field(ge=0, le=100)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    logit_bias: Annotated[dict[str, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=4096)] | None = None
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 64)] | None = None
    stop: Annotated[
        Word | Annotated[list[Word], Field(max_length=MAX_STOP_STRINGS)] | None,
        Field(description=f"a string of 1 to {MAX_STOP_CHARS} characters, or at most {MAX_STOP_STRINGS} of them."),
    ] = None
    response_format: ResponseFormat | None = None

    top_k: Annotated[int, Field(ge=-1, lt=1 << 31)] = 0
    min_p: Share = 0.0
    repetition_penalty: Annotated[float, Field(gt=0, le=100)] = 1.0
    ignore_eos: bool = False
    stop_token_ids: TokenIds | None = None
    min_tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS)] = 0
    bad_words: Annotated[list[Word], Field(max_length=MAX_BAD_WORDS)] | None = None
    allowed_token_ids: PromptIds | None = None
    skip_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    prompt_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    priority: Annotated[int, Field(ge=-(1 << 31), lt=1 << 31)] = 0
    slo_ms: Annotated[float, Field(gt=0, le=1e9)] | None = None
    cache_salt: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Requests with different salts never share KV."""
    return_tokens_as_token_ids: bool = False
    """Log-probabilities name a token `token_id:5` rather than by its text."""
    return_token_ids: bool = False
    """The token ids of prompt and completion come with their text."""

    structured_outputs: StructuredOutputsField | None = None
    guided_json: Annotated[dict[str, Any] | Pattern | None, Field(description="a JSON schema.")] = None
    guided_regex: Pattern | None = None
    guided_choice: Words | None = None
    guided_grammar: Pattern | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError("stream_options needs stream to be true.", param="stream_options")
        if self.prompt_logprobs is not None and self.stream:
            raise InvalidRequestError("prompt_logprobs comes with the whole answer, not streamed.", param="stream")
        return self


class ContentPart(Body):
    type: Literal["text"]
    text: str


class ChatMessage(Body):
    unsupported: ClassVar[Mapping[str, str]] = {
        "tool_calls": _NO_TOOLS,
        "tool_call_id": _NO_TOOLS,
        "function_call": _NO_TOOLS,
        "audio": _TEXT_ONLY,
        "refusal": "send what was said as content.",
    }

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[
        str | Annotated[list[ContentPart], Field(min_length=1, max_length=MAX_TEXT_LIST)],
        Field(description="text, or a list of parts of type 'text'."),
    ]
    name: Label | None = None

    @field_validator("content", mode="before")
    @classmethod
    def _is_text(cls, content: Any) -> Any:
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and part.get("type") != "text":
                kind = shown(part.get("type"))
                raise InvalidRequestError(f"A part of content has the type {kind}; allowed: 'text', since {_TEXT_ONLY}")
        return content

    def for_template(self) -> dict[str, str]:
        """The message as templates know it: parts joined by line ends, `developer` as `system`, which it replaces."""
        content = self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": content} | ({"name": self.name} if self.name else {})


Messages = Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_TEXT_LIST)]


class TemplateBody(Body):
    """How a conversation becomes a prompt."""

    add_generation_prompt: bool = True
    chat_template: Pattern | None = None
    chat_template_kwargs: dict[str, Any] | None = None


_TEMPLATE_FIELDS = frozenset(TemplateBody.model_fields)


class ChatCompletionRequest(SamplingBody, TemplateBody):
    unsupported: ClassVar[Mapping[str, str]] = {
        **SamplingBody.unsupported,
        "tools": _NO_TOOLS,
        "tool_choice": _NO_TOOLS,
        "parallel_tool_calls": _NO_TOOLS,
        "functions": _NO_TOOLS,
        "function_call": _NO_TOOLS,
        "audio": _TEXT_ONLY,
        "modalities": _TEXT_ONLY,
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


class EmbeddingRequest(Body):
    unsupported: ClassVar[Mapping[str, str]] = {
        "dimensions": "an embedding has the model's own width.",
        "truncate_prompt_tokens": "send the part of the text that counts.",
        "priority": "texts to be embedded are served as they come.",
    }

    model: Label | None = None
    input: Annotated[
        str
        | Annotated[list[str], Field(min_length=1, max_length=MAX_TEXT_LIST)]
        | PromptIds
        | Annotated[list[PromptIds], Field(min_length=1, max_length=MAX_TEXT_LIST)],
        Field(description=f"text, a list of token ids, or a list of 1 to {MAX_TEXT_LIST} of either."),
    ]
    encoding_format: Literal["float", "base64"] = "float"
    user: Label | None = None
    cache_salt: Annotated[str, Field(min_length=1, max_length=256)] | None = None


class TokenizeRequest(TemplateBody):
    model: Label | None = None
    prompt: str | None = None
    messages: Messages | None = None
    add_special_tokens: bool = True
    """Of a prompt; the template of a chat writes its own."""
    return_token_strs: bool = False

    @model_validator(mode="after")
    def _is_prompt_or_chat(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise InvalidRequestError("Give prompt or messages, one of them.", param="prompt")
        given, foreign = ("messages", {"add_special_tokens"}) if self.messages else ("prompt", _TEMPLATE_FIELDS)
        for name in sorted(foreign & self.model_fields_set):
            raise InvalidRequestError(f"{name} has no meaning with {given}; leave it out.", param=name)
        return self


class DetokenizeRequest(Body):
    model: Label | None = None
    tokens: PromptIds


Prompt = str | list[int]


def prompts_of(given: str | list[str] | list[int] | list[list[int]]) -> list[Prompt]:
    """One prompt or several, as a list of them. An empty list is one empty prompt."""
    if isinstance(given, str) or not given:
        return [given] if isinstance(given, str) else [[]]
    if isinstance(given[0], int):
        return [[*given]]
    return [*given]


_SAME_NAMES = (
    *("n", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty"),
    *("seed", "stop", "stop_token_ids", "include_stop_str_in_output", "ignore_eos", "min_tokens", "bad_words"),
    *("allowed_token_ids", "skip_special_tokens", "prompt_logprobs", "priority", "slo_ms"),
)


def to_sampling_params(request: ChatCompletionRequest | CompletionRequest) -> SamplingParams:
    """What the request asks of the sampler. Raises InvalidRequestError where its parts do not fit together."""
    fields: dict[str, Any] = {name: getattr(request, name) for name in _SAME_NAMES}
    if isinstance(request, ChatCompletionRequest):
        fields["max_tokens"] = request.max_completion_tokens or request.max_tokens
        fields["logprobs"] = (request.top_logprobs or 0) if request.logprobs else None
    else:
        fields["max_tokens"] = max(request.max_tokens, 1)
        fields["logprobs"] = request.logprobs
        if request.echo and request.logprobs is not None:
            fields["prompt_logprobs"] = max(request.logprobs, request.prompt_logprobs or 0)
    fields["logit_bias"] = _logit_bias(request.logit_bias)
    fields["structured_outputs"] = _structured_outputs(request)
    return SamplingParams(**fields)


def _logit_bias(given: Mapping[str, float] | None) -> dict[int, float] | None:
    """JSON has no keys but strings."""
    for key in given or ():
        if not (key.isascii() and key.isdigit() and len(key) < 11):
            raise InvalidRequestError(f"logit_bias has the key {key[:80]!r}; allowed: token ids.", param="logit_bias")
    return {int(key): bias for key, bias in given.items()} if given else None


def _structured_outputs(request: SamplingBody) -> StructuredOutputs | None:
    """The one form that was asked for, by whichever name."""
    asked: dict[str, dict[str, Any]] = {}
    format_ = request.response_format
    if format_ is not None and format_.type == "json_object":
        asked["response_format"] = {"json_object": True}
    if format_ is not None and format_.json_schema is not None:
        asked["response_format"] = {"json": format_.json_schema.schema_}
    if request.structured_outputs is not None:
        asked["structured_outputs"] = request.structured_outputs.model_dump(by_alias=True)
    for kind in ("json", "regex", "choice", "grammar"):
        if (value := getattr(request, f"guided_{kind}")) is not None:
            asked[f"guided_{kind}"] = {kind: value}
    if len(asked) > 1:
        names = " and ".join(asked)
        raise InvalidRequestError(f"{names} each ask for a form; give one of them.", param=next(iter(asked)))
    return StructuredOutputs(**next(iter(asked.values()))) if asked else None
