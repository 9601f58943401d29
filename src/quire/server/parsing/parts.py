"""The parts that a model's text is told apart into."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from quire.rag.citations import Citation


@dataclass(frozen=True, slots=True)
class Text:
    """What the answer says."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """What the model said to itself before it answered."""

    text: str


@dataclass(frozen=True, slots=True)
class CallBegin:
    """A tool is called by its name. Calls are numbered from 0, in their order."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """A further piece of the call's arguments, which together are a JSON object as the model wrote it."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class CallEnd:
    index: int
    is_complete: bool
    """Else the text broke off, or off the form, inside the call."""
    source: str
    """The call as it stood in the text, with its marks and the white space before it."""


@dataclass(frozen=True, slots=True)
class Cited:
    """A mark, in the text that came directly before."""

    citation: Citation


Part = Text | Thought | Cited | CallBegin | CallArguments | CallEnd


def settled(parts: Iterable[Part]) -> Iterator[Part]:
    """The parts of a whole text: a call that broke off is text, which it may have been meant as."""
    call: list[Part] = []
    for part in parts:
        if isinstance(part, (Text, Thought, Cited)):
            yield part
            continue
        call.append(part)
        if isinstance(part, CallEnd):
            yield from call if part.is_complete else (Text(part.source),)
            call = []
