"""Folders as the BEIR benchmark has them: corpus.jsonl, queries.jsonl, and judgements of each split in qrels/*.tsv.

The judgements are those of the file that was named, or of the first of SPLITS that is there.
"""

from collections.abc import Iterator
from pathlib import Path

from quire.bench.datasets import files
from quire.bench.datasets.documents import Document, Question, graded
from quire.errors import ConfigError

SPLITS = ("test", "dev", "validation", "train")


def documents(path: Path) -> Iterator[Document]:
    corpus = _needed(_folder(path), "corpus.jsonl")
    for number, entry in files.json_objects(corpus):
        key = files.text_of(entry, ("_id",), corpus, number)
        title = entry.get("title") or ""
        yield Document(key, files.text_of(entry, ("text",), corpus, number), str(title))


def questions(path: Path) -> Iterator[Question]:
    queries = _needed(_folder(path), "queries.jsonl")
    texts = {
        files.text_of(entry, ("_id",), queries, number): files.text_of(entry, ("text",), queries, number)
        for number, entry in files.json_objects(queries)
    }
    return graded(texts, _judgements(_judged(path)))


def _judgements(path: Path) -> Iterator[tuple[str, str, float]]:
    for number, (question_id, document_id, grade) in files.rows(path, 3):
        if number > 1 or question_id != "query-id":  # the heading
            yield question_id, document_id, files.grade_of(grade, path, number)


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent.parent


def _judged(path: Path) -> Path:
    if path.is_file():
        return path
    found = (files.find(path / "qrels", f"{split}.tsv") for split in SPLITS)
    judged = next(filter(None, found), None)
    if judged is None:
        raise ConfigError(f"{path / 'qrels'} has none of {', '.join(f'{split}.tsv' for split in SPLITS)}.")
    return judged


def _needed(folder: Path, name: str) -> Path:
    found = files.find(folder, name)
    if found is None:
        raise ConfigError(f"{folder} has no {name}; a folder of BEIR does.")
    return found
