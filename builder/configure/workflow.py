"""The workflow for a workspace: what is read of the project, and where the file goes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from builder.configure import github, gitlab
from builder.configure.settings import DbtProject, Settings
from builder.errors import Notice, Origin, ProjectError, UsageError
from builder.project.dbt_manifest import COMPONENT
from builder.project.location import Location
from builder.project.workspace import read_workspace
from builder.system import git, process, storage
from builder.terminal.console import console

_TEXTS: Final = {"github": github.text, "gitlab": gitlab.text}
_FILES: Final = {"github": ".github/workflows/deploy.yml", "gitlab": ".gitlab-ci.yml"}

_PLAIN: Final = re.compile(r"[A-Za-z0-9._/-]+")
"""Texts that mean themselves in YAML and in a shell."""

_DBT_DEPTH: Final = 4


def configure(
    provider: str,
    workspace: Path,
    *,
    deployment: str,
    organization: str | None,
    python_version: str | None,
    split: bool,
    stdout: bool,
) -> None:
    """Write the workflow, or print it; raises ProjectError, UsageError, StorageError."""
    for name, value in {
        "deployment": deployment,
        "organization": organization,
        "python-version": python_version,
    }.items():
        if value is not None and not _PLAIN.fullmatch(value):
            raise UsageError(
                f"--{name}: `{value}` is no such name", remedy="Give its name as Dagster Cloud shows it"
            )
    workspace = Path(os.path.realpath(workspace))
    read = read_workspace(workspace)
    root = git.find_repository(workspace if workspace.is_dir() else workspace.parent)
    if root is None:
        raise ProjectError(
            f"`{workspace}` is in no git repository",
            remedy="Run `git init` in the directory that is to be pushed; its root is where the workflow belongs",
        )
    path = workspace.relative_to(root).as_posix()
    if not _PLAIN.fullmatch(path):
        raise ProjectError(f"the path `{path}` has characters that a workflow cannot hold", remedy="Rename it")
    settings = Settings(
        workspace=path,
        branch=_default_branch(root),
        deployment=deployment,
        organization=organization,
        python_version=python_version,
        split=split,
        dbt=tuple(_dbt_projects(root, read.locations)),
    )
    _put(root / _FILES[provider], _TEXTS[provider](settings), stdout=stdout)


def _put(file: Path, text: str, *, stdout: bool) -> None:
    if stdout:
        console.result(text.rstrip("\n"))
        return
    if file.exists() and file.read_text(encoding="utf-8") != text:
        raise UsageError(
            f"`{file}` is there, and is another workflow",
            remedy="Move it away first, or print the new one with `--stdout` and merge the two",
        )
    storage.make_directory(file.parent)
    with storage.atomic_write(file) as stream:
        stream.write(text.encode())
    console.result(str(file))
    console.notices(
        [
            Notice(
                "write the owner of the builder for OWNER, and set the variable DAGSTER_CLOUD_ORGANIZATION "
                "of your repository (unless the file has it) and its secret DAGSTER_CLOUD_API_TOKEN",
                Origin(file),
            )
        ]
    )


def _default_branch(root: Path) -> str:
    """The branch whose pushes go to the full deployment: that of the remote, else the one that is checked out."""
    with git.open_repository(root) as repository:
        for reference in ("refs/remotes/origin/HEAD", "HEAD"):
            try:
                reference_name = repository.run("symbolic-ref", "--quiet", reference, also=1).stdout.strip()
            except process.ProcessFailed:
                continue
            if reference_name:
                branch = reference_name.removeprefix("refs/remotes/origin/").removeprefix("refs/heads/")
                return branch if _PLAIN.fullmatch(branch) else "main"
    return "main"


def _dbt_projects(root: Path, locations: tuple[Location, ...]) -> list[DbtProject]:
    """The dbt projects whose manifest CI has to make; those of components are prepared by the deploy itself."""
    projects = {}
    for location in locations:
        directory = location.tree.directory
        if location.problem is not None or not directory.is_relative_to(root):
            continue
        if any(COMPONENT.search(path.read_bytes()) for path in _files(directory, "defs.yaml")):
            continue
        for path in _files(directory, "dbt_project.yml"):
            dbt = path.parent
            names = [dbt.relative_to(root).as_posix(), location.tree.project.relative_to(root).as_posix()]
            if all(_PLAIN.fullmatch(name) for name in names):
                projects[names[0]] = DbtProject(*names)
    return [projects[name] for name in sorted(projects)]


def _files(directory: Path, wanted: str) -> list[Path]:
    """The files of this name, but for those in hidden directories and in packages that dbt installed."""
    paths = []
    for parent, directories, names in os.walk(directory):
        depth = len(Path(parent).relative_to(directory).parts)
        directories[:] = [name for name in directories if not name.startswith(".") and name != "dbt_packages"]
        if depth >= _DBT_DEPTH * 2:
            directories.clear()
        if wanted in names:
            paths.append(Path(parent) / wanted)
    return paths
