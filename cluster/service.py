"""Two replicas of token-authority on the cluster, and connections to them."""

from __future__ import annotations

import secrets
import urllib.request
from typing import TYPE_CHECKING, cast

import grpc

from token_authority.v1.session_service_pb2_grpc import SessionServiceStub
from token_authority.v1.token_authority_service_pb2_grpc import TokenAuthorityServiceStub

from .processes import Server, free_port, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from token_authority.v1.session_service_pb2_grpc import SessionServiceAsyncStub
    from token_authority.v1.token_authority_service_pb2_grpc import TokenAuthorityServiceAsyncStub

    from .cluster import Cluster

# The concurrency window. The default is 30 s; it is short so that users may refresh often, as if time were faster.
WINDOW_SECONDS = 4


class Replica:
    """A running replica."""

    def __init__(self, cluster: Cluster, binary: Path, name: str, secret: str) -> None:
        self.grpc, self._http = free_port(), free_port()
        environment = {
            "DATABASE_URL": cluster.url,
            "GRPC_ADDR": f"127.0.0.1:{self.grpc}",
            "HTTP_ADDR": f"127.0.0.1:{self._http}",
            "METRICS_ADDR": f"127.0.0.1:{free_port()}",
            "JWT_SECRET": secret,
            "REFRESH_CONCURRENCY_WINDOW_SECONDS": str(WINDOW_SECONDS),
            "LOG_LEVEL": "warn",
        }
        self.server = Server(cluster.folder, name, [str(binary)], environment)

    def start(self) -> None:
        """Start it, and wait until it is ready.

        Raises:
            TimeoutError: It does not become ready.
        """
        self.server.start()
        wait_until(f"the service is ready; see {self.server.log}", self._is_ready)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._http}/readyz", timeout=2):
                return True
        except OSError:
            return False


class Connection:
    """A connection to a replica."""

    def __init__(self, replica: Replica) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{replica.grpc}")
        # The same class serves both kinds of channels; its types are apart.
        self.tokens = cast("TokenAuthorityServiceAsyncStub", TokenAuthorityServiceStub(self._channel))
        self.sessions = cast("SessionServiceAsyncStub", SessionServiceStub(self._channel))

    async def close(self) -> None:
        """Close it."""
        await self._channel.close()


def start_replicas(cluster: Cluster, binary: Path) -> list[Replica]:
    """Start two replicas with one secret. The first creates the schema."""
    secret = secrets.token_urlsafe(48)
    replicas = [Replica(cluster, binary, f"replica{number}", secret) for number in (1, 2)]
    for replica in replicas:
        replica.start()
    return replicas
