"""Articles of a dump, as a reader of the page would have them."""

import bz2
import tracemalloc
from pathlib import Path

import pytest

from quire.bench.datasets import open_dataset
from quire.bench.datasets.formats.wiki_markup import Markup
from quire.errors import ConfigError

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="de">
<siteinfo><sitename>Wikipedia</sitename><namespaces>
<namespace key="-2" case="first-letter">Medium</namespace><namespace key="0" case="first-letter" />
<namespace key="6" case="first-letter">Datei</namespace><namespace key="14" case="first-letter">Kategorie</namespace>
</namespaces></siteinfo>
"""


def page(title: str, text: str, *, ns: int = 0, number: int = 1, extra: str = "") -> str:
    return (
        f"<page><title>{title}</title><ns>{ns}</ns><id>{number}</id>{extra}<revision><id>99</id>"
        f'<text bytes="1" xml:space="preserve">{text}</text></revision></page>\n'
    )


def dump(path: Path, *pages: str) -> Path:
    path.write_bytes(bz2.compress(f"{HEAD}{''.join(pages)}</mediawiki>".encode()))
    return path


def test_articles_are_read_and_nothing_else(tmp_path: Path) -> None:
    path = dump(
        tmp_path / "dewiki-pages-articles.xml.bz2",
        page("Eule", "Die '''Eule'''&lt;ref&gt;Buch&lt;/ref&gt; fliegt. [[Datei:x.jpg|mini|Eine [[Eule]]]]", number=7),
        page("Uhu", "#WEITERLEITUNG [[Eule]]", extra='<redirect title="Eule" />'),
        page("Kauz", "#REDIRECT [[Eule]]"),
        page("Diskussion:Eule", "Reden", ns=1),
        page("Leer", "", number=8),
    )
    found = list(open_dataset(str(path)).documents())
    assert [(d.id, d.title, d.text) for d in found] == [("7", "Eule", "Die Eule fliegt."), ("8", "Leer", "")]


def test_one_page_is_in_memory_at_a_time(tmp_path: Path) -> None:
    path = dump(tmp_path / "big.xml.bz2", *(page(f"P{i}", "word " * 400) for i in range(1500)))
    tracemalloc.start()
    assert sum(1 for _ in open_dataset(str(path)).documents()) == 1500
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_500_000  # of three million characters


def test_a_dump_that_is_cut_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "cut.xml"
    path.write_text(HEAD + page("A", "text") + "<page><title>B")
    documents = open_dataset(str(path)).documents()
    assert next(documents).title == "A"
    with pytest.raises(ConfigError, match=r"cut\.xml:7: no XML"):
        next(documents)


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("'''bold''' and ''slanted'' and '''''both'''''", "bold and slanted and both"),
        ("[[Owl]], [[Owl|owls]], [[:Category:Owls]]s", "Owl, owls, Category:Owlss"),
        ("a[[Category:Birds]][[File:x.jpg|thumb|of an [[owl]] {{sic}}]]b", "ab"),
        ("see [https://a.example/x the page] and [https://a.example]", "see the page and"),
        ("{{Infobox|a={{b|{{c}}}}|d=}}text{{foo|}} more", "text more"),
        ("before\n{| class=x\n|-\n| cell {{x}}\n{|\n| inner\n|}\n|}\nafter", "before\n\nafter"),
        (
            "== Birds ==\nThey fly.\n=== Owls ===\n* one\n** two\n# three",
            "Birds\n\nThey fly.\n\nOwls\n\none\ntwo\nthree",
        ),
        ('x<ref name="a" /> y<ref>{{cite}}</ref> z<!-- no\nno -->.', "x y z."),
        ("<nowiki>[[not a link]] '''</nowiki> &amp; 5&nbsp;&lt; 6", "[[not a link]] ''' & 5 < 6"),
        ("a<br />b<sup>2</sup> <math>x^2</math>__NOTOC__", "a\nb2"),
        ("an opening {{ that nobody closes [[ at all", "an opening {{ that nobody closes [[ at all"),
        ("a closing }} that ]] nobody |} opened", "a closing }} that ]] nobody |} opened"),
    ],
)
def test_markup_becomes_what_is_read(markup: str, text: str) -> None:
    assert Markup().text(markup) == text


def test_brackets_without_end_cost_no_more_than_their_number() -> None:
    assert Markup().text("{{" * 50_000).count("{{") == 50_000
