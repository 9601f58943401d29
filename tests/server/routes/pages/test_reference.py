"""The page of the API names all there is, loads nothing from elsewhere, and lets nothing through as markup."""

import re

from quire.server.routes.pages.reference import page
from tests.fakes import fake_engine
from tests.server.serving import running


def test_every_operation_and_type_of_the_document_is_on_the_page() -> None:
    engine, _ = fake_engine()
    with running(engine) as server:
        document = server.ask("/openapi.json").json
        reply = server.ask("/docs")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    text = reply.body.decode()
    for path, methods in document["paths"].items():
        for method in methods:
            assert f'id="{method.upper()}-{path}"' in text
    for name, schema in document["components"]["schemas"].items():
        assert f'<h3 id="{name}">' in text
        for field in schema.get("properties", {}):
            assert f"<code>{field}</code>" in text
    assert set(re.findall(r'href="([^"#]+)"', text)) == {"openapi.json"}
    assert not re.search(r"<script|src=|@import|url\(", text)
    for anchor in re.findall(r'href="#([^"]+)"', text):
        assert f'id="{anchor}"' in text, anchor


def test_what_a_document_says_is_text() -> None:
    schema = {"type": "object", "description": "<b>", "properties": {"<i>": {"type": "string", "maxLength": 3}}}
    document = {
        "info": {"title": "<T>", "version": "1"},
        "paths": {"/<x>": {"get": {"description": "a & b", "responses": {"200": {"description": "<ok>"}}}}},
        "components": {"schemas": {"S": schema}},
    }
    text = page(document)
    for raw in ("<T>", "<x>", "<b>", "<i>", "a & b", "<ok>"):
        assert raw not in text
    assert "at most 3 characters" in text
