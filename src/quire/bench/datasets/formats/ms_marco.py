"""MS MARCO's passages: collection.tsv, queries*.tsv, and judgements in qrels*.tsv of the same middle name.

Of several splits the first of SPLITS counts, then any. Judgements have four columns, of which the second says nothing.
"""

from collections.abc import Iterator
from pathlib import Path

from quire.bench.datasets import files
from quire.bench.datasets.documents import Document, Question, graded
from quire.errors import ConfigError

SPLITS = ("", ".dev.small", ".dev", ".eval.small", ".eval", ".train")


def documents(path: Path) -> Iterator[Document]:
    collection = files.find(path, "collection.tsv")
    if collection is None:
        raise ConfigError(f"{path} has no collection.tsv; a folder of MS MARCO does.")
    for _, (key, text) in files.rows(collection, 2):
        yield Document(key, text)


def questions(path: Path) -> Iterator[Question]:
    for split in SPLITS:
        queries, judged = files.find(path, f"queries{split}.tsv"), files.find(path, f"qrels{split}.tsv")
        if queries and judged:
            texts = {key: text for _, (key, text) in files.rows(queries, 2)}
            yield from graded(texts, _judgements(judged))
            return


def _judgements(path: Path) -> Iterator[tuple[str, str, float]]:
    for number, (question_id, _, document_id, grade) in files.rows(path, 4, separator=None):
        yield question_id, document_id, files.grade_of(grade, path, number)
