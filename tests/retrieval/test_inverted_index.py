"""InvertedIndex against BM25 worked out document by document (tests/reference/bm25.py)."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from quire import _native
from quire.errors import ConfigError, CorruptIndexError, InvalidRequestError
from quire.retrieval.analyzer import Analyzer
from quire.retrieval.inverted_index import InvertedIndex
from tests.reference import bm25

VARIANTS = ["lucene", "robertson", "atire", "bm25+", "bm25l"]
DELTAS = {"bm25+": 1.0, "bm25l": 0.5}


def zipf_documents(count: int, seed: int = 0) -> dict[int, list[str]]:
    """Long and short ones over a vocabulary in which few words are in almost every document."""
    rng = np.random.default_rng(seed)
    return {key: [f"w{rank}" for rank in rng.zipf(1.3, rng.integers(1, 60)).clip(max=3000)] for key in range(count)}


def expect(index: InvertedIndex, documents, query, k, variant="lucene", allowed=None) -> None:
    """The same scores as the oracle, and each id with its own."""
    every = bm25.scores(documents, query, variant, 1.5, 0.75, DELTAS.get(variant, 0.0))
    every = {key: score for key, score in every.items() if score > 0 and (allowed is None or key in allowed)}
    ids, scores = index.search(query, k, filter=allowed)
    np.testing.assert_allclose(scores, sorted(every.values(), reverse=True)[:k], rtol=1e-5)
    np.testing.assert_allclose(scores, [every[key] for key in ids.tolist()], rtol=1e-5)
    assert len(set(ids.tolist())) == len(ids)
    for key in ids[:2].tolist():
        assert index.score(query, key) == pytest.approx(every[key], rel=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_best_documents_with_the_formula_s_scores(variant) -> None:
    documents, rng = zipf_documents(9_000), np.random.default_rng(1)
    index = InvertedIndex(variant)
    index.add(list(documents), documents.values())
    index.check_invariants()
    for _ in range(12):
        query = [f"w{rank}" for rank in rng.zipf(1.3, rng.integers(1, 8)).clip(max=3000)]
        expect(index, documents, query, int(rng.integers(1, 30)), variant)


@pytest.fixture(params=["portable", "avx2", "avx512"])
def every_isa(request) -> Iterator[None]:
    before = _native.isa()
    if not _native.set_isa(request.param):
        pytest.xfail(f"this machine has no {request.param}")
    yield
    _native.set_isa(before)


@pytest.mark.usefixtures("every_isa")
def test_every_kernel_gives_the_same_answers() -> None:
    """Also for frequencies of every width that a block may have, and gaps of many."""
    documents, rng = zipf_documents(9_000), np.random.default_rng(5)
    for width in range(15):
        first = width * 600
        documents |= {first + i: ["many"] * int(rng.integers(1, 2**width + 1)) for i in range(40)}
    index = InvertedIndex()
    index.add(list(documents), documents.values())
    index.check_invariants()
    for query in (["w1", "w2", "w3"], ["many", "w1"], ["w1", "w5", "w30", "w200", "w1000"], ["w900"]):
        expect(index, documents, query, 10)
        expect(index, documents, query, 5_000)


def test_two_documents_by_hand() -> None:
    index = InvertedIndex(analyzer=Analyzer(None))
    index.add([1, 2], ["cat cat dog", "dog"])
    ids, scores = index.search("cat")
    assert ids.tolist() == [1]
    assert scores[0] == pytest.approx(np.log(2) * 2 / (2 + 1.5 * (0.25 + 0.75 * 3 / 2)))
    assert (index.document_frequency("dog"), index.term_frequency("cat", 1), index.length(1)) == (2, 2, 3)
    assert index.score("cat", 2) == 0


def test_a_word_said_twice_counts_twice() -> None:
    index = InvertedIndex()
    index.add([1, 2], ["red fish", "blue bird"])
    assert index.search("fish fish")[1][0] == pytest.approx(2 * index.search("fish")[1][0])


def test_equal_scores_come_in_the_order_of_addition() -> None:
    index = InvertedIndex()
    index.add(range(20, 0, -1), ["same words"] * 20)
    assert index.search("same", 5)[0].tolist() == [20, 19, 18, 17, 16]


def test_filters() -> None:
    documents = zipf_documents(6_000)
    index = InvertedIndex()
    index.add(list(documents), documents.values())
    for share in (0.001, 0.1, 0.9):
        flags = np.random.default_rng(3).random(len(documents)) < share
        allowed = set(np.flatnonzero(flags).tolist())
        expect(index, documents, ["w1", "w40", "w300"], 10, allowed=allowed)
        assert (
            index.search(["w1", "w40"], filter=flags)[0].tolist()
            == index.search(["w1", "w40"], filter=list(allowed))[0].tolist()
        )
    assert index.search(["w1"], filter=[])[0].tolist() == []
    assert index.search(["w1"], filter=[-3, 10**15])[0].tolist() == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_phrases_are_found_where_their_words_follow_one_another(variant) -> None:
    rng = np.random.default_rng(2)
    documents = {key: rng.choice([*"aaabbcdef"], rng.integers(1, 80)).tolist() for key in range(700)}
    index = InvertedIndex(variant, positions=True)
    index.add(list(documents), documents.values())
    index.check_invariants()
    with_gaps = ["a", None, "b"], [None, "a", "c", None]
    for phrase in (["a", "b"], ["a", "a"], ["c", "d", "e"], ["f"], ["a", "b", "a", "b", "c"], *with_gaps):
        every = bm25.phrase_scores(documents, phrase, variant, 1.5, 0.75, DELTAS.get(variant, 0.0))
        every = {key: score for key, score in every.items() if score > 0}
        for k in (3, 1000):
            ids, scores = index.search_phrase(phrase, k)
            np.testing.assert_allclose(scores, sorted(every.values(), reverse=True)[:k], rtol=1e-5)
            np.testing.assert_allclose(scores, [every[key] for key in ids.tolist()], rtol=1e-5)
    odd = index.search_phrase(["a", "b"], 1000, filter=np.arange(700) % 2 == 1)[0]
    assert sorted(odd.tolist()) == sorted(key for key in index.search_phrase(["a", "b"], 1000)[0].tolist() if key % 2)


def test_a_stop_word_in_a_phrase_stands_for_any_word(tmp_path: Path) -> None:
    index = InvertedIndex(positions=True)
    index.add([1, 2, 3, 4], ["The King of Spain", "King Spain", "a king in Spain!", "Spain's king of Spain"])
    index.save(tmp_path / "index")
    for either in (index, InvertedIndex.load(tmp_path / "index")):
        assert sorted(either.search_phrase("king of Spain")[0].tolist()) == [1, 3, 4]
        assert either.search_phrase("King Spain")[0].tolist() == [2]
        assert sorted(either.search_phrase("the king")[0].tolist()) == [1, 2, 3, 4]
        for nothing in ("", "of the", "spain spain", "king absent"):
            assert either.search_phrase(nothing)[0].tolist() == []
        either.delete([3])
        either.compact()
        either.check_invariants()
        assert sorted(either.search_phrase("king of Spain")[0].tolist()) == [1, 4]
        either.update([2], ["One king over Spain"])
        assert sorted(either.search_phrase("king of Spain")[0].tolist()) == [1, 2, 4]
    assert index.stats().position_bytes > 0
    with pytest.raises(InvalidRequestError, match="positions=True"):
        InvertedIndex().search_phrase("king of Spain")


def test_nothing_to_find() -> None:
    index = InvertedIndex()
    assert index.search("anything")[0].shape == (0,)
    index.add([1], ["some text"])
    for query in ("", "the of and", "…!?", "absent", []):
        assert index.search(query)[0].tolist() == []
    assert index.document_frequency("absent") == 0


def test_empty_documents_are_kept_and_never_found() -> None:
    index = InvertedIndex()
    index.add([1, 2, 3], ["", "the", "word"])
    assert index.ids().tolist() == [1, 2, 3]
    assert index.search("word")[0].tolist() == [3]
    index.check_invariants()


class Machine(RuleBasedStateMachine):
    """Any sequence of changes; compacted before asking, statistics are those of the living."""

    words = st.lists(st.sampled_from("abcdefgh"), max_size=12)

    @initialize(variant=st.sampled_from(VARIANTS))
    def start(self, variant) -> None:
        self.index, self.documents, self.variant = InvertedIndex(variant, positions=True), {}, variant

    @rule(documents=st.dictionaries(st.integers(0, 40), words, max_size=10))
    def put(self, documents) -> None:
        known = {key: terms for key, terms in documents.items() if key in self.documents}
        new = {key: terms for key, terms in documents.items() if key not in self.documents}
        self.index.update(list(known), known.values())
        self.index.add(list(new), new.values())
        self.documents.update(documents)

    @rule(keys=st.sets(st.integers(0, 40), max_size=10))
    def delete(self, keys) -> None:
        known = keys & self.documents.keys()
        self.index.delete(sorted(known))
        for key in known:
            del self.documents[key]

    @rule(query=words, k=st.integers(1, 50))
    def search(self, query, k) -> None:
        found = set(self.index.search(query, k)[0].tolist())
        assert found <= {key for key, terms in self.documents.items() if set(query) & set(terms)}
        self.index.compact()
        expect(self.index, self.documents, query, k, self.variant)

    @rule(phrase=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3))
    def search_phrase(self, phrase) -> None:
        self.index.compact()
        holding = bm25.phrase_frequencies(self.documents, phrase).keys()
        found = set(self.index.search_phrase(phrase, 50)[0].tolist())
        may_weigh_nothing = self.variant in ("robertson", "atire")
        assert found == holding or (may_weigh_nothing and found <= holding)

    @rule()
    def save_and_load(self) -> None:
        with TemporaryDirectory() as folder:
            self.index.save(f"{folder}/index")
            self.index = InvertedIndex.load(f"{folder}/index")

    @invariant()
    def holds(self) -> None:
        self.index.check_invariants()
        assert sorted(self.index.ids().tolist()) == sorted(self.documents)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)


@settings(deadline=None)
@given(st.lists(st.text(max_size=60), max_size=20))
def test_any_text_can_be_indexed_and_found_by_its_words(texts) -> None:
    index = InvertedIndex(analyzer=Analyzer(None, stop_words=[]))
    try:
        index.add(range(len(texts)), texts)
    except UnicodeEncodeError:
        return
    index.check_invariants()
    for key, text in enumerate(texts):
        for term in index.terms(text)[:3]:
            assert key in index.search([term], 100)[0].tolist()


def saved(folder: Path) -> tuple[Path, InvertedIndex, dict[int, list[str]]]:
    documents, index = zipf_documents(3_000), InvertedIndex()
    index.add(list(documents), documents.values())
    index.delete([3, 4])
    index.save(folder / "index")
    return folder / "index", index, documents


def test_a_saved_index_answers_as_before_and_can_change(tmp_path: Path) -> None:
    path, index, documents = saved(tmp_path)
    InvertedIndex.verify(path)
    loaded, bytes_before = InvertedIndex.load(path), path.read_bytes()
    assert loaded.stats().mapped_bytes == len(bytes_before)
    assert loaded.ids().tolist() == index.ids().tolist()
    for either in (loaded, index):
        assert either.search(["w1", "w9"], 20)[0].tolist() == index.search(["w1", "w9"], 20)[0].tolist()
        either.add([10_000], [["w1", "new"]])
        either.update([7], [["w9"] * 5])
        either.delete([8])
        either.compact()
        either.check_invariants()
    documents |= {10_000: ["w1", "new"], 7: ["w9"] * 5}
    living = {key: terms for key, terms in documents.items() if key not in (3, 4, 8)}
    for either in (loaded, index):
        expect(either, living, ["w1", "w9", "new"], 20)
    assert path.read_bytes() == bytes_before
    loaded.save(path)
    InvertedIndex.verify(path)
    expect(InvertedIndex.load(path), living, ["w1", "w9", "new"], 20)
    assert [entry.name for entry in tmp_path.iterdir()] == ["index"]


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    path, _, _ = saved(tmp_path)
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 300).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises(CorruptIndexError, match="rebuild the index"):
            InvertedIndex.verify(path)
        with suppress(CorruptIndexError):
            InvertedIndex.load(path).search(["w1", "w2", "w40"], 3000)


@pytest.mark.parametrize("size", [0, 10, 4095, 4096, 100_000])
def test_a_file_cut_short_is_refused(tmp_path: Path, size) -> None:
    path, _, _ = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    for read in (InvertedIndex.load, InvertedIndex.verify):
        with pytest.raises(CorruptIndexError, match="index"):
            read(path)


def test_files_that_are_not_there_or_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        InvertedIndex.load(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        InvertedIndex().save(tmp_path / "no" / "folder")
    (tmp_path / "text").write_text("hello " * 1000)
    with pytest.raises(CorruptIndexError, match="not an inverted index"):
        InvertedIndex.load(tmp_path / "text")


def test_a_saved_index_knows_its_analyzer_and_knobs(tmp_path: Path) -> None:
    index = InvertedIndex("bm25+", k1=0.9, delta=0.7, analyzer=Analyzer("german"))
    index.add([1, 2], ["die Häuser", "das Haus und der Hof"])
    index.save(tmp_path / "german")
    loaded = InvertedIndex.load(tmp_path / "german")
    loaded.add([3], ["Hauses"])
    index.add([3], ["Hauses"])
    assert loaded.terms("Häuser") == index.terms("Häuser")
    assert loaded.score("Haus", 3) == index.score("Haus", 3) > 0
    with pytest.raises(ConfigError, match=r'analyzer is .*english.* was written with .*"german"'):
        InvertedIndex.load(tmp_path / "german", analyzer=Analyzer())

    own = InvertedIndex(analyzer=Analyzer(None, stem=str.upper))
    own.add([1], ["word"])
    own.save(tmp_path / "own")
    with pytest.raises(ConfigError, match=r"str\.upper.*give it as analyzer="):
        InvertedIndex.load(tmp_path / "own")
    assert InvertedIndex.load(tmp_path / "own", analyzer=Analyzer(None, stem=str.upper)).search(["WORD"])[0] == [1]


def test_readers_search_while_a_writer_adds_and_deletes() -> None:
    documents, index, failures, is_done = zipf_documents(2_000), InvertedIndex(), [], threading.Event()
    index.add(list(documents)[:1000], list(documents.values())[:1000])

    def read() -> None:
        while not is_done.is_set():
            ids, scores = index.search(["w1", "w7"], 50)
            if len(ids) != 50 or (np.diff(scores) > 0).any():
                failures.append(ids)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(5):
        index.add(list(documents)[1000:], list(documents.values())[1000:])
        index.delete(list(documents)[1000:])
    is_done.set()
    for reader in readers:
        reader.join()
    index.check_invariants()
    assert failures == []


def test_an_analyzer_that_fails_leaves_nothing_behind() -> None:
    def stem(word: str) -> str:
        if word == "bad":
            raise RuntimeError("no stem")
        return word

    index = InvertedIndex(analyzer=Analyzer(None, stem=stem))
    with pytest.raises(RuntimeError, match="no stem"):
        index.add(range(600), [*["fine words"] * 599, "bad"])
    assert index.ids().tolist() == []
    index.add([1], ["fine again"])
    assert index.search("fine")[0].tolist() == [1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda i: i.add([1], ["again"]), "id 1 is in this index already"),
        (lambda i: i.add([2, 2], ["a", "b"]), "id 2 is given twice"),
        (lambda i: i.add([2], ["a", "b"]), "2 documents and 1 ids"),
        (lambda i: i.add([2], "text"), "the single text 'text'"),
        (lambda i: i.add([2, 3], ["text", ["terms"]]), "texts mixes"),
        (lambda i: i.add([2, 3], [["terms"], "text"]), "texts mixes"),
        (lambda i: i.document_frequency("two words"), "'two words' is 2 terms"),
        (lambda i: i.add([0.5], ["text"]), "ids is"),
        (lambda i: i.update([2], ["text"]), "id 2 is not in this index"),
        (lambda i: i.delete([2]), "id 2 is not in this index"),
        (lambda i: i.search("x", 0), "k is 0"),
        (lambda i: i.score("x", 2), "id 2 is not in this index"),
        (lambda i: i.search([1, 2]), "of type int"),
    ],
)
def test_wrong_input_is_named_and_changes_nothing(call, message) -> None:
    index = InvertedIndex()
    index.add([1], ["text"])
    with pytest.raises(InvalidRequestError) as caught:
        call(index)
    assert message in str(caught.value)
    assert index.ids().tolist() == [1]
    index.check_invariants()


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"variant": "lucen"}, "Did you mean 'lucene'?"),
        ({"k1": -1}, "k1 is -1"),
        ({"b": float("nan")}, "b is nan"),
        ({"delta": 1.0}, "lucene has none"),
    ],
)
def test_wrong_knobs_are_named(knobs, message) -> None:
    with pytest.raises(ConfigError) as caught:
        InvertedIndex(**knobs)
    assert message in str(caught.value)
