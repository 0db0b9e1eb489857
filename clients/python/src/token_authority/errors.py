"""What goes wrong: a token that is refused, and a call that the service refuses."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, cast

import grpc
from google.rpc import error_details_pb2, status_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

_DETAILS = "grpc-status-details-bin"
_REFRESH_TOKEN = re.compile(r"REFRESH_TOKEN_([A-Z_]+)")
# The service could not answer; it did not refuse.
_UNAVAILABLE = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
)


class TokenError(Exception):
    """A token is refused, or cannot be judged now.

    Attributes:
        reason: `malformed`, `bad-signature`, `expired`, `not-yet-valid`, `revoked`, `wrong-type`, `wrong-audience`,
            `unknown-key`, `not-found`, or a reason that a newer service names. `unavailable` says nothing about
            the token: the service, its key set or its revocations are needed and out of reach. Answer 503 then, never
            401, so that nobody is logged out.
        retry_after: After how many seconds another try may succeed. `None` unless `reason` is `unavailable`.
    """

    def __init__(self, reason: str, message: str | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(message or f"the token is refused: {reason}")
        self.reason = reason
        self.retry_after = retry_after

    @property
    def is_unavailable(self) -> bool:
        """Whether the token could not be judged, as opposed to being refused."""
        return self.reason == UNAVAILABLE

    @property
    def status_code(self) -> int:
        """The status of an HTTP answer: 401, or 503 if the token could not be judged."""
        return 503 if self.is_unavailable else 401

    @property
    def headers(self) -> dict[str, str]:
        """The headers of an HTTP answer: `WWW-Authenticate` (RFC 6750 section 3), or `Retry-After`."""
        if self.is_unavailable:
            return {"Retry-After": str(math.ceil(self.retry_after or 1.0))}
        return {"WWW-Authenticate": self._challenge}

    _challenge = 'Bearer error="invalid_token"'


class MissingTokenError(TokenError):
    """A request brings no token."""

    # No error code: the client may not know yet that a token is needed (RFC 6750 section 3.1).
    _challenge = "Bearer"

    def __init__(self) -> None:
        super().__init__("malformed", "the request brings no bearer token")


class RefreshTokenError(TokenError):
    """A refresh token is refused: its `reason` is `invalid`, `expired`, `revoked` or `reused`."""


class AuthorityError(Exception):
    """The service refuses a call.

    Attributes:
        code: The gRPC status code, such as `PERMISSION_DENIED`.
        reason: The name in the service's `ErrorInfo`, such as `CALLER_FORBIDDEN`; empty if there is none.
        fields: The fields of the request that are missing or out of bounds.
    """

    def __init__(self, code: str, reason: str, message: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(f"{message} ({reason or code})")
        self.code = code
        self.reason = reason
        self.fields = fields


UNAVAILABLE = "unavailable"


def unavailable(message: str, *, retry_after: float = 1.0) -> TokenError:
    """Makes the error that says: not judged, try again."""
    return TokenError(UNAVAILABLE, message, retry_after=retry_after)


def from_rpc(error: grpc.RpcError) -> TokenError | AuthorityError:
    """Makes this package's error of a call that failed. No message of the service holds a token or a secret."""
    call = cast("Any", error)
    code: grpc.StatusCode = call.code()
    message: str = call.details() or ""
    reason, fields, retry_after = _read_details(call.trailing_metadata() or ())
    refused = _REFRESH_TOKEN.fullmatch(reason)
    if refused:
        return RefreshTokenError(refused[1].lower().replace("_", "-"), message)
    if code in _UNAVAILABLE:
        return unavailable(f"the authority cannot answer: {message} ({code.name})", retry_after=retry_after or 1.0)
    return AuthorityError(code.name, reason, message, fields)


def _read_details(metadata: Iterable[tuple[str, str | bytes]]) -> tuple[str, tuple[str, ...], float | None]:
    """Reads the error model of google.rpc: the reason, the fields that are wrong, and when to try again."""
    reason, fields, retry_after = "", list[str](), None
    status = status_pb2.Status()
    for name, value in metadata:
        if name == _DETAILS and isinstance(value, bytes):
            status.ParseFromString(value)
    for detail in status.details:
        info, bad, retry = (
            error_details_pb2.ErrorInfo(),
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
        )
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad):
            fields = [violation.field for violation in bad.field_violations]
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    return reason, tuple(fields), retry_after
