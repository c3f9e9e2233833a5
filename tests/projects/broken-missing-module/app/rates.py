import dagster
import sklearn.linear_model


@dagster.asset
def orders() -> None: ...
