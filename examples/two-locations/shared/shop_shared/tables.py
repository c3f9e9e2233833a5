"""Tables that both locations make."""

import pandas as pd


def top(table: pd.DataFrame, *, by: str, amount: str, count: int = 3) -> pd.DataFrame:
    """The `count` values of column `by` with the largest sums of column `amount`, largest first."""
    sums = table.groupby(by, as_index=False)[amount].sum()
    return sums.sort_values([amount, by], ascending=[False, True], ignore_index=True).head(count)
