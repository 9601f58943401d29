"""Where packed matrices lie: in this process's memory, or in a file of the cache that the next start maps.

    [ length of header | header: names, shapes, fingerprint, checksum | spaces up to a page | matrices … ]

The file is a safetensors file. It is filled through its mapping under another name and takes its place when it is
whole, so two processes that start at once do not disturb each other. It is believed only where its fingerprint is that
of the model's files and its checksum is right; else the matrices are packed again. Knows nothing of models.
"""

import json
import logging
import mmap
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from quire.errors import ModelLoadError
from quire.kernels import checksum
from quire.kernels.quantized import Layout
from quire.models.safetensors import DTYPES, SafetensorsFile

log = logging.getLogger(__name__)

FORMAT = "quire packed 1"
"""Another number where the packed layouts change."""
_UNFINISHED = ".unfinished-"
_ABANDONED_AFTER_S = 86_400
_PAGE = 4096
_NO_CHECKSUM = "0" * 16


class Store(Protocol):
    """Memory for the packed matrices of a model."""

    is_filled: bool
    """They are there already."""

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of the matrix, alive for as long as they are held."""
        ...

    def commit(self) -> None:
        """All of them are filled now."""
        ...

    def close(self) -> None:
        """Ends the filling, whether it was committed or failed."""
        ...


def cache_directory() -> Path:
    """Where Quire keeps what it can make again: QUIRE_CACHE, or its folder among the user's caches."""
    if named := os.environ.get("QUIRE_CACHE"):
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/quire"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quire"


def packed_weights_directory() -> Path:
    return cache_directory() / "packed"


def open_store(layouts: Mapping[str, Layout], path: Path | None, fingerprint: bytes) -> Store:
    """The cached file at `path` if it has these matrices of this model, a new one to be filled if not, and plain memory
    where there is no path or nothing can be written there."""
    if path is None or not layouts:
        return MemoryStore(layouts)
    try:
        return _CachedFile(path, layouts, fingerprint)
    except FileNotFoundError:
        pass
    except (OSError, ModelLoadError) as reason:
        log.info("%s is made again: %s", path, reason)
    try:
        return _NewFile(path, layouts, fingerprint)
    except OSError as reason:
        _warn(path, reason)
        return MemoryStore(layouts)


def _warn(path: Path, reason: OSError) -> None:
    log.warning("packed weights cannot be kept in %s: %s", path.parent, reason.strerror)


class MemoryStore:
    """Nothing is kept."""

    def __init__(self, layouts: Mapping[str, Layout]) -> None:
        self.is_filled = False
        self._layouts = layouts

    def tensors(self, name: str) -> dict[str, Tensor]:
        return {part: torch.empty(shape, dtype=dtype) for part, (dtype, shape) in self._layouts[name].items()}

    def commit(self) -> None:
        """There is nothing to be kept."""

    def close(self) -> None:
        """There is nothing to end."""


class _CachedFile:
    """A whole file, mapped."""

    def __init__(self, path: Path, layouts: Mapping[str, Layout], fingerprint: bytes) -> None:
        """Raises ModelLoadError where it is damaged, or of other weights or another layout."""
        self.is_filled = True
        self._layouts = layouts
        with path.open("rb"):  # FileNotFoundError has a meaning of its own here
            self._file = SafetensorsFile(path)
        metadata = self._file.metadata
        if metadata.get("format") != FORMAT or metadata.get("fingerprint") != fingerprint.hex():
            raise ModelLoadError("the model, or how it is packed, has changed")
        entries = {name: (DTYPES[entry.dtype_name], entry.shape) for name, entry in self._file.entries.items()}
        if entries != _tensors_in(layouts):
            raise ModelLoadError("it has other matrices")
        if metadata.get("checksum") != f"{checksum(self._file.data()):016x}":
            raise ModelLoadError("its checksum is wrong")

    def tensors(self, name: str) -> dict[str, Tensor]:
        return {part: self._file.tensor(f"{name}.{part}") for part in self._layouts[name]}

    def commit(self) -> None:
        """It is whole."""

    def close(self) -> None:
        """It stays mapped while its tensors are used."""


class _NewFile:
    """A file that is being filled."""

    def __init__(self, path: Path, layouts: Mapping[str, Layout], fingerprint: bytes) -> None:
        """Raises OSError where there is no room or no leave to write."""
        self.is_filled = False
        self._path, self._layouts, self._fingerprint = path, layouts, fingerprint
        self._header = self._header_with(_NO_CHECKSUM)
        self._places, end = {}, len(self._header)
        for name, (dtype, shape) in _tensors_in(layouts).items():
            self._places[name] = end
            end += prod(shape) * dtype.itemsize
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent)
        number, unfinished = tempfile.mkstemp(prefix=_UNFINISHED, dir=path.parent)
        self._unfinished: Path | None = Path(unfinished)
        try:
            with open(number, "r+b") as file:
                _reserve(file.fileno(), end)
                self._map = mmap.mmap(file.fileno(), end)
        except OSError:
            self.close()
            raise

    def tensors(self, name: str) -> dict[str, Tensor]:
        found = {}
        for part, (dtype, shape) in self._layouts[name].items():
            begin = self._places[f"{name}.{part}"]
            found[part] = torch.frombuffer(self._map, dtype=dtype, count=prod(shape), offset=begin).view(shape)
        return found

    def commit(self) -> None:
        assert self._unfinished is not None, "committed twice"
        data = torch.frombuffer(self._map, dtype=torch.uint8, offset=len(self._header))
        self._map[: len(self._header)] = self._header_with(f"{checksum(data):016x}")
        try:
            self._unfinished.replace(self._path)
        except OSError as reason:  # this process has its matrices all the same
            _warn(self._path, reason)
            self.close()
        self._unfinished = None

    def close(self) -> None:
        if self._unfinished is not None:
            self._unfinished.unlink(missing_ok=True)
            self._unfinished = None

    def _header_with(self, checksum: str) -> bytes:
        metadata = {"format": FORMAT, "fingerprint": self._fingerprint.hex(), "checksum": checksum}
        fields: dict[str, object] = {"__metadata__": metadata}
        begin = 0
        for name, (dtype, shape) in _tensors_in(self._layouts).items():
            end = begin + prod(shape) * dtype.itemsize
            fields[name] = {"dtype": _DTYPE_NAMES[dtype], "shape": shape, "data_offsets": (begin, end)}
            begin = end
        text = json.dumps(fields).encode()
        text += b" " * (-(8 + len(text)) % _PAGE)
        return len(text).to_bytes(8, "little") + text


_DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def _tensors_in(layouts: Mapping[str, Layout]) -> Layout:
    """Each sized in whole vectors, so that the next one is aligned, too."""
    return {f"{name}.{part}": value for name, layout in layouts.items() for part, value in layout.items()}


def _reserve(file: int, num_bytes: int) -> None:
    """A full disk says so now and not when a page is written."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, num_bytes)
    else:
        os.ftruncate(file, num_bytes)


def _remove_abandoned(directory: Path) -> None:
    """What processes left that were killed while they packed."""
    for file in directory.glob(f"{_UNFINISHED}*"):
        with suppress(OSError):  # another process has removed or finished it just now, or it is another user's
            if time.time() - file.stat().st_mtime > _ABANDONED_AFTER_S:
                file.unlink()
