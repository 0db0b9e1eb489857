"""The faults of a cluster, each at its primary."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .cluster import Cluster

# How long replication delivers nothing before `lag` kills the primary.
LAG_SECONDS = 0.5


def kill(cluster: Cluster) -> None:
    """Kill the primary: Patroni and Postgres, as a power cut would."""
    cluster.primary().kill()


def cut(cluster: Cluster) -> None:
    """Cut the primary off from clients, standbys and etcd."""
    primary = cluster.primary()
    primary.cut_front()
    primary.cut_back()


def isolate(cluster: Cluster) -> None:
    """Cut the primary off from standbys and etcd. Clients still reach it."""
    cluster.primary().cut_back()


def lag(cluster: Cluster) -> None:
    """Kill the primary after its standbys have received nothing for half a second."""
    primary = cluster.primary()
    primary.cut_back()
    time.sleep(LAG_SECONDS)
    primary.kill()
    primary.drop_back()


def switchover(cluster: Cluster) -> None:
    """Ask Patroni to move the primary to another node, as for maintenance."""
    cluster.primary().switch_over()


FAULTS: dict[str, Callable[[Cluster], None]] = {
    "kill": kill,
    "cut": cut,
    "lag": lag,
    "isolate": isolate,
    "switchover": switchover,
}
