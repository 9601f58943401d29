"""The story as a Word document in the style of APA 7: title page, running head, tables, figures, references.

Knows how a paper is set, and nothing of what it says.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from quire.errors import ConfigError
from quire.report.architecture.house import House
from quire.report.documents import figures
from quire.report.documents.story import RUNNING_HEAD, TITLE, Figure, Section, Story, Table, tell
from quire.report.evidence import Evidence

FONT, POINTS = "Times New Roman", 12
TEXT_WIDTH = 6.5
"""Inches."""
ITALIC = re.compile(r"\*([^*]+)\*")


@dataclass(frozen=True, slots=True)
class Byline:
    author: str
    institution: str
    date: str


def write(evidence: Evidence, house: House, path: Path, byline: Byline) -> None:
    """Makes the folder. Raises MissingResultError where a number was never measured, before anything is written."""
    try:
        import docx
    except ImportError as error:
        raise ConfigError(
            "The paper needs python-docx, which is not installed; pip install 'quire[report]'."
        ) from error
    if path.suffix != ".docx":
        raise ConfigError(f"The paper is to be {path.name}; allowed: a name that ends in .docx.")
    story = tell(evidence, house)
    with TemporaryDirectory() as folder:
        paper = _Paper(docx.Document(), evidence, house, Path(folder))
        paper.write(story, byline)
        path.parent.mkdir(parents=True, exist_ok=True)
        paper.document.save(str(path))


class _Paper:
    def __init__(self, document: Any, evidence: Evidence, house: House, folder: Path) -> None:
        self.document = document
        self._evidence, self._house, self._folder = evidence, house, folder
        self._table_numbers, self._figure_numbers = count(1), count(1)

    def write(self, story: Story, byline: Byline) -> None:
        self._set_styles()
        self._set_header()
        properties = self.document.core_properties
        properties.title, properties.author, properties.keywords = TITLE, byline.author, ", ".join(story.keywords)
        self._title_page(byline)
        self._heading("Abstract")
        self._paragraph(story.abstract, indent=False)
        self._paragraph(f"*Keywords:* {', '.join(story.keywords)}")
        self.document.add_page_break()
        self._centred(TITLE, bold=True)
        for section in story.sections:
            self._section(section)
        self._references(story)

    def _set_styles(self) -> None:
        from docx.oxml.ns import qn
        from docx.shared import Inches, Pt, RGBColor

        for name in ("Normal", "Heading 1"):
            style: Any = self.document.styles[name]
            style.font.name, style.font.size, style.font.color.rgb = FONT, Pt(POINTS), RGBColor(0, 0, 0)
            fonts = style.element.get_or_add_rPr().get_or_add_rFonts()
            fonts.set(qn("w:eastAsia"), FONT)
            for theme in ("ascii", "hAnsi", "eastAsia", "cs"):  # a theme's font would win
                fonts.attrib.pop(qn(f"w:{theme}Theme"), None)
            style.paragraph_format.line_spacing = 2.0
            style.paragraph_format.space_before = style.paragraph_format.space_after = Pt(0)
        for section in self.document.sections:
            section.left_margin = section.right_margin = section.top_margin = section.bottom_margin = Inches(1)

    def _set_header(self) -> None:
        from docx.enum.text import WD_TAB_ALIGNMENT
        from docx.shared import Inches

        paragraph = self.document.sections[0].header.paragraphs[0]
        stops = paragraph.paragraph_format.tab_stops
        stops.add_tab_stop(Inches(TEXT_WIDTH), WD_TAB_ALIGNMENT.RIGHT)
        paragraph.add_run(f"{RUNNING_HEAD}\t")
        _add_field(paragraph.add_run(), "PAGE")
        paragraph.paragraph_format.line_spacing = 1.0

    def _title_page(self, byline: Byline) -> None:
        for _ in range(3):
            self._centred("")
        self._centred(TITLE, bold=True)
        self._centred("")
        for line in (byline.author, byline.institution, byline.date):
            self._centred(line)
        self.document.add_page_break()

    def _section(self, section: Section) -> None:
        self._heading(section.title)
        for part in section.parts:
            if isinstance(part, Table):
                self._table(part)
            elif isinstance(part, Figure):
                self._figure(part)
            else:
                self._paragraph(part)

    def _heading(self, text: str) -> None:
        paragraph: Any = self.document.add_heading(level=1)
        paragraph.alignment = _centre()
        paragraph.add_run(text).bold = True

    def _paragraph(self, text: str, *, indent: bool = True) -> None:
        from docx.shared import Inches

        paragraph: Any = self.document.add_paragraph()
        if indent:
            paragraph.paragraph_format.first_line_indent = Inches(0.5)
        _add_runs(paragraph, text)

    def _centred(self, text: str, *, bold: bool = False) -> None:
        paragraph: Any = self.document.add_paragraph()
        paragraph.alignment = _centre()
        paragraph.add_run(text).bold = bold

    def _caption(self, kind: str, number: int, caption: str) -> None:
        """APA: the number in bold, the title below it in italics, both above what they name."""
        for text, is_bold in ((f"{kind} {number}", True), (caption, False)):
            paragraph: Any = self.document.add_paragraph()
            paragraph.paragraph_format.keep_with_next = True
            run = paragraph.add_run(text)
            run.bold, run.italic = is_bold, not is_bold

    def _note(self, note: str) -> None:
        if note:
            self._paragraph(f"*Note.* {note}", indent=False)

    def _table(self, table: Table) -> None:
        from docx.shared import Inches, Pt

        self._caption("Table", next(self._table_numbers), table.caption)
        grid: Any = self.document.add_table(rows=0, cols=len(table.header))
        grid.autofit = False
        for column, share in zip(grid.columns, table.shares(), strict=True):
            column.width = Inches(TEXT_WIDTH * share)
        for cells in (table.header, *table.rows):
            row = grid.add_row()
            _keep_whole(row)
            for cell, text, share in zip(row.cells, cells, table.shares(), strict=True):
                cell.text, cell.width = text, Inches(TEXT_WIDTH * share)
                cell.paragraphs[0].paragraph_format.line_spacing = 1.0
                cell.paragraphs[0].paragraph_format.space_after = Pt(3)
        _rule(grid, range(len(grid.rows)))
        self._note(table.note)

    def _figure(self, figure: Figure) -> None:
        from docx.shared import Inches

        self._caption("Figure", next(self._figure_numbers), figure.caption)
        path = figures.draw(figure.name, self._evidence, self._house, self._folder)
        self.document.add_picture(str(path), width=Inches(TEXT_WIDTH))
        self.document.paragraphs[-1].paragraph_format.line_spacing = 1.0
        self._note(figure.note)

    def _references(self, story: Story) -> None:
        from docx.shared import Inches

        self.document.add_page_break()
        self._heading("References")
        for reference in story.references:
            paragraph: Any = self.document.add_paragraph()
            paragraph.paragraph_format.left_indent = Inches(0.5)
            paragraph.paragraph_format.first_line_indent = Inches(-0.5)
            _add_runs(paragraph, reference.entry)


def _centre() -> Any:
    from docx.enum.text import WD_ALIGN_PARAGRAPH

    return WD_ALIGN_PARAGRAPH.CENTER


def _add_runs(paragraph: Any, text: str) -> None:
    for piece, is_italic in _pieces(text):
        paragraph.add_run(piece).italic = is_italic


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """The text in turns of plain and `*italic*`."""
    for number, piece in enumerate(ITALIC.split(text)):
        if piece:
            yield piece, number % 2 == 1


def _add_field(run: Any, instruction: str) -> None:
    """A field that the reader's program fills in, as the page number."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    for kind in ("begin", "", "end"):
        element = OxmlElement("w:fldChar" if kind else "w:instrText")
        if kind:
            element.set(qn("w:fldCharType"), kind)
        else:
            element.text = instruction
        run._r.append(element)


def _keep_whole(row: Any) -> None:
    """No page ends inside the row."""
    from docx.oxml import OxmlElement

    row._tr.get_or_add_trPr().append(OxmlElement("w:cantSplit"))


def _rule(grid: Any, rows: range) -> None:
    """APA's three lines: above and below the heads of the columns, and below the last row."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    for number in rows:
        edges = {"top": number == 0, "bottom": number in (0, len(rows) - 1)}
        for cell in grid.rows[number].cells:
            borders = OxmlElement("w:tcBorders")
            for edge in (edge for edge, is_ruled in edges.items() if is_ruled):
                line = OxmlElement(f"w:{edge}")
                for name, value in (("val", "single"), ("sz", "8"), ("color", "000000")):
                    line.set(qn(f"w:{name}"), value)
                borders.append(line)
            cell._tc.get_or_add_tcPr().append(borders)
