"""What is given back is gone from the resident set, and its neighbours are not."""

import mmap
import sys

import numpy as np
import pytest

from quire.memory.buffers import release_pages

PAGE = mmap.PAGESIZE


def resident_bytes(buffer: np.ndarray) -> int:
    """Of the mapping that holds `buffer`, what is in memory, by /proc/self/smaps."""
    address, is_inside, total = buffer.ctypes.data, False, 0
    with open("/proc/self/smaps") as lines:
        for line in lines:
            head = line.split(maxsplit=1)[0]
            if "-" in head and ":" not in head:
                low, high = (int(part, 16) for part in head.split("-"))
                is_inside = low < address + buffer.nbytes and address < high
            elif is_inside and head == "Rss:":
                total += int(line.split()[1]) * 1024
    return total


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux gives pages back at once")
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
