"""The target of a build: the Python version and complete platform of the receiving server."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Final

from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

from builder.errors import Origin, TargetError, UsageError

PYTHON_VERSIONS: Final = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
"""The Python versions of Dagster Cloud's serverless base images."""

DEFAULT_PYTHON_VERSION: Final = "3.11"

IMAGE_PLATFORMS: Final[Mapping[str, str]] = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
"""The supported platforms of images, with Python's name of the machine."""

# The glibc minor versions for which uv has a target triple; resolution uses the nearest one below the target's.
_UV_MANYLINUX: Final = (17, 28, *range(31, 41))

_MARKER_KEYS: Final = ("python_version", "sys_platform", "platform_machine")


@dataclass(frozen=True)
class Target:
    """A Python version and a complete platform, as printed by `pex3 interpreter inspect --markers --tags`.

    :param python_version: such as "3.11".
    :param markers: the PEP 508 marker environment of the target.
    :param tag_names: the PEP 425 tags that the target accepts, most preferred first.
    """

    python_version: str
    markers: Mapping[str, str]
    tag_names: tuple[str, ...]

    @cached_property
    def tags(self) -> list[Tag]:
        """The accepted tags, parsed, most preferred first."""
        return [Tag(*name.split("-", 2)) for name in self.tag_names]

    @property
    def description(self) -> str:
        """The target as shown to users: `Python 3.11 on linux x86_64`."""
        return f"Python {self.python_version} on {self.markers['sys_platform']} {self.markers['platform_machine']}"

    @property
    def is_serverless(self) -> bool:
        """Whether it is one of Dagster Cloud's serverless base images."""
        return self.python_version in PYTHON_VERSIONS and self == serverless_target(self.python_version)

    @cached_property
    def glibc(self) -> tuple[int, int] | None:
        """The newest glibc version in the tags; None if the target is not a glibc Linux."""
        levels = (re.fullmatch(r".*-manylinux_(\d+)_(\d+)_\w+", name) for name in self.tag_names)
        return max(((int(level[1]), int(level[2])) for level in levels if level), default=None)

    @cached_property
    def uv_platform(self) -> str:
        """The target triple for uv: the one with the highest glibc version that the target has."""
        machine = {"arm64": "aarch64", "AMD64": "x86_64"}.get(self.markers["platform_machine"])
        machine = machine or self.markers["platform_machine"]
        if self.markers["sys_platform"] == "darwin":
            return f"{machine}-apple-darwin"
        if self.glibc is None:
            return f"{machine}-unknown-linux-musl"
        usable = [level for level in _UV_MANYLINUX if (2, level) <= self.glibc]
        return f"{machine}-manylinux_2_{usable[-1]}" if usable else f"{machine}-unknown-linux-gnu"

    def accepts(self, wheel_name: str) -> bool:
        """Whether a wheel of this file name can be installed on the target (PEP 425)."""
        return not parse_wheel_filename(wheel_name)[3].isdisjoint(self.tags)


def serverless_target(python_version: str) -> Target:
    """The target of Dagster Cloud's serverless image for a Python version; raises UsageError if none exists."""
    if python_version not in PYTHON_VERSIONS:
        nearest = re.match(r"(?:python|py|cp)?-?(3)\.?(\d{1,2})", python_version)
        guess = f"{nearest[1]}.{nearest[2]}" if nearest else DEFAULT_PYTHON_VERSION
        guess = guess if guess in PYTHON_VERSIONS else DEFAULT_PYTHON_VERSION
        raise UsageError(
            f"`{python_version}` is not a Python version that Dagster Cloud's serverless base images have",
            remedy=f"Write one of {', '.join(PYTHON_VERSIONS)}, such as --python-version {guess}",
        )
    name = f"cp{python_version.replace('.', '')}-linux-x86_64.json"
    source = resources.files("builder.resolution") / "platforms" / name
    return _parse(json.loads(source.read_text(encoding="utf-8")))


def platform_target(platform: str, python_version: str) -> Target:
    """The target of an image for a platform such as `linux/arm64`, with the glibc of the serverless images.

    Raises UsageError for an unsupported platform or Python version.
    """
    machine = IMAGE_PLATFORMS.get(platform)
    if machine is None:
        raise UsageError(
            f"no image can be built for `{platform}`", remedy=f"Choose from {', '.join(sorted(IMAGE_PLATFORMS))}"
        )
    known = serverless_target(python_version)
    return Target(
        known.python_version,
        {**known.markers, "platform_machine": machine},
        tuple(tag.replace("x86_64", machine) for tag in known.tag_names),
    )


def named_platforms(given: Sequence[str]) -> tuple[tuple[str, ...], Path | None]:
    """The values of a repeatable `--platform`: names such as `linux/arm64`, also with commas, or one file.

    Raises UsageError for a mixture, and for several files.
    """
    names = tuple(dict.fromkeys(name for value in given for name in value.split(",")))
    if all(name in IMAGE_PLATFORMS for name in names):
        return names, None
    if len(given) == 1 and not (given[0].startswith("linux/") and not Path(given[0]).exists()):
        return (), Path(given[0])
    wrong = next(name for name in names if name not in IMAGE_PLATFORMS)
    raise UsageError(
        f"`{wrong}` is not a platform that images can be built for",
        remedy=f"Give {', '.join(sorted(IMAGE_PLATFORMS))}, or both with a comma; or one complete-platform file",
    )


def chosen_target(python_version: str | None, platform: Path | None) -> Target | None:
    """The target selected by `--python-version` or `--platform`; None without them.

    Raises UsageError or TargetError.
    """
    if platform is None:
        return serverless_target(python_version) if python_version is not None else None
    target = read_target(platform)
    if python_version is not None and python_version != target.python_version:
        raise UsageError(
            f"--python-version {python_version} contradicts --platform, which is Python {target.python_version}'s",
            remedy="Give only one of the two",
        )
    return target


def read_target(path: Path) -> Target:
    """Read a target from a complete-platform file; raises TargetError if it is invalid."""
    remedy = "Make the file on the target machine with `pex3 interpreter inspect --markers --tags`"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TargetError(f"the platform file `{path}` does not exist", remedy=remedy) from None
    except (OSError, UnicodeDecodeError) as error:
        raise TargetError(f"the platform file `{path}` cannot be read: {error}", remedy=remedy) from error
    except json.JSONDecodeError as error:
        where = Origin(path, error.lineno)
        raise TargetError(f"the platform file is not JSON: {error.msg}", where=where, remedy=remedy) from error
    except (ValueError, RecursionError) as error:
        raise TargetError(f"the platform file is not JSON: {error}", where=Origin(path), remedy=remedy) from error
    try:
        return _parse(document)
    except (TypeError, ValueError) as error:
        what = f"the platform file is not a complete platform: {error}"
        raise TargetError(what, where=Origin(path), remedy=remedy) from error


def _parse(document: object) -> Target:
    """Validate a complete platform; raises ValueError or TypeError with what is missing."""
    if not isinstance(document, dict):
        message = "it is not a mapping"
        raise TypeError(message)
    markers, tags = document.get("marker_environment"), document.get("compatible_tags")
    if not isinstance(markers, dict) or not all(isinstance(value, str) for value in markers.values()):
        message = "`marker_environment` is not a mapping of texts"
        raise TypeError(message)
    missing = [key for key in _MARKER_KEYS if not markers.get(key)]
    if missing:
        message = f"`marker_environment` lacks `{missing[0]}`"
        raise ValueError(message)
    if not isinstance(tags, list) or not tags or not all(isinstance(t, str) and t.count("-") >= 2 for t in tags):
        message = "`compatible_tags` is not a list of tags"
        raise TypeError(message)
    # These two describe the kernel of one machine, not the target, but markers need a value to compare with.
    complete = {"platform_release": "", "platform_version": "", **markers}
    return Target(markers["python_version"], complete, tuple(tags))
