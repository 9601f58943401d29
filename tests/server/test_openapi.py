"""The OpenAPI document is true: whatever it lets one send is answered as it says, and never with the server's fault.

What it cannot say is checked elsewhere: that a regex compiles, that a prompt fits the model, that fields fit together.
"""

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
