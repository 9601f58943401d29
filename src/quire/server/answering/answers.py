"""The answer to a generation: whole, or as a stream that its reader may leave."""

import asyncio
from functools import partial

from fastapi import Request, Response

from quire.engine.prompts import PreparedRequest
from quire.protocol.openai import SamplingBody
from quire.server.answering.generation import Generation
from quire.server.http.bodies import JsonAnswer
from quire.server.http.sse import EventStream, while_there, written
from quire.server.render.writer import Writer
from quire.server.state import caller_of, state_of


async def answered(request: Request, body: SamplingBody, prepared: list[PreparedRequest], writer: Writer) -> Response:
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
    return JsonAnswer(await asyncio.to_thread(writer.answer, outputs))
