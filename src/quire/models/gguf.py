"""Reading GGUF files by their pages: typed metadata, the table of tensors, then their bytes, which stay in the file and
are mapped into memory.

    [ magic, version, counts | metadata | table of tensors | padding | bytes of the tensors … ]

Knows nothing of models or tokenizers: what keys and names mean is for `llama_cpp` and the tokenizer to say. The gguf
package's own reader makes numpy arrays of every word of a vocabulary, which takes seconds; here that is one loop.
Invariant: everything listed lies inside the file; a count is believed only as far as the file could hold it.
"""

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from quire.errors import ModelLoadError, shown

VERSIONS = (2, 3)
MAX_DIMENSIONS = 4
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One tensor of a file. `begin` and `end` count from the start of the file; `shape` is outermost first."""

    name: str
    type: GGMLQuantizationType
    shape: tuple[int, ...]
    begin: int
    end: int


class _DamageError(Exception):
    """What is wrong, without the name of the file."""


class _Cursor:
    """A place in the file that moves on as values are read."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 0

    def skip(self, num_bytes: int, what: str) -> int:
        """Where the `num_bytes` begin that were stepped over."""
        if num_bytes > len(self.data) - self.at:
            raise _DamageError(f"{what} at byte {self.at} reaches beyond its end, byte {len(self.data)}")
        self.at += num_bytes
        return self.at - num_bytes

    def number(self, code: str) -> Any:
        return struct.unpack_from(f"<{code}", self.data, self.skip(struct.calcsize(f"<{code}"), "a number"))[0]

    def string(self) -> str:
        length = self.number("Q")
        begin = self.skip(length, "a string")
        return self.data[begin : begin + length].decode()

    def value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self._array()
        raise _DamageError(f"a value at byte {self.at} has the unknown type {kind}")

    def _array(self) -> list[Any]:
        kind, count = self.number("I"), self.number("Q")
        if kind in _SCALARS:
            dtype = np.dtype(f"<{_SCALARS[kind]}" if kind != 7 else "?")
            begin = self.skip(count * dtype.itemsize, "an array")
            numbers: list[Any] = np.frombuffer(self.data, dtype, count, begin).tolist()
            return numbers
        if count * 8 > len(self.data) - self.at:  # no string or array is shorter than its length field
            raise _DamageError(f"an array at byte {self.at} would have {count} elements")
        return [self.value(kind) for _ in range(count)]


class GgufFile:
    """One mapped file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                # Copy-on-write, so that numpy and torch take the pages for writable; nobody writes to them.
                self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            self._read(_Cursor(self.map))
        except OSError as error:
            raise ModelLoadError(f"{path} cannot be read: {error.strerror}.") from error
        except (_DamageError, ValueError, RecursionError) as error:  # mmap of nothing and decoding are ValueErrors
            raise ModelLoadError(f"{path} is not a whole GGUF file: {error}. Download it again.") from error

    def _read(self, cursor: _Cursor) -> None:
        if self.map[:4] != b"GGUF":
            raise _DamageError(f"it begins with {shown(self.map[:4])} in place of 'GGUF'")
        cursor.skip(4, "the magic number")
        version, num_tensors, num_values = cursor.number("I"), cursor.number("Q"), cursor.number("Q")
        if version not in VERSIONS:
            raise _DamageError(f"its version is {version}; supported: {', '.join(map(str, VERSIONS))}, little-endian")
        self.metadata: dict[str, Any] = {}
        for _ in range(num_values):
            key = cursor.string()
            self.metadata[key] = cursor.value(cursor.number("I"))
        table = [self._table_row(cursor) for _ in range(num_tensors)]
        alignment = self.metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 8 or alignment & (alignment - 1):
            raise _DamageError(f"its alignment is {shown(alignment)}; expected a power of two from 8 up")
        data_start = -(-cursor.at // alignment) * alignment
        self.tensors: dict[str, GgufTensor] = {}
        for row in table:
            self._add_tensor(*row, data_start=data_start, alignment=alignment)

    @staticmethod
    def _table_row(cursor: _Cursor) -> tuple[str, tuple[int, ...], int, int]:
        name, num_dimensions = cursor.string(), cursor.number("I")
        if not 1 <= num_dimensions <= MAX_DIMENSIONS:
            raise _DamageError(f"the tensor {name} has {num_dimensions} dimensions; expected 1 to {MAX_DIMENSIONS}")
        innermost_first = [cursor.number("Q") for _ in range(num_dimensions)]
        return name, tuple(reversed(innermost_first)), cursor.number("I"), cursor.number("Q")

    def _add_tensor(
        self, name: str, shape: tuple[int, ...], type_id: int, offset: int, *, data_start: int, alignment: int
    ) -> None:
        if type_id not in set(GGMLQuantizationType):
            raise _DamageError(f"the tensor {name} has the unknown type {type_id}")
        kind = GGMLQuantizationType(type_id)
        block_size, block_bytes = GGML_QUANT_SIZES[kind]
        if shape[-1] % block_size or offset % alignment or name in self.tensors:
            raise _DamageError(
                f"the tensor {name} ({kind.name}, {list(shape)}, at {offset}) is inconsistent, or there twice"
            )
        begin = data_start + offset
        end = begin + math.prod(shape) // block_size * block_bytes
        if end > len(self.map):
            raise _DamageError(f"the tensor {name} ends at byte {end} of {len(self.map)}")
        self.tensors[name] = GgufTensor(name, kind, shape, begin, end)

    def rows(self, tensor: GgufTensor) -> npt.NDArray[np.uint8]:
        """The bytes of each row, as they are in the file."""
        num_rows = math.prod(tensor.shape[:-1])
        data = np.frombuffer(self.map, np.uint8, tensor.end - tensor.begin, tensor.begin)
        return data.reshape(num_rows, -1)


def open_gguf(path: str | Path) -> GgufFile:
    """The file at `path`. Raises ModelLoadError where it is missing, cut short or no GGUF file."""
    return GgufFile(Path(path))


def metadata_value(file: GgufFile, key: str, default: Any = None) -> Any:
    """The value of a metadata key (str, int, float, bool, list), or `default`."""
    return file.metadata.get(key, default)
