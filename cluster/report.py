"""Writes what was measured as text and as a table in Markdown."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .measure import Round

_HEAD = """\
| fault | replication | no login for, seconds | acknowledged logins, refreshes, logouts | errors a round | \
logins lost | users logged out | of these as thieves | logouts undone |
|---|---|---|---|---|---|---|---|---|
"""


def describe(measured: Round) -> str:
    """Return everything about one round as a line."""
    facts = asdict(measured)
    return ", ".join(
        f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}" for name, value in facts.items()
    )


def table(rounds: list[Round]) -> str:
    """Return a row for each fault and mode. Losses are of each round."""
    faults = list(dict.fromkeys(each.fault for each in rounds))
    modes = list(dict.fromkeys(each.mode for each in rounds))
    rows = []
    for fault in faults:
        for mode in modes:
            own = [each for each in rounds if (each.fault, each.mode) == (fault, mode)]
            if own:
                rows.append(f"| {fault} | {mode} | {' | '.join(_cells(own))} |\n")
    return _HEAD + "".join(rows)


def _cells(rounds: list[Round]) -> list[str]:
    outages = [each.outage for each in rounds]
    done = [sum(counts) for counts in zip(*((r.logins, r.refreshes, r.logouts) for r in rounds), strict=True)]
    losses = [each.losses for each in rounds]
    return [
        f"{median(outages):.1f}, worst {max(outages):.1f}",
        ", ".join(f"{count:,}" for count in done),
        _errors(rounds),
        _counts(loss.missing for loss in losses),
        _counts(loss.logged_out for loss in losses),
        _counts(loss.taken_for_thieves for loss in losses),
        _counts(loss.logouts_undone for loss in losses),
    ]


def _errors(rounds: list[Round]) -> str:
    """Return the median number of errors a round, by gRPC's code."""
    by_round: list[Counter[str]] = []
    for each in rounds:
        codes: Counter[str] = Counter()
        for kind, count in each.errors.items():
            # The operation comes before the code, and the service's reason after it.
            codes[kind.split()[1]] += count
        by_round.append(codes)
    names = sorted({code for codes in by_round for code in codes})
    return ", ".join(f"{name}: {median(codes[name] for codes in by_round):,.0f}" for name in names) or "none"


def _counts(values: Iterable[int]) -> str:
    """Return what each round lost."""
    values = list(values)
    return "0" if not any(values) else ", ".join(map(str, values))
