import pytest
from transformers import AutoConfig

from quire.errors import ModelLoadError
from quire.layers.rotary import LinearScaling, Llama3Scaling, RopeConfig, YarnScaling
from quire.models.config import from_hf

QWEN3 = {
    "architectures": ["Qwen3ForCausalLM"],
    "vocab_size": 100,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
}
LLAMA = {**QWEN3, "architectures": ["LlamaForCausalLM"]}
QWEN2 = {**QWEN3, "architectures": ["Qwen2ForCausalLM"]}
MISTRAL = {**QWEN3, "architectures": ["MistralForCausalLM"]}


def test_sizes_by_hand():
    config = from_hf({**QWEN3, "head_dim": 24, "tie_word_embeddings": True})
    assert config.architecture == "qwen3"
    assert (config.vocab_size, config.hidden_size, config.intermediate_size, config.num_layers) == (100, 64, 96, 3)
    assert (config.num_heads, config.num_kv_heads, config.head_dim) == (8, 2, 24)
    assert (config.max_model_len, config.rms_norm_eps, config.tie_word_embeddings) == (512, 1e-5, True)
    assert (config.windows, config.sliding_window) == ((None, None, None), None)


def test_what_is_absent_is_as_in_transformers():
    assert from_hf(QWEN3).head_dim == 128
    assert from_hf(LLAMA).head_dim == from_hf({**LLAMA, "head_dim": None}).head_dim == 8
    assert from_hf({**LLAMA, "num_key_value_heads": None}).num_kv_heads == 8
    assert from_hf(LLAMA).tie_word_embeddings is False
    assert from_hf(LLAMA).rope == RopeConfig(10_000.0)


def test_old_and_new_names_of_rope_mean_the_same():
    values = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256,
    }
    expected = RopeConfig(5e5, Llama3Scaling(8.0, 1.0, 4.0, 256))
    assert from_hf({**LLAMA, "rope_theta": 5e5, "rope_scaling": values}).rope == expected
    assert from_hf({**LLAMA, "rope_parameters": {**values, "rope_theta": 5e5}}).rope == expected
    assert from_hf({**LLAMA, "rope_theta": 5e5, "rope_scaling": None}).rope == RopeConfig(5e5)
    assert from_hf({**LLAMA, "rope_scaling": {"type": "linear", "factor": 2}}).rope == RopeConfig(1e4, LinearScaling(2))


def test_yarn_by_hand():
    def scaling(**values):
        return from_hf({**QWEN2, "rope_scaling": {"type": "yarn", **values}}).rope.scaling

    plain = scaling(factor=4.0, original_max_position_embeddings=128)
    assert plain == YarnScaling(4.0, 128, 32, 1, magnitude=pytest.approx(1.1386294))  # 0.1 ln 4 + 1
    assert scaling(original_max_position_embeddings=128).factor == 4.0  # 512 / 128
    assert scaling(factor=4.0, attention_factor=0.5).magnitude == 0.5
    assert scaling(factor=4.0, mscale=1.0, mscale_all_dim=1.0).magnitude == 1.0
    assert scaling(factor=4.0).original_max_len == 512


@pytest.mark.parametrize(
    ("hf", "windows"),
    [
        ({**MISTRAL, "sliding_window": 32}, (32, 32, 32)),
        ({**MISTRAL, "sliding_window": None}, (None, None, None)),
        ({**LLAMA, "sliding_window": 32}, (None, None, None)),
        ({**QWEN2, "sliding_window": 32, "max_window_layers": 0}, (None, None, None)),
        ({**QWEN2, "sliding_window": 32, "max_window_layers": 2, "use_sliding_window": True}, (None, None, 32)),
        ({**QWEN3, "max_window_layers": 0, "use_sliding_window": True}, (4096, 4096, 4096)),
        (
            {
                **QWEN3,
                "sliding_window": 32,
                "use_sliding_window": True,
                "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            },
            (32, None, 32),
        ),
    ],
)
def test_windows_of_each_layer(hf, windows):
    config = from_hf(hf)
    assert config.windows == windows
    assert config.sliding_window == (None if None in windows else windows[0])


def test_mistral_without_the_field_is_as_in_transformers():
    assert from_hf(MISTRAL).sliding_window == AutoConfig.for_model("mistral").sliding_window


def test_every_id_that_ends_a_sequence_counts():
    assert from_hf(QWEN3).eos_token_ids == ()
    assert from_hf({**QWEN3, "eos_token_id": 7}).eos_token_ids == (7,)
    assert from_hf({**QWEN3, "eos_token_id": [7, 0]}).eos_token_ids == (7, 0)
    assert from_hf({**QWEN3, "eos_token_id": 7}, {"eos_token_id": [9, 7]}).eos_token_ids == (7, 9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"architectures": ["GPT2LMHeadModel"]},
            "architecture is GPT2LMHeadModel; supported: LlamaForCausalLM, Mistral",
        ),
        ({"architectures": ["Qwen3ForCasualLM"]}, "Did you mean 'Qwen3ForCausalLM'"),
        ({"architectures": True}, "architectures is True; expected a list of names"),
        ({"architectures": [[]]}, r"architectures is \[\[\]\]; expected a list of names"),
        ({"architectures": None, "model_type": "bert"}, r"architecture is none \(model_type 'bert'\)"),
        ({"hidden_size": None}, "config.json has no hidden_size"),
        ({"vocab_size": "100"}, "vocab_size is '100'; expected a number"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0; expected 1 to"),
        ({"vocab_size": 10**30}, "vocab_size is 1000.*; expected 1 to"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True; expected a number"),
        ({"num_key_value_heads": 3}, "8 query heads cannot share 3 key-value heads equally"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'; supported: 'silu'"),
        ({"head_dim": 7}, "head_dim is 7; .* even"),
        ({"quantization_config": {"quant_method": "gptq"}}, "weights are quantised .*gptq.*; supported: float32"),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "'dynamic'.* is not supported; .* llama3, yarn"),
        ({"rope_scaling": {"type": "longrope"}}, "'longrope'.* is not supported"),
        ({"rope_parameters": {"full_attention": {"rope_type": "default"}}}, "is not supported; supported: one for all"),
        ({"rope_scaling": "linear"}, "the rotary embedding is 'linear'; expected an object"),
        ({"rope_scaling": {"type": "linear"}}, "config.json has no factor"),
        ({"rope_scaling": {"type": "linear", "factor": 0}}, "factor is 0; expected a number above 0"),
        ({"rope_scaling": {"type": "yarn", "factor": float("inf")}}, "factor is inf; expected a number above 0"),
        ({"rope_theta": float("nan")}, "rope_theta is nan; expected a number above 0"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5; supported: 1"),
        ({"eos_token_id": "</s>"}, "eos_token_id is '</s>'; expected an id or a list of ids"),
        ({"use_sliding_window": True, "layer_types": ["full_attention"]}, "layer_types is .* expected 3 of"),
    ],
)
def test_what_we_do_not_run_is_refused_with_words(changes, message):
    with pytest.raises(ModelLoadError, match=message):
        from_hf({**QWEN3, **changes})
