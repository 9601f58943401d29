"""What a dataset is made of: documents, and questions with the grades of the documents that answer them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Document:
    id: str
    text: str
    title: str = ""

    @property
    def whole(self) -> str:
        """The title, where there is one, and the text."""
        return f"{self.title}\n{self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Question:
    id: str
    text: str
    grades: Mapping[str, float] = field(default_factory=dict)
    """Of documents by id, those above 0; empty where nobody judged any."""


def graded(texts: Mapping[str, str], judgements: Iterable[tuple[str, str, float]]) -> Iterator[Question]:
    """The questions for which some document is good, in the order of their first judgement. A judgement is of a
    question's id and a document's; one whose question is not among `texts` is of another split."""
    grades: dict[str, dict[str, float]] = {}
    for question_id, document_id, grade in judgements:
        if grade > 0 and question_id in texts:
            grades.setdefault(question_id, {})[document_id] = grade
    for question_id, found in grades.items():
        yield Question(question_id, texts[question_id], found)
