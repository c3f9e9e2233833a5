"""`[tool.dagster]` of pyproject.toml, by which `dagster dev` finds what to load (`dagster._core.workspace`)."""

from __future__ import annotations

from pathlib import Path

from builder.errors import Origin, ProjectError
from builder.project.location import Location, Workspace, distinct
from builder.project.manifest import source_tree
from builder.project.toml_file import TomlFile


def read_dagster_table(path: Path) -> Workspace | None:
    """The locations of a pyproject.toml with `module_name` or `modules` in `[tool.dagster]`; None without them.

    The name of a location is `code_location_name`, else its module. Raises ProjectError, with the line, for a
    value that cannot be right.
    """
    if not path.is_file():
        return None
    file = TomlFile.load(path)
    table = file.table("tool", "dagster")
    if "module_name" in table:
        modules = [table["module_name"]]
        where = file.origin("tool", "dagster", "module_name")
    elif "modules" in table:
        modules, where = _modules(table["modules"]), file.origin("tool", "dagster", "modules")
    else:
        return None
    names = [module for module in modules if isinstance(module, str) and module.strip()]
    if not names or len(names) != len(modules):
        raise ProjectError(
            "`[tool.dagster]` names no module to load",
            where=where,
            remedy='Write module_name = "my_package.definitions"',
        )
    called = table.get("code_location_name")
    return Workspace(path, distinct(_location(str(called or name), name, path.parent, where) for name in names))


def _modules(value: object) -> list[object]:
    entries = value if isinstance(value, list) else []
    return [entry.get("name") for entry in entries if isinstance(entry, dict) and entry.get("type") == "module"]


def _location(name: str, module: str, directory: Path, where: Origin) -> Location:
    tree, notices = source_tree(name, directory, directory)
    return Location(
        name=name,
        tree=tree,
        code_source=("module_name", module),
        settings={"location_name": name, "code_source": {"module_name": module}},
        origin=where,
        lines={"code_source": where},
        notices=notices,
    )
