from importlib.metadata import entry_points, version

(found,) = entry_points(group="acme.names")
import dagster as dg


@dg.asset(name=found.load() + version("plugin").replace(".", "_"))
def an_asset() -> None: ...


defs = dg.Definitions(assets=[an_asset])
