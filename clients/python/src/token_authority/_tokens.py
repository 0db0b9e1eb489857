"""Reading a signed access token and judging it, in the order and with the verdicts of the service's `ValidateToken`."""

from __future__ import annotations

import uuid
from typing import Any

from token_authority._json import NotJsonError, read_claims, read_header
from token_authority._keys import Key, KeyRing, decode_base64url
from token_authority.errors import TokenError
from token_authority.identity import Identity, Template, moment

# The longest token that is looked at, as in the service.
MAX_BYTES = 64 * 1024
_PARTS = 3
_ACCESS_TOKEN_TYPES = frozenset({"at+jwt", "application/at+jwt"})
_PLAIN_TYPES = frozenset({"jwt", "application/jwt"})
_SHARED_ALG = "HS256"
_REGISTERED = frozenset({"sub", "exp", "iat", "nbf", "type", "jti", "sid", "iss", "aud", "scope"})
_TEXTS = ("type", "jti")
_VERSION_WITH_EPOCH = 4
# Deeper claims are refused, as by the service, whose answers a gRPC client could not decode.
_MAX_CLAIM_DEPTH = 32
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**64 - 1
_MAX_HEADERS = 64
# A longer header is none of the service's, and is not kept.
_USUAL_HEADER = 512


class Header:
    """The part of a header that decides anything."""

    __slots__ = ("alg", "is_access_token", "is_plain", "kid")

    def __init__(self, members: dict[str, Any]) -> None:
        if "crit" in members:
            raise NotJsonError("it demands an extension")
        for name in ("alg", "kid", "typ"):
            if name in members and type(members[name]) is not str:
                raise NotJsonError(f"{name} is no text")
        self.alg: str | None = members.get("alg")
        self.kid: str | None = members.get("kid")
        typ: str = members.get("typ", "")
        # Only ASCII letters have another case here: no other letter becomes one of these when it is lowered.
        self.is_access_token = typ.isascii() and typ.lower() in _ACCESS_TOKEN_TYPES
        # Backends that share a secret also sign tokens of their own.
        self.is_plain = "typ" not in members or (typ.isascii() and typ.lower() in _PLAIN_TYPES)


class VerifiedToken:
    """A token whose signature was verified, and what it says."""

    __slots__ = (
        "audience",
        "epoch",
        "expires_at",
        "is_access_token",
        "issuer",
        "key",
        "kid",
        "not_before",
        "session_id",
        "template",
    )

    def __init__(self, header: Header, key: Key, claims: dict[str, Any]) -> None:
        """Reads the claims.

        Raises:
            NotJsonError: `sub` or `exp` is missing, or a claim has another type than its RFC gives it.
        """
        subject = claims.get("sub")
        if type(subject) is not str:
            raise NotJsonError("no sub")
        for name in _TEXTS:
            if name in claims and type(claims[name]) is not str:
                raise NotJsonError(f"{name} is no text")
        self.kid = header.kid
        self.key = key
        self.expires_at = _date(claims, "exp")
        self.not_before = max((_date(claims, name) for name in ("nbf", "iat") if name in claims), default=0)
        may_be_access_token = header.is_access_token or (header.is_plain and header.alg == _SHARED_ALG)
        self.is_access_token = may_be_access_token and claims.get("type") == "access"
        self.session_id = _text(claims.get("sid"))
        self.epoch = epoch_of(claims.get("jti", ""))
        self.issuer = _text(claims.get("iss"))
        self.audience = _audience(claims)
        further = {name: value for name, value in claims.items() if name not in _REGISTERED}
        if any(_exceeds(value, _MAX_CLAIM_DEPTH) for value in further.values()):
            raise NotJsonError("claims are nested too deep")
        self.template = Template(
            Identity(
                user_id=subject,
                session_id=self.session_id,
                scopes=_scopes(claims.get("scope")),
                audience=self.audience,
                claims=further,
                expires_at=moment(self.expires_at),
                method="jwt",
            )
        )


def _date(claims: dict[str, Any], name: str) -> int:
    """Reads seconds since the Unix epoch, of which a fraction is cut off."""
    value = claims.get(name)
    # `bool` is an `int` in Python, and is none in JSON.
    if type(value) is not int and type(value) is not float:
        raise NotJsonError(f"{name} is no number")
    return int(value)


def _audience(claims: dict[str, Any]) -> tuple[str, ...]:
    audience = claims.get("aud")
    if audience is None:
        return ()
    if type(audience) is str:
        return (audience,)
    if type(audience) is not list or any(type(one) is not str for one in audience):
        raise NotJsonError("aud is neither a text nor a list of texts")
    return tuple(audience)


def epoch_of(jti: str) -> int:
    """Reads a token's epoch from its `jti`: the 10th to 12th byte of a UUID of version 4. Any other has 0."""
    try:
        token_id = uuid.UUID(jti)
    except ValueError:
        return 0
    return int.from_bytes(token_id.bytes[9:12], "big") if token_id.version == _VERSION_WITH_EPOCH else 0


def _text(value: object) -> str | None:
    """Reads a claim that no library checks: text, or a whole number. Another type is no reason to refuse a token."""
    if type(value) is int and _MIN_INTEGER <= value <= _MAX_INTEGER:
        return str(value)
    return value if type(value) is str else None


def _scopes(scope: object) -> tuple[str, ...]:
    """Reads `scope`: text, or a list of texts."""
    texts = scope if type(scope) is list else [scope]
    return tuple(one for text in texts if type(text) is str for one in text.split(" ") if one)


def _exceeds(value: object, levels: int) -> bool:
    if levels == 0:
        return True
    if type(value) is dict:
        return any(_exceeds(one, levels - 1) for one in value.values())
    return type(value) is list and any(_exceeds(one, levels - 1) for one in value)


class Reader:
    """Takes tokens apart and verifies their signatures."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        # All tokens of one key have the same header, so nearly every one was read before.
        self._headers: dict[bytes, Header] = {}

    def read(self, token: bytes) -> VerifiedToken | None:
        """Verifies and reads a token. `None`: it names a key that is not known.

        Raises:
            TokenError: It is malformed, or its signature is bad.
        """
        parts = token.split(b".", _PARTS)
        if len(parts) != _PARTS or len(token) > MAX_BYTES:
            raise TokenError("malformed")
        encoded_header, payload, signature = parts
        try:
            header = self._headers.get(encoded_header) or self._read_header(encoded_header)
        except ValueError:
            raise TokenError("malformed") from None
        key = self._ring.find(header.kid)
        if key is None and header.kid is None:
            # No key set will name it.
            raise TokenError("unknown-key")
        if key is None:
            return None
        covered = token[: len(encoded_header) + 1 + len(payload)]
        if header.alg != key.alg or not key.verifies(covered, signature):
            raise TokenError("bad-signature")
        try:
            return VerifiedToken(header, key, read_claims(decode_base64url(payload)))
        except ValueError:
            raise TokenError("malformed") from None

    def _read_header(self, encoded: bytes) -> Header:
        header = Header(read_header(decode_base64url(encoded)))
        if len(encoded) <= _USUAL_HEADER:
            if len(self._headers) >= _MAX_HEADERS:
                self._headers = {}
            self._headers[encoded] = header
        return header


class VerificationCache:
    """The tokens verified lately, up to a number.

    Two generations: a full young one becomes the old one, and what is still used moves over. So each step is one
    operation of a dictionary, which needs no lock.
    """

    def __init__(self, size: int) -> None:
        self._half = size // 2
        self._young: dict[bytes, VerifiedToken] = {}
        self._old: dict[bytes, VerifiedToken] = {}

    def find(self, name: bytes) -> VerifiedToken | None:
        """Finds a token."""
        token = self._young.get(name)
        if token is None:
            token = self._old.get(name)
            if token is not None:
                self.keep(name, token)
        return token

    def keep(self, name: bytes, token: VerifiedToken) -> None:
        """Keeps a token."""
        if self._half == 0:
            return
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[name] = token

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
