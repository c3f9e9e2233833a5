"""`builder.rollback`: a location runs an earlier version again, if its files are there; nothing is built."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cloud import faults
from tests.support.cloud.deployments import Deployment
from tests.support.commands import Ran
from tests.support.deploying import OLD, Deploying, deploying

pytestmark = pytest.mark.slow

FIRST, SECOND, THIRD = "aaaa1111", "bbbb2222", "cccc3333"


def deploy(here: Deploying, commit: str, *options: str) -> Ran:
    """Deploy other code, of this commit."""
    (here.place.root / "project sales" / "answer.py").write_text(f"answer = {commit!r}\n")
    return here.deploy(f"--code-location-details=deployment=prod,commit_hash={commit}", *options)


def roll_back(here: Deploying, *arguments: str) -> Ran:
    ran = here.place.run("rollback", *(arguments or ("sales",)), env=here.cloud.environ())
    here.said += [ran.stdout, ran.stderr]
    return ran


def commit(here: Deploying) -> str:
    return str(here.cloud.locations()["sales"]["git"]["commit_hash"])


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Deploying]:
    """A location that ran one commit after the other, the first with another setting."""
    with deploying(tmp_path) as made:
        workspace = made.locations("sales")
        plain = workspace.read_text()
        workspace.write_text(f"{plain}    agent_queue: large\n")
        deploy(made, FIRST).succeeded()
        workspace.write_text(plain)
        deploy(made, SECOND).succeeded()
        yield made


def test_the_version_before_runs_again_as_it_was(here: Deploying) -> None:
    third = here.cloud.locations()["sales"]
    deploy(here, THIRD).succeeded()
    uploads = len(here.cloud.uploads())
    ran = roll_back(here).succeeded()
    assert here.cloud.locations()["sales"] == third
    assert f"`sales` runs commit `{SECOND}` in `prod`" in ran.stdout
    assert "location `sales` is loaded" in ran.stderr
    assert len(here.cloud.uploads()) == uploads
    # Once more: what was left is nothing to go back to.
    roll_back(here).succeeded()
    assert commit(here) == FIRST
    assert here.cloud.locations()["sales"]["agent_queue"] == "large"
    assert f"Name one with --to: `{THIRD}`, `{SECOND}`" in roll_back(here).failed()
    assert commit(here) == FIRST
    # What is deployed then replaces the first one, and nothing that was left.
    deploy(here, "dddd4444").succeeded()
    roll_back(here).succeeded()
    assert commit(here) == FIRST


def test_a_version_is_named_by_the_first_digits_of_its_commit(here: Deploying) -> None:
    deploy(here, "aaaa1119").succeeded()
    roll_back(here, "sales", "--to", FIRST[:8].upper()).succeeded()
    assert commit(here) == FIRST
    assert "runs commit aaaa1111 in `prod` already" in roll_back(here, "sales", "--to=aaaa1111").succeeded().stdout
    roll_back(here, "sales", f"--to={SECOND}").succeeded()
    error = roll_back(here, "sales", "--to=aaaa111").failed()
    assert "`aaaa111` begins several commits: `aaaa1111`, `aaaa1119`" in error
    for unknown in ("abcd", "a"):
        error = roll_back(here, "sales", "--to", unknown).failed()
        assert f"no version of `sales` is recorded whose commit is `{unknown}`" in error
        assert "Choose from: `aaaa1119`, `aaaa1111`" in error
    assert commit(here) == SECOND


def test_what_did_not_load_is_nothing_to_go_back_to(here: Deploying) -> None:
    here.cloud.organization.load_errors["sales"] = faults.PythonError("ValueError: no\n", ())
    deploy(here, THIRD).failed()
    deploy(here, "dddd4444").failed()
    here.cloud.organization.load_errors.clear()
    roll_back(here).succeeded()
    assert commit(here) == SECOND


def test_a_version_that_does_not_load_any_more_is_told(here: Deploying) -> None:
    here.cloud.organization.load_errors["sales"] = faults.PythonError("ValueError: no table\n", ())
    assert "does not load there: ValueError: no table" in roll_back(here).failed()
    assert commit(here) == FIRST


def test_a_version_that_is_deployed_again_is_not_recorded_again(here: Deploying) -> None:
    prod = here.cloud.deployments["prod"]
    before = dict(prod.artifacts)
    deploy(here, SECOND).succeeded()
    # The time of the deploy is another one.
    assert prod.artifacts == before
    deploy(here, THIRD).succeeded()
    assert prod.artifacts != before


def test_what_another_tool_deployed_is_recorded_with_the_deploy_that_replaces_it(here: Deploying) -> None:
    here.run_before("sales")
    deploy(here, THIRD).succeeded()
    for name in OLD.removeprefix("files=").split(":"):
        here.cloud.storage.put_object(name, b"PK\5\6" + bytes(18))
    roll_back(here).succeeded()
    assert here.runs() == OLD


@pytest.mark.parametrize("fault", [faults.Lose(), faults.Truncate()], ids=["gone", "cut off"])
def test_files_that_are_gone_leave_the_location_as_it_was(here: Deploying, fault: faults.Fault) -> None:
    name = here.cloud.locations()["sales"]["pex_metadata"]["pex_tag"].rpartition(":")[2]
    deploy(here, THIRD).succeeded()
    here.cloud.inject("GET", fault, name=name)
    error = roll_back(here).failed()
    assert f"`{name}`" in error
    assert commit(here) == THIRD


def test_a_location_or_a_deployment_that_is_not_there_is_told(here: Deploying) -> None:
    error = roll_back(here, "sale").failed()
    assert "there is no location `sale` in `prod`" in error
    assert "Choose from: sales" in error
    assert "there is no deployment `prd`" in roll_back(here, "sales", "--deployment=prd").failed()
    assert commit(here) == SECOND


def test_a_token_that_may_not_deploy_changes_nothing(here: Deploying) -> None:
    other = {**here.cloud.environ(), "DAGSTER_CLOUD_API_TOKEN": "user:other"}
    assert "refuses the token" in here.place.run("rollback", "sales", env=other).failed()
    here.cloud.inject("deployLocations", faults.Unauthorized())
    assert "the token may not update `sales`" in roll_back(here).failed()
    assert commit(here) == SECOND


def test_a_server_that_keeps_no_versions_is_told_of(here: Deploying) -> None:
    here.cloud.keeps_artifacts = False
    ran = deploy(here, THIRD).succeeded()
    assert "builder.rollback will not know this version of `sales`" in ran.stderr
    error = roll_back(here).failed()
    assert "no version of `sales` is recorded that loaded before" in error
    assert "Check the older commit out, and deploy it with `builder.deploy`" in error
    assert commit(here) == THIRD


@pytest.mark.parametrize("content", [b"", b"[]", b'{"versions": [{}]}', b"\xff", b"of another commit"])
def test_a_record_that_cannot_be_read_is_none(here: Deploying, content: bytes) -> None:
    artifacts = here.cloud.deployments["prod"].artifacts
    (key,) = artifacts
    other = artifacts[key].replace(FIRST.encode(), FIRST[::-1].encode())
    artifacts[key] = other if content == b"of another commit" else content
    assert "is recorded" in roll_back(here).failed()
    deploy(here, THIRD).succeeded()
    commits = [entry["document"]["git"]["commit_hash"] for entry in json.loads(artifacts[key])["versions"]]
    assert commits == [SECOND, THIRD]


def test_another_run_that_comes_in_between_is_told(here: Deploying, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last update wins, and the one before it says so."""
    organization = here.cloud.organization
    organization.polls_to_load = 3
    advance = organization.advance

    def and_another(deployment: Deployment) -> None:
        record = deployment.locations["sales"]
        if record.document["git"]["commit_hash"] == FIRST and record.polls_left == 2:
            other = {"git": {"commit_hash": THIRD}, "pex_metadata": {"pex_tag": OLD}}
            organization.deploy(deployment, {**record.document, **other})
        advance(deployment)

    monkeypatch.setattr(organization, "advance", and_another)
    error = roll_back(here).failed()
    assert "replaced by another deploy" in error
    assert THIRD in error


def test_two_rollbacks_at_once_end_in_one_version(here: Deploying) -> None:
    both = [here.place.start("rollback", "sales", env=here.cloud.environ()) for _ in range(2)]
    outcomes = [running.finish() for running in both]
    assert 0 in [ran.code for ran in outcomes], outcomes
    assert commit(here) == FIRST


def test_nothing_is_waited_for_if_nobody_wants_to(here: Deploying) -> None:
    here.cloud.organization.polls_to_load = None
    ran = roll_back(here, "sales", "--no-wait").succeeded()
    assert f"`sales` was updated to commit `{FIRST}`" in ran.stdout
    assert commit(here) == FIRST
