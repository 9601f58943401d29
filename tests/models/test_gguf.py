import gguf
import numpy as np
import pytest

from quire.errors import ModelLoadError
from quire.models.gguf import metadata_value, open_gguf


@pytest.fixture
def whole_file(tmp_path):
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(3)
    writer.add_rope_freq_base(0.5)
    writer.add_token_list(["a", "ä", "<s>"])
    writer.add_token_types([1, 1, 3])
    writer.add_token_scores([0.5, -1.0, 0.0])
    writer.add_add_bos_token(True)
    writer.add_int64("negative", -5)
    writer.add_array("nothing", [0])
    writer.add_tensor("output_norm.weight", np.arange(64, dtype=np.float32))
    writer.add_tensor("output.weight", np.arange(6, dtype=np.float16).reshape(2, 3))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_every_value_and_tensor_is_what_the_gguf_package_reads(whole_file):
    ours, theirs = open_gguf(whole_file), gguf.GGUFReader(whole_file)
    expected = {key: field.contents() for key, field in theirs.fields.items() if not key.startswith("GGUF.")}
    assert ours.metadata == expected
    assert list(ours.tensors) == [tensor.name for tensor in theirs.tensors]
    for tensor in theirs.tensors:
        mine = ours.tensors[tensor.name]
        assert (mine.type, mine.shape) == (tensor.tensor_type, tuple(reversed(tensor.shape.tolist())))
        assert ours.rows(mine).tobytes() == tensor.data.tobytes()


def test_metadata_by_hand(whole_file):
    file = open_gguf(whole_file)
    assert metadata_value(file, "llama.block_count") == 3
    assert metadata_value(file, "tokenizer.ggml.tokens") == ["a", "ä", "<s>"]
    assert metadata_value(file, "tokenizer.ggml.add_bos_token") is True
    assert metadata_value(file, "negative") == -5
    assert metadata_value(file, "llama.absent", default=7) == 7


def test_every_truncation_is_refused_by_name(whole_file, tmp_path):
    content = whole_file.read_bytes()
    short = tmp_path / "short.gguf"
    for length in [*range(0, len(content) - 100, 13), len(content) - 32]:
        short.write_bytes(content[:length])
        with pytest.raises(ModelLoadError, match=r"short\.gguf is not a whole GGUF file: .* Download it again"):
            open_gguf(short)


def test_any_changed_byte_of_the_header_is_refused_or_read(whole_file, tmp_path):
    """Nothing but ModelLoadError may come out of a damaged file, and it must come soon."""
    content = whole_file.read_bytes()
    path = tmp_path / "damaged.gguf"
    num_refused = 0
    for at in range(0, 500, 3):
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        path.write_bytes(damaged)
        try:
            open_gguf(path)
        except ModelLoadError:
            num_refused += 1
    assert num_refused > 50


def test_garbage_is_refused(tmp_path):
    path = tmp_path / "noise.gguf"
    path.write_bytes(b"\x80\x02}q\x00" * 100)
    with pytest.raises(ModelLoadError, match=r"noise\.gguf is not a whole GGUF file: it begins with .* 'GGUF'"):
        open_gguf(path)


@pytest.mark.parametrize(("at", "what"), [(8, "tensors"), (16, "metadata")])
def test_a_count_beyond_the_file_ends_at_its_last_byte(whole_file, tmp_path, at, what):
    """Were the count believed, this would loop for years."""
    content = bytearray(whole_file.read_bytes())
    content[at : at + 8] = (1 << 60).to_bytes(8, "little")
    path = tmp_path / f"{what}.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError, match="is not a whole GGUF file"):
        open_gguf(path)


def test_another_version_is_refused(whole_file, tmp_path):
    content = bytearray(whole_file.read_bytes())
    content[4:8] = (3).to_bytes(4, "big")
    path = tmp_path / "big-endian.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError, match="version is 50331648; supported: 2, 3, little-endian"):
        open_gguf(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelLoadError, match=r"nowhere\.gguf cannot be read: No such file"):
        open_gguf(tmp_path / "nowhere.gguf")
