"""Reaching Dagster Cloud for a command that builds nothing."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterable, Iterator

from builder.deployment.cloud import DagsterCloudClient
from builder.deployment.login import read_login
from builder.deployment.organization import read_organization
from builder.errors import CloudError
from builder.terminal.console import console


def open_cloud() -> DagsterCloudClient:
    """The organization that the environment, or else the login of this machine, names."""
    return DagsterCloudClient(read_organization(os.environ, read_login), lambda notice: console.notices([notice]))


@contextlib.contextmanager
def connected_cloud() -> Iterator[tuple[DagsterCloudClient, tuple[str, ...]]]:
    """The organization, once it has accepted the token, and the names of its full deployments."""
    with open_cloud() as cloud:
        title = f"access to {cloud.organization.host}"
        with console.step(title), console.progress(title, None):
            names = cloud.check_access()
        yield cloud, names


def unknown_location(name: str, known: Iterable[str], where: str) -> CloudError:
    """The error for a location that is not there.

    :param known: the names of those that are.
    :param where: the deployments that were looked into, in backquotes.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names
    return CloudError(
        f"there is no location `{name}` in {where}",
        remedy=f"Choose from: {', '.join(near)}" if near else "Deploy it first, with `builder.deploy`",
    )
