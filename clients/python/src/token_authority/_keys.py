"""The keys that verify: a shared secret and its predecessor, and the key set that the service publishes.

A token names its key by `kid`; the key, never the token, decides the algorithm (RFC 8725 section 3.1).
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
import logging
import re
import threading
import time
import urllib.request
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_log = logging.getLogger("token_authority")

_KID_LABEL = b"token-authority/kid/v1"
_COORDINATE = 32
# The shortest modulus that RFC 7518 section 3.3 allows.
_LEAST_MODULUS_BITS = 2048
# A longer key set is none of the service's: a wrong address, perhaps.
_MAX_SET_BYTES = 1 << 20
_DEFAULT_MAX_AGE = 300.0
_LEAST_MAX_AGE = 1.0
_MAX_MAX_AGE = 3600.0
_MAX_AGE = re.compile(r"max-age=([0-9]{1,9})")
_FETCH_TIMEOUT = 5.0
_RETRY_AFTER_FAILURE = 1.0

_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def decode_base64url(part: bytes) -> bytes:
    """Decodes base64url as RFC 7515 section 2 has it: no padding, nothing else than its alphabet, no unused bits.

    Raises:
        ValueError: It is something else.
    """
    padded = part.translate(_TO_STANDARD) + b"=" * (-len(part) % 4)
    raw = binascii.a2b_base64(padded)
    if binascii.b2a_base64(raw, newline=False) != padded:
        raise ValueError("not base64url")
    return raw


def encode_base64url(raw: bytes) -> bytes:
    """Encodes as `decode_base64url` decodes."""
    return binascii.b2a_base64(raw, newline=False).translate(_TO_URL_SAFE).rstrip(b"=")


class Key(Protocol):
    """A key that verifies, with its own algorithm."""

    kid: str
    alg: str

    def verifies(self, covered: bytes, signature: bytes) -> bool:
        """Says whether `signature`, still in base64url, is this key's over `covered`."""
        ...


class Secret:
    """A shared secret (HS256)."""

    alg = "HS256"

    def __init__(self, secret: str | bytes) -> None:
        self._secret = secret.encode() if isinstance(secret, str) else secret
        name = hmac.digest(self._secret, _KID_LABEL, "sha256")
        self.kid = "hs-" + encode_base64url(name[:9]).decode()

    def __repr__(self) -> str:
        return f"Secret({self.kid})"

    def verifies(self, covered: bytes, signature: bytes) -> bool:
        expected = binascii.b2a_base64(hmac.digest(self._secret, covered, "sha256"), newline=False)
        return hmac.compare_digest(expected.translate(_TO_URL_SAFE).rstrip(b"="), signature)


class PublicKey:
    """The public half of a key pair (EdDSA, ES256, RS256)."""

    def __init__(self, jwk: Mapping[str, Any]) -> None:
        """Reads a JWK.

        Raises:
            ValueError: It is no public key of an algorithm that the service signs with.
        """
        self.jwk = dict(jwk)
        self.kid = _text(jwk, "kid")
        self._key = _read_key(jwk)
        self.alg = _algorithm_of(self._key)
        if jwk.get("alg", self.alg) != self.alg or jwk.get("use", "sig") != "sig":
            raise ValueError(f"the key {self.kid} is for something else")

    def verifies(self, covered: bytes, signature: bytes) -> bool:
        key = self._key
        try:
            raw = decode_base64url(signature)
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(raw, covered)
            elif isinstance(key, rsa.RSAPublicKey):
                key.verify(raw, covered, padding.PKCS1v15(), SHA256())
            elif len(raw) != 2 * _COORDINATE:
                return False
            else:
                r, s = int.from_bytes(raw[:_COORDINATE], "big"), int.from_bytes(raw[_COORDINATE:], "big")
                key.verify(encode_dss_signature(r, s), covered, ec.ECDSA(SHA256()))
        except (InvalidSignature, ValueError):
            return False
        return True


def _read_key(
    jwk: Mapping[str, Any],
) -> ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    match jwk.get("kty"), jwk.get("crv"):
        case "OKP", "Ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(_coordinate(jwk, "x"))
        case "EC", "P-256":
            point = b"\x04" + _coordinate(jwk, "x") + _coordinate(jwk, "y")
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        case "RSA", _:
            n, e = (int.from_bytes(decode_base64url(_text(jwk, name).encode()), "big") for name in "ne")
            if n.bit_length() < _LEAST_MODULUS_BITS:
                raise ValueError("the modulus is too short")
            return rsa.RSAPublicNumbers(e, n).public_key()
        case _:
            raise ValueError("a key of another kind")


def _algorithm_of(key: object) -> str:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "EdDSA"
    return "RS256" if isinstance(key, rsa.RSAPublicKey) else "ES256"


def _text(jwk: Mapping[str, Any], name: str) -> str:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise ValueError(f"the key has no {name}")
    return value


def _coordinate(jwk: Mapping[str, Any], name: str) -> bytes:
    raw = decode_base64url(_text(jwk, name).encode())
    if len(raw) != _COORDINATE:
        raise ValueError(f"{name} has another length")
    return raw


def read_key_set(jwks: Mapping[str, Any]) -> dict[str, PublicKey]:
    """Reads a JWK Set (RFC 7517 section 5). Keys of other kinds are left out.

    Raises:
        ValueError: It is no JWK Set.
    """
    members = jwks.get("keys")
    if not isinstance(members, list):
        raise ValueError("no JWK Set: it has no `keys`")
    keys: dict[str, PublicKey] = {}
    for jwk in members:
        try:
            key = PublicKey(jwk)
        except (ValueError, AttributeError) as error:
            _log.debug("a key of the set is left out: %s", error)
        else:
            keys[key.kid] = key
    return keys


class RemoteKeySet:
    """The key set at an address, fetched in threads of its own.

    * It is fetched anew when its `max-age` is over, so that a key that was withdrawn is soon gone.
    * An unknown `kid` has it fetched at once, but at most once in the cooldown, whatever the number of such tokens.
    * One fetch is under way at a time, and everybody waits for that one.
    * While it cannot be fetched, the keys that are known go on verifying.
    """

    def __init__(self, url: str, *, cooldown: float) -> None:
        self._url = url
        self._cooldown = cooldown
        self.forget_threads()
        self._asked_at = float("-inf")
        self._stale_at = float("-inf")
        self._failed = False
        self._is_loaded = False
        self.keys: dict[str, PublicKey] = {}

    def forget_threads(self) -> None:
        """Forgets a fetch that is under way: a forked process has not got its thread."""
        self._lock = threading.Lock()
        self._fetching: Future[None] | None = None

    @property
    def may_know_more(self) -> bool:
        """Whether an unknown key may still be one of the set's: the last fetch failed, or there was none."""
        return self._failed or not self._is_loaded

    def look_again(self) -> Future[None] | None:
        """Has the set fetched because of an unknown key. `None`: it was, only moments ago."""
        with self._lock:
            if self._fetching:
                return self._fetching
            pause = self._cooldown if self._is_loaded and not self._failed else _RETRY_AFTER_FAILURE
            if time.monotonic() < self._asked_at + pause:
                return None
            return self._fetch()

    def refresh(self) -> Future[None] | None:
        """Has the set fetched if its time is over. `None`: it is not."""
        with self._lock:
            if self._fetching or time.monotonic() < self._stale_at:
                return None
            if self._failed and time.monotonic() < self._asked_at + _RETRY_AFTER_FAILURE:
                return None
            return self._fetch()

    def _fetch(self) -> Future[None]:
        fetching = Future[None]()
        self._fetching = fetching
        self._asked_at = time.monotonic()
        threading.Thread(target=self._run, args=(fetching,), name="token-authority-keys", daemon=True).start()
        return fetching

    def _run(self, fetching: Future[None]) -> None:
        try:
            keys, max_age = self._get()
        except (OSError, ValueError) as error:
            if not self._failed:
                _log.warning("the key set at %s cannot be fetched: %s", self._url, error)
            self._failed = True
        else:
            # A key that is there again is the same object, so that tokens that were verified with it stay verified.
            known = self.keys
            same = {kid: known[kid] for kid, key in keys.items() if kid in known and known[kid].jwk == key.jwk}
            self.keys, self._is_loaded, self._failed = keys | same, True, False
            self._stale_at = time.monotonic() + max_age
        finally:
            with self._lock:
                self._fetching = None
            fetching.set_result(None)

    def _get(self) -> tuple[dict[str, PublicKey], float]:
        request = urllib.request.Request(self._url, headers={"Accept": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=_FETCH_TIMEOUT) as answer:  # noqa: S310
            body = answer.read(_MAX_SET_BYTES + 1)
            cache_control = answer.headers.get("Cache-Control") or ""
        if len(body) > _MAX_SET_BYTES:
            raise ValueError("it is too long for a key set")
        jwks = json.loads(body)
        if not isinstance(jwks, dict):
            raise ValueError("no JWK Set")
        said = _MAX_AGE.search(cache_control)
        max_age = float(said[1]) if said else _DEFAULT_MAX_AGE
        return read_key_set(jwks), min(max(max_age, _LEAST_MAX_AGE), _MAX_MAX_AGE)


class KeyRing:
    """All keys that verify."""

    def __init__(
        self, secrets: Iterable[str | bytes], jwks: Mapping[str, Any] | None, remote: RemoteKeySet | None
    ) -> None:
        found = [Secret(secret) for secret in secrets]
        self._unnamed: Key | None = found[0] if found else None
        self._named: dict[str, Key] = {key.kid: key for key in found}
        if jwks is not None:
            self._named |= read_key_set(jwks)
        self.remote = remote

    def find(self, kid: str | None) -> Key | None:
        """Finds the key of that name. A token that names none is held against the current secret, and no other."""
        if kid is None:
            return self._unnamed
        key = self._named.get(kid)
        if key is None and self.remote:
            key = self.remote.keys.get(kid)
        return key


def digest(token: bytes) -> bytes:
    """Names a token in a cache, so that no copy of it is kept and its comparison gives nothing away."""
    return hashlib.sha256(token).digest()
