"""A conversation and passages, made into what a model's chat template takes, within a budget of tokens.

Which form a model wants is asked of its chat template. One that names `documents` gets them as such (quire-tiny,
Command R, Granite); one that takes system messages gets the passages there, before everything a user says, so that
questions over the same passages share a prefix; one that refuses those gets them with the last question. The wording is
data (prompt_forms.json). Passages are numbered from 1, best first.

Knows nothing of search or of generation. Any thread.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from quire.errors import InvalidRequestError, shown
from quire.models.tokenizer import Tokenizer
from quire.rag.citations import Passage

Message = Mapping[str, Any]

MIN_PASSAGE_TOKENS = 32
"""Less than this of a passage is not worth showing."""


@dataclass(frozen=True, slots=True)
class Form:
    """Where a model reads passages, and in which words."""

    place: str
    """documents, system or user."""
    instruction: str
    passage: str
    join: str
    template_kwargs: Mapping[str, Any]
    """Variables of the chat template that every answer from passages sets, as far as it knows them."""

    def numbered(self, texts: Sequence[str]) -> str:
        return self.join.join(self.passage.format(number=n, text=text) for n, text in enumerate(texts, 1))


@dataclass(frozen=True, slots=True)
class GroundedPrompt:
    """What the model reads, and what the numbers in its answer will mean: `passages[n - 1]` is `[n]`."""

    messages: list[Message]
    template_kwargs: Mapping[str, Any]
    passages: Sequence[Passage]
    token_ids: list[int]
    """The messages as the chat template puts them."""


def form_of(tokenizer: Tokenizer, template: str | None = None) -> Form:
    """The form that suits the tokenizer's chat template, or `template`. Raises InvalidRequestError without one."""
    names = tokenizer.template_variables(template)
    place = "documents" if "documents" in names else "system" if _takes_system(tokenizer, template) else "user"
    forms = _forms()
    kwargs = {name: value for name, value in forms["template_kwargs"].items() if name in names}
    return Form(place, **forms[place], template_kwargs=kwargs)


def assemble_prompt(
    messages: Sequence[Message],
    passages: Sequence[Passage],
    tokenizer: Tokenizer,
    *,
    max_tokens: int,
    template: str | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
) -> GroundedPrompt:
    """The conversation with as many of the passages as `max_tokens`, for the whole prompt, leave room for: best first,
    and the last one cut where it must be. None at all is a prompt without passages, not an error. `template_kwargs` are
    further variables of the chat template and go before the form's own."""
    question_of(messages)
    form = form_of(tokenizer, template)
    texts = [passage.text for passage in passages]
    room = max_tokens - len(_rendered(tokenizer, *ground(messages, form, ()), template, template_kwargs))
    while True:
        kept = fitting(texts, form, tokenizer, room)
        grounded, kwargs = ground(messages, form, kept)
        token_ids = _rendered(tokenizer, grounded, kwargs, template, template_kwargs)
        if len(token_ids) <= max_tokens or not kept:
            return GroundedPrompt(grounded, kwargs, passages[: len(kept)], token_ids)
        room -= len(token_ids) - max_tokens  # the pieces took more together than alone


def ground(messages: Sequence[Message], form: Form, texts: Sequence[str]) -> tuple[list[Message], dict[str, Any]]:
    """The conversation with the passages in it, as `form` says, and the variables for its chat template."""
    grounded, kwargs = list(messages), dict(form.template_kwargs)
    context = f"{form.instruction}\n\n{form.numbered(texts)}" if texts else form.instruction
    if form.place == "documents":
        kwargs["documents"] = [{"text": form.passage.format(text=text)} for text in texts]
    elif form.place == "user":
        asked = _question_at(messages)
        grounded[asked] = {**messages[asked], "content": f"{context}\n\nQuestion: {question_of(messages)}"}
    elif messages[0]["role"] == "system":
        grounded[0] = {**messages[0], "content": f"{messages[0]['content']}\n\n{context}"}
    else:
        grounded = [{"role": "system", "content": context}, *messages]
    return grounded, kwargs


def fitting(texts: Sequence[str], form: Form, tokenizer: Tokenizer, max_tokens: int) -> list[str]:
    """The first of `texts` that together take at most `max_tokens`; the last of them may be cut short."""
    kept: list[str] = []
    for number, text in enumerate(texts, 1):
        frame = form.passage.format(number=number, text="") + (form.join or "\n") + f"[{number}]"
        max_tokens -= len(tokenizer.encode(frame, add_special_tokens=False))
        ids = tokenizer.encode(text, add_special_tokens=False)
        if len(ids) > max_tokens:
            if max_tokens >= MIN_PASSAGE_TOKENS:
                kept.append(_whole_words(tokenizer.decode(ids[:max_tokens])))
            return kept
        kept.append(text)
        max_tokens -= len(ids)
    return kept


def question_of(messages: Sequence[Message]) -> str:
    """What is asked: what the user said last, whatever tools and the model have said since. Raises InvalidRequestError
    where that is no text."""
    last = messages[_question_at(messages)]
    content = last.get("content")
    if isinstance(content, list):
        content = "\n".join(str(part["text"]) for part in content if part.get("type") == "text")
    if not isinstance(content, str) or not content.strip():
        raise _no_question(last)
    return content


def _question_at(messages: Sequence[Message]) -> int:
    for index in reversed(range(len(messages))):
        if messages[index].get("role") == "user":
            return index
    raise _no_question(messages[-1] if messages else {})


def _no_question(found: Message) -> InvalidRequestError:
    message = f"The last message is {shown(found)}; to answer from a collection there must be a user's question."
    return InvalidRequestError(message, param="messages")


def _rendered(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    kwargs: Mapping[str, Any],
    template: str | None,
    template_kwargs: Mapping[str, Any] | None,
) -> list[int]:
    return tokenizer.apply_chat_template(messages, template=template, **{**kwargs, **(template_kwargs or {})})


def _whole_words(text: str) -> str:
    """Without the word that was cut through."""
    return text.rpartition(" ")[0] or text


def _takes_system(tokenizer: Tokenizer, template: str | None) -> bool:
    """Whether what a system message says appears in the prompt."""
    said = "passages"
    messages = [{"role": "system", "content": said}, {"role": "user", "content": "?"}]
    try:
        return said in tokenizer.decode(tokenizer.apply_chat_template(messages, template=template))
    except InvalidRequestError:
        return False


@cache
def _forms() -> dict[str, Any]:
    forms: dict[str, Any] = json.loads(files(__package__).joinpath("prompt_forms.json").read_text(encoding="utf-8"))
    return forms
