"""The documents are read back: what they say is what was measured, and they are set as APA wants it."""

import json
import re
from pathlib import Path
from typing import Any

import docx
import pptx
import pytest

from quire.report.architecture.house import House, find_contract
from quire.report.documents import paper, slides
from quire.report.documents.paper import Byline
from quire.report.documents.references import REFERENCES
from quire.report.documents.story import TITLE, Citations, tell
from quire.report.evidence import Evidence, MissingResultError
from quire.report.tables.claims import as_markdown, verdicts
from tests.report.results import write_results

BYLINE = Byline("A. Author", "School of Thought", "May 4, 2026")


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    folder = tmp_path_factory.mktemp("results")
    write_results(folder)
    return Evidence.load(folder)


@pytest.fixture(scope="module")
def house() -> House:
    return House.read(find_contract())


@pytest.fixture(scope="module")
def document(evidence: Evidence, house: House, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("paper") / "new" / "paper.docx"
    paper.write(evidence, house, path, BYLINE)
    return docx.Document(str(path))


def test_sections_come_in_their_order(document: Any) -> None:
    headings = [p.text for p in document.paragraphs if p.style.name == "Heading 1"]
    assert headings == [
        "Abstract",
        "Application Context",
        "Chosen Data Structures",
        "Design Rationale and Complexity",
        "Implementation Overview",
        "Benchmarks",
        "Claims of the Design",
        "Challenges and Limitations",
        "References",
    ]


def test_the_title_page_and_the_running_head(document: Any) -> None:
    lines = [p.text for p in document.paragraphs if p.text][:4]
    assert lines == [TITLE, "A. Author", "School of Thought", "May 4, 2026"]
    header = document.sections[0].header.paragraphs[0]
    assert header.text.startswith("ONE PROCESS FOR SERVING AND RETRIEVAL")
    assert "PAGE" in header._p.xml
    assert (document.styles["Normal"].font.name, document.styles["Normal"].paragraph_format.line_spacing) == (
        "Times New Roman",
        2.0,
    )


def test_tables_and_figures_are_numbered_and_hold_what_was_measured(document: Any) -> None:
    text = [p.text for p in document.paragraphs]
    assert [line for line in text if re.fullmatch(r"(Table|Figure) \d+", line)] == [
        "Table 1",
        "Table 2",
        "Figure 1",
        "Figure 2",
        "Table 3",
        "Table 4",
        "Figure 3",
        "Table 5",
    ]
    assert (len(document.tables), len(document.inline_shapes)) == (5, 3)
    cells = {cell.text for table in document.tables for row in table.rows for cell in row.cells}
    assert {"8,000,000", "41.5", "187", "holds"} <= cells
    assert "mini-sglang" not in cells  # nobody measured it
    whole = "\n".join(text)
    for number in ("61%", "99%", "7%", "12%", "8 times", "Abacus 3000", "all 14"):
        assert number in whole, number


def test_references_are_those_that_are_cited_in_their_order(document: Any) -> None:
    text = [p.text for p in document.paragraphs]
    entries = text[text.index("References") + 1 :]
    assert entries == sorted(entries)
    body = "\n".join(text[: text.index("References")])
    for reference in REFERENCES.values():
        assert (reference.cited in body) == (reference.entry.replace("*", "") in entries)
    assert any(run.italic for run in document.paragraphs[-1].runs)


def test_slides_have_all_sections_tables_and_figures(evidence: Evidence, house: House, tmp_path: Path) -> None:
    slides.write(evidence, house, tmp_path / "new" / "talk.pptx", BYLINE)
    deck = pptx.Presentation(str(tmp_path / "new" / "talk.pptx"))
    titles = [slide.shapes.title.text for slide in deck.slides]
    assert titles[0] == TITLE
    for section in tell(evidence, house).sections:
        assert section.title in titles
    kinds = [shape.shape_type for slide in deck.slides for shape in slide.shapes]
    assert sum("TABLE" in str(kind) for kind in kinds) == 5
    assert sum("PICTURE" in str(kind) for kind in kinds) == 3
    for slide in deck.slides:
        for shape in slide.shapes:
            assert 0 <= shape.left <= deck.slide_width - shape.width
            assert 0 <= shape.top <= deck.slide_height - shape.height


@pytest.mark.parametrize("benchmark", ["cache", "scheduler", "hnsw", "growth", "indexed_heap"])
def test_a_number_that_is_missing_is_an_error_with_its_command(tmp_path: Path, house: House, benchmark: str) -> None:
    write_results(tmp_path)
    (tmp_path / f"{benchmark}.json").unlink()
    with pytest.raises(MissingResultError, match=f"quire bench {benchmark} --json .*{benchmark}.json"):
        paper.write(Evidence.load(tmp_path), house, tmp_path / "paper.docx", BYLINE)
    assert not (tmp_path / "paper.docx").exists()


def test_peers_need_not_have_been_there(tmp_path: Path, house: House) -> None:
    write_results(tmp_path)
    for name in ("indexed_heap", "cache"):
        path = tmp_path / f"{name}.json"
        report = json.loads(path.read_text())
        report["results"] = [result for result in report["results"] if result["side"] in ("quire", "heapq")]
        path.write_text(json.dumps(report))
    tell(Evidence.load(tmp_path), house)


def test_a_case_that_is_missing_too(tmp_path: Path) -> None:
    write_results(tmp_path)
    evidence = Evidence.load(tmp_path)
    with pytest.raises(MissingResultError, match="has no case sharing block=32 of quire"):
        evidence.median("cache", "sharing", "memory_saved_share", block=32)


def test_the_newest_result_is_taken_and_what_is_none_is_named(tmp_path: Path) -> None:
    write_results(tmp_path)
    older = json.loads((tmp_path / "hnsw.json").read_text())
    older["date"] = "2020-01-01T00:00:00+00:00"
    older["results"][0]["metrics"]["recall"]["values"] = [0.1]
    (tmp_path / "z_older.json").write_text(json.dumps(older))
    assert Evidence.load(tmp_path).median("hnsw", "search", "recall", "quire f32", ef=50) == 0.987
    newer = json.loads((tmp_path / "hnsw.json").read_text()) | {"date": "2030-01-01T00:00:00+00:00"}
    newer["results"][0]["params"]["ef"] = 80
    (tmp_path / "a_newer.json").write_text(json.dumps(newer))
    assert Evidence.load(tmp_path).median("hnsw", "search", "recall", "quire f32", ef=50) == 0.987
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(ValueError, match=r"other\.json is not a saved benchmark report"):
        Evidence.load(tmp_path)


def test_results_of_two_machines_are_told_as_such(tmp_path: Path) -> None:
    write_results(tmp_path)
    assert Evidence.load(tmp_path).machine().count("Abacus 3000") == 1
    other = json.loads((tmp_path / "hnsw.json").read_text())
    other["environment"]["cpu"] = "Slide Rule"
    (tmp_path / "hnsw.json").write_text(json.dumps(other))
    told = Evidence.load(tmp_path).machine()
    assert "Abacus 3000" in told
    assert "; and on Slide Rule" in told


def test_a_claim_that_does_not_hold_says_so(tmp_path: Path) -> None:
    write_results(tmp_path, recall=0.9)
    found = verdicts(Evidence.load(tmp_path))
    assert [v.claim[:4] for v in found if not v.holds] == ["HNSW"]
    assert "recall@10 0.900, p95 0.25 ms | not reproduced | `quire bench hnsw --efs 50` |" in as_markdown(found)


def test_citations_are_in_the_order_of_their_names() -> None:
    cite = Citations()
    assert cite("paged", "bm25") == "(Kwon et al., 2023; Robertson & Zaragoza, 2009)"
    assert [reference.cited for reference in cite.entries()] == ["Kwon et al., 2023", "Robertson & Zaragoza, 2009"]


def test_the_page_says_what_the_saved_results_say() -> None:
    root = find_contract().parent
    table = as_markdown(verdicts(Evidence.load(root / "benchmarks" / "results")))
    assert table in (root / "docs" / "report.md").read_text()
