"""Whose request is it?

Keys are compared by their digests, all of them, in constant time. A caller's salt keeps the KV of one key's prompts
from being found by another's; without keys there is one caller, who shares with himself.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from quire.server.errors import ApiError
from quire.server.page_files import PAGE_FILES

OPEN_PATHS = frozenset({"/health", "/ready", *PAGE_FILES})
"""The page holds nothing; what it asks for needs a key like everything else."""
METRICS_PATH = "/metrics"


@dataclass(frozen=True, slots=True)
class Caller:
    name: str
    """Names the key in the log and to admission, and does not reveal it."""
    salt: str

    def cache_salt(self, wanted: str | None) -> str:
        """The salt of a request that brought `wanted` of its own. Pairs are told apart by the length."""
        if not self.salt:
            return wanted or ""
        return f"{self.salt}{len(wanted or '')}:{wanted or ''}"


ANYONE = Caller("anyone", "")


class KeyRing:
    def __init__(self, keys: Iterable[str], *, are_metrics_open: bool = False) -> None:
        self._callers = [(_digest(key), Caller(f"key-{_label(key)}", _salt(key))) for key in dict.fromkeys(keys)]
        self._open_paths = OPEN_PATHS | ({METRICS_PATH} if are_metrics_open else set())

    def caller(self, path: str, authorization: str | None, api_key: str | None = None) -> Caller:
        """Who asks for `path`, with the key as `Bearer KEY`, or else by itself as the Anthropic API has it. Raises
        ApiError 401 where a key is needed and is not there, or is not one of ours."""
        if not self._callers or path in self._open_paths:
            return ANYONE
        scheme, _, key = (authorization or "").partition(" ")
        if authorization is None and api_key is not None:
            scheme, key = "bearer", api_key
        if scheme.lower() != "bearer" or not key.strip():
            raise _unauthorized("This server needs a key: send the header Authorization: Bearer YOUR_KEY.")
        found = self._find(key.strip())
        if found is None:
            raise _unauthorized("This key is not one of the server's.")
        return found

    def _find(self, key: str) -> Caller | None:
        given, found = _digest(key), None
        for digest, caller in self._callers:
            if hmac.compare_digest(digest, given):
                found = caller
        return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _salt(key: str) -> str:
    return hashlib.sha256(b"quire cache salt\0" + key.encode()).hexdigest()[:32]


def _label(key: str) -> str:
    return hashlib.sha256(b"quire key name\0" + key.encode()).hexdigest()[:8]


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
