"""The whole cluster: etcd, three nodes, and HAProxy, whose port leads to the primary."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from .node import Node, Plan, Timing
from .processes import Server, free_port, wait_until

# Patroni's defaults.
DEFAULT_TIMING = Timing(ttl=30, loop_wait=10, retry_timeout=10)

# A node is down after two refused checks a second apart. Its connections are closed then: a primary that is cut off
# closes none.
_FRONT = """\
global
  nbthread 1
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
  timeout check 2s
listen primary
  bind 127.0.0.1:{port}
  option httpchk GET /primary
  http-check expect status 200
  default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
"""


class Cluster:
    """A running cluster in a temporary folder. `with` stops it and removes the folder."""

    def __init__(self, *, synchronous: bool, timing: Timing = DEFAULT_TIMING) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="token-authority-cluster-"))
        self.synchronous = synchronous
        self.port, etcd, peer = free_port(), free_port(), free_port()
        plan = Plan(self.folder, _programs(), etcd, timing, synchronous)
        self.etcd = _etcd(self.folder, etcd, peer)
        self.nodes = [Node(plan, number) for number in (1, 2, 3)]
        settings = self.folder / "front.cfg"
        servers = [f"  server {node.name} 127.0.0.1:{node.clients} check port {node.rest}\n" for node in self.nodes]
        settings.write_text(_FRONT.format(port=self.port) + "".join(servers))
        self.front = Server(self.folder, "front", ["/usr/sbin/haproxy", "-db", "-f", str(settings)])
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                shutil.chown(path, "postgres", "postgres")

    @property
    def url(self) -> str:
        """The URL of the primary, whichever node it is."""
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def __enter__(self) -> Cluster:
        try:
            self.etcd.start()
            for node in self.nodes:
                node.start()
            self.front.start()
            self.wait_until_whole()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End all processes, and remove the folder."""
        self.front.end()
        for node in self.nodes:
            node.stop()
        self.etcd.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def primary(self) -> Node:
        """Return the node that is the primary.

        Raises:
            TimeoutError: There is none.
        """
        found: list[Node] = []

        def find() -> bool:
            found[:] = [node for node in self.nodes if node.answers("primary")]
            return bool(found)

        wait_until("a primary", find)
        return found[0]

    def is_whole(self) -> bool:
        """Whether there are a primary and two standbys that stream, one of them synchronous if so configured."""
        primary = next((node for node in self.nodes if node.answers("primary")), None)
        status = primary.ask("primary") if primary else None
        if status is None or not status.get("server_version"):
            return False
        streams = [stream for stream in status.get("replication", []) if stream["state"] == "streaming"]
        synchronous = [stream for stream in streams if stream["sync_state"] in {"sync", "quorum"}]
        return len(streams) == len(self.nodes) - 1 and (bool(synchronous) or not self.synchronous)

    def wait_until_whole(self) -> None:
        """Wait until every node is at work, and the front knows the primary."""
        wait_until(f"the cluster is whole; see {self.folder}", self.is_whole, 120)
        # The front's next check.
        time.sleep(2)

    def restore(self) -> None:
        """End every fault, and wait until the cluster is whole again."""
        for node in self.nodes:
            node.restore()
        self.wait_until_whole()


def _etcd(folder: Path, port: int, peer: int) -> Server:
    url, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    command = ["/usr/bin/etcd", "--name", "etcd", "--data-dir", str(folder / "etcd")]
    command += ["--listen-client-urls", url, "--advertise-client-urls", url]
    command += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
    command += ["--initial-cluster", f"etcd={peers}", "--log-level", "warn"]
    return Server(folder, "etcd", command)


def _programs() -> Path:
    """Return the folder of the newest Postgres's programs."""
    found = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    return max(found, key=lambda path: int(path.parent.parent.name)).parent
