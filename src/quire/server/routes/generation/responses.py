"""/v1/responses."""

from fastapi import APIRouter, Request
from fastapi import Response as HttpResponse

from quire.protocol.openai.responses import ResponsesRequest
from quire.protocol.openai.responses.answers import Response
from quire.server.answering.questions import ask_response
from quire.server.http.answers import answered
from quire.server.http.bodies import described, read_body
from quire.server.http.sse import NAMED
from quire.server.state import call_of

router = APIRouter()


@router.post("/v1/responses", **described(ResponsesRequest, Response))
async def responses(request: Request) -> HttpResponse:
    """What follows a list of items; with `stream`, as server-sent events."""
    call = call_of(request)
    call.state.engine  # noqa: B018 (refuses while there is none)
    body = await read_body(request, ResponsesRequest)
    return await answered(request, await ask_response(call, body), is_stream=body.stream, form=NAMED)
