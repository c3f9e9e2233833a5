"""GraphQL of the test server: what it refuses, and how what was deployed shows."""

from __future__ import annotations

import pytest

from tests.support.cloud import CloudServer, faults
from tests.support.cloud.queries import HTTP, deploy, document, poll, post


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
