"""JSON beside a model, read with words for what is wrong with it."""

import json
from pathlib import Path
from typing import Any

from quire.errors import ModelLoadError


def read_json(path: Path) -> Any:
    """Raises ModelLoadError where the file is missing or no JSON."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelLoadError(f"{path} is not JSON ({error}).") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """Raises ModelLoadError where the file is missing or something else."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise ModelLoadError(f"{path} holds a JSON {type(value).__name__}; expected an object.")
    return value
