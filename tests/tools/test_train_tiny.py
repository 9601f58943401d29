"""The lessons that quire-tiny learns from: answers stand in the passage they cite, and what is held out stays out."""

import random

import pytest
from tokenizers import Tokenizer

from tools.train_tiny import chat, corpora, data, evaluate, reading, tokenizer
from tools.train_tiny.invented import Invented, Pairs, held_out
from tools.train_tiny.lessons import REFUSAL, Passage, compose

ARTICLE = corpora.Article(
    "Rivers",
    [
        (
            "The Orne is a river. It was mapped in 1843 by Ada Moor. Its 12 bridges are old.",
            [("Who mapped it?", ["Ada Moor"])],
        ),
        ("The Vire rises near Caen. It is 128 km long. Boats were used until 1926 on its lower part.", []),
    ],
)
PAIRS = [("the orne was mapped in 1843.", "when was the orne mapped?"), ("boats are slow.", "what are boats?")]
SOURCES = {
    "invented": Invented(),
    "pairs": Pairs(),
    "squad": reading.Squad([ARTICLE]),
    "plain text": reading.PlainText([[text for text, _ in ARTICLE.paragraphs]]),
    "sentences": reading.Sentences(PAIRS),
    "about quire": chat.AboutQuire(),
}
SHARES = {"invented": 2, "copy": 1, "chat": 1}
CORPORA = corpora.Corpora([ARTICLE], PAIRS, *[[[text for text, _ in ARTICLE.paragraphs]]] * 3)


@pytest.fixture(scope="module")
def rows():
    trained = tokenizer.train(["Some text to learn [1] from, 1843.\n"] * 3, vocab_size=300)
    return data.RowBuilder(trained, CORPORA, seed=3)


@pytest.mark.parametrize("name", SOURCES)
def test_every_answer_stands_in_its_passage(name):
    for seed in range(200):
        for passage in SOURCES[name].group(random.Random(seed), 3, 40):
            assert all(answer and answer in passage.text for _, answer in passage.questions), passage


def test_a_lesson_cites_the_passage_that_answers_and_refuses_what_none_does():
    passages = [Passage("Ann is here.", [("Who is here?", "Ann")]), Passage("Bob is away.", [("Who is away?", "Bob")])]
    foreign = [Passage("Cy sleeps.", [("Who sleeps?", "Cy")])]
    lesson = compose(random.Random(0), passages, foreign, refusals=1.0)
    replies = {turn.question: turn.reply for turn in lesson.turns}
    ann, bob = (lesson.passages.index(passage.text) + 1 for passage in passages)
    assert replies == {"Who is here?": f"Ann [{ann}]", "Who is away?": f"Bob [{bob}]", "Who sleeps?": REFUSAL}
    assert f"[{ann}] Ann is here." in lesson.numbered.splitlines()


def test_held_out_names_and_wording_are_never_trained_on():
    def words(source):
        groups = [source.group(random.Random(seed), 3, 40) for seed in range(300)]
        return {question for group in groups for passage in group for question, _ in passage.questions}

    assert not words(Invented()) & words(Invented(evaluation=True))
    assert not words(Invented(evaluation=True)) & words(Invented(evaluation=True, unseen_wording=True))
    assert 0.1 < sum(held_out(f"name {n}") for n in range(8000)) / 8000 < 0.15


def test_pairs_of_held_out_articles_are_dropped_by_sentence_and_by_question():
    pairs = [
        ("it was mapped in 1843 by ada moor.", "by whom ?"),
        ("somewhere else entirely it rained.", "Who mapped it ?"),
        ("boats are slow.", "what are boats ?"),
    ]
    assert corpora.without_articles(pairs, [ARTICLE]) == pairs[2:]


def test_wikitext_is_read_as_it_was_written():
    line = ' The <unk> ran . It cost 1 @,@ 000 $ , or " so " ( he said ) . '
    assert corpora.plain_wikitext(line) == 'It cost 1,000 $, or "so" (he said).'


def test_batches_depend_on_seed_step_and_worker_alone(rows):
    first, again = (rows.batch(5, 0, 4, 128, SHARES) for _ in range(2))
    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()
    assert not (first[0] == rows.batch(5, 1, 4, 128, SHARES)[0]).all()


def test_full_weight_lies_on_the_answers_and_their_ends_alone(rows):
    row = rows.row(random.Random(1), "invented", 512)
    taught = [token for token, weight in zip(row.ids, row.weights, strict=True) if weight == 1]
    replies = rows.tokenizer.decode(taught, skip_special_tokens=False).split("<|end|>")[:-1]
    text = rows.tokenizer.decode(row.ids, skip_special_tokens=False)
    assert replies
    assert all(f"<|assistant|>{reply}<|end|>" in text for reply in replies)
    assert text.count("<|assistant|>") == len(replies)


def test_copy_rows_ask_for_every_token_but_the_first_of_each_run(rows):
    row = rows.row(random.Random(2), "copy", 128)
    taught = [index for index, weight in enumerate(row.weights) if weight]
    assert taught
    for index in taught:
        pair = row.ids[index - 1 : index + 1]
        assert any(row.ids[start : start + 2] == pair for start in range(len(row.ids) // 2))


def test_tokenizer_training_is_deterministic():
    texts = [f"some words and numbers {n} [{n % 9}]" for n in range(50)]
    assert tokenizer.train(texts, 320).to_str() == tokenizer.train(texts, 320).to_str()
    assert isinstance(tokenizer.train(texts, 320), Tokenizer)


def test_scores_as_squad_counts_them():
    case = evaluate.Case(["a", "b"], "Who?", ["the Denver Broncos"], source=1)
    reply = evaluate.parse("Denver team [2]")
    assert evaluate.token_f1(reply.text, case.answers[0]) == 0.5  # one of two words, both ways
    scores = evaluate.score([case], [reply])
    assert scores == {"f1": 50.0, "contains": 0.0, "citation": 100.0, "refused": 0.0}


def test_word_overlap_picks_the_sentence_that_shares_most():
    case = evaluate.Case(["Cats sleep. Dogs bark at night.", "Birds sing."], "What do dogs do at night?", ["bark"], 0)
    assert evaluate.most_overlap(case) == evaluate.Reply("Dogs bark at night.", 0)
