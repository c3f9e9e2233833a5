"""Whether a repository or working copy inside a git repository is part of it, as a submodule is."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from builder.errors import Notice, ToolError
from builder.system import git

_OTHER_COPIES: Final = {".bzr": "Bazaar", ".hg": "Mercurial", ".jj": "Jujutsu", ".svn": "Subversion"}
_BARE: Final = {"HEAD", "objects", "refs"}


def foreign_kind(directory: str, repository: str | None, names: Collection[str]) -> str | None:
    """The kind of a nested repository that is not part of the outer one; None for any other directory.

    :param repository: the outer one; without one, nothing is foreign.
    :param names: of the entries of the directory.

    Packages that `dbt deps` clones into a dbt project are part of it, since it does not run without them. If git
    fails, a directory also counts as a part: an additional file does less harm than a missing one.
    """
    kinds = [f"a working copy of {name}" for entry, name in _OTHER_COPIES.items() if entry in names]
    if ".git" in names and _is_repository(Path(directory, ".git")):
        kinds = ["a git repository of its own, and no submodule"]
    elif set(names) >= _BARE and Path(directory, "HEAD").is_file():
        kinds = ["a bare git repository"]
    if repository is None or not kinds:
        return None
    if _is_dbt_project(Path(directory)) and any(map(_is_dbt_project, _between(directory, repository))):
        return None
    name = directory[len(repository.rstrip("/")) + 1 :]
    try:
        with git.open_repository(Path(repository)) as opened:
            finished = opened.run("ls-files", "--stage", "-z", "--", f":(literal){name}")
    except ToolError:
        return None
    # A submodule is in the index as a commit, without its files. The index may have the files of other kinds.
    belongs = finished.stdout.startswith("160000 ") if ".git" in names else bool(finished.stdout)
    return None if belongs else kinds[0]


def foreign_notice(name: str, kind: str) -> Notice:
    """The notice about an excluded nested repository; `name` ends with a slash."""
    return Notice(
        f"`{name}` was left out: it is {kind}; if the code needs it, write"
        f' include = ["{name}"] under [tool.builder]'
    )


def _between(directory: str, repository: str) -> Iterator[Path]:
    """The directories above one, up to the root of its repository."""
    for parent in Path(directory).parents:
        yield parent
        if str(parent) == repository:
            return


def _is_dbt_project(directory: Path) -> bool:
    return (directory / "dbt_project.yml").is_file()


def _is_repository(path: Path) -> bool:
    return path.is_file() or (path / "HEAD").is_file()
