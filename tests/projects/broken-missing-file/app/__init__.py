from pathlib import Path

import dagster

RATES = Path("data/rates.csv").read_text(encoding="utf-8")


@dagster.asset
def orders() -> None: ...


defs = dagster.Definitions(assets=[orders])
