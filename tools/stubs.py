"""Writes src/quire/_native.pyi from the built extension, or with --check says whether the committed one is the same.

Usage: python tools/stubs.py [--check]
"""

import difflib
import importlib
import sys
from pathlib import Path

from nanobind.stubgen import StubGen

STUB = Path(__file__).parent.parent / "src" / "quire" / "_native.pyi"


def fresh_stub() -> str:
    module = importlib.import_module("quire._native")
    generator = StubGen(module, recursive=False)
    generator.put(module)
    stub: str = generator.get()
    return stub


def main(arguments: list[str]) -> int:
    fresh = fresh_stub()
    if arguments != ["--check"]:
        STUB.write_text(fresh)
        return 0
    committed = STUB.read_text() if STUB.exists() else ""
    if committed == fresh:
        return 0
    sys.stdout.writelines(
        difflib.unified_diff(committed.splitlines(True), fresh.splitlines(True), "committed", "as built")
    )
    print("error: src/quire/_native.pyi is not what the extension says. Make it again: make stubs", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
