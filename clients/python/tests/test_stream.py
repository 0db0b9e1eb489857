"""The rules of docs/revocation.md, against a server of the contract that does what a real one seldom does."""

from __future__ import annotations

import queue
import threading
import time
from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.conftest import until
from token_authority import TokenError, Verifier
from token_authority.testing import TokenFactory
from token_authority.v1 import session_service_pb2 as messages
from token_authority.v1 import session_service_pb2_grpc as services

if TYPE_CHECKING:
    from collections.abc import Iterator

END = object()


class Script(services.SessionServiceServicer):
    """Streams what a test says, and remembers the cursors that it was called with."""

    def __init__(self) -> None:
        self.cursors: list[str] = []
        self.streams: list[queue.SimpleQueue[Any]] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(16))
        services.add_SessionServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.address = f"127.0.0.1:{port}"

    def WatchRevocations(  # noqa: N802
        self, request: messages.WatchRevocationsRequest, context: Any
    ) -> Iterator[messages.WatchRevocationsResponse]:
        said = queue.SimpleQueue[Any]()
        self.cursors.append(request.cursor)
        self.streams.append(said)
        while context.is_active():
            try:
                message: Any = said.get(timeout=0.05)
            except queue.Empty:
                continue
            if message is END:
                return
            if isinstance(message, grpc.StatusCode):
                context.abort(message, "as the test says")
                return
            yield message

    def stream(self, number: int) -> queue.SimpleQueue[Any]:
        until(f"stream {number}", lambda: len(self.streams) > number)
        return self.streams[number]

    def close(self) -> None:
        self._server.stop(None).wait()


def revocation(session: str, *, expires_in: float = 600) -> messages.Revocation:
    one = messages.Revocation(session_id=session, user_id="alice")
    one.expires_at.FromMilliseconds(int((time.time() + expires_in) * 1000))
    one.revoked_at.GetCurrentTime()
    return one


def snapshot(cursor: str, *sessions: str, continued: bool = False) -> messages.WatchRevocationsResponse:
    revocations = [revocation(session) for session in sessions]
    body = messages.RevocationSnapshot(revocations=revocations, continued=continued)
    return messages.WatchRevocationsResponse(cursor=cursor, snapshot=body)


def news(cursor: str, session: str, *, expires_in: float = 600) -> messages.WatchRevocationsResponse:
    return messages.WatchRevocationsResponse(cursor=cursor, revocation=revocation(session, expires_in=expires_in))


def stale(session: str, epoch: int) -> messages.StaleTokens:
    one = messages.StaleTokens(session_id=session, epoch=epoch)
    one.expires_at.FromSeconds(int(time.time()) + 600)
    return one


def heartbeat(cursor: str, *tokens: messages.StaleTokens, age: float = 0.0) -> messages.WatchRevocationsResponse:
    beat = messages.Heartbeat(stale_tokens=tokens)
    beat.as_of.FromMilliseconds(int((time.time() - age) * 1000))
    return messages.WatchRevocationsResponse(cursor=cursor, heartbeat=beat)


factory = TokenFactory()


def refused(verifier: Verifier, *sessions: str) -> list[str]:
    """Those of the sessions whose tokens are refused as revoked."""
    reasons = {session: refusal(verifier, factory.mint(session_id=session)) for session in sessions}
    assert set(reasons.values()) <= {None, "revoked"}
    return [session for session, reason in reasons.items() if reason]


def refusal(verifier: Verifier, token: str) -> str | None:
    try:
        verifier.verify(token)
    except TokenError as error:
        return error.reason
    return None


@pytest.fixture
def script() -> Iterator[Script]:
    # The other RPCs are not asked here.
    script: Script = Script()  # type: ignore[abstract]
    yield script
    script.close()


@pytest.fixture
def verifier(script: Script) -> Iterator[Verifier]:
    with Verifier(secret=factory.secret, address=script.address) as verifier:
        yield verifier


def test_nothing_is_vouched_for_before_the_first_heartbeat(script: Script, verifier: Verifier) -> None:
    script.stream(0).put(snapshot("1", "a"))
    assert not verifier.wait_until_ready(0.3)
    threading.Timer(0.3, lambda: script.stream(0).put(heartbeat("2"))).start()
    assert refused(verifier, "a", "b") == ["a"], "the token has waited for it"


def test_a_snapshot_replaces_the_map_once_it_is_whole(script: Script, verifier: Verifier) -> None:
    stream = script.stream(0)
    for message in (snapshot("1", "a"), snapshot("2", "b", continued=True), heartbeat("3")):
        stream.put(message)
    assert verifier.wait_until_ready()
    assert refused(verifier, "a", "b", "c") == ["a", "b"]
    # Another snapshot comes halfway, and the stream breaks.
    stream.put(snapshot("4", "c"))
    stream.put(grpc.StatusCode.UNAVAILABLE)
    again = script.stream(1)
    assert script.cursors == ["", "3"], "what was not taken in counts for nothing"
    assert refused(verifier, "a", "b", "c") == ["a", "b"], "and nothing is lost"
    for message in (snapshot("5", "b", "c"), snapshot("6", "d", continued=True), heartbeat("7")):
        again.put(message)
    until("it is swapped", lambda: verifier.state.revocations == 3)
    assert refused(verifier, "a", "b", "c", "d") == ["b", "c", "d"]


def test_a_stream_is_resumed_with_the_last_cursor(script: Script, verifier: Verifier) -> None:
    for message in (snapshot("1"), heartbeat("2"), news("3", "a"), news("4", "a"), END):
        script.stream(0).put(message)
    script.stream(1).put(grpc.StatusCode.RESOURCE_EXHAUSTED)
    script.stream(2).put(news("5", "b"))
    script.stream(2).put(heartbeat("6"))
    until("it arrives", lambda: refused(verifier, "a", "b") == ["a", "b"])
    assert script.cursors == ["", "4", "4"]
    # A cursor that is none of the service's: from the beginning, with the map that is there.
    script.stream(2).put(grpc.StatusCode.INVALID_ARGUMENT)
    script.stream(3)
    assert script.cursors[3] == ""
    assert refused(verifier, "a", "b") == ["a", "b"]


def test_silence_ends_a_stream(script: Script, verifier: Verifier) -> None:
    script.stream(0).put(snapshot("1"))
    script.stream(0).put(heartbeat("2"))
    assert verifier.wait_until_ready()
    assert verifier.state.connected
    began = time.monotonic()
    script.stream(1)
    assert 2.5 < time.monotonic() - began < 5.0
    assert not verifier.state.connected
    script.stream(1).put(heartbeat("3"))
    until("it is heard again", lambda: verifier.state.connected)


def test_a_heartbeat_that_stands_still_is_too_old(script: Script) -> None:
    strict = Verifier(secret=factory.secret, address=script.address, max_staleness=5)
    with strict:
        script.stream(0).put(snapshot("1"))
        script.stream(0).put(heartbeat("2", age=10))
        assert strict.wait_until_ready()
        assert strict.state.connected
        assert refusal(strict, factory.mint()) == "unavailable"
        script.stream(0).put(heartbeat("3"))
        until("it is fresh", lambda: refusal(strict, factory.mint()) is None)


def test_a_replica_that_lags_behind_makes_nothing_older(script: Script, verifier: Verifier) -> None:
    script.stream(0).put(snapshot("1"))
    script.stream(0).put(heartbeat("2"))
    assert verifier.wait_until_ready()
    fresh = verifier.state.fresh_as_of
    script.stream(0).put(heartbeat("3", age=20))
    script.stream(0).put(news("4", "a"))
    until("both have arrived", lambda: refused(verifier, "a") == ["a"])
    assert verifier.state.fresh_as_of == fresh


def test_only_tokens_of_an_earlier_epoch_are_stale(script: Script, verifier: Verifier) -> None:
    def verdict(session: str, jti: str) -> str | None:
        return refusal(verifier, factory.mint(session_id=session, jti=jti))

    first, later = "018f3b1e-0000-8000-8000-00ffff000000", "018f3b1e-0000-4000-80{:02x}-{:04x}00000000"
    body = messages.RevocationSnapshot(revocations=[revocation("c")], stale_tokens=[stale("a", 2), stale("c", 1)])
    script.stream(0).put(messages.WatchRevocationsResponse(cursor="1", snapshot=body))
    script.stream(0).put(heartbeat("2", stale("b", 0x010002), stale("a", 1)))
    assert verifier.wait_until_ready()
    assert verifier.state.revocations == 3
    # Version 8, or no UUID at all: of the first epoch, whatever its bytes are.
    for jti in (first, "7", "", later.format(0, 1), later.format(0, 0)):
        assert verdict("a", jti) == "stale", jti
    for jti in (later.format(0, 2), later.format(0, 3), later.format(1, 0), later.format(255, 0xFFFF).upper()):
        assert verdict("a", jti) is None, jti
    assert verdict("b", later.format(1, 1)) == "stale"
    assert verdict("b", later.format(1, 2)) is None
    assert verdict("c", later.format(255, 0xFFFF)) == "revoked", "what refuses more stays"
    assert verdict("d", first) is None
    # The session is over in the end.
    script.stream(0).put(news("3", "a"))
    until("it is over", lambda: verdict("a", later.format(1, 0)) == "revoked")


def test_what_matters_no_more_is_forgotten(script: Script, verifier: Verifier) -> None:
    for message in (snapshot("1"), news("2", "old", expires_in=-120), news("3", "new"), heartbeat("4")):
        script.stream(0).put(message)
    assert verifier.wait_until_ready()
    assert verifier.state.revocations == 2
    assert verifier._revocations
    verifier._revocations.purge(time.time())
    assert verifier.state.revocations == 1
    assert refused(verifier, "old", "new") == ["new"]
