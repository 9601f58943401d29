"""`LLM` as a user meets it: text in, text out, every parameter felt, every mistake answered in words."""

import json
import re
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from quire import LLM, SamplingParams, StructuredOutputs
from quire.bench.machine.resources import resident_bytes
from quire.errors import CapacityError, ConfigError, EngineClosedError, InvalidRequestError, ModelLoadError, QuireError
from quire.parallel.group import TorchGroup
from tests.models.tiny import write_tiny
from tests.models.tiny_tokenizers import write_tiny_tokenizer

PROMPT = "The library keeps what it has read."
GREEDY = SamplingParams(temperature=0, max_tokens=24)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    write_tiny(path, "qwen3", seed=2)
    write_tiny_tokenizer(path)
    return path


@pytest.fixture(scope="module")
def llm(path: Path):
    with LLM(path, num_threads=1, max_num_seqs=16) as llm:
        yield llm


def one(llm: LLM, prompt=PROMPT, **fields):
    params = SamplingParams(**{"temperature": 0, "max_tokens": 24, "ignore_eos": True, **fields})
    return llm.generate(prompt, params, use_tqdm=False)[0].outputs[0]


# ── asking ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_shapes_of_prompts_mean_the_same(llm: LLM) -> None:
    ids = llm.tokenizer.encode(PROMPT)
    shapes = [PROMPT, ids, np.array(ids), {"prompt": PROMPT}, {"prompt_token_ids": ids}]
    alone = [llm.generate(shape, GREEDY, use_tqdm=False)[0] for shape in (PROMPT, ids, {"prompt": PROMPT})]
    together = llm.generate(shapes, GREEDY, use_tqdm=False)
    texts = {output.outputs[0].text for output in alone + together}
    assert len(texts) == 1
    assert together[0].prompt == PROMPT
    assert all(output.prompt_token_ids == ids for output in together)
    assert llm.generate([], GREEDY) == []


def test_text_is_what_the_tokens_say(llm: LLM) -> None:
    completion = one(llm)
    assert completion.text == llm.tokenizer.decode(completion.token_ids)


def test_one_params_for_all_or_one_for_each(llm: LLM) -> None:
    params = [SamplingParams(temperature=0, max_tokens=n, ignore_eos=True) for n in (1, 3)]
    outputs = llm.generate([PROMPT, PROMPT], params, use_tqdm=False)
    assert [len(o.outputs[0].token_ids) for o in outputs] == [1, 3]
    with pytest.raises(InvalidRequestError, match="2 sampling_params for 3 prompts"):
        llm.generate([PROMPT] * 3, params)


def test_a_text_that_is_chatted_with_is_what_a_user_says(llm: LLM) -> None:
    said = llm.chat([{"role": "user", "content": "hi"}], SamplingParams(max_tokens=2, temperature=0))
    assert llm.chat("hi", SamplingParams(max_tokens=2, temperature=0))[0].prompt_token_ids == said[0].prompt_token_ids


@pytest.mark.parametrize("messages", [["hi"], [{"rol": "user"}], {"role": "user", "content": "hi"}])
def test_what_is_no_conversation_is_refused(llm: LLM, messages) -> None:
    with pytest.raises(InvalidRequestError, match="messages"):
        llm.chat(messages)


@pytest.mark.parametrize("arguments", [(None,), (3,), ("hi", {"max_tokens": 3})])
def test_what_is_no_prompt_or_no_sampling_params_is_refused(llm: LLM, arguments) -> None:
    with pytest.raises(InvalidRequestError, match="allowed"):
        llm.generate(*arguments)


def test_streams_can_be_read_side_by_side(llm: LLM) -> None:
    whole = [one(llm, prompt).text for prompt in (PROMPT, PROMPT[::-1])]
    params = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
    streams = [llm.stream(prompt, params) for prompt in (PROMPT, PROMPT[::-1])]
    texts = ["", ""]
    for pair in zip(*streams, strict=True):
        for i, output in enumerate(pair):
            texts[i] += output.outputs[0].text
    assert texts == whole


def test_a_stream_left_early_leaves_nothing_behind(llm: LLM) -> None:
    stream = llm.stream(PROMPT, SamplingParams(max_tokens=None, ignore_eos=True))
    next(stream)
    assert llm.stats().num_running == 1
    stream.close()
    assert llm.stats().num_running == 0
    assert llm.stats().num_free_blocks == llm.stats().num_blocks


def test_threads_share_one_engine(llm: LLM) -> None:
    prompts = [f"{i} {PROMPT}" for i in range(6)]
    expected = [one(llm, prompt).text for prompt in prompts]
    got: dict[int, str] = {}

    def ask(i: int) -> None:
        got[i] = one(llm, prompts[i]).text

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [got[i] for i in range(6)] == expected


def test_prompts_held_back_for_company_are_joined_by_those_of_other_threads(path: Path) -> None:
    with LLM(path, num_threads=1, max_num_seqs=2, max_wait_ms=60_000) as llm:
        got: list[str] = []
        threads = [threading.Thread(target=lambda: got.append(one(llm).text), daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(55)
        assert len(got) == 2, "two fill the batch: nobody has to wait for the minute to pass"


def test_chat_is_the_template_and_then_generate(llm: LLM) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a quire?"}]
    ids = llm.tokenizer.apply_chat_template(messages)
    answered = llm.chat(messages, GREEDY, use_tqdm=False)
    assert answered[0].prompt_token_ids == ids
    assert answered[0].outputs[0].text == one(llm, {"prompt_token_ids": ids}, ignore_eos=False).text
    assert len(llm.chat([messages, messages[1:]], GREEDY, use_tqdm=False)) == 2


def test_a_chat_template_of_ones_own_as_text_or_file(path: Path, tmp_path: Path) -> None:
    template = "{% for m in messages %}<<{{ m.content }}>>{% endfor %}"
    (tmp_path / "mine.jinja").write_text(template)
    messages = [{"role": "user", "content": "Hi"}]
    for given in (template, str(tmp_path / "mine.jinja")):
        with LLM(path, num_threads=1, chat_template=given) as llm:
            ids = llm.chat(messages, SamplingParams(max_tokens=1), use_tqdm=False)[0].prompt_token_ids
            assert llm.tokenizer.decode(ids) == "<<Hi>>"
    with pytest.raises(ConfigError, match="chat_template is 'nowhere', neither Jinja text nor a file"):
        LLM(path, chat_template="nowhere")


def test_embeddings_are_the_last_hidden_state(llm: LLM, path: Path) -> None:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(path, dtype=torch.float32).eval()
    texts = [PROMPT, "Short.", PROMPT + " " + PROMPT]
    for text, output in zip(texts, llm.embed(texts), strict=True):
        with torch.inference_mode():
            hidden = model(torch.tensor([llm.tokenizer.encode(text)])).last_hidden_state[0, -1]
        expected = torch.nn.functional.normalize(hidden, dim=0).numpy()
        np.testing.assert_allclose(output.embedding, expected, atol=1e-5)


# ── every parameter is felt ────────────────────────────────────────────────────────────────────────────────────────


def test_stop_strings(llm: LLM) -> None:
    text = one(llm).text
    stop = text[10:13]
    completion = one(llm, stop=["never in the text", stop])
    assert completion.text == text[: text.index(stop)]
    assert (completion.finish_reason, completion.stop_reason) == ("stop", stop)
    assert one(llm, stop=stop, include_stop_str_in_output=True).text == text[: text.index(stop) + 3]


def test_min_tokens_outlasts_a_stop_string(llm: LLM) -> None:
    text = one(llm).text
    completion = one(llm, stop=text[:2], min_tokens=6)
    assert len(completion.token_ids) >= 6


def test_stop_token_ids_are_left_out_of_the_text(llm: LLM) -> None:
    tokens = one(llm).token_ids
    completion = one(llm, stop_token_ids=[tokens[5]])
    end = tokens.index(tokens[5])
    assert completion.token_ids == tokens[: end + 1]
    assert completion.text == llm.tokenizer.decode(tokens[:end])
    kept = one(llm, stop_token_ids=[tokens[5]], include_stop_str_in_output=True)
    assert kept.text == llm.tokenizer.decode(tokens[: end + 1])


def test_special_tokens_can_be_shown(llm: LLM) -> None:
    eos = next(iter(llm.tokenizer.eos_token_ids))
    forced = {"logit_bias": {eos: 100.0}, "max_tokens": 2}
    assert one(llm, **forced).text == ""
    assert one(llm, **forced, skip_special_tokens=False).text != ""


def test_seeds(llm: LLM) -> None:
    drawn = {"temperature": 1.0, "seed": 7}
    alone = one(llm, **drawn)
    others = [SamplingParams(seed=i, max_tokens=24, ignore_eos=True) for i in range(12)]
    crowd = llm.generate(
        [f"{i} {PROMPT}" for i in range(12)] + [PROMPT],
        [*others, SamplingParams(max_tokens=24, ignore_eos=True, **drawn)],
        use_tqdm=False,
    )
    assert crowd[-1].outputs[0].token_ids == alone.token_ids
    assert one(llm, temperature=1.0, seed=8).token_ids != alone.token_ids


def test_n_completions_differ_and_repeat_with_the_seed(llm: LLM) -> None:
    params = SamplingParams(n=4, seed=3, max_tokens=12, ignore_eos=True)
    first, second = (llm.generate(PROMPT, params, use_tqdm=False)[0].outputs for _ in range(2))
    assert [c.token_ids for c in first] == [c.token_ids for c in second]
    assert len({tuple(c.token_ids) for c in first}) == 4


def test_filters_narrow_to_the_likeliest(llm: LLM) -> None:
    greedy = one(llm).token_ids
    for narrow in ({"top_k": 1}, {"top_p": 1e-9}, {"min_p": 1.0}):
        assert one(llm, temperature=1.0, seed=5, **narrow).token_ids == greedy
    assert one(llm, temperature=1.0, seed=5).token_ids != greedy


def test_what_may_be_said(llm: LLM) -> None:
    greedy = one(llm).token_ids
    allowed = [40, 41, 42]
    assert set(one(llm, allowed_token_ids=allowed).token_ids) <= set(allowed)
    assert greedy[0] not in one(llm, logit_bias={greedy[0]: -100.0}).token_ids
    assert len(set(one(llm, repetition_penalty=100.0).token_ids)) == 24
    assert len(set(one(llm, frequency_penalty=2.0, max_tokens=100).token_ids)) > len(
        set(one(llm, max_tokens=100).token_ids)
    )
    assert len(set(one(llm, presence_penalty=2.0, max_tokens=100).token_ids)) > len(
        set(one(llm, max_tokens=100).token_ids)
    )
    word = next(text for text in map(llm.tokenizer.decode, ([token_id] for token_id in greedy)) if text.isalpha())
    assert word in one(llm).text
    assert word not in one(llm, bad_words=[word]).text


def test_logprobs(llm: LLM) -> None:
    completion = one(llm, logprobs=3)
    for token_id, scores in zip(completion.token_ids, completion.logprobs, strict=True):
        assert scores.rank == 1
        assert scores.top[0] == (token_id, scores.logprob)
        assert [logprob for _, logprob in scores.top] == sorted((lp for _, lp in scores.top), reverse=True)
    assert one(llm).logprobs is None


def test_prompt_logprobs_are_those_of_the_chosen_tokens(llm: LLM) -> None:
    written = one(llm, logprobs=0)
    ids = llm.tokenizer.encode(PROMPT)
    params = SamplingParams(max_tokens=1, prompt_logprobs=0)
    scores = llm.generate([ids + written.token_ids], params, use_tqdm=False)[0].prompt_logprobs
    expected = [s.logprob for s in written.logprobs]
    assert [s.logprob for s in scores[len(ids) :]] == pytest.approx(expected, abs=1e-4)


def test_structured_outputs(llm: LLM) -> None:
    def form(**fields):
        return one(llm, temperature=1.0, seed=1, max_tokens=200, structured_outputs=StructuredOutputs(**fields)).text

    assert form(choice=["alpha", "beta"]) in ("alpha", "beta")
    assert re.fullmatch(r"[0-9]{3}-[a-f]{2}", form(regex=r"[0-9]{3}-[a-f]{2}"))
    schema = {
        "type": "object",
        "properties": {"year": {"type": "integer", "minimum": 0, "maximum": 9999}, "ok": {"type": "boolean"}},
        "required": ["year", "ok"],
        "additionalProperties": False,
    }
    for value in (json.loads(form(json=schema)), json.loads(form(json=json.dumps(schema)))):
        assert isinstance(value["year"], int)
        assert isinstance(value["ok"], bool)
    assert form(grammar='start: "(" ("a" | "b") ")"') in ("(a)", "(b)")


# ── mistakes ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_bad_request_among_good_ones_runs_nothing(llm: LLM) -> None:
    steps = llm.stats().num_steps
    with pytest.raises(InvalidRequestError, match="The prompt is empty"):
        llm.generate([PROMPT, ""], GREEDY)
    with pytest.raises(InvalidRequestError, match="context length is 512"):
        llm.generate([PROMPT, [7] * 600], GREEDY)
    with pytest.raises(InvalidRequestError, match="The structured output does not compile"):
        llm.generate(PROMPT, SamplingParams(structured_outputs=StructuredOutputs(grammar="start: (")))
    assert llm.stats().num_steps == steps
    assert one(llm).text


def test_unknown_knobs_are_answered_with_the_nearest(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'max_num_seq' is not a knob.*Did you mean 'max_num_seqs'"):
        LLM(path, max_num_seq=4)


def test_a_cache_that_holds_no_sequence(path: Path) -> None:
    with pytest.raises(CapacityError, match="Raise kv_cache_memory"):
        LLM(path, kv_cache_memory=1)


def test_models_that_cannot_be_loaded(tmp_path: Path, path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"no config\.json"):
        LLM(tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (broken / file).write_bytes((path / file).read_bytes())
    whole = (path / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelLoadError, match=r"model\.safetensors"):
        LLM(broken)


def test_after_close(path: Path) -> None:
    llm = LLM(path, num_threads=1)
    stream = llm.stream(PROMPT, GREEDY)
    next(stream)
    llm.close()
    llm.close()
    with pytest.raises(EngineClosedError, match="closed"):
        llm.generate(PROMPT, GREEDY)
    with pytest.raises(QuireError):
        next(stream)


def test_close_gives_everything_back(path: Path) -> None:
    llm = LLM(path, num_threads=1, kv_cache_memory=64 << 20)
    one(llm)
    before = resident_bytes()
    executor = llm._engine._runner._executor
    model, kv = weakref.ref(executor._model), executor._kv
    kv.fill_(1.0)
    held = weakref.ref(kv)
    del kv
    assert not before or resident_bytes() > before + (30 << 20)  # 0 where the system does not say
    llm.close()
    assert (model(), held()) == (None, None)
    assert not before or resident_bytes() < before + (10 << 20)


def test_a_model_without_a_tokenizer_takes_token_ids(tmp_path: Path) -> None:
    write_tiny(tmp_path, "qwen3")
    with LLM(tmp_path, num_threads=1) as llm:
        assert len(llm.generate([[5, 6, 7]], GREEDY, use_tqdm=False)[0].outputs[0].token_ids) > 0
        with pytest.raises(InvalidRequestError, match="no tokenizer"):
            llm.generate("text", GREEDY)


def test_an_int8_cache_stays_close(path: Path, llm: LLM) -> None:
    params = SamplingParams(max_tokens=1, prompt_logprobs=0)
    expected = llm.generate(PROMPT * 5, params, use_tqdm=False)[0].prompt_logprobs
    with LLM(path, num_threads=1, kv_cache_dtype="int8") as packed:
        got = packed.generate(PROMPT * 5, params, use_tqdm=False)[0].prompt_logprobs
    differences = [abs(a.logprob - b.logprob) for a, b in zip(got[1:], expected[1:], strict=True)]
    assert 0 < max(differences) < 0.5


def test_tensor_parallel_gives_the_same_tokens(path: Path, llm: LLM) -> None:
    prompts = [PROMPT, PROMPT[::-1], "One."]
    params = SamplingParams(temperature=0, max_tokens=16, ignore_eos=True, prompt_logprobs=0)
    expected = llm.generate(prompts, params, use_tqdm=False)
    with LLM(path, num_threads=1, tensor_parallel_size=2) as parallel:
        outputs = parallel.generate(prompts, params, use_tqdm=False)
        with pytest.raises(ConfigError, match="in a tensor-parallel group already"):
            TorchGroup(0, 2, "file:///nowhere")
    for output, truth in zip(outputs, expected, strict=True):
        assert output.outputs[0].token_ids == truth.outputs[0].token_ids
        assert [s.logprob for s in output.prompt_logprobs[1:]] == pytest.approx(
            [s.logprob for s in truth.prompt_logprobs[1:]], abs=1e-4
        )
