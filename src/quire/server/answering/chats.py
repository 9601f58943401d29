"""A conversation as one prompt: what its template is given, what form its answer has, and who reads that answer."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from quire.engine.prompts import PreparedRequest
from quire.errors import InvalidRequestError, shown, suggest
from quire.models.text.chat_template import compile_template
from quire.models.tokenizer import Tokenizer
from quire.protocol.openai import ChatCompletionRequest, TemplateBody, to_sampling_params
from quire.protocol.openai.messages import ChatMessage
from quire.protocol.openai.tools import Function, NamedToolChoice
from quire.rag.citations import Passage
from quire.rag.prompt import GroundedPrompt
from quire.sampling_params import SamplingParams
from quire.server.answering.forms import AnswerForm, CallForm
from quire.server.answering.grounding import grounded
from quire.server.answering.prompts import prepared
from quire.server.parsing.citing import CitingReader
from quire.server.parsing.dialect import Dialect
from quire.server.parsing.reader import Parser, Reader
from quire.server.state import Call, ServerState

_SET_BY_THE_REQUEST = frozenset({"messages", "tools", "template", "add_generation_prompt", "self"})
_END_TOKENS = 16
"""So many tokens show how a prompt ends."""

NewReader = Callable[[], Parser]


@dataclass(frozen=True, slots=True)
class Chat:
    requests: list[PreparedRequest]
    """One."""
    new_reader: NewReader | None
    """A reader per choice. None: all of the answer is text."""

    def reader(self) -> Parser:
        return Reader(None, None) if self.new_reader is None else self.new_reader()


async def prepared_chat(call: Call, body: ChatCompletionRequest) -> Chat:
    state = call.state
    params = to_sampling_params(body)
    if body.collection is not None and "temperature" not in body.model_fields_set:
        params = replace(params, temperature=0.0)  # it quotes, so the likeliest word is best
    dialect = state.dialect(body.chat_template)
    shows_tools = body.tool_choice != "none"
    token_ids, passages = await _prompt(call, body, shows_tools=shows_tools)
    tools = _Tools.of(body, dialect)
    end = state.tokenizer.decode(token_ids[-_END_TOKENS:], skip_special_tokens=False)
    special_marks = _special_marks(dialect, tools, state.tokenizer)
    if special_marks:
        params = replace(params, skip_special_tokens=False)
    params = _in_form(params, dialect, tools, end, special_marks)
    requests = await prepared(call, body, [token_ids], params)
    if dialect.thoughts is None and tools is None and passages is None:
        return Chat(requests, None)
    names = None if tools is None else frozenset(function.name for function in tools.offered)
    max_calls = 1 if tools is not None and tools.form.is_single else None

    def new_reader() -> Parser:
        reader = dialect.reader(prompt_end=end, names=names, max_calls=max_calls)
        return reader if passages is None else CitingReader(reader, passages)

    return Chat(requests, new_reader)


async def _prompt(
    call: Call, body: ChatCompletionRequest, *, shows_tools: bool
) -> tuple[list[int], Sequence[Passage] | None]:
    """With the passages it shows, where a collection is asked: in its threads, so that no other chat waits for it."""
    state = call.state
    if body.collection is None:
        return await asyncio.to_thread(chat_token_ids, state, body.messages, body, shows_tools=shows_tools), None

    def with_passages() -> GroundedPrompt:
        return grounded(call, body, **_template_arguments(state, body, shows_tools=shows_tools))

    prompt = await state.retrieval.ask_for_chat(with_passages)
    return prompt.token_ids, prompt.passages


def chat_token_ids(
    state: ServerState, messages: list[ChatMessage], how: TemplateBody, *, shows_tools: bool = True
) -> list[int]:
    """The prompt of a conversation. Raises InvalidRequestError with the template's words where it refuses."""
    arguments = _template_arguments(state, how, shows_tools=shows_tools)
    return state.tokenizer.apply_chat_template([message.for_template() for message in messages], **arguments)


def _template_arguments(state: ServerState, how: TemplateBody, *, shows_tools: bool) -> dict[str, Any]:
    """The template, and what it is given beside the messages."""
    source = state.template(how.chat_template)
    known = compile_template(source).variables
    tools = how.tools if shows_tools else None
    if tools and "tools" not in known:
        raise InvalidRequestError(
            "This model's chat template shows no tools to it. Serve a model that calls tools, or give its template.",
            param="tools",
        )
    return {
        "add_generation_prompt": how.add_generation_prompt,
        "tools": [tool.model_dump(exclude_none=True) for tool in tools or ()],
        "template": source,
        **_variables(how, known, may_think=state.dialect(how.chat_template).thoughts is not None),
    }


def _variables(how: TemplateBody, known: frozenset[str], *, may_think: bool) -> dict[str, Any]:
    """The template's further variables. Raises InvalidRequestError for one that it does not read."""
    given = how.chat_template_kwargs or {}
    for name in given:
        if name in _SET_BY_THE_REQUEST:
            raise InvalidRequestError(
                f"chat_template_kwargs has {shown(name)}, which the request sets by itself; leave it out.",
                param="chat_template_kwargs",
            )
        if name not in known:
            near = suggest(name, known)
            raise InvalidRequestError(
                f"chat_template_kwargs has {shown(name)}, which the chat template does not read.{near}",
                param="chat_template_kwargs",
            )
    effort = how.reasoning_effort if isinstance(how, ChatCompletionRequest) else None
    if effort is None or (effort == "none" and not may_think):
        return given
    return {**_effort(effort, known), **given}


def _effort(effort: str, known: frozenset[str]) -> dict[str, Any]:
    switches = {"reasoning_effort": effort, "enable_thinking": effort != "none"}
    found = {name: value for name, value in switches.items() if name in known}
    if not found:
        raise InvalidRequestError(
            "reasoning_effort is not supported here: the model's chat template knows no such thing.",
            param="reasoning_effort",
        )
    return found


@dataclass(frozen=True, slots=True)
class _Tools:
    """What may be called, and what is to be held to its form."""

    offered: list[Function]
    form: CallForm
    is_held: bool

    @classmethod
    def of(cls, body: ChatCompletionRequest, dialect: Dialect) -> "_Tools | None":
        """None where nothing may be called."""
        choice, offered = body.tool_choice or "auto", [tool.function for tool in body.tools or ()]
        if not offered or choice == "none":
            return None
        if dialect.calls is None:
            raise InvalidRequestError(
                "This server does not know in which form its model calls tools; start it with --tool-call-parser.",
                param="tools",
            )
        called = offered
        if isinstance(choice, NamedToolChoice):
            called = [function for function in offered if function.name == choice.function.name]
        is_required = choice != "auto"
        is_single = isinstance(choice, NamedToolChoice) or not body.parallel_tool_calls
        form = CallForm(dialect.calls, called, is_required, is_single)
        return cls(offered, form, is_held=is_required or any(function.strict for function in offered))


def _in_form(
    params: SamplingParams, dialect: Dialect, tools: _Tools | None, prompt_end: str, special_marks: frozenset[str]
) -> SamplingParams:
    """With a grammar that lets thoughts and calls be where they belong."""
    text = params.structured_outputs
    calls = None if tools is None else tools.form
    form = AnswerForm(
        may_think=dialect.may_think(prompt_end),
        is_in_thought=dialect.begins_in_thought(prompt_end),
        calls=calls,
        text=text,
        special_marks=special_marks,
    )
    is_held = text is not None or (tools is not None and tools.is_held)
    is_plain = not form.may_think and calls is None
    return params if is_plain or not is_held else replace(params, structured_outputs=form.grammar())


def _special_marks(dialect: Dialect, tools: _Tools | None, tokenizer: Tokenizer) -> frozenset[str]:
    """The marks that are special tokens, which would leave no text."""
    formats = (dialect.thoughts, dialect.calls if tools is not None else None)
    marks = [mark for form in formats if form is not None for mark in form.marks]
    return frozenset(mark for mark in marks if tokenizer.token_id(mark) in tokenizer.special_token_ids)
