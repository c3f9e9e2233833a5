"""When a local package is built again: when what its build reads has changed, or cannot be known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

import pytest

from builder.resolution import uv
from builder.resolution.backend import LocalPackages
from builder.system import process
from tests.support.local_packages import PYTHON, answer, commit_all, probe, project, system
from tests.support.package_shapes import SHAPES, lay_out
from tests.support.repositories import Repository

pytestmark = [pytest.mark.slow, pytest.mark.network]

P = ParamSpec("P")


class Builds:
    """Counts uv's builds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number = 0
        monkeypatch.setattr(uv, "run", self._counting(uv.run))

    def _counting(self, run: Callable[P, process.Finished]) -> Callable[P, process.Finished]:
        def counting(*arguments: P.args, **options: P.kwargs) -> process.Finished:
            (command,) = arguments
            self.number += isinstance(command, list) and command[0] == "build"
            return run(*arguments, **options)

        return counting


def test_a_package_with_known_inputs_is_built_once_and_one_whose_code_runs_once_in_each_run(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALUE", "one")
    builds = Builds(monkeypatch)
    known = root / "known"
    (known / "known").mkdir(parents=True)
    (known / "known/__init__.py").write_text(f"# {root}")
    (known / "pyproject.toml").write_text(project("known", version="1.0") + system("hatchling.build", "hatchling"))
    first = LocalPackages(PYTHON).wheel(known)
    assert LocalPackages(PYTHON).wheel(known) == first
    assert builds.number == 1

    package = probe(root / "probe", "os.environ['VALUE']")
    packages = LocalPackages(PYTHON)
    assert (answer(package, packages), answer(package, packages)) == ("one", "one")
    assert builds.number == 2
    monkeypatch.setenv("VALUE", "two")
    assert answer(package) == "two"


@pytest.mark.parametrize("variable", ["SETUPTOOLS_SCM_PRETEND_VERSION", "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_LIB"])
def test_a_version_by_git_changes_with_tags_and_variables_only(
    root: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    package = lay_out(SHAPES["the-file-finder-of-setuptools-scm"], root)
    (package / "src/lib_sql/__init__.py").write_text(f"# {root}")
    commit_all(Repository(root), "v2.3.1")
    builds = Builds(monkeypatch)
    repository = Repository(root)

    def version() -> str:
        return LocalPackages(PYTHON).wheel(package).name.split("-")[1]

    assert (version(), version(), builds.number) == ("2.3.1", "2.3.1", 1)
    repository.commit()
    repository.git("tag", "v2.4.0")
    assert version() == "2.4.0"
    monkeypatch.setenv(variable, "9.1")
    assert version() == "9.1"
