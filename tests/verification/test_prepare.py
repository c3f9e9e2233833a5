"""Processes that import dagster before a location's code is built, tested with a tiny stand-in for dagster."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from builder.assembly.deps_pex import assemble_deps_pex
from builder.assembly.source_pex import SourceEntry, assemble_source_pex
from builder.assembly.source_tree import PATH_LINE, PATHS
from builder.project.location import CodeSource
from builder.resolution.pythons import find_python
from builder.system import storage
from builder.verification.unpack import unpacked_deps
from builder.verification.verify import ToVerify, Verified, Verifier, VerifyResult
from tests.support.wheels import make_wheel

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHON = find_python(RUNNING)

DAGSTER = {
    # Writes each imported module and its path to a file.
    "dagster/__init__.py": """
import colorsys, os
with open(os.environ["NOTES"], "a") as notes:
    notes.write(f"{os.getpid()} {colorsys.__file__}\\n")
__version__ = "1"
class Definitions: pass
class RepositoryDefinition: pass
""",
    "dagster/_grpc/__init__.py": "",
    "dagster/_grpc/server.py": """
import importlib
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
class LoadedRepositories:
    def __init__(self, loadable_target_origin):
        importlib.import_module(loadable_target_origin.module_name)
        self.definitions_by_name = {}
""",
    "dagster/_core/__init__.py": "",
    "dagster/_core/types/__init__.py": "",
    "dagster/_core/types/loadable_target_origin.py": """
import types
class LoadableTargetOrigin(types.SimpleNamespace): pass
""",
}


class Setup:
    """An unpacked deps PEX, and locations to verify with it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.deps, self.sha256 = self.make_deps("abc", {})
        unpacked_deps(self.deps, self.sha256, PYTHON)

    def make_deps(self, identity: str, more: dict[str, str]) -> tuple[Path, str]:
        wheel = make_wheel(self.root, {**DAGSTER, **more}, name="dagster", version="1.0")
        made = assemble_deps_pex([wheel], identity=identity, python_version=RUNNING, out_dir=self.root)
        return made.artefact.path, storage.sha256_of(made.artefact.path)

    def item(
        self, files: dict[str, str], *, deps: Path | None = None, more: Sequence[SourceEntry] = ()
    ) -> ToVerify:
        entries = [
            SourceEntry(f"working_directory/root/{name}", 0o644, text.encode()) for name, text in files.items()
        ]
        path = assemble_source_pex([*entries, *more], python_version=RUNNING, out_dir=self.root).artefact.path
        return ToVerify(
            name="sales",
            source=path,
            deps=deps or self.deps,
            python_version=RUNNING,
            code=CodeSource("module_name", "app"),
        )

    def verifier(self) -> Verifier:
        return Verifier(1, timeout=60, environment={"NOTES": str(self.root / "notes"), "GIVEN": "1"})

    def verify(self, item: ToVerify) -> VerifyResult:
        """Prepare with the first deps PEX, wait until its dagster is imported, then verify."""
        with self.verifier() as verifier:
            verifier.prepare("sales", self.sha256, RUNNING)
            prepared = verifier._prepared["sales"].result()  # noqa: SLF001
            assert prepared
            while not self.notes():
                os.sched_yield()
            return verifier.submit(item).result()

    def notes(self) -> list[tuple[int, str]]:
        path = self.root / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(line.split()[0]), line.split()[1]) for line in lines]


@pytest.fixture
def setup(tmp_path: Path, empty_cache: Path) -> Setup:
    assert not empty_cache.exists()
    return Setup(tmp_path)


def test_what_was_prepared_is_used(setup: Setup) -> None:
    code = "import os; assert os.environ['GIVEN'] == '1'; assert os.path.exists('app.py'); import sub.deep"

    outcome = setup.verify(setup.item({"app.py": code, "sub/deep.py": "import app"}))

    assert isinstance(outcome, Verified), outcome
    assert len(setup.notes()) == 1


def test_what_was_prepared_is_used_for_the_src_layout_too(setup: Setup) -> None:
    line = SourceEntry(PATHS, 0o644, PATH_LINE.format(parts=("working_directory", "root", "src")).encode())
    item = setup.item({"app.py": "import package.deep", "src/package/deep.py": ""}, more=[line])

    outcome = setup.verify(item)

    assert isinstance(outcome, Verified), outcome
    assert len(setup.notes()) == 1


def test_a_module_of_the_src_layout_may_hide_what_was_imported(setup: Setup) -> None:
    line = SourceEntry(PATHS, 0o644, PATH_LINE.format(parts=("working_directory", "root", "src")).encode())

    outcome = setup.verify(setup.item({"app.py": "", "src/colorsys.py": ""}, more=[line]))

    assert isinstance(outcome, Verified), outcome
    assert setup.notes()[-1][1].endswith("working_directory/root/src/colorsys.py")


def test_another_pth_file_is_obeyed(setup: Setup) -> None:
    more = [SourceEntry("own.pth", 0o644, b"import os; os.environ['OWN'] = '1'\n")]

    outcome = setup.verify(setup.item({"app.py": "import os; assert os.environ['OWN']"}, more=more))

    assert isinstance(outcome, Verified), outcome


@pytest.mark.parametrize("name", ["colorsys.py", "colorsys/__init__.py", "sitecustomize.py"])
def test_a_project_that_hides_what_was_imported_is_loaded_anew(setup: Setup, name: str) -> None:
    outcome = setup.verify(setup.item({"app.py": "", name: ""}))

    assert isinstance(outcome, Verified), outcome
    (first, library), (second, seen) = setup.notes()
    # The process id is the same, since the process restarts itself with execv.
    assert first == second
    assert library.startswith(sys.base_prefix)
    assert seen == library or seen.endswith(f"working_directory/root/{name}")
    assert (seen == library) == name.startswith("sitecustomize")


def test_other_dependencies_are_loaded_anew(setup: Setup) -> None:
    deps, _ = setup.make_deps("abd", {"more.py": ""})

    outcome = setup.verify(setup.item({"app.py": "import more"}, deps=deps))

    assert isinstance(outcome, Verified), outcome
    assert len({process for process, _ in setup.notes()}) == 2


def test_nothing_is_prepared_for_dependencies_that_are_not_unpacked(setup: Setup) -> None:
    with setup.verifier() as verifier:
        verifier.prepare("sales", "0" * 64, RUNNING)
        assert verifier._prepared["sales"].result() is None  # noqa: SLF001
        assert isinstance(verifier.submit(setup.item({"app.py": ""})).result(), Verified)


def test_what_is_not_used_is_ended(setup: Setup) -> None:
    with setup.verifier() as verifier:
        verifier.prepare("sales", setup.sha256, RUNNING)
        while not setup.notes():
            os.sched_yield()

    ((process, _),) = setup.notes()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
