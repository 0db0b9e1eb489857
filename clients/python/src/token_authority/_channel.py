"""Connections to the service: addresses, TLS, the caller's key, and what is tried again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc

# What may be tried again by the channel itself. A login is among these since the client gives each a `request_id`.
_RETRIED = [
    {
        "name": [
            {"service": "token_authority.v1.TokenAuthorityService"},
            {"service": "token_authority.v1.SessionService"},
        ],
        "retryPolicy": {
            "maxAttempts": 3,
            "initialBackoff": "0.05s",
            "maxBackoff": "0.5s",
            "backoffMultiplier": 3,
            "retryableStatusCodes": ["UNAVAILABLE"],
        },
    }
]

_OPTIONS: list[tuple[str, Any]] = [
    # A replica that went away without a word is noticed, and a new one is looked for soon.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]

Tls = bool | str | Path | grpc.ChannelCredentials


class Target:
    """Where the service is, and who calls."""

    def __init__(self, address: str, api_key: str | None, tls: Tls | None) -> None:
        scheme, separator, rest = address.partition("://")
        if not separator:
            self.address, secure = address, False
        elif scheme in ("http", "https"):
            self.address, secure = rest.rstrip("/"), scheme == "https"
        else:
            # A name of gRPC's own, such as `dns:///authority:50051`.
            self.address, secure = address, False
        self._credentials = _credentials(secure if tls is None else tls)
        self.metadata: tuple[tuple[str, str], ...] = (("authorization", f"Bearer {api_key}"),) if api_key else ()

    def __repr__(self) -> str:
        return f"Target({self.address})"

    def open(self, *, balanced: bool) -> grpc.Channel:
        """Opens a channel of its own: over all replicas in turn, or to any one of them."""
        options = _options(balanced=balanced)
        if self._credentials:
            return grpc.secure_channel(self.address, self._credentials, options)
        return grpc.insecure_channel(self.address, options)

    def open_async(self) -> grpc.aio.Channel:
        """Opens a channel for the event loop that runs now."""
        options = _options(balanced=True)
        if self._credentials:
            return grpc.aio.secure_channel(self.address, self._credentials, options)
        return grpc.aio.insecure_channel(self.address, options)


def _options(*, balanced: bool) -> list[tuple[str, Any]]:
    config: dict[str, Any] = {"methodConfig": _RETRIED}
    options = [*_OPTIONS, ("grpc.enable_retries", 1)]
    if balanced:
        config["loadBalancingConfig"] = [{"round_robin": {}}]
    else:
        # Not the connection that another channel has to the same replica: that one may hang.
        options.append(("grpc.use_local_subchannel_pool", 1))
        del config["methodConfig"]
    return [*options, ("grpc.service_config", json.dumps(config))]


def _credentials(tls: Tls) -> grpc.ChannelCredentials | None:
    if isinstance(tls, grpc.ChannelCredentials):
        return tls
    if isinstance(tls, bool):
        return grpc.ssl_channel_credentials() if tls else None
    return grpc.ssl_channel_credentials(root_certificates=Path(tls).read_bytes())
