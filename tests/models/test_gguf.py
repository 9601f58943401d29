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
    writer.add_tensor("output_norm.weight", np.arange(64, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_metadata_and_tensors_are_what_was_written(whole_file):
    reader = open_gguf(whole_file)
    assert metadata_value(reader, "general.architecture") == "llama"
    assert metadata_value(reader, "llama.block_count") == 3
    assert metadata_value(reader, "llama.rope.freq_base") == 0.5
    assert metadata_value(reader, "tokenizer.ggml.tokens") == ["a", "ä", "<s>"]
    assert metadata_value(reader, "llama.absent", default=7) == 7
    assert reader.tensors[0].data.tolist() == list(range(64))


def test_every_truncation_is_refused_by_name(whole_file, tmp_path):
    content = whole_file.read_bytes()
    short = tmp_path / "short.gguf"
    for length in [*range(0, 200, 7), len(content) - 200, len(content) - 1]:
        short.write_bytes(content[:length])
        with pytest.raises(ModelLoadError, match=r"short\.gguf is not a whole GGUF file"):
            open_gguf(short)


def test_garbage_is_refused(tmp_path):
    path = tmp_path / "noise.gguf"
    path.write_bytes(np.random.default_rng(0).bytes(4096))
    with pytest.raises(ModelLoadError, match=r"GGUF magic invalid.*download it again"):
        open_gguf(path)


def test_a_count_beyond_the_file_ends_at_its_last_byte(whole_file, tmp_path):
    """Were the count believed, this would loop for years."""
    content = bytearray(whole_file.read_bytes())
    content[16:24] = (1 << 60).to_bytes(8, "little")
    path = tmp_path / "long.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelLoadError, match="is not a whole GGUF file"):
        open_gguf(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelLoadError, match=r"nowhere\.gguf is not a file"):
        open_gguf(tmp_path / "nowhere.gguf")
