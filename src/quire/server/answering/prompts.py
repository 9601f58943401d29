"""What was asked, as prompts that the engine has checked, before any of them runs."""

import asyncio
from functools import partial
from typing import Any

from quire.engine.prompts import PreparedRequest
from quire.protocol.openai import Prompt, SamplingBody
from quire.sampling_params import SamplingParams
from quire.server.state import Call


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
