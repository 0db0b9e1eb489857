"""Clients of the service: issue, refresh and revoke tokens, see and end sessions."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import uuid
import weakref
from typing import TYPE_CHECKING, Any, TypeVar, cast

import grpc

from token_authority import _settings
from token_authority._channel import Target, Tls
from token_authority._metrics import RefreshMetrics
from token_authority._remote import identity_of, reason_of
from token_authority.errors import RefreshTokenError, TokenError, from_rpc
from token_authority.identity import Method, moment
from token_authority.v1 import auth_pb2, session_service_pb2, session_service_pb2_grpc
from token_authority.v1 import token_authority_service_pb2 as messages
from token_authority.v1 import token_authority_service_pb2_grpc as services

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
    from datetime import datetime, timedelta
    from types import TracebackType

    from token_authority.identity import Identity

_TIMEOUT = 10.0
_PAGE = 100

_Response = TypeVar("_Response")


@dataclasses.dataclass(frozen=True)
class ClientInfo:
    """The device of a session, for people to read. It decides nothing."""

    user_agent: str = ""
    ip_address: str = ""
    device_name: str = ""


@dataclasses.dataclass(frozen=True)
class Tokens:
    """What a login or a refresh hands out."""

    access_token: str = dataclasses.field(repr=False)
    """For `Authorization: Bearer`. Secret: never log it."""

    expires_in: timedelta
    """How long the access token lives from now."""

    refresh_token: str = dataclasses.field(repr=False)
    """The refresh token to hold from now on: keep it in an HttpOnly cookie. Secret: never log it."""

    refresh_expires_in: timedelta
    """How long the refresh token lives from now if it is not used."""

    session_id: str
    """The session's id, the access token's `sid`."""

    user_id: str
    """The user's id. Empty: a refresh at an older service, which does not tell it."""

    method: Method
    """What kind of access token it is."""

    persistent: bool = True
    """Whether a browser keeps the refresh token's cookie when it is closed. If not, set it without `Max-Age`."""


@dataclasses.dataclass(frozen=True)
class Session:
    """One login on one device."""

    session_id: str
    user_id: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    client: ClientInfo
    method: Method | None


@dataclasses.dataclass(frozen=True)
class SessionEvent:
    """Something that happened to a session."""

    session_id: str
    """The session's id."""

    user_id: str
    """The user's id. Empty: the user was erased."""

    occurred_at: datetime
    """When it happened."""

    type: str
    """What happened: `issued`, `refreshed` (only the last time), `updated`, `reuse_found`, `bound` or `revoked`."""

    actor: str
    """Who asked for it: the name of a caller, `browser-adapter`, or `cli:` and an operator. Empty: nobody."""

    reason: str | None = None
    """Why the session was revoked: `logout`, `admin`, `user`, `reuse` or `evicted`. Unset: it was not."""

    updated_fields: tuple[str, ...] = ()
    """What an update changed: `audience`, `scopes`, `claims`."""

    refresh_now: bool = False
    """Whether an update refused the access tokens that were issued before."""


class _Calls:
    """Requests and answers, which both clients share."""

    @staticmethod
    def issue(
        user_id: str,
        *,
        audience: Iterable[str],
        scopes: Iterable[str],
        claims: Mapping[str, Any] | None,
        client: ClientInfo | None,
        request_id: str | None,
        refresh_lifetime: timedelta | None,
        max_lifetime: timedelta | None,
        persistent: bool,
    ) -> messages.IssueTokensRequest:
        # With an id of its own a login can be tried again: the retry gets the first try's session.
        request = messages.IssueTokensRequest(
            user_id=user_id,
            audience=audience,
            scopes=scopes,
            request_id=request_id or str(uuid.uuid4()),
            persistent=persistent,
        )
        if refresh_lifetime is not None:
            request.refresh_lifetime.FromTimedelta(refresh_lifetime)
        if max_lifetime is not None:
            request.max_lifetime.FromTimedelta(max_lifetime)
        if claims:
            request.claims.update(dict(claims))
        if client:
            request.client.CopyFrom(auth_pb2.ClientInfo(**dataclasses.asdict(client)))
        return request

    @staticmethod
    def tokens(response: messages.IssueTokensResponse | messages.RefreshAccessTokenResponse, user_id: str) -> Tokens:
        return Tokens(
            access_token=response.access_token,
            expires_in=response.expires_in.ToTimedelta(),
            refresh_token=response.refresh_token,
            refresh_expires_in=response.refresh_expires_in.ToTimedelta(),
            session_id=response.session_id,
            user_id=response.user_id or user_id,
            method=_method(response.auth_method) or "jwt",
            persistent=response.persistent or not response.HasField("persistent"),
        )

    @staticmethod
    def update(
        session_id: str | None,
        user_id: str | None,
        *,
        audience: Iterable[str] | None,
        scopes: Iterable[str] | None,
        claims: Mapping[str, Any] | None,
        refresh_now: bool,
    ) -> session_service_pb2.UpdateSessionsRequest:
        if (session_id is None) == (user_id is None):
            raise ValueError("give session_id= or user_id=")
        request = session_service_pb2.UpdateSessionsRequest(
            audience=audience or (), scopes=scopes or (), refresh_now=refresh_now
        )
        if session_id is not None:
            request.session_id = session_id
        if user_id is not None:
            request.user_id = user_id
        if claims:
            request.claims.update(dict(claims))
        changed = {"audience": audience, "scopes": scopes, "claims": claims}
        request.update_mask.paths.extend(name for name, value in changed.items() if value is not None)
        return request

    @staticmethod
    def session(session: session_service_pb2.Session) -> Session:
        return Session(
            session_id=session.session_id,
            user_id=session.user_id,
            created_at=_moment(session.created_at),
            last_used_at=_moment(session.last_used_at),
            expires_at=_moment(session.expires_at),
            client=ClientInfo(
                user_agent=session.client.user_agent,
                ip_address=session.client.ip_address,
                device_name=session.client.device_name,
            ),
            method=_method(session.auth_method),
        )

    @staticmethod
    def events(
        session_id: str | None, user_id: str | None, page_token: str
    ) -> session_service_pb2.ListSessionEventsRequest:
        if (session_id is None) == (user_id is None):
            raise ValueError("give session_id= or user_id=")
        request = session_service_pb2.ListSessionEventsRequest(page_size=_PAGE, page_token=page_token)
        if session_id is not None:
            request.session_id = session_id
        if user_id is not None:
            request.user_id = user_id
        return request

    @staticmethod
    def event(event: session_service_pb2.SessionEvent) -> SessionEvent:
        return SessionEvent(
            session_id=event.session_id,
            user_id=event.user_id,
            occurred_at=_moment(event.occurred_at),
            type=_name(session_service_pb2.SessionEventType, event.type, "SESSION_EVENT_TYPE_") or "unknown",
            actor=event.actor,
            reason=_name(session_service_pb2.RevocationReason, event.reason, "REVOCATION_REASON_"),
            updated_fields=tuple(event.updated_fields),
            refresh_now=event.refresh_now,
        )

    @staticmethod
    def identity(response: messages.ValidateTokenResponse) -> Identity:
        if not response.active:
            raise TokenError(reason_of(response.inactive_reason))
        return identity_of(response)


class Client:
    """Calls the service. May be used by several threads.

    Args:
        address: The service's gRPC address, `host:port`; unset: `TOKEN_AUTHORITY_ADDRESS`.
        api_key: The caller's key; unset: `TOKEN_AUTHORITY_API_KEY`. What it may do follows from its roles: `issuer` to
            issue, `adapter` to refresh and revoke, `verifier` to validate, `sessions` (or `admin`) for sessions.
        tls: `True`: TLS with the system's roots; a path: with the roots in that file.
        timeout: Seconds that a call may take.

    Every method raises `TokenError` with the reason `unavailable` if the service cannot answer, and `AuthorityError` if
    it refuses the call. Calls are tried again where that is safe.
    """

    def __init__(
        self,
        *,
        address: str | None = None,
        api_key: str | None = None,
        tls: Tls | None = None,
        timeout: float = _TIMEOUT,
    ) -> None:
        self._target = _target(address, api_key, tls)
        self._timeout = timeout
        self._channel = self._target.open(balanced=True)
        self._tokens = services.TokenAuthorityServiceStub(self._channel)
        self._sessions = session_service_pb2_grpc.SessionServiceStub(self._channel)
        self._metrics = RefreshMetrics()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def issue_tokens(
        self,
        user_id: str,
        *,
        audience: Iterable[str] = (),
        scopes: Iterable[str] = (),
        claims: Mapping[str, Any] | None = None,
        client: ClientInfo | None = None,
        request_id: str | None = None,
        refresh_lifetime: timedelta | None = None,
        max_lifetime: timedelta | None = None,
        persistent: bool = True,
    ) -> Tokens:
        """Opens a session for a user who has just proven who they are, every factor included.

        Args:
            user_id: The user's id, 1 to 255 bytes.
            audience: Whom the access tokens are meant for.
            scopes: What they may be used for.
            claims: Further claims of every access token of the session.
            client: The device, for the user's list of sessions.
            request_id: A UUID for this login, if you try it again by yourself. Unset: a new one.
            refresh_lifetime: How long the session lives after its last refresh. Unset: as long as the service's
                settings say, which is also the longest.
            max_lifetime: How long the session lives after this login, however it is used. Unset: likewise.
            persistent: `False`: the refresh token's cookie ends with the browser's session ("remember me").
        """
        request = _Calls.issue(
            user_id,
            audience=audience,
            scopes=scopes,
            claims=claims,
            client=client,
            request_id=request_id,
            refresh_lifetime=refresh_lifetime,
            max_lifetime=max_lifetime,
            persistent=persistent,
        )
        return _Calls.tokens(self._call(self._tokens.IssueTokens, request), user_id)

    def refresh(self, refresh_token: str) -> Tokens:
        """Exchanges a refresh token for a new access token and the refresh token to hold from now on.

        Raises:
            RefreshTokenError: The session is over. Its `reason` is `expired`, `revoked`, `reused` or `invalid`.
        """
        request = messages.RefreshAccessTokenRequest(refresh_token=refresh_token)
        began, refused = time.perf_counter(), None
        try:
            return _Calls.tokens(self._call(self._tokens.RefreshAccessToken, request), "")
        except RefreshTokenError as error:
            refused = error.reason
            raise
        finally:
            self._metrics.refreshed(time.perf_counter() - began, refused)

    def revoke(self, refresh_token: str) -> None:
        """Ends the session of a refresh token: a logout. Doing it again changes nothing."""
        request = messages.RevokeRefreshTokenRequest(refresh_token=refresh_token)
        self._call(self._tokens.RevokeRefreshToken, request)

    def validate(self, token: str, *, audience: str | None = None) -> Identity:
        """Has the service judge an access token. A backend asks a `Verifier`, which seldom needs a call.

        Raises:
            TokenError: The token is not good.
        """
        request = messages.ValidateTokenRequest(token=token, audience=audience or "")
        return _Calls.identity(self._call(self._tokens.ValidateToken, request))

    def list_sessions(self, user_id: str) -> Iterator[Session]:
        """Lists a user's live sessions, newest first."""
        page_token = ""
        while True:
            request = session_service_pb2.ListSessionsRequest(user_id=user_id, page_size=_PAGE, page_token=page_token)
            page = self._call(self._sessions.ListSessions, request)
            yield from map(_Calls.session, page.sessions)
            page_token = page.next_page_token
            if not page_token:
                return

    def list_session_events(
        self, *, session_id: str | None = None, user_id: str | None = None
    ) -> Iterator[SessionEvent]:
        """Lists what happened to a session, or to all sessions of a user, ended ones included: newest first."""
        page_token = ""
        while True:
            request = _Calls.events(session_id, user_id, page_token)
            page = self._call(self._sessions.ListSessionEvents, request)
            yield from map(_Calls.event, page.events)
            page_token = page.next_page_token
            if not page_token:
                return

    def revoke_session(self, session_id: str) -> None:
        """Ends one session. Doing it again changes nothing."""
        self._call(self._sessions.RevokeSession, session_service_pb2.RevokeSessionRequest(session_id=session_id))

    def revoke_user_sessions(self, user_id: str, *, except_session_id: str | None = None) -> int:
        """Ends all sessions of a user, but for one if you name it. Says how many were live."""
        request = session_service_pb2.RevokeUserSessionsRequest(user_id=user_id, except_session_id=except_session_id)
        return self._call(self._sessions.RevokeUserSessions, request).revoked_count

    def update_sessions(
        self,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        audience: Iterable[str] | None = None,
        scopes: Iterable[str] | None = None,
        claims: Mapping[str, Any] | None = None,
        refresh_now: bool = False,
    ) -> int:
        """Changes what the access tokens of a session, or of all sessions of a user, carry. Says how many it changed.

        Args:
            session_id: The session to change, or
            user_id: the user whose live sessions change.
            audience: Whom the access tokens are meant for. Unset: as before; empty: nobody in particular.
            scopes: What they may be used for. Unset: as before; empty: no scopes.
            claims: The further claims, in place of all earlier ones. Unset: as before; empty: none.
            refresh_now: Whether the access tokens that were issued before are refused from now on (`stale`). The
                sessions live on, and their clients refresh.
        """
        request = _Calls.update(
            session_id, user_id, audience=audience, scopes=scopes, claims=claims, refresh_now=refresh_now
        )
        return self._call(self._sessions.UpdateSessions, request).updated_count

    def erase_user(self, user_id: str) -> int:
        """Ends all sessions of a user and removes everything about the user from the service's database.

        Says how many sessions there were, ended ones included.
        """
        return self._call(self._sessions.EraseUser, session_service_pb2.EraseUserRequest(user_id=user_id)).erased_count

    def _call(self, method: grpc.UnaryUnaryMultiCallable[Any, _Response], request: Any) -> _Response:  # noqa: ANN401
        try:
            return method(request, timeout=self._timeout, metadata=self._target.metadata)
        except grpc.RpcError as error:
            raise from_rpc(error) from None


class AsyncClient:
    """As `Client`, for `asyncio`. Each event loop has a connection of its own, opened with its first call."""

    def __init__(
        self,
        *,
        address: str | None = None,
        api_key: str | None = None,
        tls: Tls | None = None,
        timeout: float = _TIMEOUT,
    ) -> None:
        self._target = _target(address, api_key, tls)
        self._timeout = timeout
        self._channels: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, grpc.aio.Channel] = (
            weakref.WeakKeyDictionary()
        )
        self._metrics = RefreshMetrics()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection of this event loop."""
        channel = self._channels.pop(asyncio.get_running_loop(), None)
        if channel:
            await channel.close()

    async def issue_tokens(
        self,
        user_id: str,
        *,
        audience: Iterable[str] = (),
        scopes: Iterable[str] = (),
        claims: Mapping[str, Any] | None = None,
        client: ClientInfo | None = None,
        request_id: str | None = None,
        refresh_lifetime: timedelta | None = None,
        max_lifetime: timedelta | None = None,
        persistent: bool = True,
    ) -> Tokens:
        """As `Client.issue_tokens`."""
        request = _Calls.issue(
            user_id,
            audience=audience,
            scopes=scopes,
            claims=claims,
            client=client,
            request_id=request_id,
            refresh_lifetime=refresh_lifetime,
            max_lifetime=max_lifetime,
            persistent=persistent,
        )
        response = await self._call(self._tokens().IssueTokens, request)
        return _Calls.tokens(response, user_id)

    async def refresh(self, refresh_token: str) -> Tokens:
        """As `Client.refresh`.

        Raises:
            RefreshTokenError: The session is over. Its `reason` is `expired`, `revoked`, `reused` or `invalid`.
        """
        request = messages.RefreshAccessTokenRequest(refresh_token=refresh_token)
        began, refused = time.perf_counter(), None
        try:
            response = await self._call(self._tokens().RefreshAccessToken, request)
            return _Calls.tokens(response, "")
        except RefreshTokenError as error:
            refused = error.reason
            raise
        finally:
            self._metrics.refreshed(time.perf_counter() - began, refused)

    async def revoke(self, refresh_token: str) -> None:
        """As `Client.revoke`."""
        request = messages.RevokeRefreshTokenRequest(refresh_token=refresh_token)
        await self._call(self._tokens().RevokeRefreshToken, request)

    async def validate(self, token: str, *, audience: str | None = None) -> Identity:
        """As `Client.validate`.

        Raises:
            TokenError: The token is not good.
        """
        request = messages.ValidateTokenRequest(token=token, audience=audience or "")
        return _Calls.identity(await self._call(self._tokens().ValidateToken, request))

    async def list_sessions(self, user_id: str) -> AsyncIterator[Session]:
        """As `Client.list_sessions`."""
        page_token = ""
        while True:
            request = session_service_pb2.ListSessionsRequest(user_id=user_id, page_size=_PAGE, page_token=page_token)
            page = await self._call(self._sessions().ListSessions, request)
            for session in page.sessions:
                yield _Calls.session(session)
            page_token = page.next_page_token
            if not page_token:
                return

    async def list_session_events(
        self, *, session_id: str | None = None, user_id: str | None = None
    ) -> AsyncIterator[SessionEvent]:
        """As `Client.list_session_events`."""
        page_token = ""
        while True:
            request = _Calls.events(session_id, user_id, page_token)
            page = await self._call(self._sessions().ListSessionEvents, request)
            for event in page.events:
                yield _Calls.event(event)
            page_token = page.next_page_token
            if not page_token:
                return

    async def revoke_session(self, session_id: str) -> None:
        """As `Client.revoke_session`."""
        request = session_service_pb2.RevokeSessionRequest(session_id=session_id)
        await self._call(self._sessions().RevokeSession, request)

    async def revoke_user_sessions(self, user_id: str, *, except_session_id: str | None = None) -> int:
        """As `Client.revoke_user_sessions`."""
        request = session_service_pb2.RevokeUserSessionsRequest(user_id=user_id, except_session_id=except_session_id)
        response = await self._call(self._sessions().RevokeUserSessions, request)
        return response.revoked_count

    async def update_sessions(
        self,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        audience: Iterable[str] | None = None,
        scopes: Iterable[str] | None = None,
        claims: Mapping[str, Any] | None = None,
        refresh_now: bool = False,
    ) -> int:
        """As `Client.update_sessions`."""
        request = _Calls.update(
            session_id, user_id, audience=audience, scopes=scopes, claims=claims, refresh_now=refresh_now
        )
        return (await self._call(self._sessions().UpdateSessions, request)).updated_count

    async def erase_user(self, user_id: str) -> int:
        """As `Client.erase_user`."""
        request = session_service_pb2.EraseUserRequest(user_id=user_id)
        return (await self._call(self._sessions().EraseUser, request)).erased_count

    def _channel(self) -> grpc.aio.Channel:
        loop = asyncio.get_running_loop()
        channel = self._channels.get(loop)
        if channel is None:
            channel = self._channels[loop] = self._target.open_async()
        return channel

    def _tokens(self) -> services.TokenAuthorityServiceAsyncStub:
        # The stub's code is the same; the generated types tell the two apart.
        return cast("services.TokenAuthorityServiceAsyncStub", services.TokenAuthorityServiceStub(self._channel()))

    def _sessions(self) -> session_service_pb2_grpc.SessionServiceAsyncStub:
        stub = session_service_pb2_grpc.SessionServiceStub(self._channel())
        return cast("session_service_pb2_grpc.SessionServiceAsyncStub", stub)

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Any, _Response],
        request: Any,  # noqa: ANN401
    ) -> _Response:
        try:
            return await method(request, timeout=self._timeout, metadata=self._target.metadata)
        except grpc.RpcError as error:
            raise from_rpc(error) from None


def _target(address: str | None, api_key: str | None, tls: Tls | None) -> Target:
    address, api_key = _settings.service(address, api_key)
    if not address:
        raise ValueError("where is the service? Give address=, or set TOKEN_AUTHORITY_ADDRESS")
    return Target(address, api_key, tls)


def _method(number: int) -> Method | None:
    if number == auth_pb2.AUTH_METHOD_JWT:
        return "jwt"
    return "session" if number == auth_pb2.AUTH_METHOD_SESSION else None


def _name(names: Any, number: int, prefix: str) -> str | None:  # noqa: ANN401
    """Spells an enumeration's value. `None`: it is not set. One that only a newer service knows is `unknown`."""
    if not number:
        return None
    try:
        name: str = names.Name(number)
    except ValueError:
        return "unknown"
    return name.removeprefix(prefix).lower()


def _moment(timestamp: Any) -> datetime:  # noqa: ANN401
    return moment(timestamp.seconds + timestamp.nanos / 1e9)
