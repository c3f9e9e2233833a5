"""The options of `builder.deploy` about uploading and updating, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from builder.errors import UsageError
from builder.terminal import options
from builder.terminal.command_line import option

if TYPE_CHECKING:
    from builder.deployment.cloud import SnapshotCondition

_UPLOADING: Final = {
    "update_code_location": "--update-code-location",
    "deps_cache_tag_read": "--deps-cache-tag-read",
    "deps_cache_tag_write": "--deps-cache-tag-write",
    "force_rebuild_deps": "--force-rebuild-deps",
    "built": "--built",
    "check": "--check",
    "upload_timeout": "--upload-timeout",
    "verify": "--verify/--no-verify",
    "verify_timeout": "--verify-timeout",
    "refresh_defs_state": "--refresh-defs-state",
}
"""Options that need --upload-pex."""

_UPDATING: Final = {
    "deployment": "--deployment",
    "code_location_details": "--code-location-details",
    "snapshot_base_condition": "--snapshot-base-condition",
    "wait": "--wait/--no-wait",
    "allow_empty": "--allow-empty",
    "if_changed": "--if-changed",
    "wait_timeout": "--wait-timeout",
}
"""Options that need --update-code-location."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOptions:
    """The options as they were given."""

    upload_pex: bool
    update_code_location: bool
    deployment: str | None
    code_location_details: str | None
    snapshot_base_condition: SnapshotCondition | None
    deps_cache_tag_read: str | None
    deps_cache_tag_write: str | None
    force_rebuild_deps: bool
    built: bool
    check: str
    upload_timeout: float
    wait: bool
    wait_timeout: float
    verify: bool
    verify_timeout: float
    refresh_defs_state: bool
    allow_empty: bool
    if_changed: bool
    variables: tuple[str, ...]
    as_json: bool = False

    @classmethod
    def only_upload(cls, *, upload: bool, timeout: float, verify: bool) -> DeliveryOptions:
        """Those of a command that updates nothing."""
        return cls(
            upload_pex=upload,
            update_code_location=False,
            deployment=None,
            code_location_details=None,
            snapshot_base_condition=None,
            deps_cache_tag_read=None,
            deps_cache_tag_write=None,
            force_rebuild_deps=False,
            built=False,
            check="tail",
            upload_timeout=timeout,
            wait=False,
            wait_timeout=0,
            verify=verify,
            verify_timeout=120,
            refresh_defs_state=False,
            allow_empty=False,
            if_changed=False,
            variables=(),
        )


def delivery_options(command: click.decorators.FC) -> click.decorators.FC:
    """Give a command the options that a DeliveryOptions is made of."""
    for add in reversed(_OPTIONS):
        command = add(command)
    return command


def refuse_useless(context: click.Context) -> None:
    """Raise UsageError for an option that would have no effect."""
    if context.params["built"] and context.params["only_plan"]:
        raise UsageError("--plan shows what would be built, and --built builds nothing", remedy="Leave one out")
    if context.params["as_json"] and not context.params["only_plan"]:
        raise UsageError("--json needs --plan", remedy="Add --plan, or read OUT_DIR/build.json after the build")
    if context.params["built"] and context.params["deps_cache_tag_write"]:
        raise UsageError(
            "--deps-cache-tag-write records the lock of a deps PEX, and only the job that built it knows that",
            remedy="Leave it out, or leave out --built",
        )
    for needed, useless in (("upload_pex", _UPLOADING), ("update_code_location", _UPDATING)):
        if context.params[needed]:
            continue
        for name, flag in useless.items():
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
                other = f"--{needed.replace('_', '-')}"
                raise UsageError(f"{flag} needs {other}", remedy=f"Add {other}, or leave {flag} out")


_VERIFY: Final = "Verify"
_UPLOAD: Final = "Upload"
_UPDATE: Final = "Update"

_OPTIONS: Final = (
    option(
        _VERIFY,
        "--verify/--no-verify",
        default=True,
        help="Upload only what loads here.",
    ),
    options.timeout_option(_VERIFY, "--verify-timeout", "How long a location may load.", seconds=120),
    options.env_option(_VERIFY),
    option(_VERIFY, "--refresh-defs-state", is_flag=True, help="Refresh the state of components."),
    option(_UPLOAD, "--upload-pex", "--upload", "upload_pex", is_flag=True, help="Upload it to the registry."),
    option(
        _UPLOAD,
        "--check",
        type=click.Choice(["tail", "full"]),
        default="tail",
        help="How much to read back.",
    ),
    options.timeout_option(_UPLOAD, "--upload-timeout", "How long a file may take.", seconds=600),
    option(
        _UPLOAD,
        "--deps-cache-tag-read",
        metavar="TAG",
        help="Reuse deps PEXes recorded under TAG.",
    ),
    option(_UPLOAD, "--deps-cache-tag-write", metavar="TAG", help="Record the deps PEX under TAG."),
    option(_UPLOAD, "--built", is_flag=True, help="Only deliver what OUT_DIR holds."),
    option(_UPLOAD, "--force-rebuild-deps", is_flag=True, help="Rebuild even a recorded deps PEX."),
    option(_UPDATE, "--update-code-location", is_flag=True, help="Then update the code locations."),
    options.deployment_option(
        _UPDATE, "The full deployment, or a branch's base.", default_text="$DAGSTER_CLOUD_DEPLOYMENT or prod"
    ),
    option(
        _UPDATE,
        "--code-location-details",
        metavar="TEXT",
        default_text="as CI or git says",
        help="As `deployment=NAME,commit_hash=HASH`.",
    ),
    option(_UPDATE, "--allow-empty", is_flag=True, help="Allow a location without definitions."),
    option(_UPDATE, "--if-changed", is_flag=True, help="Leave alone what runs the same already."),
    option(
        _UPDATE,
        "--snapshot-base-condition",
        type=click.Choice(["on-create", "on-update"]),
        callback=lambda _context, _option, value: value and value.upper().replace("-", "_"),
        help="When a branch deployment copies its base.",
    ),
    options.wait_options(_UPDATE),
)
