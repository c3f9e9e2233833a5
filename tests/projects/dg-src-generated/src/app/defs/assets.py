import dagster as dg


@dg.asset
def found_by_itself() -> None: ...
