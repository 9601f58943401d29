"""The model that comes with the package: whole, small, and what its chat template says it is."""

import json

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from quire import LLM, SamplingParams
from quire.models.embedded import EMBEDDED_MODEL

TEXTS = [
    "Plain words, and a line\nbreak.",
    "Numbers: 2016, 3.14 and 1,000; a citation [2].",
    "code_names(x) -> `y`  with  spaces\t",
    "Größe, 東京, naïve – “quoted” 🙂",
]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(EMBEDDED_MODEL)


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(EMBEDDED_MODEL, dtype=torch.float32).eval()


def rendered(tokenizer, messages, **kwargs):
    return tokenizer.apply_chat_template(messages, tokenize=False, **kwargs)


def test_is_small_enough_to_be_carried():
    assert sum(file.stat().st_size for file in EMBEDDED_MODEL.iterdir()) < 12_000_000


def test_card_names_every_training_set_and_its_licence():
    card = (EMBEDDED_MODEL / "README.md").read_text(encoding="utf-8")
    for name in ("SQuAD", "WikiText", "PubMedQA", "documentation", "CC BY-SA 4.0", "CC BY-SA 3.0", "CC BY 4.0", "MIT"):
        assert name in card


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_survives_the_tokenizer(text):
    tokenizer = Tokenizer.from_file(str(EMBEDDED_MODEL / "tokenizer.json"))
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_a_citation_is_one_token_wherever_it_stands(tokenizer):
    number = tokenizer.convert_tokens_to_ids("[2]")
    for text in ("[2] first", "a span [2]", "line\n[2] next", "word[2]", "end.[2]"):
        assert number in tokenizer.encode(text), text


def test_documents_are_numbered_before_the_question(tokenizer):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}]
    documents = [{"text": "Ann did."}, {"text": "Bob did not."}]
    assert rendered(tokenizer, messages, documents=documents, add_generation_prompt=True) == (
        "<|system|>Be brief.\n[1] Ann did.\n[2] Bob did not.<|end|><|user|>Who?<|end|><|assistant|>"
    )


def test_template_without_documents_repeats_the_turns(tokenizer):
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    assert rendered(tokenizer, messages) == "<|user|>Hi<|end|><|assistant|>Hello.<|end|>"


def test_generation_ends_where_the_chat_template_ends_a_turn(tokenizer):
    generation = json.loads((EMBEDDED_MODEL / "generation_config.json").read_text(encoding="utf-8"))
    assert tokenizer.convert_tokens_to_ids("<|end|>") in generation["eos_token_id"]


def test_generates_in_transformers_and_greets(tokenizer, model):
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], add_generation_prompt=True, return_tensors="pt", return_dict=False
    )
    out = model.generate(ids, max_new_tokens=40, do_sample=False)
    assert tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).startswith("Hello")


def test_the_engine_generates_what_transformers_does(tokenizer, model):
    documents = [{"text": "The Orne was mapped in 1843 by Ada Moor."}, {"text": "The Vire is 128 km long."}]
    questions = ["When was the Orne mapped?", "How long is the Vire?", "Who was here?"]
    chats = [[{"role": "user", "content": question}] for question in questions]
    with LLM(EMBEDDED_MODEL, dtype="float32", show_progress=False) as llm:
        outputs = llm.chat(
            chats, SamplingParams(temperature=0, max_tokens=24), False, chat_template_kwargs={"documents": documents}
        )
    for chat, output in zip(chats, outputs, strict=True):
        ids = tokenizer.apply_chat_template(
            chat, documents=documents, add_generation_prompt=True, return_tensors="pt", return_dict=False
        )
        generated = model.generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :]
        assert output.prompt_token_ids == ids[0].tolist()
        assert output.outputs[0].text == tokenizer.decode(generated, skip_special_tokens=True)
