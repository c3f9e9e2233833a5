"""The metadata in a static setup.cfg, read without running setuptools."""

from __future__ import annotations

import configparser
from pathlib import Path

from builder.errors import Origin, ProjectError
from builder.project.metadata import Metadata, with_extra


def read_setup_cfg(directory: Path) -> Metadata | None:
    """The metadata in setup.cfg; None if there is none, or if it refers to files, which setuptools has to read."""
    path = directory / "setup.cfg"
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (configparser.Error, UnicodeDecodeError) as error:
        what = f"setup.cfg cannot be read: {str(error).splitlines()[0]}"
        raise ProjectError(what, where=Origin(path), remedy="Correct it") from error
    name = parser.get("metadata", "name", fallback="")
    required = parser.get("options", "install_requires", fallback="")
    extras = dict(parser.items("options.extras_require")) if parser.has_section("options.extras_require") else {}
    if not name or any(text.strip().startswith("file:") for text in (name, required, *extras.values())):
        return None
    requires = _listed(required)
    for extra, texts in extras.items():
        requires += [with_extra(text, extra) for text in _listed(texts)]
    requires_python = parser.get("options", "python_requires", fallback="")
    return Metadata(
        name=name, requires=tuple(requires), requires_python=requires_python, manifest=path, extras=tuple(extras)
    )


def _listed(value: str) -> list[str]:
    """A list as setuptools writes it: one item a line, or on one line with semicolons between."""
    items = value.splitlines() if "\n" in value else value.split(";")
    return [item.strip() for item in items if item.strip() and not item.strip().startswith("#")]
