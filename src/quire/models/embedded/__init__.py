"""The tiny model that Quire carries, so that the whole system can be tried without a download."""

from pathlib import Path

EMBEDDED_MODEL = Path(__file__).parent / "quire-tiny"

EMBEDDED_NOTE = (
    "quire: no model named; using the embedded quire-tiny, a toy to try the system with. "
    "For a real one name it, for example Qwen/Qwen3-0.6B."
)
