"""What all routes of one server share, and whether there is a model to ask yet.

    loading ──▶ ready ──▶ draining ──▶ closed
       └──▶ failed (the server ends)

Knows nothing of HTTP but the errors it is answered with.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from quire.cache.token_budget import KINDS, NO_LIMIT, Tokens
from quire.engine.async_engine import AsyncEngine
from quire.engine.prompts import PreparedRequest
from quire.errors import ConfigError, InvalidRequestError
from quire.models.tokenizer import Tokenizer
from quire.observability.metrics import EngineReading, ServingMetrics
from quire.observability.trace import Trace, open_traces
from quire.protocol.openai.answers import Model
from quire.scheduling.admission import AdmissionController, Admitted
from quire.scheduling.rates import Refused
from quire.server.auth import Caller, KeyRing
from quire.server.errors import ApiError, refused, unavailable
from quire.server.parsing.dialect import Dialect, seen_in
from quire.server.render.token_texts import TokenTexts
from quire.server.retrieval.retrieval import Retrieval
from quire.server.settings import ServerSettings

EXPECTED_OUTPUT_TOKENS = 256
"""What a request that sets no max_tokens counts for at the door."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What a server says of its model before there is one."""

    names: tuple[str, ...]
    chat_template: str | None = None
    is_by_deadline: bool = False
    """The engine orders by slo_ms."""


class ServerState:
    def __init__(self, model: ServedModel, settings: ServerSettings) -> None:
        self.model = model
        self.settings = settings
        self.keys = KeyRing(settings.api_key, are_metrics_open=settings.are_metrics_open)
        self.metrics = ServingMetrics(model.names[0], self._read_engine)
        self.traces = open_traces(settings.otlp_traces_endpoint)
        self._rates = settings.admission_limits().rates()
        """One account for whatever a key asks."""
        self.retrieval = Retrieval(settings, self._rates, self.metrics.count_refusal)
        self.created_s = int(time.time())
        self.grpc_port: int | None = None
        """Where gRPC is listened to, once it is."""
        self._drained_by_s: float | None = None
        self.error: Exception | None = None
        """Why the model could not be loaded."""
        self._engine: AsyncEngine | None = None
        self._admission: AdmissionController | None = None
        self._token_texts: TokenTexts | None = None

    def open(self, engine: AsyncEngine) -> None:
        """From now on requests are served. Raises ConfigError where the model cannot do what the settings ask of it."""
        tokenizer = engine.tokenizer
        template = self.model.chat_template or (tokenizer and tokenizer.chat_template) or ""
        if self.settings.enable_auto_tool_choice and self.settings.dialect(seen_in(template)).calls is None:
            raise ConfigError(
                "enable_auto_tool_choice is set, and the chat template does not show how the model calls tools; give "
                "tool_call_parser."
            )
        self._token_texts = TokenTexts(tokenizer)
        prompt, context = self.settings.max_pending_prompt_tokens, self.settings.max_context_tokens
        engine.budget.resize(Tokens(engine.budget.limit.kv, prompt or NO_LIMIT, context or NO_LIMIT))
        limits = self.settings.admission_limits()
        self._admission = AdmissionController(
            limits, budget=engine.budget, is_by_deadline=self.model.is_by_deadline, rates=self._rates
        )
        self._engine = engine

    def close(self) -> None:
        """Lets go of the engine. gRPC may keep calls that were cancelled, and through them this, for as long as the
        process lives; they are not to keep a model."""
        self._engine = None

    def drain(self) -> None:
        """From now on nothing new is let in. Repeating it changes nothing."""
        if self._drained_by_s is None:
            self._drained_by_s = time.monotonic() + self.settings.shutdown_timeout_s

    @property
    def is_draining(self) -> bool:
        return self._drained_by_s is not None

    @property
    def grace_s(self) -> float:
        """How long requests in flight may still take."""
        by_s = self._drained_by_s
        return self.settings.shutdown_timeout_s if by_s is None else max(0.0, by_s - time.monotonic())

    @property
    def admission(self) -> AdmissionController:
        """REQUIRES: there is an engine."""
        assert self._admission is not None
        return self._admission

    @property
    def engine(self) -> AsyncEngine:
        """Raises ApiError 503 where nothing can be asked of it."""
        if self._engine is None:
            raise unavailable("The model is being loaded; /ready says when it is there.", code="model_loading")
        if self.is_draining:
            raise unavailable("The server is shutting down.", code="shutting_down")
        if not self._engine.is_alive:
            raise unavailable("The engine has stopped; its log says why.", code="engine_closed")
        return self._engine

    @property
    def is_ready(self) -> bool:
        """Whether requests are served."""
        return self._engine is not None and self._engine.is_alive and not self.is_draining

    @property
    def is_healthy(self) -> bool:
        """Not to be restarted: loading counts as healthy."""
        return self.error is None and (self._engine is None or self._engine.is_alive)

    @property
    def tokenizer(self) -> Tokenizer:
        tokenizer = self.engine.tokenizer
        if tokenizer is None:
            raise ApiError(400, "This model came without a tokenizer; send token ids to /v1/completions.")
        return tokenizer

    @property
    def token_texts(self) -> TokenTexts:
        assert self._token_texts is not None
        return self._token_texts

    def template(self, asked: str | None = None) -> str:
        """The chat template: the request's, else the operator's, else the model's. Raises InvalidRequestError where
        there is none, and where requests may bring none."""
        if asked is not None and not self.settings.trust_request_chat_template:
            raise InvalidRequestError(
                "This server runs no chat template that a request brings; leave chat_template out, or start the server "
                "with --trust-request-chat-template.",
                param="chat_template",
            )
        source = asked or self.model.chat_template or self.tokenizer.chat_template
        if source is None:
            raise InvalidRequestError(
                "This model has no chat template. Give one as chat_template (Jinja text), or send a plain prompt to "
                "/v1/completions.",
                param="messages",
            )
        return source

    def dialect(self, template: str | None = None) -> Dialect:
        """In which form the model thinks and calls tools: as the settings say, else as its template shows."""
        return self.settings.dialect(seen_in(self.template(template)))

    def served_name(self, asked: str | None, also: Sequence[str] = ()) -> str:
        """The name that the answer gives. Raises ApiError 404 for one that is not served; `also` are others that the
        caller could have asked for."""
        if asked is None or asked in self.model.names:
            return asked or self.model.names[0]
        known = ", ".join(repr(name) for name in (*self.model.names, *also))
        message = f"There is no model {asked!r} here; allowed: {known}."
        raise ApiError(404, message, param="model", code="model_not_found")

    def model_named(self, name: str) -> Model:
        """What the API says of the model under one of its names."""
        return {
            "id": name,
            "object": "model",
            "created": self.created_s,
            "owned_by": "quire",
            "root": self.model.names[0],
            "parent": None,
            "max_model_len": self.engine.max_model_len,
        }

    @contextmanager
    def admitted(self, caller: Caller, requests: Mapping[str, PreparedRequest]) -> Iterator[Admitted]:
        """Counts requests that came in one call in, for as long as the block lasts; they are named as the engine will
        know them. Raises ApiError 429 or 503."""
        prepared = list(requests.values())
        params = prepared[0].params
        outputs = [p.max_tokens if params.max_tokens else min(p.max_tokens, EXPECTED_OUTPUT_TOKENS) for p in prepared]
        ticket = self.admission.admit(
            caller.name,
            sum(len(p.token_ids) for p in prepared),
            max(outputs),
            n=params.n * len(prepared),
            slo_ms=params.slo_ms,
            claims={request_id: one.tokens for request_id, one in requests.items()},
        )
        if isinstance(ticket, Refused):
            error = refused(ticket)
            self.metrics.count_refusal(error.status)
            raise error
        try:
            yield ticket
        finally:
            self.admission.finished(ticket)

    def _read_engine(self) -> EngineReading | None:
        if self._engine is None:
            return None
        stats, budget = self._engine.stats(), self._engine.budget
        held = budget.limit - budget.available
        return EngineReading(
            num_running=stats.num_running,
            num_waiting=stats.num_waiting,
            kv_cache_usage=1 - stats.num_free_blocks / stats.num_blocks,
            num_preemptions=stats.num_preemptions,
            num_cached_tokens=stats.num_cached_tokens,
            num_steps=stats.num_steps,
            held_tokens={kind: getattr(held, kind) for kind in KINDS},
        )


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a caller, over whichever protocol it came."""

    state: ServerState
    caller: Caller
    request_id: str
    facts: dict[str, Any]
    """What the log says of it beside its path and status."""
    trace: Trace

    def add_facts(self, **facts: object) -> None:
        self.facts.update({name: value for name, value in facts.items() if value is not None})

    def admitted(self, requests: Mapping[str, PreparedRequest]) -> AbstractContextManager[Admitted]:
        return self.state.admitted(self.caller, requests)


def state_of(request: Request) -> ServerState:
    state: ServerState = request.app.state.server
    return state


def call_of(request: Request) -> Call:
    said = request.state
    return Call(state_of(request), said.caller, said.request_id, said.facts, said.trace)
