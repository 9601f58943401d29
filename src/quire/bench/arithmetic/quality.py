"""Quality: what int8 and int4 weights and an int8 KV cache cost, on text and questions the model never saw.

Through the engine and its own kernels, by `prompt_logprobs` and by answers from passages as `quire.rag` assembles them.

Case text:    perplexity per token, and top1_agreement, the share of positions whose likeliest token is bfloat16's.
Case answers: questions with the passage that answers and three that do not: answer_f1 as SQuAD counts it, contained
              (the answer stands in what was said), citation (the right passage is named).

`data` (or QUIRE_DATA) is a folder with wikitext2_valid.txt.gz, of which the last articles are used, and
squad_a.json.gz, of which the articles that quire-tiny's card names are. Without one the card itself is the text, and
nothing is asked. `model` is any model; by default the one that Quire carries. What is measured is the same in every
repetition, so it is computed once.
"""

import gzip
import json
import math
import os
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from quire.bench.harness import Case, Measurement
from quire.bench.results import Report
from quire.llm import LLM
from quire.models.embedded import EMBEDDED_MODEL
from quire.rag.citations import MARK, CitationReader
from quire.rag.prompt import assemble_prompt
from quire.sampling_params import SamplingParams

SIDES: dict[str, dict[str, Any]] = {
    "bf16": {},
    "int8": {"quantization": "int8"},
    "int4": {"quantization": "int4"},
    "int8 KV": {"kv_cache_dtype": "int8"},
    "int8, int8 KV": {"quantization": "int8", "kv_cache_dtype": "int8"},
}
HELD_OUT_TITLES = ("Teacher", "Oxygen", "Packet switching", "Pharmacy")
NUM_HELD_OUT_ARTICLES = 2  # of WikiText
WINDOW_TOKENS = 512
NUM_DISTRACTORS = 3
PASSAGE_WORDS = 60
MAX_PROMPT_TOKENS, MAX_ANSWER_TOKENS = 960, 96  # room for a sentence


@dataclass(frozen=True, slots=True)
class Excerpt:
    document_id: str
    chunk_id: str
    text: str
    score: float = 0.0
    """The passages of a question are given with it, not searched."""


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    answers: Sequence[str]
    passages: Sequence[Excerpt]
    source: Excerpt


def cases(
    *, data: str = "", model: str = "", num_windows: int = 40, num_questions: int = 100, quick: bool = False
) -> list[Case]:
    folder = data or os.environ.get("QUIRE_DATA", "")
    texts = _wikitext(Path(folder)) if folder else [(EMBEDDED_MODEL / "README.md").read_text(encoding="utf-8")]
    questions = _questions(Path(folder), 4 if quick else num_questions) if folder else []
    probe = _Probe(model or str(EMBEDDED_MODEL), texts, questions, 2 if quick else num_windows)
    asked = [("text", probe.read, {"windows": probe.num_windows})]
    asked += [("answers", probe.answer, {"questions": len(questions)})] if questions else []
    return [Case(name, partial(run, side), params, side) for name, run, params in asked for side in SIDES]


def explain(report: Report) -> str:
    found = {result.side: result.summary("perplexity").mean for result in report.results if result.name == "text"}
    worse = ", ".join(f"{side} {100 * (found[side] / found['bf16'] - 1):+.2f} %" for side in found if side != "bf16")
    return f"Perplexity beside bfloat16's: {worse}."


class _Probe:
    """Asks a model, loaded in one way after another, the same things; remembers what it said."""

    def __init__(self, model: str, texts: Sequence[str], questions: Sequence[Question], num_windows: int) -> None:
        self.num_windows = num_windows
        self._model, self._texts, self._questions = model, texts, questions
        self._likeliest: dict[str, list[int]] = {}
        self._found: dict[tuple[str, str], Measurement] = {}

    def read(self, side: str) -> Measurement:
        return self._once(("text", side), lambda: self._read(side))

    def answer(self, side: str) -> Measurement:
        return self._once(("answers", side), lambda: self._answer(side))

    def _once(self, key: tuple[str, str], measure: Callable[[], Measurement]) -> Measurement:
        if key not in self._found:
            self._found[key] = measure()
        return self._found[key]

    def _load(self, side: str) -> LLM:
        return LLM(self._model, dtype="bfloat16", show_progress=False, **SIDES[side])

    def _read(self, side: str) -> Measurement:
        if side != "bf16":
            self.read("bf16")
        with self._load(side) as llm:
            ids = [i for text in self._texts for i in llm.tokenizer.encode(text, add_special_tokens=False)]
            starts = range(0, len(ids), WINDOW_TOKENS)[: self.num_windows]
            windows = [ids[start : start + WINDOW_TOKENS] for start in starts]
            params = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=1)
            outputs = llm.generate(windows, params, use_tqdm=False)
        entries = [entry for output in outputs for entry in output.prompt_logprobs or () if entry is not None]
        self._likeliest[side] = [entry.top[0][0] for entry in entries]
        same = [a == b for a, b in zip(self._likeliest[side], self._likeliest["bf16"], strict=True)]
        loss = -math.fsum(entry.logprob for entry in entries) / len(entries)
        return Measurement({"perplexity": math.exp(loss), "top1_agreement": sum(same) / len(same)})

    def _answer(self, side: str) -> Measurement:
        params = SamplingParams(temperature=0, max_tokens=MAX_ANSWER_TOKENS)
        with self._load(side) as llm:
            prompts = [
                assemble_prompt(
                    [{"role": "user", "content": question.text}],
                    question.passages,
                    llm.tokenizer,
                    max_tokens=MAX_PROMPT_TOKENS,
                )
                for question in self._questions
            ]
            outputs = llm.generate([prompt.token_ids for prompt in prompts], params, use_tqdm=False)
        said = [output.outputs[0].text for output in outputs]
        return scored(self._questions, said)


def scored(questions: Sequence[Question], said: Sequence[str]) -> Measurement:
    """Means over the questions of what was said to them."""
    f1, contained, cited = 0.0, 0, 0
    for question, text in zip(questions, said, strict=True):
        reader = CitationReader(question.passages)
        answer = MARK.sub("", reader.feed(text) + reader.finish())
        f1 += max(token_f1(answer, accepted) for accepted in question.answers)
        padded = f" {' '.join(normal_words(answer))} "
        contained += any(f" {' '.join(normal_words(accepted))} " in padded for accepted in question.answers)
        cited += question.source in [citation.passage for citation in reader.citations]
    values = {"answer_f1": f1, "contained": contained, "citation": cited}
    return Measurement({name: value / len(questions) for name, value in values.items()})


def token_f1(answer: str, accepted: str) -> float:
    """The harmonic mean of precision and recall over words, as SQuAD counts it."""
    given, wanted = normal_words(answer), normal_words(accepted)
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted)) if common else 0.0


def normal_words(text: str) -> list[str]:
    """Without case, punctuation and articles."""
    text = "".join(" " if char in string.punctuation else char for char in text.lower())
    return [word for word in text.split() if word not in ("a", "an", "the")]


def _wikitext(folder: Path) -> list[str]:
    """The last articles, as they are in the file."""
    with gzip.open(folder / "wikitext2_valid.txt.gz", "rt", encoding="utf-8") as file:
        articles = re.split(r"^ = [^=].* = $", file.read(), flags=re.MULTILINE)
    return articles[-NUM_HELD_OUT_ARTICLES:]


def _questions(folder: Path, count: int) -> list[Question]:
    with gzip.open(folder / "squad_a.json.gz", "rt", encoding="utf-8") as file:
        rows = [row for row in json.load(file) if row["title"] in HELD_OUT_TITLES]
    pool = [(row, asked) for row in rows for asked in row["qas"]]
    rng = Random(0)
    return [_question(rng, rows, row, asked) for row, asked in rng.sample(pool, min(count, len(pool)))]


def _question(rng: Random, rows: list[dict[str, Any]], row: dict[str, Any], asked: dict[str, Any]) -> Question:
    place = row["text"].index(asked["answers"][0])
    source = _cut(row, place)
    others = rng.sample([other for other in rows if other["text"] != row["text"]], NUM_DISTRACTORS)
    passages = [source, *(_cut(other, rng.randrange(len(other["text"]))) for other in others)]
    rng.shuffle(passages)
    return Question(asked["question"].strip(), asked["answers"], passages, source)


def _cut(row: dict[str, Any], place: int) -> Excerpt:
    """Words around `place`, half of them on either side as far as there are."""
    before, after = row["text"][:place].split(), row["text"][place:].split()
    words = before[-PASSAGE_WORDS // 2 :] + after[: PASSAGE_WORDS // 2]
    return Excerpt(row["title"], str(place), " ".join(words))
