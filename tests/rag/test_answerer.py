"""An answer holds what was said, which passages it names, and where the time went; it streams as it is said."""

import pytest

from quire import LLM, Collection, SamplingParams
from quire.errors import InvalidRequestError, StorageError
from quire.models.embedded import EMBEDDED_MODEL
from quire.models.tokenizer import Tokenizer
from quire.rag.answerer import answer_stream, as_messages
from quire.rag.citations import CitationReader
from quire.rag.prompt import assemble_prompt
from tests.rag.chunks import CAEN, ORNE, VIRE


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_directory(EMBEDDED_MODEL)


def asked(tokenizer, question, said, max_prompt_tokens=500):
    """The stream of an answer that a model speaks in the pieces `said`, and what was searched and shown."""
    seen = []

    def retrieve(query):
        seen.append(query)
        return [ORNE, VIRE, CAEN]

    def generate(prompt):
        seen.append(prompt)
        yield from said

    messages = as_messages(question)
    return answer_stream(messages, retrieve, generate, tokenizer, max_prompt_tokens=max_prompt_tokens), seen


def test_an_answer_leads_to_its_sources(tokenizer):
    stream, seen = asked(tokenizer, "When was the Orne mapped?", ["in 18", "43 [", "1] or [8]", "."])
    assert "".join(stream) == "in 1843 [1] or."
    answer = stream.answer
    assert answer.text == "in 1843 [1] or."
    assert [(c.number, c.passage) for c in answer.citations] == [(1, ORNE)]
    assert answer.chunks == [ORNE, VIRE, CAEN]
    assert seen[0] == "When was the Orne mapped?"
    assert [document["text"] for document in seen[1].template_kwargs["documents"]] == [p.text for p in answer.chunks]


def test_times_are_those_of_its_parts(tokenizer):
    stream, _ = asked(tokenizer, "When?", ["now"])
    assert set(stream.answer.timings) == {"retrieve_s", "prompt_s"}
    list(stream)
    times = stream.answer.timings
    assert set(times) == {"retrieve_s", "prompt_s", "first_token_s", "generate_s", "total_s"}
    assert times["total_s"] == times["retrieve_s"] + times["prompt_s"] + times["generate_s"]


def test_the_last_question_of_a_conversation_is_searched_for(tokenizer):
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]
    stream, seen = asked(tokenizer, [*messages, {"role": "user", "content": "How long is the Vire?"}], ["128 km [2]"])
    assert "".join(stream) == "128 km [2]"
    assert seen[0] == "How long is the Vire?"


def test_only_passages_that_were_shown_can_be_named(tokenizer):
    stream, _ = asked(tokenizer, "When?", ["a [1] b [3]"], max_prompt_tokens=40)
    assert "".join(stream) == "a [1] b"
    assert len(stream.answer.chunks) < 3


def test_a_conversation_that_asks_nothing_is_refused_before_any_search(tokenizer):
    with pytest.raises(InvalidRequestError, match="question"):
        asked(tokenizer, [{"role": "assistant", "content": "Hi."}], [])


def test_a_stream_that_is_left_ends_the_generation(tokenizer):
    ended = []

    def generate(_):
        try:
            yield from ["one ", "two ", "three"]
        finally:
            ended.append(True)

    stream = answer_stream(as_messages("?"), lambda _: [ORNE], generate, tokenizer, max_prompt_tokens=500)
    for _ in stream:
        break
    assert ended == [True]
    assert stream.answer.text == "one"
    assert list(stream) == []


# ── with a model and a collection ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def rivers(tmp_path_factory):
    with Collection.open(tmp_path_factory.mktemp("quire") / "rivers", embedder=None) as collection:
        texts = {"orne": ORNE.text, "vire": VIRE.text, "caen": CAEN.text}
        collection.add([{"id": i, "text": t, "metadata": {"town": i == "caen"}} for i, t in texts.items()])
        yield collection


@pytest.fixture(scope="module")
def llm():
    with LLM(EMBEDDED_MODEL, num_threads=1, show_progress=False) as llm:
        yield llm


def test_a_model_answers_from_what_a_collection_finds(llm, rivers):
    question = "When was the Orne mapped?"
    params = SamplingParams(temperature=0, max_tokens=16)
    answer = llm.answer(question, collection=rivers, k=2, sampling_params=params)
    hits = rivers.search(question, k=2)
    prompt = assemble_prompt(as_messages(question), hits, llm.tokenizer, max_tokens=1000)
    (said,) = llm.generate(prompt.token_ids, params, use_tqdm=False)
    reader = CitationReader(hits)
    assert answer.text == reader.feed(said.outputs[0].text) + reader.finish()
    assert list(answer.citations) == reader.citations
    assert answer.chunks == hits
    assert {hit.document_id for hit in hits} == {"orne", "caen"}
    stream = llm.stream_answer(question, collection=rivers, k=2, sampling_params=params)
    assert "".join(stream) == answer.text


def test_the_search_can_be_told_how(llm, rivers):
    answer = llm.answer("Where is the Orne?", collection=rivers, filter={"town": True})
    assert [chunk.document_id for chunk in answer.chunks] == ["caen"]
    none = llm.answer("Where is the Orne?", collection=rivers, max_prompt_tokens=10)
    assert none.chunks == []
    assert none.citations == ()


def test_what_cannot_be_asked_is_refused(llm, rivers):
    with pytest.raises(InvalidRequestError, match="n is 2"):
        llm.answer("Where?", collection=rivers, sampling_params=SamplingParams(n=2))
    with pytest.raises(InvalidRequestError, match="user's question"):
        llm.answer([{"role": "assistant", "content": "Hello."}], collection=rivers)
    assert llm.stats().num_running == llm.stats().num_waiting == 0


def test_a_collection_may_be_named(rivers):
    with LLM(EMBEDDED_MODEL, num_threads=1, show_progress=False) as asked:
        for _ in range(2):
            answer = asked.answer("Where is the Orne?", collection=str(rivers.path), k=1)
            assert [chunk.document_id for chunk in answer.chunks] == ["caen"]
        named = asked._named(str(rivers.path))
        with pytest.raises(InvalidRequestError, match="nowhere"):
            asked.answer("Where?", collection=str(rivers.path / "nowhere"))
    with pytest.raises(StorageError):
        named.count()
