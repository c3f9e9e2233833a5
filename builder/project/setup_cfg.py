"""The metadata in a static setup.cfg, read without running setuptools."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Final

from builder.errors import Origin, ProjectError
from builder.project.limited_text import read_limited
from builder.project.metadata import Metadata, check_requirements, with_extra

_MOST_BYTES: Final = 500_000
"""The same limit as for pyproject.toml."""


def read_setup_cfg(directory: Path) -> Metadata | None:
    """The metadata in setup.cfg; None without one, or if it refers to files, which only setuptools can read."""
    path = directory / "setup.cfg"
    if not path.exists():
        return None
    parser = parse_setup_cfg(path)
    name = parser.get("metadata", "name", fallback="")
    required = parser.get("options", "install_requires", fallback="")
    extras = dict(parser.items("options.extras_require")) if parser.has_section("options.extras_require") else {}
    if not name or any(text.strip().startswith("file:") for text in (name, required, *extras.values())):
        return None
    requires = _listed(required)
    check_requirements(requires, "install_requires", path)
    for extra, texts in extras.items():
        check_requirements(_listed(texts), extra, path)
        requires += [with_extra(text, extra) for text in _listed(texts)]
    requires_python = parser.get("options", "python_requires", fallback="")
    return Metadata(
        name=name, requires=tuple(requires), requires_python=requires_python, manifest=path, extras=tuple(extras)
    )


def parse_setup_cfg(path: Path) -> configparser.ConfigParser:
    """The sections of a setup.cfg; raises ProjectError for one that cannot be read."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    text = read_limited(path, _MOST_BYTES)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        what = f"setup.cfg cannot be read: {str(error).splitlines()[0]}"
        raise ProjectError(what, where=Origin(path), remedy="Correct it") from error
    return parser


def _listed(value: str) -> list[str]:
    """A list in setuptools' syntax: one item per line, or on one line with semicolons."""
    items = value.splitlines() if "\n" in value else value.split(";")
    return [item.strip() for item in items if item.strip() and not item.strip().startswith("#")]
