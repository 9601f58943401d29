"""Request bodies of the HTTP API as messages of quire.proto, and back.

Most fields have one name and type in both. Where HTTP lets one field hold this or that, a message has a field for each:
texts or token ids, a word or the name of a tool. What says how to choose tokens stands in `sampling`. A JSON schema, a
filter and metadata are text, as objects of protobuf keep neither the order of names nor large whole numbers.
Invariant: `body_of(message_of(kind, body))` means what `body` does.
"""

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from quire.errors import InvalidRequestError, shown, suggest
from quire.protocol._generated import quire_pb2 as pb
from quire.protocol.protobuf import MessageT, as_dict, fill

_SAMPLING = frozenset(pb.Sampling.DESCRIPTOR.fields_by_name)
_TEXTS_OR_IDS = frozenset({(pb.GenerateRequest, "prompt"), (pb.EmbedRequest, "input")})


def body_of(message: Message) -> dict[str, Any]:
    """What the caller set, under HTTP's names. Raises InvalidRequestError where two fields say the same."""
    fields = as_dict(message)
    body = {**fields.pop("sampling", {}), **fields}
    for name in ("prompt", "input"):
        _join(body, name, f"{name}_token_ids", lambda token_ids: token_ids)
    _join(body, "tool_choice", "tool_choice_function", lambda name: {"type": "function", "function": {"name": name}})
    if "tools" in body:
        body["tools"] = [{"type": "function", "function": _read_tool(tool)} for tool in body["tools"]]
    if "retrieval" in body:
        body["retrieval"] = _with_json(body["retrieval"], "filter", "filter of retrieval", "retrieval")
    if "documents" in body:
        documents = enumerate(body["documents"])
        body["documents"] = [
            _with_json(one, "metadata", f"metadata of documents[{index}]", "documents") for index, one in documents
        ]
    return _with_json(body, "filter", "filter", "filter")


def message_of(kind: type[MessageT], body: Mapping[str, Any]) -> MessageT:
    """Raises InvalidRequestError for what this kind of message has not, or cannot hold."""
    made: MessageT = kind()
    for name, value in body.items():
        if value is None:
            continue
        try:
            fill(made, _written(kind, name, value), is_strict=True)
        except InvalidRequestError:
            raise
        except KeyError as error:
            raise InvalidRequestError(
                f"{name} has no field {error} over gRPC; send it over HTTP.", param=name
            ) from None
        except (TypeError, ValueError, AttributeError) as error:
            message = f"{name} is {shown(value)}, which cannot be sent: {error}."
            raise InvalidRequestError(message, param=name) from None
    return made


def _join(body: dict[str, Any], name: str, other: str, joined: Any) -> None:
    if other in body:
        if name in body:
            raise InvalidRequestError(f"Give {name} or {other}, one of them.", param=name)
        body[name] = joined(body.pop(other))


def _read_tool(tool: dict[str, Any]) -> dict[str, Any]:
    return _with_json(tool, "parameters", "parameters of a tool", "tools")


def _with_json(fields: dict[str, Any], name: str, what: str, param: str) -> dict[str, Any]:
    """The field as the JSON that it holds as text, where it is there."""
    text = fields.get(name)
    if text is None:
        return fields
    try:
        return {**fields, name: json.loads(text)}
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"{what} is no JSON: {error}.", param=param) from None


def _written(kind: type[Message], name: str, value: Any) -> dict[str, Any]:
    """The fields that say what this one says."""
    known = kind.DESCRIPTOR.fields_by_name
    if "sampling" in known and name in _SAMPLING:
        return {"sampling": {name: _sampling(name, value)}}
    if name not in known:
        names = [*known, *(_SAMPLING if "sampling" in known else ())]
        raise InvalidRequestError(f"There is no field {shown(name)} over gRPC.{suggest(name, names)}", param=name)
    if (kind, name) in _TEXTS_OR_IDS:
        return _texts_or_ids(name, value)
    if name == "tools":
        return {name: [_written_tool(tool["function"]) for tool in value]}
    if name == "tool_choice" and not isinstance(value, str):
        return {"tool_choice_function": value["function"]["name"]}
    if name == "filter":
        return {name: json.dumps(value)}
    if name == "retrieval":
        return {name: _with_text(value, "filter")}
    if name == "documents":
        return {name: [_with_text(document, "metadata") for document in value]}
    if name == "messages":
        return {name: [_written_message(message) for message in value]}
    return {name: value}


def _texts_or_ids(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {name: [value]}
    if all(isinstance(item, str) for item in value) and value:
        return {name: value}
    is_one = all(isinstance(item, int) for item in value)
    return {f"{name}_token_ids": [value] if is_one else value}


def _written_tool(function: Mapping[str, Any]) -> dict[str, Any]:
    return _with_text(function, "parameters")


def _with_text(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The field as JSON in a text, where it is there."""
    value = fields.get(name)
    return {**fields, name: None if value is None else json.dumps(value)}


def _written_message(message: Mapping[str, Any]) -> dict[str, Any]:
    written, content = dict(message), message.get("content")
    if isinstance(content, list):
        written["content"] = "\n".join(part["text"] for part in content)
    if message.get("tool_calls"):
        written["tool_calls"] = [
            {name: value for name, value in call.items() if name != "type"} for call in message["tool_calls"]
        ]
    return written


def _sampling(name: str, value: Any) -> Any:
    if name == "stop" and isinstance(value, str):
        return [value]
    if name == "structured_outputs" and not isinstance(value.get("json"), str | None):
        return {**value, "json": json.dumps(value["json"])}
    return value
