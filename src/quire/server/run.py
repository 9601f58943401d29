"""Opens the port, serves until a signal comes, and drains: no new requests, those in flight have until the deadline."""

import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from quire.engine.async_engine import AsyncEngine
from quire.errors import ConfigError, shown
from quire.server.app import create_app
from quire.server.http.connection import GuardedProtocol
from quire.server.settings import ServerSettings
from quire.server.state import ServedModel, ServerState

log = logging.getLogger(__name__)

_BACKLOG = 2048


class DrainingServer(uvicorn.Server):
    """Tells the application at once that it is to end."""

    def __init__(self, app: FastAPI, settings: ServerSettings) -> None:
        self._state: ServerState = app.state.server
        super().__init__(
            uvicorn.Config(
                app,
                http=GuardedProtocol.limited(settings.max_header_bytes, settings.header_timeout_s),
                ws="none",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=round(settings.keep_alive_s),
                timeout_graceful_shutdown=round(settings.shutdown_timeout_s),
                ssl_certfile=settings.ssl_certfile,
                ssl_keyfile=settings.ssl_keyfile,
            )
        )

    def drain(self) -> None:
        """Ends the server when what is in flight is done. From any thread."""
        self._state.drain()
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """A second Ctrl-C waits for nobody."""
        log.info("shutting down on %s", signal.Signals(sig).name)
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.drain()


def serve(load: Callable[[], AsyncEngine], model: ServedModel, settings: ServerSettings) -> None:
    """Serves until SIGINT or SIGTERM. Raises ConfigError where the port cannot be had, and what `load` raises."""
    listener = open_port(settings.host, settings.port)
    if settings.grpc_port:
        open_port(settings.host, settings.grpc_port, "--grpc-port").close()
    app = create_app(load, model, settings, on_load_error=lambda: server.drain())
    server = DrainingServer(app, settings)
    try:
        server.config.load()
    except OSError as error:  # of ssl_certfile and ssl_keyfile
        listener.close()
        raise ConfigError(f"ssl_certfile {shown(settings.ssl_certfile)} cannot be used: {error}") from error
    log.info("listening", extra={"url": url_of(listener, settings)})
    server.run(sockets=[listener])
    failure: Exception | None = app.state.server.error
    if failure is not None:
        raise failure


def open_port(host: str, port: int, flag: str = "--port") -> socket.socket:
    """A listening socket. Raises ConfigError with what to do, by `flag`, where the address is taken or is not ours."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"Port {port} of {host} cannot be opened: {reason}. Choose another with {flag} (0 takes any that is free) "
            f"or --host."
        ) from error
    return listener


def url_of(listener: socket.socket, settings: ServerSettings) -> str:
    host, port = listener.getsockname()[:2]
    scheme = "https" if settings.ssl_certfile else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
