"""What Dagster Cloud's agent says to the receiving server, as a program of its own.

Reads requests from stdin, each a line with a JSON object, and answers each with such a line on stdout: the result,
or `{"error": text}` when the server or the user's code refuses. Follows
`dagster_cloud/workspace/user_code_launcher` and, for runs, `dagster_cloud/workspace/docker`, of PyPI's
dagster-cloud.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

from dagster import AssetKey, DagsterInstance, DagsterRun
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME
from dagster._core.definitions.selector import JobSubsetSelector
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.remote_representation.code_location import GrpcServerCodeLocation
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import serialize_value
from dagster._utils.error import serializable_error_info_from_exc_info
from dagster_cloud.pex.grpc.client import MultiPexGrpcClient
from dagster_cloud.pex.grpc.types import CreatePexServerArgs, GetCrashedPexServersArgs, PexServerHandle
from dagster_cloud_cli.core.workspace import CodeLocationDeployData, PexMetadata
from dagster_shared.serdes.objects.models.defs_state_info import DefsStateInfo

DEPLOYMENT = "prod"

Request = dict[str, Any]


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        with DagsterInstance.from_config(request["dagster_home"]) as instance:
            try:
                answer = act(request, instance)
            except Exception:  # noqa: BLE001  (whatever went wrong is the answer)
                answer = {"error": serializable_error_info_from_exc_info(sys.exc_info()).to_string()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def act(request: Request, instance: DagsterInstance) -> dict[str, Any]:
    if request["action"] == "materialize":
        return materialize(request, instance)
    create(request, instance)
    return describe(connect(request, instance))


def create(request: Request, instance: DagsterInstance) -> None:
    """Have the server unpack the PEX files and start a code server from them; wait until it answers or crashed."""
    client = MultiPexGrpcClient(socket=request["socket"])
    states = request["states"]
    data = CodeLocationDeployData(
        **request["code_source"],
        working_directory=request["working_directory"],
        pex_metadata=PexMetadata(request["pex_tag"]),
        defs_state_info=DefsStateInfo(**states) if states else None,
    )
    handle = PexServerHandle(DEPLOYMENT, request["location"], request["timestamp"])
    client.create_pex_server(CreatePexServerArgs(handle, data, instance.get_ref()))

    code_server = DagsterGrpcClient(socket=request["socket"], metadata=grpc_metadata(request))
    crashed = GetCrashedPexServersArgs(DEPLOYMENT, request["location"])
    deadline = time.monotonic() + request["timeout"]
    while handle not in client.get_crashed_pex_servers(crashed).server_handles:
        try:
            code_server.ping("")
        except DagsterUserCodeUnreachableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def connect(request: Request, instance: DagsterInstance) -> GrpcServerCodeLocation:
    """The loaded location; raises with the user code's own error if it could not be loaded."""
    origin = GrpcServerCodeLocationOrigin(
        host="localhost", socket=request["socket"], location_name=request["location"]
    )
    return GrpcServerCodeLocation(origin, instance, watch_server=False, grpc_metadata=grpc_metadata(request))


def grpc_metadata(request: Request) -> list[tuple[str, str]]:
    """By this the receiving server knows which of its code servers is meant."""
    return [
        ("has_pex", "1"),
        ("deployment", DEPLOYMENT),
        ("location", request["location"]),
        ("timestamp", str(request["timestamp"])),
    ]


def describe(location: GrpcServerCodeLocation) -> dict[str, Any]:
    """Names of all that the location's repositories define, sorted; Dagster's hidden jobs left out."""
    repositories = location.get_repositories().values()
    return {
        "assets": sorted(
            key.to_user_string()
            for repository in repositories
            for key in repository.asset_graph.get_all_asset_keys()
        ),
        "jobs": sorted(
            job.name
            for repository in repositories
            for job in repository.get_all_jobs()
            if not job.name.startswith("__")
        ),
        "schedules": sorted(
            schedule.name for repository in repositories for schedule in repository.get_schedules()
        ),
        "asset_checks": sorted(
            f"{key.asset_key.to_user_string()}:{key.name}"
            for repository in repositories
            for key in repository.asset_graph.asset_check_keys
        ),
        "sensors": sorted(sensor.name for repository in repositories for sensor in repository.get_sensors()),
        "resources": sorted(
            resource.name for repository in repositories for resource in repository.get_resources()
        ),
    }


def materialize(request: Request, instance: DagsterInstance) -> dict[str, Any]:
    """Materialise assets in one run of their implicit job, executed as serverless executes it.

    Answers with what each asset reported: {asset: {metadata name: value}}.
    """
    run = create_run(request, instance)
    assert run.job_code_origin is not None
    arguments = ExecuteRunArgs(run.job_code_origin, run.run_id, instance.get_ref(), set_exit_code_on_failure=True)
    metadata = PexMetadata(request["pex_tag"])
    worker = subprocess.run(
        ["dagster-cloud", "pex", "execute-run", serialize_value(arguments), serialize_value(metadata)],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        check=False,
    )
    events = [record.dagster_event for record in instance.all_logs(run.run_id) if record.dagster_event is not None]
    finished = instance.get_run_by_id(run.run_id)
    if worker.returncode != 0 or finished is None or not finished.is_success:
        errors = [
            error.to_string()
            for event in events
            if event.is_failure and (error := getattr(event.event_specific_data, "error", None))
        ]
        ending = f"the run's worker ended with exit code {worker.returncode}"
        return {"error": "\n".join([*errors, ending])}
    return {
        event.materialization.asset_key.to_user_string(): {
            name: entry.value
            for name, entry in event.materialization.metadata.items()
            if isinstance(entry.value, str | int | float | bool)
        }
        for event in events
        if event.is_step_materialization
    }


def create_run(request: Request, instance: DagsterInstance) -> DagsterRun:
    """A run of some assets in the instance, as the web server creates it."""
    location = connect(request, instance)
    keys = {AssetKey.from_user_string(asset) for asset in request["assets"]}
    (repository,) = (
        repository
        for repository in location.get_repositories().values()
        if keys <= set(repository.asset_graph.get_all_asset_keys())
    )
    job = location.get_job(
        JobSubsetSelector(
            location_name=request["location"],
            repository_name=repository.name,
            job_name=IMPLICIT_ASSET_JOB_NAME,
            op_selection=None,
            asset_selection=keys,
        ),
    )
    run_config: dict[str, Any] = {"execution": {"config": {"in_process": {}}}} if request["in_process"] else {}
    plan = location.get_execution_plan(
        job, run_config=run_config, step_keys_to_execute=None, known_state=None, instance=instance
    ).execution_plan_snapshot
    return instance.create_run(
        job_name=job.name,
        run_id=None,
        run_config=run_config,
        resolved_op_selection=job.resolved_op_selection,
        step_keys_to_execute=plan.step_keys_to_execute,
        op_selection=None,
        status=None,
        root_run_id=None,
        parent_run_id=None,
        tags=job.tags,
        job_snapshot=job.job_snapshot,
        execution_plan_snapshot=plan,
        parent_job_snapshot=job.parent_job_snapshot,
        remote_job_origin=job.get_remote_origin(),
        job_code_origin=job.get_python_origin(),
        asset_selection=keys,
        asset_check_selection=None,
        asset_graph=repository.asset_graph,
    )


if __name__ == "__main__":
    main()
