"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import click

from builder.terminal.command_line import OUTPUT, option

_P = ParamSpec("_P")
_R = TypeVar("_R")

project_argument = click.argument("project_dir", type=click.Path(path_type=Path))
out_argument = click.argument("out_dir", type=click.Path(path_type=Path))

WHAT_TO_BUILD: Final = "What to build"
"""The group of options that choose what is built."""

_TARGET: Final = "Target"
_SERVERLESS: Final = "Dagster Cloud's image"


def env_option(group: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """The option `--env` of a command that loads code, in the group that fits there."""
    return option(
        group,
        "--env",
        "variables",
        multiple=True,
        metavar="NAME[=VALUE]",
        help="Pass a variable to the code, even a secret.",
    )


def location_option(group: str, text: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """The option `--location`, in the group that fits; `text` is what it means there."""
    return option(group, "--location", "names", multiple=True, metavar="NAME", help=text)


def timeout_option(
    group: str, name: str, text: str, *, seconds: float
) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """An option for a time limit, with a default in seconds."""
    limit = click.FloatRange(min=0, min_open=True)
    return option(group, name, type=limit, default=seconds, metavar="SECONDS", help=text)


def deployment_option(
    group: str, text: str, *, default_text: str
) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """The option `--deployment`, in the group that fits; `text` is what it means there."""
    return option(
        group,
        "--deployment",
        metavar="NAME",
        envvar="DAGSTER_CLOUD_DEPLOYMENT",
        default_text=default_text,
        help=text,
    )


def wait_options(group: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """The options `--wait/--no-wait` and `--wait-timeout`."""

    def add(command: click.decorators.FC) -> click.decorators.FC:
        command = timeout_option(group, "--wait-timeout", "How long to wait.", seconds=600)(command)
        return option(group, "--wait/--no-wait", default=True, help="Wait until all are loaded.")(command)

    return add


def json_option(text: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """The option `--json`; `text` is what it prints."""
    return option(OUTPUT, "--json", "as_json", is_flag=True, help=f"{text} as JSON, for machines.")


def target_options(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give a command the options `--python-version` and `--platform`."""
    return _python_option(
        option(
            _TARGET,
            "--platform",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            default_text=_SERVERLESS,
            help="Its platform, from `pex3 interpreter inspect --markers --tags`.",
        )(command)
    )


def targets_options(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give a command that builds images `--python-version`, and `--platform` for several of them."""
    return _python_option(
        option(
            _TARGET,
            "--platform",
            "platforms",
            multiple=True,
            metavar="PLATFORM",
            default_text=_SERVERLESS,
            help="From `pex3 interpreter inspect --markers --tags`; for images linux/amd64,linux/arm64.",
        )(command)
    )


def _python_option(command: Callable[_P, _R]) -> Callable[_P, _R]:
    return option(
        _TARGET,
        "--python-version",
        metavar="X.Y",
        default_text="what the project says, or 3.11",
        help="Its Python, 3.9 to 3.14.",
    )(command)


def base_image_option(command: click.decorators.FC) -> click.decorators.FC:
    """Give a command the option `--base-image`."""
    return option(
        _TARGET,
        "--base-image",
        metavar="IMAGE",
        envvar="SERVERLESS_BASE_IMAGE",
        default_text="$SERVERLESS_BASE_IMAGE or python:X.Y-slim",
        help="What images are built upon.",
    )(command)


def wanted_options(command: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give a command the options `--extra` and `--group`."""
    command = option(
        WHAT_TO_BUILD,
        "--group",
        "groups",
        multiple=True,
        metavar="NAME",
        help="Include a dependency group.",
    )(command)
    return option(
        WHAT_TO_BUILD,
        "--extra",
        "extras",
        multiple=True,
        metavar="NAME",
        help="Include an extra.",
    )(command)


def include_option(command: click.decorators.FC) -> click.decorators.FC:
    """Give a command the option `--include`."""
    return option(
        WHAT_TO_BUILD,
        "--include",
        multiple=True,
        metavar="PATTERN",
        help="Pack files excluded by default.",
    )(command)


report_option = option(OUTPUT, "--report", is_flag=True, help="List all that is packed, with sizes.")
