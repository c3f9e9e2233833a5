from pathlib import Path

import dagster as dg

from app._version import VERSION

assert VERSION == "made"
assert Path(__file__).parents[2].name == "root"


@dg.definitions
def defs():
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
