"""What is left on the shelves."""

from pathlib import Path

import dagster as dg
import pandas as pd
from shop_shared import top

# Package data: found next to the code, wherever it is installed.
SHELVES_FILE = Path(__file__).parent / "data" / "shelves.csv"


@dg.asset
def shelves() -> pd.DataFrame:
    """Pieces per product and shelf."""
    return pd.read_csv(SHELVES_FILE)


@dg.asset
def well_stocked(context: dg.AssetExecutionContext, shelves: pd.DataFrame) -> pd.DataFrame:
    """The two products of which there is most."""
    best = top(shelves, by="product", amount="pieces", count=2)
    context.add_output_metadata({"pieces": int(best["pieces"].sum())})
    return best
