"""Passages reach a model in the form its chat template takes, best first, and never beyond the budget."""

import pytest

from quire.errors import InvalidRequestError
from quire.models.embedded import EMBEDDED_MODEL
from quire.models.tokenizer import Tokenizer
from quire.rag.prompt import assemble_prompt, form_of, question_of
from tests.models.tiny_tokenizers import CHAT_TEMPLATE, byte_level
from tests.rag.chunks import CAEN, ORNE, VIRE, Chunk

QUESTION = [{"role": "user", "content": "When was the Orne mapped?"}]
NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system messages') }}{% endif %}"
    "{{ m.role }}: {{ m.content }}\n{% endfor %}"
)
THINKING = CHAT_TEMPLATE + "{% if enable_thinking is defined and not enable_thinking %}no thoughts{% endif %}"


@pytest.fixture(scope="module")
def tiny():
    return Tokenizer.from_directory(EMBEDDED_MODEL)


def plain(template: str) -> Tokenizer:
    return Tokenizer(byte_level(), chat_template=template)


def rendered(tokenizer, prompt) -> str:
    assert prompt.token_ids == tokenizer.apply_chat_template(prompt.messages, **prompt.template_kwargs)
    return tokenizer.decode(prompt.token_ids, skip_special_tokens=False)


def test_a_template_that_knows_documents_gets_documents(tiny):
    prompt = assemble_prompt(QUESTION, [ORNE, VIRE], tiny, max_tokens=500)
    assert rendered(tiny, prompt) == (
        f"<|system|>[1] {ORNE.text}\n[2] {VIRE.text}<|end|><|user|>When was the Orne mapped?<|end|><|assistant|>"
    )
    assert prompt.passages == [ORNE, VIRE]


def test_others_get_numbered_passages_before_the_conversation():
    tokenizer = plain(CHAT_TEMPLATE)
    messages = [{"role": "system", "content": "Be kind."}, *QUESTION]
    alone, told = (assemble_prompt(m, [ORNE, VIRE], tokenizer, max_tokens=2000) for m in (QUESTION, messages))
    assert alone.messages[0]["role"] == told.messages[0]["role"] == "system"
    assert alone.messages[0]["content"].endswith(f"[1] {ORNE.text}\n\n[2] {VIRE.text}")
    assert told.messages[0]["content"].startswith("Be kind.\n\n")
    assert alone.messages[1:] == told.messages[1:] == QUESTION
    assert "enable_thinking" not in alone.template_kwargs


def test_a_template_without_system_messages_gets_them_with_the_question():
    history = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]
    prompt = assemble_prompt([*history, *QUESTION], [CAEN], plain(NO_SYSTEM), max_tokens=2000)
    assert prompt.messages[:2] == history
    assert prompt.messages[2]["content"].endswith(f"[1] {CAEN.text}\n\nQuestion: When was the Orne mapped?")


def test_a_template_that_can_think_is_asked_not_to():
    tokenizer = plain(THINKING)
    assert form_of(tokenizer).template_kwargs == {"enable_thinking": False}
    assert rendered(tokenizer, assemble_prompt(QUESTION, [], tokenizer, max_tokens=2000)).endswith("no thoughts")


def test_what_the_caller_sets_of_the_template_goes_before_the_form():
    tokenizer = plain(THINKING)
    prompt = assemble_prompt(QUESTION, [], tokenizer, max_tokens=2000, template_kwargs={"enable_thinking": True})
    assert not tokenizer.decode(prompt.token_ids).endswith("no thoughts")


def test_the_template_of_a_request_goes_before_the_models(tiny):
    assert form_of(tiny).place == "documents"
    assert form_of(tiny, CHAT_TEMPLATE).place == "system"
    assert form_of(tiny, NO_SYSTEM).place == "user"


@pytest.mark.parametrize("template", [None, CHAT_TEMPLATE, NO_SYSTEM])
@pytest.mark.parametrize("max_tokens", [0, 150, 180, 230, 400, 1000])
def test_no_prompt_is_longer_than_its_budget_unless_the_question_is(tiny, template, max_tokens):
    passages = [ORNE, VIRE, CAEN] * 6
    bare, prompt = (
        assemble_prompt(QUESTION, given, tiny, max_tokens=max_tokens, template=template) for given in ([], passages)
    )
    assert len(prompt.token_ids) <= max(max_tokens, len(bare.token_ids))
    assert prompt.passages == passages[: len(prompt.passages)]
    if max_tokens == 1000:
        assert len(prompt.passages) == len(passages)


def test_the_last_passage_is_cut_between_words(tiny):
    long = Chunk("long", "1", "many words in a row " * 100)
    prompt = assemble_prompt(QUESTION, [ORNE, long, VIRE], tiny, max_tokens=200)
    shown = [document["text"] for document in prompt.template_kwargs["documents"]]
    assert shown[0] == ORNE.text
    assert 20 < len(shown[1].split()) < 200
    assert set(shown[1].split()) == {"many", "words", "in", "a", "row"}
    assert prompt.passages == [ORNE, long]


def test_the_question_is_what_the_user_said_last_whatever_tools_said_since():
    answered = [{"role": "assistant", "content": "I look."}, {"role": "tool", "content": "It is noon."}]
    earlier = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]
    messages = [*earlier, *QUESTION, *answered]
    assert question_of(messages) == "When was the Orne mapped?"
    prompt = assemble_prompt(messages, [CAEN], plain(NO_SYSTEM), max_tokens=2000)
    assert (prompt.messages[:2], prompt.messages[3:]) == (earlier, answered)
    assert prompt.messages[2]["content"].endswith(f"[1] {CAEN.text}\n\nQuestion: When was the Orne mapped?")


@pytest.mark.parametrize(
    "messages", [[], [{"role": "assistant", "content": "Hi."}], [{"role": "user", "content": " "}]]
)
def test_without_a_question_nothing_is_answered(tiny, messages):
    with pytest.raises(InvalidRequestError, match="a user's question"):
        assemble_prompt(messages, [ORNE], tiny, max_tokens=100)


def test_text_parts_of_a_question_are_its_text():
    parts = [{"type": "text", "text": "When"}, {"type": "text", "text": "was it?"}]
    assert question_of([{"role": "user", "content": parts}]) == "When\nwas it?"
