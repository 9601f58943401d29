"""Tells the system which memory of a buffer it may take back, and which should lie on huge pages.

Knows addresses and nothing of what lies there. What was given back costs nothing until it is written again, and reads
as zeros (in private anonymous memory, which is what numpy and torch allocate large arrays from). All of it is advice
to Linux; elsewhere it does nothing.
"""

import ctypes
import errno
import mmap
import sys

HUGE_PAGE = 2 << 20


def release_pages(address: int, num_bytes: int) -> int:
    """Gives back the whole pages of memory inside the range, and returns how many bytes that were.

    REQUIRES: nothing in the range is wanted any more.
    """
    return _advise(address, num_bytes, mmap.PAGESIZE, "MADV_DONTNEED")


def prefer_huge_pages(address: int, num_bytes: int) -> int:
    """Asks that what is written from now on lies on huge pages, where the range holds whole ones, and returns how many
    bytes that may be. Whoever reads all over a large buffer waits for the addresses of its pages else."""
    try:
        return _advise(address, num_bytes, HUGE_PAGE, "MADV_HUGEPAGE")
    except OSError as error:
        if error.errno == errno.EINVAL:  # a kernel without them
            return 0
        raise


def _advise(address: int, num_bytes: int, grain: int, advice: str) -> int:
    first = -(-address // grain) * grain
    end = (address + num_bytes) // grain * grain
    if end <= first or not sys.platform.startswith("linux"):
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), getattr(mmap, advice)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{advice} of {end - first} bytes at {first:#x}: {errno.errorcode.get(code, code)}")
    return end - first


def trim_heap() -> None:
    """Gives back what the allocator kept of freed memory, for the next allocation. Does nothing where the C library
    has no such call."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
