"""The quickstart's metrics, by name, if `prometheus_client` is there."""

from __future__ import annotations

import subprocess
import sys

import pytest
from prometheus_client import REGISTRY

from tests.conftest import SECRET, MakeService, until
from token_authority import RefreshTokenError, TokenError, Verifier
from token_authority.testing import TokenFactory


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_what_happens_is_counted(make_service: MakeService) -> None:
    service = make_service(JWT_ROLLOUT_PERCENTAGE="0").start()
    names = [
        ("auth_validation_seconds_count", {"method": "jwt"}),
        ("auth_validation_seconds_count", {"method": "session"}),
        ("revocation_propagation_seconds_count", {}),
        ("token_refresh_total", {}),
        ("token_refresh_duration_seconds_count", {}),
        ("token_refresh_errors_total", {"reason": "invalid"}),
    ]
    before = [value(name, **labels) for name, labels in names]
    sum_before = value("revocation_propagation_seconds_sum")
    with service.client() as client, Verifier(secret=SECRET, address=service.address) as verifier:
        verifier.verify(TokenFactory(SECRET).mint())
        with pytest.raises(TokenError):
            verifier.verify(TokenFactory(SECRET).mint(expires_in=-1))
        issued = client.issue_tokens("alice")
        verifier.verify(issued.access_token)
        client.refresh(issued.refresh_token)
        with pytest.raises(RefreshTokenError):
            client.refresh("none")
        client.revoke(issued.refresh_token)
        until("it arrives", lambda: verifier.state.revocations == 1)
    after = [value(name, **labels) for name, labels in names]
    assert [late - early for early, late in zip(before, after, strict=True)] == [2, 1, 1, 2, 2, 1]
    assert value("revocation_propagation_seconds_sum") - sum_before < 5


@pytest.mark.parametrize(
    "first",
    [
        "import sys; sys.modules['prometheus_client'] = None",
        "import prometheus_client; prometheus_client.Histogram('auth_validation_seconds', 'the product', ['path'])",
    ],
    ids=["without prometheus_client", "with a metric of the product's own"],
)
def test_it_works_without_them(first: str) -> None:
    script = f"""{first}
from token_authority.testing import TokenFactory
factory = TokenFactory()
assert factory.verifier().verify(factory.mint("alice")).user_id == "alice"
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
