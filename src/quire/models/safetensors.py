"""Reading safetensors files by their pages: a header of names, dtypes, shapes and ranges, then the bytes, which stay in
the file and are mapped into memory.

    [ length of header, 8 bytes | header, JSON | bytes of the tensors …                    ]
      0                           8              8 + length        every range counts from here

Knows nothing of models. Invariants: every tensor lies inside its file and shares no byte with another; a tensor's
memory is the mapping itself (private: writing to it would not reach the file), alive as long as the tensor is.
"""

import json
import math
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from quire.errors import ModelLoadError, shown
from quire.models.packing.rows import Form, PlainRows, Rows

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"
MAX_HEADER_BYTES = 100_000_000

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_WEIGHT_DTYPES = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One tensor of a file. `begin` and `end` count from the start of the file."""

    dtype_name: str
    shape: tuple[int, ...]
    begin: int
    end: int


class SafetensorsFile:
    """One mapped file."""

    def __init__(self, path: Path) -> None:
        """Raises ModelLoadError where the file is missing, cut short or inconsistent."""
        self.path = path
        try:
            with path.open("rb") as file:
                self.num_bytes = path.stat().st_size
                if self.num_bytes < 8:
                    raise self._damaged(f"it has {self.num_bytes} bytes")
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except OSError as error:
            raise ModelLoadError(f"{path} cannot be read: {error.strerror}.") from error
        self.metadata: dict[str, str] = {}
        self.entries = dict(self._read_entries())
        self._check_overlaps()

    def tensor(self, name: str) -> torch.Tensor:
        """A view of the mapping."""
        entry = self.entries[name]
        dtype = DTYPES[entry.dtype_name]
        count = math.prod(entry.shape)
        if count == 0:
            return torch.empty(entry.shape, dtype=dtype)
        if entry.begin % dtype.itemsize:
            data = torch.frombuffer(self._map, dtype=torch.uint8, count=entry.end - entry.begin, offset=entry.begin)
            return data.clone().view(dtype).view(entry.shape)
        return torch.frombuffer(self._map, dtype=dtype, count=count, offset=entry.begin).view(entry.shape)

    def first_bytes(self, name: str, size: int) -> bytes:
        entry = self.entries[name]
        return self._map[entry.begin : min(entry.begin + size, entry.end)]

    def data(self) -> torch.Tensor:
        """All bytes behind the header."""
        return torch.frombuffer(self._map, dtype=torch.uint8, offset=self._data_start)

    def release(self, name: str) -> None:
        """Gives the pages that hold nothing but this tensor back to the system; they can be read again."""
        entry = self.entries[name]
        give_back_pages(self._map, entry.begin, entry.end)

    def _read_entries(self) -> Iterator[tuple[str, _Entry]]:
        length = int.from_bytes(self._map[:8], "little")
        if length > min(MAX_HEADER_BYTES, self.num_bytes - 8):
            raise self._damaged(f"its header would have {length} bytes and the file has {self.num_bytes}")
        self._data_start = 8 + length
        try:
            header = json.loads(self._map[8 : 8 + length])
            for name, fields in header.items():
                if name == "__metadata__":
                    self.metadata = dict(fields)
                else:
                    yield name, self._entry(name, fields)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise self._damaged(f"its header is not that of a safetensors file ({error})") from error

    def _entry(self, name: str, fields: Mapping[str, Any]) -> _Entry:
        dtype_name, shape, (begin, end) = fields["dtype"], tuple(fields["shape"]), fields["data_offsets"]
        if dtype_name not in DTYPES:
            raise ModelLoadError(f"{self.path}: the tensor {name} has the unknown dtype {shown(dtype_name)}.")
        if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
            raise self._damaged(f"the tensor {name} has shape {shown(fields['shape'])} at {shown([begin, end])}")
        num_bytes = math.prod(shape) * DTYPES[dtype_name].itemsize
        if end - begin != num_bytes:
            raise self._damaged(f"the tensor {name} of {num_bytes} bytes has the range {begin} to {end}")
        if self._data_start + end > self.num_bytes:
            raise self._damaged(f"the tensor {name} ends at byte {self._data_start + end} of {self.num_bytes}")
        return _Entry(dtype_name, shape, self._data_start + begin, self._data_start + end)

    def _check_overlaps(self) -> None:
        ranges = sorted(
            (entry.begin, entry.end, name) for name, entry in self.entries.items() if entry.begin < entry.end
        )
        for (_, end, name), (begin, _, following) in pairwise(ranges):
            if begin < end:
                raise self._damaged(f"the tensors {name} and {following} overlap")

    def _damaged(self, what: str) -> ModelLoadError:
        return ModelLoadError(f"{self.path} is damaged or was not written whole: {what}. Download it again.")


def give_back_pages(mapping: mmap.mmap, begin: int, end: int) -> None:
    """Lets the system take the whole pages between two bytes of a mapping that nobody has written to."""
    first = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE
    last = end // mmap.PAGESIZE * mmap.PAGESIZE
    if last > first and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED, first, last - first)


class SafetensorsCheckpoint:
    """The weights of a Hugging Face directory, in one file or in the shards that its index names."""

    def __init__(self, directory: Path) -> None:
        self._files = [SafetensorsFile(path) for path in _paths(directory)]
        self._file_of: dict[str, tuple[str, SafetensorsFile]] = {}
        names = [name for file in self._files for name in file.entries]
        prefix = "" if any(name.startswith("model.") for name in names) else "model."
        for file in self._files:
            for name in file.entries:
                self._add(name if name.startswith("lm_head.") else prefix + name, name, file)
        self.files = tuple(file.path for file in self._files)
        self.num_bytes = sum(file.num_bytes for file in self._files)
        self.shapes = {name: file.entries[in_file].shape for name, (in_file, file) in self._file_of.items()}

    def _add(self, name: str, name_in_file: str, file: SafetensorsFile) -> None:
        """A model that was saved without its head has names without the prefix `model.`."""
        if name in self._file_of:
            raise ModelLoadError(f"{file.path}: the tensor {name} is also in {self._file_of[name][1].path.name}.")
        self._file_of[name] = (name_in_file, file)

    @property
    def dtype(self) -> torch.dtype:
        """The one that most bytes are in."""
        num_bytes = dict.fromkeys(_WEIGHT_DTYPES, 0)
        for in_file, file in self._file_of.values():
            entry = file.entries[in_file]
            if entry.dtype_name in num_bytes:
                num_bytes[entry.dtype_name] += entry.end - entry.begin
        return DTYPES[max(num_bytes, key=num_bytes.__getitem__)]

    def name_in_file(self, name: str) -> str:
        return self._file_of[name][0] if name in self._file_of else name

    def tensor(self, name: str, dtype: torch.dtype) -> torch.Tensor:  # noqa: ARG002  # nothing here is quantised
        in_file, file = self._file_of[name]
        dtype_name = file.entries[in_file].dtype_name
        if dtype_name not in _WEIGHT_DTYPES:
            raise ModelLoadError(
                f"{file.path}: the tensor {in_file} is {dtype_name}; supported: {', '.join(_WEIGHT_DTYPES)}."
            )
        return file.tensor(in_file)

    def first_bytes(self, name: str, size: int) -> bytes:
        """As many of the tensor's bytes as it has, `size` at most."""
        in_file, file = self._file_of[name]
        return file.first_bytes(in_file, size)

    def form(self, name: str) -> Form:  # noqa: ARG002
        return Form.PLAIN

    def rows(self, name: str) -> Rows:
        return PlainRows(self.tensor(name, torch.float32))

    def release(self, name: str) -> None:
        in_file, file = self._file_of[name]
        file.release(in_file)


def shard_names(index_path: Path) -> list[str]:
    """The files that an index names, each once."""
    try:
        names = set(json.loads(index_path.read_bytes())["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelLoadError(f"{index_path} is not an index of safetensors shards ({error!r}).") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise ModelLoadError(f"{index_path} names {shown(name)}; a shard is a file beside the index.")
    return sorted(names)


def _paths(directory: Path) -> list[Path]:
    index_path = directory / INDEX_NAME
    if not index_path.is_file():
        if not (directory / SINGLE_NAME).is_file():
            raise ModelLoadError(
                f"{directory} has neither {SINGLE_NAME} nor {INDEX_NAME}. Pickled weights (*.bin, *.pt) can run code "
                "and are never read; convert them to safetensors."
            )
        return [directory / SINGLE_NAME]
    names = shard_names(index_path)
    missing = [name for name in names if not (directory / name).is_file()]
    if missing:
        raise ModelLoadError(
            f"{directory} lacks {', '.join(missing)} of the {len(names)} files that {INDEX_NAME} names."
        )
    return [directory / name for name in names]
