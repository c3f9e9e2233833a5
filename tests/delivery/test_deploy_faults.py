"""What goes wrong while files are uploaded and locations updated: said, and never at production's cost."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from builder.system import storage
from tests.support.cloud import faults
from tests.support.cloud.deployments import Deployment, LocationRecord
from tests.support.deploying import OLD, Deploying, deploying

pytestmark = pytest.mark.slow


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Deploying]:
    with deploying(tmp_path) as made:
        made.locations("sales")
        made.run_before("sales")
        yield made


# Uploads

PASSING: dict[str, tuple[str, faults.Fault]] = {
    "403": ("PUT", faults.Status(403)),
    "503": ("PUT", faults.Status(503)),
    "500": ("PUT", faults.Status(500)),
    "429": ("PUT", faults.Status(429, retry_after="1")),
    "reset": ("PUT", faults.Reset()),
    "no answer": ("PUT", faults.LostReply()),
    "truncated": ("PUT", faults.Truncate()),
    "corrupted": ("PUT", faults.Corrupt()),
    "one byte corrupted": ("PUT", faults.Corrupt(one_byte=True)),
    "lost": ("PUT", faults.Lose()),
    "expired": ("generateServerlessPexUrl:PUT", faults.ExpiredUrl()),
}


@pytest.mark.parametrize("case", PASSING)
def test_what_goes_wrong_once_is_done_again(here: Deploying, case: str) -> None:
    on, fault = PASSING[case]
    here.cloud.inject(on, fault, name="deps-*", times=1)
    here.deploy("--deps-cache-tag-write=main").succeeded()
    assert not here.cloud.unused_faults()
    here.assert_whole()
    assert len(here.records()) == 1


LASTING: dict[str, tuple[str, faults.Fault, str]] = {
    "403": ("PUT", faults.Status(403), "403"),
    "500": ("PUT", faults.Status(500), "500"),
    "503": ("PUT", faults.Status(503), "503"),
    "reset": ("PUT", faults.Reset(), "connection"),
    "truncated": ("PUT", faults.Truncate(), "bytes of"),
    "corrupted": ("PUT", faults.Corrupt(), "end"),
    "one byte corrupted": ("PUT", faults.Corrupt(one_byte=True), "content differs"),
    "lost": ("PUT", faults.Lose(), "does not have it"),
    "expired": ("generateServerlessPexUrl:PUT", faults.ExpiredUrl(), "403"),
    "null URL": ("generateServerlessPexUrl:PUT", faults.NullUrl(), "gave no URL"),
    "fewer URLs": ("generateServerlessPexUrl:PUT", faults.FewerUrls(), "gave no URL"),
    "no data": ("generateServerlessPexUrl:PUT", faults.NullData(), "without data"),
    "errors": ("generateServerlessPexUrl:PUT", faults.GraphQLErrors("the disk is full"), "the disk is full"),
}


@pytest.mark.parametrize(
    "case, kind",
    [(case, "deps") for case in LASTING]
    + [(case, "source") for case in ("403", "truncated", "one byte corrupted", "lost")],
)
def test_what_never_arrives_is_never_run(here: Deploying, case: str, kind: str) -> None:
    on, fault, words = LASTING[case]
    here.cloud.inject(on, fault, name=f"{kind}-*")
    error = here.deploy("--deps-cache-tag-write=main").failed()
    assert "location `sales`" in error
    assert words in error
    assert "hint: " in error
    if on == "PUT":
        assert here.built()[kind]["file"] in error
    here.assert_untouched()
    assert "deployLocations" not in here.cloud.operations()
    if case == "one byte corrupted":
        # What is there by now is not taken for what was sent.
        here.cloud.heal()
        here.deploy().succeeded()
        here.assert_whole()


def test_what_did_not_arrive_has_no_tick(here: Deploying) -> None:
    here.cloud.inject("PUT", faults.Status(403))
    here.deploy().failed()
    assert not [line for line in here.said[-1].splitlines() if line.startswith("✓") and "upload" in line]


def test_a_store_that_never_answers_is_given_up(here: Deploying) -> None:
    here.cloud.inject("PUT", faults.Hang(), name="source-*")
    error = here.deploy("--upload-timeout=1").failed()
    assert "source-" in error
    assert "1 s" in error
    here.assert_untouched()


@pytest.mark.parametrize("kind", ["deps", "source"])
def test_what_is_there_damaged_is_sent_again(here: Deploying, kind: str) -> None:
    here.deploy().succeeded()
    file = here.built()[kind]["file"]
    here.cloud.storage.put_object(file, b"?" + here.cloud.objects()[file][1:])
    here.sent()
    here.deploy().succeeded()
    assert here.sent() == [kind]
    here.assert_whole()


def damage_at_update(here: Deploying, monkeypatch: pytest.MonkeyPatch, kind: str, *, times: int) -> None:
    """Have the store damage a file just when the location is updated, so that it does not load."""
    organization, storage = here.cloud.organization, here.cloud.storage
    deploy = organization.deploy
    updates: list[str] = []

    def damage(deployment: Deployment, document: Mapping[str, Any]) -> LocationRecord:
        updates.append(document["location_name"])
        organization.load_errors.clear()
        if len(updates) <= times:
            tag = document["pex_metadata"]["pex_tag"].removeprefix("files=")
            (file,) = (name for name in tag.split(":") if name.startswith(kind))
            storage.put_object(file, b"?" + here.cloud.objects()[file][1:])
            organization.load_errors["sales"] = faults.PythonError("BadZipFile: bad magic number\n")
        return deploy(deployment, document)

    monkeypatch.setattr(organization, "deploy", damage)


@pytest.mark.parametrize("kind", ["deps", "source"])
def test_what_the_server_cannot_load_is_compared_and_sent_again(
    here: Deploying, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    damage_at_update(here, monkeypatch, kind, times=1)
    ran = here.deploy().succeeded()
    file = here.built()[kind]["file"]
    assert f"\nthe registry's `{file}` was damaged; it was sent again\n" in ran.stderr
    assert "another run updated" not in ran.stderr
    assert here.cloud.operations().count("deployLocations") == 2
    here.assert_whole()


def test_what_is_damaged_each_time_is_the_error_of_the_location(
    here: Deploying, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage_at_update(here, monkeypatch, "deps", times=9)
    error = here.deploy().failed()
    assert "BadZipFile" in error
    assert here.cloud.operations().count("deployLocations") == 2
    # The next run heals it.
    here.cloud.organization.load_errors.clear()
    monkeypatch.undo()
    here.deploy().succeeded()
    here.assert_whole()


def test_code_that_does_not_load_is_not_sent_again(here: Deploying) -> None:
    here.cloud.organization.load_errors["sales"] = faults.PythonError("ValueError: no\n")
    assert "ValueError: no" in here.deploy().failed()
    assert here.sent() == ["deps", "source"]
    assert "was damaged" not in here.said[-1]


def test_a_damaged_deps_pex_of_the_cache_is_named_with_the_way_out(
    here: Deploying, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.deploy("--deps-cache-tag-write=main").succeeded()
    damage_at_update(here, monkeypatch, "deps", times=9)
    error = here.deploy("--deps-cache-tag-read=main").failed()
    assert f"`{here.built()['deps']['file']}`, which was not built now, is damaged" in error
    assert "--force-rebuild-deps" in error


RECORD_FAULTS: dict[str, tuple[str, faults.Fault]] = {
    "PUT 500": ("PUT", faults.Status(500)),
    "PUT 403": ("PUT", faults.Status(403)),
    "PUT damaged": ("PUT", faults.Corrupt(one_byte=True)),
    "PUT lost": ("PUT", faults.Lose()),
    "no URL": ("generateServerlessPexUrl:PUT", faults.NullUrl()),
    "GET 500": ("GET", faults.Status(500)),
    "GET damaged": ("GET", faults.Corrupt()),
    "GET without URL": ("generateServerlessPexUrl:GET", faults.GraphQLErrors("no such key")),
}


@pytest.mark.parametrize("case", RECORD_FAULTS)
def test_a_record_that_cannot_be_had_is_a_warning(here: Deploying, case: str) -> None:
    on, fault = RECORD_FAULTS[case]
    here.cloud.inject(on, fault, name="requirements-*")
    ran = here.deploy("--deps-cache-tag-read=main", "--deps-cache-tag-write=main").succeeded()
    assert re.search(r"(the record of|`requirements-).*; (they are built|without this record)", ran.stderr)
    assert "warning: " not in ran.stderr
    here.assert_whole()


def test_a_location_does_not_wait_for_the_files_of_another(here: Deploying) -> None:
    here.locations("sales", "stock")
    here.run_before("stock")
    here.deploy("--location=stock").succeeded()
    stock = here.built("stock")["source"]["file"]
    here.cloud.inject("PUT", faults.Status(403), name="source-*")
    error = here.deploy().failed()
    assert "location `sales`" in error
    assert "stock" not in error
    assert here.runs("sales") == OLD
    assert stock in (here.runs("stock") or "")


@pytest.mark.parametrize("fault", [faults.NullUrl(), faults.FewerUrls()])
def test_a_file_without_a_url_is_that_of_its_location_alone(here: Deploying, fault: faults.Fault) -> None:
    here.locations("sales", "stock")
    here.deploy("--location=stock").succeeded()
    stock = here.built("stock")["source"]["file"]
    here.cloud.storage.delete_object(stock)
    here.cloud.inject("generateServerlessPexUrl:PUT", fault, name=stock)
    error = here.deploy().failed()
    assert "location `stock`" in error
    assert "gave no URL" in error
    assert "sales" not in error
    here.assert_whole("sales")


# The update

REFUSED: dict[str, tuple[faults.Fault, str]] = {
    "invalid": (faults.InvalidLocation(("no image of that name", "no agent queue `x`")), "no agent queue `x`"),
    "unauthorized": (faults.Unauthorized(), "the token may not update"),
    "python error": (faults.PythonError("Exception: the database is gone\n"), "the database is gone"),
    "errors": (faults.GraphQLErrors("Trace 1234"), "Trace 1234"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_update_that_is_refused_is_told_in_the_servers_words(here: Deploying, case: str) -> None:
    fault, words = REFUSED[case]
    here.cloud.inject("deployLocations", fault)
    error = here.deploy().failed()
    assert words in error
    assert "location `sales`" in error
    assert here.runs() == OLD


def test_an_update_whose_answer_is_lost_is_looked_after(here: Deploying) -> None:
    here.cloud.inject("deployLocations", faults.LostReply(), times=1)
    here.deploy().succeeded()
    here.assert_whole()


def test_an_update_of_which_nobody_knows_is_not_called_none(here: Deploying) -> None:
    here.cloud.inject("deployLocations", faults.LostReply())
    here.cloud.inject("workspaceOrError", faults.GraphQLErrors(), after=2)
    ran = here.deploy()
    assert "could not be found out whether `sales` was updated" in ran.failed()
    assert "nothing was updated" not in ran.stderr
    assert "✓ updated" not in ran.stderr


def test_a_server_that_updates_one_by_one_and_refuses_one(here: Deploying) -> None:
    here.locations("sales", "stock", "staff")
    here.cloud.inject("deployLocations", faults.GraphQLErrors("Cannot query field 'deployLocations' on type 'M'."))
    here.cloud.inject("addOrUpdateLocationFromDocument", faults.InvalidLocation(("no queue `x`",)), name="stock")
    ran = here.deploy()
    error = ran.failed()
    assert "no queue `x`" in error
    assert "locations `stock`, `staff`: " in error
    assert "✓ updated `sales` in `prod`" in ran.stderr
    assert "location `sales` is loaded" in ran.stderr
    here.assert_whole("sales")
    assert here.runs("staff") is None


def test_maintenance_is_waited_for(here: Deploying) -> None:
    here.cloud.inject("graphql", faults.Maintenance("Back at six", retry_interval=0.2), times=2)
    ran = here.deploy().succeeded()
    assert "Back at six" in ran.stderr
    here.assert_whole()


@pytest.mark.parametrize("token", ["", "user:wrong"])
def test_a_token_that_does_not_do_is_told_before_anything_is_built(here: Deploying, token: str) -> None:
    error = here.deploy(env={"DAGSTER_CLOUD_API_TOKEN": token}).failed()
    assert "DAGSTER_CLOUD_API_TOKEN" in error
    # The build has begun, of which nothing is to be seen.
    assert "✓" not in error
    assert not here.place.artefacts()


@pytest.mark.parametrize("name", ["prd", "facade"])
def test_a_deployment_that_is_not_there_is_told_before_anything_is_built(here: Deploying, name: str) -> None:
    error = here.deploy(f"--deployment={name}").failed()
    assert f"there is no deployment `{name}`" in error
    assert "prod" in error
    assert not here.place.artefacts()


# Loading

_IN_VENV = "lib/python3.11/site-packages"
USERS = (
    f'  File "/venvs/1/{_IN_VENV}/working_directory/root/sales/jobs.py", line 7, in <module>\n    import pandas\n'
)
DAGSTERS = f'  File "/venvs/2/{_IN_VENV}/dagster/_core/code_pointer.py", line 141, in load\n    x()\n'


def test_a_load_error_is_told_with_the_users_own_frames(here: Deploying) -> None:
    here.cloud.organization.load_errors["sales"] = faults.PythonError(
        "ModuleNotFoundError: No module named 'pandas'\n", (DAGSTERS, USERS)
    )
    error = here.deploy().failed()
    assert "No module named 'pandas'" in error
    assert "sales/jobs.py" in error
    assert "code_pointer" not in error
    here.assert_whole()


def test_a_location_that_fails_does_not_keep_the_others_from_finishing(here: Deploying) -> None:
    here.locations("sales", "stock")
    here.cloud.organization.load_errors["sales"] = faults.PythonError("ValueError: no\n", (USERS,))
    ran = here.deploy()
    assert "location `sales`" in ran.failed()
    assert "location `stock` is loaded" in ran.stderr
    here.assert_whole("stock")


def test_an_old_version_that_still_shows_is_not_taken_for_the_new_one(here: Deploying) -> None:
    here.cloud.organization.polls_to_load = None
    error = here.deploy("--wait-timeout=1").failed()
    assert "was updated" in error
    assert "is loaded" not in here.said[-1]


def test_a_poll_that_fails_among_good_ones_does_not_matter(here: Deploying) -> None:
    here.cloud.organization.polls_to_load = 2
    here.cloud.inject("workspaceOrError", faults.GraphQLErrors(), after=3, times=1)
    here.deploy().succeeded()
    assert not here.cloud.unused_faults()


def test_an_agent_that_never_reports_is_told_of(here: Deploying) -> None:
    here.cloud.organization.polls_to_load = None
    here.cloud.organization.agent_running = False
    error = here.deploy("--wait-timeout=1").failed()
    assert "agents of the deployment: 1 NOT_RUNNING" in error
    assert "No agent is running" in error
    assert f"{here.cloud.url}/prod/locations" in error


def test_nothing_is_waited_for_if_nobody_wants_to(here: Deploying) -> None:
    here.cloud.organization.polls_to_load = None
    ran = here.deploy("--no-wait").succeeded()
    assert "updated" in ran.stdout
    here.assert_whole()


# The cache's records


@pytest.mark.parametrize(
    "content",
    [
        b"\x00not json",
        b"[]",
        b'{"deps_pex_name": "deps-abc.pex"}',
        b'{"deps_pex_name": "deps-0123456789abcdef.pex", "dagster_version": "1.0"}',
        b'{"deps_pex_name": "deps-abc.pex:source-evil.pex", "dagster_version": "1.0"}',
        b'{"deps_pex_name": "../deps-abc.pex", "dagster_version": "1.0"}',
        b'{"deps_pex_name": "source-abc.pex", "dagster_version": "1.0"}',
    ],
)
def test_a_record_that_cannot_be_trusted_is_told_once_and_mended(here: Deploying, content: bytes) -> None:
    tags = ("--deps-cache-tag-read=main", "--deps-cache-tag-write=main")
    here.deploy(*tags).succeeded()
    ((name, good),) = here.records().items()
    here.cloud.storage.put_object(name, content)
    here.change()
    ran = here.deploy(*tags).succeeded()
    assert ran.stderr.count("\nthe record of cached dependencies ") == 1, ran.stderr
    assert name in ran.stderr
    assert here.records() == {name: good}
    here.assert_whole()
    assert "evil" not in (here.runs() or "")


def test_a_record_of_a_file_that_is_cut_off_is_not_trusted(here: Deploying) -> None:
    tags = ("--deps-cache-tag-read=main", "--deps-cache-tag-write=main")
    here.deploy(*tags).succeeded()
    file = here.built()["deps"]["file"]
    here.cloud.storage.put_object(file, here.cloud.objects()[file][:-1000])
    ran = here.deploy(*tags).succeeded()
    assert ran.stderr.count("\nthe record of cached dependencies ") == 1, ran.stderr
    here.assert_whole()


def test_a_hit_spares_building_and_sending_the_dependencies(here: Deploying) -> None:
    here.deploy("--deps-cache-tag-write=main").succeeded()
    record = json.loads(next(iter(here.records().values())))
    assert record["deps_pex_name"] == here.built()["deps"]["file"]
    here.sent()
    here.place.new_cache()
    for path in here.place.out.glob("deps-*.pex"):
        path.unlink()
    before = here.place.index.downloads()
    here.change()
    old = here.place.temporary / f"{storage.TEMPORARY_PREFIX}of-a-killed-run"
    old.mkdir()
    os.utime(old, (1, 1))
    here.deploy("--deps-cache-tag-read=main").succeeded()
    assert not old.exists()
    assert here.sent() == ["source"]
    assert [name for name in here.place.index.downloads()[len(before) :] if name.endswith(".whl")] == []
    assert not list(here.place.out.glob("deps-*.pex"))
    built = here.built()
    assert here.runs() == built["pex_tag"]
    # What is in it cannot be told without its wheels.
    assert (built["sbom"], built["deps"]["unpacked_size"], built["deps"]["largest"]) == (None, None, [])
    here.deploy("--deps-cache-tag-read=main", "--force-rebuild-deps").succeeded()
    assert list(here.place.out.glob("deps-*.pex"))


def test_a_tag_can_be_seeded_from_another(here: Deploying) -> None:
    here.deploy("--deps-cache-tag-write=main").succeeded()
    here.deploy("--deps-cache-tag-read=main", "--deps-cache-tag-write=größer/neu").succeeded()
    assert len(set(here.records().values())) == 1
    assert len(here.records()) == 2


# Again, and at once


def test_what_the_registry_has_is_not_sent_again(here: Deploying) -> None:
    here.deploy().succeeded()
    assert here.sent() == ["deps", "source"]
    here.deploy().succeeded()
    assert here.sent() == []
    here.change()
    here.deploy().succeeded()
    assert here.sent() == ["source"]


def test_two_runs_at_once_leave_one_whole_version(here: Deploying) -> None:
    first = here.start("--code-location-details=deployment=prod,commit_hash=aaaa111")
    second = here.start("--code-location-details=deployment=prod,commit_hash=bbbb222")
    outcomes = [here.finish(running) for running in (first, second)]
    assert 0 in [ran.code for ran in outcomes], outcomes
    for ran in outcomes:
        if ran.code:
            assert "replaced by another" in ran.error
    here.assert_whole()


def test_a_run_that_is_stopped_while_it_uploads_says_that_nothing_was_updated(here: Deploying) -> None:
    here.cloud.inject("PUT", faults.Hang())
    running = here.start("--code-location-details=deployment=prod,commit_hash=abc")
    here.cloud.wait_until_hanging()
    running.send(signal.SIGTERM)
    ran = here.finish(running)
    assert ran.code == 128 + signal.SIGTERM
    assert "stopped by SIGTERM; no code location was updated" in ran.stderr
    here.assert_untouched()
    here.place.assert_clean()


def test_a_run_that_is_stopped_while_it_waits_says_what_was_updated(here: Deploying) -> None:
    here.cloud.organization.polls_to_load = None
    here.cloud.inject("workspaceOrError", faults.Hang(), after=3)
    running = here.start("--code-location-details=deployment=prod,commit_hash=abc")
    here.cloud.wait_until_hanging()
    running.send(signal.SIGINT)
    ran = here.finish(running)
    assert ran.code == 128 + signal.SIGINT
    assert "stopped by SIGINT; what was updated may still load: `sales` of `prod`" in ran.stderr
    here.assert_whole()


def test_options_that_would_have_no_effect_are_refused(here: Deploying) -> None:
    workspace = here.place.root / "dagster_cloud.yaml"
    error = here.place.run("deploy", workspace, here.place.out, "--update-code-location").failed(2)
    assert "--update-code-location needs --upload-pex" in error
    error = here.place.run("deploy", workspace, here.place.out, "--upload-pex", "--no-wait").failed(2)
    assert "--wait/--no-wait needs --update-code-location" in error
