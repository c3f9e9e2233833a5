"""The workflows of GitHub Actions: linters accept them, and each of their scripts does its work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from builder.resolution import uv
from builder.system import storage
from tests.support.container_registry import PASSWORD, USER, ContainerRegistry, serving_containers
from tests.support.containers import Containers, container_settings, push_base, require_programs
from tests.support.monorepo import WEBAPP, add_special_packages, directory_of, make_monorepo
from tests.support.programs import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.containers]

EXAMPLE = REPOSITORY / "examples" / "workflows" / "deploy.yml"
WORKFLOWS = [
    *sorted((REPOSITORY / ".github" / "workflows").glob("*.yml")),
    *sorted((REPOSITORY / "examples" / "workflows").glob("[!g]*.yml")),
]
CORE, ALL = (
    REPOSITORY / ".github" / "workflows" / name
    for name in ("build-core-package.yml", "build-and-publish-packages.yml")
)
PULL_REQUEST = REPOSITORY / ".github" / "workflows" / "check-changed-packages.yml"

_SECONDS = 600
_BIN = Path(sys.executable).parent
_EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")


def _read(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def _steps(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in _read(path)["jobs"].items():
        for step in job["steps"]:
            yield name, step


def test_there_are_workflows() -> None:
    assert {CORE, ALL, PULL_REQUEST} <= set(WORKFLOWS)


@pytest.mark.parametrize(
    "command",
    [
        ("check-jsonschema", "--builtin-schema", "vendor.github-workflows"),
        ("zizmor", "--offline", "--no-progress", "--pedantic"),
        ("actionlint",),
    ],
    ids=lambda command: command[0],
)
def test_linters_accept_them(command: tuple[str, ...]) -> None:
    finished = subprocess.run(
        [_BIN / command[0], *command[1:], *WORKFLOWS], capture_output=True, encoding="utf-8", check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_script_has_anything_inserted_and_no_action_can_change(path: Path) -> None:
    for _job, step in _steps(path):
        assert "${{" not in step.get("run", "")
    for line in path.read_text(encoding="utf-8").splitlines():
        if "uses:" in line:
            # The example's own action has no commit yet.
            own = "uses: OWNER/builder@v1 # zizmor: ignore[unpinned-uses] its commit pins builder.pex too"
            pinned = re.fullmatch(r"\s*(- )?uses: [\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*", line)
            assert pinned or (path.parent == EXAMPLE.parent and line.strip() == own), line


def test_the_example_gives_secrets_to_no_job_that_runs_code_of_the_project() -> None:
    jobs = _read(EXAMPLE)["jobs"]
    assert "secrets." not in json.dumps(jobs["build"])
    assert "github.token" not in json.dumps(jobs["build"])
    assert not [step for step in jobs["deploy"]["steps"] if "run" in step]
    inputs = jobs["deploy"]["steps"][-1]["with"]
    # The cache of a job that runs code of the project may hold anything.
    assert (inputs["built"], inputs["cache"]) == ("true", "false")
    for _job, step in _steps(EXAMPLE):
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", [CORE, ALL], ids=lambda path: path.stem)
def test_jobs_have_the_python_for_which_packages_are_locked(path: Path) -> None:
    # GitHub's runners have another one on PATH, with which `check` cannot install what was locked for 3.11.
    for name, job in _read(path)["jobs"].items():
        scripts = "".join(step.get("run", "") for step in job["steps"])
        versions = [
            step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", "")
        ]
        assert versions == (["3.11"] if "packages.sh" in scripts else []), name


@pytest.mark.parametrize("path", [CORE, ALL], ids=lambda path: path.stem)
def test_nothing_is_left_half_done_and_no_job_may_more_than_it_must(path: Path) -> None:
    workflow = _read(path)
    assert workflow["concurrency"]["cancel-in-progress"] is False
    # Without it, the third of three pushes cancels the run of the second.
    assert workflow["concurrency"]["queue"] == "max"
    assert workflow["permissions"] == {}
    allowed = {"push": "packages", "pypi": "id-token"}
    for name, job in workflow["jobs"].items():
        writable = [scope for scope, access in job["permissions"].items() if access == "write"]
        assert writable == ([allowed[name]] if name in allowed else [])
        assert job["timeout-minutes"]
        assert job.get("strategy", {}).get("fail-fast", False) is False
    uploads = [step["with"] for _job, step in _steps(path) if "upload-artifact" in step.get("uses", "")]
    assert {upload["retention-days"] for upload in uploads} == {30, 1}


@pytest.mark.parametrize("path", [CORE, ALL], ids=lambda path: path.stem)
def test_nothing_of_a_package_runs_where_packages_can_be_written(path: Path) -> None:
    for name, job in _read(path)["jobs"].items():
        scripts = "".join(step.get("run", "") for step in job["steps"])
        commands = set(re.findall(r"packages\.sh (\w+)", scripts))
        if "packages" in job["permissions"]:
            assert commands == {"push"}, name
            # What it pushes came through storage that every job can write, and a job's outputs cannot be.
            assert "digest-of.sh images " in scripts
        if commands & {"check", "image"}:
            assert job["permissions"] == {"contents": "read"}
            assert "digest-of.sh wheelhouse " in scripts
            assert not commands - {"check"} or not commands - {"image"}, "each has a machine of its own"


@pytest.mark.parametrize("path", [CORE, ALL], ids=lambda path: path.stem)
def test_a_fork_calls_them_with_what_a_person_can_choose(path: Path) -> None:
    # YAML 1.1 takes the key `on` for a truth value.
    triggers = _read(path)[True]
    by_hand, by_call = ({*triggers[name]["inputs"]} for name in ("workflow_dispatch", "workflow_call"))
    # PyPI accepts no trusted publishing out of a reusable workflow.
    assert by_hand - by_call == ({"publish_to_pypi"} if path == ALL else set())
    assert by_call <= by_hand


def test_pypi_is_off_unless_asked_for() -> None:
    assert _read(ALL)[True]["workflow_dispatch"]["inputs"]["publish_to_pypi"]["default"] is False
    assert _read(ALL)["jobs"]["pypi"]["if"].startswith("${{ !cancelled() && inputs.publish_to_pypi && ")


def test_images_are_published_if_asked_for_and_where_nobody_could_be_asked() -> None:
    jobs = _read(ALL)["jobs"]
    # A truth value is `true` or `false` as a text, and empty where an event has no inputs: not for a person or a
    # caller who said no, on a tag either. No image is built that nobody takes.
    assert "&& (inputs.publish_to_ghcr || format('{0}', inputs.publish_to_ghcr) == '') }}" in jobs["image"]["if"]
    assert "needs.image.result != 'skipped'" in jobs["push"]["if"]


@dataclass(slots=True)
class Runner:
    """Runs the scripts of a workflow's jobs as a runner of GitHub Actions does.

    :param values: what each expression in an `env` of the workflow stands for.
    :param environment: of every script, as GitHub and the runner give it.
    """

    root: Path
    workflow: dict[Any, Any]
    values: dict[str, str]
    environment: dict[str, str]
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)

    def job(self, name: str, workspace: Path, overridden: Mapping[str, str]) -> None:
        """Run a job's scripts, those of the same step one after another; fails if one of them fails."""
        found = self.outputs[name] = {}
        job = self.workflow["jobs"][name]
        for step in job["steps"]:
            if "run" in step:
                found |= self.script(
                    step, [self.workflow.get("env", {}), job.get("env", {})], workspace, overridden
                )

    def script(
        self,
        step: Mapping[str, Any],
        outer: list[Mapping[str, str]],
        workspace: Path,
        overridden: Mapping[str, str],
    ) -> dict[str, str]:
        """Run one script; returns the outputs that it wrote."""
        environment = {**self.environment, "GITHUB_WORKSPACE": str(workspace)}
        for level in (*outer, step.get("env", {})):
            environment |= {name: self.evaluated(str(value)) for name, value in level.items()}
        output = self.root / "output"
        output.write_bytes(b"")
        script = self.root / "script.sh"
        script.write_text(step["run"], encoding="utf-8")
        finished = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
            cwd=workspace,
            env={**environment, **overridden, "GITHUB_OUTPUT": str(output)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=_SECONDS,
            check=False,
        )
        assert finished.returncode == 0, f"{step['name']}:\n{finished.stdout}"
        assert PASSWORD not in finished.stdout
        return dict(line.split("=", 1) for line in output.read_text(encoding="utf-8").splitlines())

    def evaluated(self, text: str) -> str:
        return _EXPRESSION.sub(lambda match: self.values[match[1]], text)

    def summary(self) -> str:
        return Path(self.environment["GITHUB_STEP_SUMMARY"]).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Hosted:
    """What the runner has: a registry, container programs, the builder checked out with its environment made."""

    root: Path
    registry: ContainerRegistry
    containers: Containers

    def workspace(self, name: str) -> Path:
        """A job's empty workspace with the builder checked out into it."""
        workspace = self.root / name
        builder = workspace / "builder"
        builder.mkdir(parents=True)
        for entry in ("builder", "scripts", "Pipfile.lock"):
            (builder / entry).symlink_to(REPOSITORY / entry)
        made = builder / ".venv-packages"
        (made / "bin").mkdir(parents=True)
        (made / "state").write_text(_environment_state(), encoding="utf-8")
        # These tests' own environment holds what make-venv.sh would install.
        python = made / "bin" / "python"
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
        python.chmod(0o755)
        return workspace

    def given(self, name: str, artefact: Path) -> Path:
        """Such a workspace with what an earlier job handed over."""
        workspace = self.workspace(name)
        shutil.copytree(artefact, workspace / artefact.name)
        return workspace

    def runner(self, path: Path, values: Mapping[str, str], **more: str) -> Runner:
        event = self.root / "event.json"
        event.write_text(json.dumps({"repository": {"default_branch": "master"}}), encoding="utf-8")
        summary = self.root / f"summary-{path.stem}"
        environment = {
            # How the network is reached, among others.
            **os.environ,
            **self.containers.environment,
            "BUILDER_CACHE_DIR": str(storage.cache_directory()),
            "BUILDER_UV": str(uv.executable()),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTOR": USER,
            "GITHUB_EVENT_NAME": "workflow_dispatch",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_REF": "refs/heads/master",
            "GITHUB_REF_NAME": "master",
            "GITHUB_REF_TYPE": "branch",
            "GITHUB_REPOSITORY": "Acme/dagster",
            "GITHUB_REPOSITORY_OWNER": "Acme",
            "GITHUB_RUN_NUMBER": "42",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_STEP_SUMMARY": str(summary),
            **more,
        }
        base = {"inputs.base || 'python:3.11-slim'": f"{self.registry.host}/library/python:3.11-slim"}
        return Runner(self.root, _read(path), {**_VALUES, **base, **values}, environment)


_PLATFORMS = "inputs.platforms || 'linux/amd64,linux/arm64'"
_VALUES = {
    "github.token": PASSWORD,
    _PLATFORMS: "linux/amd64",
    "inputs.repository || vars.MONOREPO || github.repository": "Acme/dagster",
    "inputs.publish_to_pypi": "false",
    "inputs.version": "",
    "inputs.scheme || 'next'": "next",
    "inputs.scheme || 'calver'": "calver",
    "matrix.group": "0",
}


def _environment_state() -> str:
    code = re.search(r"state=\$\(\"\$python\" -c '(.+?)'\)", _make_venv(), re.DOTALL)
    assert code is not None
    python = subprocess.run(
        [REPOSITORY / "scripts" / "find-python.sh"], capture_output=True, encoding="utf-8", check=True
    ).stdout.strip()
    return subprocess.run(
        [python, "-c", code[1]], cwd=REPOSITORY, capture_output=True, encoding="utf-8", check=True
    ).stdout


def _make_venv() -> str:
    return (REPOSITORY / "scripts" / "make-venv.sh").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Hosted]:
    require_programs()
    assert pytestconfig.cache is not None
    root = tmp_path_factory.mktemp("workflows")
    (root / "registry").mkdir()
    with serving_containers(root / "registry") as registry, container_settings(root, registry) as containers:
        push_base(registry, pytestconfig.cache.mkdir("container-base"))
        yield Hosted(root, registry, containers)


def test_a_core_package_is_built_checked_and_published(hosted: Hosted) -> None:
    values = {"inputs.package || 'dagster'": "dagster-pipes", "inputs.scheme || 'calver'": "dev"}
    runner = hosted.runner(CORE, values)
    here = {"REGISTRY": hosted.registry.host}
    building = hosted.workspace("core-build")
    make_monorepo(building / "packages", "setup.py")
    runner.job("build", building, here)
    version = runner.outputs["build"]["version"]
    assert re.fullmatch(r"1\.0\.0\.dev42\+[0-9a-f]{7}", version)
    runner.values["needs.build.outputs.wheels"] = runner.outputs["build"]["digest"]
    checking = hosted.given("core-check", building / "wheelhouse")
    runner.job("check", checking, {})
    imaging = hosted.given("core-image", building / "wheelhouse")
    runner.job("image", imaging, {})
    runner.values["needs.image.outputs.digest"] = runner.outputs["image"]["digest"]
    pushing = hosted.given("core-push", imaging / "images")
    runner.job("push", pushing, here)
    assert {version.replace("+", "-"), "latest"} <= hosted.registry.tags("acme/dagster-pipes")
    _reported(hosted, runner, "core-report", [building, checking, imaging, pushing])
    tag = version.replace("+", "-")
    (row,) = (line for line in runner.summary().splitlines() if "<code>dagster-pipes</code>" in line)
    assert all(part in row for part in (tag, "sha256", "passed"))


def test_a_package_that_is_not_of_the_core_is_refused(hosted: Hosted) -> None:
    runner = hosted.runner(CORE, {"inputs.package || 'dagster'": "$(touch hacked)"})
    workspace = hosted.workspace("core-refused")
    with pytest.raises(AssertionError, match="there is no core package of this name"):
        runner.job("build", workspace, {})
    assert not (workspace / "hacked").exists()


def test_packages_are_built_once_with_their_web_application_and_published(hosted: Hosted) -> None:
    chosen = "dagster-broken,dagster-cron,dagster-webserver"
    values = {"inputs.packages || 'all'": chosen, _PLATFORMS: "linux/amd64,linux/arm64"}
    # A tag names the version.
    tag = {
        "GITHUB_REF": "refs/tags/release-1.13.30",
        "GITHUB_REF_NAME": "release-1.13.30",
        "GITHUB_REF_TYPE": "tag",
    }
    runner = hosted.runner(ALL, values, GITHUB_EVENT_NAME="push", **tag)
    discovering = hosted.workspace("all-discover")
    made = make_monorepo(discovering / "packages", "pyproject", webapp=False)
    add_special_packages(made)
    runner.job("discover", discovering, {})
    found = runner.outputs["discover"]
    matrix = json.loads(found["matrix"])["include"]
    assert [share["packages"] for share in matrix] == chosen.split(",")
    assert found["native"] == "dagster-cron"
    assert found["version"] == "1.13.30"
    assert found["commit"] == made.git("rev-parse", "HEAD").strip()

    runner.values |= {
        "needs.discover.outputs.version": found["version"],
        "needs.discover.outputs.native": found["native"],
    }
    natively = hosted.given("all-native", discovering / "packages")
    runner.job("native", natively, {})
    runner.values["needs.native.outputs.wheels"] = runner.outputs["native"]["digest"]
    building = hosted.given("all-build", natively / "wheelhouse-arm64")
    shutil.copytree(discovering / "packages", building / "packages")
    runner.job("build", building, {"PATH": f"{_yarn_in(building)}:{os.environ['PATH']}"})
    wheels = [path.name for path in (building / "wheelhouse").glob("*.whl")]
    assert int(runner.outputs["build"]["count"]) == len(wheels) > 1
    assert "dagster_webserver-1.13.30-py3-none-any.whl" in wheels

    # All in one group, for the sake of time, and no image for the other architecture, which needs emulation.
    runner.values |= {"matrix.packages": chosen, _PLATFORMS: "linux/amd64"}
    runner.values["needs.build.outputs.wheels"] = runner.outputs["build"]["digest"]
    checking = hosted.given("all-check", building / "wheelhouse")
    runner.job("check", checking, {})
    assert runner.outputs["check"] == {"passed-0": "dagster-cron dagster-webserver"}
    runner.values["toJSON(needs.check.outputs)"] = json.dumps(runner.outputs["check"])
    imaging = hosted.given("all-image", building / "wheelhouse")
    runner.job("image", imaging, {})
    runner.values["toJSON(needs.image.outputs)"] = json.dumps(runner.outputs["image"])
    pushing = hosted.given("all-push", imaging / "images")
    runner.job("push", pushing, {"REGISTRY": hosted.registry.host})
    tags = hosted.registry.tags("acme/dagster-webserver")
    assert "1.13.30" in tags
    assert "latest" not in tags
    assert "0.29.30" in hosted.registry.tags("acme/dagster-cron")
    assert not hosted.registry.tags("acme/dagster-broken")

    report = _reported(hosted, runner, "all-report", [building, checking, imaging, pushing])
    assert "<code>dagster-webserver</code>" in runner.summary()
    checked = {each["name"]: each["state"] for each in report if "check" in each["steps"]}
    assert checked == {"dagster-broken": "excused", "dagster-cron": "passed", "dagster-webserver": "passed"}

    # All that passed and what that needs; of these names, one is the beginning of another.
    (dagster,) = (each for each in report if each["name"] == "dagster")
    dagster["publish"] = False
    published = _published(hosted, runner, building / "wheelhouse", report)
    assert published == sorted(name for name in wheels if not name.startswith(("dagster-", "dagster_broken")))


def _reported(hosted: Hosted, runner: Runner, name: str, workspaces: list[Path]) -> list[dict[str, Any]]:
    """The report on what earlier jobs left in their workspaces."""
    reporting = hosted.workspace(name)
    for workspace in workspaces:
        shutil.copytree(workspace / "results", reporting / "results", dirs_exist_ok=True)
    runner.job("report", reporting, {})
    packages: list[dict[str, Any]] = json.loads((reporting / "result.json").read_text(encoding="utf-8"))[
        "packages"
    ]
    return packages


def _published(hosted: Hosted, runner: Runner, wheelhouse: Path, report: list[dict[str, Any]]) -> list[str]:
    """The wheels that the job for PyPI takes of a wheelhouse, by the report."""
    workspace = hosted.given("all-pypi", wheelhouse)
    (workspace / "result.json").write_text(json.dumps({"packages": report}), encoding="utf-8")
    runner.job("pypi", workspace, {})
    return sorted(path.name for path in (workspace / "dist").iterdir())


def test_a_pull_request_has_what_it_changes_checked_and_nothing_is_published(hosted: Hosted) -> None:
    workflow = _read(PULL_REQUEST)
    assert workflow["permissions"] == {}
    assert [job["permissions"] for job in workflow["jobs"].values()] == [{"contents": "read"}]
    since = (
        "inputs.changed_since || format('origin/{0}', github.base_ref || github.event.repository.default_branch)"
    )
    runner = hosted.runner(PULL_REQUEST, {"inputs.packages": "all", since: "main"})
    workspace = hosted.workspace("pull-request")
    made = make_monorepo(workspace / "packages", "pyproject")
    add_special_packages(made)
    made.git("checkout", "-q", "-b", "change")
    places = {
        name: workspace / "packages" / directory_of(name) for name in ("dagster-broken", "dagster-cloud-cli")
    }
    (places["dagster-cloud-cli"] / "dagster_cloud_cli" / "new.py").write_text("answer = 42\n", encoding="utf-8")
    # What is known to fail may do so in the build, too.
    manifest = places["dagster-broken"] / "pyproject.toml"
    manifest.write_text(manifest.read_text().replace("hatchling.build", "hatchling.nothing"), encoding="utf-8")
    made.git("add", "--all")
    made.git("commit", "-q", "-m", "Change packages")
    runner.values["steps.discover.outputs.changed"] = ",".join(places)

    runner.job("check", workspace, {})

    assert runner.outputs["check"] == {"changed": ",".join(places)}
    report = json.loads((workspace / "result.json").read_text(encoding="utf-8"))["packages"]
    assert [each["name"] for each in report if "check" in each["steps"]] == ["dagster-cloud-cli"]
    (broken,) = (each for each in report if each["name"] == "dagster-broken")
    assert broken["state"] == "excused"
    assert "<code>dagster-cloud-cli</code>" in runner.summary()


@pytest.mark.parametrize("version", ["", "1.13.30+acme.1"])
def test_what_pypi_would_refuse_is_refused_before_anything_is_built(hosted: Hosted, version: str) -> None:
    values = {
        "inputs.packages || 'all'": "dagster-pipes",
        "inputs.publish_to_pypi": "true",
        "inputs.version": version,
    }
    workspace = hosted.workspace(f"pypi-{len(version)}")
    make_monorepo(workspace / "packages", "pyproject")
    with pytest.raises(AssertionError, match=r"give a version to publish"):
        hosted.runner(ALL, values).job("discover", workspace, {})


def _yarn_in(workspace: Path) -> Path:
    """A corepack whose Yarn builds the web application, as the repository's own script does with Node.js."""
    tools = workspace / "tools"
    tools.mkdir()
    corepack = tools / "corepack"
    corepack.write_text(
        "#!/bin/sh\nset -e\n"
        '[ "$*" = "yarn install --immutable" ] && exit\n'
        '[ "$*" = "yarn workspace @dagster-io/app-oss build" ]\n'
        f"mkdir -p ../{WEBAPP}\n"
        f"echo '<script src=app.js></script>' > ../{WEBAPP}/index.html\n"
        f"echo 'run();' > ../{WEBAPP}/app.js\n",
        encoding="utf-8",
    )
    corepack.chmod(0o755)
    return tools


@pytest.mark.parametrize("failing", ["", "build", "check"])
def test_the_summary_says_how_each_job_went_and_fails_with_them(hosted: Hosted, failing: str) -> None:
    names = ("discover", "build", "check", "image", "push", "report")
    results = {name: {"result": "failure" if name == failing else "success"} for name in names}
    needs = json.dumps({**results, "pypi": {"result": "skipped"}})
    values = {"inputs.packages || 'all'": "dagster-*", "toJSON(needs)": needs}
    runner = hosted.runner(ALL, values)
    workspace = hosted.workspace(f"summary-{failing}")
    if failing:
        with pytest.raises(AssertionError):
            runner.job("summary", workspace, {})
        assert f"| {failing} | failure |" in runner.summary()
    else:
        runner.job("summary", workspace, {})
    assert "| pypi | skipped |" in runner.summary()
