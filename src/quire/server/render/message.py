"""The parts of an answer put together again, as the OpenAI API shows them: thoughts, text, calls.

A call that broke off is left as it stands in a stream; in a whole answer it is text.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from quire.protocol.openai.answers import ChatCitation
from quire.rag.citations import Citation
from quire.server.parsing.parts import CallArguments, CallBegin, Cited, Part, Text, Thought, settled


def new_call_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"


@dataclass(slots=True)
class CalledTool:
    name: str
    id: str = field(default_factory=new_call_id)
    arguments: str = ""


@dataclass(slots=True)
class Message:
    """A whole answer."""

    reasoning: str = ""
    text: str = ""
    calls: list[CalledTool] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)

    @classmethod
    def of(cls, parts: Iterable[Part]) -> "Message":
        message = cls()
        calls: dict[int, CalledTool] = {}
        for part in settled(parts):
            match part:
                case Thought(text):
                    message.reasoning += text
                case Text(text):
                    message.text += text
                case Cited(citation):
                    message.citations.append(citation)
                case CallBegin(index, name):
                    calls[index] = CalledTool(name)
                case CallArguments(index, text):
                    calls[index].arguments += text
        message.calls = [*calls.values()]
        return message


def delta_of(parts: Iterable[Part], *, has_reasoning: bool) -> dict[str, Any]:
    """What of a streamed message is new."""
    delta: dict[str, Any] = {}
    calls: dict[int, dict[str, Any]] = {}
    for part in parts:
        match part:
            case Thought(text) if has_reasoning:
                delta["reasoning_content"] = delta.get("reasoning_content", "") + text
            case Text(text):
                delta["content"] = delta.get("content", "") + text
            case Cited(citation):
                delta.setdefault("citations", []).append(shown_citation(citation))
            case CallBegin(index, name):
                function = {"name": name, "arguments": ""}
                calls[index] = {"index": index, "id": new_call_id(), "type": "function", "function": function}
            case CallArguments(index, text):
                call = calls.setdefault(index, {"index": index, "function": {"arguments": ""}})
                call["function"]["arguments"] += text
    if calls:
        delta["tool_calls"] = [*calls.values()]
    return delta


def shown_citation(citation: Citation) -> ChatCitation:
    passage = citation.passage
    return {
        "number": citation.number,
        "start": citation.start,
        "end": citation.end,
        "document_id": passage.document_id,
        "chunk_id": passage.chunk_id,
        "text": passage.text,
        "score": passage.score,
    }
