"""A dg project whose assets come from the state of a component, as those of dbt Cloud, Fivetran or Airbyte do."""

from __future__ import annotations

from pathlib import Path

from tests.support.commands import write_tree

KEY = "Tables[sales]"
"""The key of the component's state."""

TABLES = "TABLES"
"""The environment variable that stands for the service of which the component asks what there is."""

_FILES = {
    "pyproject.toml": """\
[project]
name = "app"
version = "1.0"
dependencies = ["dagster", "dagster-cloud"]
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[tool.dg]
directory_type = "project"
[tool.dg.project]
root_module = "app"
""",
    "src/app/__init__.py": "",
    "src/app/definitions.py": """\
from pathlib import Path
from dagster import definitions, load_from_defs_folder

@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
""",
    "src/app/tables.py": """\
import json
import os
from dataclasses import dataclass
from pathlib import Path
import dagster as dg
from dagster.components.utils.defs_state import DefsStateConfig, ResolvedDefsStateConfig

@dataclass
class Tables(dg.StateBackedComponent, dg.Resolvable):
    name: str
    defs_state: ResolvedDefsStateConfig

    @property
    def defs_state_config(self) -> DefsStateConfig:
        return DefsStateConfig.from_args(self.defs_state, default_key=f"Tables[{self.name}]")

    def write_state_to_path(self, state_path: Path) -> None:
        state_path.write_text(json.dumps(os.environ["TABLES"].split()))

    def build_defs_from_state(self, context, state_path):
        tables = json.loads(state_path.read_text()) if state_path else []
        return dg.Definitions(assets=[dg.AssetSpec(table) for table in tables])
""",
    "src/app/defs/__init__.py": "",
    "src/app/defs/tables/defs.yaml": """\
type: app.tables.Tables
attributes:
  name: sales
  defs_state:
    management_type: {kind}
""",
}


def state_backed_project(directory: Path, *, kind: str = "LOCAL_FILESYSTEM") -> Path:
    """Write the project into a directory, without any state, as a fresh clone has it."""
    write_tree(directory, {name: text.replace("{kind}", kind) for name, text in _FILES.items()})
    return directory


def add_state(directory: Path) -> None:
    """Add such a component to a copy of examples/quickstart."""
    code, entry = (text for name, text in _FILES.items() if name.endswith(("tables.py", "defs.yaml")))
    entry = entry.replace("app.tables", "quickstart.tables").replace("{kind}", "LOCAL_FILESYSTEM")
    write_tree(directory / "quickstart", {"tables.py": code, "defs/tables/defs.yaml": entry})
    with (directory / "pyproject.toml").open("a") as stream:
        stream.write('\n[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "quickstart"\n')
    with (directory / "quickstart" / "definitions.py").open("a") as stream:
        stream.write("from pathlib import Path\n")
        tables = "dg.load_from_defs_folder(path_within_project=Path(__file__).parent)"
        stream.write(f"defs = dg.Definitions.merge(defs, {tables})\n")
