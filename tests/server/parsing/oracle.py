"""Parts joined until nothing of how a text was cut is left in them, and texts worth cutting."""

from collections.abc import Iterable
from typing import Protocol

from hypothesis import strategies as st

from quire.server.parsing.parts import CallArguments, Part, Text, Thought


class Parser(Protocol):
    def push(self, text: str) -> list[Part]: ...

    def finish(self) -> list[Part]: ...


def joined(parts: Iterable[Part]) -> list[Part]:
    """Neighbours of one kind as one."""
    found: list[Part] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, Text) and isinstance(last, Text):
            found[-1] = Text(last.text + part.text)
        elif isinstance(part, Thought) and isinstance(last, Thought):
            found[-1] = Thought(last.text + part.text)
        elif isinstance(part, CallArguments) and isinstance(last, CallArguments) and part.index == last.index:
            found[-1] = CallArguments(part.index, last.text + part.text)
        else:
            found.append(part)
    return found


def in_pieces(parser: Parser, text: str, cuts: Iterable[int]) -> list[Part]:
    parts: list[Part] = []
    start = 0
    for cut in [*sorted({cut for cut in cuts if cut < len(text)}), len(text)]:
        parts += parser.push(text[start:cut])
        start = cut
    return joined([*parts, *parser.finish()])


CUTS = st.lists(st.integers(0, 200), max_size=30)
FRAGMENTS = st.sampled_from(
    [
        *("<tool_call>", "</tool_call>", "<think>", "</think>", "<|python_tag|>", "<tool", "_call>", "</"),
        *('{"name": "f", "arguments": {"a": 1}}', '{"name": "f", "parameters": {"a": "}"}}'),
        *('{"arguments": {"a": [1, 2]}, "name": "g"}', '{"name": "g"}', '{"name": "g", "arguments": "{\\"a\\": 1}"}'),
        *('{"name": "f", "arguments": {', '"a": [tru', "e]}}", "{", "}", "[", "]", '"', "\\", "\\u12", ",", ":", ";"),
        *(" ", "\n", "\n\n", "text", "é😀", "null", "-1.5e3", "01", "name"),
    ]
)
TEXTS = st.lists(FRAGMENTS, max_size=14).map("".join)
