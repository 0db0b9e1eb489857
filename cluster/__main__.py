"""The command line: starts the cluster for anyone, or measures its faults under load."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .cluster import DEFAULT_TIMING, Cluster
from .course import Course
from .faults import FAULTS
from .node import Timing

if TYPE_CHECKING:
    from types import FrameType

ROOT = Path(__file__).parents[1]
HELP = """\
kill        kill the primary, as a power cut would
cut         cut the primary off from clients, standbys and etcd
lag         kill the primary while its standbys are half a second behind
isolate     cut the primary off from standbys and etcd, but not from clients
switchover  move the primary to another node, as for maintenance
restore     end every fault, and wait until all three nodes are at work
An empty line shows this again. Ctrl-C, or the end of the input, stops all of it and removes its folder."""


def main() -> None:
    """Read the arguments, and run."""
    parser = _parser()
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _stop)
    timing = Timing(arguments.ttl, arguments.loop_wait, arguments.retry_timeout)
    if arguments.command is None:
        serve(synchronous=arguments.synchronous, timing=timing)
        return
    binary: Path = arguments.token_authority.absolute()
    if not binary.is_file():
        parser.error(f"{binary} is missing; build it with `cargo build --profile dist`, or set --token-authority")
    # It needs packages that the cluster alone does not.
    from .measure import measure_all  # noqa: PLC0415

    faults, modes = arguments.only or list(FAULTS), arguments.mode or ["synchronous", "asynchronous"]
    measure_all(Course(binary, modes, faults, arguments.rounds, timing, arguments.out))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/cluster", description=__doc__)
    # Asynchronous is Patroni's default, and so what an operator has who sets nothing.
    synchronous = "wait at each commit for a standby (synchronous_mode, strict); the default is asynchronous"
    parser.add_argument("--synchronous", action="store_true", help=synchronous)
    for name, default in vars(DEFAULT_TIMING).items():
        option, about = f"--{name.replace('_', '-')}", f"Patroni's time in seconds; its default is {default}"
        parser.add_argument(option, type=int, default=default, help=about)
    commands = parser.add_subparsers(dest="command")
    measure = commands.add_parser("measure", help="break the primary under load, and print what callers saw")
    built = ROOT / "target/dist/token-authority"
    measure.add_argument("--token-authority", type=Path, default=built, help="the binary; the default is %(default)s")
    measure.add_argument("--rounds", type=int, default=3, help="how often to repeat each fault")
    measure.add_argument("--only", choices=FAULTS, action="append", help="one fault; may be repeated")
    measure.add_argument("--mode", choices=["synchronous", "asynchronous"], action="append", help="may be repeated")
    measure.add_argument("--out", type=Path, default=ROOT / "target/cluster", help="the folder for JSON and Markdown")
    return parser


def _stop(number: int, _frame: FrameType | None) -> None:
    # Once is enough: a second signal must not disturb the end.
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def serve(*, synchronous: bool, timing: Timing) -> None:
    """Run a cluster, and break it as the lines of the input say."""
    with Cluster(synchronous=synchronous, timing=timing) as cluster:
        say(f"DATABASE_URL={cluster.url}")
        say(f"patronictl -c {cluster.nodes[0].settings} list")
        say(HELP)
        for line in sys.stdin:
            command = line.strip()
            if command == "restore":
                cluster.restore()
            elif command in FAULTS:
                FAULTS[command](cluster)
            else:
                say(HELP)
                continue
            say(f"{command}: done")


def say(line: str) -> None:
    """Print a line at once, even if a program reads it."""
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
