"""What a model thinks before it answers: `<think> … </think>` at the beginning of its text.

White space around the marks belongs to them. A text without the marks is all answer, one that never comes to the second
is all thought.
"""

from quire.server.parsing.parts import Part, Text, Thought
from quire.server.parsing.text_end import undecided

OPEN, CLOSE = "<think>", "</think>"


class Thoughts:
    def __init__(self, *, is_open: bool = False) -> None:
        """`is_open`: the prompt ended with the first mark, or the model leaves it out."""
        self._is_open = is_open
        self._is_begun = False
        self._is_thinking = False
        self._is_leading = True
        """White space is still passed over."""
        self._rest = ""

    def push(self, text: str) -> list[Part]:
        return self._parts(text, is_last=False)

    def finish(self) -> list[Part]:
        return self._parts("", is_last=True)

    def _parts(self, text: str, *, is_last: bool) -> list[Part]:
        text, self._rest = self._rest + text, ""
        if not self._is_begun:
            text = self._begun(text, is_last)
        parts: list[Part] = []
        if self._is_thinking:
            thought, text = self._thought(text, is_last)
            parts += [Thought(thought)] if thought else []
        if self._is_begun and not self._is_thinking:
            answer = self._trimmed(text)
            parts += [Text(answer)] if answer else []
        return parts

    def _begun(self, text: str, is_last: bool) -> str:
        """Decides with what the text begins; what follows the mark."""
        start = text.lstrip()
        if not is_last and OPEN.startswith(start) and start != OPEN:
            self._rest = text
            return ""
        self._is_begun = True
        has_mark = start.startswith(OPEN)
        self._is_thinking = has_mark or self._is_open
        self._is_leading = self._is_thinking
        return start.removeprefix(OPEN) if self._is_thinking else text

    def _thought(self, text: str, is_last: bool) -> tuple[str, str]:
        """What is certain of the thought, and what follows it."""
        text = self._trimmed(text)
        thought, mark, behind = text.partition(CLOSE)
        if mark:
            self._is_thinking, self._is_leading = False, True
            return thought.rstrip(), behind
        decided = text if is_last else text[: len(text) - undecided(text, CLOSE)]
        thought = decided.rstrip()
        self._rest = "" if is_last else text[len(thought) :]
        return thought, ""

    def _trimmed(self, text: str) -> str:
        if self._is_leading:
            text = text.lstrip()
            self._is_leading = not text
        return text
