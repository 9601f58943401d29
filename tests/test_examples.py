"""Every example runs as its own help says, on the embedded model if on any."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

EXAMPLES = Path(__file__).parent.parent / "examples"
ARGUMENTS = {
    "notes_collection.py": ["who drew the map?", "--words-only"],
    "offline_batch.py": ["--max-tokens", "4"],
    "serve_and_chat.py": ["--max-tokens", "8"],
    "serve_a_collection.py": [],
    "throughput.py": ["--num-requests", "8", "--input-len", "10", "40", "--output-len", "5", "9"],
}
PRINTED = {
    "notes_collection.py": "'who drew the map?': moor (lexical)\n",
    "offline_batch.py": "'The capital of France is' → ",
    "serve_and_chat.py": "answer: ",
    "serve_a_collection.py": "found orme: ",
    "throughput.py": "8 requests, ",
}


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(ARGUMENTS)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_example(name: str) -> None:
    command = [sys.executable, str(EXAMPLES / name), *ARGUMENTS[name]]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert PRINTED[name] in done.stdout
    assert ("embedded quire-tiny" in done.stderr) == (name != "notes_collection.py")
