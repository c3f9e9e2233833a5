"""A requirements.txt in pip's syntax: its lines, its options, and all that it includes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builder.errors import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementLine:
    """One requirement or constraint of a requirements file.

    :param text: what pip would install: PEP 508, a URL, or a path (relative ones are relative to the project).
    :param hashes: as `sha256:…`; if there are any in a file, pip demands them of every requirement.
    :param editable: written with `-e`.
    :param constraint: written in a `-c` file: it limits a version, but asks for nothing.
    :param index: the index that `[tool.uv.sources]` takes it from, as an entry of `[[tool.uv.index]]`.
    """

    text: str
    origin: Origin
    hashes: tuple[str, ...] = ()
    editable: bool = False
    constraint: bool = False
    index: Mapping[str, object] | None = field(default=None, hash=False, repr=False)

    @property
    def written(self) -> str:
        """The line with its hashes, as pip reads it."""
        return " \\\n    ".join([self.text, *(f"--hash={value}" for value in self.hashes)])


@dataclass(frozen=True, slots=True)
class RequirementsFile:
    """A requirements file with everything that it includes.

    :param lines: in the order of the file.
    :param options: index and binary options, one per text, in the syntax that pip and uv share; paths absolute.
    """

    lines: tuple[RequirementLine, ...]
    options: tuple[str, ...]


def read_requirements_txt(path: Path) -> RequirementsFile:
    """Read a requirements file; raises ProjectError, with the line, for what pip would refuse."""
    # Pip's parser takes 160 ms to import, and most projects have a pyproject.toml.
    from builder.project.pip_requirements import parse_requirements_txt  # noqa: PLC0415

    return parse_requirements_txt(path)
