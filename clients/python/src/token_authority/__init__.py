"""Verify token-authority's access tokens in a backend, follow revocations, and call the service.

* `Verifier` says whether an access token is good, without a call where it can (Django, Flask, Celery, scripts).
* `token_authority.fastapi.TokenAuthority` is the same as FastAPI dependencies.
* `Client` and `AsyncClient` call the service: issue, refresh, revoke, list and end sessions.
* `token_authority.testing.TokenFactory` mints tokens in tests that have no server.
"""

from token_authority.client import AsyncClient, Client, ClientInfo, Session, SessionEvent, Tokens
from token_authority.errors import AuthorityError, RefreshTokenError, TokenError
from token_authority.identity import Identity
from token_authority.verifier import State, Verifier

__all__ = [
    "AsyncClient",
    "AuthorityError",
    "Client",
    "ClientInfo",
    "Identity",
    "RefreshTokenError",
    "Session",
    "SessionEvent",
    "State",
    "TokenError",
    "Tokens",
    "Verifier",
]
