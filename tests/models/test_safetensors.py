import json

import pytest
import torch
from safetensors.torch import save_file

from quire.errors import ModelLoadError
from quire.models.safetensors import INDEX_NAME, SafetensorsCheckpoint, SafetensorsFile, shard_names


def write_raw(path, header, data=b"", *, length=None):
    """A file with this header and these bytes, whether or not they belong together."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(begin, end, *, shape=None, dtype="F32"):
    return {"dtype": dtype, "shape": shape or [(end - begin) // 4], "data_offsets": [begin, end]}


def test_tensors_are_those_that_were_saved(tmp_path):
    random = torch.Generator().manual_seed(0)
    tensors = {
        "a": torch.randn(3, 5, generator=random),
        "b.c": torch.randn(7, generator=random).half(),
        "d": torch.randn(2, 2, 2, generator=random).bfloat16(),
        "empty": torch.empty(0, 4),
        "scalar": torch.tensor(3.5),
    }
    save_file(tensors, tmp_path / "t.safetensors", metadata={"format": "pt"})
    file = SafetensorsFile(tmp_path / "t.safetensors")
    assert set(file.entries) == set(tensors)
    for name, tensor in tensors.items():
        assert file.tensor(name).dtype is tensor.dtype
        assert torch.equal(file.tensor(name), tensor)


def test_a_tensor_is_the_mapping_itself(tmp_path):
    save_file({"a": torch.arange(6.0), "b": torch.arange(4.0)}, tmp_path / "t.safetensors")
    file = SafetensorsFile(tmp_path / "t.safetensors")
    once, again = file.tensor("a"), file.tensor("a")
    assert once.data_ptr() == again.data_ptr()
    distance = file.entries["b"].begin - file.entries["a"].begin
    assert file.tensor("b").data_ptr() - once.data_ptr() == distance


def test_writing_to_a_tensor_does_not_reach_the_file(tmp_path):
    save_file({"a": torch.arange(6.0)}, tmp_path / "t.safetensors")
    before = (tmp_path / "t.safetensors").read_bytes()
    SafetensorsFile(tmp_path / "t.safetensors").tensor("a").fill_(9)
    assert (tmp_path / "t.safetensors").read_bytes() == before


def test_released_pages_can_be_read_again(tmp_path):
    big = torch.arange(100_000.0)
    save_file({"small": torch.ones(3), "big": big}, tmp_path / "t.safetensors")
    file = SafetensorsFile(tmp_path / "t.safetensors")
    assert torch.equal(file.tensor("big"), big)
    file.release("big")
    file.release("small")
    assert torch.equal(file.tensor("big"), big)
    assert torch.equal(file.tensor("small"), torch.ones(3))


def test_a_tensor_off_its_alignment_is_read_right(tmp_path):
    data = torch.tensor([1.0, -2.0])
    header = json.dumps({"a": entry(0, 8)}).encode()
    header += b" " * (3 - len(header) % 4)  # the bytes then begin at 4k + 3
    path = write_raw(tmp_path / "t.safetensors", header, data.numpy().tobytes())
    assert SafetensorsFile(path).tensor("a").tolist() == [1.0, -2.0]


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ({"a": entry(0, 8)}, b"1234", r"the tensor a ends at byte \d+ of \d+"),
        ({"a": entry(0, 8), "b": entry(4, 12)}, b"0" * 12, "the tensors a and b overlap"),
        ({"a": entry(0, 8, shape=[3])}, b"0" * 8, "the tensor a of 12 bytes has the range 0 to 8"),
        ({"a": entry(8, 0, shape=[-2])}, b"0" * 8, r"the tensor a has shape \[-2\] at \[8, 0\]"),
        ({"a": entry(0, 8, shape=[2.0])}, b"0" * 8, r"the tensor a has shape \[2\.0\]"),
        ({"a": {"dtype": "F32"}}, b"", r"its header is not that of a safetensors file \('shape'\)"),
        ([1, 2], b"", "its header is not that of a safetensors file"),
        (b"{not json", b"", "its header is not that of a safetensors file"),
        (b"[" * 100_000, b"", "its header is not that of a safetensors file"),
        ({"a": entry(0, 8, dtype="F12")}, b"0" * 8, "the tensor a has the unknown dtype 'F12'"),
    ],
)
def test_a_damaged_file_is_refused_by_name(header, data, message, tmp_path):
    path = write_raw(tmp_path / "damaged.safetensors", header, data)
    with pytest.raises(ModelLoadError, match=message) as caught:
        SafetensorsFile(path)
    assert "damaged.safetensors" in str(caught.value)


def test_every_truncation_is_refused(tmp_path):
    save_file({"a": torch.arange(6.0), "b": torch.arange(4.0)}, tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    path = tmp_path / "short.safetensors"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ModelLoadError, match=r"short\.safetensors is damaged or was not written whole"):
            SafetensorsFile(path)


def test_a_header_longer_than_the_file_is_refused_unread(tmp_path):
    path = write_raw(tmp_path / "t.safetensors", {}, length=1 << 62)
    with pytest.raises(ModelLoadError, match="its header would have 4611686018427387904 bytes and the file has 10"):
        SafetensorsFile(path)


def test_integers_are_no_weights(tmp_path):
    save_file({"model.ids": torch.arange(3)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelLoadError, match=r"the tensor model\.ids is I64; supported: F32, F16, BF16"):
        SafetensorsCheckpoint(tmp_path).tensor("model.ids", torch.float32)


def write_shards(directory, weight_map, tensors):
    for file in set(weight_map.values()):
        save_file({n: t for n, t in tensors.items() if weight_map[n] == file}, directory / file)
    (directory / INDEX_NAME).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def test_shards_are_read_as_one(tmp_path):
    tensors = {"model.a": torch.arange(6.0), "model.b": torch.arange(4.0), "lm_head.weight": torch.ones(2)}
    write_shards(
        tmp_path, {"model.a": "1.safetensors", "model.b": "2.safetensors", "lm_head.weight": "1.safetensors"}, tensors
    )
    checkpoint = SafetensorsCheckpoint(tmp_path)
    assert checkpoint.shapes == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        assert torch.equal(checkpoint.tensor(name, torch.float32), tensor)


def test_a_missing_shard_is_named(tmp_path):
    tensors = {"model.a": torch.ones(1), "model.b": torch.ones(1)}
    write_shards(tmp_path, {"model.a": "1.safetensors", "model.b": "2.safetensors"}, tensors)
    (tmp_path / "2.safetensors").unlink()
    with pytest.raises(
        ModelLoadError, match=r"lacks 2\.safetensors of the 2 files that model\.safetensors\.index\.json"
    ):
        SafetensorsCheckpoint(tmp_path)


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    write_shards(tmp_path, {"model.a": "1.safetensors"}, {"model.a": torch.ones(1)})
    save_file({"model.a": torch.ones(1)}, tmp_path / "2.safetensors")
    (tmp_path / INDEX_NAME).write_text('{"weight_map": {"model.a": "1.safetensors", "model.b": "2.safetensors"}}')
    with pytest.raises(ModelLoadError, match=r"2\.safetensors: the tensor model\.a is also in 1\.safetensors"):
        SafetensorsCheckpoint(tmp_path)


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "sub/1.safetensors"])
def test_a_shard_lies_beside_its_index(name, tmp_path):
    (tmp_path / INDEX_NAME).write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(ModelLoadError, match="a shard is a file beside the index"):
        shard_names(tmp_path / INDEX_NAME)


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"weight_map": 3}'])
def test_a_broken_index_is_named(content, tmp_path):
    (tmp_path / INDEX_NAME).write_text(content)
    with pytest.raises(ModelLoadError, match=r"index\.json is not an index of safetensors shards"):
        SafetensorsCheckpoint(tmp_path)


def test_pickled_weights_are_not_looked_at(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(ModelLoadError, match=r"neither model\.safetensors nor .* are never read; convert them"):
        SafetensorsCheckpoint(tmp_path)


def test_most_bytes_decide_the_dtype(tmp_path):
    save_file({"a": torch.ones(9).bfloat16(), "b": torch.ones(4)}, tmp_path / "model.safetensors")
    assert SafetensorsCheckpoint(tmp_path).dtype is torch.bfloat16
