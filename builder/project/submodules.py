"""Whether a git repository inside another one is its submodule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from builder.errors import Notice, ToolError
from builder.system import git


def is_foreign(directory: str, repository: str | None) -> bool:
    """Whether a directory with a `.git` in it is a checkout of its own, no submodule of the repository around it.

    :param repository: the one around it; without one there is nothing that it could be foreign to.

    What `dbt deps` clones into a dbt project is a part: the project does not run without. Where git gives no
    answer it counts as one too: a file too many does less harm than one too few.
    """
    if repository is None or not _is_repository(Path(directory, ".git")):
        return False
    if _is_dbt_project(Path(directory)) and any(map(_is_dbt_project, _between(directory, repository))):
        return False
    name = directory[len(repository.rstrip("/")) + 1 :]
    try:
        with git.open_repository(Path(repository)) as opened:
            finished = opened.run("ls-files", "--stage", "-z", "--", f":(literal){name}")
    except ToolError:
        return False
    # The index knows a submodule as a commit, and nothing below it.
    return not finished.stdout.startswith("160000 ")


def foreign_notice(name: str) -> Notice:
    """A nested repository that was left out; `name` ends with a slash."""
    return Notice(
        f"`{name}` was left out: it is a git repository of its own, and no submodule; if the code needs it, write"
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
