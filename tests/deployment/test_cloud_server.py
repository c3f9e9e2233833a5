"""The test server of tests/support/cloud against what it stands in for: the clients of PyPI, unmodified."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.parse
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from builder.system import process
from tests.support.cloud import CloudServer, faults, signing
from tests.support.cloud.github import GitHubServer

# One for all: a client of its own for each request, with its certificates, costs more than the request.
HTTP = httpx.Client()

PEX_URLS = """
mutation GenerateServerlessPexUrlMutation($filenames: [String!]!) {
    generateServerlessPexUrl(filenames: $filenames, method:%s) { url }
}
"""
DEPLOY = """
mutation CliDeployLocations($document: GenericScalar!) {
    deployLocations(document: $document) {
        __typename
        ... on DeployLocationsSuccess { locations { locationName } }
        ... on InvalidLocationError { errors }
        ... on PythonError { message stack }
    }
}
"""
LOCATIONS = """
query {
    workspaceOrError {
        __typename
        ... on PythonError { message }
        ... on Workspace {
            locationEntries {
                loadStatus
                locationOrLoadError {
                    __typename
                    ... on PythonError {
                        message
                        stack
                        errorChain { isExplicitLink error { message stack } }
                    }
                }
            }
        }
    }
    workspace { workspaceEntries { serializedDeploymentMetadata hasOutdatedData hasLoadError } }
}
"""

DOWNLOAD = """
import os, sys, boto3
from dagster_cloud.pex.grpc.server.registry import _download_from_s3
_download_from_s3("deps-1.pex", sys.argv[1])
os.environ["AWS_SECRET_ACCESS_KEY"] = "another"
boto3.DEFAULT_SESSION = None
try:
    _download_from_s3("deps-1.pex", sys.argv[1])
except Exception as error:
    print(error)
"""


def post(
    cloud: CloudServer, text: str, deployment: str = "", token: str | None = None, **variables: object
) -> Any:  # noqa: ANN401
    response = HTTP.post(
        f"{cloud.url}/{deployment}/graphql" if deployment else f"{cloud.url}/graphql",
        json={"query": text, "variables": variables},
        headers={"Dagster-Cloud-Api-Token": cloud.token if token is None else token},
    )
    return response.json() if response.headers["Content-Type"] == "application/json" else response


def presigned(cloud: CloudServer, method: str, *names: str) -> list[Any]:
    answer = post(cloud, PEX_URLS % method, filenames=names)
    return [entry["url"] for entry in answer["data"]["generateServerlessPexUrl"]]


def document(name: str = "sales", tag: str = "files=deps-1.pex:source-1.pex", **more: object) -> dict[str, object]:
    return {
        "location_name": name,
        "code_source": {"module_name": "sales"},
        "pex_metadata": {"pex_tag": tag, "python_version": "3.11"},
        **more,
    }


def deploy(cloud: CloudServer, *documents: object) -> Any:  # noqa: ANN401
    return post(cloud, DEPLOY, "prod", document={"locations": documents})["data"]["deployLocations"]


def poll(cloud: CloudServer) -> tuple[bool, str, dict[str, Any] | None, str]:
    """(outdated, load status, location or error, pex tag) of the only location."""
    from dagster_cloud_cli.core.workspace import CodeLocationDeployData  # noqa: PLC0415
    from dagster_shared.serdes.serdes import deserialize_value  # noqa: PLC0415

    data = post(cloud, LOCATIONS, "prod")["data"]
    (entry,) = data["workspace"]["workspaceEntries"]
    (shown,) = data["workspaceOrError"]["locationEntries"]
    metadata = deserialize_value(entry["serializedDeploymentMetadata"], CodeLocationDeployData).pex_metadata
    assert metadata is not None
    return entry["hasOutdatedData"], shown["loadStatus"], shown["locationOrLoadError"], metadata.pex_tag


class Commands:
    """The commands of PyPI's packages in a directory of their own."""

    def __init__(self, directory: Path, cloud: CloudServer) -> None:
        self.home = directory / "home"
        self.home.mkdir()
        self.project = directory / "project"
        self.project.mkdir()
        self.env = process.clean_environment(
            {
                **cloud.environ(),
                "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]),
                "HOME": str(self.home),
                "PEX_ROOT": str(directory / "pex-root"),
                "GIT_CONFIG_GLOBAL": os.devnull,
            }
        )

    def run(self, *words: str, **env: str) -> str:
        finished = subprocess.run(
            words,
            cwd=self.project,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        assert finished.returncode == 0, finished.stdout
        return finished.stdout


@pytest.fixture
def commands(tmp_path: Path, cloud: CloudServer) -> Commands:
    return Commands(tmp_path, cloud)


def requirements_hash(project: Path) -> str:
    from dagster_cloud_cli.core.pex_builder import deps  # noqa: PLC0415
    from packaging.version import Version  # noqa: PLC0415

    return deps.get_deps_requirements(str(project), Version("3.11"))[1].hash


# The real clients


def test_real_serverless_deploy_succeeds(cloud: CloudServer, commands: Commands) -> None:
    (commands.project / "requirements.txt").write_text("dagster\ndagster-cloud\n")
    (commands.project / "sales.py").write_text("import dagster\n")
    identity = requirements_hash(commands.project)
    # The tags `main` and `new` in base64.
    record = {"deps_pex_name": "deps-0123.pex", "dagster_version": "1.13.27"}
    cloud.storage.put_object("deps-0123.pex", b"as if it were one")
    cloud.storage.put_object(f"requirements-{identity}-bWFpbg==.txt", json.dumps(record).encode())
    deploy(cloud, document(tag="files=deps-0.pex:source-0.pex"))
    poll(cloud)

    command = ["dagster-cloud", "serverless", "deploy-python-executable", ".", "--url", f"{cloud.url}/prod"]
    command += ["--location-name", "sales", "--module-name", "sales", "--python-version", "3.11"]
    command += ["--build-method", "local", "--deps-cache-from", "main", "--deps-cache-to", "new"]
    output = commands.run(*command, "--commit-hash", "abc", "--git-url", "https://example.com/abc")

    assert "Found published deps.pex deps-0123.pex" in output
    assert "Agent synced changes to sales" in output
    (source,) = (name for name in cloud.objects() if name.startswith("source-"))
    expected = document(tag=f"files=deps-0123.pex:{source}")
    assert cloud.locations("prod")["sales"] == {
        **expected,
        "git": {"commit_hash": "abc", "url": "https://example.com/abc"},
    }
    (commands.home / source).write_bytes(cloud.objects()[source])
    with zipfile.ZipFile(commands.home / source) as archive:
        assert "working_directory/root/sales.py" in archive.namelist()
    assert json.loads(cloud.objects()[f"requirements-{identity}-bmV3.txt"]) == record
    assert cloud.uploads() == [
        (source, len(cloud.objects()[source])),
        (f"requirements-{identity}-bmV3.txt", len(json.dumps(record))),
    ]
    asked = cloud.operations()[cloud.operations().index("serverless") :]
    assert asked == [
        "serverless",
        "generateServerlessPexUrl",
        "generateServerlessPexUrl",
        "generateServerlessPexUrl",
        "addOrUpdateLocationFromDocument",
        "agents",
        "workspaceOrError",
        "markCliEvent",
    ]
    assert not any("Dagster-Cloud-Api-Token" in each.headers for each in cloud.requests if each.name)
    assert cloud.leaks([output]) == []


def test_real_ci_commands_make_a_branch_deployment_and_deploy_to_it(
    cloud: CloudServer, commands: Commands, tmp_path: Path
) -> None:
    locations = [{"location_name": name, "code_source": {"module_name": name}} for name in ("sales", "stock")]
    image = {"build": {"directory": ".", "registry": "registry.example/sales"}}
    workspace = {"locations": [{**location, **image} for location in locations]}
    (commands.project / "dagster_cloud.yaml").write_text(json.dumps(workspace))
    commands.run("git", "init", "-q", "-b", "feature")
    commands.run("git", "add", ".")
    author = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    commands.run("git", *author, "commit", "-q", "-m", "Add locations", GIT_COMMITTER_DATE="1700000000 +0000")
    head = commands.run("git", "rev-parse", "HEAD").strip()
    pull_request = {
        "head": {"sha": head, "ref": "feature"},
        "html_url": "https://github.com/hooli/data-eng/pull/7",
        "number": 7,
        "state": "open",
    }
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"repository": {"full_name": "hooli/data-eng"}, "pull_request": pull_request}))
    action = {
        "GITHUB_ACTION": "deploy",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_SHA": "0" * 40,
        "GITHUB_REPOSITORY": "hooli/data-eng",
        "GITHUB_RUN_ID": "1",
        "DAGSTER_BUILD_STATEDIR": str(tmp_path / "state"),
    }
    cloud.organization.polls_to_load = 0

    # It insists on an organization, and then takes the URL.
    commands.run("dagster-cloud", "ci", "init", **action, DAGSTER_CLOUD_ORGANIZATION="hooli")
    (name,) = set(cloud.deployments) - {"prod"}
    branch = cloud.deployments[name]
    assert branch.branch == {
        "repoName": "hooli/data-eng",
        "branchName": "feature",
        "branchUrl": "https://github.com/hooli/data-eng/tree/feature",
        "pullRequestUrl": "https://github.com/hooli/data-eng/pull/7",
        "pullRequestStatus": "OPEN",
        "pullRequestNumber": "7",
    }
    assert branch.commit is not None
    assert (branch.commit["commitHash"], branch.commit["timestamp"]) == (head, 1700000000.0)
    assert (branch.commit["authorName"], branch.commit["commitMessage"]) == ("Ada", "Add locations")

    build = ["dagster-cloud", "ci", "set-build-output", "--image-tag", "1"]
    commands.run(*build, "--location-name", "sales", "--location-name", "stock", **action)
    commands.run("dagster-cloud", "ci", "deploy", **action)
    assert sorted(cloud.locations(name)) == ["sales", "stock"]
    assert cloud.locations(name)["sales"]["image"] == "registry.example/sales:1"
    assert cloud.locations("prod") == {}
    assert cloud.operations().count("deployLocations") == 1

    answer = commands.run("dagster-cloud", "ci", "branch-deployment", ".", "--mark-closed", **action)
    assert answer.strip().splitlines()[-1] == name
    assert (cloud.deployments[name].branch or {})["pullRequestStatus"] == "CLOSED"


def test_real_receiving_server_downloads_from_the_storage(
    cloud: CloudServer, commands: Commands, tmp_path: Path
) -> None:
    content = os.urandom(10_000_000)  # more than one part: it is fetched in ranges
    (url,) = presigned(cloud, "PUT", "deps-1.pex")
    assert HTTP.put(url, content=content).status_code == 200
    target = tmp_path / "deps-1.pex"
    output = commands.run(sys.executable, "-c", DOWNLOAD, str(target), **cloud.storage_environ())
    assert target.read_bytes() == content
    assert {each.status for each in cloud.requests if each.method == "GET"} == {206}
    assert "An error occurred (403)" in output


# GraphQL


@pytest.mark.parametrize(
    "query",
    [
        "query { fullDeployments { deploymentNam } }",
        "query { nothing }",
        "query {",
        "mutation { deployLocations(document: {}) { ... on UnauthorizedError { message } } }",
        "mutation { generateServerlessPexUrl(filenames: [1], method: PUT) { url } }",
        "mutation { generateServerlessPexUrl(filenames: [], method: DELETE) { url } }",
    ],
)
def test_queries_outside_of_the_schema_are_refused(cloud: CloudServer, query: str) -> None:
    assert set(post(cloud, query, "prod")) == {"errors"}


def test_token_and_deployment_are_checked(cloud: CloudServer) -> None:
    query = "query CliCurrentDeploymentName { currentDeployment { deploymentName } }"
    for token in ("", "other"):
        assert post(cloud, query, "prod", token=token).status_code == 401
    assert post(cloud, query, "nowhere").status_code == 404
    assert "needs a deployment" in post(cloud, query)["errors"][0]["message"]
    assert post(cloud, query, "prod")["data"]["currentDeployment"] == {"deploymentName": "prod"}
    headers = {"Dagster-Cloud-Api-Token": cloud.token, "Dagster-Cloud-Deployment": "prod"}
    by_header = HTTP.post(f"{cloud.url}/graphql", json={"query": query}, headers=headers)
    assert by_header.json()["data"]["currentDeployment"] == {"deploymentName": "prod"}


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({**document(), "code_source": {}}, "exactly one of"),
        ({**document(), "code_source": {"module_name": "a", "python_file": "a.py"}}, "exactly one of"),
        ({key: value for key, value in document().items() if key != "location_name"}, "location_name"),
        ({**document(), "build": {"directory": "."}}, '"build"'),
        ({**document(), "pex_metadata": {"pex_tag": "deps-1.pex"}}, "pex_tag"),
        ({**document(), "image": None}, "null"),
        ("sales", "not a mapping"),
    ],
)
def test_invalid_documents_are_refused(cloud: CloudServer, wrong: object, words: str) -> None:
    answer = deploy(cloud, document("stock"), wrong)
    assert answer["__typename"] == "InvalidLocationError"
    assert words in "\n".join(answer["errors"])
    assert cloud.locations() == {}


def test_the_old_version_shows_as_loaded_until_the_agent_reports(cloud: CloudServer) -> None:
    cloud.organization.polls_to_load = 2
    deploy(cloud, document(tag="files=source-1.pex"))
    loaded = {"__typename": "RepositoryLocation"}
    assert [poll(cloud)[:3] for _ in range(3)] == [
        (True, "LOADING", None),
        (True, "LOADING", None),
        (False, "LOADED", loaded),
    ]
    chain = ((True, faults.PythonError("KeyError: 'x'\n", ("  File x\n",))),)
    cloud.organization.load_errors["sales"] = faults.PythonError("ImportError: no y\n", ("  File y\n",), chain)
    deploy(cloud, document(tag="files=source-2.pex"))
    assert poll(cloud) == (True, "LOADED", loaded, "files=source-2.pex")
    poll(cloud)
    outdated, status, error, _ = poll(cloud)
    assert (outdated, status) == (False, "LOADED")
    assert error is not None
    assert error["message"] == "ImportError: no y\n"
    assert error["errorChain"] == [
        {"isExplicitLink": True, "error": {"message": "KeyError: 'x'\n", "stack": ["  File x\n"]}}
    ]
    cloud.organization.polls_to_load = None
    deploy(cloud, document())
    assert {poll(cloud)[0] for _ in range(20)} == {True}


def test_branch_deployments_need_a_full_base(cloud: CloudServer) -> None:
    text = """
        mutation ($data: CreateOrUpdateBranchDeploymentInput!, $commit: DeploymentCommitInput!, $base: String) {
            createOrUpdateBranchDeployment(branchData: $data, commit: $commit, baseDeploymentName: $base) {
                ... on DagsterCloudDeployment { deploymentName }
                ... on PythonError { message }
            }
        }
    """
    data = {"repoName": "hooli/data-eng", "branchName": "feature"}
    commit = {"commitHash": "abc", "timestamp": 1.0}

    def create(base: str | None) -> dict[str, str]:
        answer = post(cloud, text, data=data, commit=commit, base=base)
        made: dict[str, str] = answer["data"]["createOrUpdateBranchDeployment"]
        return made

    name = create("prod")["deploymentName"]
    assert int(name, 16)
    assert create(None) == {"deploymentName": name}
    assert "message" in create("nowhere")
    assert "message" in create(name)
    listed = post(cloud, "query { fullDeployments { deploymentName } }")["data"]["fullDeployments"]
    assert listed == [{"deploymentName": "prod"}]


# Storage


def altered(url: str, **parameters: str) -> str:
    parts = urllib.parse.urlsplit(url)
    query = {**dict(urllib.parse.parse_qsl(parts.query)), **parameters}
    return parts._replace(query=urllib.parse.urlencode(query)).geturl()


@pytest.mark.parametrize(
    "parameter, value, code",
    [
        ("X-Amz-Signature", "0" * 64, "SignatureDoesNotMatch"),
        ("X-Amz-Expires", "7200", "SignatureDoesNotMatch"),
        ("X-Amz-Date", signing.timestamp(4e9), "SignatureDoesNotMatch"),
        ("X-Amz-Credential", "AKIAOTHER/20260101/us-west-2/s3/aws4_request", "InvalidAccessKeyId"),
        ("response-content-type", "text/html", "SignatureDoesNotMatch"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_forged_urls_are_refused(cloud: CloudServer, method: str, parameter: str, value: str, code: str) -> None:
    cloud.storage.put_object("deps-1.pex", b"old")
    (url,) = presigned(cloud, method, "deps-1.pex")
    content = b"new" if method == "PUT" else None
    answer = HTTP.request(method, altered(url, **{parameter: value}), content=content)
    assert answer.status_code == 403
    assert f"<Code>{code}</Code>" in answer.text
    assert cloud.objects() == {"deps-1.pex": b"old"}
    assert HTTP.request(method, url, content=content).status_code == 200


def test_urls_grant_one_method_on_one_file(cloud: CloudServer) -> None:
    cloud.storage.put_object("deps-1.pex", b"old")
    (put,), (get,) = presigned(cloud, "PUT", "deps-1.pex"), presigned(cloud, "GET", "deps-1.pex")
    refused = [
        HTTP.put(get, content=b"new"),
        HTTP.get(put),
        HTTP.head(get),
        HTTP.put(put.replace("deps-1", "deps-2"), content=b"new"),
        HTTP.put(put, content=b"new", headers={"x-amz-acl": "public-read"}),
        HTTP.get(get.split("?", maxsplit=1)[0]),
    ]
    assert [answer.status_code for answer in refused] == [403] * 6
    assert cloud.objects() == {"deps-1.pex": b"old"}


def test_urls_expire() -> None:
    with CloudServer(url_lifetime=-1) as cloud:
        (url,) = presigned(cloud, "PUT", "deps-1.pex")
        answer = HTTP.put(url, content=b"new")
        assert (answer.status_code, "Request has expired" in answer.text) == (403, True)
        assert cloud.objects() == {}


def test_expired_urls_are_rightly_signed(cloud: CloudServer, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.inject("generateServerlessPexUrl:PUT", faults.ExpiredUrl(), times=1)
    expired, valid = presigned(cloud, "PUT", "deps-1.pex", "deps-2.pex")
    assert "Request has expired" in HTTP.put(expired, content=b"new").text
    assert HTTP.put(valid, content=b"new").status_code == 200
    monkeypatch.setattr(signing, "now", lambda: time.time() - 3700)
    assert HTTP.put(expired, content=b"new").status_code == 200


def test_missing_objects_and_ranges_are_answered_as_s3_does(cloud: CloudServer) -> None:
    (url,) = presigned(cloud, "GET", "deps-1.pex")
    assert "<Code>AccessDenied</Code>" in HTTP.get(url).text
    cloud.storage.may_list = True
    missing = HTTP.get(url)
    assert (missing.status_code, "<Code>NoSuchKey</Code>" in missing.text) == (404, True)
    cloud.storage.put_object("deps-1.pex", b"0123456789")

    def ranged(which: str) -> tuple[int, bytes, str | None]:
        answer = HTTP.get(url, headers={"Range": f"bytes={which}"})
        return answer.status_code, answer.content, answer.headers.get("Content-Range")

    assert ranged("2-4") == (206, b"234", "bytes 2-4/10")
    assert ranged("8-") == (206, b"89", "bytes 8-9/10")
    assert ranged("-3") == (206, b"789", "bytes 7-9/10")
    assert ranged("-30") == (206, b"0123456789", "bytes 0-9/10")
    assert ranged("10-")[0] == 416


# Faults


def outcome(method: str, url: str, content: bytes | None = None) -> int | str:
    try:
        return HTTP.request(method, url, content=content).status_code
    except httpx.TransportError:
        return "broken"


@pytest.mark.parametrize(
    "fault, answer, stored",
    [
        (faults.Status(403), 403, None),
        (faults.Status(503), 503, None),
        (faults.Reset(), "broken", None),
        (faults.LostReply(), "broken", b"0123456789"),
        (faults.Truncate(), 200, b"01234"),
        (faults.Corrupt(), 200, bytes(byte ^ 0xFF for byte in b"0123456789")),
        (faults.Lose(), 200, None),
    ],
)
def test_faults_of_put(cloud: CloudServer, fault: faults.Fault, answer: int | str, stored: bytes | None) -> None:
    cloud.inject("PUT", fault, name="deps-*", times=1, after=1)
    source, deps = presigned(cloud, "PUT", "source-1.pex", "deps-1.pex")
    assert outcome("PUT", source, b"source") == 200
    assert outcome("PUT", deps, b"before") == 200
    cloud.storage.delete_object("deps-1.pex")
    assert cloud.unused_faults() == [fault]
    assert outcome("PUT", deps, b"0123456789") == answer
    assert cloud.unused_faults() == []
    assert cloud.objects() == {"source-1.pex": b"source"} | ({"deps-1.pex": stored} if stored else {})
    assert outcome("PUT", deps, b"after") == 200
    assert cloud.objects()["deps-1.pex"] == b"after"


@pytest.mark.parametrize(
    "fault, answer",
    [
        (faults.Status(500), 500),
        (faults.Reset(), "broken"),
        (faults.Truncate(), "broken"),
        (faults.Lose(), 404),
        (faults.LostReply(), "broken"),
    ],
)
def test_faults_of_get(cloud: CloudServer, fault: faults.Fault, answer: int | str) -> None:
    cloud.storage.put_object("deps-1.pex", b"0123456789")
    (url,) = presigned(cloud, "GET", "deps-1.pex")
    cloud.inject("GET", fault, times=1)
    assert outcome("GET", url) == answer
    assert outcome("GET", url) == 200
    cloud.inject("GET", faults.Corrupt())
    assert HTTP.get(url).content == bytes(byte ^ 0xFF for byte in b"0123456789")


def test_faults_of_urls(cloud: CloudServer) -> None:
    cloud.inject("generateServerlessPexUrl:GET", faults.FewerUrls())
    cloud.inject("generateServerlessPexUrl", faults.NullUrl(), name="deps-*")
    source, deps = presigned(cloud, "PUT", "source-1.pex", "deps-1.pex")
    assert source is not None
    assert deps is None
    assert presigned(cloud, "GET", "source-1.pex") == []


def test_faults_of_graphql(cloud: CloudServer) -> None:
    query = "query { fullDeployments { deploymentName } }"
    cloud.inject("fullDeployments", faults.Status(429, retry_after="2"), times=1)
    cloud.inject("fullDeployments", faults.GraphQLErrors("boom"), times=1)
    cloud.inject("graphql", faults.Maintenance(retry_interval=7), times=1)
    cloud.inject("graphql", faults.NullData(), times=1)
    busy = post(cloud, query)
    assert (busy.status_code, busy.headers["Retry-After"]) == (429, "2")
    assert post(cloud, query)["errors"] == [{"message": "boom"}]
    assert post(cloud, query)["maintenance"]["retry_interval"] == 7
    assert post(cloud, query) == {"data": None}
    cloud.inject("graphql", faults.Reset(), times=1)
    with pytest.raises(httpx.TransportError):
        post(cloud, query)
    assert "data" in post(cloud, query)


@pytest.mark.parametrize(
    "fault, kind",
    [
        (faults.InvalidLocation(("bad image",)), "InvalidLocationError"),
        (faults.Unauthorized(), "UnauthorizedError"),
        (faults.PythonError("boom"), "PythonError"),
    ],
)
def test_faults_of_mutations(cloud: CloudServer, fault: faults.Fault, kind: str) -> None:
    cloud.inject("deployLocations", fault, name="stock", times=1)
    assert deploy(cloud, document("sales"))["__typename"] == "DeployLocationsSuccess"
    assert deploy(cloud, document("sales"), document("stock"))["__typename"] == kind
    assert set(cloud.locations()) == {"sales"}
    cloud.inject("deployLocations", faults.LostReply(), times=1)
    with pytest.raises(httpx.TransportError):
        deploy(cloud, document("stock"))
    assert set(cloud.locations()) == {"sales", "stock"}


def test_faults_that_cannot_happen_are_refused(cloud: CloudServer) -> None:
    for on, fault in (("PUT", faults.NullUrl()), ("GET", faults.NullData()), ("deployLocations", faults.Lose())):
        with pytest.raises(TypeError):
            cloud.inject(on, fault)


@pytest.mark.parametrize("reading", [True, False])
def test_hanging_requests_end_when_the_server_is_closed(reading: bool) -> None:  # noqa: FBT001
    outcomes: list[int | str] = []
    with CloudServer() as cloud:
        cloud.inject("PUT", faults.Hang(reading=reading))
        (url,) = presigned(cloud, "PUT", "deps-1.pex")
        client = threading.Thread(target=lambda: outcomes.append(outcome("PUT", url, b"0" * 100_000)))
        client.start()
        cloud.wait_until_hanging()
        assert outcomes == []
    client.join(60)
    assert outcomes == ["broken"]


def test_secrets_are_known(cloud: CloudServer) -> None:
    (url,) = presigned(cloud, "PUT", "deps-1.pex")
    signature = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["X-Amz-Signature"][0]
    assert cloud.leaks([f"Authorization: {cloud.token}", b"nothing"])[0] == cloud.token
    assert cloud.leaks([f"sent to {signature}"]) == [signature]
    assert cloud.leaks(["all is well"]) == []


# GitHub


@pytest.mark.parametrize("enterprise", [False, True])
def test_github_keeps_comments(enterprise: bool) -> None:  # noqa: FBT001
    with GitHubServer(enterprise=enterprise) as github:
        for number in range(3):
            github.add_comment(7, f"comment {number}")
        github.add_comment(8, "elsewhere")
        api = f"{github.api_url}/repos/{github.repository}"
        with httpx.Client(headers={"Authorization": f"Bearer {github.token}"}) as client:
            pages = []
            url = f"{api}/issues/7/comments?per_page=2"
            while url:
                answer = client.get(url)
                pages.append([comment["body"] for comment in answer.json()])
                url = answer.links.get("next", {}).get("url", "")
            assert pages == [["comment 0", "comment 1"], ["comment 2"]]
            made = client.post(f"{api}/issues/7/comments", json={"body": "building"})
            assert made.status_code == 201
            assert made.json()["user"]["login"] == "github-actions[bot]"
            edited = client.patch(f"{api}/issues/comments/{made.json()['id']}", json={"body": "ready"})
            assert edited.status_code == 200
            assert [comment.body for comment in github.comments(7)][-1] == "ready"
            assert client.patch(f"{api}/issues/comments/1", json={"body": "x"}).status_code == 404
            assert client.post(f"{api}/issues/7/comments", json={"body": "x" * 65537}).status_code == 422
            github.add_commit("abc", "Fix", name="Ada", email="a@b.c", date="2026-08-01T12:00:00Z", login="ada")
            assert client.get(f"{api}/commits/abc").json()["author"]["avatar_url"].endswith("/ada")
            elsewhere = github.server_url if enterprise else f"{github.server_url}/api/v3"
            assert client.get(f"{elsewhere}/repos/{github.repository}/commits/abc").status_code == 404


def test_github_checks_token_and_permission() -> None:
    with GitHubServer() as github:
        url = f"{github.api_url}/repos/{github.repository}/issues/7/comments"
        assert HTTP.get(url).status_code == 401
        assert HTTP.get(url, headers={"Authorization": "Bearer other"}).status_code == 401
        headers = {"Authorization": f"token {github.token}"}
        github.may_write = False
        assert HTTP.get(url, headers=headers).status_code == 200
        assert HTTP.post(url, headers=headers, json={"body": "x"}).status_code == 403
        github.may_write = True
        github.inject("POST", faults.Status(502), times=1)
        assert HTTP.post(url, headers=headers, json={"body": "x"}).status_code == 502
        assert HTTP.post(url, headers=headers, json={"body": "x"}).status_code == 201
