"""The layout of `dg`: dg.toml, or `[tool.dg]` in pyproject.toml; build.yaml and container_context.yaml beside it.

The locations are those of `dg plus deploy` (`dagster_dg_cli.cli.utils`, `dagster_dg_core.context`), with one
difference: without a `directory` in build.yaml, a location is built from the project's own directory, never from
the root of its uv workspace.
"""

from __future__ import annotations

import os.path
import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.errors import Notice, Origin, ProjectError
from builder.project.bounds import check_build_directory
from builder.project.defaults import merge
from builder.project.lines import line_where
from builder.project.location import Location, SourceTree, Workspace, distinct
from builder.project.manifest import source_tree
from builder.project.toml_file import TomlFile
from builder.project.workspace_file import build_directory, image_notice, registry_of, unknown_key, unknown_keys
from builder.project.yaml_file import YamlFile
from builder.system.git import find_repository

_EXAMPLE: Final = """Write at least:
{table}directory_type = "project"
[{prefix}project]
root_module = "my_project\""""


def _example(path: Path) -> str:
    """An example of what a project must declare, in the syntax of its file."""
    if path.name == "dg.toml":
        return _EXAMPLE.format(table="", prefix="")
    return _EXAMPLE.format(table="[tool.dg]\n", prefix="tool.dg.")


def find_dg_config(directory: Path) -> Origin | None:
    """The file that declares a directory as a project or workspace of `dg`; dg.toml hides pyproject.toml."""
    for name in ("dg.toml", "pyproject.toml"):
        if (directory / name).is_file():
            config = _Config.load(directory / name)
            if config.file.table(*config.prefix):
                return config.origin()
    return None


def read_dg_workspace(path: Path) -> Workspace:
    """Read the location of a `dg` project, or those of a `dg` workspace.

    :param path: a dg.toml, or a pyproject.toml with a `[tool.dg]`; absolute.

    Raises ProjectError, with file and line, for anything in it that cannot be right.
    """
    config = _Config.load(path)
    if not config.file.table(*config.prefix):
        what = "is empty" if path.name == "dg.toml" else "has no `[tool.dg]`"
        raise ProjectError(f"`{path.name}` {what}", where=Origin(path), remedy=_example(path))
    kind = config.kind()
    if kind == "project":
        return Workspace(path, (_location(config, None),))
    if kind == "workspace":
        return Workspace(path, distinct(_locations(config)), tuple(_repeated(config)))
    raise ProjectError(
        f"`{config.key('directory_type')}` is neither `project` nor `workspace`",
        where=config.origin() if kind is None else config.origin("directory_type"),
        remedy=_example(path),
    )


@dataclass(frozen=True, slots=True)
class _Config:
    """The part of a TOML file that `dg` reads.

    :param prefix: the keys of its table.
    """

    file: TomlFile
    prefix: tuple[str, ...]

    @classmethod
    def load(cls, path: Path) -> _Config:
        return cls(TomlFile.load(path), () if path.name == "dg.toml" else ("tool", "dg"))

    @property
    def directory(self) -> Path:
        return self.file.path.parent

    def kind(self) -> object:
        return self.file.table(*self.prefix).get("directory_type")

    def origin(self, *keys: str) -> Origin:
        return self.file.origin(*self.prefix, *keys)

    def key(self, *keys: str) -> str:
        return ".".join((*self.prefix, *keys))

    def text(self, key: str) -> str | None:
        """A text of the table `project`; None if it is not there."""
        value = self.file.table(*self.prefix, "project").get(key)
        if value is None or (isinstance(value, str) and value.strip()):
            return value
        raise ProjectError(
            f"`{self.key('project', key)}` is not a text",
            where=self.origin("project", key),
            remedy=f'Write {key} = "…"',
        )


def _locations(workspace: _Config) -> Iterator[Location]:
    """The locations of a workspace in the order of their declaration."""
    declared = workspace.file.table(*workspace.prefix, "workspace").get("projects")
    key, where = workspace.key("workspace", "projects"), workspace.origin("workspace", "projects")
    remedy = f'Write for each project:\n[[{key}]]\npath = "projects/my-project"'
    if not isinstance(declared, list) or not declared:
        raise ProjectError(f"`{key}` is not a list of projects", where=where, remedy=remedy)
    seen: set[str] = set()
    for index, entry in enumerate(declared):
        path = entry.get("path") if isinstance(entry, dict) else None
        if not isinstance(path, str):
            raise ProjectError(f"`{key}[{index}]` has no `path`", where=where, remedy=remedy)
        if (normal := posixpath.normpath(path)) in seen:
            continue
        seen.add(normal)
        try:
            yield _location(_project(workspace, path, where), workspace.directory)
        except ProjectError as error:
            name = posixpath.basename(posixpath.normpath(path))
            yield Location.unusable(name, workspace.directory, where, error)


def _repeated(workspace: _Config) -> Iterator[Notice]:
    """A notice for each project that a workspace lists more than once; `dg` would build it each time."""
    entries = workspace.file.table(*workspace.prefix, "workspace").get("projects")
    paths = (
        [str(entry.get("path")) for entry in entries if isinstance(entry, dict)]
        if isinstance(entries, list)
        else []
    )
    for path, times in Counter(map(posixpath.normpath, paths)).items():
        if times > 1:
            written = [text for text in paths if posixpath.normpath(text) == path]
            where = _listing(written[-1], workspace.origin("workspace", "projects"))
            yield Notice(f"the workspace lists the project `{path}` {times} times; list it once", where)


def _project(workspace: _Config, path: str, where: Origin) -> _Config:
    directory = Path(os.path.normpath(workspace.directory / path))
    check_build_directory(directory, workspace.directory, path, where)
    if not directory.is_dir():
        kind = "is not a directory" if directory.exists() else "does not exist"
        pattern = "; `dg` takes no patterns" if "*" in path else ""
        raise ProjectError(
            f"the project `{directory}` of the workspace {kind}",
            where=_listing(path, where),
            remedy=f"Correct `{path}`; it is relative to `{workspace.directory}`{pattern}",
        )
    declared = find_dg_config(directory)
    project = _Config.load(declared.path) if declared else None
    if project is None or project.kind() != "project":
        raise ProjectError(
            f"`{directory}` is listed as a project of the workspace, but does not declare itself one",
            where=declared or _listing(path, where),
            remedy=_example(declared.path if declared else directory / "pyproject.toml"),
        )
    return project


def _listing(path: str, nearest: Origin) -> Origin:
    """The first line with a path in quotes: entries of a list have no keys to search for."""
    origin = line_where(nearest.path, lambda line: f'"{path}"' in line or f"'{path}'" in line)
    return origin if origin.line else nearest


def _location(project: _Config, workspace: Path | None) -> Location:
    """The location of a project; without `workspace` it is deployed by itself."""
    name = project.text("code_location_name") or project.directory.name
    builds = [_read_build(directory, name) for directory in (workspace, project.directory) if directory]
    build = {key: value for below in builds for key, (value, _) in below.items()}
    origins = {key: origin for below in builds for key, (_, origin) in below.items()}
    source, declared = _code_source(project)
    settings: dict[str, object] = {"location_name": name, "code_source": dict([source])}
    settings |= _container_context(project.directory, workspace)
    settings |= {key: value for key in ("agent_queue", "image") if (value := project.text(key)) is not None}
    if (defs := _defs_path(project)) is not None:
        settings["git"] = {"defs_base_path": defs}
    where = project.origin("project")
    here, notices = source_tree(name, project.directory, workspace or project.directory)
    directory = Path(str(build.get("directory", project.directory)))
    registry = registry_of(build, name, origins.get("registry", where))
    if registry is None and "image" in settings:
        notices += (image_notice(name, project.origin("project", "image")),)
    notices += tuple(unknown_key(key, name, origins[key]) for key in unknown_keys(build))
    return Location(
        name=name,
        tree=SourceTree(directory, here.project),
        code_source=source,
        settings=settings,
        origin=where,
        lines={"code_source": declared},
        registry=registry,
        notices=notices,
    )


def _defs_path(project: _Config) -> str | None:
    """Where components made in Dagster's web page are committed, relative to the repository, as in `dg`.

    Source: `dagster_dg_cli.cli.plus.deploy.deploy_session._repo_relative_defs_path`.
    """
    repository = find_repository(project.directory)
    root = project.text("root_module")
    given = project.text("defs_module")
    if repository is None or root is None:
        return None
    base = project.directory / "src" if (project.directory / "src").is_dir() else project.directory
    for module in [given] if given else [f"{root}.defs", f"{root}.definitions"]:
        directory = Path(os.path.realpath(base.joinpath(*module.split("."))))
        if directory.is_dir() and directory.is_relative_to(repository):
            return directory.relative_to(repository).as_posix()
    return None


def _code_source(project: _Config) -> tuple[tuple[str, str], Origin]:
    """The code source, and where it is declared."""
    root = project.text("root_module")
    if root is None:
        raise ProjectError(
            f"`{project.key('project')}` has no `root_module`",
            where=project.origin("project"),
            remedy=_example(project.file.path),
        )
    target = project.text("code_location_target_module")
    # Earlier releases of dg accept it; later ones refuse it.
    autoload = project.file.table(*project.prefix, "project").get("autoload_defs")
    if autoload is True and target is None:
        given = project.text("defs_module")
        where = project.origin("project", "defs_module" if given else "root_module")
        return ("autoload_defs_module_name", given or f"{root}.defs"), where
    where = project.origin("project", "code_location_target_module" if target else "root_module")
    return ("module_name", target or f"{root}.definitions"), where


def _read_build(directory: Path, name: str) -> dict[str, tuple[object, Origin]]:
    """The values of a build.yaml with their lines, its `directory` absolute; empty where there is none."""
    document = _read_yaml(directory / "build.yaml")
    if document is None:
        return {}
    values = document.mapping((), "build.yaml", "Write `directory: .` or `registry: example.org/images`")
    settings = {key: (value, document.origin(key)) for key, value in values.items() if value is not None}
    if "directory" in settings:
        value, where = settings["directory"]
        settings["directory"] = (build_directory(value, directory, name, where), where)
    return settings


def _container_context(directory: Path, workspace: Path | None) -> Mapping[str, object]:
    merged: dict[str, object] = {}
    for place in (workspace, directory):
        document = _read_yaml(place / "container_context.yaml") if place else None
        if document is not None:
            values = document.mapping((), "container_context.yaml", "Write it as a mapping, such as `k8s: {}`")
            merged = merge(merged, {"container_context": values})
    return merged


def _read_yaml(path: Path) -> YamlFile | None:
    document = YamlFile.load(path) if path.is_file() else None
    return document if document and document.node else None
