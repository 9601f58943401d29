"""Opens the port of gRPC in the running event loop, and drains it: no new calls, those in flight have until the end."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from quire.errors import ConfigError, shown
from quire.protocol._generated import quire_pb2 as pb
from quire.protocol._generated.quire_pb2_grpc import add_QuireServicer_to_server
from quire.server.errors import ApiError
from quire.server.grpc.gate import RpcGate
from quire.server.grpc.service import QuireService
from quire.server.settings import ServerSettings
from quire.server.state import ServerState

log = logging.getLogger(__name__)

SERVICE: str = pb.DESCRIPTOR.services_by_name["Quire"].full_name
HEALTH: str = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_WATCH_S = 0.25
"""How soon a watcher hears of a change."""


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Serving is when /ready is 200. A watch ends when the server does."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    async def Check(self, request: Any, _: Any) -> Any:
        if not self._knows(request.service):
            raise ApiError(404, f"There is no service {shown(request.service)} here.", code="not_found")
        return self._answer(request.service)

    async def Watch(self, request: Any, context: Any) -> None:
        told = None
        while not self._state.is_draining:
            answer = self._answer(request.service)
            if answer != told:
                await context.write(answer)
                told = answer
            await asyncio.sleep(_WATCH_S)
        await context.write(self._answer(request.service))

    def _answer(self, service: str) -> Any:
        kinds = health_pb2.HealthCheckResponse
        if not self._knows(service):
            return kinds(status=kinds.SERVICE_UNKNOWN)
        return kinds(status=kinds.SERVING if self._state.is_ready else kinds.NOT_SERVING)

    def _knows(self, service: str) -> bool:
        return service in ("", SERVICE)


class GrpcListener:
    def __init__(self, state: ServerState) -> None:
        settings = state.settings
        self._server = grpc.aio.server(interceptors=[RpcGate(state)], options=_options(settings))
        add_QuireServicer_to_server(QuireService(), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(HealthService(state), self._server)
        reflection.enable_server_reflection((SERVICE, HEALTH, reflection.SERVICE_NAME), self._server)

    async def start(self, settings: ServerSettings) -> int:
        """The port it listens on. Raises ConfigError where that cannot be had."""
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{host}:{settings.grpc_port}"
        try:
            if settings.ssl_certfile is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, _credentials(settings.ssl_certfile, settings.ssl_keyfile))
        except (RuntimeError, OSError) as error:
            raise ConfigError(
                f"The gRPC port {address} cannot be opened: {error}. Choose another with --grpc-port."
            ) from error
        await self._server.start()
        log.info("listening", extra={"url": f"grpc{'s' if settings.ssl_certfile else ''}://{host}:{port}"})
        return int(port)

    async def stop(self, grace_s: float) -> None:
        """Ends when the calls in flight have ended, or after `grace_s`, which ends them."""
        await self._server.stop(grace_s)


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_metadata_size", settings.max_header_bytes),
        ("grpc.server_handshake_timeout_ms", round(settings.header_timeout_s * 1e3)),
        ("grpc.max_connection_idle_ms", round(settings.keep_alive_s * 1e3)),
    ]


def _credentials(certfile: str, keyfile: str | None) -> Any:
    pair = (Path(keyfile or certfile).read_bytes(), Path(certfile).read_bytes())
    return grpc.ssl_server_credentials([pair])
