"""Each test lays out a small /proc and /sys of its own and checks numbers that can be read off it."""

from pathlib import Path

import pytest

from quire.memory import device

GIB = 1 << 30
MEMINFO = "MemTotal:       33554432 kB\nMemFree:  1024 kB\nMemAvailable:   16777216 kB\nHugePages_Total:       0\n"


def write(root: Path, files: dict[str, object]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def test_without_groups_the_machine_decides(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/"})
    assert device.total_memory_bytes(root) == 32 * GIB
    assert device.available_memory_bytes(root) == 16 * GIB


def test_v2_limit_less_use_plus_what_the_kernel_gives_back(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/box"
    files = {
        "proc/meminfo": MEMINFO,
        "proc/self/cgroup": "0::/box",
        f"{group}/memory.max": 4 * GIB,
        f"{group}/memory.current": 3 * GIB,
        f"{group}/memory.stat": f"anon 5\ninactive_file {GIB}",
    }
    root = write(tmp_path, files)
    assert device.total_memory_bytes(root) == 4 * GIB
    assert device.available_memory_bytes(root) == 2 * GIB


def test_a_tighter_group_above_wins_and_max_means_none(tmp_path: Path) -> None:
    files = {
        "proc/meminfo": MEMINFO,
        "proc/self/cgroup": "0::/outer/inner",
        "sys/fs/cgroup/outer/memory.max": 2 * GIB,
        "sys/fs/cgroup/outer/memory.current": GIB,
        "sys/fs/cgroup/outer/inner/memory.max": "max",
        "sys/fs/cgroup/outer/inner/memory.current": GIB,
    }
    assert device.available_memory_bytes(write(tmp_path, files)) == GIB


def test_v1_groups(tmp_path: Path) -> None:
    files = {
        "proc/meminfo": MEMINFO,
        "proc/self/cgroup": "7:memory:/job\n3:cpu,cpuacct:/job",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": 9223372036854771712,
        "sys/fs/cgroup/memory/memory.usage_in_bytes": GIB,
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": 6 * GIB,
        "sys/fs/cgroup/memory/job/memory.usage_in_bytes": 5 * GIB,
        "sys/fs/cgroup/memory/job/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB}",
    }
    assert device.available_memory_bytes(write(tmp_path, files)) == 2 * GIB


def test_an_overdrawn_group_leaves_nothing_rather_than_less(tmp_path: Path) -> None:
    files = {
        "proc/meminfo": MEMINFO,
        "proc/self/cgroup": "0::/",
        "sys/fs/cgroup/memory.max": GIB,
        "sys/fs/cgroup/memory.current": 2 * GIB,
    }
    assert device.available_memory_bytes(write(tmp_path, files)) == 0


def cpuinfo(*cores: tuple[int, int]) -> str:
    blocks = (f"processor\t: {i}\nphysical id\t: {p}\ncore id\t\t: {c}" for i, (p, c) in enumerate(cores))
    return "\n\n".join(blocks)


def test_two_threads_of_a_core_count_once(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/cpuinfo": cpuinfo((0, 0), (0, 0), (0, 1), (1, 0)), "proc/self/cgroup": "0::/"})
    assert device.num_physical_cores(root) == 3


@pytest.mark.parametrize(("quota", "expected"), [("max 100000", 4), ("250000 100000", 2), ("50000 100000", 1)])
def test_a_cpu_quota_caps_the_cores(tmp_path: Path, quota: str, expected: int) -> None:
    files = {"proc/cpuinfo": cpuinfo((0, 0), (0, 1), (0, 2), (0, 3)), "proc/self/cgroup": "0::/"}
    assert device.num_physical_cores(write(tmp_path, files | {"sys/fs/cgroup/cpu.max": quota})) == expected


def test_huge_pages_reads_the_bracketed_word(tmp_path: Path) -> None:
    name = "sys/kernel/mm/transparent_hugepage/enabled"
    assert device.huge_pages(write(tmp_path, {name: "always [madvise] never"})) == "madvise"
    assert device.huge_pages(tmp_path / "nowhere") == "unknown"


def test_this_machine_has_something() -> None:
    assert 0 < device.available_memory_bytes() <= device.total_memory_bytes()
    assert device.num_physical_cores() >= 1
