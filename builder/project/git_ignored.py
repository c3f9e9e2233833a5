"""Which files git would ignore, in git's own words."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from builder.system import git


def ignored_by_git(repository: str, paths: Collection[str]) -> frozenset[str]:
    """Those of `paths` (real ones, below `repository`) that git ignores.

    A file that is in the index is not ignored, whatever the ignore files say. Raises ToolError if git is missing
    or cannot answer.
    """
    start = len(repository.rstrip("/")) + 1
    # git refuses to say anything of its own directory.
    asked = [name for path in paths if ".git" not in (name := path[start:]).split("/")]
    if not asked:
        return frozenset()
    with git.open_repository(Path(repository)) as opened:
        # 1: none is ignored.
        finished = opened.run(
            "check-ignore", "--stdin", "-z", directory=Path(repository), stdin="\0".join(asked) + "\0", also=1
        )
    answer = finished.stdout.split("\0")
    return frozenset(f"{repository.rstrip('/')}/{name}" for name in answer if name)
