"""What can go wrong that a user can mend, or must know of?

    QuireError
    ├── ConfigError            a knob of the engine has a value it cannot have        (also a ValueError)
    ├── InvalidRequestError    a prompt or a sampling parameter cannot be served      (also a ValueError)
    ├── ModelLoadError         a model directory, file or tensor is not what it should be
    ├── CapacityError          the machine has too little of something, and what to change
    ├── CorruptIndexError      an index file is damaged, cut short, or something else
    ├── StorageError           a disk is full, failing or not to be written; what was there before is still there
    │   └── CollectionLockedError   another process writes to this collection
    ├── EngineClosedError      the engine was closed, or died; nothing more will come
    ├── ServerError            a server answered a client with an error
    └── ServerUnreachableError  a server did not answer a client

A message holds the value that was given, what is allowed, and what to do. `suggest` adds the nearest name.
"""

import copyreg
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class QuireError(Exception):
    """Base of all errors raised on purpose; pickled, they come out of another process as they were."""

    def __reduce__(self) -> tuple[Any, ...]:
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]


class ConfigError(QuireError, ValueError):
    """A knob of the engine has a value it cannot have."""


class InvalidRequestError(QuireError, ValueError):
    """A request cannot be served as it stands. `param` names the field at fault and `code` the mistake, where they have
    a name that programs know."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class ModelLoadError(QuireError):
    """A model directory, file or tensor is not what it should be."""


class CapacityError(QuireError):
    """The machine has too little memory, blocks or rows for what was asked."""


class CorruptIndexError(QuireError):
    """An index file is damaged, cut short, or something else; what it was derived from can rebuild it."""


class StorageError(QuireError):
    """A disk is full, failing or not to be written. Nothing of the change was kept; what was there before is."""


class CollectionLockedError(StorageError):
    """Somebody else has the collection open for writing."""


class EngineClosedError(QuireError):
    """The engine was closed, or died; requests in flight get this too."""


class ServerError(QuireError):
    """A server answered with an error, in its words."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        """As over HTTP, whichever way it came."""
        self.code = code
        self.param = param
        """The field at fault."""
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        """By which the server's log names the request."""


class ServerUnreachableError(QuireError):
    """No server answered, or it broke off. Where `was_sent`, it may have begun what was asked."""

    def __init__(self, message: str, *, was_sent: bool) -> None:
        super().__init__(message)
        self.was_sent = was_sent


def shown(value: Any, limit: int = 80) -> str:
    """`value` as it may stand in a message: never longer than `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def suggest(name: str, allowed: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the nearest allowed name, or nothing."""
    near = get_close_matches(name, list(allowed), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
