"""The verifier beside the real service: revocations, outages, both kinds of token, forks."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import httpx2 as httpx
import pytest

from tests.conftest import SECRET, MakeService, Service, until
from token_authority import TokenError, Verifier
from token_authority.testing import TokenFactory

if TYPE_CHECKING:
    from collections.abc import Iterator


def refusal(verifier: Verifier, token: str, audience: str | None = None) -> str | None:
    try:
        verifier.verify(token, audience=audience)
    except TokenError as error:
        return error.reason
    return None


@pytest.fixture
def verifier(service: Service) -> Iterator[Verifier]:
    with Verifier(secret=SECRET, address=service.address) as verifier:
        yield verifier


def test_an_identity_says_all_that_the_token_does(service: Service, verifier: Verifier) -> None:
    with service.client() as client:
        issued = client.issue_tokens(
            "alice", audience=["api", "web"], scopes=["read", "write"], claims={"role": "admin", "teams": [1, 2]}
        )
    for _ in range(2):
        identity = verifier.verify(issued.access_token)
        assert identity.user_id == "alice"
        assert identity.session_id == issued.session_id
        assert identity.scopes == ("read", "write")
        assert identity.audience == ("api", "web")
        assert identity.claims == {"role": "admin", "teams": [1, 2]}
        assert identity.method == "jwt"
        remaining = identity.expires_at - datetime.now(timezone.utc)
        assert timedelta(minutes=29) < remaining <= timedelta(minutes=30)
        assert pickle.loads(pickle.dumps(identity)) == identity
        # What one request does to its claims is no other request's business.
        identity.claims["role"] = "root"
        identity.claims["teams"].append(3)
    assert refusal(verifier, issued.access_token, "api") is None
    assert refusal(verifier, issued.access_token, "mail") == "wrong-audience"


def test_a_revocation_is_in_force_within_a_second(service: Service, verifier: Verifier) -> None:
    with service.client() as client:
        issued = [client.issue_tokens("alice") for _ in range(3)]
        assert [refusal(verifier, one.access_token) for one in issued] == [None] * 3
        client.revoke(issued[0].refresh_token)
        until("the logout arrives", lambda: refusal(verifier, issued[0].access_token) == "revoked", within=1.0)
        client.revoke_session(issued[1].session_id)
        until("the end arrives", lambda: refusal(verifier, issued[1].access_token) == "revoked", within=1.0)
        assert refusal(verifier, issued[2].access_token) is None
        assert verifier.state.revocations == 2
        client.revoke_user_sessions("alice")
        until("all ends arrive", lambda: refusal(verifier, issued[2].access_token) == "revoked", within=1.0)
    # A verifier that starts now reads the revocation in the snapshot, before it accepts a token.
    with Verifier(secret=SECRET, address=service.address) as late:
        assert [refusal(late, one.access_token) for one in issued] == ["revoked"] * 3


def test_an_outage_is_survived_and_told(service: Service, verifier: Verifier) -> None:
    with service.client() as client:
        good, bad = client.issue_tokens("alice"), client.issue_tokens("bob")
        client.revoke(bad.refresh_token)
    strict = Verifier(secret=SECRET, address=service.address, max_staleness=1.5)
    assert strict.wait_until_ready()
    until("it arrives", lambda: refusal(verifier, bad.access_token) == "revoked")
    assert refusal(strict, good.access_token) is None
    assert verifier.state.connected
    service.stop()
    until("it is noticed", lambda: not verifier.state.connected)
    until("too old", lambda: refusal(strict, good.access_token) == "unavailable")
    # Without a bound it goes on with what it knows.
    assert refusal(verifier, good.access_token) is None
    for one in (verifier, strict):
        assert refusal(one, bad.access_token) == "revoked", "a refusal stays one"
    service.start()
    until("it is back", lambda: refusal(strict, good.access_token) is None, within=5.0)
    until("so is the other", lambda: verifier.state.connected, within=5.0)
    fresh_as_of = verifier.state.fresh_as_of
    assert fresh_as_of
    assert datetime.now(timezone.utc) - fresh_as_of < timedelta(seconds=2.5)
    strict.close()


def test_a_service_that_hangs_is_noticed(service: Service, verifier: Verifier) -> None:
    with service.client() as client:
        good = client.issue_tokens("alice")
        assert refusal(verifier, good.access_token) is None
        service.hang()
        until("it is noticed", lambda: not verifier.state.connected, within=5.0)
        assert refusal(verifier, good.access_token) is None
        service.go_on()
        until("it is back", lambda: verifier.state.connected, within=10.0)
        client.revoke(good.refresh_token)
        until("the logout arrives", lambda: refusal(verifier, good.access_token) == "revoked", within=2.0)


@pytest.mark.parametrize("max_staleness", [None, 60.0])
def test_nothing_is_accepted_before_revocations_were_read(
    make_service: MakeService, max_staleness: float | None
) -> None:
    service = make_service().start()
    with service.client() as client:
        good = client.issue_tokens("alice").access_token
    service.stop()
    with Verifier(secret=SECRET, address=service.address, max_staleness=max_staleness) as verifier:
        assert refusal(verifier, good) == "unavailable"
        assert not verifier.wait_until_ready(0.1)
        began = time.monotonic()
        assert refusal(verifier, good) == "unavailable"
        assert time.monotonic() - began < 1, "requests do not pile up"
        assert verifier.state.fresh_as_of is None
        expired = TokenFactory(SECRET).mint(expires_in=-1)
        assert refusal(verifier, expired) == "expired", "what is refused anyway does not wait"
        service.start()
        until("it is ready", lambda: refusal(verifier, good) is None)


def test_a_wrong_key_of_the_caller_is_unavailable(make_service: MakeService) -> None:
    service = make_service(CALLERS_FILE="callers.json")
    key = service.run("callers", "add", "backend", "--role", "verifier").split()[-1]
    issuer = service.run("callers", "add", "login", "--role", "issuer").split()[-1]
    service.start()
    token = TokenFactory(SECRET).mint()
    with Verifier(secret=SECRET, address=service.address, api_key=key) as verifier:
        assert refusal(verifier, token) is None
        assert refusal(verifier, "x" * 32) == "malformed"
    with Verifier(secret=SECRET, address=service.address, api_key=issuer) as verifier:
        assert refusal(verifier, "x" * 32) == "unavailable"
        assert refusal(verifier, token) == "unavailable"


@pytest.mark.parametrize("percentage", ["0", "10", "100"])
def test_both_kinds_of_token_are_accepted(make_service: MakeService, percentage: str) -> None:
    service = make_service(JWT_ROLLOUT_PERCENTAGE=percentage).start()
    with service.client() as client, Verifier(secret=SECRET, address=service.address) as verifier:
        users = [f"user-{n}" for n in range(40)]
        issued = [client.issue_tokens(user, scopes=["read"], claims={"role": "admin"}) for user in users]
        found = [verifier.verify(one.access_token) for one in issued]
        assert [one.user_id for one in found] == users
        assert [one.method for one in found] == [one.method for one in issued]
        assert [one.session_id for one in found] == [one.session_id for one in issued]
        assert all(one.scopes == ("read",) and one.claims == {"role": "admin"} for one in found)
        methods = {one.method for one in found}
        assert methods == {"0": {"session"}, "10": {"jwt", "session"}, "100": {"jwt"}}[percentage]
        for one in issued:
            client.revoke(one.refresh_token)
        until(
            "all are over",
            lambda: all(refusal(verifier, one.access_token) == "revoked" for one in issued),
            within=2.0,
        )


async def test_questions_are_gathered(make_service: MakeService) -> None:
    service = make_service(JWT_ROLLOUT_PERCENTAGE="0").start()
    with service.client() as client, Verifier(secret=SECRET, address=service.address) as verifier:
        tokens = [client.issue_tokens(f"user-{n}").access_token for n in range(50)]
        assert await asyncio.to_thread(verifier.wait_until_ready)
        identities = await asyncio.gather(*(verifier.averify(token) for token in tokens * 4))
        assert [one.user_id for one in identities] == [f"user-{n}" for n in range(50)] * 4
        page = await asyncio.to_thread(httpx.get, f"{service.metrics}/metrics")
        asked = [one for one in page.text.splitlines() if 'rpc_method="ValidateTokens"' in one]
        calls = next(float(one.split()[-1]) for one in asked if "_count{" in one)
        assert calls < 40, "200 tokens do not take 200 calls"
        tampered = tokens[0][:-2] + ("AA" if not tokens[0].endswith("AA") else "BB")
        mixed = await asyncio.gather(
            *(verifier.averify(token) for token in (tokens[1], tampered, "garbage", "")), return_exceptions=True
        )
        reasons = [one.reason if isinstance(one, TokenError) else one for one in mixed[1:]]
        assert getattr(mixed[0], "user_id", None) == "user-1", "a bad one does not spoil the others"
        assert reasons == ["bad-signature", "malformed", "malformed"]


def test_a_forked_process_opens_a_connection_of_its_own(service: Service, verifier: Verifier) -> None:
    with service.client() as client:
        good, bad = client.issue_tokens("alice"), client.issue_tokens("bob")
        assert refusal(verifier, good.access_token) is None
        client.revoke(bad.refresh_token)
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        told = f"{refusal(verifier, good.access_token)} {refusal(verifier, bad.access_token)}"
        told += f" {verifier.state.connected}"
        os.write(writable, told.encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as answers:
        assert answers.read() == "None revoked True"
    os.waitpid(child, 0)
    assert refusal(verifier, good.access_token) is None


def test_threads_and_loops_share_one_verifier(service: Service, verifier: Verifier) -> None:
    with service.client() as client:
        tokens = [client.issue_tokens(f"user-{n}").access_token for n in range(20)]
    problems: list[object] = []

    def work() -> None:
        try:
            for token in tokens * 5:
                verifier.verify(token)
            asyncio.run(several())
        except Exception as error:
            problems.append(error)

    async def several() -> None:
        await asyncio.gather(*(verifier.averify(token) for token in tokens))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_the_environment_says_where_everything_is(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", "another secret, which signs from now on")
    monkeypatch.setenv("JWT_SECRET_PREVIOUS", SECRET)
    monkeypatch.setenv("TOKEN_AUTHORITY_ADDRESS", service.address)
    with Verifier() as verifier, service.client() as client:
        issued = client.issue_tokens("alice")
        assert refusal(verifier, issued.access_token) is None
        assert refusal(verifier, TokenFactory("another secret, which signs from now on").mint()) is None
        client.revoke(issued.refresh_token)
        until("the logout arrives", lambda: refusal(verifier, issued.access_token) == "revoked", within=1.0)
    for name in ("JWT_SECRET", "JWT_SECRET_PREVIOUS", "TOKEN_AUTHORITY_ADDRESS"):
        monkeypatch.setenv(name, "")
    with pytest.raises(ValueError, match="JWT_SECRET"):
        Verifier()


def test_the_cache_is_bounded_and_a_token_stays_what_it_is() -> None:
    now = [1_800_000_000.0]
    factory = TokenFactory(clock=lambda: now[0])
    verifier = factory.verifier(cache_size=100)
    tokens = [factory.mint(f"user-{n}") for n in range(1000)]
    assert [verifier.verify(token).user_id for token in tokens] == [f"user-{n}" for n in range(1000)]
    assert len(verifier._cache) <= 100
    kept = tokens[-1]
    assert refusal(verifier, kept) is None
    changed = kept[:-1] + ("A" if kept[-1] != "A" else "B")
    assert refusal(verifier, changed) == "bad-signature"
    now[0] += 1799.9
    assert refusal(verifier, kept) is None
    now[0] += 0.1
    assert refusal(verifier, kept) == "expired"
    tolerant = factory.verifier(leeway=5)
    assert refusal(tolerant, kept) is None
    assert refusal(factory.verifier(issuer="https://us"), factory.mint(issuer="https://them")) == "malformed"
    assert refusal(factory.verifier(issuer="https://us"), factory.mint(issuer="https://us")) is None
