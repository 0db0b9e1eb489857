"""What a measurement does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .node import Timing


@dataclass(frozen=True)
class Course:
    """Which faults are measured, how often, and in which modes of replication."""

    binary: Path
    modes: list[str]
    faults: list[str]
    rounds: int
    timing: Timing
    # The folder for the results.
    out: Path
