"""Measures an exported model on documents that training never saw: `evaluate --model DIR --data DIR`.

Every question comes with the passage that answers it and three that do not, in random order. Beside the model stand
the same network untrained and two rules without learning: the sentence that shares most words with the question, and
the words behind the longest run that the question and a passage share. Prints a
table for people and ends with one JSON line. Answers are compared as `quire bench quality` does, which is SQuAD's way.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen3Config, Qwen3ForCausalLM

from quire.bench.arithmetic.quality import normal_words, token_f1

from . import corpora
from .invented import Invented
from .lessons import REFUSAL
from .reading import supporting, window, words_of

NUM_DISTRACTORS = 3
MAX_ANSWER_TOKENS = 96  # room for a sentence
NUM_COPIED_WORDS = 3
NUM_UNTRAINED = 20  # questions for the untrained network, which never ends an answer by itself
CITATION = re.compile(r"\s*\[(\d)\]\s*$")


@dataclass(frozen=True)
class Case:
    passages: list[str]
    question: str
    answers: list[str]  # none: the passages do not say
    source: int | None


@dataclass(frozen=True)
class Reply:
    text: str
    source: int | None


def case(rng: random.Random, gold: str, others: list[str], question: str, answers: list[str]) -> Case:
    passages = rng.sample([gold, *others], len(others) + 1)
    return Case(passages, question, answers, passages.index(gold) if answers else None)


def invented_cases(count: int, unseen_wording: bool) -> list[Case]:
    source, cases = Invented(evaluation=True, unseen_wording=unseen_wording), []
    for index in range(count):
        rng = random.Random(f"invented {unseen_wording} {index}")
        gold, *others = source.group(rng, NUM_DISTRACTORS + 1, 30)
        question, answer = rng.choice(gold.questions)
        cases.append(case(rng, gold.text, [other.text for other in others], question, [answer]))
    return cases


def silent_cases(count: int) -> list[Case]:
    """Questions about things the passages tell of, asking what they do not tell."""
    source, cases = Invented(evaluation=True), []
    for index in range(count):
        rng = random.Random(f"silent {index}")
        gold, *others = source.group(rng, NUM_DISTRACTORS + 1, 30)
        cases.append(case(rng, gold.text, [other.text for other in others], rng.choice(gold.unanswerable), []))
    return cases


def squad_cases(articles: list[corpora.Article], count: int, max_words: int) -> list[Case]:
    """Paragraphs of held-out articles, cut to about `max_words` around the sentence that answers."""
    paragraphs = [paragraph for article in articles for paragraph in article.paragraphs]
    pool = [(text, question, answers) for text, asked in paragraphs for question, answers in asked]
    rng = random.Random("squad")
    cases = []
    for text, question, answers in rng.sample(pool, count):
        parts = corpora.sentences(text)
        place = supporting(parts, question, min(answers, key=len))
        others = rng.sample([other for other, _ in paragraphs if other != text], NUM_DISTRACTORS)
        cut = [window(other, rng.randrange(len(other)), max_words) for other in map(corpora.sentences, others)]
        cases.append(case(rng, window(parts, place or 0, max_words), cut, question, answers))
    return cases


class Model:
    def __init__(self, model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer

    def reply(self, case: Case) -> Reply:
        ids_BT: Any = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": case.question}],
            documents=[{"text": passage} for passage in case.passages],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=False,
        )
        with torch.inference_mode():
            out_BT = self.model.generate(ids_BT, max_new_tokens=MAX_ANSWER_TOKENS, do_sample=False)
        return parse(str(self.tokenizer.decode(out_BT[0, ids_BT.shape[1] :], skip_special_tokens=True)))

    def perplexity(self, texts: list[str], length: int = 512) -> dict[str, float]:
        """Per token, and in bits per byte, which does not depend on the vocabulary."""
        total, num_tokens, num_bytes = 0.0, 0, 0
        for text in texts:
            ids_BT = torch.tensor([self.tokenizer.encode(text, add_special_tokens=False)[:length]])
            with torch.inference_mode():
                total += float(self.model(ids_BT, labels=ids_BT).loss) * (ids_BT.shape[1] - 1)
            num_tokens += ids_BT.shape[1] - 1
            num_bytes += len(str(self.tokenizer.decode(ids_BT[0, 1:])).encode())
        return {"perplexity": math.exp(total / num_tokens), "bits_per_byte": total / math.log(2) / num_bytes}


def parse(text: str) -> Reply:
    found = CITATION.search(text)
    return Reply(text[: found.start()].strip(), int(found[1]) - 1) if found else Reply(text.strip(), None)


def most_overlap(case: Case) -> Reply:
    """The rule without learning: the sentence with most words of the question, and its passage."""
    sentences = [(part, index) for index, text in enumerate(case.passages) for part in corpora.sentences(text)]
    text, index = max(sentences, key=lambda pair: len(words_of(pair[0]) & words_of(case.question)))
    return Reply(text, index)


def longest_run(case: Case) -> Reply:
    """What an n-gram model that copies would say: the words behind the longest run of words that the question shares
    with a passage."""
    asked, passages = normal_words(case.question), [normal_words(text) for text in case.passages]
    for size in range(len(asked), 0, -1):
        runs = {tuple(asked[start : start + size]) for start in range(len(asked) - size + 1)}
        for index, words in enumerate(passages):
            for start in range(len(words) - size):
                if tuple(words[start : start + size]) in runs:
                    return Reply(" ".join(words[start + size : start + size + NUM_COPIED_WORDS]), index)
    return Reply("", None)


def score(cases: list[Case], replies: list[Reply]) -> dict[str, float]:
    contained = [
        any(f" {' '.join(normal_words(a))} " in f" {' '.join(normal_words(reply.text))} " for a in case.answers)
        for case, reply in zip(cases, replies, strict=True)
    ]
    pairs = list(zip(cases, replies, strict=True))
    return {
        "f1": percent([max(token_f1(reply.text, answer) for answer in case.answers) for case, reply in pairs]),
        "contains": percent(contained),
        "citation": percent([reply.source == case.source for case, reply in pairs]),
        "refused": percent([reply.text == REFUSAL for reply in replies]),
    }


def percent(values: Sequence[float]) -> float:
    return round(100 * sum(values) / len(values), 1)


def held_out_texts(held_out: corpora.Corpora, count: int) -> dict[str, list[str]]:
    wikipedia = [text for article in held_out.squad for text, _ in article.paragraphs]
    documentation = [" ".join(document[:3]) for document in held_out.documentation]
    return {
        "Wikipedia": wikipedia[:count],
        "documentation": documentation[:: max(1, len(documentation) // count)][:count],
    }


def load_model(directory: Path, trained: bool = True) -> Model:
    tokenizer = AutoTokenizer.from_pretrained(directory)
    if trained:
        return Model(Qwen3ForCausalLM.from_pretrained(directory, dtype=torch.float32), tokenizer)
    torch.manual_seed(0)
    return Model(Qwen3ForCausalLM(Qwen3Config.from_pretrained(directory)).float(), tokenizer)


def evaluate(directory: Path, held_out: corpora.Corpora, count: int) -> dict[str, Any]:
    model, untrained = load_model(directory), load_model(directory, trained=False)
    sets = {
        "invented facts": invented_cases(count, unseen_wording=False),
        "invented facts, unseen wording": invented_cases(count, unseen_wording=True),
        "SQuAD, short passages": squad_cases(held_out.squad, count, 30),
        "SQuAD, whole paragraphs": squad_cases(held_out.squad, count, 1000),
    }
    results: dict[str, Any] = {}
    for name, cases in sets.items():
        results[name] = {
            "quire-tiny": score(cases, [model.reply(case) for case in cases]),
            "most word overlap": score(cases, [most_overlap(case) for case in cases]),
            "longest run": score(cases, [longest_run(case) for case in cases]),
            "untrained": score(cases[:NUM_UNTRAINED], [untrained.reply(case) for case in cases[:NUM_UNTRAINED]]),
        }
        print_table(name, results[name])
    refused = [model.reply(case).text == REFUSAL for case in silent_cases(count)]
    results["refused when the passages do not say"] = percent(refused)
    texts = held_out_texts(held_out, 40)
    for name, some in texts.items():
        results[f"perplexity, {name}"] = {"quire-tiny": model.perplexity(some), "untrained": untrained.perplexity(some)}
    return results


def print_table(name: str, rows: dict[str, dict[str, float]]) -> None:
    print(f"\n| {name} | token F1 | answer contained | citation right | refused |\n|---|---|---|---|---|")
    for system, row in rows.items():
        print(f"| {system} | {row['f1']} | {row['contains']} | {row['citation']} | {row['refused']} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("QUIRE_DATA"), help="folder of the corpora")
    parser.add_argument("--count", type=int, default=200, help="questions of each kind")
    args = parser.parse_args()
    if args.data is None:
        parser.error("no corpora: give --data DIR or set QUIRE_DATA")
    torch.set_num_threads(2)
    print(json.dumps(evaluate(args.model, corpora.load(Path(args.data))[1], args.count)))


if __name__ == "__main__":
    main()
