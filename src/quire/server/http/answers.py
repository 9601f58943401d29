"""The answer to a question over HTTP: whole, or as a stream that its reader may leave."""

from fastapi import Request, Response

from quire.server.answering.questions import Question
from quire.server.http.bodies import JsonAnswer
from quire.server.http.sse import PLAIN, EventFormat, EventStream, while_there, written


async def answered(request: Request, question: Question, *, is_stream: bool, form: EventFormat = PLAIN) -> Response:
    call, settings = question.call, question.call.state.settings
    admission = call.admitted(question.requests)
    if is_stream:
        return EventStream(
            admission,
            lambda ticket: written(question.stream(ticket), form),
            failed=lambda error: form.frames([question.writer.failed(error)]),
            write_timeout_s=settings.write_timeout_s,
            timeout_s=settings.request_timeout_s,
        )
    with admission as ticket:
        answer = await while_there(request.receive, question.whole(ticket), settings.request_timeout_s)
    return JsonAnswer(answer)
