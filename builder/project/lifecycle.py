"""Warnings about scripts that Dagster Cloud's Docker builds run, and the builder cannot."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from builder.errors import Notice, Origin

_SCRIPTS: Final = ("dagster_cloud_pre_install.sh", "dagster_cloud_post_install.sh")


def lifecycle_scripts(directories: Iterable[Path]) -> tuple[Path, ...]:
    """The scripts in these directories; each directory is looked at once."""
    paths = (directory / name for directory in dict.fromkeys(directories) for name in _SCRIPTS)
    return tuple(path for path in paths if path.is_file())


def lifecycle_notices(directories: Iterable[Path]) -> tuple[Notice, ...]:
    """What to say of the scripts in these directories, of which PEX files are built."""
    text = "this script is not run: a PEX build installs nothing on the server and runs no scripts of the project"
    return tuple(Notice(text, Origin(path)) for path in lifecycle_scripts(directories))
