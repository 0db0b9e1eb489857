"""Key sets: fetched once for many, never on the event loop; and the move from a secret to key pairs."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx2 as httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.conftest import SECRET, MakeService, until
from token_authority import TokenError, Verifier
from token_authority._keys import decode_base64url, encode_base64url
from token_authority.testing import TokenFactory

if TYPE_CHECKING:
    from collections.abc import Iterator


class Pair:
    """A key pair of a test."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self._private = Ed25519PrivateKey.generate()

    @property
    def jwk(self) -> dict[str, str]:
        x = encode_base64url(self._private.public_key().public_bytes_raw()).decode()
        return {"kty": "OKP", "crv": "Ed25519", "x": x, "alg": "EdDSA", "use": "sig", "kid": self.kid}

    def mint(self, user_id: str = "alice") -> str:
        header = {"alg": "EdDSA", "typ": "at+jwt", "kid": self.kid}
        payload = {"sub": user_id, "exp": time.time() + 600, "type": "access"}
        covered = b".".join(encode_base64url(json.dumps(part).encode()) for part in (header, payload))
        return (covered + b"." + encode_base64url(self._private.sign(covered))).decode()


class KeyServer:
    """Serves a key set, counts, and can be slow or broken."""

    def __init__(self) -> None:
        self.keys: list[dict[str, str]] = []
        self.fetched = 0
        self.delay = 0.0
        self.broken = False
        self.max_age = 300
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.fetched += 1
                time.sleep(outer.delay)
                body = b"sorry" if outer.broken else json.dumps({"keys": outer.keys}).encode()
                self.send_response(500 if outer.broken else 200)
                self.send_header("Cache-Control", f"public, max-age={outer.max_age}")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[KeyServer]:
    server = KeyServer()
    yield server
    server.close()


def refusal(verifier: Verifier, token: str) -> str | None:
    try:
        verifier.verify(token)
    except TokenError as error:
        return error.reason
    return None


def test_an_unknown_key_has_the_set_fetched_at_most_once_in_the_cooldown(server: KeyServer) -> None:
    known, new = Pair("known"), Pair("new")
    server.keys = [known.jwk]
    with Verifier(jwks_url=server.url, jwks_cooldown=1.0) as verifier:
        assert refusal(verifier, known.mint()) is None
        assert server.fetched == 1
        time.sleep(1.0)
        assert [refusal(verifier, Pair(f"nobody-{n}").mint()) for n in range(100)] == ["unknown-key"] * 100
        assert server.fetched == 2
        server.keys = [known.jwk, new.jwk]
        until("the new key is found", lambda: refusal(verifier, new.mint()) is None, within=3.0)
        assert server.fetched == 3
        assert refusal(verifier, known.mint()) is None


async def test_one_fetch_serves_all_and_never_blocks_the_event_loop(server: KeyServer) -> None:
    pair = Pair("pair")
    server.keys, server.delay = [pair.jwk], 0.5
    with Verifier(jwks_url=server.url) as verifier:
        longest = 0.0

        async def tick() -> None:
            nonlocal longest
            while True:
                began = time.perf_counter()
                await asyncio.sleep(0.005)
                longest = max(longest, time.perf_counter() - began)

        ticking = asyncio.create_task(tick())
        tokens = [pair.mint(f"user-{n}") for n in range(50)]
        identities = await asyncio.gather(*(verifier.averify(token) for token in tokens))
        ticking.cancel()
        assert [one.user_id for one in identities] == [f"user-{n}" for n in range(50)]
        assert server.fetched == 1
        assert longest < 0.4, "half a second of fetching is not felt"


async def test_a_cancelled_request_spoils_no_other(server: KeyServer) -> None:
    pair = Pair("pair")
    server.keys, server.delay = [pair.jwk], 0.3
    with Verifier(jwks_url=server.url) as verifier:
        first, second = (asyncio.create_task(verifier.averify(pair.mint())) for _ in range(2))
        await asyncio.sleep(0.05)
        first.cancel()
        assert (await second).user_id == "alice"


def test_a_process_that_is_forked_during_a_fetch_makes_its_own(server: KeyServer) -> None:
    pair = Pair("pair")
    server.keys, server.delay = [pair.jwk], 0.5
    token = pair.mint()
    with Verifier(jwks_url=server.url) as verifier:
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writable, str(refusal(verifier, token)).encode())
            os._exit(0)
        os.close(writable)
        with os.fdopen(readable) as answers:
            assert answers.read() == "None"
        os.waitpid(child, 0)


def test_without_a_key_set_a_token_is_not_judged(server: KeyServer) -> None:
    pair = Pair("pair")
    server.keys, server.broken = [pair.jwk], True
    with Verifier(jwks_url=server.url) as verifier:
        assert refusal(verifier, pair.mint()) == "unavailable"
        before = server.fetched
        assert [refusal(verifier, pair.mint()) for _ in range(50)] == ["unavailable"] * 50
        assert server.fetched <= before + 1, "a set that is away is not hammered"
        server.broken = False
        until("it is fetched", lambda: refusal(verifier, pair.mint()) is None, within=5.0)
        server.broken = True
        assert refusal(verifier, pair.mint()) is None, "known keys go on verifying"


def test_a_key_that_is_withdrawn_ends_with_max_age(server: KeyServer) -> None:
    stolen, other = Pair("stolen"), Pair("other")
    server.keys, server.max_age = [stolen.jwk, other.jwk], 1
    with Verifier(jwks_url=server.url, jwks_cooldown=60.0) as verifier:
        token, kept = stolen.mint(), other.mint()
        assert (refusal(verifier, token), refusal(verifier, kept)) == (None, None)
        server.keys = [other.jwk]
        # Also the tokens that were verified before.
        until("it is gone", lambda: refusal(verifier, token) == "unknown-key", within=5.0)
        assert refusal(verifier, kept) is None


def test_from_a_secret_to_key_pairs_no_request_is_refused(make_service: MakeService) -> None:
    service = make_service(KEY_PUBLISH_SECONDS="4").start()
    url = f"{service.http}/.well-known/jwks.json"
    problems: list[str] = []
    tokens: list[str] = []
    done = threading.Event()

    with Verifier(secret=SECRET, jwks_url=url, address=service.address) as verifier:

        def ask() -> None:
            while not done.is_set():
                for token in tokens[-20:]:
                    reason = refusal(verifier, token)
                    if reason:
                        problems.append(reason)
                time.sleep(0.005)

        asking = threading.Thread(target=ask)
        asking.start()
        with service.client() as client:
            tokens.extend(client.issue_tokens(f"before-{n}").access_token for n in range(20))
            service.run("keys", "rotate", JWT_ALGORITHM="EdDSA")
            until("it is published", lambda: httpx.get(url).json()["keys"])
            # Until it signs.
            time.sleep(4.5)
            service.stop()
            service.settings["JWT_ALGORITHM"] = "EdDSA"
            service.start()
        with service.client() as client:
            tokens.extend(client.issue_tokens(f"after-{n}").access_token for n in range(20))
        time.sleep(0.5)
        done.set()
        asking.join()
        assert b'"EdDSA"' in header_of(tokens[-1])
        assert b'"HS256"' in header_of(tokens[0])
        assert [refusal(verifier, token) for token in tokens] == [None] * len(tokens)
    assert problems == []


def header_of(token: str) -> bytes:
    return decode_base64url(token.partition(".")[0].encode())


def test_keys_of_other_kinds_are_left_out() -> None:
    pair = Pair("pair")
    other = [
        {"kty": "oct", "k": "eHh4", "kid": "shared"},
        {"kty": "OKP", "crv": "X25519", "x": "AAAA", "kid": "exchange"},
        {**Pair("encryption").jwk, "use": "enc"},
        {**Pair("confused").jwk, "alg": "ES256"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "short"},
        {"kid": "nothing"},
        "no key",
    ]
    verifier = Verifier(jwks={"keys": [*other, pair.jwk]}, address="")
    assert refusal(verifier, pair.mint()) is None
    assert list(verifier._ring._named) == ["pair"]
    with pytest.raises(ValueError, match="keys"):
        Verifier(jwks={}, address="")


def test_the_current_and_the_previous_secret_verify() -> None:
    old, new = TokenFactory(), TokenFactory()
    verifier = Verifier(secret=new.secret, previous_secret=old.secret, address="")
    assert refusal(verifier, old.mint()) is None
    assert refusal(verifier, new.mint()) is None
    assert refusal(verifier, TokenFactory().mint()) == "unknown-key"
