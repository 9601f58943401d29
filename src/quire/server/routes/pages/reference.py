"""/docs: the OpenAPI document as a page to read, made here and loading nothing from anywhere."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
h2 { margin-top: 2.5rem; border-top: 1px solid #8886; padding-top: 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #8883; }
nav ul { columns: 2; padding-left: 1rem; }
"""
_REF = "#/components/schemas/"


@router.get("/docs")
async def reference(request: Request) -> HTMLResponse:
    app: FastAPI = request.app
    return HTMLResponse(page(app.openapi()), headers=_HEADERS)


def page(document: Mapping[str, Any]) -> str:
    """The whole page."""
    title = f"{document['info']['title']} {document['info']['version']}"
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    links = "".join(f'<li><a href="#{_anchor(m, p)}">{m} {escape(p)}</a></li>' for m, p, _ in operations)
    schemas = document.get("components", {}).get("schemas", {})
    body = [
        f"<h1>{escape(title)}</h1>",
        '<p>The same as a document for programs: <a href="openapi.json">openapi.json</a>.</p>',
        f'<nav aria-label="Operations"><ul>{links}</ul></nav>',
        *(part for operation in operations for part in _operation(*operation)),
        "<h2>Types</h2>",
        *(part for name, schema in sorted(schemas.items()) for part in _schema(name, schema)),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body>{"".join(body)}</body></html>'
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f'<h2 id="{_anchor(method, path)}"><code>{method} {escape(path)}</code></h2>'
    yield f"<p>{escape(operation.get('description', ''))}</p>"
    taken = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if taken is not None:
        yield f"<p>Takes {_kind(taken)}.</p>"
    for status, response in operation["responses"].items():
        kinds = [
            _kind(content["schema"]) if "json" in media else f"<code>{escape(media)}</code>"
            for media, content in response.get("content", {}).items()
        ]
        yield f"<p>{escape(status)}: {' or '.join(kinds) or escape(response['description'])}</p>"


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f'<h3 id="{escape(name)}">{escape(name)}</h3>'
    if schema.get("description"):
        yield f"<p>{escape(schema['description'])}</p>"
    fields = schema.get("properties")
    if fields is None:
        yield f"<p>{_kind(schema)}</p>"
        return
    required = schema.get("required", ())
    yield "<table><thead><tr><th>field</th><th>is</th><th>default</th><th></th></tr></thead><tbody>"
    for field, given in fields.items():
        default = "required" if field in required else _default(given)
        told = escape(given.get("description", ""))
        yield f"<tr><td><code>{escape(field)}</code></td><td>{_kind(given)}</td><td>{default}</td><td>{told}</td></tr>"
    yield "</tbody></table>"


def _default(schema: Mapping[str, Any]) -> str:
    return f"<code>{escape(json.dumps(schema['default']))}</code>" if schema.get("default") is not None else ""


def _kind(schema: Mapping[str, Any]) -> str:
    """What a value may be, in a few words."""
    if "$ref" in schema:
        name = escape(schema["$ref"].removeprefix(_REF))
        return f'<a href="#{name}">{name}</a>'
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(_kind(option) for option in schema[key] if option.get("type") != "null")
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in values)
    kind = escape(str(schema.get("type", "anything")))
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return kind + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    words = {
        "minimum": "≥ {}",
        "exclusiveMinimum": "> {}",
        "maximum": "≤ {}",
        "exclusiveMaximum": "< {}",
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
    }
    said = [text.format(schema[key]) for key, text in words.items() if key in schema]
    return f" ({escape(', '.join(said))})" if said else ""


def _anchor(method: str, path: str) -> str:
    return escape(f"{method}-{path}", quote=True)
