"""Where a number was made: the facts that must match before two numbers may be compared.

Knows nothing of results. `describe()` never fails: what cannot be found out is `None` or `unknown`.
"""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import quire
from quire.memory import device

PACKAGES = ("torch", "numpy", "tokenizers", "transformers", "llguidance", "msgspec")


def describe() -> dict[str, Any]:
    """CPU and its kernels, memory, system, Python, package versions, commit, and a short `hash` over all of them."""
    facts: dict[str, Any] = {
        "cpu": cpu_model(),
        "kernels": kernel_family(),
        "physical_cores": device.num_physical_cores(),
        "memory_gib": round(device.total_memory_bytes() / (1 << 30), 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "quire": quire.__version__,
        "packages": package_versions(PACKAGES),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "commit": commit(),
    }
    return facts | {"hash": digest(facts)}


def digest(facts: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits; the same for the same facts, whatever order they come in."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """`["cpu: A here, B there", …]` for every fact that differs, the hash aside."""
    names = [name for name in {**ours, **theirs} if name != "hash"]
    return [
        f"{name}: {ours.get(name)} here, {theirs.get(name)} there"
        for name in names
        if ours.get(name) != theirs.get(name)
    ]


def package_versions(names: tuple[str, ...]) -> dict[str, str | None]:
    return {name: _version(name) for name in names}


def cpu_model() -> str:
    """The processor's own name for itself."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown"
    for line in text.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine() or "unknown"


def kernel_family() -> str:
    """Which kernels the core chose for this processor."""
    import torch  # noqa: F401  before quire._native: one OpenMP runtime

    from quire import _native

    return _native.isa()


def commit() -> str | None:
    """The commit this code was run from, marked `+` where files differ from it; None outside of a checkout."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if not head:
        return None
    return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str:
    here = Path(__file__).parent
    try:
        done = subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
