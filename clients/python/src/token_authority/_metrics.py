"""The quickstart's metrics, by name, if `prometheus_client` is installed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("token_authority")

# From 5 µs on, as the service's own.
_VALIDATION_BUCKETS = (
    5e-6,
    1e-5,
    2.5e-5,
    5e-5,
    1e-4,
    2.5e-4,
    5e-4,
    1e-3,
    2.5e-3,
    5e-3,
    1e-2,
    2.5e-2,
    0.1,
    1.0,
    5.0,
)
_PROPAGATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_REFRESH_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


def _ignore(_: float) -> None:
    """Stands in for a metric that is not there."""


class Metrics:
    """What is observed. Without `prometheus_client` nothing is."""

    def __init__(self) -> None:
        validation = _histogram(
            "auth_validation_seconds", "Seconds that it took to judge an access token.", ["method"], _VALIDATION_BUCKETS
        )
        propagation = _histogram(
            "revocation_propagation_seconds",
            "Seconds from a revocation until it was in force here.",
            [],
            _PROPAGATION_BUCKETS,
        )
        self.validated_jwt: Callable[[float], None] = _observe(validation, "jwt")
        self.validated_session: Callable[[float], None] = _observe(validation, "session")
        self.revocation_arrived: Callable[[float], None] = _observe(propagation)
        self.is_counting = validation is not None


class RefreshMetrics:
    """What a client observes of refreshes."""

    def __init__(self) -> None:
        self._total = _make("Counter", "token_refresh", "Refresh tokens presented.", [])
        self._errors = _make("Counter", "token_refresh_errors", "Refresh tokens refused.", ["reason"])
        self._seconds = _observe(
            _histogram("token_refresh_duration_seconds", "Seconds until a refresh was answered.", [], _REFRESH_BUCKETS)
        )

    def refreshed(self, seconds: float, refused: str | None) -> None:
        """Counts a refresh, and why it was refused."""
        if self._total is not None:
            self._total.inc()
        if self._errors is not None and refused:
            self._errors.labels(reason=refused).inc()
        self._seconds(seconds)


def _observe(histogram: Any, *labels: str) -> Callable[[float], None]:  # noqa: ANN401
    if histogram is None:
        return _ignore
    child: Any = histogram.labels(*labels) if labels else histogram
    observe: Callable[[float], None] = child.observe
    return observe


def _histogram(name: str, documentation: str, labels: list[str], buckets: tuple[float, ...]) -> Any:  # noqa: ANN401
    return _make("Histogram", name, documentation, labels, buckets=buckets)


_made: dict[str, Any] = {}


def _make(kind: str, name: str, documentation: str, labels: list[str], **more: Any) -> Any:  # noqa: ANN401
    """Makes a metric once for the process. `None`: it cannot be made."""
    if name in _made:
        return _made[name]
    try:
        import prometheus_client  # noqa: PLC0415
    except ImportError:
        return None
    try:
        metric = getattr(prometheus_client, kind)(name, documentation, labels, **more)
    except ValueError:
        # The product has a metric of that name already, as the quickstart's backends do. It stays theirs.
        _log.info("the metric %s is the product's own; it is not touched", name)
        metric = None
    _made[name] = metric
    return metric
