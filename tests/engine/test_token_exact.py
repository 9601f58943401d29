"""Greedy tokens and log-probabilities against transformers in float32: in one batch and one by one, with and without
prefix caching, in prefill chunks of 16 tokens, and under a KV cache so small that sequences are preempted."""

import json
import random
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from quire import LLM, SamplingParams
from tests.models.tiny import tiny_model, write_tiny, write_tiny_gguf

NUM_NEW = 64
MODELS = {
    "qwen3": ("qwen3", {}),
    "qwen2, tied": ("qwen2", {"tie_word_embeddings": True}),
    "llama": ("llama", {}),
    "llama, llama3 rope": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
    ),
    "llama, yarn": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 128,
            }
        },
    ),
    "mistral": ("mistral", {"sliding_window": 24}),
}


def prompts() -> list[list[int]]:
    """16 prompts of 1 to 300 tokens; four pairs share a beginning."""
    rng = random.Random(7)
    lengths = [1, 2, 15, 16, 17, 31, 32, 33, 64, 100, 127, 128, 200, 250, 299, 300]
    made = [[rng.randrange(3, 320) for _ in range(length)] for length in lengths]
    for short, long in ((5, 9), (8, 12), (10, 13), (14, 15)):
        made[long][: len(made[short]) - 1] = made[short][:-1]
    return made


def expected(model: PreTrainedModel, prompt: list[int]) -> tuple[list[int], list[float]]:
    with torch.inference_mode():
        result = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=NUM_NEW,
            min_new_tokens=NUM_NEW,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            eos_token_id=None,
            pad_token_id=0,
        )
    tokens = result.sequences[0, len(prompt) :].tolist()
    rows = torch.log_softmax(torch.cat(result.logits).float(), dim=-1)
    return tokens, rows[torch.arange(len(tokens)), tokens].tolist()


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp(request.param)
    architecture, overrides = MODELS[request.param]
    model = write_tiny(path, architecture, **overrides)
    return path, [expected(model, prompt) for prompt in prompts()]


SETTINGS = {
    "plain": {},
    "no prefix cache": {"enable_prefix_caching": False},
    "chunks of 16": {"max_num_batched_tokens": 16, "max_num_seqs": 16},
    "preempting": {"block_size": 8, "max_model_len": 368},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_batch_is_exact(case, name: str) -> None:
    path, truth = case
    knobs = dict(SETTINGS[name])
    if name == "preempting":
        knobs["kv_cache_memory"] = 100 * block_bytes(path, block_size=8)
    with LLM(path, num_threads=1, **knobs) as llm:
        outputs = llm.generate(_as_prompts(), _params(), use_tqdm=False)
        _compare(outputs, truth)
        if name == "preempting":
            assert llm.stats().num_preemptions > 0
        if name == "plain":  # a second time, now from the prefix cache
            again = llm.generate(_as_prompts(), _params(), use_tqdm=False)
            _compare(again, truth)
            assert again[15].metrics.num_cached_tokens == 288
            for prompt, alone in zip(_as_prompts(), truth, strict=True):
                _compare(llm.generate(prompt, _params(), use_tqdm=False), [alone])


def test_gguf_f32_is_exact(tmp_path: Path) -> None:
    model = tiny_model("qwen3")
    write_tiny_gguf(tmp_path / "model.gguf", model, "F32")
    with LLM(tmp_path / "model.gguf", num_threads=1) as llm:
        outputs = llm.generate(_as_prompts(), _params(), use_tqdm=False)
    _compare(outputs, [expected(model, prompt) for prompt in prompts()])


def block_bytes(path: Path, block_size: int) -> int:
    hf = json.loads((path / "config.json").read_text())
    head_dim = hf.get("head_dim") or hf["hidden_size"] // hf["num_attention_heads"]
    return hf["num_hidden_layers"] * 2 * hf["num_key_value_heads"] * block_size * head_dim * 4


def _as_prompts():
    return [{"prompt_token_ids": ids} for ids in prompts()]


def _params() -> SamplingParams:
    return SamplingParams(temperature=0, max_tokens=NUM_NEW, ignore_eos=True, logprobs=0)


def _compare(outputs, truth) -> None:
    for output, (tokens, logprobs) in zip(outputs, truth, strict=True):
        completion = output.outputs[0]
        assert completion.token_ids == tokens
        assert [scores.logprob for scores in completion.logprobs] == pytest.approx(logprobs, abs=1e-4)
