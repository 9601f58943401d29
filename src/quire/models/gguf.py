"""Opening a GGUF file: header, metadata and the table of tensors, checked against the length of the file.

Knows nothing of models or tokenizers; both read their part of the metadata from the reader it returns. The tensors are
memory-mapped, read-only, and valid as long as the reader lives.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGUFReader

from quire.errors import ModelLoadError


class _BoundedReader(GGUFReader):
    """GGUFReader takes what numpy gives it past the end of the file, which is nothing, and goes on; this one stops."""

    def _get(self, offset: int, dtype: npt.DTypeLike, count: int = 1, override_order: Any = None) -> npt.NDArray[Any]:
        end = int(offset) + np.dtype(dtype).itemsize * int(count)
        if end > len(self.data):
            raise ValueError(f"a field or tensor reaches to byte {end} of {len(self.data)}")
        return super()._get(int(offset), dtype, count, override_order)


def open_gguf(path: str | Path) -> GGUFReader:
    """The reader of the file at `path`. Raises ModelLoadError where it is missing, truncated or no GGUF file."""
    path = Path(path)
    if not path.is_file():
        raise ModelLoadError(f"{path} is not a file; give the path of a .gguf file.")
    try:
        return _BoundedReader(path)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, UnicodeDecodeError) as error:
        raise ModelLoadError(f"{path} is not a whole GGUF file ({error}); download it again.") from error


def metadata_value(reader: GGUFReader, key: str, default: Any = None) -> Any:
    """The value of a metadata key as Python sees it (str, int, float, bool, list), or `default`."""
    field = reader.get_field(key)
    return default if field is None else field.contents()
