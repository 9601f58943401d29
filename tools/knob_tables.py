"""Writes the tables of knobs in the pages from the fields they describe, between `<!-- fields: Class -->` and
`<!-- end -->`; with --check says whether the committed ones are the same.
"""

import re
import sys
from dataclasses import MISSING, fields
from pathlib import Path

from quire.cli.flags import help_of
from quire.config import EngineConfig
from quire.sampling_params import SamplingParams, StructuredOutputs
from quire.server.settings import ServerSettings

DOCS = Path(__file__).parent.parent / "docs"
PAGES = (DOCS / "engine.md", DOCS / "server.md")
KNOBS = (EngineConfig, SamplingParams, StructuredOutputs, ServerSettings)
CLASSES: dict[str, type] = {cls.__name__: cls for cls in KNOBS}
SECTION = re.compile(r"(<!-- fields: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(cls: type) -> str:
    """A row per public field: name, default, help, and what it may be."""
    rows = ["| name | default | what it does |", "| --- | --- | --- |"]
    for field in fields(cls):
        if field.init:
            default = "" if field.default is MISSING else f"`{field.default!r}`"
            choices = field.metadata.get("choices")
            allowed = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
            told = " ".join(help_of(cls)[field.name].split())  # a row of a table is one line
            rows.append(f"| `{field.name}` | {default} | {told}{allowed} |")
    return "\n".join(rows) + "\n"


def filled(page: str) -> str:
    """The page with every table made anew."""
    return SECTION.sub(lambda match: f"{match[1]}\n{table(CLASSES[match[2]])}\n{match[3]}", page)


def main(arguments: list[str]) -> int:
    stale = [page for page in PAGES if page.read_text() != filled(page.read_text())]
    if arguments == ["--check"]:
        for page in stale:
            print(f"error: docs/{page.name} is not what the fields say. Make it again: make stubs", file=sys.stderr)
        return 1 if stale else 0
    for page in stale:
        page.write_text(filled(page.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
