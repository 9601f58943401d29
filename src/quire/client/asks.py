"""What is asked of a server: one builder of requests, whichever way they travel.

An `Ask` is an operation and the body that HTTP knows; a transport sends it. What is not given is not sent, so that the
server's defaults hold. Checks nothing that the server checks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, Literal, TypedDict
from urllib.parse import quote

from quire.sampling_params import StructuredOutputs

Message = Mapping[str, Any]
Prompt = str | Sequence[int]


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    """With a place for each of the ask's `names`."""
    rpc: str | None = None
    """The call of quire.proto; None where there is none."""


CHAT = Operation("POST", "/v1/chat/completions", "Chat")
GENERATE = Operation("POST", "/v1/completions", "Generate")
EMBED = Operation("POST", "/v1/embeddings", "Embed")
TOKENIZE = Operation("POST", "/tokenize", "Tokenize")
DETOKENIZE = Operation("POST", "/detokenize", "Detokenize")
RERANK = Operation("POST", "/v1/rerank")
MODELS = Operation("GET", "/v1/models", "ModelInfo")


@dataclass(frozen=True, slots=True)
class Ask:
    operation: Operation
    body: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """Of the collection, or whatever else HTTP has in the path."""
    content: bytes | None = None
    """A file, sent as it is in place of a body."""

    @property
    def path(self) -> str:
        """A dot by itself would be taken for a step of the path."""
        quoted = {name: quote(value, safe="").replace(".", "%2E") for name, value in self.names.items()}
        return self.operation.path.format(**quoted)


class SamplingOptions(TypedDict, total=False):
    """How to choose tokens and when to stop; docs/server.md has them all."""

    model: str
    n: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    logit_bias: Mapping[int, float]
    seed: int
    stop: str | Sequence[str]
    stop_token_ids: Sequence[int]
    include_stop_str_in_output: bool
    ignore_eos: bool
    min_tokens: int
    bad_words: Sequence[str]
    allowed_token_ids: Sequence[int]
    skip_special_tokens: bool
    structured_outputs: StructuredOutputs | Mapping[str, Any]
    priority: int
    slo_ms: float
    cache_salt: str
    return_token_ids: bool
    return_tokens_as_token_ids: bool
    user: str


class TemplateOptions(TypedDict, total=False):
    """How a conversation becomes a prompt."""

    tools: Sequence[Mapping[str, Any]]
    add_generation_prompt: bool
    chat_template: str
    chat_template_kwargs: Mapping[str, Any]


class RetrievalOptions(TypedDict, total=False):
    """How the passages of an answer are found."""

    k: int
    mode: Literal["hybrid", "dense", "lexical"]
    filter: Mapping[str, Any]
    max_prompt_tokens: int


class ChatOptions(SamplingOptions, TemplateOptions, total=False):
    max_tokens: int
    logprobs: bool
    top_logprobs: int
    tool_choice: str | Mapping[str, Any]
    parallel_tool_calls: bool
    reasoning_effort: str
    include_reasoning: bool
    collection: str
    """The answer stands on its passages and comes with `citations`."""
    retrieval: RetrievalOptions


class GenerateOptions(SamplingOptions, total=False):
    max_tokens: int
    logprobs: int
    echo: bool
    add_special_tokens: bool


class EmbedOptions(TypedDict, total=False):
    model: str
    """The embedding model or the served one."""
    dimensions: int
    input_type: Literal["query", "document"]
    user: str


class RerankOptions(TypedDict, total=False):
    model: str
    top_n: int
    return_documents: bool
    user: str


def chat(messages: str | Sequence[Message], options: ChatOptions) -> Ask:
    return Ask(CHAT, {"messages": conversation(messages), **_plain(options)})


def generate(prompt: Prompt | Sequence[Prompt], options: GenerateOptions) -> Ask:
    return Ask(GENERATE, {"prompt": prompt, **_plain(options)})


def embed(texts: Prompt | Sequence[Prompt], options: EmbedOptions) -> Ask:
    return Ask(EMBED, {"input": texts, **given(**options)})


def rerank(query: str, documents: Sequence[str], options: RerankOptions) -> Ask:
    return Ask(RERANK, {"query": query, "documents": [*documents], **given(**options)})


def tokenize(prompt: str | Sequence[Message], options: TemplateOptions, *, add_special_tokens: bool | None) -> Ask:
    if isinstance(prompt, str):
        return Ask(TOKENIZE, {"prompt": prompt, **given(add_special_tokens=add_special_tokens), **options})
    return Ask(TOKENIZE, {"messages": conversation(prompt), **given(add_special_tokens=add_special_tokens), **options})


def detokenize(token_ids: Sequence[int]) -> Ask:
    return Ask(DETOKENIZE, {"tokens": [*token_ids]})


def conversation(messages: str | Sequence[Message]) -> Sequence[Message]:
    """A text is what a user says."""
    return [{"role": "user", "content": messages}] if isinstance(messages, str) else messages


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has them."""
    plain = given(**options)
    form, bias = plain.get("structured_outputs"), plain.get("logit_bias")
    if is_dataclass(form) and not isinstance(form, type):
        plain["structured_outputs"] = {
            name: value for name, value in asdict(form).items() if value not in (None, False)
        }
    if bias is not None:
        plain["logit_bias"] = {str(token_id): value for token_id, value in bias.items()}
    return plain


def given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
