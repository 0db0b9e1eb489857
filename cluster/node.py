"""A node of the cluster: Patroni with its Postgres, and the network between it and everything else.

The network is two HAProxy processes that forward bytes. Halted with SIGSTOP they deliver nothing and close nothing,
as a cable that is cut: the kernel still accepts what is sent to them.

1. `front` carries clients to Postgres, and HAProxy's health checks to Patroni's REST API.
2. `back` carries replication from this node to its standbys, and Patroni to etcd.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .processes import Server, children_of, free_port, signal_all, wait_until

_FORWARD = """\
global
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
"""


@dataclass(frozen=True)
class Timing:
    """Patroni's three times in seconds, which decide how fast it fails over."""

    ttl: int
    loop_wait: int
    retry_timeout: int


@dataclass(frozen=True)
class Plan:
    """What all nodes have in common."""

    folder: Path
    programs: Path
    etcd: int
    timing: Timing
    synchronous: bool


class Node:
    """One node. Its public ports are those of its network."""

    def __init__(self, plan: Plan, number: int) -> None:
        self.name = f"node{number}"
        self.clients, self.rest, standbys = free_port(), free_port(), free_port()
        postgres, patroni, etcd = free_port(), free_port(), free_port()
        self._rest_inside = patroni
        self._data = plan.folder / self.name / "data"
        self._data.parent.mkdir(mode=0o755)
        front, back = {self.clients: postgres, self.rest: patroni}, {standbys: postgres, etcd: plan.etcd}
        self._front = _forwarder(plan.folder, f"{self.name}-front", front)
        self._back = _forwarder(plan.folder, f"{self.name}-back", back)
        settings = _settings(plan, self.name, {"postgres": postgres, "standbys": standbys, "etcd": etcd})
        settings["restapi"] = {"listen": f"127.0.0.1:{patroni}", "connect_address": f"127.0.0.1:{self.rest}"}
        # JSON is YAML, too.
        self.settings = plan.folder / f"{self.name}.yaml"
        self.settings.write_text(json.dumps(settings, indent=2))
        self._patroni = Server(plan.folder, self.name, ["/usr/bin/patroni", str(self.settings)])

    def start(self) -> None:
        """Start the network, then Patroni, which starts Postgres."""
        for server in (self._front, self._back, self._patroni):
            if not server.is_running():
                server.start()

    def kill(self) -> None:
        """Kill Patroni and every process of its Postgres at once, as a power cut would."""
        postgres = self._postgres()
        self._patroni.send(signal.SIGKILL)
        signal_all(postgres, signal.SIGKILL)
        self._patroni.end()

    def cut_front(self) -> None:
        """Cut it off from clients: nothing arrives, and no connection is closed."""
        self._front.send(signal.SIGSTOP)

    def cut_back(self) -> None:
        """Cut it off from its standbys and etcd in the same way."""
        self._back.send(signal.SIGSTOP)

    def drop_back(self) -> None:
        """Throw away what has not arrived at its standbys."""
        self._back.end()

    def restore(self) -> None:
        """End every fault."""
        self._front.send(signal.SIGCONT)
        self._back.send(signal.SIGCONT)
        self.start()

    def stop(self) -> None:
        """End everything, without a shutdown of Postgres: its data are deleted."""
        self._patroni.end()
        postgres = self._postgres()
        # The postmaster alone: it ends its processes, and frees its shared memory.
        signal_all(postgres[:1], signal.SIGQUIT)
        if postgres:
            wait_until("the end of Postgres", lambda: not self._postgres())
        else:
            self._free_memory()
        self._front.end()
        self._back.end()

    def answers(self, path: str) -> bool:
        """Whether Patroni answers 200 to a health check. It is asked beside its network."""
        return self.ask(path) is not None

    def ask(self, path: str) -> Any:  # noqa: ANN401
        """Return what Patroni's REST API answers, or `None` if it refuses or does not answer."""
        with contextlib.suppress(OSError, ValueError):
            url = f"http://127.0.0.1:{self._rest_inside}/{path}"
            with urllib.request.urlopen(url, timeout=2) as answer:
                return json.load(answer)
        return None

    def switch_over(self) -> None:
        """Ask Patroni to make another node the primary."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._rest_inside}/switchover", json.dumps({"leader": self.name}).encode()
        )
        with urllib.request.urlopen(request, timeout=60):  # noqa: S310
            pass

    def _postgres(self) -> list[int]:
        """Return the processes of its Postgres, the postmaster first."""
        with contextlib.suppress(OSError, ValueError):
            postmaster = int(self._lock()[0])
            # A killed Postgres leaves the file, and another process may have its number by now.
            if Path(f"/proc/{postmaster}/cwd").readlink() == self._data:
                return [postmaster, *children_of(postmaster)]
        return []

    def _lock(self) -> list[str]:
        """Return the lines of Postgres's lock file."""
        return (self._data / "postmaster.pid").read_text().splitlines()

    def _free_memory(self) -> None:
        """Remove the shared memory that a killed Postgres has left."""
        with contextlib.suppress(OSError, IndexError):
            segment = self._lock()[6].split()[1]
            subprocess.run(["/usr/bin/ipcrm", "-m", segment], check=False, capture_output=True)  # noqa: S603


def _forwarder(folder: Path, name: str, forward: dict[int, int]) -> Server:
    settings = folder / f"{name}.cfg"
    lines = [f"listen to{to}\n  bind 127.0.0.1:{port}\n  server here 127.0.0.1:{to}\n" for port, to in forward.items()]
    settings.write_text(_FORWARD + "".join(lines))
    # Without the master process: a signal reaches the process that forwards.
    return Server(folder, name, ["/usr/sbin/haproxy", "-db", "-f", str(settings)])


def _settings(plan: Plan, name: str, ports: dict[str, int]) -> dict[str, Any]:
    """Return Patroni's settings without its REST API. What is not here is Patroni's default."""
    timing = plan.timing
    return {
        "scope": "authority",
        "name": name,
        # The cluster has one etcd behind this node's network. Otherwise Patroni asks etcd for its address.
        "etcd3": {"host": f"127.0.0.1:{ports['etcd']}", "use_proxies": True},
        "bootstrap": {
            "dcs": {
                "ttl": timing.ttl,
                "loop_wait": timing.loop_wait,
                "retry_timeout": timing.retry_timeout,
                "synchronous_mode": plan.synchronous,
                "synchronous_mode_strict": plan.synchronous,
                "postgresql": {"use_pg_rewind": True, "parameters": {"max_connections": 100}},
            },
            "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, {"auth": "trust"}],
        },
        "postgresql": {
            "listen": f"127.0.0.1:{ports['postgres']}",
            "connect_address": f"127.0.0.1:{ports['standbys']}",
            "data_dir": str(plan.folder / name / "data"),
            "bin_dir": str(plan.programs),
            "pgpass": str(plan.folder / name / "pgpass"),
            "basebackup": [{"checkpoint": "fast"}],
            "authentication": {
                "superuser": {"username": "postgres"},
                "replication": {"username": "postgres"},
            },
            "parameters": {
                "unix_socket_directories": "",
                # In the data folder, so that a killed Postgres leaves nothing in /dev/shm.
                "dynamic_shared_memory_type": "mmap",
            },
        },
    }
