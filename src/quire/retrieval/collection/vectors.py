"""Where the vectors of a collection come from: an embedder, which is loaded when first needed, the caller, or nowhere.

The first documents settle it and the collection remembers: vectors of another model would be compared with them and
mean nothing.

    none        searched by words only
    own         every document and every query comes with its vector
    embedder    of one fingerprint; own vectors may be given too, and are taken to be of the same model
"""

from threading import Lock
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakValueDictionary

import numpy as np

from quire.errors import ConfigError, InvalidRequestError, shown
from quire.retrieval.collection.documents import CheckedDocument, unit_vector, unit_vectors
from quire.retrieval.embedding import Embedder, Vectors

if TYPE_CHECKING:
    from quire.retrieval.neural.embedder import Embedder as NeuralEmbedder

DEFAULT_EMBEDDER = "default"
NAMES = ("source", "dim", "embedder", "model")
"""What the collection remembers of them."""
Source = Literal["none", "own", "embedder"]


class VectorSource:
    """given      an embedder, the name of a model, or None for none.
    settings    what the collection remembers; empty for a new one.
    """

    def __init__(self, given: Embedder | str | None, settings: dict[str, Any]) -> None:
        self._lock = Lock()
        self._settings = {name: settings[name] for name in NAMES if name in settings}
        self._name = given if isinstance(given, str) else None
        self._embedder: Embedder | None = None
        if given is not None and not isinstance(given, str):
            self._embedder = given
            self._check_fingerprint(given)
        if self._name == DEFAULT_EMBEDDER:
            self._name = self._settings.get("model", DEFAULT_EMBEDDER)

    @property
    def source(self) -> Source | None:
        """None until the first documents have come."""
        found: Source | None = self._settings.get("source")
        return found

    @property
    def dim(self) -> int | None:
        found: int | None = self._settings.get("dim")
        return found

    @property
    def settings(self) -> dict[str, object]:
        return self._settings

    def settle(self, documents: list[CheckedDocument]) -> dict[str, object]:
        """What the collection is to remember once these are kept; nothing when it does already.

        Raises InvalidRequestError where their vectors are not of the kind that the collection has.
        """
        with_vector = [document for document in documents if document.vector is not None]
        without = [document for document in documents if document.vector is None]
        source = self.source or self._source_for(without)
        if source == "none" and with_vector:
            raise InvalidRequestError(
                f"document {shown(with_vector[0].id)} has a vector, but the collection is searched by words only; "
                "leave it out, or begin a new collection with vectors",
                param="vector",
            )
        if source == "own" and without:
            raise InvalidRequestError(
                f"document {shown(without[0].id)} has no vector, but the others of this collection came with theirs; "
                "give it one",
                param="vector",
            )
        found = self._described(source, with_vector)
        self._check_dims(with_vector, found.get("dim"))
        return {} if self.source else found

    def chosen(self, source: Source, dim: int | None) -> dict[str, object]:
        """What the collection is to remember where its owner says so and no document does."""
        if self.source is not None:
            raise InvalidRequestError(
                f"vectors is {shown(source)}, but the collection has settled on {self.source!r}; begin a new one",
                param="vectors",
            )
        if (source == "own") != (dim is not None):
            raise InvalidRequestError(f"dim is {shown(dim)}; give it for vectors of one's own alone", param="dim")
        return {"source": source, "dim": dim} if source == "own" else self._described(source, [])

    def remember(self, settled: dict[str, Any]) -> None:
        self._settings |= {name: settled[name] for name in NAMES if name in settled}

    def embed_documents(self, texts: list[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.embedder.dim), dtype=np.float32)
        return self._checked(self.embedder.embed_documents(texts), texts)

    def embed_query(self, query: str) -> Vectors:
        direction: Vectors = self._checked(self.embedder.embed_queries([query]), [query])[0]
        return direction

    def query_vector(self, vector: Any) -> Vectors:
        """One that the caller gives."""
        row = unit_vector(vector, "vector")
        if self.dim is not None and len(row) != self.dim:
            raise InvalidRequestError(f"vector has {len(row)} numbers; allowed: {self.dim}", param="vector")
        return row

    def check_can_embed(self) -> None:
        """Loads nothing. Raises InvalidRequestError where texts have no vectors here, ConfigError without embedder."""
        if self.source == "own":
            raise InvalidRequestError(
                "the vectors of this collection came with its documents; give vector=, or mode='lexical'",
                param="vector",
            )
        if self._embedder is None and self._name is None:
            raise ConfigError(
                "this needs an embedder, and the collection was opened with embedder=None; "
                "give one, or vector=, or mode='lexical'"
            )

    @property
    def embedder(self) -> Embedder:
        """Loaded when first asked for. Raises ConfigError where it is not the one that the collection was made with."""
        self.check_can_embed()
        with self._lock:
            if self._embedder is None:
                assert self._name is not None
                loaded = load_embedder(self._name)
                self._check_fingerprint(loaded)
                self._embedder = loaded
            return self._embedder

    def _source_for(self, without: list[CheckedDocument]) -> Source:
        if self._embedder is not None:
            return "embedder"
        if not without:
            return "own"
        return "embedder" if self._name is not None else "none"

    def _described(self, source: Source, with_vector: list[CheckedDocument]) -> dict[str, Any]:
        if self.source:
            return self._settings
        if source == "embedder":
            name = {} if self._name in (None, DEFAULT_EMBEDDER) else {"model": self._name}
            return {"source": source, "embedder": self.embedder.fingerprint, "dim": self.embedder.dim} | name
        if source == "own":
            vector = with_vector[0].vector
            assert vector is not None
            return {"source": source, "dim": len(vector)}
        return {"source": source}

    def _check_dims(self, documents: list[CheckedDocument], dim: object) -> None:
        for document in documents:
            if document.vector is not None and len(document.vector) != dim:
                raise InvalidRequestError(
                    f"vector of document {shown(document.id)} has {len(document.vector)} numbers; allowed: {dim}",
                    param="vector",
                )

    def _checked(self, vectors: Vectors, texts: list[str]) -> Vectors:
        expected = (len(texts), self.embedder.dim)
        if vectors.shape != expected:
            raise ConfigError(f"the embedder made vectors of shape {vectors.shape}; allowed: {expected}")
        return unit_vectors(vectors, [f"the vector of {shown(text)}" for text in texts])

    def _check_fingerprint(self, embedder: Embedder) -> None:
        if self.source in ("none", "own"):
            raise ConfigError(
                "the collection was made without an embedder; open it with embedder=None, "
                "or add its documents to a new collection"
            )
        known = self._settings.get("embedder", embedder.fingerprint)
        if known != embedder.fingerprint:
            raise ConfigError(
                f"embedder is {embedder.fingerprint}, but the collection was made with {known}; "
                "open it with that one, or add its documents to a new collection"
            )


_loaded: "WeakValueDictionary[str, NeuralEmbedder]" = WeakValueDictionary()
"""Models in use, by name: collections of one process share them."""
_loading = Lock()


def load_embedder(name: str) -> "NeuralEmbedder":
    """The model of this name, which others in this process may use too. Raises ModelLoadError where it is not on this
    machine and cannot be had."""
    from quire.retrieval.neural import embedder as neural  # loads torch
    from quire.retrieval.neural.default_model import NAME

    name = NAME if name == DEFAULT_EMBEDDER else name
    with _loading:
        found = _loaded.get(name)
        if found is None:
            found = _loaded[name] = neural.Embedder(name)
        return found
