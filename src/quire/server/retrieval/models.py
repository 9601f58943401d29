"""The models that a server has beside the one it generates with: what makes vectors, and what judges passages.

One that was named is loaded with the server, so that a wrong name ends it at once; the default embedding model is
loaded when it is first needed, and not missed where it is not there. Any thread.
"""

from quire.errors import ModelLoadError, shown
from quire.retrieval.collection.vectors import DEFAULT_EMBEDDER, load_embedder
from quire.retrieval.neural.default_model import NAME, REPOSITORY
from quire.retrieval.neural.embedder import Embedder
from quire.retrieval.neural.reranker import Reranker
from quire.server.errors import ApiError, unavailable

NO_MODEL = "none"


class RetrievalModels:
    """`embedder` and `reranker` as in ServerSettings."""

    def __init__(self, embedder: str | None, reranker: str | None) -> None:
        self.is_embedder_given = embedder not in (None, NO_MODEL)
        self._embedder_name = None if embedder == NO_MODEL else embedder or DEFAULT_EMBEDDER
        self._reranker_name = reranker
        self._embedder: Embedder | None = None
        self._reranker: Reranker | None = None

    def load(self) -> None:
        """Those that were named. Raises ModelLoadError."""
        if self.is_embedder_given:
            self.embedder()
        if self._reranker_name is not None:
            self._reranker = Reranker(self._reranker_name)

    @property
    def embedder_names(self) -> tuple[str, ...]:
        """By which requests may call it; answers use the first."""
        if self._embedder_name is None:
            return ()
        return (NAME, REPOSITORY) if self._embedder_name in (DEFAULT_EMBEDDER, NAME) else (self._embedder_name,)

    def embedder(self) -> Embedder:
        """REQUIRES: it has a name. Raises ModelLoadError where it is not on this machine."""
        assert self._embedder_name is not None
        if self._embedder is None:
            self._embedder = load_embedder(self._embedder_name)
        return self._embedder

    def embedder_for_collections(self) -> str | None:
        """Its name as collections take it; None where there is none. Raises ModelLoadError where it must be there."""
        if self._embedder_name is None:
            return None
        try:
            self.embedder()
        except ModelLoadError:
            if self.is_embedder_given:
                raise
            return None
        return self._embedder_name

    def reranker(self, asked: str | None) -> tuple[str, Reranker]:
        """Its name too. Raises ApiError 404 where there is none, or none of that name."""
        name = self._reranker_name
        if name is None:
            raise _no_model("This server judges no passages; start it with --reranker MODEL.")
        if asked not in (None, name):
            raise _no_model(f"There is no reranker {shown(asked)} here; allowed: {name!r}.")
        if self._reranker is None:
            raise unavailable("The reranker is being loaded; /ready says when it is there.", code="model_loading")
        return name, self._reranker


def _no_model(message: str) -> ApiError:
    return ApiError(404, message, param="model", code="model_not_found")
