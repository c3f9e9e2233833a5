"""A location counts as loaded when the server has loaded the version that was deployed."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from dagster_shared.error import SerializableErrorInfo

from builder.deployment import loading
from builder.deployment.cloud import DagsterCloudClient
from builder.deployment.loading import wait_until_loaded
from builder.errors import LoadError
from builder.system import process
from tests.support.cloud import CloudServer, faults

GOOD = "files=deps-1.pex:source-1.pex"
OTHER = "files=deps-1.pex:source-2.pex"

SITE = "/venvs/0a1b2c3d4e5f/lib/python3.11/site-packages"
DEPS = "/venvs/ffffffffffff/lib/python3.11/site-packages"


@pytest.fixture
def server(server: CloudServer, monkeypatch: pytest.MonkeyPatch) -> CloudServer:
    """The room's, with an agent that loads whatever is deployed at the next look."""
    server.organization.load_errors.clear()
    server.organization.polls_to_load = 1
    server.organization.agent_running = True
    monkeypatch.setattr(loading, "INTERVAL", 0.001)
    return server


def deploy(server: CloudServer, *names: str, tag: str = GOOD, commit: str = "1a2b3c") -> dict[str, str]:
    for name in names:
        source = {"package_name": "sales"}
        document: dict[str, Any] = {"location_name": name, "code_source": source, "git": {"commit_hash": commit}}
        document["pex_metadata"] = {"pex_tag": tag, "python_version": "3.11"}
        server.organization.deploy(server.deployments["prod"], document)
    return dict.fromkeys(names, tag)


class Settled(list[tuple[str, str | None]]):
    """What was told of locations, in order."""

    def __call__(self, name: str, error: LoadError | None) -> None:
        self.append((name, error.what if error else None))


def wait(
    cloud: DagsterCloudClient, expected: dict[str, str], timeout: float = 60, told: Settled | None = None
) -> dict[str, LoadError | None]:
    loaded = Settled() if told is None else told
    return wait_until_loaded(cloud, "prod", expected, label="`prod`", before={}, timeout=timeout, loaded=loaded)


def failure(outcome: dict[str, LoadError | None], name: str = "sales") -> LoadError:
    error = outcome[name]
    assert error is not None
    return error


def test_locations_are_told_as_they_load(cloud: DagsterCloudClient, server: CloudServer) -> None:
    told = Settled()
    expected = deploy(server, "sales")
    server.organization.polls_to_load = 3
    expected |= deploy(server, "stock")

    outcome = wait(cloud, expected, told=told)

    assert outcome == {"sales": None, "stock": None}
    assert told == [("sales", None), ("stock", None)]


def test_an_old_version_that_still_shows_as_loaded_is_not_taken_for_the_new_one(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    server.organization.polls_to_load = 0
    deploy(server, "sales", tag=OTHER)
    server.organization.polls_to_load = 4
    expected = deploy(server, "sales")

    assert wait(cloud, expected) == {"sales": None}

    # Four looks saw the old version, loaded; the fifth the new one.
    assert server.operations().count("workspaceOrError") == 5


def test_the_error_of_an_old_version_is_not_told_of_the_new_one(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    server.organization.polls_to_load = 0
    server.organization.load_errors["sales"] = faults.PythonError()
    deploy(server, "sales", tag=OTHER)
    server.organization.load_errors.clear()
    server.organization.polls_to_load = 2

    assert wait(cloud, deploy(server, "sales")) == {"sales": None}


def test_a_load_error_is_told_with_the_users_frames_while_others_load(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    server.organization.load_errors["sales"] = faults.PythonError(
        "dagster._core.errors.DagsterUserCodeLoadError: Error occurred during the loading\n",
        (f'  File "{DEPS}/dagster/_grpc/server.py", line 300, in load\n    yield\n',),
        (
            (
                True,
                faults.PythonError(
                    "ModuleNotFoundError: No module named 'nowhere'\n",
                    (
                        f'  File "{DEPS}/dagster/_core/code_pointer.py", line 137, in load\n    go()\n',
                        '  File "<frozen importlib._bootstrap>", line 1204, in _gcd_import\n',
                        f'  File "{SITE}/working_directory/root/sales/a.py", line 7, in <module>\n    go()\n',
                        f'  File "{SITE}/helpers/__init__.py", line 1, in <module>\n    import nowhere\n',
                    ),
                ),
            ),
        ),
    )
    told = Settled()

    outcome = wait(cloud, deploy(server, "sales", "stock"), told=told)

    error = failure(outcome)
    assert error.what == (
        "the location `sales` was updated in `prod`, but does not load there:"
        " ModuleNotFoundError: No module named 'nowhere'"
    )
    assert (error.detail or "").splitlines() == [
        "sales/a.py:7 in <module>",
        "  go()",
        "helpers/__init__.py:1 in <module>",
        "  import nowhere",
        "ModuleNotFoundError: No module named 'nowhere'",
    ]
    assert f"{server.url}/prod/locations" in (error.remedy or "")
    assert outcome["stock"] is None
    assert told == [("sales", error.what), ("stock", None)]


def test_packages_of_the_source_pex_are_the_users_without_the_working_directory_too(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    server.organization.load_errors["sales"] = faults.PythonError(
        "ValueError: broken\n",
        (
            f'  File "{DEPS}/dagster/_grpc/server.py", line 300, in load\n    yield\n',
            f'  File "{DEPS}/pandas/io.py", line 3, in read\n    parse()\n',
            f'  File "{SITE}/helpers/__init__.py", line 1, in <module>\n    raise\n',
        ),
    )

    detail = failure(wait(cloud, deploy(server, "sales"))).detail or ""

    assert detail.splitlines() == ["helpers/__init__.py:1 in <module>", "  raise", "ValueError: broken"]


def test_an_error_without_frames_of_the_users_keeps_its_words(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    stack = (f'  File "{DEPS}/dagster/_grpc/server.py", line 300, in load\n    yield\n',)
    server.organization.load_errors["sales"] = faults.PythonError("Exception: Timed out after 180s\n", stack)

    error = failure(wait(cloud, deploy(server, "sales")))

    assert error.what.endswith("does not load there: Exception: Timed out after 180s")
    assert error.detail is None


def call(details: str) -> faults.PythonError:
    """The error of a call to the code server, as gRPC words it."""
    return faults.PythonError(
        "grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated with:\n"
        f'\tstatus = StatusCode.UNAVAILABLE\n\tdetails = "{details}"\n'
        f'\tdebug_error_string = "UNKNOWN:Error received from peer {{grpc_message:"{details}"}}"\n>\n',
        (f'  File "{DEPS}/dagster/_grpc/client.py", line 202, in _query\n    raise\n',),
    )


MISSING = "ModuleNotFoundError: No module named 'my_dagster'"
TRACED = SerializableErrorInfo(
    "dagster._core.errors.DagsterUserCodeLoadError: Error occurred during the loading of Dagster definitions in\n"
    "module_name=sales\n",
    [f'  File "{DEPS}/dagster/_grpc/server.py", line 504, in __init__\n    self._load()\n    ^^^^^^^^^^\n'],
    "DagsterUserCodeLoadError",
    SerializableErrorInfo(
        f"{MISSING}\n",
        [
            f'  File "{DEPS}/dagster/_core/code_pointer.py", line 137, in load\n    go()\n',
            f'  File "{SITE}/working_directory/root/sales/a.py", line 7, in <module>\n    import my_dagster\n',
        ],
        "ModuleNotFoundError",
    ),
).to_string()
"""What the receiving server makes of an error of the code."""

AT = ["sales/a.py:7 in <module>", "  import my_dagster", MISSING]
UNREACHABLE = "dagster._core.errors.DagsterUserCodeUnreachableError: "


SALES = f"{SITE}/working_directory/root/sales/a.py"
SYNTAX = f'  File "{SALES}", line 3\n    def f(:\n          ^\nSyntaxError: invalid syntax\n'
AT_SYNTAX = ["sales/a.py:3", "    def f(:", "          ^", "SyntaxError: invalid syntax"]
WRAPPED = SerializableErrorInfo(
    "dagster._core.errors.DagsterUserCodeLoadError: Error occurred\n",
    [],
    "DagsterUserCodeLoadError",
    SerializableErrorInfo(SYNTAX, [], "SyntaxError"),
).to_string()
LOG = (
    f'Traceback (most recent call last):\n  File "{DEPS}/dagster/load.py", line 137, in load\n    go()\n'
    f'  File "{SALES}", line 7, in <module>\n    import my_dagster\n{MISSING}\n'
)
LOG_OF_SYNTAX = f'Traceback (most recent call last):\n  File "{DEPS}/a.py", line 1, in load\n    go()\n{SYNTAX}'
WAITED = "Exception: Timed out after waiting 180s for server sales:4000."
UNAVAILABLE = f"{UNREACHABLE}Could not reach user code server. gRPC Error code: UNAVAILABLE"
RECENT = SerializableErrorInfo(
    f"{UNAVAILABLE}\n",
    [],
    "DagsterUserCodeUnreachableError",
    SerializableErrorInfo(call("failed to connect to all addresses").message, [], "_InactiveRpcError"),
)
"""As `dagster_cloud.workspace.user_code_launcher` quotes it."""


@pytest.mark.parametrize(
    "message, cause, shown",
    [
        (f"{UNREACHABLE}Could not reach user code server\n", call(f"Code server failed: {WRAPPED}"), AT_SYNTAX),
        (f"dagster._core.errors.DagsterUserCodeProcessError: {SYNTAX}", None, AT_SYNTAX),
        (f"{WAITED}\n\nPod logs:\n{LOG}\n\nMost recent connection error: {RECENT}", None, AT),
        (f"{WAITED}\n\nPod logs:\n{LOG_OF_SYNTAX}", None, AT_SYNTAX),
        (
            f"{WAITED}\n\nMost recent connection error: {RECENT}",
            None,
            [WAITED, "", f"Most recent connection error: {UNAVAILABLE}"],
        ),
        (f"dagster._core.errors.DagsterUserCodeLoadError: {MISSING}\n", call("Socket closed"), [MISSING]),
        (f"{UNREACHABLE}Could not reach user code server\n", call(f"Code server failed: {MISSING}"), [MISSING]),
        (f"{UNREACHABLE}Could not reach user code server\n", call(f"Code server failed: {TRACED}"), AT),
        (f"{UNREACHABLE}Failure loading server endpoint for prod:sales:\n{TRACED}", call("Socket closed"), AT),
        (f"{UNREACHABLE}Failure loading server endpoint for prod:sales:\n{MISSING}", None, [MISSING]),
        (f"dagster._core.errors.DagsterUserCodeProcessError: {TRACED}", None, AT),
        (f"{MISSING}\n", call("Socket closed"), [MISSING]),
        (
            f"{UNREACHABLE}Could not reach user code server\n",
            call("Code server failed: code server subprocess unexpectedly exited with 1:"),
            ["code server subprocess unexpectedly exited with 1:"],
        ),
        # Nothing of it speaks of the code.
        (
            f"{UNREACHABLE}Could not reach user code server. gRPC Error code: UNAVAILABLE\n",
            call("Socket closed"),
            [
                "_InactiveRpcError: StatusCode.UNAVAILABLE: Socket closed",
                "which led to",
                "DagsterUserCodeUnreachableError: Could not reach user code server. gRPC Error code: UNAVAILABLE",
            ],
        ),
        (
            "dagster._core.errors.DagsterUserCodeLoadError: Error occurred during the loading\n",
            call("Socket closed"),
            ["_InactiveRpcError: StatusCode.UNAVAILABLE: Socket closed"],
        ),
        # What the user's code quotes is its own words.
        ("ValueError: got KeyError: 'a'\n", None, ["ValueError: got KeyError: 'a'"]),
    ],
)
def test_what_speaks_of_the_users_code_is_shown_wherever_it_stands(
    cloud: DagsterCloudClient,
    server: CloudServer,
    message: str,
    cause: faults.PythonError | None,
    shown: list[str],
) -> None:
    stack = (f'  File "{DEPS}/dagster/_grpc/client.py", line 202, in _query\n    raise\n',)
    chain = ((True, cause),) if cause else ()
    server.organization.load_errors["sales"] = faults.PythonError(message, stack, chain)

    error = failure(wait(cloud, deploy(server, "sales")))

    said = WAITED if WAITED in shown else shown[-1]
    # Nothing is told twice.
    assert (error.detail or "").splitlines() == (shown if len(shown) > 1 else [])
    assert error.what.endswith(f" but does not load there: {said}")


@pytest.mark.parametrize(
    "line, place, message",
    [
        ('os.environ["API_URL"]', '  File "<frozen os>", line 679, in __getitem__\n', "KeyError: 'API_URL'\n"),
        (
            "URL = EnvVar('API_URL').get_value().lower()",
            "",
            "AttributeError: 'NoneType' object has no attribute 'lower'\n",
        ),
    ],
)
def test_a_variable_that_only_the_server_lacks_is_named(
    cloud: DagsterCloudClient, server: CloudServer, line: str, place: str, message: str
) -> None:
    root = "/venvs/1f/lib/python3.11/site-packages/working_directory/root"
    stack = (
        f'  File "{DEPS}/dagster/_grpc/server.py", line 417, in __init__\n    self._load()\n',
        f'  File "{root}/sales/a.py", line 7, in <module>\n    {line}\n',
        *([place] if place else []),
    )
    server.organization.load_errors["sales"] = faults.PythonError(message, stack)
    error = failure(wait(cloud, deploy(server, "sales")))
    assert error.what.endswith("there: its code needs the environment variable `API_URL`, which is not set")
    assert (error.remedy or "").startswith("Set `API_URL` in Dagster+ under Deployment, Environment variables;")


@pytest.mark.parametrize(
    "fault", [faults.GraphQLErrors(), faults.Status(500), faults.Status(503), faults.Reset(), faults.NullData()]
)
def test_a_failing_look_among_good_ones_does_not_matter(
    cloud: DagsterCloudClient, server: CloudServer, fault: faults.Fault
) -> None:
    server.organization.polls_to_load = 3
    server.inject("workspaceOrError", fault, after=1, times=2)

    assert wait(cloud, deploy(server, "sales")) == {"sales": None}


def test_a_server_that_cannot_be_asked_any_more_is_told_of_each_location(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    server.inject("workspaceOrError", faults.Status(500))
    told = Settled()

    outcome = wait(cloud, deploy(server, "sales", "stock"), told=told)

    assert server.operations().count("workspaceOrError") == loading.FAILURES
    assert "`stock` was updated in `prod`, but it could not be found out" in failure(outcome, "stock").what
    assert "HTTP 500" in failure(outcome).what
    assert len(told) == 2


def test_a_location_that_another_run_deployed_meanwhile_is_told(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    expected = deploy(server, "sales", "stock")
    server.organization.polls_to_load = None
    deploy(server, "stock")

    def others(name: str, _error: LoadError | None) -> None:
        # Both were there at this look; now somebody else comes.
        if name == "sales":
            deploy(server, "stock", tag=OTHER, commit="9f9f9f")

    outcome = wait_until_loaded(cloud, "prod", expected, label="`prod`", before={}, timeout=60, loaded=others)

    assert outcome["sales"] is None
    assert "`stock` was updated in `prod`, but then replaced by another deploy" in failure(outcome, "stock").what
    assert "9f9f9f" in failure(outcome, "stock").what


def test_a_deploy_between_ours_and_the_first_look_is_told_at_once(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    deploy(server, "sales", tag=OTHER)
    before = cloud.entries("prod")
    expected = deploy(server, "sales")
    server.organization.polls_to_load = None
    deploy(server, "sales", tag="files=deps-1.pex:source-3.pex")

    outcome = wait_until_loaded(
        cloud, "prod", expected, label="`prod`", before=before, timeout=0, loaded=Settled()
    )

    assert "replaced by another deploy" in failure(outcome).what


def test_a_location_that_was_removed_meanwhile_is_told(cloud: DagsterCloudClient, server: CloudServer) -> None:
    expected = deploy(server, "sales")
    server.organization.polls_to_load = None
    expected |= deploy(server, "stock")

    def remove(_name: str, _error: LoadError | None) -> None:
        server.deployments["prod"].locations.pop("stock", None)

    outcome = wait_until_loaded(cloud, "prod", expected, label="`prod`", before={}, timeout=60, loaded=remove)

    assert "removed" in failure(outcome, "stock").what


@pytest.mark.parametrize("running", [True, False])
def test_an_agent_that_never_reports_is_told(
    cloud: DagsterCloudClient, server: CloudServer, *, running: bool
) -> None:
    server.organization.polls_to_load = None
    server.organization.agent_running = running

    error = failure(wait(cloud, deploy(server, "sales"), timeout=0))

    assert "was updated in `prod`, but was not loaded within 0 seconds" in error.what
    assert error.detail == f"agents of the deployment: 1 {'RUNNING' if running else 'NOT_RUNNING'}"
    assert ("No agent is running" in (error.remedy or "")) is not running
    assert "nothing was rolled back" in (error.remedy or "")


def test_an_old_version_that_stays_is_told_at_the_end(cloud: DagsterCloudClient, server: CloudServer) -> None:
    server.organization.polls_to_load = 0
    deploy(server, "sales", tag=OTHER)
    server.organization.polls_to_load = None

    error = failure(wait(cloud, deploy(server, "sales"), timeout=0))

    assert "still shows the version before" in error.what


def test_agents_that_cannot_be_asked_for_do_not_hide_the_time_out(
    cloud: DagsterCloudClient, server: CloudServer
) -> None:
    server.organization.polls_to_load = None
    server.inject("agents", faults.GraphQLErrors())

    error = failure(wait(cloud, deploy(server, "sales"), timeout=0))

    assert "not loaded within" in error.what
    assert "could not be asked for" in (error.detail or "")


def test_waiting_ends_with_the_run(
    cloud: DagsterCloudClient, server: CloudServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = threading.Event()
    stopping.set()
    monkeypatch.setattr(process, "stopping", stopping)
    server.organization.polls_to_load = None

    error = failure(wait(cloud, deploy(server, "sales")))

    assert "may still load" in error.what
    assert server.operations().count("workspaceOrError") == 1
