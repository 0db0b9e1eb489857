"""Settings from the environment, for what was not given as an argument."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Keys(NamedTuple):
    """What verifies tokens here."""

    secrets: tuple[str | bytes, ...]
    jwks_url: str | None
    jwks: Mapping[str, Any] | None


def keys(
    secret: str | bytes | None,
    previous_secret: str | bytes | None,
    jwks_url: str | None,
    jwks: Mapping[str, Any] | None,
) -> Keys:
    """Settles the keys. Where none is given, all come from the environment, so that the two never mix."""
    if not (secret or previous_secret or jwks_url or jwks is not None):
        secret, previous_secret = _variable("JWT_SECRET"), _variable("JWT_SECRET_PREVIOUS")
        jwks_url = _variable("TOKEN_AUTHORITY_JWKS_URL")
    return Keys(tuple(one for one in (secret, previous_secret) if one), jwks_url, jwks)


def service(address: str | None, api_key: str | None) -> tuple[str | None, str | None]:
    """Settles where the service is and who calls. An empty address says: nowhere, whatever the environment has."""
    if address is None:
        address = _variable("TOKEN_AUTHORITY_ADDRESS")
    return address or None, api_key or _variable("TOKEN_AUTHORITY_API_KEY")


def _variable(name: str) -> str | None:
    # An empty variable is one that nobody has set, as in many deployments' templates.
    return os.environ.get(name) or None
