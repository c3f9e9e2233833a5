"""Finding files that git ignores, with the line of the deciding rule."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from builder.project.patterns import Line
from builder.system import git


def ignored_by_git(repository: str, paths: Collection[str]) -> dict[str, Line]:
    """The `paths` (real paths below `repository`) that git ignores, each with the deciding line.

    A file that is in the index is not ignored, whatever the ignore files say. Raises ToolError if git is missing
    or cannot answer.
    """
    start = len(repository.rstrip("/")) + 1
    # git refuses to check paths in its own directory.
    asked = [name for path in paths if ".git" not in (name := path[start:]).split("/")]
    if not asked:
        return {}
    with git.open_repository(Path(repository)) as opened:
        command = ("check-ignore", "--stdin", "-z", "--verbose")
        # 1: none is ignored.
        finished = opened.run(*command, directory=Path(repository), stdin="\0".join(asked) + "\0", also=1)
    fields = iter(finished.stdout.split("\0"))
    return {
        f"{repository.rstrip('/')}/{name}": Line(file, int(number))
        for file, number, pattern, name in zip(fields, fields, fields, fields, strict=False)
        # git prints the deciding pattern, even if it re-includes the file.
        if not pattern.startswith("!")
    }
