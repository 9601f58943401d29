"""What is given back is gone from the resident set, and its neighbours are not; huge pages are asked for where whole
ones lie."""

import mmap
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from quire.memory.buffers import HUGE_PAGE, prefer_huge_pages, release_pages

PAGE = mmap.PAGESIZE


ON_LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux takes such advice")


def mapping_lines(buffer: np.ndarray) -> Iterator[str]:
    """What /proc/self/smaps says of the mappings that hold `buffer`."""
    is_inside = False
    with open("/proc/self/smaps") as lines:
        for line in lines:
            head = line.split(maxsplit=1)[0]
            if "-" in head and ":" not in head:
                low, high = (int(part, 16) for part in head.split("-"))
                is_inside = low < buffer.ctypes.data + buffer.nbytes and buffer.ctypes.data < high
            elif is_inside:
                yield line


def resident_bytes(buffer: np.ndarray) -> int:
    return sum(int(line.split()[1]) * 1024 for line in mapping_lines(buffer) if line.startswith("Rss:"))


@ON_LINUX
def test_whole_pages_inside_the_range_are_given_back_and_read_as_zeros() -> None:
    buffer = np.full(64 << 20, 7, np.uint8)
    before = resident_bytes(buffer)
    start = -buffer.ctypes.data % PAGE
    released = release_pages(buffer.ctypes.data + start + 1, 32 << 20)
    assert released == (32 << 20) - PAGE
    assert before - resident_bytes(buffer) >= released * 0.99
    assert (buffer[: start + PAGE] == 7).all()
    assert not buffer[start + PAGE : start + PAGE + released].any()
    assert (buffer[start + PAGE + released :] == 7).all()


def test_less_than_a_page_is_left_alone() -> None:
    buffer = np.full(4 * PAGE, 7, np.uint8)
    start = -buffer.ctypes.data % PAGE
    assert release_pages(buffer.ctypes.data + start + 1, PAGE) == 0
    assert release_pages(buffer.ctypes.data, 0) == 0
    assert (buffer == 7).all()


@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").is_dir(), reason="a kernel without huge pages")
def test_huge_pages_are_asked_for_where_whole_ones_lie() -> None:
    # Not numpy's own memory, for which numpy asks the same.
    buffer = np.frombuffer(mmap.mmap(-1, 4 * HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)
    first = -(-buffer.ctypes.data // HUGE_PAGE)
    end = (buffer.ctypes.data + buffer.nbytes) // HUGE_PAGE
    assert prefer_huge_pages(buffer.ctypes.data, buffer.nbytes) == (end - first) * HUGE_PAGE
    flags = [line.split()[1:] for line in mapping_lines(buffer) if line.startswith("VmFlags:")]
    assert any("hg" in words for words in flags)


def test_a_buffer_smaller_than_a_huge_page_is_left_alone() -> None:
    buffer = np.empty(HUGE_PAGE // 2, np.uint8)
    assert prefer_huge_pages(buffer.ctypes.data, buffer.nbytes) == 0
