"""Asks the service afterwards about every session that it has acknowledged."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc

from token_authority.v1.session_service_pb2 import ListSessionsRequest, RevokeSessionRequest
from token_authority.v1.token_authority_service_pb2 import (
    RefreshAccessTokenRequest,
    RefreshAccessTokenResponse,
    ValidateTokenRequest,
    ValidateTokenResponse,
)

from .load import code_of, is_refusal

if TYPE_CHECKING:
    from .load import Ledger, Session
    from .service import Connection

# How many sessions are asked about at once.
_AT_ONCE = 32
_PATIENCE_SECONDS = 30
# How many sessions are revoked to see that the other replica learns of it.
_REVOKED = 10
# It is looked for so often, ten milliseconds apart, before it counts as never.
_MAX_LOOKS = 1000


@dataclass
class Losses:
    """What was acknowledged and is gone."""

    # Logins whose session is not there.
    missing: int = 0
    # Sessions that are there, and refuse the refresh token of the last acknowledged refresh.
    logged_out: int = 0
    # Of both, those who were taken for thieves.
    taken_for_thieves: int = 0
    # The refusals, by reason and by whether the session is listed.
    refusals: dict[str, int] = field(default_factory=dict)
    # Of those who are logged out, how many would get tokens for the refresh token before.
    predecessors_accepted: int = 0
    # Logouts that were acknowledged, and whose refresh token is good again.
    logouts_undone: int = 0
    # Of these, those whose next access token a replica accepts. It knows the revocation until its restart.
    logouts_undone_and_usable: int = 0
    # Refused users whose access token a replica still accepts, which no database is asked about.
    access_tokens_active: int = 0


async def audit(connections: list[Connection], ledger: Ledger) -> Losses:
    """Present the refresh token of every acknowledged session."""
    losses, turn = Losses(), asyncio.Semaphore(_AT_ONCE)

    async def one(number: int, session: Session) -> None:
        async with turn:
            await _check(connections[number % len(connections)], session, losses)

    clear = (session for session in ledger.sessions if not session.logout_unclear)
    await asyncio.gather(*(one(number, session) for number, session in enumerate(clear)))
    return losses


async def measure_spread(connections: list[Connection], ledger: Ledger) -> float:
    """Revoke sessions at one replica. Return the longest time until another refuses their access tokens."""
    longest = 0.0
    live = [session for session in ledger.sessions if not (session.refused or session.logged_out)]
    for session in live[:_REVOKED]:
        await connections[0].sessions.RevokeSession(RevokeSessionRequest(session_id=session.id))
        began = time.monotonic()
        for _ in range(_MAX_LOOKS):
            if not await _is_active(connections[1], session.access_token):
                break
            await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - began)
    return longest


async def _check(connection: Connection, session: Session, losses: Losses) -> None:
    answer = session.refused or await _refresh(connection, session.refresh_token)
    if not isinstance(answer, str):
        if session.logged_out:
            is_usable = await _is_active(connection, answer.access_token)
            losses.logouts_undone += 1
            losses.logouts_undone_and_usable += is_usable
        return
    if session.logged_out:
        return
    listed = await connection.sessions.ListSessions(ListSessionsRequest(user_id=session.user))
    is_listed = any(each.session_id == session.id for each in listed.sessions)
    is_active = await _is_active(connection, session.access_token)
    is_current_again = bool(session.predecessor) and not isinstance(
        await _refresh(connection, session.predecessor), str
    )
    # Nothing is awaited below: other sessions are counted meanwhile.
    losses.predecessors_accepted += is_current_again
    losses.access_tokens_active += is_active
    is_theft = answer.endswith("_REUSED")
    losses.taken_for_thieves += is_theft
    # A theft ends the session, so it is not listed either.
    if is_listed or is_theft:
        losses.logged_out += 1
    else:
        losses.missing += 1
    refusal = f"{answer}, {'listed' if is_listed else 'not listed'}"
    losses.refusals[refusal] = losses.refusals.get(refusal, 0) + 1


async def _is_active(connection: Connection, access_token: str) -> bool:
    answer: ValidateTokenResponse = await connection.tokens.ValidateToken(ValidateTokenRequest(token=access_token))
    return answer.active


async def _refresh(connection: Connection, refresh_token: str) -> RefreshAccessTokenResponse | str:
    """Present a refresh token. Return the answer, or the reason why it is refused."""
    request = RefreshAccessTokenRequest(refresh_token=refresh_token)
    for _ in range(_PATIENCE_SECONDS):
        try:
            answer: RefreshAccessTokenResponse = await connection.tokens.RefreshAccessToken(request)
        except grpc.aio.AioRpcError as error:
            code = code_of(error)
            if is_refusal(code):
                return code
            await asyncio.sleep(1)
        else:
            return answer
    message = "the service did not answer about a refresh token"
    raise TimeoutError(message)
