"""Deploy to the tests' Dagster Cloud while things go wrong at random: faults of servers, signals, `kill -9`.

    python bench/soak.py [SEED]

200 deploys one after the other, then 25 rounds of 8 at once. Prints what ended how, the most memory that a builder
had, and whatever was not as it must be (see tests/support/soak.py); the exit code is 1 if there is anything.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.deploying import deploying
from tests.support.soak import Soak

IN_A_ROW, AT_ONCE, ROUNDS = 200, 8, 25
LOCATIONS = ("sales", "stock", "staff")


def main(seed: int) -> int:
    """Run the soak; returns the exit code."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="builder-soak-") as root, deploying(Path(root)) as here:
        here.locations(*LOCATIONS)
        here.run_before(*LOCATIONS)
        soak = Soak(here, LOCATIONS, random.Random(seed))  # noqa: S311  (not for secrets)
        soak.run(IN_A_ROW, AT_ONCE, ROUNDS)
        temporary = list(here.place.root.rglob(".builder-tmp-*"))
    print(f"seed {seed}, {time.monotonic() - started:.0f} s, peak memory {soak.peak / 1e6:.0f} MB")
    print("exit codes: " + ", ".join(f"{code}: {count}" for code, count in sorted(soak.endings.items())))
    print(f"temporaries that killed runs left: {len(temporary)}")
    for violation in soak.violations:
        print(f"VIOLATION: {violation}")
    return 1 if soak.violations else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(10**6)))
