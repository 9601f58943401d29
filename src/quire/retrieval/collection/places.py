"""Where a collection lies: a name means a folder below the user's data, a path means itself.

$QUIRE_HOME/collections/NAME        QUIRE_HOME unset: the data directory that the system gives a user's programs
"""

import os
import re
import sys
from pathlib import Path

from quire.errors import InvalidRequestError, shown
from quire.retrieval.store.store import remove_store
from quire.retrieval.store.tables.database import DATABASE

_NAME = re.compile(r"\w[\w.-]{0,99}")


def home() -> Path:
    """What Quire keeps for the user."""
    if given := os.environ.get("QUIRE_HOME"):
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "quire"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "quire"


def place_of(path_or_name: str | os.PathLike[str]) -> Path:
    """A str without a separator is a name, unless a collection lies at that path."""
    if isinstance(path_or_name, os.PathLike):
        return Path(path_or_name).expanduser()
    if not isinstance(path_or_name, str) or not path_or_name:
        raise InvalidRequestError(f"path_or_name is {shown(path_or_name)}; allowed: a name or a path")
    path = Path(path_or_name).expanduser()
    if "/" in path_or_name or os.sep in path_or_name or (path / DATABASE).exists():
        return path
    if not _NAME.fullmatch(path_or_name):
        raise InvalidRequestError(
            f"{shown(path_or_name)} is no name of a collection; allowed: up to 100 letters, digits, _ . and -, "
            "of which the first is a letter, a digit or _; or a path with a /"
        )
    return home() / "collections" / path_or_name


def collection_names() -> list[str]:
    """Those of the user's collections, in order."""
    return collections_in(home() / "collections")


def collections_in(folder: Path) -> list[str]:
    """The names of those that lie in it, in order."""
    names = (path.parent.name for path in folder.glob(f"*/{DATABASE}"))
    return sorted(name for name in names if _NAME.fullmatch(name))


def database_of(place: Path) -> Path:
    """The file that is there as long as the collection is."""
    return place / DATABASE


def delete_collection(path_or_name: str | os.PathLike[str]) -> None:
    """All of it, at once for who looks; a search that has it open goes on with what it has.

    Raises InvalidRequestError where there is none, CollectionLockedError while somebody writes to it.
    """
    remove_store(place_of(path_or_name))
