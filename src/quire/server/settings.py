"""The knobs of the server: where it listens, who may ask, how much and for how long. Flags are made of these fields."""

from dataclasses import dataclass, field
from typing import Any

from quire.errors import ConfigError, shown, suggest
from quire.scheduling.admission import AdmissionLimits
from quire.scheduling.rates import RateLimit
from quire.server.parsing.dialect import CallFormat, Dialect, ThoughtFormat

_PARSER_CHOICES = {
    "tool_call_parser": ("auto", *CallFormat, "none"),
    "reasoning_parser": ("auto", *ThoughtFormat, "none"),
}

MAX_HOT_QUERIES = 100
_POSITIVE = (
    "max_body_bytes",
    "max_header_bytes",
    "header_timeout_s",
    "body_timeout_s",
    "keep_alive_s",
    "write_timeout_s",
    "request_timeout_s",
    "shutdown_timeout_s",
    "max_pending_prompt_tokens",
    "max_context_tokens",
    "max_queued_retrievals",
)


def _opens(section: str, default: Any, **more: Any) -> Any:
    """The first field under a heading of the help page."""
    return field(default=default, metadata={"section": section, **more})


@dataclass(frozen=True, slots=True)
class ServerSettings:
    host: str = _opens("Address", "127.0.0.1")
    """The address to listen on. 0.0.0.0 is the whole network: then set api_key."""
    port: int = 8000
    """0 takes any that is free."""
    grpc_port: int | None = None
    """Serves gRPC (quire.v1) too, on the same address; 0 takes any port that is free. Default: HTTP only."""
    ssl_certfile: str | None = None
    """A certificate (PEM); the server then speaks HTTPS."""
    ssl_keyfile: str | None = None
    """Its private key, where the certificate's file does not hold it."""
    served_model_name: tuple[str, ...] = _opens("Callers", ())
    """Names that requests may call the model by; answers use the first. Default: the model as it was given."""
    api_key: tuple[str, ...] = ()
    """Keys that are let in, one per caller; everything but /health and /ready then needs one."""
    are_metrics_open: bool = False
    """/metrics needs no key either."""
    key_requests_per_s: float | None = None
    """How many one key may send; more are answered with 429 and Retry-After."""
    key_tokens_per_s: float | None = None
    """The same by tokens."""
    trust_request_chat_template: bool = False
    """Requests may bring a chat_template. It is a program: one that means ill can take seconds and a GB of memory."""
    collection: tuple[str, ...] = _opens("Collections", ())
    """Collections, by name or path, that chats may answer from, beside those of collection_folder."""
    collection_folder: str | None = None
    """All that lie here are served, and those that are made over the network go here. Default: served, below
    $QUIRE_HOME."""
    are_collections_read_only: bool = False
    """They are searched and read; what would change them is answered with 403."""
    num_hot_queries: int = 8
    """So many of the queries that collections are asked most of late are shown at /live. They are words of users: 0
    keeps none and shows none."""
    embedder: str | None = None
    """Makes the vectors of /v1/embeddings and of collections that are made here: a directory, a hub id, or none.
    Default: all-MiniLM-L6-v2, where it is found and asked for."""
    reranker: str | None = None
    """Judges passages for /v1/rerank: a directory or a hub id of a cross-encoder."""
    max_queued_retrievals: int = 256
    """Searches that wait, and so many embeddings and rerankings, and so many writes; more of a kind are answered with
    503 and Retry-After."""
    tool_call_parser: str = _opens("Reading answers", "auto", choices=_PARSER_CHOICES["tool_call_parser"])
    """In which form the model calls tools; auto sees it in the chat template."""
    reasoning_parser: str = field(default="auto", metadata={"choices": _PARSER_CHOICES["reasoning_parser"]})
    """How the model's thoughts are told from its answer; auto sees it in the chat template. deepseek_r1 is for models
    that begin in their thoughts without a mark."""
    enable_auto_tool_choice: bool = False
    """Do not start where the form of the model's tool calls is not known. Where it is, tools may always be sent."""
    max_queued_requests: int | None = _opens("Overload", 4096)
    """More are answered with 503 and Retry-After."""
    max_queued_tokens: int | None = None
    """The same by tokens, of prompts and expected outputs."""
    max_pending_prompt_tokens: int | None = None
    """Prompt tokens let in and not computed yet, in all; more are answered with 503. Default: no limit."""
    max_context_tokens: int | None = None
    """Tokens that all requests let in may grow to together, running or queued, prompts and outputs; more are answered
    with 503. Default: no limit; the cache holds what runs, and the rest waits."""
    requests_per_s: float | None = None
    """How many are let in, all callers together; more are answered with 503 and Retry-After."""
    tokens_per_s: float | None = None
    """The same by tokens."""
    rate_window_s: float = 10.0
    """Rates hold over this time. Longer lets bursts through, shorter smooths."""
    max_body_bytes: int = _opens("Limits of a request", 8 << 20)
    """Longer requests are answered with 413."""
    max_header_bytes: int = 64 << 10
    """Longer request headers are answered with 431."""
    header_timeout_s: float = 20.0
    """A connection that has not sent the headers of its request by then is closed."""
    body_timeout_s: float = 60.0
    """A request whose body is not there by then is answered with 408."""
    keep_alive_s: float = 75.0
    """How long a connection may be idle between requests. Longer than that of a proxy in front."""
    write_timeout_s: float = 60.0
    """A reader who takes nothing of a stream for so long loses it."""
    request_timeout_s: float | None = None
    """A request is ended with 504 after so long. Default: never."""
    shutdown_timeout_s: float = 30.0
    """On SIGTERM, requests in flight have so long to finish."""
    otlp_traces_endpoint: str | None = _opens("Observability", None)
    """Sends a trace of each request to this OpenTelemetry collector, such as http://localhost:4317. Needs
    quire[otel]."""

    def __post_init__(self) -> None:
        for name in ("api_key", "collection", "served_model_name"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("port", "grpc_port"):
            port = getattr(self, name)
            if not (isinstance(port, int) and 0 <= port <= 65_535) and (name, port) != ("grpc_port", None):
                raise ConfigError(f"{name} is {shown(port)}; allowed: 0 (any free one) to 65535.")
        if not (isinstance(self.num_hot_queries, int) and 0 <= self.num_hot_queries <= MAX_HOT_QUERIES):
            raise ConfigError(f"num_hot_queries is {shown(self.num_hot_queries)}; allowed: 0 to {MAX_HOT_QUERIES}.")
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and 0 < value < float("inf")):
                raise ConfigError(f"{name} is {shown(value)}; allowed: a number above 0.")
        for name, choices in _PARSER_CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                near = suggest(str(value), choices)
                raise ConfigError(f"{name} is {shown(value)}; allowed: {', '.join(choices)}.{near}")
        for key in self.api_key:
            if not (key and key.isascii() and key.isprintable() and " " not in key):
                raise ConfigError("An api_key is empty or holds white space or other than ASCII characters.")
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ConfigError("ssl_keyfile is given without ssl_certfile; give both.")
        self.admission_limits()

    def dialect(self, seen: Dialect) -> Dialect:
        """How the model writes calls and thoughts: as was set, else as it was seen."""
        calls, thoughts = self.tool_call_parser, self.reasoning_parser
        return Dialect(
            seen.calls if calls == "auto" else None if calls == "none" else CallFormat(calls),
            seen.thoughts if thoughts == "auto" else None if thoughts == "none" else ThoughtFormat(thoughts),
        )

    def admission_limits(self) -> AdmissionLimits:
        """The same numbers as admission knows them. Raises ConfigError where they admit nothing."""
        return AdmissionLimits(
            per_key=RateLimit(self.key_requests_per_s, self.key_tokens_per_s),
            in_all=RateLimit(self.requests_per_s, self.tokens_per_s),
            window_s=self.rate_window_s,
            max_queued_requests=self.max_queued_requests,
            max_queued_tokens=self.max_queued_tokens,
        )
