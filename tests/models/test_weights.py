import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from quire.errors import ModelLoadError
from quire.models import load
from quire.models.safetensors import SafetensorsCheckpoint, SafetensorsFile
from quire.models.weights import load_weights
from quire.parallel.group import SingleGroup
from tests.models.tiny import write_tiny


def rewrite(directory, change):
    """Rewrites the weights of a tiny model after `change(tensors)`."""
    tensors = load_file(directory / "model.safetensors")
    change(tensors)
    save_file(tensors, directory / "model.safetensors")


def load_tiny(directory, **kwargs):
    return load(directory, group=SingleGroup(), **kwargs).model


def lies_in_a_file(tensor):
    """Whether the tensor's memory is a mapping of a safetensors file."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            begin, end = (int(n, 16) for n in line.split()[0].split("-"))
            if begin <= tensor.data_ptr() < end:
                return line.rstrip().endswith(".safetensors")
    return False


def test_weights_that_fit_are_the_file_itself(tmp_path):
    write_tiny(tmp_path, "qwen3", dtype=torch.bfloat16)
    model = load_tiny(tmp_path)
    layer = model.model.layers[0]
    file = SafetensorsFile(tmp_path / "model.safetensors")
    for weight, name in [
        (model.model.embed_tokens.weight, "model.embed_tokens.weight"),
        (model.lm_head.weight, "lm_head.weight"),
        (layer.self_attn.o_proj.weight, "model.layers.0.self_attn.o_proj.weight"),
        (layer.mlp.down_proj.weight, "model.layers.0.mlp.down_proj.weight"),
        (layer.input_layernorm.weight, "model.layers.0.input_layernorm.weight"),
    ]:
        assert lies_in_a_file(weight), name
        assert torch.equal(weight, file.tensor(name))
    assert not lies_in_a_file(layer.self_attn.qkv_proj.weight)
    assert not lies_in_a_file(layer.mlp.gate_up_proj.weight)


def test_merged_weights_stand_one_below_the_other(tmp_path):
    write_tiny(tmp_path, "qwen2")
    tensors = load_file(tmp_path / "model.safetensors")
    layer = load_tiny(tmp_path).model.layers[1]
    for kind in ("weight", "bias"):
        qkv = [tensors[f"model.layers.1.self_attn.{name}_proj.{kind}"] for name in "qkv"]
        assert torch.equal(getattr(layer.self_attn.qkv_proj, kind), torch.cat(qkv))
    gate_up = [tensors[f"model.layers.1.mlp.{name}_proj.weight"] for name in ("gate", "up")]
    assert torch.equal(layer.mlp.gate_up_proj.weight, torch.cat(gate_up))


def test_another_dtype_is_converted(tmp_path):
    write_tiny(tmp_path, "qwen3")
    weight = load_file(tmp_path / "model.safetensors")["lm_head.weight"]
    model = load_tiny(tmp_path, dtype="bfloat16")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert torch.equal(model.lm_head.weight, weight.bfloat16())


def test_shards_give_the_same_model(tmp_path):
    write_tiny(tmp_path / "one", "llama")
    write_tiny(tmp_path / "many", "llama", max_shard_size="60KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 2
    one, many = load_tiny(tmp_path / "one"), load_tiny(tmp_path / "many")
    for (name, weight), other in zip(one.named_parameters(), many.parameters(), strict=True):
        assert torch.equal(weight, other), name


def test_tied_weights_are_one_parameter_whatever_the_file_carries(tmp_path):
    write_tiny(tmp_path, "qwen3", tie_word_embeddings=True)
    rewrite(tmp_path, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(320, 64)}))
    model = load_tiny(tmp_path)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.lm_head.weight.abs().sum() > 0


def test_old_checkpoints_may_carry_rotary_frequencies(tmp_path):
    write_tiny(tmp_path, "llama")
    rewrite(tmp_path, lambda tensors: tensors.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}))
    load_tiny(tmp_path)


def test_a_model_saved_without_its_head_has_shorter_names(tmp_path):
    write_tiny(tmp_path, "qwen3", tie_word_embeddings=True)
    expected = load_tiny(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    save_file({name.removeprefix("model."): t for name, t in tensors.items()}, tmp_path / "model.safetensors")
    for weight, other in zip(load_tiny(tmp_path).parameters(), expected.parameters(), strict=True):
        assert torch.equal(weight, other)


class Large(SafetensorsCheckpoint):
    """Says that it is large enough for a progress bar."""

    num_bytes = property(lambda self: 3_000_000_000, lambda self, value: None)


def test_progress_is_shown_on_stderr_of_large_models_only(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes stderr for a terminal
    write_tiny(tmp_path, "qwen3")
    model = load_tiny(tmp_path, show_progress=True)
    capsys.readouterr()
    load_weights(model, Large(tmp_path), show_progress=False)
    load_weights(model, SafetensorsCheckpoint(tmp_path), show_progress=True)
    assert capsys.readouterr() == ("", "")
    load_weights(model, Large(tmp_path), show_progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "Loading 3.0 GB" in err


NORM = "model.layers.1.post_attention_layernorm.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(NORM), rf"lack the tensor {NORM} of shape \[64\]\."),
        (lambda t: t.pop("lm_head.weight"), r"lack the tensor lm_head\.weight of shape \[320, 64\]"),
        (
            lambda t: [t.pop(f"model.layers.0.self_attn.{name}_proj.weight") for name in "kv"],
            r"lack the tensor model\.layers\.0\.self_attn\.k_proj\.weight of shape \[64, 64\] and 1 more",
        ),
        (
            lambda t: t.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(128)}),
            r"hold the tensor model\.layers\.0\.self_attn\.q_proj\.bias of shape \[128\], which the model .* not have",
        ),
        (
            lambda t: t.update({"model.layers.2.mlp.up_proj.weight": torch.ones(96, 64)}),
            r"hold the tensor model\.layers\.2\.mlp\.up_proj\.weight",
        ),
        (
            lambda t: t.update({"model.layers.0.mlp.up_proj.weight": torch.ones(64, 96)}),
            r"model\.layers\.0\.mlp\.up_proj\.weight has shape \[64, 96\]; .* expects \[96, 64\]",
        ),
        (lambda t: t.update({NORM: torch.ones(64, dtype=torch.int32)}), f"the tensor {NORM} is I32; supported"),
    ],
)
def test_a_tensor_that_is_not_as_expected_is_named(change, message, tmp_path):
    write_tiny(tmp_path, "qwen3")
    rewrite(tmp_path, change)
    with pytest.raises(ModelLoadError, match=message):
        load_tiny(tmp_path)


def test_a_truncated_file_is_named(tmp_path):
    write_tiny(tmp_path, "qwen3")
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        ModelLoadError, match=r"model\.safetensors is damaged or was not written whole: the tensor \S+ ends"
    ):
        load_tiny(tmp_path)


def test_a_config_of_another_model_is_noticed(tmp_path):
    write_tiny(tmp_path, "qwen3")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "vocab_size": 400}))
    with pytest.raises(ModelLoadError, match=r"embed_tokens\.weight has shape \[320, 64\]; .* expects \[400, 64\]"):
        load_tiny(tmp_path)
