"""How an ask gets to a server and its answer back: over HTTP or over gRPC, by the address.

A transport sends once and knows no retries. Both give the dicts of the HTTP API, and raise ServerError with the status
that HTTP has for it, or ServerUnreachableError.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from quire.client.asks import Ask
from quire.errors import ConfigError, shown

SCHEMES = ("http", "https", "grpc", "grpcs")


@dataclass(frozen=True, slots=True)
class Address:
    """Of a server, and how it is spoken to."""

    url: str
    api_key: str | None = None
    ca_file: str | None = None
    """Certificates (PEM) to trust, beside those of the system."""
    timeout_s: float = 600.0
    """For a whole answer; in a stream, for each piece of it."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in SCHEMES or not parts.hostname:
            allowed = "http://HOST:PORT, https://HOST:PORT, grpc://HOST:PORT or grpcs://HOST:PORT"
            raise ConfigError(f"base_url is {shown(self.url)}; allowed: {allowed}.")
        if self.timeout_s <= 0:
            raise ConfigError(f"timeout_s is {self.timeout_s}; allowed: a number above 0.")
        if parts.scheme in ("grpc", "grpcs") and parts.port is None:
            raise ConfigError(f"base_url is {shown(self.url)} without a port; gRPC has none by default.")

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme

    @property
    def is_grpc(self) -> bool:
        return self.scheme in ("grpc", "grpcs")


class Transport(Protocol):
    async def call(self, ask: Ask) -> dict[str, Any]:
        """The whole answer."""
        ...

    def stream(self, ask: Ask) -> AsyncGenerator[dict[str, Any], None]:
        """Its events. Closing it ends the request."""
        ...

    async def close(self) -> None: ...


def transport_to(address: Address) -> Transport:
    if address.is_grpc:
        from quire.client.transport.rpc import GrpcTransport

        return GrpcTransport(address)
    from quire.client.transport.http import HttpTransport

    return HttpTransport(address)
