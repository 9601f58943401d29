"""The API as its own client meets it, and as evaluation harnesses do."""

import base64
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import torch
from transformers import AutoModelForCausalLM

from quire import LLM, SamplingParams, StructuredOutputs
from quire.protocol.openai import ChatCompletionRequest
from tests.server.serving import Running

PROMPT = "The library keeps what it has read."
MESSAGES: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}]
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 24, "extra_body": {"ignore_eos": True}}
PLAIN = {"prompt": PROMPT, "temperature": 0, "max_tokens": 12, "ignore_eos": True}


@pytest.fixture(scope="module")
def llm(model_path: Path) -> Iterator[LLM]:
    with LLM(model_path, num_threads=1, max_num_seqs=16, kv_cache_memory=32 << 20) as llm:
        yield llm


@pytest.fixture(scope="module")
def client(tiny: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{tiny.url}/v1", api_key="any", max_retries=0) as client:
        yield client


# ── with the client that people use ────────────────────────────────────────────────────────────────────────────────


def test_a_chat_says_what_the_library_says(client: openai.OpenAI, llm: LLM) -> None:
    answer = client.chat.completions.create(model="tiny", messages=MESSAGES, **GREEDY)
    params = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
    (expected,) = llm.chat(MESSAGES, params, use_tqdm=False)
    assert answer.choices[0].message.content == expected.outputs[0].text
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(expected.prompt_token_ids)
    assert (answer.usage.completion_tokens, answer.model) == (24, "tiny")


def test_a_stream_says_the_same_and_counts_its_tokens(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="alias", messages=MESSAGES, **GREEDY)
    stream = client.chat.completions.create(
        model="alias", messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **GREEDY
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["length"]
    assert whole.usage is not None
    assert [c.usage.completion_tokens for c in chunks if c.usage] == [24]
    assert chunks[-1].choices == []


def test_structured_output_has_the_form(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}, "n": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["ok", "n"],
        "additionalProperties": False,
    }
    form: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    answer = client.chat.completions.create(
        model="tiny", messages=MESSAGES, response_format=form, seed=3, max_tokens=200
    )
    assert re.fullmatch(
        r'\s*\{\s*"ok"\s*:\s*(true|false)\s*,\s*"n"\s*:\s*\d\s*\}\s*', answer.choices[0].message.content or ""
    )


def test_embeddings_in_both_encodings(client: openai.OpenAI, llm: LLM) -> None:
    texts = [PROMPT, "Another text."]
    numbers = client.embeddings.create(model="tiny", input=texts, encoding_format="float")
    packed = client.embeddings.create(model="tiny", input=texts)  # the client asks for base64 and unpacks it
    expected = [output.embedding for output in llm.embed(texts)]
    np.testing.assert_allclose([e.embedding for e in numbers.data], expected, atol=1e-5)
    np.testing.assert_allclose([e.embedding for e in packed.data], expected, atol=1e-5)
    assert [e.index for e in numbers.data] == [0, 1]
    assert numbers.usage.prompt_tokens == sum(len(llm.tokenizer.encode(text)) for text in texts)


def test_base64_is_little_endian_float32(tiny: Running) -> None:
    asked = {"input": PROMPT, "encoding_format": "base64"}
    raw = base64.b64decode(tiny.ask("/v1/embeddings", asked).json["data"][0]["embedding"])
    assert np.linalg.norm(np.frombuffer(raw, "<f4")) == pytest.approx(1, abs=1e-5)


def test_an_embedding_that_cannot_be_made_names_its_own_field(tiny: Running) -> None:
    assert tiny.ask("/v1/embeddings", {"input": ""}).error["param"] == "input"


def test_models_and_errors_as_the_client_knows_them(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny", "alias"]
    assert client.models.retrieve("alias").id == "alias"
    with pytest.raises(openai.NotFoundError, match="There is no model 'gpt-9' here; allowed: 'tiny', 'alias'"):
        client.chat.completions.create(model="gpt-9", messages=MESSAGES)
    with pytest.raises(openai.BadRequestError, match="shows no tools to it"):
        client.chat.completions.create(
            model="tiny", messages=MESSAGES, tools=[{"type": "function", "function": {"name": "f"}}]
        )


# ── completions ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_prompts_of_every_shape_in_their_order(tiny: Running, llm: LLM) -> None:
    ids = llm.tokenizer.encode(PROMPT)
    single = tiny.ask("/v1/completions", PLAIN).json["choices"][0]["text"]
    for prompt in (ids, [PROMPT], [ids]):
        assert tiny.ask("/v1/completions", {**PLAIN, "prompt": prompt}).json["choices"][0]["text"] == single
    many = tiny.ask("/v1/completions", {**PLAIN, "prompt": ["Other", PROMPT], "n": 2}).json
    assert [choice["index"] for choice in many["choices"]] == [0, 1, 2, 3]
    assert [choice["text"] == single for choice in many["choices"]] == [False, False, True, True]
    assert many["usage"]["completion_tokens"] == 4 * 12


@pytest.mark.parametrize("more", [{}, {"echo": True}, {"echo": True, "logprobs": 2}, {"logprobs": 0, "stop": ["e"]}])
def test_streamed_completions_join_to_the_whole_ones(tiny: Running, more: dict[str, Any]) -> None:
    asked = {**PLAIN, **more, "prompt": ["Ünïcode 😀 first", PROMPT], "n": 2, "temperature": 1, "seed": 5}
    whole = tiny.ask("/v1/completions", asked).json["choices"]
    events = tiny.events("/v1/completions", asked)
    for choice in whole:
        own = [c for event in events for c in event["choices"] if c["index"] == choice["index"]]
        assert "".join(c["text"] for c in own) == choice["text"]
        assert [c["finish_reason"] for c in own if c["finish_reason"]] == [choice["finish_reason"]]
        if choice["logprobs"]:
            for name, values in choice["logprobs"].items():
                assert [v for c in own if c["logprobs"] for v in c["logprobs"][name]] == values, name


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_echo_with_logprobs_scores_the_prompts_as_transformers_does(
    tiny: Running, llm: LLM, model_path: Path, max_tokens: int
) -> None:
    """lm-eval sends several prompts as token ids and asks for a token that it throws away."""
    texts = [PROMPT, "Another text."]
    prompts = [llm.tokenizer.encode(text) for text in texts]
    asked = {"model": "tiny", "prompt": prompts, "echo": True, "logprobs": 1, "temperature": 0, "seed": 1234}
    reply = tiny.ask("/v1/completions", {**asked, "max_tokens": max_tokens}).json
    assert reply["usage"]["completion_tokens"] == max_tokens * len(prompts)
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
    for choice, text, ids in zip(reply["choices"], texts, prompts, strict=True):
        found = choice["logprobs"]
        with torch.no_grad():
            logprobs_TV = model(torch.tensor([ids])).logits[0].log_softmax(1)
        expected = logprobs_TV[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()
        assert found["token_logprobs"][0] is None
        assert found["token_logprobs"][1 : len(ids)] == pytest.approx(expected, abs=1e-3)
        best = logprobs_TV.max(1).values[: len(ids) - 1 + max_tokens].tolist()
        assert [max(top.values()) for top in found["top_logprobs"][1:]] == pytest.approx(best, abs=1e-3)
        scores = zip(found["token_logprobs"][1 : len(ids)], found["top_logprobs"][1:], strict=False)
        is_greedy = (logprobs_TV.argmax(1)[:-1] == torch.tensor(ids[1:])).tolist()
        assert [score == max(top.values()) for score, top in scores] == is_greedy
        assert len(found["tokens"]) == len(ids) + max_tokens
        assert choice["text"].startswith(text)


def test_offsets_are_where_the_tokens_stand(tiny: Running, llm: LLM) -> None:
    readable = llm.tokenizer.encode("The quick brown fox jumps.")
    asked = {**PLAIN, "prompt": "naïve 😀 words", "echo": True, "logprobs": 0, "allowed_token_ids": readable}
    choice = tiny.ask("/v1/completions", asked).json["choices"][0]
    logprobs = choice["logprobs"]
    assert logprobs["text_offset"] == sorted(logprobs["text_offset"])
    for token, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
        if not token.startswith(("bytes:", "<|")):
            assert choice["text"].startswith(token, offset)


def test_chat_logprobs_have_bytes_that_make_the_text(tiny: Running) -> None:
    asked = {"messages": MESSAGES, "max_tokens": 12, "temperature": 0, "logprobs": True, "top_logprobs": 3}
    asked |= {"ignore_eos": True, "skip_special_tokens": False}
    choice = tiny.ask("/v1/chat/completions", asked).json["choices"][0]
    entries = choice["logprobs"]["content"]
    joined = b"".join(bytes(entry["bytes"]) for entry in entries).decode(errors="replace")
    assert joined == choice["message"]["content"]
    for entry in entries:
        assert entry["logprob"] == entry["top_logprobs"][0]["logprob"]  # greedy
        assert len(entry["top_logprobs"]) == 3


# ── every parameter is felt ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "more",
    [
        {"n": 2, "seed": 1},
        {"temperature": 0.7, "top_p": 0.5, "top_k": 5, "min_p": 0.1, "seed": 11},
        {"presence_penalty": 1.5},
        {"frequency_penalty": 2.0},
        {"repetition_penalty": 5.0},
        {"logit_bias": {"40": 100}},
        {"stop": "I"},
        {"stop": ["x", "I"], "include_stop_str_in_output": True},
        {"stop_token_ids": [40], "logit_bias": {"40": 100}},
        {"stop_token_ids": [40], "logit_bias": {"40": 100}, "min_tokens": 3},
        {"bad_words": ["I", "d"]},
        {"allowed_token_ids": [40, 41, 42]},
        {"skip_special_tokens": False, "logit_bias": {"4": 100}},
        {"guided_regex": "[0-9]{4}"},
        {"guided_choice": ["yes", "no"]},
        {"structured_outputs": {"choice": ["left", "right"]}},
        {"response_format": {"type": "json_object"}, "max_tokens": 40},
        {"max_tokens": 3},
    ],
    ids=lambda more: next(iter(more)),
)
def test_each_parameter_reaches_the_sampler(tiny: Running, llm: LLM, more: dict[str, Any]) -> None:
    """The library's own answer to the same parameters is the oracle; a plain answer differs from it."""
    reply = tiny.ask("/v1/completions", {**PLAIN, **more}).json
    fields = {"temperature": 0, "max_tokens": 12, "ignore_eos": True, **more}
    forms = {"guided_regex": "regex", "guided_choice": "choice"}
    for name in [name for name in fields if name in forms]:
        fields["structured_outputs"] = StructuredOutputs(**{forms[name]: fields.pop(name)})
    if isinstance(fields.get("structured_outputs"), dict):
        fields["structured_outputs"] = StructuredOutputs(**fields["structured_outputs"])
    if fields.pop("response_format", None):
        fields["structured_outputs"] = StructuredOutputs(json_object=True)
    if "logit_bias" in fields:
        fields["logit_bias"] = {int(key): bias for key, bias in fields["logit_bias"].items()}
    (expected,) = llm.generate(PROMPT, SamplingParams(**fields), use_tqdm=False)
    assert [c["text"] for c in reply["choices"]] == [c.text for c in expected.outputs]
    assert [c["finish_reason"] for c in reply["choices"]] == [str(c.finish_reason) for c in expected.outputs]
    assert [c["stop_reason"] for c in reply["choices"]] == [c.stop_reason for c in expected.outputs]
    plain = tiny.ask("/v1/completions", PLAIN).json["choices"]
    assert [c["text"] for c in plain] != [c["text"] for c in reply["choices"]]


def test_prompt_logprobs_and_token_ids_in_vllms_form(tiny: Running, llm: LLM) -> None:
    asked = {**PLAIN, "max_tokens": 2, "prompt_logprobs": 1, "return_token_ids": True, "logprobs": 0}
    choice = tiny.ask("/v1/completions", {**asked, "return_tokens_as_token_ids": True}).json["choices"][0]
    ids = llm.tokenizer.encode(PROMPT)
    params = SamplingParams(temperature=0, max_tokens=2, ignore_eos=True, prompt_logprobs=1)
    (expected,) = llm.generate(PROMPT, params, use_tqdm=False)
    assert choice["prompt_token_ids"] == ids
    assert choice["token_ids"] == expected.outputs[0].token_ids
    assert choice["logprobs"]["tokens"] == [f"token_id:{i}" for i in choice["token_ids"]]
    first, *others = choice["prompt_logprobs"]
    assert first is None
    for token_id, entry, scores in zip(ids[1:], others, expected.prompt_logprobs[1:], strict=True):
        assert entry[str(token_id)]["logprob"] == pytest.approx(scores.logprob, abs=1e-5)
        assert entry[str(token_id)]["rank"] == scores.rank
        assert {int(key) for key in entry} == {token_id, scores.top[0][0]}


def test_every_field_of_the_sampling_parameters_has_a_name_in_the_api() -> None:
    fields = {f.name for f in dataclasses.fields(SamplingParams) if f.init}
    assert fields <= ChatCompletionRequest.model_fields.keys()


# ── tokens ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_tokenize_and_back(tiny: Running, llm: LLM) -> None:
    reply = tiny.ask("/tokenize", {"prompt": "naïve 😀", "return_token_strs": True}).json
    assert reply["tokens"] == llm.tokenizer.encode("naïve 😀")
    assert reply["count"] == len(reply["tokens"]) == len(reply["token_strs"])
    assert tiny.ask("/detokenize", {"tokens": reply["tokens"]}).json == {"prompt": "naïve 😀"}
    strange = tiny.ask("/detokenize", {"tokens": [5, 999_999]})
    allowed = f"allowed: token ids from 0 to {llm.tokenizer.vocab_size - 1}."
    assert (strange.status, strange.error["message"]) == (400, f"tokens[1] is 999999; {allowed}")
    chat = tiny.ask("/tokenize", {"messages": MESSAGES}).json
    assert chat["tokens"] == llm.tokenizer.apply_chat_template(MESSAGES)
    parts = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": PROMPT}]},
    ]
    assert tiny.ask("/tokenize", {"messages": parts}).json["tokens"] == chat["tokens"]


def test_a_template_of_the_request_takes_its_variables(tiny: Running, llm: LLM) -> None:
    template = "{{ messages[0].content }} {{ mood }}"
    asked = {"messages": [{"role": "user", "content": "Hi"}], "chat_template": template}
    reply = tiny.ask("/tokenize", {**asked, "chat_template_kwargs": {"mood": "good"}}).json
    assert llm.tokenizer.decode(reply["tokens"]) == "Hi good"
    refused = tiny.ask("/tokenize", {**asked, "chat_template_kwargs": {"messages": []}})
    assert (refused.status, refused.error["param"]) == (400, "chat_template_kwargs")


def test_the_openapi_document_knows_every_request(tiny: Running) -> None:
    document = tiny.ask("/openapi.json").json
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        if "post" in methods:
            schema = methods["post"]["requestBody"]["content"]["application/json"]["schema"]
            assert schemas[schema["$ref"].rsplit("/", 1)[1]]["properties"], path
