"""The options of `builder.deploy` about uploading and updating, and what they mean."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import click

from builder import door
from builder.delivery import Update, Upload
from builder.errors import UsageError
from builder.verifying import Verification

_UPLOADING: Final = {
    "update_code_location": "--update-code-location",
    "deps_cache_tag_read": "--deps-cache-tag-read",
    "deps_cache_tag_write": "--deps-cache-tag-write",
    "force_rebuild_deps": "--force-rebuild-deps",
    "check": "--check",
    "upload_timeout": "--upload-timeout",
    "verify": "--verify/--no-verify",
    "verify_timeout": "--verify-timeout",
    "variables": "--env",
}
"""Options that mean nothing without --upload-pex."""

_UPDATING: Final = {
    "deployment": "--deployment",
    "code_location_details": "--code-location-details",
    "wait": "--wait/--no-wait",
    "wait_timeout": "--wait-timeout",
}
"""Options that mean nothing without --update-code-location."""


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """The options as they were given."""

    upload_pex: bool
    update_code_location: bool
    deployment: str | None
    code_location_details: str | None
    deps_cache_tag_read: str | None
    deps_cache_tag_write: str | None
    force_rebuild_deps: bool
    check: str
    upload_timeout: float
    wait: bool
    wait_timeout: float
    verify: bool
    verify_timeout: float
    variables: tuple[str, ...]

    def verification(self, update: Update | None) -> Verification | None:
        """How to verify; None if that is not wanted. Raises UsageError for a variable that is not there."""
        environment = {**(update.variables if update else {}), **door.read_variables(self.variables)}
        return Verification(self.verify_timeout, environment) if self.verify else None

    def upload(self) -> Upload | None:
        """How to upload; None if that was not asked for."""
        from builder.publishing.pex_registry import Check  # noqa: PLC0415  (start-up time)

        if not self.upload_pex:
            return None
        return Upload(
            Check(self.check),
            self.upload_timeout,
            self.deps_cache_tag_read or None,
            self.deps_cache_tag_write or None,
            self.force_rebuild_deps,
        )

    def update(self, directory: Path) -> Update | None:
        """What to update with the code in `directory`; None if that was not asked for.

        Raises UsageError or ContextError if it is not certain where the code belongs.
        """
        from builder.deployment.destination import find_destination, parse_details  # noqa: PLC0415  (start-up time)

        if not self.update_code_location:
            return None
        details = None if self.code_location_details is None else parse_details(self.code_location_details)
        choice = find_destination(directory, os.environ, deployment=self.deployment, details=details)
        return Update(choice, self.wait_timeout if self.wait else None)


def delivery_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a door the options that become its argument `delivery`, a DeliveryOptions."""

    @functools.wraps(command)
    def with_options(**values: Any) -> int:  # noqa: ANN401  (click passes what was given by name)
        _refuse_useless(click.get_current_context())
        names = [field.name for field in fields(DeliveryOptions)]
        return command(delivery=DeliveryOptions(**{name: values.pop(name) for name in names}), **values)

    for option in reversed(_OPTIONS):
        option(with_options)
    return with_options


def _refuse_useless(context: click.Context) -> None:
    """Raise UsageError for an option that would have no effect."""
    for needed, options in (("upload_pex", _UPLOADING), ("update_code_location", _UPDATING)):
        if context.params[needed]:
            continue
        for name, flag in options.items():
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
                other = f"--{needed.replace('_', '-')}"
                raise UsageError(
                    f"{flag} means nothing without {other}", remedy=f"Add {other}, or leave {flag} out"
                )


_OPTIONS: Final = (
    click.option("--upload-pex", is_flag=True, help="Upload the PEX files to Dagster Cloud's PEX registry."),
    click.option(
        "--verify/--no-verify",
        default=True,
        show_default=True,
        help="Load each location here before it is uploaded; one that does not load is not.",
    ),
    click.option(
        "--verify-timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=120,
        show_default=True,
        metavar="SECONDS",
        help="How long the code of a location may take to load.",
    ),
    door.env_option,
    click.option(
        "--update-code-location",
        is_flag=True,
        help="Then have Dagster Cloud run them, and wait until it does. A pull request has a branch deployment.",
    ),
    click.option(
        "--deployment",
        metavar="NAME",
        envvar="DAGSTER_CLOUD_DEPLOYMENT",
        show_envvar=True,
        help="The full deployment to update, or for a pull request the one to branch off.  [default: prod]",
    ),
    click.option(
        "--code-location-details",
        metavar="deployment=NAME,commit_hash=HASH",
        help="What to update, instead of what the CI provider or git says; also git_url=URL.",
    ),
    click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until the locations are loaded."),
    click.option(
        "--wait-timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=600,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait.",
    ),
    click.option(
        "--deps-cache-tag-read",
        metavar="TAG",
        help="Do not build a deps PEX of which the registry has a record under this name.",
    ),
    click.option("--deps-cache-tag-write", metavar="TAG", help="Leave such a record under this name."),
    click.option("--force-rebuild-deps", is_flag=True, help="Build the deps PEX although there is a record."),
    click.option(
        "--check",
        type=click.Choice(["tail", "full"]),
        default="tail",
        show_default=True,
        help="What to read back of each uploaded file: its size and end, or all of it.",
    ),
    click.option(
        "--upload-timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=600,
        show_default=True,
        metavar="SECONDS",
        help="How long the upload of one file may take, with all retries.",
    ),
)
