"""The story as slides: a title, a slide of points for each section, and one for each of its tables and figures.

Knows how slides are set, and nothing of what they say.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from quire.errors import ConfigError
from quire.report.architecture.house import House
from quire.report.documents import figures
from quire.report.documents.paper import Byline
from quire.report.documents.story import TITLE, Figure, Story, Table, tell
from quire.report.evidence import Evidence

if TYPE_CHECKING:
    from pptx.presentation import Presentation

TITLE_LAYOUT, POINTS_LAYOUT, HEADING_LAYOUT = 0, 1, 5
WIDTH, HEIGHT = 13.333, 7.5
MARGIN, TOP = 0.6, 1.45
BODY_HEIGHT = HEIGHT - TOP - 0.4
CELL_POINTS = 12


def write(evidence: Evidence, house: House, path: Path, byline: Byline) -> None:
    """Makes the folder. Raises MissingResultError where a number was never measured, before anything is written."""
    try:
        import pptx
        from pptx.util import Inches
    except ImportError as error:
        raise ConfigError("Slides need python-pptx, which is not installed; pip install 'quire[report]'.") from error
    if path.suffix != ".pptx":
        raise ConfigError(f"The slides are to be {path.name}; allowed: a name that ends in .pptx.")
    story = tell(evidence, house)
    deck: Presentation = pptx.Presentation()
    deck.slide_width, deck.slide_height = Inches(WIDTH), Inches(HEIGHT)
    with TemporaryDirectory() as folder:
        _fill(deck, story, byline, lambda name: figures.draw(name, evidence, house, Path(folder)))
        path.parent.mkdir(parents=True, exist_ok=True)
        deck.save(str(path))


def _fill(deck: "Presentation", story: Story, byline: Byline, draw: Any) -> None:
    first = _slide(deck, TITLE_LAYOUT, TITLE)
    first.placeholders[1].text = "\n".join((byline.author, byline.institution, byline.date))
    for section in story.sections:
        if section.points:
            _points(deck, section.title, section.points)
        for part in section.parts:
            if isinstance(part, Table):
                _table(deck, part)
            elif isinstance(part, Figure):
                _figure(deck, part, draw(part.name))


def _slide(deck: "Presentation", layout: int, title: str) -> Any:
    from pptx.util import Pt

    slide: Any = deck.slides.add_slide(deck.slide_layouts[layout])
    shape = slide.shapes.title
    shape.text = title
    is_title = layout == TITLE_LAYOUT
    _place(shape, 2.3 if is_title else 0.35, 1.6 if is_title else 0.95)
    shape.text_frame.paragraphs[0].font.size = Pt(36 if is_title else 30)
    if is_title:
        _place(slide.placeholders[1], 4.2, 1.6)
    return slide


def _place(shape: Any, top: float, height: float) -> None:
    from pptx.util import Inches

    shape.left, shape.top = Inches(MARGIN), Inches(top)
    shape.width, shape.height = Inches(WIDTH - 2 * MARGIN), Inches(height)


def _points(deck: "Presentation", title: str, points: tuple[str, ...]) -> None:
    from pptx.util import Pt

    slide = _slide(deck, POINTS_LAYOUT, title)
    body = slide.placeholders[1]
    _place(body, TOP, BODY_HEIGHT)
    frame = body.text_frame
    for number, point in enumerate(points):
        paragraph = frame.paragraphs[0] if number == 0 else frame.add_paragraph()
        paragraph.text = point
        paragraph.font.size = Pt(22)
        paragraph.space_after = Pt(10)


def _table(deck: "Presentation", table: Table) -> None:
    from pptx.util import Inches, Pt

    slide = _slide(deck, HEADING_LAYOUT, table.caption)
    num_rows = len(table.rows) + 1
    row_height = min(0.45, BODY_HEIGHT / num_rows)
    shape = slide.shapes.add_table(
        num_rows,
        len(table.header),
        Inches(MARGIN),
        Inches(TOP),
        Inches(WIDTH - 2 * MARGIN),
        Inches(row_height * num_rows),
    )
    for column, share in enumerate(table.shares()):
        shape.table.columns[column].width = Inches((WIDTH - 2 * MARGIN) * share)
    for row, cells in enumerate((table.header, *table.rows)):
        for column, text in enumerate(cells):
            cell = shape.table.cell(row, column)
            cell.text = text
            cell.margin_top = cell.margin_bottom = Inches(0.03)
            cell.text_frame.paragraphs[0].font.size = Pt(CELL_POINTS)


def _figure(deck: "Presentation", figure: Figure, picture: Path) -> None:
    from pptx.util import Inches

    slide = _slide(deck, HEADING_LAYOUT, figure.caption)
    shape = slide.shapes.add_picture(str(picture), 0, Inches(TOP), height=Inches(BODY_HEIGHT))
    if shape.width > Inches(WIDTH - 2 * MARGIN):
        shape.height = int(shape.height * Inches(WIDTH - 2 * MARGIN) / shape.width)
        shape.width = Inches(WIDTH - 2 * MARGIN)
    shape.left = int((Inches(WIDTH) - shape.width) / 2)
