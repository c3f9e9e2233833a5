"""Deploy to the tests' Dagster Cloud while things go wrong at random: faults of servers, signals, `kill -9`.

    python bench/soak.py [--seed N] [--in-a-row 200] [--rounds 25] [--at-once 8] [--verified 40]

Deploys one after the other, then rounds of several at once; then some of real dagster that are verified before
they are sent, so that there are processes with dagster inside to be left behind. Prints what ended how, the most
memory that a builder had, and whatever was not as it must be (see tests/support/soak.py); the exit code is 1 if
there is anything.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.commands import write_tree
from tests.support.deploying import deploying
from tests.support.soak import Soak

LOCATIONS = ("sales", "stock", "staff")
DEFINITIONS = "import dagster as dg\n\n@dg.asset\ndef orders() -> None: ...\n\ndefs = dg.Definitions([orders])\n"


def soak(title: str, seed: int, in_a_row: int, at_once: int, rounds: int, *, verified: bool = False) -> bool:
    """Soak, and print the figures; returns whether all was as it must be."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="builder-soak-") as root, deploying(Path(root)) as here:
        here.locations(*LOCATIONS)
        here.run_before(*LOCATIONS)
        made = Soak(here, LOCATIONS, random.Random(seed))  # noqa: S311  (not for secrets)
        if verified:
            # The index of this machine, which has dagster.
            del here.place.environment["UV_DEFAULT_INDEX"]
            for name in LOCATIONS:
                write_tree(here.place.root / f"project {name}", {"answer.py": DEFINITIONS})
            made.options, made.slowest_stop = ("--upload-timeout=60",), 6.0
        made.run(in_a_row, at_once, rounds)
    some = max(1, len(made.peaks) // 4)
    peaks = [statistics.median(part) / 1e6 for part in (made.peaks[:some], made.peaks[-some:])]
    print(f"{title}: seed {seed}, {len(made.peaks)} deploys, {time.monotonic() - started:.0f} s")
    print("  exit codes: " + ", ".join(f"{code}: {count}" for code, count in sorted(made.endings.items())))
    print(f"  peak memory of a builder: at most {max(made.peaks) / 1e6:.0f} MB; the median of the first quarter")
    print(f"  {peaks[0]:.0f} MB, of the last {peaks[1]:.0f} MB")
    print(f"  temporaries that killed runs left until they were a day old: {made.left}")
    for violation in made.violations:
        print(f"  VIOLATION: {violation}")
    return not made.violations


def main() -> int:
    """Run the soak; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of what goes wrong"
    )
    parser.add_argument("--in-a-row", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--at-once", type=int, default=8, help="deploys in a round")
    parser.add_argument("--verified", type=int, default=40, help="deploys of real dagster")
    given = parser.parse_args()
    well = soak("built and sent", given.seed, given.in_a_row, given.at_once, given.rounds)
    if given.verified:
        rounds = given.verified // 2 // 4
        well &= soak("verified too", given.seed, given.verified - 4 * rounds, 4, rounds, verified=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
