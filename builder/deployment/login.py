"""The login that `dg plus login` or `dagster-cloud config setup` keeps on this machine."""

from __future__ import annotations

from dataclasses import dataclass, field

from builder.errors import CloudError


@dataclass(frozen=True, slots=True)
class Login:
    """What a machine's login says; empty where it says nothing.

    :param url: an address of the user's own, without the organization.
    :param token: never to be shown.
    """

    organization: str = ""
    url: str = ""
    token: str = field(default="", repr=False)


def read_login() -> Login:
    """Read the file of `dg` or of the `dagster-cloud` command line, whichever is there.

    Raises CloudError for one that cannot be read, and where both are there, as these tools do.
    """
    # It belongs to the part of builder.pex that is unpacked when it is asked for; CI has variables.
    from dagster_shared.plus.config import DagsterPlusCliConfig  # noqa: PLC0415

    try:
        if not DagsterPlusCliConfig.exists():
            return Login()
        config = DagsterPlusCliConfig.get()
    except Exception as error:  # dagster_shared raises plain exceptions
        raise CloudError(
            "the login of this machine cannot be read",
            detail=str(error).strip() or None,
            remedy="Run `dg plus login`, or set DAGSTER_CLOUD_ORGANIZATION and DAGSTER_CLOUD_API_TOKEN",
        ) from error
    return Login(config.organization or "", config.url or "", config.user_token or "")
