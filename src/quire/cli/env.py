"""`quire env`: what Quire found on this machine; the first thing to send with a report of a fault."""

import json
from typing import Annotated, Any

import typer

import quire
from quire.bench.machine import environment
from quire.memory import device

PACKAGES = ("torch", "numpy", "tokenizers", "huggingface_hub", "llguidance", "gguf", "msgspec")


def env(as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False) -> None:
    """Print versions, CPU features and the kernels chosen, devices, memory and threads."""
    found = describe()
    if as_json:
        print(json.dumps(found, indent=1))
        return
    for group, facts in found.items():
        print(group)
        for name, value in facts.items():
            label = name.removesuffix("_bytes")
            print(f"  {label:<22} {_shown(value) if label == name else f'{value / (1 << 30):.1f} GiB'}")


def describe() -> dict[str, dict[str, Any]]:
    """Facts by group, all of them JSON."""
    import torch

    from quire import _native

    machine = environment.describe()
    return {
        "versions": {
            "quire": quire.__version__,
            "commit": machine["commit"],
            "python": machine["python"],
            "system": machine["system"],
            **environment.package_versions(PACKAGES),
        },
        "cpu": {
            "model": machine["cpu"],
            "physical_cores": machine["physical_cores"],
            "threads": torch.get_num_threads(),
            "features": [name for name, has in _native.cpu_features().items() if has],
            "kernels": machine["kernels"],
        },
        "memory": {
            "total_bytes": device.total_memory_bytes(),
            "available_bytes": device.available_memory_bytes(),
            "huge_pages": device.huge_pages(),
        },
        "devices": {"cpu": True, "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]},
    }


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
