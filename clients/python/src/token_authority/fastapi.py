"""Dependencies of FastAPI that let requests in by their access tokens.

authority = TokenAuthority()
app = FastAPI(lifespan=authority.lifespan)

@app.get("/me")
async def me(user: Annotated[Identity, Depends(authority.user)]) -> str:
    return user.user_id
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, HTTPException, status
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection  # noqa: TC002 - FastAPI reads the annotation

from token_authority.errors import MissingTokenError, TokenError
from token_authority.identity import Identity
from token_authority.verifier import State, Verifier, bearer_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
    from datetime import timedelta

__all__ = ["Identity", "TokenAuthority", "TokenError"]

_log = logging.getLogger("token_authority")


class _Bearer(SecurityBase):
    """Finds the `Authorization` header of a request, and shows the padlock in OpenAPI."""

    def __init__(self) -> None:
        self.model = HTTPBearerModel(bearerFormat="JWT", description="An access token of token-authority")
        self.scheme_name = "TokenAuthority"

    async def __call__(self, request: HTTPConnection) -> str | None:
        """Finds the header."""
        return request.headers.get("authorization")


_bearer = _Bearer()


class TokenAuthority:
    """Dependencies that let a request in by its access token.

    The arguments are those of `token_authority.Verifier`; without any, the environment says it all (`JWT_SECRET`,
    `TOKEN_AUTHORITY_ADDRESS`, `TOKEN_AUTHORITY_API_KEY`, …). Use `lifespan` as the application's, or within its own.

    A request without a good token is answered 401, one whose token lacks a scope 403, and one whose token cannot be
    judged now 503 with `Retry-After`.
    """

    def __init__(
        self,
        *,
        secret: str | bytes | None = None,
        previous_secret: str | bytes | None = None,
        jwks_url: str | None = None,
        address: str | None = None,
        api_key: str | None = None,
        audience: str | None = None,
        max_staleness: float | timedelta | None = None,
        verifier: Verifier | None = None,
        **more: Any,  # noqa: ANN401
    ) -> None:
        """Makes a verifier of these arguments, or takes one that is there."""
        self.verifier = verifier or Verifier(
            secret=secret,
            previous_secret=previous_secret,
            jwks_url=jwks_url,
            address=address,
            api_key=api_key,
            audience=audience,
            max_staleness=max_staleness,
            **more,
        )

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Opens the connection in this process, waits for the first revocations, and closes it in the end.

        The application starts without them too, and answers 503 until they are there.
        """
        del app
        if not await asyncio.to_thread(self.verifier.wait_until_ready):
            _log.warning("no revocations were read yet; requests are answered 503 until they are")
        try:
            yield
        finally:
            await asyncio.to_thread(self.verifier.close)

    @property
    def state(self) -> State:
        """What the verdicts rest on now: for a readiness probe, perhaps."""
        return self.verifier.state

    async def user(self, authorization: Annotated[str | None, Depends(_bearer)]) -> Identity:
        """A dependency: the user of the request's access token."""
        return await self._authenticate(authorization, None)

    async def optional_user(self, authorization: Annotated[str | None, Depends(_bearer)]) -> Identity | None:
        """A dependency: the user, or `None` if the request brings no token. One that is not good is still refused."""
        try:
            bearer_token(authorization)
        except MissingTokenError:
            return None
        return await self._authenticate(authorization, None)

    def require(
        self, scopes: Iterable[str] = (), *, audience: str | None = None
    ) -> Callable[[str | None], Coroutine[Any, Any, Identity]]:
        """Makes a dependency: the user of a token that has all these scopes, and is meant for that audience.

        Args:
            scopes: What the token must be good for.
            audience: Whom it must be meant for, instead of the authority's own audience.
        """
        wanted = (scopes,) if isinstance(scopes, str) else tuple(scopes)

        async def user(authorization: Annotated[str | None, Depends(_bearer)]) -> Identity:
            identity = await self._authenticate(authorization, audience)
            if not set(wanted).issubset(identity.scopes):
                challenge = f'Bearer error="insufficient_scope", scope="{" ".join(wanted)}"'
                raise HTTPException(
                    status.HTTP_403_FORBIDDEN,
                    detail={"error": "insufficient_scope"},
                    headers={"WWW-Authenticate": challenge},
                )
            return identity

        return user

    async def _authenticate(self, authorization: str | None, audience: str | None) -> Identity:
        try:
            return await self.verifier.aauthenticate(authorization, audience=audience)
        except TokenError as error:
            name = "temporarily_unavailable" if error.is_unavailable else "invalid_token"
            detail = {"error": name, "reason": error.reason}
            raise HTTPException(error.status_code, detail=detail, headers=error.headers) from None
