"""Rows of token ids for training: which lessons, in which format, with which weight on each token.

The weight of a token is its share in the loss: 1 where the model must answer, little on passages and questions (a
random quarter of them, which also saves the output projection on the rest), none on padding. Invariant: `batch` depends
on its arguments and the seed, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from . import chat
from .cloze import Cloze, Located, cloze_questions
from .corpora import Corpora
from .drills import Alphabet, copy_row, marks_row, quotes_row
from .invented import Invented, Pairs
from .lessons import Lesson, Passage, Refusals, Source, compose
from .listed import Listed
from .pages import Pages
from .quoting import OPENED, Gathered, Opened, Quoted, usual_case
from .reading import PlainText, Sentences, Squad
from .recipe import Stage
from .rows import Row, emphasised, join
from .tokenizer import ASSISTANT, END, END_OF_TEXT, SYSTEM, USER

CONTEXT_WEIGHT, CONTEXT_SHARE = 0.4, 0.25  # of passages and questions
TEXT_WEIGHT, TEXT_SHARE = 0.6, 0.5  # of plain text
NUM_PASSAGES = {128: (1, 3), 256: (2, 4), 512: (3, 5), 1024: (4, 6)}  # by row length
# Also shown alone or by twos, and so with many sentences each.
LONG_PASSAGES = ("quoted_squad", "quoted_disguised", "gathered", "quoted_cloze_docs")
HEADERS = [
    "Answer from the passages.",
    "Answer the question from the passages below and cite the number of the passage.",
    "You are a helpful assistant. Use only the passages. Quote a short span and cite it like [1]. "
    "If they do not contain the answer, say so.",
    "You are a helpful assistant.",
]


class RowBuilder:
    """`evaluation` draws names that training never sees; the corpora should then be the held-out ones."""

    def __init__(self, tokenizer: Tokenizer, corpora: Corpora, seed: int, evaluation: bool = False) -> None:
        self.tokenizer = tokenizer
        self.seed = seed
        self.special = {text: _known(tokenizer, text) for text in (SYSTEM, USER, ASSISTANT, END, END_OF_TEXT)}
        self.abc = self._alphabet()
        self.corpora = corpora
        self.sources: dict[str, Source] = {
            "invented": Invented(evaluation),
            "pairs": Pairs(),
            "squad": Squad(corpora.squad),
            "disguised": Squad(corpora.squad, disguise=0.7),
            "cloze_wikipedia": Cloze([*corpora.wikitext, *([text for text, _ in a.paragraphs] for a in corpora.squad)]),
            "cloze_docs": Cloze([*corpora.documentation, *corpora.pubmed]),
            "wikitext": PlainText(corpora.wikitext),
            "docs": PlainText(corpora.documentation),
            "pubmed": PlainText(corpora.pubmed),
            "sentences": Sentences(corpora.sentence_questions),
            "quire": chat.AboutQuire(),
        }
        for name in ("squad", "disguised", "cloze_wikipedia", "cloze_docs", "quire"):
            self.sources[f"quoted_{name}"] = Quoted(self.sources[name])
        paragraphs = [text for article in corpora.squad for text, _ in article.paragraphs]
        self.sources["gathered"] = Gathered(corpora.sentence_questions, usual_case(paragraphs))
        self.sources["pages"] = Pages()
        self.sources["listed"] = Listed(corpora.documentation)
        for name in ("quoted_squad", "quoted_disguised", "gathered", "quoted_cloze_docs", "listed", "pages"):
            self.sources[f"opened_{name.removeprefix('quoted_')}"] = Opened(self.sources[name])
        for name in ("disguised", "cloze_wikipedia", "cloze_docs", "gathered"):
            self.sources[f"located_{name}"] = Located(self.sources[name])

    def batch(
        self, step: int, worker: int, num_rows: int, length: int, stage: Stage
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Ids [B, length + 1] and the weight of predicting ids[:, 1:]."""
        rng = random.Random(f"{self.seed}/{step}/{worker}")
        kinds = rng.choices(list(stage.shares), list(stage.shares.values()), k=num_rows)
        return self.pad([self.row(rng, kind, length + 1, stage) for kind in kinds], length + 1)

    def pad(self, rows: list[Row], length: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        ids = np.full((len(rows), length), self.special[END_OF_TEXT], dtype=np.int64)
        weights = np.zeros((len(rows), length), dtype=np.float32)
        for index, row in enumerate(rows):
            ids[index, : len(row.ids)] = row.ids
            weights[index, : len(row.ids)] = row.weights
        return ids, weights[:, 1:]

    def row(self, rng: random.Random, kind: str, length: int, stage: Stage) -> Row:
        if kind == "text":
            return self._text_row(rng, length)
        if kind == "chat":
            return self._chat_row(rng, length)
        if kind == "copy":
            return copy_row(rng, length, len(self.special), self.tokenizer.get_vocab_size())
        if kind == "marks":
            return marks_row(rng, length, self.abc)
        if kind == "quotes":
            return quotes_row(rng, length, self.abc, stage.brief)
        while True:
            row = self._lesson_row(rng, self.lesson(rng, kind, length, stage), length, stage)
            if row is not None:
                return row

    def lesson(self, rng: random.Random, kind: str, length: int, stage: Stage) -> Lesson:
        source = self.sources["invented" if kind == "silent" else kind]
        low, high = next(span for size, span in NUM_PASSAGES.items() if length <= size + 1)
        count = rng.randint(1 if kind in LONG_PASSAGES else low, high)
        max_words = int(stage.reading * length / count)
        passages = source.group(rng, count, max_words)
        if kind == "disguised":  # people asked about few of the sentences; rules ask about the rest
            passages = [
                Passage(p.text, p.questions + cloze_questions(rng, p.text, stage.more_questions)) for p in passages
            ]
        if kind == "silent":  # what the passages do not tell of the things that they name
            return compose(rng, passages, [], Refusals(1.0))
        if kind in ("quire", "quoted_quire"):
            others = self.sources["docs"].group(rng, max(1, count - 1), max_words)
            passages = passages[: rng.randint(1, 2)] + [Passage(other.text) for other in others][: count - 1]
        return compose(rng, passages, source.group(rng, 2, max_words), stage.refusals)

    def _lesson_row(self, rng: random.Random, lesson: Lesson, length: int, stage: Stage) -> Row | None:
        """The passages, then as many questions as fit; None if there is no room for any."""
        in_user_turn = rng.random() < 0.15
        header = rng.choice(HEADERS) if rng.random() < 0.3 else ""
        system = "\n".join(part for part in (header, "" if in_user_turn else lesson.numbered) if part)
        row = self._turn(rng, SYSTEM, system) if system else Row([], [])
        answered = 0
        for turn in lesson.turns:
            asked = without_words(rng, turn.question) if rng.random() < stage.noise else turn.question
            question = f"{lesson.numbered}\n\nQuestion: {asked}" if in_user_turn and not answered else asked
            reply = self._turn(rng, ASSISTANT, turn.reply)
            if turn.source is not None:
                reply = emphasised(reply, stage.emphasis)
            more = join(self._turn(rng, USER, question), reply)
            if len(row.ids) + len(more.ids) <= length:
                row = join(row, more)
                answered += 1
        return row if answered else None

    def _turn(self, rng: random.Random, role: str, text: str) -> Row:
        ids = [self.special[role], *self.encode(text), self.special[END]]
        if role == ASSISTANT:
            return Row(ids, [0.0] + [1.0] * (len(ids) - 1))
        return Row(ids, [CONTEXT_WEIGHT * (rng.random() < CONTEXT_SHARE) for _ in ids])

    def _text_row(self, rng: random.Random, length: int) -> Row:
        ids: list[int] = []
        while len(ids) < length:
            ids += [*self.encode(self._some_text(rng)), self.special[END_OF_TEXT]]
        return Row(ids[:length], [TEXT_WEIGHT * (rng.random() < TEXT_SHARE) for _ in range(length)])

    def _some_text(self, rng: random.Random) -> str:
        if rng.random() < 0.25:
            return chat.story(rng)
        if rng.random() < 0.3:
            return rng.choice(rng.choice(self.corpora.squad).paragraphs)[0]
        kind = rng.choice([self.corpora.wikitext, self.corpora.documentation, self.corpora.documentation])
        return "\n".join(rng.choice(kind)[:2])

    def _chat_row(self, rng: random.Random, length: int) -> Row:
        row = Row([], [])
        while True:
            system = self._turn(rng, SYSTEM, "You are a helpful assistant.") if rng.random() < 0.2 else Row([], [])
            question, answer = rng.choice(chat.SMALL_TALK)
            talk = join(system, join(self._turn(rng, USER, question), self._turn(rng, ASSISTANT, answer)))
            if len(row.ids) + len(talk.ids) >= length:
                return row
            row = join(row, join(talk, Row([self.special[END_OF_TEXT]], [0.0])))

    def _alphabet(self) -> Alphabet:
        marks = [self.encode(f"[{number}]")[0] for number in range(1, 10)]
        words = [i for i in range(len(self.special), self.tokenizer.get_vocab_size()) if i not in set(marks)]
        space, line, stop = self.encode(" [1]")[0], self.encode("\n")[0], self.encode(".")[0]
        roles = [self.special[name] for name in (SYSTEM, USER, ASSISTANT, END)]
        return Alphabet(words, marks, space, line, stop, self.encode(OPENED), *roles)

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def without_words(rng: random.Random, question: str) -> str:
    """One or two words less, never the first."""
    words = question.split()
    for _ in range(min(rng.randint(1, 2), len(words) - 4)):
        del words[rng.randrange(1, len(words))]
    return " ".join(words)


def vocabulary_texts(corpora: Corpora, seed: int) -> list[str]:
    """What the tokenizer is trained on: each kind of text in about the share that the model will read."""
    rng = random.Random(seed)
    texts = [text for article in corpora.squad for text, _ in article.paragraphs]
    texts += [question for article in corpora.squad for _, questions in article.paragraphs for question, _ in questions]
    texts += [text for document in corpora.wikitext for text in document]
    texts += [text for document in rng.sample(corpora.documentation, 400) for text in document]
    texts += [text for document in rng.sample(corpora.pubmed, 100) for text in document]
    lessons = [compose(rng, Invented().group(rng, 4, 30), [], Refusals(0.0)) for _ in range(1500)]
    texts += [f"{lesson.numbered}\n{turn.question} {turn.reply}" for lesson in lessons for turn in lesson.turns[:2]]
    facts = [fact["text"] for fact in chat.FACTS] + [part for pair in chat.SMALL_TALK for part in pair]
    return texts + facts * 8 + [chat.story(rng) for _ in range(300)]


def _known(tokenizer: Tokenizer, text: str) -> int:
    found = tokenizer.token_to_id(text)
    assert found is not None, f"the tokenizer has no {text}"
    return found
