"""The FastAPI dependencies, without a server: what a request is answered."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.conftest import until
from token_authority.fastapi import Identity, TokenAuthority
from token_authority.testing import TokenFactory

if TYPE_CHECKING:
    from collections.abc import Iterator

factory = TokenFactory()
authority = TokenAuthority(secret=factory.secret, address="")
app = FastAPI(lifespan=authority.lifespan)


@app.get("/me")
async def me(user: Annotated[Identity, Depends(authority.user)]) -> Identity:
    return user


@app.get("/greeting")
async def greeting(user: Annotated[Identity | None, Depends(authority.optional_user)]) -> str:
    return user.user_id if user else "stranger"


@app.get("/reports")
def reports(user: Annotated[Identity, Depends(authority.require(scopes=["read", "reports"]))]) -> str:
    return user.user_id


@app.get("/mail", dependencies=[Depends(authority.require(audience="mail"))])
def mail() -> str:
    return "mail"


@app.websocket("/socket")
async def socket(websocket: WebSocket, user: Annotated[Identity, Depends(authority.user)]) -> None:
    await websocket.accept()
    await websocket.send_text(user.user_id)
    await websocket.close()


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def test_a_good_token_brings_its_user(client: TestClient) -> None:
    answer = client.get("/me", headers=factory.headers("alice", scopes=["read"], claims={"role": "admin"}))
    assert answer.status_code == 200, answer.text
    assert answer.json()["user_id"] == "alice"
    assert answer.json()["scopes"] == ["read"]
    assert answer.json()["claims"] == {"role": "admin"}
    lower = {"authorization": factory.headers("bob")["Authorization"].replace("Bearer", "bearer")}
    assert client.get("/me", headers=lower).json()["user_id"] == "bob"


@pytest.mark.parametrize(
    ("header", "challenge", "reason"),
    [
        (None, "Bearer", "malformed"),
        ("Basic YTpi", "Bearer", "malformed"),
        ("Bearer", 'Bearer error="invalid_token"', "malformed"),
        ("Bearer ", 'Bearer error="invalid_token"', "malformed"),
        ("Bearer garbage", 'Bearer error="invalid_token"', "malformed"),
        (f"Bearer {factory.mint(expires_in=-1)}", 'Bearer error="invalid_token"', "expired"),
        (f"Bearer {factory.mint(type='refresh')}", 'Bearer error="invalid_token"', "wrong-type"),
        (f"Bearer {TokenFactory().mint()}", 'Bearer error="invalid_token"', "unknown-key"),
    ],
)
def test_without_a_good_token_it_is_401(client: TestClient, header: str | None, challenge: str, reason: str) -> None:
    answer = client.get("/me", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == challenge
    assert answer.json()["detail"]["reason"] == reason


def test_an_optional_user_may_be_missing_but_not_bad(client: TestClient) -> None:
    assert client.get("/greeting").json() == "stranger"
    assert client.get("/greeting", headers=factory.headers("alice")).json() == "alice"
    assert client.get("/greeting", headers=factory.headers(expires_in=-1)).status_code == 401


def test_a_missing_scope_is_403(client: TestClient) -> None:
    answer = client.get("/reports", headers=factory.headers(scopes=["read"]))
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="read reports"'
    assert client.get("/reports", headers=factory.headers(scopes=["reports", "read", "x"])).status_code == 200
    assert client.get("/reports").status_code == 401


def test_an_audience_may_be_required(client: TestClient) -> None:
    assert client.get("/mail", headers=factory.headers(audience="mail")).status_code == 200
    assert client.get("/mail", headers=factory.headers(audience=["web", "mail"])).status_code == 200
    for audience in ("", "web"):
        answer = client.get("/mail", headers=factory.headers(audience=audience))
        assert (answer.status_code, answer.json()["detail"]["reason"]) == (401, "wrong-audience")


def test_a_web_socket_is_let_in_or_closed(client: TestClient) -> None:
    with client.websocket_connect("/socket", headers=factory.headers("alice")) as connection:
        assert connection.receive_text() == "alice"
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/socket"):
        pass


def test_openapi_shows_the_padlock(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    assert [(one["type"], one["scheme"]) for one in schemes.values()] == [("http", "bearer")]
    for path in ("/me", "/greeting", "/reports", "/mail"):
        assert document["paths"][path]["get"]["security"] == [{name: [] for name in schemes}], path


def test_what_cannot_be_judged_is_503_and_the_application_starts() -> None:
    # Nothing listens there.
    lonely = TokenAuthority(secret=factory.secret, address="127.0.0.1:9")
    application = FastAPI(lifespan=lonely.lifespan)

    @application.get("/me", dependencies=[Depends(lonely.user)])
    async def me() -> str:
        return "let in"

    began = time.monotonic()
    with TestClient(application) as client:
        assert time.monotonic() - began < 10, "it does not wait for ever"
        answer = client.get("/me", headers=factory.headers())
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert "www-authenticate" not in answer.headers
        assert client.get("/me", headers=factory.headers(expires_in=-1)).status_code == 401
        assert not lonely.state.connected
    until("its threads end", lambda: lonely.verifier._stop is None)
