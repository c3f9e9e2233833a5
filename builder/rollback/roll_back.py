"""What `builder.rollback` does: updating a location to a version whose files are still in the registry."""

from __future__ import annotations

import time

from builder.delivery.connection import connected_cloud, unknown_location
from builder.deployment.cloud import DagsterCloudClient
from builder.deployment.destination import DEFAULT_DEPLOYMENT, existing_deployment
from builder.deployment.entries import Entry
from builder.deployment.loading import wait_until_loaded
from builder.deployment.versions import Version, choose_version, version_of, with_rollback
from builder.errors import CloudError, LoadError, PublishError
from builder.oci.credentials import stored_credentials
from builder.oci.reference import Reference, read_reference
from builder.oci.registry import Registry
from builder.publishing.pex_registry import PexRegistry
from builder.resolution.transport import Credentials
from builder.terminal.console import console
from builder.terminal.formatting import quoted


def roll_back(
    *, location: str, commit: str | None, deployment: str | None, wait: bool, wait_timeout: float
) -> int:
    """Have a location run an earlier version again; returns the exit code.

    :param commit: of that version, or its first digits; None for the last one that loaded before the present one.
    """
    console.set_interrupt_note("no code location was updated")
    with connected_cloud() as (cloud, names):
        deployment = existing_deployment(deployment or DEFAULT_DEPLOYMENT, names, branches=True)
        entries = cloud.entries(deployment)
        present = entries.get(location)
        if present is None:
            raise unknown_location(location, entries, f"`{deployment}`")
        if commit and present.loads and (present.commit_hash or "").startswith(commit.lower()):
            console.result(f"`{location}` runs commit {present.commit_hash} in `{deployment}` already")
            return 0
        versions = cloud.versions(deployment, location)
        chosen = choose_version(versions, present, commit)
        with console.step(f"looked for the files of {chosen.label}"):
            _check_files(cloud, deployment, chosen)
        started = time.monotonic()
        with console.progress(f"updating `{location}`", None):
            cloud.deploy(deployment, [chosen.document], entries)
        console.done(f"updated `{location}` in `{deployment}` to {chosen.label}", time.monotonic() - started)
        page = cloud.organization.page(deployment)
        console.set_interrupt_note(f"what was updated may still load: `{location}` of `{deployment}`, see {page}")
        error = _wait(cloud, deployment, present, chosen, wait_timeout) if wait else None
        good = None if not wait else error is None
        _record(cloud, deployment, present, versions, chosen, good=good)
        if error:
            raise error
        console.result(
            f"`{location}` {'runs' if good else 'was updated to'} {chosen.label} in `{deployment}`: {page}"
        )
    return 0


def _check_files(cloud: DagsterCloudClient, deployment: str, chosen: Version) -> None:
    """Raise PublishError or CloudError unless the registry has what a version runs from."""
    if chosen.name.startswith("files="):
        with PexRegistry(cloud.presigned_urls) as registry:
            missing = registry.lacks(chosen.name.removeprefix("files=").split(":"))
    else:
        missing = [] if _has_image(cloud, deployment, read_reference(chosen.name)) else [chosen.name]
    if missing:
        raise PublishError(
            f"the registry no longer has {quoted(missing)}, which {chosen.label} runs from; nothing was updated",
            remedy="Name another version with --to, or check that commit out and deploy it with `builder.deploy`",
        )


def _has_image(cloud: DagsterCloudClient, deployment: str, image: Reference) -> bool:
    credentials = _login(cloud, deployment, image)
    with Registry(image.host, image.repository, credentials, push=False) as registry:
        return registry.manifest(image.version) is not None


def _login(cloud: DagsterCloudClient, deployment: str, image: Reference) -> Credentials | None:
    """The login to the registry of an image: the deployment's own, or one of this machine."""
    own = cloud.registry(deployment)
    if own.url and own.url.partition("/")[0] == image.host:
        return own.credentials
    return stored_credentials(image.host, image.repository)


def _wait(
    cloud: DagsterCloudClient, deployment: str, present: Entry, chosen: Version, timeout: float
) -> LoadError | None:
    """Wait until the version is loaded; returns why it is not."""
    started = time.monotonic()

    def settled(name: str, error: LoadError | None) -> None:
        if error is None:
            console.done(f"location `{name}` is loaded", time.monotonic() - started)

    location, before = present.name, {present.name: present}
    with console.progress(f"waiting for `{location}` to load", None):
        expected = {location: chosen.name}
        outcome = wait_until_loaded(
            cloud, deployment, expected, label=f"`{deployment}`", before=before, timeout=timeout, loaded=settled
        )
    return outcome[location]


def _record(
    cloud: DagsterCloudClient,
    deployment: str,
    present: Entry,
    versions: list[Version],
    chosen: Version,
    *,
    good: bool | None,
) -> None:
    """Record that the present version was left: the next rollback goes further back."""
    try:
        cloud.record_versions(
            deployment, present.name, with_rollback(versions, version_of(present), chosen, good=good)
        )
    except CloudError as error:
        console.note(f"  the next rollback may come back to what was left now: {error.what}")
