"""Writes src/quire/protocol/_generated from quire.proto, or with --check says whether the committed code is the same.

Usage: python tools/proto.py [--check]
"""

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

PROTOCOL = Path(__file__).parent.parent / "src" / "quire" / "protocol"
GENERATED = PROTOCOL / "_generated"
PROTO = "quire/v1/quire.proto"
"""The name by which reflection knows the file."""
MODULES = ("quire_pb2.py", "quire_pb2.pyi", "quire_pb2_grpc.py")


def fresh_modules() -> dict[str, str]:
    """The code by file name."""
    with tempfile.TemporaryDirectory() as folder:
        includes = [f"-I{Path(PROTO).parent}={PROTOCOL}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
        outputs = [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
        if protoc.main(["protoc", *includes, *outputs, PROTO]) != 0:
            raise SystemExit("error: quire.proto cannot be compiled")
        made = Path(folder) / Path(PROTO).parent
        return {name: _at_home((made / name).read_text()) for name in MODULES}


def _at_home(code: str) -> str:
    """The compiler knows where the file is published, and not where we keep what it makes."""
    return code.replace("from quire.v1 import quire_pb2", "from quire.protocol._generated import quire_pb2")


def main(arguments: list[str]) -> int:
    fresh = fresh_modules()
    if arguments != ["--check"]:
        for name, code in fresh.items():
            (GENERATED / name).write_text(code)
        return 0
    stale = [name for name, code in fresh.items() if (GENERATED / name).read_text() != code]
    for name in stale:
        print(f"error: {name} is not what quire.proto says. Make it again: make proto", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
