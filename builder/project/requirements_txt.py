"""Reading a requirements.txt in pip's syntax: its lines, its options, and included files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builder.errors import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementLine:
    """One requirement or constraint of a requirements file.

    :param text: a PEP 508 requirement, a URL, or a path (relative to the project).
    :param hashes: as `sha256:…`; if any requirement in a file has hashes, pip requires them for all.
    :param editable: written with `-e`.
    :param constraint: written in a `-c` file: it limits the version, but does not require the distribution.
    :param index: its index in `[tool.uv.sources]`, as an entry of `[[tool.uv.index]]`.
    """

    text: str
    origin: Origin
    hashes: tuple[str, ...] = ()
    editable: bool = False
    constraint: bool = False
    index: Mapping[str, object] | None = field(default=None, hash=False, repr=False)

    @property
    def written(self) -> str:
        """The line with its hashes, in pip's syntax."""
        return " \\\n    ".join([self.text, *(f"--hash={value}" for value in self.hashes)])


@dataclass(frozen=True, slots=True)
class RequirementsFile:
    """A requirements file with all included files.

    :param lines: in the order of the file.
    :param options: index and binary options, one per string, in the syntax that pip and uv share; paths are
        absolute.
    """

    lines: tuple[RequirementLine, ...]
    options: tuple[str, ...]


def read_requirements_txt(path: Path) -> RequirementsFile:
    """Read a requirements file; raises ProjectError, with the line, if pip would refuse it."""
    # Importing pip's parser takes 160 ms, and most projects have a pyproject.toml.
    from builder.project.pip_requirements import parse_requirements_txt  # noqa: PLC0415

    return parse_requirements_txt(path)
