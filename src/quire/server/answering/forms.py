"""The grammar of an answer that has thoughts or calls in it, as llguidance reads it.

    thoughts, if any, then   calls that must come | calls that may come | the form that was asked for

Thoughts are free; calls have the names and the arguments of the tools; where calls may come, what stands around them is
free, or has the form that was asked for. Knows nothing of requests.
"""

import json
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from llguidance import LLMatcher

from quire.engine.structured import WHITESPACE
from quire.errors import InvalidRequestError, shown
from quire.protocol.openai.tools import Function
from quire.sampling_params import StructuredOutputs
from quire.server.parsing import hermes, thoughts
from quire.server.parsing.dialect import CallFormat

_ANYTHING = r"/(?s:.*)/"


@dataclass(frozen=True, slots=True)
class CallForm:
    format: CallFormat
    functions: Sequence[Function]
    is_required: bool
    is_single: bool


@dataclass(frozen=True, slots=True)
class AnswerForm:
    may_think: bool = False
    is_in_thought: bool = False
    """The answer begins inside of thoughts."""
    calls: CallForm | None = None
    text: StructuredOutputs | None = None
    special_marks: AbstractSet[str] = frozenset()
    """Marks that are special tokens of the vocabulary."""

    def grammar(self) -> StructuredOutputs:
        return StructuredOutputs(grammar="\n".join(self._rules()))

    def _rules(self) -> Iterator[str]:
        yield f"REST: {_ANYTHING}"
        if self.may_think:
            opened = "thought SPACE" if self.is_in_thought else f"({self._mark(thoughts.OPEN)} thought SPACE)?"
            yield f"start: {opened} answer"
            yield self._up_to("thought", thoughts.CLOSE)
            yield r"SPACE: /[ \n]{0,4}/"
        else:
            yield "start: answer"
        if self.calls is not None:
            yield from self._with_calls(self.calls)
        else:
            assert self.text is not None
            yield f"answer: {_form(self.text)}"

    def _with_calls(self, calls: CallForm) -> Iterator[str]:
        yield from _functions(calls)
        is_hermes = calls.format is CallFormat.HERMES
        yield from self._hermes_calls(calls) if is_hermes else self._llama_calls(calls)
        if calls.is_required:
            yield "answer: calls"
        elif self.text is not None:
            yield f"answer: calls | text\ntext: {_form(self.text)}"
        elif is_hermes:
            yield f"answer: (head body){'?' if calls.is_single else '*'} REST"
            yield self._up_to("head", hermes.OPEN)
        else:
            yield "answer: calls | PROSE"
            yield r"PROSE: /[ \n\r\t]*([^{ \n\r\t](?s:.*))?/"

    def _hermes_calls(self, calls: CallForm) -> Iterator[str]:
        yield f"calls: call{'' if calls.is_single else '+'}"
        yield f'call: {self._mark(hermes.OPEN)} body "\\n"?'
        yield f'body: "\\n" function "\\n" {self._mark(hermes.CLOSE)}'

    def _llama_calls(self, calls: CallForm) -> Iterator[str]:
        yield "calls: function" if calls.is_single else 'calls: function ("; " function)*'

    def _up_to(self, name: str, mark: str) -> str:
        """A rule for any text that ends with the first `mark`."""
        lazy = "" if mark in self.special_marks else "[lazy]"
        return f"{name}{lazy}: REST {self._mark(mark)}"

    def _mark(self, mark: str) -> str:
        return mark if mark in self.special_marks else json.dumps(mark)


def _functions(calls: CallForm) -> Iterator[str]:
    arguments = "arguments" if calls.format is CallFormat.HERMES else "parameters"
    yield "function: " + " | ".join(f"f{number}" for number in range(len(calls.functions)))
    for number, function in enumerate(calls.functions):
        schema = {
            "type": "object",
            "properties": {"name": {"const": function.name}, arguments: function.schema_of_arguments},
            "required": ["name", arguments],
            "additionalProperties": False,
        }
        yield f"f{number}: {_json(_with_definitions(schema, arguments))}"


def _with_definitions(schema: dict[str, Any], arguments: str) -> dict[str, Any]:
    """References of a schema mean its own root, which is now further down: definitions go up to the new one."""
    inner = schema["properties"][arguments]
    moved = {key: inner[key] for key in ("$defs", "definitions") if key in inner}
    if not moved:
        return schema
    kept = {key: value for key, value in inner.items() if key not in moved}
    return {**schema, "properties": {**schema["properties"], arguments: kept}, **moved}


def _form(wanted: StructuredOutputs) -> str:
    """The right side of a rule."""
    if wanted.json is not None:
        return _json(_schema(wanted.json))
    if wanted.json_object:
        return _json({"type": "object"})
    if wanted.choice is not None:
        return " | ".join(json.dumps(choice, ensure_ascii=False) for choice in wanted.choice)
    if wanted.regex is not None:
        (grammar,) = json.loads(LLMatcher.grammar_from_regex(wanted.regex))["grammars"]
        return str(grammar["lark_grammar"]).removeprefix("start: ")
    return f"%lark {{\n{wanted.grammar}\n}}"


def _schema(given: str | dict[str, Any]) -> dict[str, Any]:
    try:
        schema = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"The JSON schema {shown(given)} is no JSON: {error}.") from error
    if not isinstance(schema, dict):
        raise InvalidRequestError(f"The JSON schema is {shown(given)}; allowed: an object.")
    return schema


def _json(schema: dict[str, Any]) -> str:
    return "%json " + json.dumps({"x-guidance": {"whitespace_pattern": WHITESPACE}, **schema})
