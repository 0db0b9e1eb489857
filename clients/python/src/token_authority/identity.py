"""Who a good token says its bearer is."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Method = Literal["jwt", "session"]


@dataclasses.dataclass(frozen=True)
class Identity:
    """Who a good access token says its bearer is."""

    user_id: str
    """The user's id, the token's `sub`."""

    session_id: str | None
    """The session's id, the token's `sid`. `None`: the token names none, as sessions of the auth-server do."""

    scopes: tuple[str, ...]
    """What the token may be used for, its `scope`. Empty: no scopes were asked for at login."""

    audience: tuple[str, ...]
    """Whom the token is meant for, its `aud`. Empty: no audience was asked for at login."""

    claims: dict[str, Any]
    """The further claims given at login. A copy: changing it changes no other request's."""

    expires_at: datetime
    """When the token ends, with its time zone (UTC)."""

    method: Method
    """What kind of token it is: `jwt`, checked by its signature, or `session`, looked up by the service."""


def moment(seconds: float) -> datetime:
    """Makes a moment of seconds since the Unix epoch; the latest or earliest there is where those are beyond."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, ValueError, OSError):
        latest = datetime.max if seconds > 0 else datetime.min
        return latest.replace(tzinfo=timezone.utc)


class Template:
    """Makes the identity of one token again and again, quickly, each with claims of its own."""

    __slots__ = ("_claims", "_fields", "_nested")

    def __init__(self, identity: Identity) -> None:
        self._fields: Mapping[str, Any] = dict(vars(identity))
        self._claims = identity.claims
        self._nested = any(isinstance(value, (dict, list)) for value in identity.claims.values())

    def make(self) -> Identity:
        """Makes the identity."""
        # Writes past the frozen dataclass's `__init__`, which takes five times as long.
        identity = object.__new__(Identity)
        fields = identity.__dict__
        fields.update(self._fields)
        fields["claims"] = _copy(self._claims) if self._nested else self._claims.copy()
        return identity


def _copy(value: Any) -> Any:  # noqa: ANN401
    """Copies a JSON value."""
    if isinstance(value, dict):
        return {name: _copy(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_copy(member) for member in value]
    return value
