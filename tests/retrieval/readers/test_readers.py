"""Files to texts, on files made here: by hand (PDF), by the library that users write them with (DOCX)."""

import codecs
from pathlib import Path

import pytest
from docx import Document

from quire.errors import InvalidRequestError
from quire.retrieval.chunking import Chunker
from quire.retrieval.readers import FileText, docx, find_files, read_file


def write_pdf(path: Path, pages: list[list[str]]) -> None:
    """Lines of Helvetica, with the table of where each object begins."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, lines in enumerate(pages):
        drawn = "BT /F1 12 Tf 14 TL 72 720 Td " + " ".join(f"({line}) Tj T*" for line in lines) + " ET"
        font = "/Resources << /Font << /F1 3 0 R >> >> /MediaBox [0 0 612 792]"
        objects.append(f"<< /Type /Page /Parent 2 0 R {font} /Contents {5 + 2 * i} 0 R >>")
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    out, places = b"%PDF-1.4\n", []
    for number, written in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{written}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    path.write_bytes(out + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{trailer}".encode())


def test_a_pdf_is_its_pages_with_words_whole(tmp_path: Path) -> None:
    write_pdf(tmp_path / "a.pdf", [["A gather-", "ing of pages.", "X-", "Ray"], ["The second page."]])
    found = read_file(tmp_path / "a.pdf")
    assert found.kind == "text"
    assert [page.strip() for page in found.text.split("\f")] == ["A gathering of pages.\nX-\nRay", "The second page."]


def write_docx(path: Path) -> None:
    document = Document()
    document.add_heading("Guide", 1)
    document.add_paragraph("# is a sign, not a heading.")
    document.add_heading("Parts", 2)
    document.add_paragraph("one", style="List Bullet")
    table = document.add_table(2, 2)
    for i, cell in enumerate(cell for row in table.rows for cell in row.cells):
        cell.text = f"c|{i}"
    document.save(str(path))


def test_a_docx_is_markdown_by_its_styles(tmp_path: Path) -> None:
    write_docx(tmp_path / "a.docx")
    found = read_file(tmp_path / "a.docx")
    assert found == FileText(
        "# Guide\n\n\\# is a sign, not a heading.\n\n## Parts\n\n- one\n\n"
        "| c\\|0 | c\\|1 |\n| --- | --- |\n| c\\|2 | c\\|3 |\n",
        "markdown",
    )
    headings = [chunk.heading for chunk in Chunker().split("d", found.text, found.kind)]
    assert headings == ["Guide", "Guide > Parts"]


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("a.md", b"# A", FileText("# A", "markdown")),
        ("a.HTM", "<p>ä".encode(), FileText("<p>ä", "html")),
        ("a.txt", codecs.BOM_UTF8 + "ä".encode(), FileText("ä", "text")),
        ("a.txt", "ä".encode("utf-16"), FileText("ä", "text")),
        ("a.log", b"fine \xff end", FileText("fine � end", "text")),
        ("empty", b"", FileText("", "text")),
    ],
)
def test_text_files(name: str, raw: bytes, expected: FileText, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(raw)
    assert read_file(tmp_path / name) == expected


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.bin"])
@pytest.mark.parametrize("raw", [b"\0\1\2", b"%PDF-1.4\n\0garbage", b"PK\3\4\0\0"])
def test_what_it_cannot_be_is_said(name: str, raw: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(InvalidRequestError, match=f"{name} is no "):
        read_file(tmp_path / name)


def test_a_docx_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docx, "MAX_UNPACKED_BYTES", 1000)
    Document().save(str(tmp_path / "a.docx"))
    with pytest.raises(InvalidRequestError, match="allowed: 1,000"):
        read_file(tmp_path / "a.docx")


def test_folders_are_walked_in_order_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b.md", "a/z.txt", "a/y.html", ".hidden/x.md", "picture.png", "a/.secret.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_files([tmp_path, tmp_path / "picture.png"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a/y.html", "a/z.txt", "b.md", "picture.png"]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="there is no "):
        list(find_files([tmp_path / "nowhere"]))
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        read_file(tmp_path / "nowhere")
