"""Dumps of Wikipedia (`pages-articles`, XML, usually bzip2): articles as text, in the order of the dump.

Left out: redirects, and pages that are no articles (talk, templates, files …). One page is in memory at a time.
"""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from quire.bench.datasets import files
from quire.bench.datasets.documents import Document
from quire.bench.datasets.formats.wiki_markup import Markup

ARTICLES = "0"
UNREAD = {"-2", "6", "14"}
"""Namespaces whose links are no words of the text: media, files, categories."""


def documents(path: Path) -> Iterator[Document]:
    with files.opened(path) as file:
        events = ElementTree.iterparse(file, events=("start", "end"))
        try:
            root, markup = next(events)[1], Markup()
            for event, element in events:
                kind = _name(element)
                if event == "end" and kind == "siteinfo":
                    markup = Markup(_unread(element))
                if event == "end" and kind == "page":
                    if (document := _article(element, markup)) is not None:
                        yield document
                    root.clear()
        except ElementTree.ParseError as error:
            raise files.wrong(path, error.position[0], f"no XML: {error}") from error


def _article(page: ElementTree.Element, markup: Markup) -> Document | None:
    children = {_name(child): child for child in page}
    if "redirect" in children or _text(children.get("ns")) != ARTICLES or "revision" not in children:
        return None
    written = next((_text(child) for child in children["revision"] if _name(child) == "text"), "")
    if markup.is_redirect(written):
        return None
    return Document(_text(children.get("id")), markup.text(written), _text(children.get("title")))


def _unread(siteinfo: ElementTree.Element) -> frozenset[str]:
    """What this wiki calls the namespaces that are not read."""
    spaces = [child for part in siteinfo if _name(part) == "namespaces" for child in part]
    return frozenset(_text(space).lower() for space in spaces if space.get("key") in UNREAD)


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: ElementTree.Element | None) -> str:
    return (element.text or "") if element is not None else ""
