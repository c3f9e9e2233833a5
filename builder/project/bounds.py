"""The boundary of a project: paths must not lead out of its git repository.

A pull request can write the project's files, but not choose what else lies on the machine that builds it. Paths on
the command line, and in a workspace file outside any repository, come from the user and are not checked.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from builder.errors import Origin, ProjectError
from builder.system.git import find_repository


def check_build_directory(directory: Path, base: Path, name: str, where: Origin) -> None:
    """Raise ProjectError for a build directory outside the repository, also if a symlink leads there.

    :param base: the directory of the file that declares it.
    :param name: of the location.
    """
    if (repository := find_repository(base)) and not _within(directory, repository):
        raise ProjectError(
            f"the build directory of location `{name}`, `{os.path.realpath(directory)}`, is outside the git"
            f" repository `{repository}`",
            where=where,
            remedy="Put it into the repository, or build from a workspace file that is in no repository",
        )


def check_working_directory(directory: Path, base: Path, name: str, where: Origin) -> None:
    """Raise ProjectError for a working directory outside the repository.

    :param base: the build directory.
    :param name: of the location.
    """
    if (repository := find_repository(base)) and not _within(directory, repository):
        raise ProjectError(
            f"the `working_directory` of location `{name}`, `{os.path.realpath(directory)}`, is outside the git"
            f" repository `{repository}`",
            where=where,
            remedy=f"Correct it; it is relative to the build directory, `{base}`",
        )


def check_includes(directory: Path, names: Iterable[str], where: Origin) -> None:
    """Raise ProjectError for a path outside the repository in `include` of `[tool.builder]`.

    :param directory: what the names are relative to.
    """
    repository = find_repository(directory)
    for name in names:
        if repository and not _within(directory / name, repository):
            raise ProjectError(
                f"`include` names `{name}`, which is outside the git repository `{repository}`",
                where=where,
                remedy=f"Put it into the repository, or name it on the command line: --include {name}",
            )


def check_requirements_file(path: Path, repository: Path | None, where: Origin) -> None:
    """Raise ProjectError for a requirements file outside the repository: errors quote lines of it.

    :param repository: that of the project, if it is in one.
    """
    if repository and not _within(path, repository):
        raise ProjectError(
            f"the requirements file `{os.path.realpath(path)}` is outside the git repository `{repository}`",
            where=where,
            remedy="Put it into the repository; constraints of this machine belong into PIP_CONSTRAINT",
        )


def _within(path: Path, repository: Path) -> bool:
    # First by its text, as it is packed: `..` after a symlink's name is the directory that contains the symlink.
    return Path(os.path.realpath(os.path.normpath(path))).is_relative_to(repository)
