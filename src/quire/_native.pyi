"""
Native core of Quire. Use the faces in quire.kernels, quire.cache, quire.scheduling; this is their other side.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Generic, TypeVar

import numpy
import numpy.typing
from numpy.typing import NDArray


def cpu_features() -> dict[str, bool]:
    """Instruction sets of this processor that the kernels know."""

def isa() -> str:
    """The kernel family in use: 'avx512', 'avx2' or 'portable'."""

def set_isa(name: str) -> bool:
    """
    Takes a family of kernels for tests; False, and no change, where this machine lacks it.
    """

def rms_norm(x: int, residual: int, weight: int, out: int, sum: int, rows: int, width: int, eps: float, dtype: int) -> None:
    """residual and sum are 0 where there is no residual."""

def rope(q: int, k: int, q_stride: int, k_stride: int, positions: int, cos_sin: int, tokens: int, num_heads: int, num_kv_heads: int, head_dim: int, dtype: int) -> None: ...

def silu_mul(x: int, out: int, rows: int, width: int, dtype: int) -> None: ...

def store_kv(k: int, v: int, k_stride: int, v_stride: int, cache: tuple[int, int, int, int, int, int, int, int, bool], slots: int, tokens: int) -> None: ...

def prepare_qkv(q: int, k: int, v: int, q_stride: int, k_stride: int, v_stride: int, positions: int, cos_sin: int, q_norm: int, k_norm: int, eps: float, cache: tuple[int, int, int, int, int, int, int, int, bool], slots: int, tokens: int, num_heads: int) -> None:
    """q_norm and k_norm are 0 where there is no norm."""

def copy_blocks(kv: int, block_bytes: int, pairs: int, count: int) -> None: ...

def paged_attention(q: int, q_stride: int, out: int, cache: tuple[int, int, int, int, int, int, int, int, bool], block_tables: int, context_lens: int, query_starts: int, table_width: int, num_sequences: int, num_heads: int, window: int | None, scale: float) -> None: ...

def linear(x: int, weight: int, bias: int, out: int, rows: int, inputs: int, outputs: int, dtype: int) -> None:
    """bias is 0 where there is none."""

def pack_int8(weight: int, outputs: int, inputs: int, data: int, scales: int, dtype: int) -> None: ...

def linear_int8(x: int, data: int, scales: int, bias: int, out: int, rows: int, inputs: int, outputs: int, dtype: int) -> None: ...

def pack_int4(weight: int, outputs: int, inputs: int, group: int, data: int, dtype: int) -> None: ...

def linear_int4(x: int, data: int, bias: int, out: int, rows: int, inputs: int, outputs: int, group: int, dtype: int) -> None: ...

K = TypeVar("K")

class IndexedHeap(Generic[K]):
    """See quire.scheduling.indexed_heap."""

    def __init__(self, max_heap: bool = False) -> None: ...

    @staticmethod
    def heapify(keys: Iterable[K], priorities: Iterable[float], max_heap: bool = False) -> IndexedHeap[K]: ...

    def __len__(self) -> int: ...

    def __contains__(self, key: object, /) -> bool: ...

    def __getitem__(self, key: K, /) -> float: ...

    def __iter__(self) -> Iterator[K]: ...

    @property
    def is_max_heap(self) -> bool: ...

    def push(self, key: K, priority: float) -> None: ...

    def update(self, key: K, priority: float) -> None: ...

    def increase(self, key: K, amount: float) -> float: ...

    def decrease(self, key: K, amount: float) -> float: ...

    def peek(self) -> tuple[K, float]: ...

    def pop(self) -> tuple[K, float]: ...

    def delete(self, key: K) -> float: ...

    def clear(self) -> None: ...

    def check_invariants(self) -> None: ...

class CountMin:
    def __init__(self, width: int, depth: int, counter_bits: int, conservative: bool, num_hitters: int, seed: int) -> None: ...

    def add(self, key: str | bytes | int, count: int = 1) -> None:
        """Counts `key`, `count` times."""

    def add_integers(self, keys: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], counts: Annotated[NDArray[numpy.uint64], dict(shape=(None,), order='C', device='cpu', writable=False)] | None) -> None: ...

    def add_objects(self, keys: list[str | bytes | int], counts: numpy.typing.NDArray[numpy.uint64] | None) -> None: ...

    def estimate(self, key: str | bytes | int) -> int:
        """
        How often `key` was added: never too low, too high by at most `error_bound()` with probability 1 - delta.
        """

    def estimate_integers(self, keys: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> Annotated[NDArray[numpy.uint64], dict(shape=(None,))]: ...

    def estimate_objects(self, keys: list[str | bytes | int]) -> numpy.typing.NDArray[numpy.uint64]: ...

    def merge_native(self, other: CountMin) -> None: ...

    def decay_native(self, factor: float) -> None: ...

    def clear(self) -> None:
        """Forgets everything."""

    def heavy_hitters_native(self, k: int) -> list[tuple[str | bytes | int, int]]: ...

    def error_bound(self) -> float:
        """
        What an estimate is too high by at most, with probability 1 - delta: e / width · total.
        """

    @property
    def total(self) -> float:
        """The sum of all counts, decayed as they are."""

    @property
    def num_bytes(self) -> int:
        """Memory of the counters and of the tracked keys."""

    @property
    def width(self) -> int: ...

    @property
    def depth(self) -> int: ...

class Hnsw:
    def __init__(self, dim: int, metric: int, row_type: int, M: int, ef_construction: int, ef_search: int, seed: int) -> None: ...

    def add(self, vectors: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], ids: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], num_threads: int) -> None: ...

    def update(self, vectors: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], ids: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], num_threads: int) -> None: ...

    def delete(self, ids: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None: ...

    def search(self, queries: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)], k: int, ef: int, filter: Annotated[NDArray[numpy.bool_], dict(shape=(None,), order='C', device='cpu', writable=False)] | Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)] | None, num_threads: int) -> tuple[Annotated[NDArray[numpy.int64], dict(shape=(None, None))], Annotated[NDArray[numpy.float32], dict(shape=(None, None))]]: ...

    def compact(self, num_threads: int) -> None: ...

    def save(self, path: str) -> None: ...

    @staticmethod
    def load(path: str) -> Hnsw: ...

    @staticmethod
    def verify(path: str) -> None: ...

    def check_invariants(self) -> None: ...

    def claim_ids(self, count: int) -> int: ...

    def contains(self, id: int) -> bool: ...

    def ids(self) -> list[int]: ...

    def vector(self, id: int) -> Annotated[NDArray[numpy.float32], dict(shape=(None,))]: ...

    def stats(self) -> tuple[int, int, int, float, int, int]: ...

    def options(self) -> tuple[int, int, int, int, int, int, int]: ...

    def __len__(self) -> int: ...

def hash_blocks(parent: bytes, token_ids: list[int], start: int, block_size: int, num_blocks: int) -> list[bytes]:
    """
    Digests of `num_blocks` full blocks from token `start` on: SHA-256 over (digest before, token ids as int32 LE).
    Raises ValueError for an id below 0 or above 2**31 - 1, and for blocks that the list does not fill.
    """
