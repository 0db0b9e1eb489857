"""Users at work: logins at a steady rate, refreshes, and logouts. It notes what the service has acknowledged.

1. A login, refresh or logout without an answer in two seconds, half a concurrency window, is given up. It counts as
   an error, and never as acknowledged.
2. A refresh that failed is repeated with the same token, as every client may.
3. A user who is refused ends. Such a user did nothing wrong and is logged out.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from token_authority.v1.token_authority_service_pb2 import (
    IssueTokensRequest,
    IssueTokensResponse,
    RefreshAccessTokenRequest,
    RefreshAccessTokenResponse,
    RevokeRefreshTokenRequest,
    ValidateTokenRequest,
    ValidateTokenResponse,
)

from .service import WINDOW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from .service import Connection

USERS = 300
LOGINS_A_SECOND = 20
# One login in so many logs out some seconds later.
LOGOUT_EVERY = 5
DEADLINE_SECONDS = WINDOW_SECONDS / 2
# After two windows an access token that is validated proves its receipt: the predecessor is a theft from then on.
VALIDATE_SECONDS = 2 * WINDOW_SECONDS + 0.5
REFRESH_SECONDS = 2 * WINDOW_SECONDS + 1


@dataclass
class Session:
    """A session whose login was acknowledged, with the tokens of the last acknowledgement."""

    user: str
    id: str
    access_token: str
    refresh_token: str
    # The refresh token before that one. Empty: it was never rotated.
    predecessor: str = ""
    logged_out: bool = False
    # A logout was sent that nobody acknowledged: the session may be over or not.
    logout_unclear: bool = False
    # Why its refresh token was refused during the load.
    refused: str = ""


@dataclass
class Ledger:
    """What happened."""

    sessions: list[Session] = field(default_factory=list)
    # When each login was acknowledged.
    logins: list[float] = field(default_factory=list)
    refreshes: int = 0
    logouts: int = 0
    validations: int = 0
    # The errors that callers saw, by code and reason.
    errors: Counter[str] = field(default_factory=Counter)

    def longest_gap(self, since: float) -> float:
        """Return the longest time without an acknowledged login that ended after `since`."""
        pairs = zip(self.logins, self.logins[1:], strict=False)
        return max((after - before for before, after in pairs if after > since), default=0)


def code_of(error: grpc.aio.AioRpcError) -> str:
    """Return an error's code, and its reason if the service gave one."""
    name = error.code().name
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return f"{name} {info.reason}"
    return name


def is_refusal(code: str) -> bool:
    """Whether the refresh token itself was refused."""
    return " REFRESH_TOKEN_" in code


class Load:
    """Users at work until `stop`."""

    def __init__(self, connections: list[Connection]) -> None:
        self.ledger = Ledger()
        self._connections = connections
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()

    async def begin(self) -> None:
        """Log the refreshing users in, and start all."""
        for number in range(USERS):
            session = await self._log_in(f"worker-{number}")
            if session is not None:
                self._go(self._refresh_for_ever(session, number))
        self._go(self._log_users_in())

    async def stop(self) -> Ledger:
        """Stop. Requests under way are awaited."""
        self._stopped.set()
        while self._tasks:
            await asyncio.gather(*self._tasks)
        self.ledger.logins.sort()
        return self.ledger

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _connection(self, number: int) -> Connection:
        return self._connections[number % len(self._connections)]

    async def _pause(self, seconds: float) -> bool:
        """Wait, but not longer than until the stop. Return whether to go on."""
        try:
            await asyncio.wait_for(self._stopped.wait(), seconds)
        except TimeoutError:
            return True
        return False

    async def _log_in(self, user: str) -> Session | None:
        try:
            tokens = self._connection(hash(user)).tokens
            answer: IssueTokensResponse = await tokens.IssueTokens(
                IssueTokensRequest(user_id=user), timeout=DEADLINE_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            self.ledger.errors[f"login {code_of(error)}"] += 1
            return None
        self.ledger.logins.append(time.monotonic())
        session = Session(user, answer.session_id, answer.access_token, answer.refresh_token)
        self.ledger.sessions.append(session)
        return session

    async def _log_users_in(self) -> None:
        """Start a login at each tick, however long the others take."""
        number, began = 0, time.monotonic()
        while await self._pause(began + number / LOGINS_A_SECOND - time.monotonic()):
            self._go(self._visit(number))
            number += 1

    async def _visit(self, number: int) -> None:
        session = await self._log_in(f"visitor-{number}")
        if session is not None and number % LOGOUT_EVERY == 0:
            await self._pause(random.uniform(0, 2))  # noqa: S311
            await self._log_out(session, number)

    async def _log_out(self, session: Session, number: int) -> None:
        try:
            request = RevokeRefreshTokenRequest(refresh_token=session.refresh_token)
            await self._connection(number).tokens.RevokeRefreshToken(request, timeout=DEADLINE_SECONDS)
        except grpc.aio.AioRpcError as error:
            session.logout_unclear = True
            self.ledger.errors[f"logout {code_of(error)}"] += 1
            return
        session.logged_out = True
        self.ledger.logouts += 1

    async def _refresh_for_ever(self, session: Session, number: int) -> None:
        connection = self._connection(number)
        if not await self._pause(random.uniform(0, REFRESH_SECONDS)):  # noqa: S311
            return
        while not self._stopped.is_set() and not session.refused:
            if not await self._refresh(connection, session):
                await self._pause(1)
                continue
            if await self._pause(VALIDATE_SECONDS):
                await self._validate(connection, session)
                await self._pause(REFRESH_SECONDS - VALIDATE_SECONDS)

    async def _refresh(self, connection: Connection, session: Session) -> bool:
        try:
            answer: RefreshAccessTokenResponse = await connection.tokens.RefreshAccessToken(
                RefreshAccessTokenRequest(refresh_token=session.refresh_token), timeout=DEADLINE_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            code = code_of(error)
            self.ledger.errors[f"refresh {code}"] += 1
            if is_refusal(code):
                session.refused = code
            return False
        if answer.refresh_token != session.refresh_token:
            session.predecessor = session.refresh_token
        session.access_token, session.refresh_token = answer.access_token, answer.refresh_token
        self.ledger.refreshes += 1
        return True

    async def _validate(self, connection: Connection, session: Session) -> None:
        try:
            answer: ValidateTokenResponse = await connection.tokens.ValidateToken(
                ValidateTokenRequest(token=session.access_token), timeout=DEADLINE_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            self.ledger.errors[f"validate {code_of(error)}"] += 1
            return
        self.ledger.validations += answer.active
        if not answer.active:
            self.ledger.errors[f"validate: inactive, reason {answer.inactive_reason}"] += 1
