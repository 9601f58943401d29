"""The answer to a question over HTTP: whole, or as a stream that its reader may leave."""

from fastapi import Request, Response

from quire.protocol.openai import SamplingBody
from quire.server.answering.questions import Question
from quire.server.http.bodies import JsonAnswer
from quire.server.http.sse import EventStream, while_there, written


async def answered(request: Request, body: SamplingBody, question: Question) -> Response:
    call, settings = question.call, question.call.state.settings
    admission = call.admitted(question.requests)
    if body.stream:
        return EventStream(
            admission,
            lambda ticket: written(question.stream(ticket)),
            write_timeout_s=settings.write_timeout_s,
            timeout_s=settings.request_timeout_s,
        )
    with admission as ticket:
        answer = await while_there(request.receive, question.whole(ticket), settings.request_timeout_s)
    return JsonAnswer(answer)
