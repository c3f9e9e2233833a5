"""Options that several doors share, and how they read a target."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

from builder import words
from builder.errors import ProjectError, UsageError

if TYPE_CHECKING:
    from builder.resolution.target import Target

_P = ParamSpec("_P")
_R = TypeVar("_R")

project_argument = click.argument("project_dir", type=click.Path(path_type=Path))
out_argument = click.argument("out_dir", type=click.Path(path_type=Path))
size = words.size

env_option = click.option(
    "--env",
    "variables",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Give the code this variable when it is loaded here, even if it is a secret; may be repeated.",
)


def target_options(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give a door the options `--python-version` and `--platform`."""
    command = click.option(
        "--platform",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="A complete platform, as `pex3 interpreter inspect --markers --tags` prints it."
        "  [default: Dagster Cloud's serverless image]",
    )(command)
    return click.option(
        "--python-version",
        metavar="X.Y",
        help="The Python that will run the code: 3.9 to 3.14.  [default: 3.11]",
    )(command)


def wanted_options(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give a door the options `--extra` and `--group`."""
    command = click.option(
        "--group", "groups", multiple=True, metavar="NAME", help="Ship a dependency group too; may be repeated."
    )(command)
    return click.option(
        "--extra",
        "extras",
        multiple=True,
        metavar="NAME",
        help="Ship an extra of the project too; may be repeated.",
    )(command)


def include_option(command: click.decorators.FC) -> click.decorators.FC:
    """Give a door the option `--include`."""
    return click.option(
        "--include",
        multiple=True,
        metavar="PATTERN",
        help="Take files in that would be left out, such as a secret; gitignore syntax; may be repeated.",
    )(command)


report_option = click.option(
    "--report",
    is_flag=True,
    help="Show all distributions, the largest files, and what is there twice, with sizes.",
)


def read_target_options(python_version: str | None, platform: Path | None) -> Target:
    """The target that the options mean; raises UsageError or TargetError."""
    from builder.resolution import target  # noqa: PLC0415  (start-up time)

    if platform is None:
        return target.serverless_target(python_version or target.DEFAULT_PYTHON_VERSION)
    found = target.read_target(platform)
    if python_version is not None and python_version != found.python_version:
        raise UsageError(
            f"--python-version {python_version} contradicts --platform, which is of Python {found.python_version}",
            remedy="Give only one of the two",
        )
    return found


def read_variables(texts: Sequence[str]) -> dict[str, str]:
    """The variables that `--env` names; those without a value have that of this process. Raises UsageError."""
    found = {}
    for text in texts:
        name, given, value = text.partition("=")
        if not given and name not in os.environ:
            raise UsageError(f"--env {name}: there is no such variable here", remedy=f"Write --env {name}=VALUE")
        found[name] = value if given else os.environ[name]
    return found


def project_directory(path: Path) -> Path:
    """The project's directory, absolute; raises ProjectError if it is none."""
    absolute = Path(os.path.normpath(path.absolute()))
    if not absolute.is_dir():
        what = "is not a directory" if absolute.exists() else "does not exist"
        raise ProjectError(
            f"the project directory `{absolute}` {what}",
            remedy="Give the directory that holds your pyproject.toml, setup.py or requirements.txt",
        )
    return absolute


def output_directory(path: Path) -> Path:
    """Where artefacts go, absolute; it is made when the first one is written."""
    absolute = Path(os.path.normpath(path.absolute()))
    if absolute.exists() and not absolute.is_dir():
        raise UsageError(f"the output directory `{absolute}` is a file", remedy="Give another directory")
    return absolute
