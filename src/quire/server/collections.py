"""The collections that chats may answer from: those named when the server was started, open for as long as it runs.

Read only, so that others may write to them meanwhile; each search sees what is there by then. Any thread.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from quire.errors import ConfigError, shown
from quire.retrieval.collection import Collection, place_of
from quire.server.errors import ApiError


class Collections:
    def __init__(self, places: Iterable[str]) -> None:
        """Names or paths; a path is known by the name of its folder. Raises QuireError where there is no collection."""
        self._open: dict[str, Collection] = {}
        try:
            for place in places:
                self._add(place)
        except BaseException:
            self.close()
            raise

    @property
    def by_name(self) -> Mapping[str, Collection]:
        return MappingProxyType(self._open)

    def named(self, name: str) -> Collection:
        """Raises ApiError 404 for one that is not served."""
        if name not in self._open:
            known = ", ".join(map(repr, self._open)) or "none; start the server with --collection NAME"
            message = f"There is no collection {shown(name)} here; allowed: {known}."
            raise ApiError(404, message, param="collection", code="collection_not_found")
        return self._open[name]

    def close(self) -> None:
        for collection in self._open.values():
            collection.close()

    def _add(self, place: str) -> None:
        name = place_of(place).resolve().name
        if name in self._open:
            raise ConfigError(f"collection is given twice as {shown(name)}; a chat asks for it by that name.")
        self._open[name] = Collection.open(place, read_only=True, create=False)
