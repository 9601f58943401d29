"""What was stored is found again, and nothing else is ever taken for it."""

import os
import time
from pathlib import Path

import pytest
import torch

from quire.kernels.quantized import Int4Weight, Int8Weight
from quire.models.packing.store import MemoryStore, Store, cache_directory, open_store

LAYOUTS = {"a.weight": Int8Weight.layout(70, 10), "b.weight": Int4Weight.layout(64, 32)}
KEY = b"key of the model"


def fill(store: Store) -> None:
    for name in LAYOUTS:
        for tensor in store.tensors(name).values():
            tensor.copy_(torch.arange(tensor.numel()).view(tensor.shape) % 251)


def is_as_filled(store: Store) -> bool:
    tensors = [tensor for name in LAYOUTS for tensor in store.tensors(name).values()]
    return all(bool((t.flatten() == torch.arange(t.numel()) % 251).all()) for t in tensors)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "m.safetensors"
    store = open_store(LAYOUTS, path, KEY)
    assert not store.is_filled
    fill(store)
    store.commit()
    store.close()
    return path


def test_the_second_time_it_is_there(stored: Path) -> None:
    store = open_store(LAYOUTS, stored, KEY)
    assert store.is_filled
    assert is_as_filled(store)
    assert list(stored.parent.iterdir()) == [stored]
    assert all(t.data_ptr() % 64 == 0 for name in LAYOUTS for t in store.tensors(name).values())
    tensor = store.tensors("b.weight")["data"]
    del store
    stored.unlink()
    assert int(tensor.flatten()[5]) == 5, "a mapping outlives the store and the file"


def test_another_model_or_layout_is_not_taken_for_it(stored: Path) -> None:
    assert not open_store(LAYOUTS, stored, b"another").is_filled
    assert not open_store({**LAYOUTS, "a.weight": Int8Weight.layout(130, 10)}, stored, KEY).is_filled
    assert not open_store({"a.weight": LAYOUTS["a.weight"]}, stored, KEY).is_filled
    assert open_store(LAYOUTS, stored, KEY).is_filled


@pytest.mark.parametrize("place", [0, 9, 300, 4096, 5000, -1])
def test_one_changed_byte_is_noticed_and_mended(stored: Path, place: int) -> None:
    data = bytearray(stored.read_bytes())
    data[place] ^= 1
    stored.write_bytes(data)
    store = open_store(LAYOUTS, stored, KEY)
    changed_padding = data[place] == ord(" ") ^ 1
    assert not store.is_filled or changed_padding
    fill(store)
    store.commit()
    assert open_store(LAYOUTS, stored, KEY).is_filled


def test_a_file_cut_short_is_made_again(stored: Path) -> None:
    data = stored.read_bytes()
    for length in (0, 5, 100, len(data) - 1):
        stored.write_bytes(data[:length])
        assert not open_store(LAYOUTS, stored, KEY).is_filled


def test_what_was_not_finished_leaves_nothing(stored: Path) -> None:
    before = stored.read_bytes()
    store = open_store(LAYOUTS, stored, b"another")
    fill(store)
    assert len(list(stored.parent.iterdir())) == 2
    store.close()
    assert list(stored.parent.iterdir()) == [stored]
    assert stored.read_bytes() == before


def test_what_killed_processes_left_goes_after_a_day(stored: Path) -> None:
    old, new = stored.parent / ".unfinished-old", stored.parent / ".unfinished-new"
    for file in (old, new):
        file.write_bytes(b"half")
    long_ago = time.time() - 100_000
    os.utime(old, (long_ago, long_ago))
    open_store(LAYOUTS, stored, b"another").close()
    assert not old.exists()
    assert new.exists()


def test_where_nothing_can_be_written_it_is_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    store = open_store(LAYOUTS, tmp_path / "file" / "m.safetensors", KEY)
    assert isinstance(store, MemoryStore)
    fill(store)
    store.commit()
    assert "packed weights cannot be kept in" in caplog.text


def test_a_place_that_cannot_be_taken_costs_the_file_and_not_the_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(LAYOUTS, tmp_path / "m.safetensors", KEY)
    fill(store)
    (tmp_path / "m.safetensors").mkdir()
    store.commit()
    store.close()
    assert "packed weights cannot be kept in" in caplog.text
    assert [file.name for file in tmp_path.iterdir()] == ["m.safetensors"]
    name = next(iter(LAYOUTS))
    assert all(tensor.numel() for tensor in store.tensors(name).values())


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QUIRE_CACHE", str(tmp_path))
    assert cache_directory() == tmp_path
    monkeypatch.delenv("QUIRE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_directory() == tmp_path / "quire"
