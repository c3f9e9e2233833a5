"""A short soak: deploys while things go wrong at random. The long one is bench/soak.py."""

from __future__ import annotations

import random
from pathlib import Path

from tests.support.deploying import deploying
from tests.support.soak import MEMORY_LIMIT, Soak


def test_whatever_goes_wrong_no_location_runs_what_is_not_whole(tmp_path: Path) -> None:
    locations = ("sales", "stock")
    with deploying(tmp_path) as here:
        here.locations(*locations)
        here.run_before(*locations)
        soak = Soak(here, locations, random.Random(20261131))  # noqa: S311  (not for secrets)
        # A deploy of these takes a quarter of a second.
        soak.slowest_stop = 0.2
        soak.run(in_a_row=6, at_once=3, rounds=1)
    assert soak.violations == []
    # One is killed in the row, and done again.
    assert len(soak.peaks) == 1 + 6 + 1 + 3 + 3
    assert soak.endings[-9] > 0
    assert 0 < max(soak.peaks) < MEMORY_LIMIT
