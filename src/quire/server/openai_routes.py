"""/v1/models, /v1/chat/completions, /v1/completions and /v1/embeddings."""

import asyncio
import base64
from functools import partial
from typing import Any

import msgspec
import numpy as np
from fastapi import APIRouter, Request, Response

from quire.engine.outputs import EmbeddingOutput
from quire.engine.prompts import PreparedRequest
from quire.errors import InvalidRequestError, shown
from quire.protocol.openai import (
    ChatCompletionRequest,
    ChatMessage,
    CompletionRequest,
    EmbeddingRequest,
    Prompt,
    SamplingBody,
    TemplateBody,
    prompts_of,
    to_sampling_params,
)
from quire.protocol.openai_responses import ChatCompletion, Completion, EmbeddingList, Model, ModelList
from quire.sampling_params import SamplingParams
from quire.server.bodies import described, read_body
from quire.server.errors import ApiError
from quire.server.generation import Generation
from quire.server.render import Writer
from quire.server.render_chat import ChatWriter
from quire.server.render_completion import CompletionWriter
from quire.server.sse import EventStream, while_there, written
from quire.server.state import ServerState, add_facts, caller_of, state_of

router = APIRouter()

_TEMPLATE_ARGUMENTS = frozenset({"messages", "tools", "template", "add_generation_prompt", "self"})


class MsgspecJson(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return msgspec.json.encode(content)


@router.get("/v1/models", **described(None, ModelList))
async def models(request: Request) -> Response:
    """The names this server answers to, all of one model."""
    state = state_of(request)
    return MsgspecJson({"object": "list", "data": [_model(state, name) for name in state.model.names]})


@router.get("/v1/models/{name:path}", **described(None, Model))
async def model(request: Request, name: str) -> Response:
    """One of them."""
    state = state_of(request)
    return MsgspecJson(_model(state, state.served_name(name)))


@router.post("/v1/chat/completions", **described(ChatCompletionRequest, ChatCompletion))
async def chat_completions(request: Request) -> Response:
    """The next message of a conversation; with `stream`, as server-sent events."""
    state = state_of(request)
    state.engine  # noqa: B018 (refuses while there is none)
    body = await read_body(request, ChatCompletionRequest)
    name = state.served_name(body.model)
    params = to_sampling_params(body)
    token_ids = await asyncio.to_thread(chat_token_ids, state, body.messages, body)
    prepared = await _prepared(request, body, [token_ids], params)
    return await _answered(request, body, prepared, ChatWriter(body, prepared, state.token_texts, name))


@router.post("/v1/completions", **described(CompletionRequest, Completion))
async def completions(request: Request) -> Response:
    """What follows each prompt; with `stream`, as server-sent events."""
    state = state_of(request)
    state.engine  # noqa: B018 (refuses while there is none)
    body = await read_body(request, CompletionRequest)
    name = state.served_name(body.model)
    params = to_sampling_params(body)
    prepared = await _prepared(
        request, body, prompts_of(body.prompt), params, add_special_tokens=body.add_special_tokens
    )
    return await _answered(request, body, prepared, CompletionWriter(body, prepared, state.token_texts, name))


@router.post("/v1/embeddings", **described(EmbeddingRequest, EmbeddingList))
async def embeddings(request: Request) -> Response:
    """The last hidden state of each text, at unit length."""
    state = state_of(request)
    body = await read_body(request, EmbeddingRequest)
    name, engine = state.served_name(body.model), state.engine
    salt = caller_of(request).cache_salt(body.cache_salt)
    prepared = [await engine.prepare_embedding(_prompt(text, salt)) for text in prompts_of(body.input)]
    num_tokens = sum(len(p.token_ids) for p in prepared)
    add_facts(request, num_prompt_tokens=num_tokens, user=body.user)
    with state.admitted(caller_of(request), prepared) as ticket:
        state.admission.started(ticket)
        outputs = await while_there(request.receive, _embed_all(state, prepared), state.settings.request_timeout_s)
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(output, body.encoding_format)}
        for index, output in enumerate(outputs)
    ]
    usage = {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    return MsgspecJson({"object": "list", "model": name, "data": data, "usage": usage})


def chat_token_ids(state: ServerState, messages: list[ChatMessage], how: TemplateBody) -> list[int]:
    """The prompt of a conversation. Raises InvalidRequestError with the template's words where it refuses."""
    more = how.chat_template_kwargs or {}
    for name in _TEMPLATE_ARGUMENTS & more.keys():
        raise InvalidRequestError(
            f"chat_template_kwargs has {shown(name)}, which the request sets by itself; leave it out.",
            param="chat_template_kwargs",
        )
    return state.tokenizer.apply_chat_template(
        [message.for_template() for message in messages],
        add_generation_prompt=how.add_generation_prompt,
        template=how.chat_template or state.model.chat_template,
        **more,
    )


def _model(state: ServerState, name: str) -> Model:
    return {
        "id": name,
        "object": "model",
        "created": state.created_s,
        "owned_by": "quire",
        "root": state.model.names[0],
        "parent": None,
        "max_model_len": state.engine.max_model_len,
    }


async def _prepared(
    request: Request,
    body: SamplingBody,
    prompts: list[Prompt],
    params: SamplingParams,
    *,
    add_special_tokens: bool = True,
) -> list[PreparedRequest]:
    """Each prompt tokenized and checked, before any of them runs."""
    state = state_of(request)
    salt = caller_of(request).cache_salt(body.cache_salt)
    prepared = []
    for prompt in prompts:
        asked = _prompt(prompt, salt)
        if isinstance(prompt, str) and not add_special_tokens:
            encode = partial(state.tokenizer.encode, prompt, add_special_tokens=False)
            asked["prompt_token_ids"] = await asyncio.to_thread(encode)
        prepared.append(await state.engine.prepare(asked, params))
    num_tokens = sum(len(p.token_ids) for p in prepared)
    add_facts(request, num_prompt_tokens=num_tokens, is_stream=body.stream, user=body.user)
    return prepared


def _prompt(prompt: Prompt, salt: str) -> dict[str, Any]:
    return {"prompt" if isinstance(prompt, str) else "prompt_token_ids": prompt, "cache_salt": salt}


async def _answered(request: Request, body: SamplingBody, prepared: list[PreparedRequest], writer: Writer) -> Response:
    state, settings = state_of(request), state_of(request).settings
    generation = Generation(writer.answer_id, prepared, state.engine, state.admission, state.metrics)
    admission = state.admitted(caller_of(request), prepared)
    if body.stream:
        return EventStream(
            admission,
            partial(written, generation, writer),
            write_timeout_s=settings.write_timeout_s,
            timeout_s=settings.request_timeout_s,
        )
    with admission as ticket:
        outputs = await while_there(request.receive, generation.whole(ticket), settings.request_timeout_s)
    return MsgspecJson(await asyncio.to_thread(writer.answer, outputs))


async def _embed_all(state: ServerState, prepared: list[PreparedRequest]) -> list[EmbeddingOutput]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(state.engine.embed(text)) for text in prepared]
    outputs = [task.result() for task in tasks]
    for output in outputs:
        if output.error is not None:
            raise ApiError(500, "The engine could not finish this; the server's log says why.", kind="server_error")
    return outputs


def _encoded(output: EmbeddingOutput, form: str) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(output.embedding.astype("<f4").tobytes()).decode()
    numbers: list[float] = output.embedding.astype(np.float64).tolist()
    return numbers
