"""What Quire needs according to pyproject.toml, a line each, for `pip install -r` while its native core is built.

Usage: python tools/requirements.py [EXTRA…]
"""

import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def requirements(extras: list[str]) -> list[str]:
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    return [*project["dependencies"], *(line for extra in extras for line in optional[extra])]


if __name__ == "__main__":
    print(*requirements(sys.argv[1:]), sep="\n")
