"""The lessons that quire-tiny learns from: answers stand in the passage they cite, and what is held out stays out."""

import random
from itertools import pairwise

import pytest
from tokenizers import Tokenizer

from quire.bench.arithmetic import quality
from quire.models.embedded import EMBEDDED_MODEL
from tools.train_tiny import chat, cloze, corpora, data, drills, evaluate, listed, pages, quoting, reading, tokenizer
from tools.train_tiny.invented import Invented, Pairs, held_out
from tools.train_tiny.lessons import REFUSAL, Passage, Refusals, compose
from tools.train_tiny.recipe import Stage
from tools.train_tiny.rows import Emphasis, Row, emphasised

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
    "disguised": reading.Squad([ARTICLE], disguise=1.0),
    "cloze": cloze.Cloze([[text for text, _ in ARTICLE.paragraphs]]),
    "quoted": quoting.Quoted(reading.Squad([ARTICLE])),
    "gathered": quoting.Gathered(PAIRS, {"orne": "Orne"}),
    "opened": quoting.Opened(quoting.Quoted(reading.Squad([ARTICLE]))),
    "listed": listed.Listed([[text for text, _ in ARTICLE.paragraphs]]),
    "pages": pages.Pages(),
}
STAGE = Stage(0, [128], {"invented": 2, "copy": 1, "chat": 1})
LATE = Stage(0, [128], {}, Refusals(0.05), emphasis=Emphasis(3.0, 4.0))
CORPORA = corpora.Corpora([ARTICLE], PAIRS, *[[[text for text, _ in ARTICLE.paragraphs]]] * 3)


@pytest.fixture(scope="module")
def rows():
    trained = tokenizer.train(["Some text to learn from, 1843. [1] [2] [3] [4] [5]\n"] * 3, vocab_size=310)
    return data.RowBuilder(trained, CORPORA, seed=3)


@pytest.mark.parametrize("name", SOURCES)
def test_every_answer_stands_in_its_passage(name):
    for seed in range(200):
        for passage in SOURCES[name].group(random.Random(seed), 3, 40):
            assert all(answer and answer in passage.text for _, answer in passage.questions), passage


def test_a_lesson_cites_the_passage_that_answers_and_refuses_what_none_does():
    passages = [Passage("Ann is here.", [("Who is here?", "Ann")]), Passage("Bob is away.", [("Who is away?", "Bob")])]
    foreign = [Passage("Cy sleeps.", [("Who sleeps?", "Cy")])]
    lesson = compose(random.Random(0), passages, foreign, Refusals(1.0))
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
    first, again = (rows.batch(5, 0, 4, 128, STAGE) for _ in range(2))
    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()
    assert not (first[0] == rows.batch(5, 1, 4, 128, STAGE)[0]).all()


def test_full_weight_lies_on_the_answers_and_their_ends_alone(rows):
    row = rows.row(random.Random(1), "invented", 512, STAGE)
    taught = [token for token, weight in zip(row.ids, row.weights, strict=True) if weight == 1]
    replies = rows.tokenizer.decode(taught, skip_special_tokens=False).split("<|end|>")[:-1]
    text = rows.tokenizer.decode(row.ids, skip_special_tokens=False)
    assert replies
    assert all(f"<|assistant|>{reply}<|end|>" in text for reply in replies)
    assert text.count("<|assistant|>") == len(replies)


def test_copy_rows_ask_for_every_token_but_the_first_of_each_run(rows):
    row = rows.row(random.Random(2), "copy", 128, STAGE)
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


def test_a_cloze_question_shares_no_word_with_its_answer_and_asks_for_what_it_is():
    text = "In 1843 the old bridge over the river was built by Ada Moor because the ferry had sunk in a storm."
    asked = {pair for seed in range(300) for pair in cloze.cloze_questions(random.Random(seed), text, 4)}
    starts = {answer: {question.split()[0] for question, found in asked if found == answer} for _, answer in asked}
    assert starts["1843"] <= {"When", "In", "What"}
    assert starts["Ada Moor"] <= {"Who", "By", "Which", "What"}
    assert starts["the ferry had sunk in a storm"] <= {"Why", "For"}
    for question, answer in asked:
        assert not reading.words_of(answer) & reading.words_of(question.partition(" ")[2])


def test_disguise_changes_names_and_numbers_everywhere_alike():
    text = ARTICLE.paragraphs[0][0]
    groups = [SOURCES["disguised"].group(random.Random(seed), 1, 40) for seed in range(40)]
    asked = [(passage.text, *pair) for group in groups for passage in group for pair in passage.questions]
    assert any(answer != "Ada Moor" for _, _, answer in asked)
    assert any("1843" not in shown and "18" in shown for shown, _, _ in asked)
    assert all(answer in shown and len(shown.split()) == len(text.split()) for shown, _, answer in asked)


def test_a_located_passage_is_named_by_its_number_alone():
    source = cloze.Located(SOURCES["squad"])
    lesson = compose(random.Random(0), source.group(random.Random(1), 2, 40), [], Refusals(0.0))
    assert lesson.turns
    for turn in lesson.turns:
        assert turn.reply == f"[{turn.source + 1}]"
        assert reading.words_of(turn.question.removeprefix("Which passage: ")) & reading.words_of(
            lesson.passages[turn.source]
        )


@pytest.mark.parametrize("name", ["quoted", "gathered"])
def test_a_quote_is_a_whole_sentence(name):
    groups = [SOURCES[name].group(random.Random(seed), 2, 40) for seed in range(100)]
    asked = {(question, answer, p.text) for group in groups for p in group for question, answer in p.questions}
    assert asked
    assert all(answer in corpora.sentences(text) for _, answer, text in asked)
    told = {question: answer for question, answer, _ in asked}
    if name == "gathered":
        assert told == {"When was the Orne mapped?": "The Orne was mapped in 1843."}  # three words are too few
    else:
        assert told["Who mapped it?"] == "It was mapped in 1843 by Ada Moor."
        assert told["What is the Orne?"] == "The Orne is a river."


def test_an_opened_quote_is_the_start_of_a_sentence():
    groups = [SOURCES["opened"].group(random.Random(seed), 2, 40) for seed in range(100)]
    asked = {(question, answer, p.text) for group in groups for p in group for question, answer in p.questions}
    assert ("Which sentence: Who mapped it?", "It was mapped", ARTICLE.paragraphs[0][0]) in asked
    for _, answer, text in asked:
        assert answer in {" ".join(part.split()[:3]) for part in corpora.sentences(text)}


def test_what_is_asked_of_a_list_is_answered_by_one_row_of_it():
    for seed in range(100):
        group = SOURCES["listed"].group(random.Random(seed), 3, 60)
        rows = [row for passage in group for row in dict.fromkeys(answer for _, answer in passage.questions)]
        names = [row.partition(": ")[0] for row in rows]
        assert len(set(names)) == len(names)
        assert all(row.endswith(".") and row.count(": ") == 1 for row in rows)
        assert all(passage.text.endswith(" ".join(dict.fromkeys(a for _, a in passage.questions))) for passage in group)


def test_rows_of_a_page_are_told_from_its_sentences():
    text = "Knobs: Leave them alone. block_size: default 16; Tokens of a block. seed: default 0; Seeds requests."
    rows = ["block_size: default 16; Tokens of a block.", "seed: default 0; Seeds requests."]
    assert pages.sentences_and_rows(text) == ["Leave them alone.", *rows]
    asked = {question for seed in range(200) for question in pages.asked_of(random.Random(seed), rows[0])}
    assert {"What is the default block size?", "What does block_size do?"} <= asked


def test_rules_ask_what_a_thing_is_and_how_something_is_done():
    parts = ["To drop a table, call the second function.", "It is old.", "`max_rows` specifies the number of rows."]
    asked = [pair for seed in range(50) for pair in quoting.by_rule(random.Random(seed), parts)]
    assert {answer for question, answer in asked if question.startswith("How") and "drop a table?" in question} == {
        parts[0]
    }
    assert ("What does `max_rows` do?", parts[2]) in asked
    assert not any(answer == parts[1] for _, answer in asked)


def test_case_is_what_is_usual_inside_of_sentences():
    case = quoting.usual_case(["Some of the rivers rise near Caen. Rivers are long in Caen, as rivers can be."])
    assert quoting.recased("the rivers of caen, some say", case) == "The rivers of Caen, some say"


def test_what_chooses_a_sentence_weighs_more_than_what_copies_it():
    weights = emphasised(Row([*range(20)], [0.0] + [1.0] * 19), Emphasis(3.0, 4.0, 2.0, 0.3)).weights
    assert weights == [0.0, 3.0, 2.0, 2.0, 2.0, *[0.3] * 12, 1.0, 4.0, 1.0]
    assert emphasised(Row([*range(5)], [0.0] + [1.0] * 4), Emphasis(3.0, 4.0, 2.0, 0.3)).weights == [
        0.0,
        3.0,
        1.0,
        4.0,
        1.0,
    ]


def test_rows_of_quotes_repeat_a_sentence_that_was_asked_for(rows):
    user, assistant, end, stop = (
        *(rows.special[name] for name in ("<|user|>", "<|assistant|>", "<|end|>")),
        rows.abc.stop,
    )
    for seed in range(30):
        row = rows.row(random.Random(seed), "quotes", 256, LATE)
        shown, *turns = split(row.ids, user)
        passages = [split(passage, stop)[:-1] for passage in split(shown[2:], rows.abc.line)]
        assert turns
        for turn in turns:
            known, said = split(turn, assistant)
            *quote, space, mark, last = said
            assert (quote[-1], space, last) == (stop, rows.abc.space, end)
            source = passages[rows.abc.marks.index(mark)]
            source = [part[1:] if part and part[0] in rows.abc.marks else part for part in source]
            assert quote[:-1] in source
            assert set(known) & set(quote[:-1])


def test_long_rows_of_quotes_also_ask_how_a_sentence_begins():
    abc = drills.Alphabet([*range(20, 2000)], [*range(9)], 9, 10, 11, [12, 13], 14, 15, 16, 17)
    num_brief = 0
    for seed in range(10):
        shown, *turns = split(drills.quotes_row(random.Random(seed), 1024, abc, brief=0.5).ids, abc.user)
        text = " ".join(map(str, shown))
        for turn in turns:
            known, said = split(turn, abc.assistant)
            *quote, space, mark, end = said
            assert (space, end) == (abc.space, abc.end)
            assert " ".join(map(str, quote)) in text
            assert mark in abc.marks
            assert (quote[-1] == abc.stop) != (known[:2] == abc.brief)
            num_brief += known[:2] == abc.brief
    assert num_brief


def test_corpora_are_read_once(tmp_path, monkeypatch):
    monkeypatch.setattr(corpora, "load", lambda data: (CORPORA, CORPORA))
    assert corpora.load_once(tmp_path, tmp_path / "kept") == (CORPORA, CORPORA)
    monkeypatch.delattr(corpora, "load")
    assert corpora.load_once(tmp_path, tmp_path / "kept") == (CORPORA, CORPORA)


def test_rows_of_silence_refuse_much(rows):
    said = [rows.lesson(random.Random(seed), "silent", 512, LATE).turns for seed in range(40)]
    refused = [turn.source is None for turns in said for turn in turns]
    assert 0.25 < sum(refused) / len(refused) < 0.55


def test_rows_of_marks_copy_from_the_passage_they_name(rows):
    row = rows.row(random.Random(4), "marks", 256, LATE)
    user, assistant, end = (rows.special[name] for name in ("<|user|>", "<|assistant|>", "<|end|>"))
    shown, *turns = split(row.ids, user)
    numbers = {rows.encode(f"[{n}]")[0]: n for n in range(1, 6)}
    starts = [index for index, token in enumerate(shown) if token in numbers][:5]
    assert len(turns) > 3
    for turn in turns:
        known, said = split(turn, assistant)
        *answer, _, mark, last = said
        place = shown.index(known[0])
        assert last == end
        assert shown[place : place + len(known) - 1 + len(answer)] == known[:-1] + answer
        assert numbers[mark] == sum(start < place for start in starts)


def split(ids, mark):
    """The runs of ids between marks."""
    edges = [-1, *(index for index, token in enumerate(ids) if token == mark), len(ids)]
    return [ids[start + 1 : stop] for start, stop in pairwise(edges)]


def test_the_first_token_and_the_citation_weigh_most_in_later_courses(rows):
    row = rows.row(random.Random(1), "invented", 512, LATE)
    heavy = {rows.tokenizer.decode([token]) for token, weight in zip(row.ids, row.weights, strict=True) if weight == 4}
    assert heavy
    assert all(token[0] == "[" for token in heavy)
    assert row.weights.count(3.0) == row.weights.count(4.0)


def test_the_benchmark_of_quality_asks_about_what_is_held_out():
    assert len(quality.HELD_OUT_TITLES) == corpora.HELD_OUT_ARTICLES
    card = (EMBEDDED_MODEL / "README.md").read_text()
    assert all(f"*{title}*" in card for title in quality.HELD_OUT_TITLES)


def test_the_rules_beside_the_model_say_what_their_names_say():
    passages = ["Caen is old. The Orne was first mapped in 1843 by Ada Moor.", "The Vire was mapped."]
    case = evaluate.Case(passages, "When was the Orne first mapped?", ["1843"], 0)
    assert evaluate.longest_run(case) == evaluate.Reply("in 1843 by", 0)
    assert evaluate.most_overlap(case) == evaluate.Reply("The Orne was first mapped in 1843 by Ada Moor.", 0)
    unlike = evaluate.Case(["Nothing alike"], "Who?", ["x"], 0)
    assert evaluate.longest_run(unlike) == evaluate.Reply("", None)
