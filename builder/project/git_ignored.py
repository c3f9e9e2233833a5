"""Which files git would ignore, in git's own words."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from builder.system import process

# Set while git runs a hook, and then they would redirect our question to another repository.
REDIRECTING = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
}
"""Variables of git which say that the repository is another."""

_PATIENCE = 60.0


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
    env = {name: value for name, value in process.clean_environment().items() if name not in REDIRECTING}
    # In a container the checkout often belongs to another user, which git takes for an attack.
    argv = ["git", "-c", "safe.directory=*", "check-ignore", "--stdin", "-z"]
    finished = process.run(
        argv, env=env, cwd=Path(repository), stdin="\0".join(asked) + "\0", timeout=_PATIENCE, check=False
    )
    # 0: some are ignored; 1: none is.
    if finished.code not in (0, 1):
        raise process.ProcessFailed(finished.argv, finished.code, finished.stdout, finished.stderr)
    answer = finished.stdout.split("\0")
    return frozenset(f"{repository.rstrip('/')}/{name}" for name in answer if name)
