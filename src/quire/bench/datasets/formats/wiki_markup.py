"""Wiki markup reduced to the text that a reader sees.

Gone are comments, references, templates, tables, files and categories; links keep their labels, headings and items of
lists their words. What is opened and never closed stays as it is. Knows nothing of pages.
"""

import html
import re
from dataclasses import dataclass

ENGLISH = frozenset({"media", "file", "image", "category"})
_REDIRECT = re.compile(r"\s*#\s*redirect\b", re.IGNORECASE)
_UNSEEN = re.compile(
    r"<!--.*?-->|<(ref|math|gallery|timeline|score|syntaxhighlight|source|imagemap)\b[^<>]*?(?:/>|>.*?</\1\s*>)",
    re.DOTALL | re.IGNORECASE,
)
_LITERAL = re.compile(r"<nowiki>(.*?)</nowiki>", re.DOTALL | re.IGNORECASE)
_BRACKET = re.compile(r"\{\{|\}\}|\{\||\|\}(?=\}\})|\|\}(?!\})|\[\[|\]\]")
_CLOSING = {"}}": "{{", "|}": "{|", "]]": "[["}
_OUTER_LINK = re.compile(r"\[(?:https?:|ftp:|mailto:)?//[^\s\]]+(?:\s+([^\]\n]*))?\]|\[mailto:\S+\s+([^\]\n]*)\]")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_QUOTES = re.compile(r"'{2,}")
_MAGIC = re.compile(r"__[A-Z]+__")
_HEADING = re.compile(r"^(={1,6})\s*(.*?)\s*\1\s*$", re.MULTILINE)
_ITEM = re.compile(r"^[*#:;]+\s*", re.MULTILINE)
_RULE = re.compile(r"^-{4,}", re.MULTILINE)
_BLANK = re.compile(r"\n\s*\n\s*")


@dataclass(frozen=True, slots=True)
class Markup:
    unread: frozenset[str] = ENGLISH
    """Namespaces, in lower case, whose links are left out; English names are always among them."""

    def is_redirect(self, markup: str) -> bool:
        return _REDIRECT.match(markup) is not None

    def text(self, markup: str) -> str:
        """Paragraphs with a blank line between."""
        literals: list[str] = []
        text = _LITERAL.sub(lambda found: _kept(found[1], literals), markup.replace("\x00", ""))
        text = self._without_brackets(_UNSEEN.sub("", text))
        text = _OUTER_LINK.sub(lambda found: found[1] or found[2] or "", text)
        text = _TAG.sub("", _BREAK.sub("\n", text))
        for pattern, instead in ((_QUOTES, ""), (_MAGIC, ""), (_HEADING, r"\n\2\n"), (_ITEM, ""), (_RULE, "")):
            text = pattern.sub(instead, text)
        text = re.sub("\x00(\\d+)\x00", lambda found: literals[int(found[1])], html.unescape(text))
        lines = (" ".join(line.split()) for line in text.split("\n"))
        return _BLANK.sub("\n\n", "\n".join(lines)).strip()

    def _without_brackets(self, text: str) -> str:
        """One pass with a stack of what is open: each has its opening and what stood in it so far."""
        stack: list[tuple[str, list[str]]] = [("", [])]
        place = 0
        for found in _BRACKET.finditer(text):
            stack[-1][1].append(text[place : found.start()])
            place, mark = found.end(), found[0]
            if mark not in _CLOSING:
                stack.append((mark, []))
            elif stack[-1][0] == _CLOSING[mark]:
                _, inside = stack.pop()
                stack[-1][1].append(self._label("".join(inside)) if mark == "]]" else "")
            else:
                stack[-1][1].append(mark)
        stack[-1][1].append(text[place:])
        return "".join(opening + "".join(inside) for opening, inside in stack)

    def _label(self, link: str) -> str:
        target, bar, label = link.partition("|")
        space = target.partition(":")[0].strip().lower()
        if ":" in target and space in self.unread | ENGLISH:
            return ""
        return label if bar else target.lstrip(":")


def _kept(literal: str, literals: list[str]) -> str:
    literals.append(literal)
    return f"\x00{len(literals) - 1}\x00"
