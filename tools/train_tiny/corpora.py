"""The public text that quire-tiny learns from, read from disk and cut into training and held-out documents.

Whole documents are held out, never parts: SQuAD articles, WikiText articles, a run of the technical documentation and
the last PubMedQA abstracts. Sentence-question pairs that stem from a held-out SQuAD article are dropped. Knows file
formats, nothing of questions.
"""

from __future__ import annotations

import gzip
import json
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HELD_OUT_ARTICLES = 4  # of SQuAD: every seventh
HELD_OUT_TEXT = 0.03  # of WikiText, documentation and PubMedQA: the end of each
SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[A-Z\"'(\[])")
# Penn Treebank tokens as sentence_questions has them, WikiText's own, and how they are written in ordinary text.
TREEBANK = {"-lrb-": "(", "-rrb-": ")", "-lsb-": "[", "-rsb-": "]", "``": '"', "''": '"', "--": "–"}


@dataclass(frozen=True)
class Article:
    title: str
    paragraphs: list[tuple[str, list[tuple[str, list[str]]]]]  # text, [(question, accepted answers)]


@dataclass(frozen=True)
class Corpora:
    squad: list[Article]
    sentence_questions: list[tuple[str, str]]
    wikitext: list[list[str]]  # documents of paragraphs, as the next two
    documentation: list[list[str]]
    pubmed: list[list[str]]


def load(data: Path) -> tuple[Corpora, Corpora]:
    """(training, held out)."""
    squad = squad_articles(data)
    squad_split = [a for i, a in enumerate(squad) if i % 7 != 5], [a for i, a in enumerate(squad) if i % 7 == 5]
    assert len(squad_split[1]) == HELD_OUT_ARTICLES
    pairs = without_articles(sentence_questions(data), squad_split[1])
    texts = [split_end(documents(data)) for documents in (wikitext, documentation, pubmed)]
    return (
        Corpora(squad_split[0], pairs, *(train for train, _ in texts)),
        Corpora(squad_split[1], [], *(held_out for _, held_out in texts)),
    )


def load_once(data: Path, kept: Path) -> tuple[Corpora, Corpora]:
    """As `load`; what was read is kept in a file, since finding the pairs of held-out articles takes a while."""
    if not kept.exists():
        kept.write_bytes(pickle.dumps(load(data)))
    found: tuple[Corpora, Corpora] = pickle.loads(kept.read_bytes())
    return found


def split_end(documents: list[list[str]]) -> tuple[list[list[str]], list[list[str]]]:
    cut = round(len(documents) * (1 - HELD_OUT_TEXT))
    return documents[:cut], documents[cut:]


def read_gzip(path: Path) -> str:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read()


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read_gzip(path).splitlines()]


def squad_articles(data: Path) -> list[Article]:
    articles: dict[str, Article] = {}
    for row in json.loads(read_gzip(data / "squad_a.json.gz")):
        questions = [(qa["question"].strip(), qa["answers"]) for qa in row["qas"]]
        articles.setdefault(row["title"], Article(row["title"], [])).paragraphs.append((row["text"], questions))
    return list(articles.values())


def sentence_questions(data: Path) -> list[tuple[str, str]]:
    rows = read_lines(data / "sentence_questions.jsonl.gz")
    return [(join_tokens(row["sentence"]), join_tokens(row["question"])) for row in rows]


def bare(text: str) -> str:
    """Letters and digits only, to compare texts that were tokenised differently."""
    return re.sub(r"[\W_]+", "", text.lower())


def without_articles(pairs: list[tuple[str, str]], articles: list[Article]) -> list[tuple[str, str]]:
    text = "\n".join(bare(paragraph) for article in articles for paragraph, _ in article.paragraphs)
    asked = {bare(q) for article in articles for _, questions in article.paragraphs for q, _ in questions}
    return [(s, q) for s, q in pairs if bare(q) not in asked and not any(bare(part) in text for part in windows(s))]


def windows(sentence: str, length: int = 8) -> list[str]:
    """Runs of words; a sentence shares one with an article only if it was taken from it."""
    words = sentence.split()
    return [" ".join(words[start : start + length]) for start in range(0, max(1, len(words) - length + 1), 2)]


def join_tokens(text: str) -> str:
    words = [TREEBANK.get(word, word) for word in text.split()]
    text = re.sub(r" ([.,;:?!%)\]]|'s\b|n't\b|'\w)", r"\1", " ".join(words))
    return re.sub(r"([(\[$£]) ", r"\1", text)


def wikitext(data: Path) -> list[list[str]]:
    documents: list[list[str]] = []
    for line in read_gzip(data / "wikitext2_valid.txt.gz").splitlines():
        if re.fullmatch(r" = [^=]+ = ", line):
            documents.append([])
        elif line.strip() and not line.startswith(" ="):
            documents[-1].append(plain_wikitext(line))
    return [[paragraph for paragraph in document if paragraph] for document in documents]


def plain_wikitext(line: str) -> str:
    """Ordinary spacing, without the sentences that have lost a word to <unk>."""
    line = re.sub(r" @(.)@ ", r"\1", line.strip())
    line = re.sub(r'" ([^"]*) "', r'"\1"', line)
    return " ".join(sentence for sentence in sentences(join_tokens(line)) if "<unk>" not in sentence)


def documentation(data: Path, per_document: int = 8) -> list[list[str]]:
    """Runs of consecutive passages stand for documents."""
    texts = [row["text"] for row in read_lines(data / "passages.jsonl.gz")]
    return [texts[start : start + per_document] for start in range(0, len(texts), per_document)]


def pubmed(data: Path) -> list[list[str]]:
    return [[*row["contexts"], row["long_answer"]] for row in read_lines(data / "pubmedqa.jsonl.gz")]


def sentences(text: str) -> list[str]:
    return [sentence.strip() for sentence in SENTENCE_END.split(text) if sentence.strip()]
