"""Tokens for the tests of a backend, without a server.

factory = TokenFactory()
authority = TokenAuthority(secret=factory.secret)
client.get("/me", headers=factory.headers("alice", scopes=["read"]))
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from token_authority._keys import Secret, encode_base64url
from token_authority.verifier import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LIFETIME = timedelta(minutes=30)


class TokenFactory:
    """Mints access tokens as the service does (HS256).

    Args:
        secret: The secret that signs; unset: one that no other factory has. Give the same to what verifies.
        clock: Tells the time in seconds since the Unix epoch.
    """

    def __init__(self, secret: str | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self.secret = secret or secrets.token_urlsafe(48)
        self._kid = Secret(self.secret).kid
        self._clock = clock

    def mint(
        self,
        user_id: str = "alice",
        *,
        scopes: Sequence[str] = (),
        audience: str | Sequence[str] = (),
        claims: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        issuer: str | None = None,
        expires_in: timedelta | float = _LIFETIME,
        **overrides: Any,  # noqa: ANN401
    ) -> str:
        """Mints an access token.

        Args:
            user_id: Its `sub`.
            scopes: Its `scope`.
            audience: Its `aud`.
            claims: Further claims.
            session_id: Its `sid`; unset: a new one.
            issuer: Its `iss`.
            expires_in: How long it is good for; negative: it has expired.
            overrides: Claims to set whatever they would be, such as `type="refresh"`; `None` leaves one out.
        """
        now = int(self._clock())
        lifetime = expires_in.total_seconds() if isinstance(expires_in, timedelta) else expires_in
        several = [audience] if isinstance(audience, str) and audience else list(audience)
        payload: dict[str, Any] = {
            "sub": user_id,
            "iat": now + min(int(lifetime), 0),
            "exp": now + int(lifetime),
            "type": "access",
            "jti": str(uuid.uuid4()),
            "sid": session_id or str(uuid.uuid4()),
            "iss": issuer,
            "aud": (several[0] if len(several) == 1 else several) or None,
            "scope": " ".join(scopes) or None,
            **(claims or {}),
            **overrides,
        }
        return self.sign({name: value for name, value in payload.items() if value is not None})

    def headers(self, user_id: str = "alice", **claims: Any) -> dict[str, str]:  # noqa: ANN401
        """Makes the headers of a request of a user; the arguments are those of `mint`."""
        return {"Authorization": f"Bearer {self.mint(user_id, **claims)}"}

    def sign(self, payload: Mapping[str, Any]) -> str:
        """Signs any claims."""
        header = {"alg": "HS256", "typ": "at+jwt", "kid": self._kid}
        covered = b".".join(encode_base64url(json.dumps(part).encode()) for part in (header, dict(payload)))
        signature = hmac.digest(self.secret.encode(), covered, "sha256")
        return (covered + b"." + encode_base64url(signature)).decode()

    def verifier(self, **settings: Any) -> Verifier:  # noqa: ANN401
        """Makes a verifier that accepts these tokens, and calls no server; the arguments are those of `Verifier`."""
        return Verifier(**{"secret": self.secret, "address": "", "clock": self._clock, **settings})
