"""The revoked sessions: follows `WatchRevocations` in a thread, by the rules of the service's docs/revocation.md.

1. Nothing is vouched for before the first heartbeat.
2. A message is applied before its cursor is kept. A snapshot comes in parts; the map is swapped for it once it is
   whole, and never emptied first.
3. A token whose `sid` is in the map is refused, or if the entry has an epoch, only one of an earlier epoch (the
   verifier's part).
4. An entry goes when its `expires_at` is past.
5. A stream that ended is called again with the last cursor, at once and then with a growing pause. The map stays.
6. A stream without a message for three seconds is given up, and called again over a new connection.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from token_authority.v1 import session_service_pb2 as messages
from token_authority.v1 import session_service_pb2_grpc as services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from token_authority._channel import Target

_log = logging.getLogger("token_authority")

_SILENCE = 3.0
# Longer than a heartbeat's second: a connection has to be made first.
_FIRST_SILENCE = 6.0
_LONGEST_PAUSE = 2.0
_PAUSE_IF_REFUSED = 5.0
# An entry stays a little longer than the service asks, for clocks that differ.
_GRACE = 60.0
_PURGE_EVERY = 30.0
_REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED)


class Entry(NamedTuple):
    """What is refused of a session."""

    expires_at: float
    """Until when it matters, in seconds since the Unix epoch."""
    epoch: int | None
    """Access tokens of an earlier epoch are refused. `None`: all are, since the session is over."""


class Revocations:
    """The sessions that are over, as far as is known."""

    def __init__(self, target: Target, *, leeway: float, on_revocation: Callable[[float], None]) -> None:
        self._target = target
        self._leeway = leeway
        self._on_revocation = on_revocation
        self._cursor = ""
        self._snapshot: dict[str, Entry] | None = None
        self._stop = threading.Event()
        self._purged_at = time.monotonic()
        self._call: Any = None
        self.sessions: dict[str, Entry] = {}
        """Session ids, and what is refused of each. Replaced as a whole."""
        self.fresh_as_of: float | None = None
        self.is_connected = False
        self.has_failed = False
        """Whether the last try to follow them failed: what waits for the first ones would wait in vain."""
        self.ready = Future[None]()
        """Done with the first heartbeat."""
        self.is_ready = False
        """The same, for the hot path."""
        self._thread = threading.Thread(target=self._run, name="token-authority-revocations", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the stream."""
        self._stop.set()
        call = self._call
        if call is not None:
            call.cancel()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            channel = self._target.open(balanced=False)
            try:
                error = self._follow(channel)
            finally:
                channel.close()
            if self._stop.is_set():
                return
            failures = 0 if self.is_connected else failures + 1
            self._lost(error)
            pause = _PAUSE_IF_REFUSED if error in _REFUSED else min(0.1 * 2**failures, _LONGEST_PAUSE)
            # The first call again is at once, so that a rolling restart costs nothing.
            self._stop.wait(pause * random.uniform(0.5, 1.0) if failures else 0.0)  # noqa: S311

    def _follow(self, channel: grpc.Channel) -> grpc.StatusCode | None:
        """Follows one stream to its end. `None`: it fell silent."""
        stub = services.SessionServiceStub(channel)
        request = messages.WatchRevocationsRequest(cursor=self._cursor)
        call: Any = stub.WatchRevocations(request, metadata=self._target.metadata)
        self._call = call
        self._snapshot = None
        inbox = queue.SimpleQueue[Any]()
        threading.Thread(target=_pump, args=(call, inbox), name="token-authority-stream", daemon=True).start()
        silence = _FIRST_SILENCE
        try:
            while not self._stop.is_set():
                message = inbox.get(timeout=silence)
                if isinstance(message, grpc.StatusCode):
                    if message is grpc.StatusCode.INVALID_ARGUMENT:
                        self._cursor = ""
                    return message
                silence = _SILENCE
                self._take_in(message)
        except queue.Empty:
            pass
        finally:
            call.cancel()
        return None

    def _take_in(self, message: messages.WatchRevocationsResponse) -> None:
        kind = message.WhichOneof("event")
        if kind == "snapshot":
            if self._snapshot is None or not message.snapshot.continued:
                self._snapshot = {}
            for one in message.snapshot.revocations:
                self._snapshot[one.session_id] = Entry(_seconds(one.expires_at), None)
            _add_stale(self._snapshot, message.snapshot.stale_tokens)
            # Its cursor counts only once the snapshot is whole: what came so far is not in the map yet.
            return
        if self._snapshot is not None:
            self.sessions, self._snapshot = self._snapshot, None
        if kind == "revocation":
            self.sessions[message.revocation.session_id] = Entry(_seconds(message.revocation.expires_at), None)
            self._on_revocation(_seconds(message.revocation.revoked_at))
        elif kind == "heartbeat":
            _add_stale(self.sessions, message.heartbeat.stale_tokens)
            self._beat(_seconds(message.heartbeat.as_of))
        self._cursor = message.cursor

    def _beat(self, as_of: float) -> None:
        # Another replica may lag behind the one before, and what is known does not get older.
        self.fresh_as_of = max(as_of, self.fresh_as_of or as_of)
        self.has_failed = False
        if not self.is_connected:
            self.is_connected = True
            _log.info("following revocations at %s: %d known", self._target.address, len(self.sessions))
        if not self.is_ready:
            self.is_ready = True
            self.ready.set_result(None)
        if time.monotonic() >= self._purged_at + _PURGE_EVERY:
            self._purged_at = time.monotonic()
            self.purge(time.time())

    def purge(self, now: float) -> None:
        """Drops the entries that no token can concern any more."""
        latest = now - self._leeway - _GRACE
        over = [session for session, entry in self.sessions.items() if entry.expires_at < latest]
        for session in over:
            self.sessions.pop(session, None)

    def _lost(self, error: grpc.StatusCode | None) -> None:
        told = "it fell silent" if error is None else error.name
        was_told, self.has_failed = self.has_failed, True
        if not was_told:
            _log.warning("revocations at %s cannot be followed: %s; trying again", self._target.address, told)
        self.is_connected = False


def _pump(call: Any, inbox: queue.SimpleQueue[Any]) -> None:  # noqa: ANN401
    """Moves a stream's messages to where they can be waited for with a time limit, and then its end."""
    try:
        for message in call:
            inbox.put(message)
        inbox.put(grpc.StatusCode.UNAVAILABLE)
    except grpc.RpcError as error:
        ended: Any = error
        inbox.put(ended.code())
    except Exception:
        inbox.put(grpc.StatusCode.UNKNOWN)


def _add_stale(sessions: dict[str, Entry], stale: Iterable[messages.StaleTokens]) -> None:
    """Adds sessions that live on. An entry that refuses more stays."""
    for one in stale:
        known = sessions.get(one.session_id)
        if known is None or (known.epoch is not None and known.epoch < one.epoch):
            sessions[one.session_id] = Entry(_seconds(one.expires_at), one.epoch)


def _seconds(timestamp: Any) -> float:  # noqa: ANN401
    """Reads a protobuf timestamp."""
    seconds: float = timestamp.seconds + timestamp.nanos / 1e9
    return seconds
