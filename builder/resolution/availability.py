"""What the indexes have of a distribution: which versions fit the target, or another platform."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from builder.errors import Origin
from builder.project.names import required_name
from builder.project.requirements import Requirements
from builder.project.requirements_txt import RequirementLine
from builder.resolution.indexes import Indexes
from builder.resolution.target import Target
from builder.resolution.uv_compile import run_compile
from builder.system import process

_OTHERS: Final = {
    "win32": ("x86_64-pc-windows-msvc", "Windows"),
    "darwin": ("aarch64-apple-darwin", "macOS"),
    "linux": ("x86_64-manylinux_2_40", "Linux"),
}
"""By `sys_platform`: a target triple of uv's, and the name that people use."""


@dataclass(frozen=True, slots=True)
class Availability:
    """What the project's indexes have for its target. Each question is a run of uv, with its own cache."""

    requirements: Requirements
    target: Target
    indexes: Indexes

    def newest(self, requirement: str, *, prereleases: bool = False) -> str | None:
        """The newest version with a wheel that meets a requirement; None if there is none."""
        return self._version(requirement, more=["--prerelease", "allow"] if prereleases else ())

    def nearest(self, name: str, version: str) -> str | None:
        """The version with a wheel that is next to `version`: the next above, or the last below."""
        above = self._version(f"{name}>{version}", more=["--resolution", "lowest"])
        return above or self._version(f"{name}<{version}")

    def only_platform(self, name: str) -> tuple[str, str] | None:
        """The one platform that has wheels of a distribution if the target's has none, or None.

        Returns its `sys_platform` and its name.
        """
        if self._version(name):
            return None
        for marker, (triple, called) in _OTHERS.items():
            if marker != self.target.markers["sys_platform"] and self._version(name, platform=triple):
                return marker, called
        return None

    def _version(self, requirement: str, *, more: Sequence[str] = (), platform: str = "") -> str | None:
        name = required_name(requirement)
        lines = self.requirements.lines
        index = next((line.index for line in lines if line.index and required_name(line.text) == name), None)
        line = RequirementLine(text=requirement, origin=Origin(Path()), index=index)
        alone = replace(self.requirements, lines=(line,), constraints=(), local_names=frozenset())
        # Without the first two, old versions would be built only to ask them for their metadata.
        options = ["--no-deps", "--only-binary", ":all:", "--format", "pylock.toml", "--no-annotate", *more]
        try:
            text = run_compile(alone, self.target, self.indexes, more=options, platform=platform).stdout
        except process.ProcessFailed:
            return None
        packages = tomllib.loads(text).get("packages", [])
        return next((str(package["version"]) for package in packages if "version" in package), None)
