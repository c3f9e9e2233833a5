"""Dagster Cloud serverless on loopback, as its own clients know it, and what can go wrong with it.

    from tests.support.cloud import CloudServer, faults

    with CloudServer() as cloud:
        env = {**os.environ, **cloud.environ()}             # DAGSTER_CLOUD_URL, DAGSTER_CLOUD_API_TOKEN
        cloud.inject("PUT", faults.Status(503), times=1)                     # the first upload of all
        cloud.inject("PUT", faults.Truncate(), name="deps-*")                # always, these files
        cloud.inject("GET", faults.Status(500), name="source-*", times=2)
        cloud.inject("generateServerlessPexUrl:PUT", faults.ExpiredUrl(), times=1)
        cloud.inject("deployLocations", faults.InvalidLocation(("no such image",)))
        cloud.inject("workspaceOrError", faults.GraphQLErrors(), after=1, times=1)   # the second poll
        cloud.organization.polls_to_load = 2           # after a deploy: two polls see it outdated; None: for ever
        cloud.organization.load_errors["sales"] = faults.PythonError("ImportError: no module named x", …)
        …
        assert cloud.locations("prod")["sales"]["pex_metadata"]["pex_tag"] == "files=…"
        assert set(cloud.objects()) == {…}             # name -> bytes of the registry
        assert cloud.operations() == ["serverless", …] # root fields; cloud.requests has everything
        assert cloud.leaks([output]) == []             # token, signatures of presigned URLs

A query is checked against `schema.graphql`, a presigned URL by recomputing its signature: what passes here has the
form that the real clients' requests have. `faults` says which faults there are; `CloudServer.inject` says on what.
`cloud.storage_environ()` points the real receiving server at the same storage. `queries` asks without a client.
`github.GitHubServer` is GitHub. `tests/cloud_server` holds all this to the real clients.
"""

from tests.support.cloud import faults
from tests.support.cloud.server import CloudServer, Request

__all__ = ["CloudServer", "Request", "faults"]
