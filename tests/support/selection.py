"""Short ways of asking what is packed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from builder.project.files import Selection, select_files

Write = Callable[..., Path]
"""`write(*names, text=…)` writes files of the project under test and returns the path of the last."""


def writer(directory: Path) -> Write:
    """What writes files below a directory."""

    def write(*names: str, text: str = "x") -> Path:
        for name in names:
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return directory / names[-1]

    return write


PRIVATE_KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\n"


def select(
    directory: Path, *include: str, out_dir: Path | None = None, respect_gitignore: bool = False
) -> Selection:
    return select_files(directory, include=include, respect_gitignore=respect_gitignore, out_dir=out_dir)


def names(directory: Path, *include: str, out_dir: Path | None = None) -> list[str]:
    return [file.name for file in select(directory, *include, out_dir=out_dir).files]


def texts(selection: Selection) -> list[str]:
    return [notice.text for notice in selection.notices]
