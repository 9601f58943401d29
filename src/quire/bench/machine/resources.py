"""What one repetition took besides time: resident memory, and how busy other processes kept the machine.

Linux can set the peak back, so the peak is the repetition's own; elsewhere it is the peak since the process began, and
the load of others is unknown (None).
"""

import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

MIN_SECONDS_OF_OTHERS = 0.2


def resident_bytes(process: int | str = "self") -> int:
    """What a process has in memory now; 0 where the system does not say."""
    return status_bytes("VmRSS", process)


def cpu_seconds(process: int) -> float:
    """Processor time that another process has used; 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Watch:
    """`with Watch() as watch: …`; the fields are filled when the block ends."""

    rss_peak_bytes: int = 0
    rss_delta_bytes: int = 0
    """The peak above what was resident when the block began."""
    other_cpus: float | None = None
    """Cores kept busy by others, on average; above 0.1 the numbers of this repetition are worth less. None where the
    block was too short to say: the system counts in hundredths of a second."""
    _rss_start: int = 0
    _busy_start: float | None = None
    _own_start: float = 0.0
    _time_start: float = 0.0

    def __enter__(self) -> "Watch":
        _reset_peak()
        self._rss_start = status_bytes("VmRSS")
        self._busy_start, self._own_start, self._time_start = _busy_seconds(), _own_seconds(), time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        elapsed = time.perf_counter() - self._time_start
        busy, own = _busy_seconds(), _own_seconds() - self._own_start
        if busy is not None and self._busy_start is not None and elapsed > MIN_SECONDS_OF_OTHERS:
            self.other_cpus = max(0.0, (busy - self._busy_start - own) / elapsed)
        self.rss_peak_bytes = status_bytes("VmHWM") or _lifetime_peak_bytes()
        self.rss_delta_bytes = max(0, self.rss_peak_bytes - self._rss_start) if self._rss_start else 0


def _reset_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def status_bytes(key: str, process: int | str = "self") -> int:
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    line = next((line for line in text.splitlines() if line.startswith(f"{key}:")), f"{key}: 0 kB")
    return int(line.split()[1]) * 1024


def _lifetime_peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _busy_seconds() -> float | None:
    """Seconds of all cores spent on user and kernel work since the machine started."""
    try:
        user, nice, system, _, _, irq, softirq, *_ = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    return sum(map(int, (user, nice, system, irq, softirq))) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Processor time of this process and of its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
