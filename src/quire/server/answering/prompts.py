"""What was asked, as prompts that the engine has checked, before any of them runs."""

import asyncio
from functools import partial
from typing import Any

from quire.engine.prompts import PreparedRequest
from quire.errors import InvalidRequestError, shown
from quire.protocol.openai import ChatMessage, Prompt, SamplingBody, TemplateBody
from quire.sampling_params import SamplingParams
from quire.server.state import Call, ServerState

_TEMPLATE_ARGUMENTS = frozenset({"messages", "tools", "template", "add_generation_prompt", "self"})


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


async def prepared(
    call: Call,
    body: SamplingBody,
    prompts: list[Prompt],
    params: SamplingParams,
    *,
    add_special_tokens: bool = True,
) -> list[PreparedRequest]:
    """Each prompt tokenized and checked."""
    state, salt = call.state, call.caller.cache_salt(body.cache_salt)
    requests = []
    for prompt in prompts:
        asked = salted(prompt, salt)
        if isinstance(prompt, str) and not add_special_tokens:
            encode = partial(state.tokenizer.encode, prompt, add_special_tokens=False)
            asked["prompt_token_ids"] = await asyncio.to_thread(encode)
        requests.append(await state.engine.prepare(asked, params))
    num_tokens = sum(len(p.token_ids) for p in requests)
    call.add_facts(num_prompt_tokens=num_tokens, is_stream=body.stream, user=body.user)
    return requests


def salted(prompt: Prompt, salt: str) -> dict[str, Any]:
    """The prompt as the engine takes it, sharing KV with prompts of the same salt only."""
    return {"prompt" if isinstance(prompt, str) else "prompt_token_ids": prompt, "cache_salt": salt}
