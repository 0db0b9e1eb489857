"""The verifier: is this access token good now, and whose is it?"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
import weakref
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import datetime, timedelta
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from token_authority import _settings
from token_authority._channel import Target, Tls
from token_authority._keys import KeyRing, RemoteKeySet, digest
from token_authority._metrics import Metrics
from token_authority._remote import RemoteValidation
from token_authority._revocations import Revocations
from token_authority._tokens import MAX_BYTES, Reader, VerificationCache, VerifiedToken
from token_authority.errors import MissingTokenError, TokenError, unavailable
from token_authority.identity import Identity, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

# How long a token may wait for what is needed to judge it: the first revocations, a key set, an answer.
_PATIENCE = 5.0
_REFRESH_EVERY = 0.5
_JWT_DOTS = 2
_SESSION_TOKEN = "tas_"  # noqa: S105
_TOO_LATE = "what is needed to judge the token does not come in time"


@dataclasses.dataclass(frozen=True)
class State:
    """What a verifier's verdicts rest on."""

    connected: bool
    """Whether revocations arrive: the stream was heard within the last seconds."""

    fresh_as_of: datetime | None
    """Every revocation made before this moment is known. `None`: none was read yet, or none is followed."""

    revocations: int
    """How many revocations are known that may still matter."""


class Verifier:
    """Verifies access tokens, with the verdicts of the service's `ValidateToken`.

    A JWT is checked here, without a call: by its signature, its claims, and the revocations that the service streams.
    `ValidateTokens` judges tokens that are no JWTs. The connection is opened with the first token or by `start`,
    in threads of its own: after a fork each process has its own, and any event loop, or none, may use it.

    Args:
        secret: The service's `JWT_SECRET`, for HS256.
        previous_secret: Its `JWT_SECRET_PREVIOUS`, which still verifies.
        jwks_url: The address of its key set, `…/.well-known/jwks.json`, for EdDSA, ES256 and RS256. May stand beside
            `secret`, as while a product moves from one to the other.
        jwks: A key set that never changes, instead of `jwks_url`.
        address: The service's gRPC address, `host:port`. Unset: revocations are not followed, and only JWTs are
            accepted.
        api_key: The key of a caller with the role `verifier`.
        tls: `True`: TLS with the system's roots; a path: with the roots in that file. An address that begins with
            `https://` says the former, too.
        audience: The audience that every token must be meant for. Unset: any, or none.
        issuer: The `iss` that every JWT must have. Unset: any, or none, as `ValidateToken` has it.
        max_staleness: Refuse as unavailable when the revocations are older than this (seconds, or a `timedelta`).
            Unset: go on with those that are known. Before the first ones were read, tokens are refused as unavailable
            either way.
        leeway: Seconds by which clocks may differ: the service's `JWT_LEEWAY_SECONDS`.
        jwks_cooldown: Seconds in which unknown keys have the key set fetched at most once.
        cache_size: How many verified tokens are kept, so that one that comes again costs less.
        clock: Tells the time in seconds since the Unix epoch; for tests.

    Where no key is given, `JWT_SECRET`, `JWT_SECRET_PREVIOUS` and `TOKEN_AUTHORITY_JWKS_URL` are read from the
    environment; where no address is, `TOKEN_AUTHORITY_ADDRESS` and `TOKEN_AUTHORITY_API_KEY`.
    """

    def __init__(
        self,
        *,
        secret: str | bytes | None = None,
        previous_secret: str | bytes | None = None,
        jwks_url: str | None = None,
        jwks: Mapping[str, Any] | None = None,
        address: str | None = None,
        api_key: str | None = None,
        tls: Tls | None = None,
        audience: str | None = None,
        issuer: str | None = None,
        max_staleness: float | timedelta | None = None,
        leeway: float = 0.0,
        jwks_cooldown: float = 10.0,
        cache_size: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        keys = _settings.keys(secret, previous_secret, jwks_url, jwks)
        address, api_key = _settings.service(address, api_key)
        self._has_keys = bool(keys.secrets or keys.jwks_url or keys.jwks is not None)
        if not self._has_keys and not address:
            raise ValueError(
                "nothing to verify tokens with: give secret=, jwks_url= or address=, or set JWT_SECRET, "
                "TOKEN_AUTHORITY_JWKS_URL or TOKEN_AUTHORITY_ADDRESS"
            )
        self._key_set = RemoteKeySet(keys.jwks_url, cooldown=jwks_cooldown) if keys.jwks_url else None
        self._ring = KeyRing(keys.secrets, keys.jwks, self._key_set)
        self._reader = Reader(self._ring)
        self._cache = VerificationCache(cache_size)
        self._target = Target(address, api_key, tls) if address else None
        self._audience = audience
        self._issuer = issuer
        if isinstance(max_staleness, timedelta):
            max_staleness = max_staleness.total_seconds()
        self._max_staleness: float | None = max_staleness
        self._leeway = leeway
        self._clock = clock
        self._metrics = Metrics()
        self._after_fork()
        _verifiers.add(self)

    def _after_fork(self) -> None:
        """Forgets threads and connections: a forked process has none of them."""
        self._lock = Lock()
        if self._key_set:
            self._key_set.forget_threads()
        self._revocations: Revocations | None = None
        self._remote: RemoteValidation | None = None
        self._stop: Event | None = None

    def __enter__(self) -> Verifier:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Opens the connection and fetches the key set, in the background. The first token does it, too."""
        with self._lock:
            if self._stop is not None:
                return
            self._stop = Event()
            if self._target:
                self._revocations = Revocations(
                    self._target, leeway=self._leeway, on_revocation=self._revocation_arrived
                )
                self._remote = RemoteValidation(self._target)
            if self._key_set:
                self._key_set.refresh()
                refresher = Thread(
                    target=_refresh,
                    args=(self._key_set, self._stop),
                    name="token-authority-refresh",
                    daemon=True,
                )
                refresher.start()

    def wait_until_ready(self, timeout: float = _PATIENCE) -> bool:
        """Starts, and waits for the first revocations. False: they were not read in time."""
        self.start()
        revocations = self._revocations
        if revocations is None:
            return True
        try:
            revocations.ready.result(timeout)
        except FutureTimeoutError:
            return False
        return True

    def close(self) -> None:
        """Closes the connection. A token that comes later opens it again."""
        with self._lock:
            stop, revocations, remote = self._stop, self._revocations, self._remote
            self._stop = self._revocations = self._remote = None
        if stop:
            stop.set()
        if remote:
            remote.close()
        if revocations:
            revocations.close()

    @property
    def state(self) -> State:
        """What the verdicts rest on now."""
        revocations = self._revocations
        if revocations is None:
            return State(connected=False, fresh_as_of=None, revocations=0)
        fresh_as_of = revocations.fresh_as_of
        return State(
            connected=revocations.is_connected,
            fresh_as_of=None if fresh_as_of is None else moment(fresh_as_of),
            revocations=len(revocations.sessions),
        )

    def verify(self, token: str, *, audience: str | None = None) -> Identity:
        """Judges an access token. May block: in an event loop use `averify`.

        Args:
            token: The token, without "Bearer".
            audience: The audience that it must be meant for, instead of the verifier's own.

        Raises:
            TokenError: It is not good, or cannot be judged now (`unavailable`).
        """
        began = time.perf_counter()
        try:
            identity = self._recognise(token, audience)
            if identity is None:
                progress = _Progress(began)
                while not isinstance(outcome := self._go_on(token, audience, progress), Identity):
                    try:
                        outcome.result(progress.patience())
                    except FutureTimeoutError:
                        raise unavailable(_TOO_LATE) from None
                identity = outcome
        finally:
            self._observe(token, time.perf_counter() - began)
        return identity

    async def averify(self, token: str, *, audience: str | None = None) -> Identity:
        """Judges an access token without blocking the event loop.

        Args:
            token: The token, without "Bearer".
            audience: The audience that it must be meant for, instead of the verifier's own.

        Raises:
            TokenError: It is not good, or cannot be judged now (`unavailable`).
        """
        began = time.perf_counter()
        try:
            identity = self._recognise(token, audience)
            if identity is None:
                progress = _Progress(began)
                while not isinstance(outcome := self._go_on(token, audience, progress), Identity):
                    # Shielded: others may wait for the same thing when this request is cancelled.
                    waiting = asyncio.shield(asyncio.wrap_future(outcome))
                    try:
                        await asyncio.wait_for(waiting, progress.patience())
                    except (asyncio.TimeoutError, FutureTimeoutError):
                        raise unavailable(_TOO_LATE) from None
                identity = outcome
        finally:
            self._observe(token, time.perf_counter() - began)
        return identity

    def authenticate(self, authorization: str | None, *, audience: str | None = None) -> Identity:
        """Judges the bearer token of an `Authorization` header (RFC 6750 section 2.1).

        Args:
            authorization: The header's value; `None`: the request has none.
            audience: The audience that the token must be meant for, instead of the verifier's own.

        Raises:
            TokenError: There is no token, it is not good, or it cannot be judged now. Its `status_code` and
                `headers` are those of the answer.
        """
        return self.verify(bearer_token(authorization), audience=audience)

    async def aauthenticate(self, authorization: str | None, *, audience: str | None = None) -> Identity:
        """As `authenticate`, without blocking the event loop.

        Raises:
            TokenError: There is no token, it is not good, or it cannot be judged now.
        """
        return await self.averify(bearer_token(authorization), audience=audience)

    def _recognise(self, token: str, audience: str | None) -> Identity | None:
        """Judges a token that was verified before. `None`: it was not, or more is needed to judge it."""
        try:
            known = self._cache.find(digest(token.encode()))
        except UnicodeEncodeError:
            return None
        if known is None or self._ring.find(known.kid) is not known.key:
            return None
        if self._target and not ((revocations := self._revocations) and revocations.is_ready):
            return None
        return self._judge(known, audience)

    def _judge(self, known: VerifiedToken, audience: str | None) -> Identity:
        """Judges what a token's signature does not decide. A revocation comes last, as in the service."""
        now = self._clock()
        if now - self._leeway >= known.expires_at:
            raise TokenError("expired")
        if known.not_before > now + self._leeway:
            raise TokenError("not-yet-valid")
        if not known.is_access_token:
            raise TokenError("wrong-type")
        wanted = audience or self._audience
        if wanted and wanted not in known.audience:
            raise TokenError("wrong-audience")
        if self._issuer and known.issuer != self._issuer:
            raise TokenError("malformed", "the token is another issuer's")
        revocations = self._revocations
        if revocations:
            refused = revocations.sessions.get(known.session_id or "")
            if refused and refused.epoch is None:
                raise TokenError("revoked")
            if refused and refused.epoch is not None and known.epoch < refused.epoch:
                raise TokenError("stale")
            if self._max_staleness is not None and now - (revocations.fresh_as_of or 0) > self._max_staleness:
                raise unavailable("the revocations that are known are too old")
        return known.template.make()

    def _go_on(self, token: str, audience: str | None, progress: _Progress) -> Identity | Future[Any]:
        """Takes a token as far as it gets: to its identity, or to something that has to be waited for."""
        self.start()
        if progress.asked:
            return progress.asked.result(0)
        if not self._has_keys or token.count(".") < _JWT_DOTS or token.startswith(_SESSION_TOKEN):
            progress.asked = self._ask(token, audience or self._audience)
            return progress.asked
        known = self._read(token)
        if known is None:
            return self._look_for_key(progress)
        revocations = self._revocations
        if self._target and revocations is None:
            raise unavailable("the verifier was closed")
        if revocations and not revocations.is_ready:
            # A token that is refused anyway need not wait.
            self._judge_alone(known, audience)
            if revocations.has_failed:
                raise unavailable("no revocations were read yet, and they cannot be read now")
            return revocations.ready
        return self._judge(known, audience)

    def _judge_alone(self, known: VerifiedToken, audience: str | None) -> None:
        """Judges a token while nothing is known of revocations."""
        try:
            self._judge(known, audience)
        except TokenError as error:
            if not error.is_unavailable:
                raise

    def _ask(self, token: str, audience: str | None) -> Future[Identity]:
        """Asks the service about a token, if it can be one at all."""
        is_visible = token.isascii() and token.isprintable() and " " not in token
        if not token or not is_visible or len(token) > MAX_BYTES:
            raise TokenError("malformed")
        remote = self._remote
        if remote is None:
            raise TokenError("malformed", "the token is no JWT; the verifier needs address= to ask about others")
        return remote.ask(token, audience)

    def _read(self, token: str) -> VerifiedToken | None:
        """Verifies a token's signature, and reads it. `None`: its key is not known."""
        try:
            encoded = token.encode()
        except UnicodeEncodeError:
            raise TokenError("malformed") from None
        known = self._reader.read(encoded)
        if known is not None and known.kid is not None:
            self._cache.keep(digest(encoded), known)
        return known

    def _look_for_key(self, progress: _Progress) -> Future[None]:
        key_set = self._key_set
        if key_set is None:
            raise TokenError("unknown-key")
        looking = None if progress.looked else key_set.look_again()
        progress.looked = True
        if looking:
            return looking
        if key_set.may_know_more:
            raise unavailable("the key set cannot be fetched")
        raise TokenError("unknown-key")

    def _observe(self, token: str, seconds: float) -> None:
        metrics = self._metrics
        if metrics.is_counting:
            is_jwt = token.count(".") == _JWT_DOTS
            (metrics.validated_jwt if is_jwt else metrics.validated_session)(seconds)

    def _revocation_arrived(self, revoked_at: float) -> None:
        self._metrics.revocation_arrived(max(time.time() - revoked_at, 0.0))


def bearer_token(authorization: str | None) -> str:
    """Finds the token in an `Authorization` header.

    Raises:
        MissingTokenError: There is none.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer":
        raise MissingTokenError
    return token.strip()


class _Progress:
    """How far a token has got."""

    __slots__ = ("_began", "asked", "looked")

    def __init__(self, began: float) -> None:
        self._began = began
        self.asked: Future[Identity] | None = None
        self.looked = False

    def patience(self) -> float:
        """How many seconds it may still wait."""
        return max(self._began + _PATIENCE - time.perf_counter(), 0.0)


def _refresh(key_set: RemoteKeySet, stop: Event) -> None:
    """Has a key set fetched each time its `max-age` is over, until `stop`."""
    while not stop.wait(_REFRESH_EVERY):
        key_set.refresh()


_verifiers: weakref.WeakSet[Verifier] = weakref.WeakSet()


def _forget_all() -> None:
    for verifier in _verifiers:
        verifier._after_fork()  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
