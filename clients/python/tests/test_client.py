"""Both clients beside the real service."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.conftest import SECRET, until
from token_authority import AsyncClient, AuthorityError, Client, ClientInfo, RefreshTokenError, TokenError, Verifier

if TYPE_CHECKING:
    from tests.conftest import MakeService, Service


def refusal(verifier: Verifier, token: str) -> str | None:
    try:
        verifier.verify(token)
    except TokenError as error:
        return error.reason
    return None


def until_refused(verifier: Verifier, token: str, reason: str) -> None:
    until(f"it is {reason}", lambda: refusal(verifier, token) == reason)


def test_a_session_from_login_to_logout(shared_service: Service) -> None:
    with shared_service.client() as client:
        device = ClientInfo(user_agent="Firefox", ip_address="192.0.2.1", device_name="laptop")
        issued = client.issue_tokens("carol", scopes=["read"], claims={"role": "admin"}, client=device)
        assert issued.user_id == "carol"
        assert issued.method == "jwt"
        assert issued.expires_in == timedelta(minutes=30)
        assert issued.refresh_expires_in == timedelta(days=7)
        assert issued.access_token not in repr(issued)
        assert issued.refresh_token not in repr(issued)
        identity = client.validate(issued.access_token)
        assert (identity.user_id, identity.session_id) == ("carol", issued.session_id)
        assert identity.claims == {"role": "admin"}
        renewed = client.refresh(issued.refresh_token)
        assert renewed.session_id == issued.session_id
        assert renewed.user_id == "carol"
        assert client.validate(renewed.access_token).scopes == ("read",)
        [session] = client.list_sessions("carol")
        assert session.client == device
        assert session.session_id == issued.session_id
        assert session.created_at <= session.last_used_at < session.expires_at
        client.revoke(renewed.refresh_token)
        client.revoke(renewed.refresh_token)
        with pytest.raises(RefreshTokenError) as refused:
            client.refresh(renewed.refresh_token)
        assert refused.value.reason == "revoked"
        with pytest.raises(TokenError) as over:
            client.validate(renewed.access_token)
        assert over.value.reason == "revoked"
        assert list(client.list_sessions("carol")) == []


def test_many_sessions_are_listed_and_ended(shared_service: Service) -> None:
    with shared_service.client() as client:
        issued = [client.issue_tokens("dave") for _ in range(120)]
        listed = list(client.list_sessions("dave"))
        assert len(listed) == 120, "more than a page"
        client.revoke_session(issued[0].session_id)
        assert client.revoke_user_sessions("dave", except_session_id=issued[1].session_id) == 118
        assert [one.session_id for one in client.list_sessions("dave")] == [issued[1].session_id]
        assert client.revoke_user_sessions("dave") == 1


def test_a_role_taken_away_is_refused_within_a_second_and_the_session_lives(shared_service: Service) -> None:
    with (
        shared_service.client() as client,
        Verifier(secret=SECRET, address=shared_service.address) as verifier,
    ):
        held, other = (client.issue_tokens("judy", claims={"role": "admin"}) for _ in range(2))
        assert verifier.verify(held.access_token).claims == {"role": "admin"}
        for role in ("user", "guest"):
            claims = {"role": role}
            assert client.update_sessions(session_id=held.session_id, claims=claims, refresh_now=True) == 1
            changed = time.monotonic()
            # The new token is minted in the same second, and is good before and after the news arrives.
            renewed = client.refresh(held.refresh_token)
            assert verifier.verify(renewed.access_token).claims == claims
            until_refused(verifier, held.access_token, "stale")
            assert time.monotonic() - changed < 1.0
            assert verifier.verify(renewed.access_token).claims == claims
            held = renewed
        assert refusal(verifier, other.access_token) is None
        # One that begins later learns of it from the snapshot.
        with Verifier(secret=SECRET, address=shared_service.address) as late:
            assert refusal(late, held.access_token) is None
            assert client.update_sessions(user_id="judy", scopes=[], refresh_now=True) == 2
            for token in (held.access_token, other.access_token):
                until_refused(late, token, "stale")
            told = list(client.list_session_events(session_id=held.session_id))
            # A token that is young is not rotated, so the last rotation may be the first or the second one.
            types = [event.type for event in told]
            assert types.index("refreshed") in {1, 2}
            types.remove("refreshed")
            assert types == ["updated", "updated", "updated", "issued"]
            assert (told[0].updated_fields, told[0].refresh_now, told[0].reason) == (("scopes",), True, None)
            assert {(event.session_id, event.user_id) for event in told} == {(held.session_id, "judy")}
            assert len(list(client.list_session_events(user_id="judy"))) == 7
            assert client.erase_user("judy") == 2
            assert list(client.list_session_events(user_id="judy")) == []
            ended = next(client.list_session_events(session_id=held.session_id))
            assert (ended.type, ended.reason, ended.user_id) == ("revoked", "user", "")
            for token in (held.access_token, other.access_token):
                until_refused(late, token, "revoked")
        assert client.erase_user("judy") == 0
        with pytest.raises(ValueError, match="session_id"):
            client.update_sessions(refresh_now=True)
        with pytest.raises(ValueError, match="session_id"):
            next(client.list_session_events())


def test_a_login_may_ask_for_a_shorter_life(shared_service: Service) -> None:
    with shared_service.client() as client:
        hour = timedelta(hours=1)
        issued = client.issue_tokens("ken", refresh_lifetime=hour, max_lifetime=2 * hour, persistent=False)
        assert (issued.refresh_expires_in, issued.persistent) == (hour, False)
        assert not client.refresh(issued.refresh_token).persistent
        assert client.issue_tokens("ken").persistent
        with pytest.raises(AuthorityError) as refused:
            client.issue_tokens("ken", max_lifetime=timedelta(days=31))
        assert refused.value.fields == ("max_lifetime",)


def test_a_login_may_be_tried_again(shared_service: Service) -> None:
    request_id = str(uuid.uuid4())
    with shared_service.client() as client:
        first, again = (client.issue_tokens("erin", request_id=request_id) for _ in range(2))
        # The lifetimes count from each answer, so they may differ by a second.
        assert (first.access_token, first.refresh_token) == (again.access_token, again.refresh_token)
        assert first.session_id == again.session_id
        assert client.issue_tokens("erin").session_id != first.session_id


def test_refusals_are_told_apart(shared_service: Service) -> None:
    with shared_service.client() as client:
        with pytest.raises(AuthorityError) as wrong:
            client.issue_tokens("")
        assert (wrong.value.code, wrong.value.reason, wrong.value.fields) == (
            "INVALID_ARGUMENT",
            "INVALID_FIELD",
            ("user_id",),
        )
        with pytest.raises(RefreshTokenError) as invalid:
            client.refresh("no such token")
        assert invalid.value.reason == "invalid"


def test_a_stolen_token_is_told(make_service: MakeService) -> None:
    service = make_service(REFRESH_CONCURRENCY_WINDOW_SECONDS="0").start()
    with service.client() as client:
        first = client.issue_tokens("alice")
        second = client.refresh(first.refresh_token)
        client.validate(second.access_token)
        client.refresh(second.refresh_token)
        with pytest.raises(RefreshTokenError) as theft:
            client.refresh(first.refresh_token)
        assert theft.value.reason == "reused"


def test_a_caller_without_the_role_is_refused(make_service: MakeService) -> None:
    service = make_service(CALLERS_FILE="callers.json")
    key = service.run("callers", "add", "backend", "--role", "verifier").split()[-1]
    service.start()
    with Client(address=service.address, api_key=key) as client, pytest.raises(AuthorityError) as refused:
        client.issue_tokens("alice")
    assert (refused.value.code, refused.value.reason) == ("PERMISSION_DENIED", "CALLER_FORBIDDEN")
    with Client(address=service.address, api_key="tak_wrong") as client, pytest.raises(AuthorityError) as unknown:
        client.validate("x")
    assert unknown.value.reason == "CALLER_UNAUTHENTICATED"
    assert key not in str(refused.value)


def test_a_service_that_is_away_is_unavailable() -> None:
    with Client(address="127.0.0.1:9", timeout=2.0) as client, pytest.raises(TokenError) as away:
        client.issue_tokens("alice")
    assert away.value.is_unavailable
    assert away.value.retry_after
    with pytest.raises(ValueError, match="TOKEN_AUTHORITY_ADDRESS"):
        Client()


async def test_the_asynchronous_client_does_the_same(shared_service: Service) -> None:
    async with AsyncClient(address=shared_service.address) as client:
        issued = await client.issue_tokens("frank", scopes=["read"], client=ClientInfo(user_agent="x"))
        assert (await client.validate(issued.access_token)).user_id == "frank"
        renewed = await client.refresh(issued.refresh_token)
        assert [one.session_id async for one in client.list_sessions("frank")] == [renewed.session_id]
        await client.revoke(renewed.refresh_token)
        with pytest.raises(RefreshTokenError, match="revoked"):
            await client.refresh(renewed.refresh_token)
        several = await asyncio.gather(*(client.issue_tokens("frank") for _ in range(10)))
        await client.revoke_session(several[0].session_id)
        assert await client.update_sessions(user_id="frank", scopes=["write"]) == 9
        assert await client.revoke_user_sessions("frank") == 9
        told = [event async for event in client.list_session_events(session_id=several[0].session_id)]
        assert [(event.type, event.reason) for event in told] == [("revoked", "admin"), ("issued", None)]
        assert await client.erase_user("frank") == 11
        with pytest.raises(AuthorityError):
            await client.issue_tokens("")


def test_one_asynchronous_client_serves_several_loops(shared_service: Service) -> None:
    client = AsyncClient(address=shared_service.address)

    async def log_in(user: str) -> str:
        try:
            return (await client.issue_tokens(user)).user_id
        finally:
            await client.close()

    assert [asyncio.run(log_in(user)) for user in ("grace", "heidi")] == ["grace", "heidi"]
