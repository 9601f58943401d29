"""Vectors of texts: by the embedding model, or by the served model, whose last hidden state of a text is one too.

Which of them is asked is the request's `model`. Without it, it is the embedding model where the server was given one,
and else the served model.
"""

import asyncio
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from quire.engine.prompts import PreparedRequest
from quire.errors import InvalidRequestError, ModelLoadError, shown
from quire.protocol.openai import EmbeddingRequest, prompts_of
from quire.retrieval.embedding import Vectors
from quire.scheduling.admission import Admitted
from quire.server.answering.generation import by_request_id
from quire.server.answering.prompts import salted
from quire.server.answering.tracing import QuestionTrace
from quire.server.errors import SERVER, ApiError
from quire.server.render.writer import new_id
from quire.server.retrieval.models import RetrievalModels
from quire.server.state import Call


@dataclass(frozen=True, slots=True)
class Embedded:
    model: str
    """As the answer names it."""
    vectors: list[npt.NDArray[np.float32]]
    num_tokens: int


async def embedded(call: Call, body: EmbeddingRequest) -> Embedded:
    """A vector for each text. Raises ApiError 404 for a model that is neither."""
    name = _embedder_named(call, body.model)
    call.add_facts(user=body.user)
    found = await (_by_served_model(call, body) if name is None else _by_embedder(call, body, name))
    QuestionTrace(call.trace).ask("embeddings", found.model, found.num_tokens)
    return found


def _embedder_named(call: Call, asked: str | None) -> str | None:
    """The name for the answer; None where the served model is meant."""
    models, names = call.state.retrieval.models, call.state.retrieval.models.embedder_names
    if asked is None:
        return names[0] if models.is_embedder_given else None
    if asked in names and asked not in call.state.model.names:
        return asked
    call.state.served_name(asked, also=names)
    return None


async def _by_embedder(call: Call, body: EmbeddingRequest, name: str) -> Embedded:
    texts = [text for text in prompts_of(body.input) if isinstance(text, str)]
    if len(texts) < len(prompts_of(body.input)):
        raise InvalidRequestError(f"input is token ids; {shown(name)} takes texts.", param="input")
    retrieval = call.state.retrieval
    work = partial(_vectors, retrieval.models, name, texts, body)
    vectors, num_tokens = await retrieval.compute(call.caller, sum(map(len, texts)), work)
    call.state.metrics.count_embedded(len(texts))
    call.add_facts(num_prompt_tokens=num_tokens)
    return Embedded(name, [*vectors], num_tokens)


def _vectors(models: RetrievalModels, name: str, texts: list[str], body: EmbeddingRequest) -> tuple[Vectors, int]:
    try:
        embedder = models.embedder()
    except ModelLoadError as error:
        raise ApiError(404, f"{name} cannot be had here: {error}", param="model", code="model_not_found") from error
    if body.dimensions is not None and body.dimensions > embedder.dim:
        raise InvalidRequestError(
            f"dimensions is {body.dimensions}; allowed: 1 to {embedder.dim}, the width of {name}.", param="dimensions"
        )
    vectors, num_tokens = embedder.embed_counted(texts, are_queries=body.input_type == "query")
    if body.dimensions is None:
        return vectors, num_tokens
    cut = vectors[:, : body.dimensions]
    lengths = np.linalg.norm(cut, axis=1, keepdims=True) if embedder.normalize else 1.0
    return cut / np.maximum(lengths, np.finfo(np.float32).tiny), num_tokens


async def _by_served_model(call: Call, body: EmbeddingRequest) -> Embedded:
    """The last hidden state of each text."""
    for field, why in (("dimensions", "an embedding has the model's own width"), ("input_type", "it knows no kinds")):
        if field in body.model_fields_set:
            raise InvalidRequestError(f"{field} is not supported by the served model: {why}.", param=field)
    requests = await _prepared(call, body)
    with call.admitted(requests) as ticket:
        vectors = await _hidden_states(call, requests, ticket)
    num_tokens = sum(len(request.token_ids) for request in requests.values())
    return Embedded(call.state.served_name(body.model), vectors, num_tokens)


async def _prepared(call: Call, body: EmbeddingRequest) -> dict[str, PreparedRequest]:
    """By the engine's request id."""
    salt = call.caller.cache_salt(body.cache_salt)
    engine = call.state.engine
    try:
        requests = [await engine.prepare_embedding(salted(text, salt)) for text in prompts_of(body.input)]
    except InvalidRequestError as error:
        raise InvalidRequestError(str(error), param="input", code=error.code) from error
    call.add_facts(num_prompt_tokens=sum(len(request.token_ids) for request in requests))
    return by_request_id(new_id("embd"), requests)


async def _hidden_states(
    call: Call, requests: dict[str, PreparedRequest], ticket: Admitted
) -> list[npt.NDArray[np.float32]]:
    engine = call.state.engine
    call.state.admission.started(ticket)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(engine.embed(text, request_id=key)) for key, text in requests.items()]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None  # one is enough to say what is to be done
    outputs = [task.result() for task in tasks]
    if any(output.error is not None for output in outputs):
        raise ApiError(500, "The engine could not finish this; the server's log says why.", kind=SERVER)
    return [output.embedding for output in outputs]
