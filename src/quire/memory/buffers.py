"""Gives the memory of a buffer back to the system while the buffer stays where it is.

Knows addresses and nothing of what lies there. What was given back costs nothing until it is written again, and reads
as zeros (in private anonymous memory, which is what numpy and torch allocate large arrays from).
"""

import ctypes
import mmap
import sys

from quire.errors import QuireError


def release_pages(address: int, num_bytes: int) -> int:
    """Gives back the whole pages of memory inside the range, and returns how many bytes that were.

    0 where the range holds no whole page, and on systems that only take advice and may not follow it (all but Linux).
    REQUIRES: nothing in the range is wanted any more.
    """
    first = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (address + num_bytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if end <= first or not sys.platform.startswith("linux"):
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), mmap.MADV_DONTNEED) != 0:
        raise QuireError(f"madvise of {end - first} bytes at {first:#x} failed with errno {ctypes.get_errno()}.")
    return end - first


def trim_heap() -> None:
    """Gives back what the allocator kept of freed memory, for the next allocation. Does nothing where the C library
    has no such call."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
