"""Lines come one at a time out of plain and packed files; what is wrong is said by file and line."""

import bz2
import gzip
import tracemalloc
from pathlib import Path

import pytest

from quire.bench.datasets import files
from quire.errors import ConfigError

LINES = '{"a": 1}\n\n{"a": "é"}\r\n'


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress], ids=["plain", "gzip", "bzip2"])
def test_packed_and_plain_files_read_alike_whatever_their_names(pack, tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(pack(LINES.encode()))
    assert list(files.json_objects(path)) == [(1, {"a": 1}), (3, {"a": "é"})]


@pytest.mark.parametrize(
    ("line", "what"),
    [(b"{oops", "no JSON"), (b"[1]", "is no JSON object"), (b'{"a": "\xff"}', "no UTF-8")],
)
def test_a_bad_line_is_named_by_file_and_line(line: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b"\n")
    with pytest.raises(ConfigError, match=rf"lines\.jsonl:2: .*{what}"):
        list(files.json_objects(path))


def test_rows_have_their_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text("1\tone\ttabs\tlater\n2 two\n")
    rows = files.rows(path, 2)
    assert next(rows) == (1, ["1", "one\ttabs\tlater"])
    with pytest.raises(ConfigError, match=r"rows\.tsv:2: 1 columns in '2 two'; there should be 2"):
        next(rows)


def test_a_file_that_ends_too_early_and_one_that_is_not_there_are_said(tmp_path: Path) -> None:
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(LINES.encode() * 1000)[:-20])
    with pytest.raises(ConfigError, match=r"cut\.gz cannot be read"):
        list(files.numbered_lines(cut))
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        list(files.numbered_lines(tmp_path / "none"))


def test_memory_is_that_of_a_line_and_not_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "' + b"x" * 1000 + b'"}\n', 1) * 5000)  # members one behind the other
    tracemalloc.start()
    assert sum(1 for _ in files.json_objects(path)) == 5000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000  # of five million bytes
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 500)
    with pytest.raises(ConfigError, match=r"long\.jsonl\.gz:1: a line longer"):
        next(files.numbered_lines(path))
