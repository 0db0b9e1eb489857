"""FastAPI in several processes beside the real service, which is killed, hangs, comes back, and moves its users."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import httpx2 as httpx
import pytest

from tests.conftest import ROOT, SECRET, MakeService, Service, until

if TYPE_CHECKING:
    from collections.abc import Iterator

UVICORN = ["uvicorn", "tests.apps.backend:app", "--workers", "2", "--log-level", "warning"]
GUNICORN = ["gunicorn", "tests.apps.backend:app", "--workers", "2", "-k", "uvicorn_worker.UvicornWorker", "--preload"]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Backend:
    """Two processes of the backend, and a connection to each."""

    def __init__(self, service: Service, command: list[str], **settings: str) -> None:
        port = free_port()
        bind = ["--port", str(port)] if command[0] == "uvicorn" else ["--bind", f"127.0.0.1:{port}"]
        # Ends with the tests, however they end, and its workers end with it.
        bound = ["setpriv", "--pdeathsig", "KILL", "--"]
        self._process = subprocess.Popen(
            [*bound, sys.executable, "-m", *command, *bind],
            cwd=ROOT / "clients/python",
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT / "clients/python/src"),
                # Gunicorn keeps a socket there.
                "HOME": str(service.folder),
                "JWT_SECRET": SECRET,
                "TOKEN_AUTHORITY_ADDRESS": service.address,
                **settings,
            },
            start_new_session=True,
        )
        self._url = f"http://127.0.0.1:{port}"
        self._connections: list[httpx.Client] = []
        self.workers: dict[int, httpx.Client] = {}

    def start(self) -> Backend:
        """Waits until both processes answer."""
        until("both processes answer", self._find_workers)
        return self

    def _find_workers(self) -> bool:
        """Opens connections until there is one to each process; one connection stays with its process."""
        assert self._process.poll() is None
        connection = httpx.Client(base_url=self._url, timeout=20.0)
        self._connections.append(connection)
        try:
            pid = connection.get("/process").json()["pid"]
        except httpx.TransportError:
            return False
        self.workers.setdefault(pid, connection)
        return len(self.workers) == 2

    @property
    def pid(self) -> int:
        """The process that starts the others."""
        return self._process.pid

    def statuses(self, token: str) -> list[int]:
        """What each process answers."""
        headers = {"Authorization": f"Bearer {token}"}
        return [worker.get("/me", headers=headers).status_code for worker in self.workers.values()]

    def states(self, name: str) -> list[Any]:
        return [worker.get("/process").json()[name] for worker in self.workers.values()]

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        # The processes that it started are in its group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(timeout=20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def answers(backend: Backend, token: str, status: int) -> bool:
    return backend.statuses(token) == [status, status]


MakeBackend = Callable[..., Backend]


@pytest.fixture
def make_backend() -> Iterator[MakeBackend]:
    """Starts backends of the test's own, and stops them in the end."""
    made: list[Backend] = []

    def make(service: Service, command: list[str], **settings: str) -> Backend:
        made.append(Backend(service, command, **settings))
        return made[-1].start()

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def backend(request: pytest.FixtureRequest, service: Service, make_backend: MakeBackend) -> Backend:
    return make_backend(service, request.param)


@pytest.mark.parametrize(("backend", "rounds"), [(UVICORN, 500), (GUNICORN, 50)], indirect=["backend"])
def test_a_revocation_is_in_force_in_every_process(service: Service, backend: Backend, rounds: int) -> None:
    lags: list[float] = []
    with service.client() as client:
        for n in range(rounds):
            issued = client.issue_tokens(f"user-{n}")
            assert backend.statuses(issued.access_token) == [200, 200]
            client.revoke_session(issued.session_id)
            revoked_at = time.monotonic()
            while backend.statuses(issued.access_token) != [401, 401]:
                assert time.monotonic() - revoked_at < 10
            lags.append(time.monotonic() - revoked_at)
    lags.sort()
    assert lags[int(len(lags) * 0.99)] < 1.0, lags[-10:]
    print(f"p50 {lags[rounds // 2] * 1000:.1f} ms, longest {lags[-1] * 1000:.1f} ms")
    assert backend.states("revocations") == [rounds, rounds]


def has_ended(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    # Ended, though nobody has asked how.
    return state in ("Z", "X")


@pytest.mark.parametrize("command", [UVICORN, GUNICORN], ids=["uvicorn", "gunicorn"])
def test_no_process_outlives_a_test_that_is_killed(
    service: Service, make_backend: MakeBackend, command: list[str]
) -> None:
    backend = make_backend(service, command)
    processes = set(backend.workers)
    assert not any(has_ended(one) for one in processes)
    # What the kernel does when the test's process is killed.
    os.kill(backend.pid, signal.SIGKILL)
    until("all have ended", lambda: all(has_ended(one) for one in processes), within=10.0)


def test_the_service_is_killed_hangs_and_is_restarted(service: Service, make_backend: MakeBackend) -> None:
    relaxed = make_backend(service, UVICORN)
    strict = make_backend(service, UVICORN, MAX_STALENESS="2")
    with service.client() as client:
        good, bad = client.issue_tokens("alice"), client.issue_tokens("bob")
        client.revoke(bad.refresh_token)
    for backend in (relaxed, strict):
        until("it arrives", partial(answers, backend, bad.access_token, 401))
        assert backend.statuses(good.access_token) == [200, 200]

    service.stop()
    until("503", lambda: strict.statuses(good.access_token) == [503, 503], within=5.0)
    assert relaxed.statuses(good.access_token) == [200, 200]
    assert relaxed.statuses(bad.access_token) == [401, 401]
    service.start()
    until("back", lambda: strict.statuses(good.access_token) == [200, 200], within=6.0)
    until("both", lambda: relaxed.states("connected") == [True, True], within=6.0)

    service.hang()
    until("503", lambda: strict.statuses(good.access_token) == [503, 503], within=6.0)
    assert relaxed.statuses(good.access_token) == [200, 200]
    service.go_on()
    until("back", lambda: strict.statuses(good.access_token) == [200, 200], within=10.0)
    with service.client() as client:
        client.revoke(good.refresh_token)
    for backend in (relaxed, strict):
        until("the logout arrives", partial(answers, backend, good.access_token, 401), within=10.0)


def test_a_rollout_refuses_nobody(make_service: MakeService, make_backend: MakeBackend) -> None:
    service = make_service(JWT_ROLLOUT_PERCENTAGE="0").start()
    backend = make_backend(service, UVICORN)
    with service.client() as client:
        held = [client.issue_tokens(f"user-{n}") for n in range(60)]
        for percentage, least, most in (("0", 0, 0), ("10", 1, 20), ("100", 60, 60), ("0", 0, 0)):
            service.run("rollout", "set", percentage)
            time.sleep(1.0)
            held = [client.refresh(one.refresh_token) for one in held]
            for one in held:
                assert backend.statuses(one.access_token) == [200, 200]
            jwts = sum(one.method == "jwt" for one in held)
            assert least <= jwts <= most, percentage
            over = client.issue_tokens("mallory")
            client.revoke(over.refresh_token)
            until("401", partial(answers, backend, over.access_token, 401), within=1.0)


def test_from_a_secret_to_key_pairs_no_request_is_refused(make_service: MakeService, make_backend: MakeBackend) -> None:
    service = make_service(KEY_PUBLISH_SECONDS="4").start()
    key_set = f"{service.http}/.well-known/jwks.json"
    backend = make_backend(service, UVICORN, TOKEN_AUTHORITY_JWKS_URL=key_set)
    with service.client() as client:
        tokens = [client.issue_tokens(f"before-{n}").access_token for n in range(10)]
    answered: list[int] = []
    over = Event()

    def ask() -> None:
        while not over.is_set():
            for token in tokens[-20:]:
                answered.extend(backend.statuses(token))

    asking = Thread(target=ask)
    asking.start()
    try:
        # As docs/keys.md has it: the new key is published first, and signs later.
        service.run("keys", "rotate", JWT_ALGORITHM="EdDSA")
        until("it is published", lambda: httpx.get(key_set).json()["keys"])
        time.sleep(4.5)
        service.stop()
        service.settings["JWT_ALGORITHM"] = "EdDSA"
        service.start()
        with service.client() as client:
            tokens.extend(client.issue_tokens(f"after-{n}").access_token for n in range(10))
        asked = len(answered)
        until("the new ones were asked about", lambda: len(answered) > asked + 80)
    finally:
        over.set()
        asking.join()
    algorithms = [json.loads(urlsafe_b64decode(token.split(".")[0] + "=="))["alg"] for token in tokens]
    assert algorithms == ["HS256"] * 10 + ["EdDSA"] * 10
    assert set(answered) == {200}, f"{len(answered)} requests"
