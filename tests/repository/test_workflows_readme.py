""".github/workflows/README.md: what a fork copies calls the workflows rightly, and what is typed starts it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.programs import REPOSITORY

WORKFLOWS = REPOSITORY / ".github" / "workflows"
TEXT = (WORKFLOWS / "README.md").read_text(encoding="utf-8")
CALLERS = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
STARTS = re.findall(r"^(gh workflow run .+?)$", TEXT.replace("\\\n", " "), re.MULTILINE)

_REPOSITORY = "OWNER/builder/.github/workflows/"


def _inputs(workflow: str, trigger: str) -> dict[str, dict[str, Any]]:
    # YAML 1.1 takes the key `on` for a truth value.
    found: dict[str, dict[str, Any]] = yaml.safe_load(workflow)[True][trigger]["inputs"]
    return found


@pytest.mark.parametrize("caller", CALLERS, ids=["of packages", "of a pull request"])
def test_a_caller_is_valid(caller: str, tmp_path: Path) -> None:
    # By which actionlint knows a repository.
    (tmp_path / ".git").mkdir()
    shutil.copytree(WORKFLOWS, tmp_path / ".github" / "workflows")
    # Of a workflow in the same repository, actionlint compares the inputs with what the caller gives.
    here = caller.replace(_REPOSITORY, "./.github/workflows/").replace("@COMMIT", "")
    assert here != caller
    path = tmp_path / ".github" / "workflows" / "packages.yml"
    for text, arguments in (
        (here, ["actionlint"]),
        (caller.replace("COMMIT", "0" * 40), ["zizmor", "--offline", "--no-progress", "--pedantic"]),
    ):
        path.write_text(text, encoding="utf-8")
        program, *options = arguments
        argv: list[str | Path] = [Path(sys.executable).parent / program, *options, path]
        ran = subprocess.run(argv, cwd=tmp_path, capture_output=True, encoding="utf-8", check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    (job,) = yaml.safe_load(caller)["jobs"].values()
    called = yaml.safe_load((WORKFLOWS / job["uses"].removeprefix(_REPOSITORY).partition("@")[0]).read_text())
    needed = {scope for each in called["jobs"].values() for scope in each["permissions"].items()}
    assert {name for name, _access in needed} == set(job["permissions"])
    assert {name for name, access in needed if access == "write"} == {
        name for name, access in job["permissions"].items() if access == "write"
    }


def test_the_caller_of_packages_passes_each_input_on() -> None:
    inputs = _inputs(CALLERS[0], "workflow_dispatch")
    (job,) = yaml.safe_load(CALLERS[0])["jobs"].values()
    assert set(job["with"]) == set(inputs)
    assert all(f"inputs.{name}" in value for name, value in job["with"].items())
    theirs = _inputs((WORKFLOWS / "build-and-publish-packages.yml").read_text(), "workflow_dispatch")
    assert all(theirs[name].get("options") == each.get("options") for name, each in inputs.items())


@pytest.mark.parametrize("line", STARTS)
@pytest.mark.parametrize("own", [False, True], ids=["in a fork", "in the builder's repository"])
def test_what_starts_a_run_names_inputs_that_there_are(line: str, *, own: bool) -> None:
    words = shlex.split(line)
    assert words[:4] == ["gh", "workflow", "run", "packages.yml"]
    given = dict(word.split("=", 1) for word in words[5::2])
    assert words[4::2] == ["-f"] * len(given)
    workflow = CALLERS[0]
    if own:
        workflow = (WORKFLOWS / "build-and-publish-packages.yml").read_text()
        given["repository"] = "OWNER/dagster"
    inputs = _inputs(workflow, "workflow_dispatch")
    assert set(given) <= set(inputs)
    for name, value in given.items():
        kind = inputs[name]["type"]
        assert kind != "boolean" or value in {"true", "false"}
        assert kind != "choice" or value in inputs[name]["options"]


def test_there_are_such_texts() -> None:
    assert (len(CALLERS), len(STARTS)) == (2, 3)
