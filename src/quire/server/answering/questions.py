"""What a body asks of the engine, checked and ready to run, with the writer that will word its answer.

Every protocol asks in these ways; how the answer goes out is the protocol's.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from quire.engine.prompts import PreparedRequest
from quire.errors import InvalidRequestError
from quire.protocol.anthropic import CountTokensRequest, MessagesRequest
from quire.protocol.openai import (
    ChatCompletionRequest,
    CompletionRequest,
    DetokenizeRequest,
    TokenizeRequest,
    prompts_of,
    to_sampling_params,
)
from quire.protocol.openai.responses import ResponsesRequest
from quire.scheduling.admission import Admitted
from quire.server.answering.chats import chat_token_ids, prepared_chat
from quire.server.answering.generation import Generation, by_request_id
from quire.server.answering.prompts import prepared
from quire.server.answering.tracing import QuestionTrace
from quire.server.render.anthropic import MessageWriter
from quire.server.render.chat import ChatWriter
from quire.server.render.completion import CompletionWriter
from quire.server.render.response import ResponseWriter
from quire.server.render.writer import AnswerWriter, Event
from quire.server.state import Call, ServerState


@dataclass(slots=True)
class Question:
    call: Call
    generation: Generation
    writer: AnswerWriter

    @property
    def requests(self) -> dict[str, PreparedRequest]:
        """By the engine's request id."""
        return self.generation.prepared

    async def whole(self, ticket: Admitted) -> Event:
        """The answer in one piece."""
        outputs = await self.generation.whole(ticket)
        return await asyncio.to_thread(self.writer.answer, outputs)

    async def stream(self, ticket: Admitted) -> AsyncGenerator[list[Event], None]:
        """The answer as it comes, event by event, all that is there at once."""
        yield [*self.writer.first()]
        async with aclosing(self.generation.stream(ticket)) as batches:
            async for batch in batches:
                yield [event for index, output in batch for event in self.writer.events(index, output)]
        yield [*self.writer.last()]


async def ask_chat(call: Call, body: ChatCompletionRequest) -> Question:
    """The next message of a conversation."""
    name = call.state.served_name(body.model)
    chat = await prepared_chat(call, body)
    writer = ChatWriter(body, chat.requests, call.state.token_texts, name, chat.new_reader)
    return _question(call, "chat", name, chat.requests, writer)


async def ask_response(call: Call, body: ResponsesRequest) -> Question:
    """The same over the Responses API."""
    name = call.state.served_name(body.model)
    chat = await prepared_chat(call, body.to_chat())
    writer = ResponseWriter(body, chat.requests, call.state.token_texts, name, chat.reader())
    return _question(call, "chat", name, chat.requests, writer)


async def ask_message(call: Call, body: MessagesRequest) -> Question:
    """The same over the Anthropic API."""
    name, asked = call.state.served_name(body.model), body.to_chat()
    chat = await prepared_chat(call, asked)
    writer = MessageWriter(chat.requests, name, chat.reader(), has_thoughts=asked.include_reasoning)
    return _question(call, "chat", name, chat.requests, writer)


async def ask_completion(call: Call, body: CompletionRequest) -> Question:
    """What follows each prompt."""
    name, params, prompts = call.state.served_name(body.model), to_sampling_params(body), prompts_of(body.prompt)
    requests = await prepared(call, body, prompts, params, add_special_tokens=body.add_special_tokens)
    writer = CompletionWriter(body, requests, call.state.token_texts, name)
    return _question(call, "text_completion", name, requests, writer)


def _question(
    call: Call, operation: str, model: str, requests: list[PreparedRequest], writer: AnswerWriter
) -> Question:
    state, named = call.state, by_request_id(writer.answer_id, requests)
    trace = QuestionTrace(call.trace)
    num_tokens = sum(len(request.token_ids) for request in requests)
    trace.ask(operation, model, num_tokens, writer.answer_id, requests[0].params)
    generation = Generation(writer.answer_id, named, state.engine, state.admission, state.metrics, trace)
    return Question(call, generation, writer)


def num_prompt_tokens(state: ServerState, body: CountTokensRequest) -> int:
    """How long the prompt of a conversation is."""
    chat = body.to_chat()
    return len(chat_token_ids(state, chat.messages, chat, shows_tools=chat.tool_choice != "none"))


def token_ids_of(state: ServerState, body: TokenizeRequest) -> list[int]:
    """The tokens of a prompt or of a conversation."""
    if body.messages is not None:
        return chat_token_ids(state, body.messages, body)
    return state.tokenizer.encode(body.prompt or "", add_special_tokens=body.add_special_tokens)


def text_of(state: ServerState, body: DetokenizeRequest) -> str:
    """The text of token ids, special ones written out."""
    size = state.tokenizer.vocab_size
    for place, token_id in enumerate(body.tokens):
        if token_id >= size:
            name = f"tokens[{place}]"
            raise InvalidRequestError(f"{name} is {token_id}; allowed: token ids from 0 to {size - 1}.", param=name)
    return state.tokenizer.decode(body.tokens, skip_special_tokens=False)
