"""The OpenAPI document is true: whatever it lets one send is answered as it says, and never with the server's fault.

What it cannot say is checked elsewhere: that a regex compiles, that a prompt fits the model, that fields fit together.
"""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi_checks

from tests.server.serving import Running

CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 2}),
        ("/v1/completions", {"prompt": "x", "max_tokens": 2}),
        ("/v1/responses", {"input": "x", "max_output_tokens": 2}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 2}),
    ],
)
def test_the_events_of_a_stream_are_what_the_document_says(tiny: Running, path: str, body: dict[str, Any]) -> None:
    operation = schemathesis.openapi.from_url(f"{tiny.url}/openapi.json")[path]["POST"]
    case = operation.Case(body={**body, "stream": True}, media_type="application/json")
    response = case.call()
    assert response.headers["content-type"] == ["text/event-stream; charset=utf-8"]
    case.validate_response(response, checks=CHECKS)


def test_what_the_document_says_is_so(tiny: Running, subtests: pytest.Subtests) -> None:
    document = schemathesis.openapi.from_url(f"{tiny.url}/openapi.json")
    for found in document.get_all_operations():
        operation = found.ok()

        @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck], database=None)
        @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS)

        with subtests.test(operation=operation.label):
            ask()
