"""Whatever is sent, the answer is a result or an error that blames the request, and the server lives."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quire.protocol.anthropic import CountTokensRequest, MessagesRequest
from quire.protocol.collections import DeleteDocumentsRequest, SearchRequest, UpsertRequest
from quire.protocol.openai import (
    ChatCompletionRequest,
    CompletionRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    TokenizeRequest,
)
from quire.protocol.openai.responses import ResponsesRequest
from tests.server.serving import Running

NUMBERS = st.sampled_from([0, 1, -1, 2, 40, 319, 320, 1 << 31, 1 << 63, 1 << 70, 0.5, -0.5, 1e300, 5e-324])
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8), st.integers(0, 400), st.floats(0, 2))
SCHEMAS: st.SearchStrategy[Any] = st.sampled_from(
    [
        {"type": "object"},
        {"type": "nothing"},
        {"$ref": "#"},
        {"$ref": "http://elsewhere/x"},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"enum": []},
        {"type": "string", "pattern": "(a+)+$"},
        {"type": "array", "minItems": 1 << 40},
    ]
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system", "assistant", "x"]), "content": st.text(max_size=9)}
    )
)
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.lists(st.lists(st.integers(-1, 330), max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=4), SCALARS, max_size=2),
    SCHEMAS,
    MESSAGES,
    st.builds(lambda schema: {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}, SCHEMAS),
    st.builds(lambda schema: {"json": schema}, SCHEMAS),
    st.builds(lambda text: {"regex": text}, st.text(max_size=6)),
)
ENDPOINTS: list[tuple[str, Any, dict[str, Any]]] = [
    ("/v1/chat/completions", ChatCompletionRequest, {"messages": [{"role": "user", "content": "x"}], "max_tokens": 2}),
    ("/v1/completions", CompletionRequest, {"prompt": "x", "max_tokens": 2}),
    ("/v1/responses", ResponsesRequest, {"input": "x", "max_output_tokens": 2}),
    ("/v1/messages", MessagesRequest, {"messages": [{"role": "user", "content": "x"}], "max_tokens": 2}),
    ("/v1/messages/count_tokens", CountTokensRequest, {"messages": [{"role": "user", "content": "x"}]}),
    ("/v1/embeddings", EmbeddingRequest, {"input": "x"}),
    ("/v1/collections/any/documents", UpsertRequest, {"documents": [{"id": "x", "text": "x", "metadata": {"a": 1}}]}),
    ("/v1/collections/any/documents/delete", DeleteDocumentsRequest, {"ids": ["x"]}),
    ("/v1/collections/any/search", SearchRequest, {"query": "x"}),
    ("/tokenize", TokenizeRequest, {"prompt": "x"}),
    ("/detokenize", DetokenizeRequest, {"tokens": [5, 6]}),
]


@pytest.fixture(scope="module", autouse=True)
def _any(tiny: Running) -> None:
    assert tiny.ask("/v1/collections", {"name": "any", "vectors": "none"}).status == 200


LENGTHS = ("max_tokens", "max_output_tokens", "n")


@pytest.mark.parametrize(
    ("path", "kind", "plain"), ENDPOINTS, ids=lambda value: str(value) if "/" in str(value) else ""
)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_is_the_servers_fault(tiny: Running, path: str, kind: Any, plain: dict[str, Any], data: Any) -> None:
    names = [field.alias or name for name, field in kind.model_fields.items() if name not in LENGTHS]
    changes = data.draw(st.dictionaries(st.sampled_from(names), VALUES, min_size=1, max_size=3))
    reply = tiny.ask(path, json.dumps({**plain, **changes}).encode())
    assert reply.status in (200, 400, 404), (changes, reply.body)
    if reply.status != 200:
        assert reply.json["error"]["message"]


def test_it_still_serves(tiny: Running) -> None:
    assert tiny.ask("/v1/completions", {"prompt": "x", "max_tokens": 2}).status == 200
