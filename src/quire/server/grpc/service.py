"""The calls of quire.proto, each the question of a body that HTTP knows too.

A message becomes the body of the HTTP route of the same meaning, and the route's answer becomes a message, field by
field under the same names.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from google.protobuf.message import Message

import quire
from quire.protocol._generated import quire_pb2 as pb
from quire.protocol._generated.quire_pb2_grpc import QuireServicer
from quire.protocol.collections import SearchRequest, UpsertRequest
from quire.protocol.fields import BodyT, checked
from quire.protocol.openai import (
    ChatCompletionRequest,
    CompletionRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    TokenizeRequest,
)
from quire.protocol.protobuf import MessageT, as_message
from quire.protocol.rpc_bodies import body_of
from quire.server.answering.embeddings import embedded
from quire.server.answering.questions import Question, ask_chat, ask_completion, text_of, token_ids_of
from quire.server.grpc.gate import current_call
from quire.server.retrieval.answers import searched, written

_STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


class QuireService(QuireServicer):
    async def Generate(self, request: pb.GenerateRequest, _: Any) -> AsyncGenerator[pb.GenerateEvent, None]:
        question = await ask_completion(current_call.get(), _streamed_body(CompletionRequest, request))
        async with aclosing(_streamed(question, pb.GenerateEvent)) as events:
            async for event in events:
                yield event

    async def Chat(self, request: pb.ChatRequest, _: Any) -> AsyncGenerator[pb.ChatEvent, None]:
        question = await ask_chat(current_call.get(), _streamed_body(ChatCompletionRequest, request))
        async with aclosing(_streamed(question, pb.ChatEvent)) as events:
            async for event in events:
                yield event

    async def Embed(self, request: pb.EmbedRequest, _: Any) -> pb.EmbedResponse:
        found = await embedded(current_call.get(), checked(EmbeddingRequest, body_of(request)))
        data = [{"index": index, "embedding": vector.tolist()} for index, vector in enumerate(found.vectors)]
        usage = {"prompt_tokens": found.num_tokens, "total_tokens": found.num_tokens}
        return as_message(pb.EmbedResponse, {"model": found.model, "data": data, "usage": usage})

    async def Search(self, request: pb.SearchRequest, _: Any) -> pb.SearchResponse:
        name, body = _of_collection(request)
        answer = await searched(current_call.get(), name, checked(SearchRequest, body))
        hits = [{**hit, "metadata": json.dumps(hit["metadata"])} for hit in answer["data"]]
        return as_message(pb.SearchResponse, {"data": hits})

    async def Upsert(self, request: pb.UpsertRequest, _: Any) -> pb.UpsertResponse:
        name, body = _of_collection(request)
        answer = await written(current_call.get(), name, checked(UpsertRequest, body))
        return as_message(pb.UpsertResponse, answer)

    async def Tokenize(self, request: pb.TokenizeRequest, _: Any) -> pb.TokenizeResponse:
        state, body = current_call.get().state, checked(TokenizeRequest, body_of(request))
        state.served_name(body.model)
        token_ids = await asyncio.to_thread(token_ids_of, state, body)
        texts = [state.token_texts.text(token_id) for token_id in token_ids] if body.return_token_strs else []
        return pb.TokenizeResponse(
            count=len(token_ids), max_model_len=state.engine.max_model_len, tokens=token_ids, token_strs=texts
        )

    async def Detokenize(self, request: pb.DetokenizeRequest, _: Any) -> pb.DetokenizeResponse:
        state, body = current_call.get().state, checked(DetokenizeRequest, {"tokens": [], **body_of(request)})
        state.served_name(body.model)
        return pb.DetokenizeResponse(prompt=await asyncio.to_thread(text_of, state, body))

    async def ModelInfo(self, request: pb.ModelInfoRequest, _: Any) -> pb.ModelInfoResponse:
        state = current_call.get().state
        names = [state.served_name(request.model)] if request.HasField("model") else state.model.names
        models = [state.model_named(name) for name in names]
        return as_message(pb.ModelInfoResponse, {"data": models, "version": quire.__version__})


def _of_collection(request: Message) -> tuple[str, dict[str, Any]]:
    """Its name, and the body of the route that HTTP has under it."""
    body = body_of(request)
    return body.pop("collection", ""), body


def _streamed_body(kind: type[BodyT], request: Message) -> BodyT:
    current_call.get().state.engine  # noqa: B018 (refuses while there is none)
    return checked(kind, {**body_of(request), **_STREAMED})


async def _streamed(question: Question, kind: type[MessageT]) -> AsyncGenerator[MessageT, None]:
    with question.call.admitted(question.requests) as ticket:
        async with aclosing(question.stream(ticket)) as batches:
            async for events in batches:
                for event in events:
                    yield as_message(kind, event)
