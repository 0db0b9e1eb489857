"""Asks the service about tokens that cannot be judged here, many in one call."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, NamedTuple

import grpc
from google.protobuf.json_format import MessageToDict

from token_authority.errors import AuthorityError, TokenError, from_rpc, unavailable
from token_authority.identity import Identity, moment
from token_authority.v1 import auth_pb2, token_authority_service_pb2_grpc
from token_authority.v1 import token_authority_service_pb2 as messages

if TYPE_CHECKING:
    from token_authority._channel import Target

_log = logging.getLogger("token_authority")

# The most tokens that `ValidateTokens` takes.
_MAX_TOKENS = 1000
_TIMEOUT = 5.0
_PREFIX = "INACTIVE_REASON_"


class _Question(NamedTuple):
    token: str
    audience: str
    until: float
    answer: Future[Identity]


class RemoteValidation:
    """Gathers questions while a call is under way, and asks them together in the next one.

    Everything happens in a thread and with a channel of its own, so it serves any event loop, and none.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._channel = target.open(balanced=True)
        self._stub = token_authority_service_pb2_grpc.TokenAuthorityServiceStub(self._channel)
        self._questions = queue.SimpleQueue[_Question | None]()
        threading.Thread(target=self._run, name="token-authority-validation", daemon=True).start()

    def ask(self, token: str, audience: str | None) -> Future[Identity]:
        """Asks about a token."""
        answer = Future[Identity]()
        self._questions.put(_Question(token, audience or "", time.monotonic() + _TIMEOUT, answer))
        return answer

    def close(self) -> None:
        """Ends the thread and the connection."""
        self._questions.put(None)

    def _run(self) -> None:
        is_open = True
        while is_open:
            gathered = [self._questions.get()]
            while len(gathered) < _MAX_TOKENS and not self._questions.empty():
                gathered.append(self._questions.get())
            is_open = None not in gathered
            by_audience: dict[str, list[_Question]] = {}
            for question in gathered:
                if question is not None:
                    by_audience.setdefault(question.audience, []).append(question)
            for audience, questions in by_audience.items():
                self._ask_all(audience, questions)
        self._channel.close()

    def _ask_all(self, audience: str, questions: list[_Question]) -> None:
        now = time.monotonic()
        waiting = [question for question in questions if question.until > now]
        for question in questions:
            if question.until <= now:
                _fail(question, unavailable("the authority does not answer in time"))
        if not waiting:
            return
        request = messages.ValidateTokensRequest(tokens=[question.token for question in waiting], audience=audience)
        try:
            response = self._stub.ValidateTokens(request, timeout=_TIMEOUT, metadata=self._target.metadata)
        except grpc.RpcError as error:
            failure = from_rpc(error)
            if isinstance(failure, AuthorityError):
                # The caller's key is wrong or lacks the role `verifier`: the operator's fault, not the token's.
                _log.error("ValidateTokens is refused: %s", failure)
                failure = unavailable(str(failure))
            for question in waiting:
                _fail(question, failure)
            return
        for question, result in zip(waiting, response.results, strict=True):
            if result.active:
                _settle(question, identity_of(result))
            else:
                _fail(question, TokenError(reason_of(result.inactive_reason)))


def _settle(question: _Question, identity: Identity) -> None:
    # Nobody waits any more if the question was given up.
    with contextlib.suppress(InvalidStateError):
        question.answer.set_result(identity)


def _fail(question: _Question, error: TokenError) -> None:
    # Nobody waits any more if the question was given up.
    with contextlib.suppress(InvalidStateError):
        question.answer.set_exception(TokenError(error.reason, str(error), retry_after=error.retry_after))


def reason_of(number: int) -> str:
    """Spells an `InactiveReason`; one that only a newer service knows is `inactive`."""
    try:
        name = auth_pb2.InactiveReason.Name(number)  # type: ignore[arg-type]
    except ValueError:
        return "inactive"
    return name.removeprefix(_PREFIX).lower().replace("_", "-") if number else "inactive"


def identity_of(result: messages.ValidateTokenResponse) -> Identity:
    """Reads a good token's answer."""
    is_session = result.auth_method == auth_pb2.AUTH_METHOD_SESSION
    return Identity(
        user_id=result.user_id,
        session_id=result.session_id or None,
        scopes=tuple(result.scopes),
        audience=tuple(result.audience),
        claims=MessageToDict(result.claims),
        expires_at=moment(result.expires_at.seconds + result.expires_at.nanos / 1e9),
        method="session" if is_session else "jwt",
    )
