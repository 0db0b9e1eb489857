"""What a verification costs in Python: the kit's verifier beside `jwt.decode` of PyJWT, in one run.

    PYTHONPATH=clients/python/src target/tools/clients-python/bin/python clients/bench/python.py [--check]

`clients/python/scripts/check` makes that environment.
Prints a line of JSON. `repeated`: one token again and again; `first_seen`: each token once; `map_…`: the same with 10⁵
revocations known, beside none. With `--check` it fails if a ratio is over its bound.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable

import jwt

from token_authority.testing import TokenFactory

BOUNDS = {"repeated": 0.25, "first_seen": 1.2, "map_repeated": 1.05, "map_first_seen": 1.05}
REVOCATIONS = 100_000
ROUNDS = 301
TOKENS = 40


class Known:
    """Stands in for the follower: what is known of revocations, without a stream."""

    def __init__(self, sessions: dict[str, float]) -> None:
        self.sessions = sessions
        self.fresh_as_of = time.time()
        self.is_ready = True


def nanoseconds(run: Callable[[str], object], tokens: list[str]) -> float:
    """Measures what one token costs."""
    began = time.perf_counter_ns()
    for token in tokens:
        run(token)
    return (time.perf_counter_ns() - began) / len(tokens)


def compare(first: Callable[[], float], second: Callable[[], float]) -> tuple[float, float]:
    """Measures two things in turn, so that both see the same machine; the least of each, when nothing disturbed it."""
    pairs = [(first(), second()) for _ in range(ROUNDS)]
    return min(one for one, _ in pairs), min(other for _, other in pairs)


def main() -> None:
    """Measures, prints, and checks the bounds if asked to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check

    factory = TokenFactory()

    def mint(n: int) -> str:
        return factory.mint(f"user-{n}", scopes=["read", "write"])

    fresh = [[mint(n) for n in range(TOKENS)] for _ in range(4 * ROUNDS)]
    same = [fresh[0][0]] * TOKENS
    verifier = factory.verifier(cache_size=10_000)
    crowded = factory.verifier(cache_size=10_000)
    sessions = {TokenFactory().mint()[-36:] + str(n): time.time() + 600 for n in range(REVOCATIONS)}
    none, many = Known({}), Known(sessions)
    alone = factory.verifier(cache_size=10_000)
    alone._revocations, crowded._revocations = none, many  # type: ignore[assignment]  # noqa: SLF001
    alone.start()
    crowded.start()
    alone._revocations, crowded._revocations = none, many  # type: ignore[assignment]  # noqa: SLF001

    def library(token: str) -> object:
        return jwt.decode(token, factory.secret, algorithms=["HS256"])

    batches = iter(fresh)
    results: dict[str, dict[str, float]] = {}

    def record(name: str, first: Callable[[], float], second: Callable[[], float]) -> None:
        one, other = compare(first, second)
        results[name] = {"ns": round(one), "beside_ns": round(other), "ratio": round(one / other, 3)}

    for warm in (verifier, alone, crowded):
        warm.verify(same[0])
    record("repeated", lambda: nanoseconds(verifier.verify, same), lambda: nanoseconds(library, same))
    record("first_seen", lambda: nanoseconds(verifier.verify, next(batches)), lambda: nanoseconds(library, fresh[0]))
    record("map_repeated", lambda: nanoseconds(crowded.verify, same), lambda: nanoseconds(alone.verify, same))
    record(
        "map_first_seen",
        lambda: nanoseconds(crowded.verify, next(batches)),
        lambda: nanoseconds(alone.verify, next(batches)),
    )
    sys.stdout.write(json.dumps({"python": sys.version.split()[0], "PyJWT": jwt.__version__, **results}) + "\n")
    over = [name for name, bound in BOUNDS.items() if results[name]["ratio"] > bound]
    if check and over:
        sys.exit(f"over the bound: {', '.join(over)}")


if __name__ == "__main__":
    main()
