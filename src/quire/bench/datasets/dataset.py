"""A dataset by its place: `PATH` or `PATH:format`, read from local files as often as it is asked.

    beir        a folder with corpus.jsonl, queries.jsonl and qrels/*.tsv; or one of those .tsv files, for its split
    ms_marco    a folder with collection.tsv, and queries*.tsv with qrels*.tsv where questions are judged
    wikipedia   a dump of pages and articles, XML
    amazon      reviews, an object a line, as they were published in 2014 and 2018 or in 2023
    judged      one JSON object with docs, queries and qrels
    squad       paragraphs with the questions that each answers, as JSON
    jsonl       an object with a `text` a line; or a folder with passages.jsonl

Any file may be packed by gzip or bzip2. Without a format it is told by names and by the first line.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from quire.bench.datasets import files
from quire.bench.datasets.documents import Document, Question
from quire.bench.datasets.formats import amazon, beir, json_lines, judged, ms_marco, squad, wikipedia
from quire.errors import ConfigError, shown, suggest


class Format(NamedTuple):
    documents: Callable[[Path], Iterator[Document]]
    questions: Callable[[Path], Iterator[Question]]


def _nobody_asked(_: Path) -> Iterator[Question]:
    return iter(())


FORMATS = {
    "beir": Format(beir.documents, beir.questions),
    "ms_marco": Format(ms_marco.documents, ms_marco.questions),
    "wikipedia": Format(wikipedia.documents, _nobody_asked),
    "amazon": Format(amazon.documents, _nobody_asked),
    "judged": Format(judged.documents, judged.questions),
    "squad": Format(squad.documents, squad.questions),
    "jsonl": Format(json_lines.documents, _nobody_asked),
}


@dataclass(frozen=True, slots=True)
class Dataset:
    path: Path
    format: str

    @property
    def name(self) -> str:
        """`scifact` of a folder, `cranfield` of cranfield.json.gz."""
        return self.path.name.partition(".")[0]

    def documents(self) -> Iterator[Document]:
        """One at a time, from the start. Raises ConfigError by file and line where one cannot be read."""
        return FORMATS[self.format].documents(self.path)

    def questions(self) -> Iterator[Question]:
        """Those for which some document was judged good; none where nobody judged."""
        return FORMATS[self.format].questions(self.path)


def open_dataset(place: str) -> Dataset:
    """`PATH` or `PATH:format`. Raises ConfigError where nothing is, or nothing that is known."""
    head, colon, tail = place.rpartition(":")
    if colon and tail in FORMATS:
        path, given = Path(head), tail
    elif colon and not Path(place).exists() and Path(head).exists():
        raise ConfigError(
            f"{shown(tail)} is no format of a dataset; allowed: {', '.join(FORMATS)}.{suggest(tail, FORMATS)}"
        )
    else:
        path, given = Path(place), ""
    if not path.exists():
        raise ConfigError(f"There is no {path}; give --data a folder or file, as PATH or PATH:format.")
    return Dataset(path.resolve(), given or _format_of(path))


def _format_of(path: Path) -> str:
    found = _format_of_folder(path) if path.is_dir() else _format_of_file(path)
    if not found:
        raise ConfigError(f"It cannot be told what {path} is; say it as {path}:FORMAT, one of {', '.join(FORMATS)}.")
    return found


def _format_of_folder(path: Path) -> str:
    marks = {"beir": "corpus.jsonl", "ms_marco": "collection.tsv", "jsonl": json_lines.IN_FOLDER}
    return next((name for name, mark in marks.items() if files.find(path, mark)), "")


def _format_of_file(path: Path) -> str:
    endings = {suffix.lower() for suffix in path.suffixes}
    if ".xml" in endings:
        return "wikipedia"
    if ".tsv" in endings and path.parent.name == "qrels":
        return "beir"
    if endings & {".jsonl", ".ndjson"} or (".json" in endings and amazon.is_one(path)):
        return "amazon" if amazon.is_one(path) else "jsonl"
    if ".json" in endings:
        return "squad" if squad.is_one(path) else "judged"
    return ""
