"""Breaks the primary under load, several times in each way, and writes what callers saw."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from .audit import Losses, audit, measure_spread
from .cluster import Cluster
from .faults import FAULTS
from .load import REFRESH_SECONDS, Load
from .processes import wait_until
from .report import describe, table
from .service import Connection, start_replicas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .course import Course
    from .service import Replica

_WARM_SECONDS = REFRESH_SECONDS + 3
# No fault may take longer than this.
_OUTAGE_SECONDS = 120


@dataclass
class Round:
    """One fault, and what it cost."""

    mode: str
    fault: str
    # The longest time without an acknowledged login.
    outage: float
    logins: int
    refreshes: int
    logouts: int
    errors: dict[str, int]
    losses: Losses
    # The longest time until a revocation of one replica is known to the other, after the fault.
    revocation_spread: float


def measure_all(course: Course) -> None:
    """Measure every fault in every mode, and write the results as they come."""
    course.out.mkdir(parents=True, exist_ok=True)
    rounds: list[Round] = []
    for mode in course.modes:
        for measured in _measure_mode(course, mode):
            rounds.append(measured)
            print(describe(measured), flush=True)  # noqa: T201
            (course.out / "rounds.json").write_text(json.dumps([asdict(each) for each in rounds], indent=1))
    text = table(rounds)
    (course.out / "table.md").write_text(text)
    print(text)  # noqa: T201


def _measure_mode(course: Course, mode: str) -> Iterator[Round]:
    with Cluster(synchronous=mode == "synchronous", timing=course.timing) as cluster:
        replicas = start_replicas(cluster, course.binary)
        try:
            for fault in course.faults:
                for _ in range(course.rounds):
                    yield asyncio.run(measure(cluster, replicas, mode, fault))
                    cluster.restore()
        finally:
            for replica in replicas:
                replica.server.end()


async def measure(cluster: Cluster, replicas: list[Replica], mode: str, fault: str) -> Round:
    """Put the service under load, break the primary, and ask afterwards what is left."""
    connections = [Connection(replica) for replica in replicas]
    load = Load(connections)
    await load.begin()
    await asyncio.sleep(_WARM_SECONDS)
    began = time.monotonic()
    # A fault takes its time, and the load goes on meanwhile.
    await asyncio.to_thread(_break, cluster, fault)
    await _until_logins_go_on(load)
    # Every user refreshes once more.
    await asyncio.sleep(REFRESH_SECONDS + 1)
    ledger = await load.stop()
    losses = await audit(connections, ledger)
    spread = await measure_spread(connections, ledger)
    for connection in connections:
        await connection.close()
    return Round(
        mode,
        fault,
        ledger.longest_gap(began),
        len(ledger.logins),
        ledger.refreshes,
        ledger.logouts,
        dict(ledger.errors),
        losses,
        spread,
    )


def _break(cluster: Cluster, fault: str) -> None:
    """Break the primary, and wait until another node is the primary."""
    before = cluster.primary()
    others = [node for node in cluster.nodes if node is not before]
    FAULTS[fault](cluster)
    wait_until("another primary", lambda: any(node.answers("primary") for node in others), _OUTAGE_SECONDS)


async def _until_logins_go_on(load: Load) -> None:
    """Wait until logins are acknowledged for two seconds without a pause of a second.

    Raises:
        TimeoutError: They are not.
    """
    deadline = time.monotonic() + _OUTAGE_SECONDS
    while not _steady(load.ledger.logins):
        if time.monotonic() > deadline:
            message = f"no login was acknowledged for {_OUTAGE_SECONDS} s"
            raise TimeoutError(message)
        await asyncio.sleep(0.2)


def _steady(logins: list[float]) -> bool:
    now = time.monotonic()
    recent = [now - 2, *(at for at in sorted(logins[-200:]) if at > now - 2), now]
    return all(after - before < 1 for before, after in itertools.pairwise(recent))
