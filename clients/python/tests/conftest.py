"""Starts the real service on free loopback ports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2 as httpx
import pytest

from token_authority import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
SECRET = "of the tests of the Python kit, no secret at all"
# A busy machine starts two processes with all their imports in this time.
SOON = 60.0


def binary() -> str:
    """The service's binary: that of TOKEN_AUTHORITY_BIN, or the one that cargo built."""
    path = Path(os.environ.get("TOKEN_AUTHORITY_BIN") or ROOT / "target/debug/token-authority")
    assert path.exists(), f"{path} is missing: cargo build, or set TOKEN_AUTHORITY_BIN"
    return str(path)


def until(what: str, done: Callable[[], Any], *, within: float = SOON) -> Any:
    """Waits until something is so, and gives it."""
    deadline = time.monotonic() + within
    while True:
        found = done()
        if found:
            return found
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.01)


class Service:
    """The real service: a child process with an empty environment and a folder of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.settings = {
            "GRPC_ADDR": "127.0.0.1:0",
            "HTTP_ADDR": "127.0.0.1:0",
            "METRICS_ADDR": "127.0.0.1:0",
            "LOG_FORMAT": "json",
            "JWT_SECRET": SECRET,
            "AUTHORITY_SECRET": "the authority's own secret in the tests of the kit",
            "USER": "tester",
            **settings,
        }
        self._started = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.address = ""
        self.http = ""
        self.metrics = ""

    def start(self) -> Service:
        """Starts it, on the ports that it had before if it was started before."""
        self._started += 1
        log = self.folder / f"{self._started}.log"
        with log.open("wb") as output:
            # Ends with the tests, however they end.
            command = ["setpriv", "--pdeathsig", "KILL", "--", binary()]
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self.settings, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

        def serving() -> dict[str, str] | None:
            assert self.process
            text = log.read_text()
            assert self.process.poll() is None, text
            lines = [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
            return next((line for line in lines if line.get("message") == "serving"), None)

        addresses = until("it serves", serving)
        self.address, http = addresses["grpc"], addresses["http"]
        self.http = f"http://{http}"
        self.metrics = f"http://{addresses['metrics']}"
        self.settings |= {"GRPC_ADDR": self.address, "HTTP_ADDR": http}
        until("it is ready", lambda: httpx.get(f"{self.http}/readyz").status_code == 200)
        return self

    def stop(self) -> None:
        """Kills it."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def hang(self) -> None:
        """Stops it from doing anything, with its connections open."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Ends `hang`."""
        assert self.process
        self.process.send_signal(signal.SIGCONT)

    def run(self, *arguments: str, **settings: str) -> str:
        """Runs a subcommand."""
        done = subprocess.run(
            [binary(), *arguments],
            cwd=self.folder,
            env={**self.settings, **settings},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def client(self) -> Client:
        """A client of it."""
        return Client(address=self.address)


MakeService = Callable[..., "Service"]


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[MakeService]:
    """Makes services of the test's own, which are not started yet, and stops them in the end."""
    made: list[Service] = []

    def make(**settings: str) -> Service:
        folder = tmp_path / f"service-{len(made)}"
        folder.mkdir()
        made.append(Service(folder, **settings))
        return made[-1]

    yield make
    for service in made:
        service.stop()


@pytest.fixture
def service(make_service: MakeService) -> Service:
    """A service of the test's own."""
    return make_service().start()


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that the tests of a module share."""
    service = Service(tmp_path_factory.mktemp("service")).start()
    yield service
    service.stop()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on the developer's environment."""
    for name in list(os.environ):
        if name.startswith(("JWT_", "TOKEN_AUTHORITY_")) and name != "TOKEN_AUTHORITY_BIN":
            monkeypatch.delenv(name)
