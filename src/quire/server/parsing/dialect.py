"""How one model writes thoughts and calls: named by the operator, or seen in the model's chat template.

A template that writes calls back into a conversation writes them as its model does.
"""

from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum

from quire.server.parsing import hermes, llama, thoughts
from quire.server.parsing.hermes import HermesCalls
from quire.server.parsing.llama import LlamaCalls
from quire.server.parsing.reader import Reader
from quire.server.parsing.thoughts import Thoughts


class CallFormat(StrEnum):
    HERMES = "hermes"
    LLAMA = "llama3_json"

    @property
    def marks(self) -> tuple[str, ...]:
        return (hermes.OPEN, hermes.CLOSE) if self is CallFormat.HERMES else (llama.PYTHON_TAG,)


class ThoughtFormat(StrEnum):
    MARKED = "qwen3"
    """The model writes both marks, or none."""
    OPEN = "deepseek_r1"
    """The model begins in its thoughts, whether it writes the first mark or not."""

    @property
    def marks(self) -> tuple[str, ...]:
        return thoughts.OPEN, thoughts.CLOSE


@dataclass(frozen=True, slots=True)
class Dialect:
    calls: CallFormat | None = None
    thoughts: ThoughtFormat | None = None

    def may_think(self, prompt_end: str) -> bool:
        """Whether thoughts may come behind a prompt that ends so."""
        return self.thoughts is not None and not prompt_end.rstrip().endswith(thoughts.CLOSE)

    def begins_in_thought(self, prompt_end: str) -> bool:
        """Whether the answer to such a prompt begins with thoughts that no mark opens."""
        is_open = prompt_end.rstrip().endswith(thoughts.OPEN) or self.thoughts is ThoughtFormat.OPEN
        return is_open and self.may_think(prompt_end)

    def reader(self, *, prompt_end: str, names: Set[str] | None, max_calls: int | None = None) -> Reader:
        """For one answer. Without `names` there are no tools to call."""
        split = Thoughts(is_open=self.begins_in_thought(prompt_end)) if self.thoughts is not None else None
        calls: HermesCalls | LlamaCalls | None = None
        if names is not None and self.calls is not None:
            calls = HermesCalls() if self.calls is CallFormat.HERMES else LlamaCalls(names)
        return Reader(split, calls, max_calls)


def seen_in(template: str) -> Dialect:
    """Where a template shows two formats of calls, or none, there is nothing to choose by."""
    is_hermes = hermes.OPEN in template
    is_llama = '"parameters": ' in template and not is_hermes
    calls = CallFormat.HERMES if is_hermes else CallFormat.LLAMA if is_llama else None
    thinks = thoughts.OPEN in template or thoughts.CLOSE in template
    return Dialect(calls, ThoughtFormat.MARKED if thinks else None)
