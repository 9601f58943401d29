"""What this process may use of the machine: memory, cores, threads, huge pages.

Knows nothing of models or caches. Inside a container the answer is the container's, not the host's: every number is
the smallest of the machine's and of the control groups (v1 or v2) above the process. `root` is where /proc and /sys
lie; tests pass a directory of their own.
"""

import os
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """One control group's word on memory."""

    limit_bytes: int
    used_bytes: int
    """Without the page cache that the kernel would give back."""


def total_memory_bytes(root: Path = ROOT) -> int:
    """The most this process could ever hold."""
    if platform.system() == "Darwin" and root == ROOT:
        return int(_sysctl("hw.memsize"))
    limits = [group.limit_bytes for group in _memory_groups(root)]
    return min([_meminfo(root)["MemTotal"], *limits])


def available_memory_bytes(root: Path = ROOT) -> int:
    """What can be taken now without swapping and without being killed for it."""
    if platform.system() == "Darwin" and root == ROOT:
        return _available_on_macos()
    room = [max(0, group.limit_bytes - group.used_bytes) for group in _memory_groups(root)]
    return min([_meminfo(root)["MemAvailable"], *room])


def num_physical_cores(root: Path = ROOT) -> int:
    """Cores with arithmetic units of their own that this process may run on; at least 1."""
    if platform.system() == "Darwin" and root == ROOT:
        return int(_sysctl("hw.physicalcpu"))
    cores = len(_core_ids(root)) or _num_allowed_cpus()
    return max(1, min([cores, *_cpu_quotas(root)]))


def set_threads(num_threads: int) -> None:
    """The CPU kernels called from this thread use so many threads. OpenMP keeps the number per calling thread, so the
    engine's own thread is the one to call this."""
    import torch

    torch.set_num_threads(num_threads)


def huge_pages(root: Path = ROOT) -> str:
    """The kernel's policy on transparent huge pages: always, madvise, never, or unknown."""
    text = _read(root / "sys/kernel/mm/transparent_hugepage/enabled")
    _, _, rest = text.partition("[")
    return rest.partition("]")[0] or "unknown"


def _meminfo(root: Path) -> dict[str, int]:
    pairs = (line.split(":") for line in _read(root / "proc/meminfo").splitlines())
    return {name: int(rest.split()[0]) * 1024 for name, rest in pairs}


def _memory_groups(root: Path) -> Iterator[MemoryGroup]:
    for directory in _group_directories(root, "memory"):
        limit = _read(directory / "memory.max") or _read(directory / "memory.limit_in_bytes")
        used = _read(directory / "memory.current") or _read(directory / "memory.usage_in_bytes")
        if limit.isdigit() and used.isdigit():
            stat = dict(line.split() for line in _read(directory / "memory.stat").splitlines())
            reclaimable = int(stat.get("total_inactive_file", stat.get("inactive_file", "0")))
            yield MemoryGroup(int(limit), int(used) - reclaimable)


def _cpu_quotas(root: Path) -> Iterator[int]:
    for directory in _group_directories(root, "cpu"):
        quota, _, period = _read(directory / "cpu.max").partition(" ")
        quota = quota or _read(directory / "cpu.cfs_quota_us")
        period = period or _read(directory / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit():
            yield max(1, int(quota) // int(period))


def _group_directories(root: Path, controller: str) -> Iterator[Path]:
    """The process's own group and all above it. A container may see its group mounted at the top, whatever its path."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / (controller if controllers else "")
        yield top
        below = top
        for part in Path(path).parts[1:]:
            below = below / part
            yield below


def _core_ids(root: Path) -> set[tuple[str, str]]:
    allowed = os.sched_getaffinity(0) if root == ROOT else None
    found = set()
    for block in _read(root / "proc/cpuinfo").split("\n\n"):
        lines = (line.partition(":") for line in block.splitlines())
        fields = {name.strip(): value.strip() for name, _, value in lines}
        if "core id" in fields and (allowed is None or int(fields["processor"]) in allowed):
            found.add((fields["physical id"], fields["core id"]))
    return found


def _num_allowed_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _available_on_macos() -> int:
    lines = subprocess.run(["vm_stat"], capture_output=True, text=True, check=True).stdout.splitlines()
    pages = {name: int(count.strip(" .")) for name, _, count in (line.partition(":") for line in lines[1:]) if count}
    free = pages["Pages free"] + pages["Pages inactive"] + pages.get("Pages speculative", 0)
    return free * os.sysconf("SC_PAGE_SIZE")


def _sysctl(name: str) -> str:
    return subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=True).stdout.strip()


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
