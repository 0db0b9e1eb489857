"""Server processes on free loopback ports, which do not run as root and end with the cluster."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Outside the range of the ports that Linux gives to outgoing connections.
_PORTS = range(20_000, 32_000)
_drawn: set[int] = set()


def free_port() -> int:
    """Return a loopback port that is free now. No port is returned twice."""
    while True:
        port = random.choice(_PORTS)  # noqa: S311
        if port in _drawn:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _drawn.add(port)
        return port


def wait_until(what: str, holds: Callable[[], bool], seconds: float = 90) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: It does not hold after that many seconds.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            message = f"timed out after {seconds:.0f} s: {what}"
            raise TimeoutError(message)
        time.sleep(0.1)


class Server:
    """A server process. Its output goes to a file in the cluster's folder."""

    def __init__(self, folder: Path, name: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = command
        self._environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **(environment or {})}
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it. A Ctrl-C at the terminal does not reach it: the cluster ends it."""
        # Postgres refuses to run as root.
        user = "postgres" if os.geteuid() == 0 else None
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )

    def is_running(self) -> bool:
        """Whether its process exists."""
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is running."""
        if self._process is not None and self.is_running():
            self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it with that signal, and wait for its end. A halted process continues first."""
        if self._process is None:
            return
        self.send(number)
        self.send(signal.SIGCONT)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def children_of(parent: int) -> Iterator[int]:
    """Return the processes that a process has started."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                after_name = (entry / "stat").read_text().rpartition(")")[2]
                if int(after_name.split()[1]) == parent:
                    yield int(entry.name)


def signal_all(processes: list[int], number: signal.Signals) -> None:
    """Send a signal to processes. Some may have ended."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
