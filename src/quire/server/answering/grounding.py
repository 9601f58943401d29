"""A conversation with the passages that its last question is about, found in a collection that the request names."""

import time
from typing import Any

from quire.observability.trace import Fact
from quire.protocol.openai import ChatCompletionRequest
from quire.protocol.openai.grounding import RetrievalOptions
from quire.rag.answerer import prompt_room
from quire.rag.prompt import GroundedPrompt, assemble_prompt, question_of
from quire.server.state import Call


def grounded(call: Call, body: ChatCompletionRequest, template: str, **arguments: Any) -> GroundedPrompt:
    """`arguments` are what the template is given beside messages and passages. Raises ApiError 404 for a collection
    that is not served, InvalidRequestError where the last message is no question."""
    assert body.collection is not None
    state = call.state
    reader = state.retrieval.collections.named(body.collection).reader
    options = body.retrieval or RetrievalOptions()
    messages = [message.for_template() for message in body.messages]
    state.metrics.count_search()
    start_s, question = time.monotonic(), question_of(messages)
    hits = reader.search(question, options.k, mode=options.mode, filter=options.filter)
    told: dict[str, Fact] = {"gen_ai.operation.name": "retrieval", "gen_ai.data_source.id": body.collection}
    call.trace.phase(f"retrieval {body.collection}", start_s, time.monotonic(), told)
    state.retrieval.count_query(question)
    room = prompt_room(state.engine.max_model_len, body.max_completion_tokens or body.max_tokens)
    return assemble_prompt(
        messages,
        hits,
        state.tokenizer,
        max_tokens=min(room, options.max_prompt_tokens or room),
        template=template,
        template_kwargs=arguments,
    )
