"""The collections of a server: those named when it was started, and all that lie in its folder.

Those named are open from the start, the others from when they are first asked for; what other processes make in the
folder, or delete, is seen at the next question. Each search sees what a collection holds by then. Any thread.
"""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from threading import Lock

from quire.errors import ConfigError, InvalidRequestError, shown
from quire.protocol.collections import NAME, CollectionRequest
from quire.retrieval.analyzer import Analyzer
from quire.retrieval.collection import Collection, place_of
from quire.retrieval.collection.places import collections_in, database_of, home
from quire.server.errors import ApiError
from quire.server.retrieval.refusals import already_there, no_embedder, not_found
from quire.server.retrieval.served import ServedCollection

_NAME = re.compile(NAME)


class Collections:
    def __init__(
        self, places: Iterable[str], folder: str | None = None, embedder: Callable[[], str | None] = lambda: None
    ) -> None:
        """Names or paths; a path is known by the name of its folder. `embedder` tells the model of collections that are
        made here, if there is one. Raises QuireError where there is no collection."""
        self._embedder = embedder
        self._folder = home() / "served" if folder is None else Path(folder).expanduser()
        if self._folder.exists() and not self._folder.is_dir():
            raise ConfigError(
                f"collection_folder is {shown(str(self._folder))}, which is no folder; give one, or none yet"
            )
        self._named: dict[str, ServedCollection] = {}
        self._found: dict[str, ServedCollection] = {}
        self._looking, self._making = Lock(), Lock()
        try:
            for place in places:
                self._add(place)
        except BaseException:
            for served in self._named.values():
                served.reader.close()
            raise

    def names(self) -> list[str]:
        in_folder = [name for name in collections_in(self._folder) if _NAME.fullmatch(name)]
        return [*self._named, *(name for name in in_folder if name not in self._named)]

    def named(self, name: str) -> ServedCollection:
        """Raises ApiError 404 for one that is not served."""
        with self._looking:
            known = self._named.get(name) or self._found.get(name)
            if known is not None and known.is_there:
                return known
            self._forget(name)
            place = self._folder / name
            if name in self._named or not (_NAME.fullmatch(name) and database_of(place).exists()):
                raise not_found(name, self.names())
            served = self._found[name] = ServedCollection(name, place, is_ours=True)
            return served

    def all(self) -> list[ServedCollection]:
        """Without what is deleted while they are looked up."""
        found = []
        for name in self.names():
            with suppress(ApiError):
                found.append(self.named(name))
        return found

    def make(self, asked: CollectionRequest) -> ServedCollection:
        """Raises ApiError 409 where there is one of that name."""
        with self._making:
            place = self._folder / asked.name
            if asked.name in self._named or database_of(place).exists():
                raise already_there(asked.name)
            embedder = self._embedder() if asked.vectors in (None, "embedder") else None
            source = asked.vectors or ("none" if embedder is None else "embedder")
            if source == "embedder" and embedder is None:
                raise no_embedder()
            with Collection.open(place, embedder=embedder, analyzer=_analyzer(asked.language)) as made:
                made.settle(source, asked.dim)
        return self.named(asked.name)

    def forget_deleted(self, name: str) -> None:
        with self._looking:
            if name in self._found and not self._found[name].is_there:
                self._forget(name)

    async def close(self) -> None:
        for served in (*self._named.values(), *self._found.values()):
            await served.close()

    def _forget(self, name: str) -> None:
        if name in self._found:
            self._found.pop(name).reader.close()

    def _add(self, path_or_name: str) -> None:
        place = place_of(path_or_name)
        name = place.resolve().name
        if name in self._named:
            raise ConfigError(f"collection is given twice as {shown(name)}; a chat asks for it by that name.")
        self._named[name] = ServedCollection(name, place, is_ours=False)


def _analyzer(language: str) -> Analyzer:
    try:
        return Analyzer(None if language == "none" else language)
    except ConfigError as error:
        raise InvalidRequestError(str(error), param="language") from error
