"""Modules of the project that hide those of Python and of distributions: named only where they are the cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import Origin
from builder.project.location import CodeSource
from builder.system.tracebacks import Frame, RaisedError
from builder.verification.explanation import FailureContext
from builder.verification.hiding import hidden_at_start, hidden_by_project, hidden_from_dagster
from builder.verification.load import Died, Raised
from tests.support.commands import write_tree

SITE = "/venvs/1f/lib/python3.11/site-packages"
ROOT = f"{SITE}/working_directory/root"
LIBRARY = "/usr/lib/python3.11"


def context(deps: Path, *packed: str, working_directory: str | None = None) -> FailureContext:
    write_tree(deps, {"dagster/__init__.py": "", "yaml/__init__.py": "def safe_load(): ...", "yaml/loader.py": ""})
    return FailureContext(
        code=CodeSource("module_name", "app", working_directory=working_directory),
        python_version="3.11",
        directory=None,
        project=None,
        declared=Origin(deps / "dagster_cloud.yaml", 3),
        names=frozenset(f"working_directory/root/{name}" for name in packed),
        lines={},
        source=Path(SITE),
        deps=deps,
    )


def raised(message: str, *frames: str, of_dagster: bool = False, modules: tuple[str, ...] = ()) -> Raised:
    """An error with the files of its calls, after the import of these modules of the project."""
    kind = message.partition(":")[0]
    calls = tuple(Frame(path, 1, "<module>") for path in frames)
    error = RaisedError(kind=kind, message=f"{message}\n", frames=calls)
    files = {Path(name.removesuffix("/__init__.py")).stem: f"{ROOT}/{name}" for name in modules}
    return Raised(error, of_dagster, (), {"os": f"{LIBRARY}/os.py", **files})


APP = f"{ROOT}/app.py"
NO_NAME = "ImportError: cannot import name 'Queue' from 'queue' (queue.py)"


@pytest.mark.parametrize(
    "failure, file, whose",
    [
        (
            raised(NO_NAME, "/d/dagster_pipes.py", of_dagster=True, modules=("queue.py",)),
            "queue.py",
            "Python's own",
        ),
        (raised(NO_NAME, APP, f"{LIBRARY}/x.py", modules=("queue.py",)), "queue.py", "Python's own"),
        # The module that is hidden has what the project's own code asks for.
        (raised(NO_NAME, APP, modules=("queue.py",)), "queue.py", "Python's own"),
        (
            raised(
                "AttributeError: module 'yaml' has no attribute 'safe_load'", APP, modules=("yaml/__init__.py",)
            ),
            "yaml/",
            "the installed",
        ),
        (
            raised("ModuleNotFoundError: No module named 'yaml.loader'", APP, modules=("yaml/__init__.py",)),
            "yaml/",
            "the installed",
        ),
        (
            raised("ModuleNotFoundError: No module named 'dagster._grpc'", modules=("dagster.py",)),
            "dagster.py",
            "the installed",
        ),
        # It failed while it was imported, and is no longer among the modules.
        (
            raised(
                "AttributeError: partially initialized module 'dagster' has no attribute 'asset'",
                "/d/dagster/__init__.py",
                f"{ROOT}/code.py",
            ),
            "code.py",
            "Python's own",
        ),
        (raised(NO_NAME, APP, f"{LIBRARY}/x.py", modules=("src/queue.py",)), "src/queue.py", "Python's own"),
    ],
)
def test_a_file_that_hides_a_module_is_named(tmp_path: Path, failure: Raised, file: str, whose: str) -> None:
    found = hidden_by_project(failure, context(tmp_path, working_directory="src"))
    assert found is not None
    module = Path(file).stem
    assert found.what == (
        f"the project's `{file}` hides {whose} module `{module}` from everything that imports it"
    )
    assert found.remedy == (
        f"Give `{file}` another name, also where `dagster_cloud.yaml` or your code names it; then build again"
    )
    assert found.file == (f"{file}__init__.py" if file.endswith("/") else file)


@pytest.mark.parametrize(
    "failure",
    [
        # Python's queue has no `Quue` either, and the project's own code asks for it.
        raised("ImportError: cannot import name 'Quue' from 'queue' (queue.py)", APP, modules=("queue.py",)),
        raised("ModuleNotFoundError: No module named 'yaml.other'", APP, modules=("yaml/__init__.py",)),
        # The module is Python's.
        raised(NO_NAME, APP, modules=("app.py",)),
        # A circular import of the project's own modules.
        raised(
            "ImportError: cannot import name 'x' from partially initialized module 'other' (other.py)",
            APP,
            f"{ROOT}/code.py",
        ),
        raised("ValueError: no", f"{ROOT}/queue.py", modules=("queue.py",)),
    ],
)
def test_another_cause_is_not_taken_for_it(tmp_path: Path, failure: Raised) -> None:
    assert hidden_by_project(failure, context(tmp_path)) is None
    assert hidden_from_dagster(failure, context(tmp_path)) is None


def test_what_dagster_imported_of_the_project_is_named_whatever_the_error_says(tmp_path: Path) -> None:
    message = "ImportError: cannot import name 'BaseModel' from 'pydantic' (/d/pydantic/__init__.py)"
    failure = raised(message, "/d/x.py", of_dagster=True, modules=("platform.py",))
    assert hidden_by_project(failure, context(tmp_path)) is None
    found = hidden_from_dagster(failure, context(tmp_path))
    assert found is not None
    assert found.file == "platform.py"
    assert hidden_from_dagster(raised(message, "/d/x.py", of_dagster=True), context(tmp_path)) is None


TRACE = f'Traceback (most recent call last):\n  File "{LIBRARY}/enum.py", line 3, in <module>\n'


@pytest.mark.parametrize(
    "died, file",
    [
        (Died(1, (), f"{TRACE}ImportError: cannot import name 'X' from 'types' ({ROOT}/types.py)"), "types.py"),
        (Died(1, (), f"{TRACE}AttributeError: module 'json' has no attribute 'load'"), "json/__init__.py"),
        (Died(1, (), f'{TRACE}  File "{ROOT}/types.py", line 7, in <module>\nNameError: name'), "types.py"),
        (Died(1, (), f"{TRACE}AttributeError: module 'enum' has no attribute 'Flag'"), None),
        (Died(1, (), "what the code printed: module 'json' has no attribute 'load'"), None),
        (Died(-9, (), f"{TRACE}AttributeError: module 'json' has no attribute 'load'"), None),
        (Died(1, (Frame(APP, 1, "f"),), f"{TRACE}AttributeError: module 'json' has no attribute 'x'"), None),
        (Died(1, (), ""), None),
    ],
)
def test_an_interpreter_that_did_not_start(tmp_path: Path, died: Died, file: str | None) -> None:
    found = hidden_at_start(died, context(tmp_path, "types.py", "json/__init__.py", "app.py"))
    assert (found and found.file) == file
