"""Explanations of errors in the user's code, and reduced tracebacks, by example."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from builder.errors import Origin
from builder.project.location import CodeSource
from builder.system.tracebacks import Frame, RaisedError, cut, find_site_packages, parse_stack, place
from builder.verification.exclusion_reason import why_left_out
from builder.verification.explanation import Explanation, FailureContext
from builder.verification.hints import explain
from builder.verification.import_names import how_to_declare, provider_of
from builder.verification.load import Raised
from builder.verification.native_libraries import how_to_get, missing_library
from tests.support.commands import write_tree

SITE = "/venvs/1f/lib/python3.11/site-packages"
ROOT = f"{SITE}/working_directory/root"
DEPS = "/venvs/2e/lib/python3.11/site-packages"


def context(directory: Path | None = None, code: CodeSource | None = None, *packed: str) -> FailureContext:
    return FailureContext(
        code=code or CodeSource("module_name", "app"),
        python_version="3.11",
        directory=directory,
        project=directory,
        declared=Origin(directory / "dagster_cloud.yaml", 3) if directory else None,
        names=frozenset(f"working_directory/root/{name}" for name in packed),
        lines={},
        source=Path(SITE),
        deps=Path(DEPS),
    )


def explained(error: RaisedError, known: FailureContext, *, loadable: tuple[str, ...] = ()) -> Explanation:
    return explain(Raised(error, of_dagster=False, loadable=loadable), cut(error, SITE), known)


def missing(module: str, *frames: Frame) -> RaisedError:
    message = f"ModuleNotFoundError: No module named {module!r}\n"
    return RaisedError(kind="ModuleNotFoundError", message=message, frames=frames, attributes={"module": module})


HERE = Frame(f"{ROOT}/app/__init__.py", 1, "<module>", "import something")


def test_a_server_s_traceback_is_cut_to_the_user_s_frames() -> None:
    stack = [
        f'  File "{DEPS}/dagster/_grpc/server.py", line 417, in __init__\n    self._load()\n',
        f'  File "{ROOT}/app/__init__.py", line 3, in <module>\n    from app import rates\n    ^^^^^\n',
        '  File "<frozen importlib._bootstrap>", line 1176, in _find_and_load\n',
        f'  File "{SITE}/shared/money.py", line 7, in parse\n    return Decimal(text)\n',
        f'  File "{ROOT}/../dbt/run.py", line 9, in go\n',
    ]
    root = RaisedError(kind="KeyError", message="KeyError: 'EUR'\n", frames=parse_stack(stack))
    own = RaisedError(
        kind="RatesError", message="app.rates.RatesError: no rate\n", frames=parse_stack(stack[1:2]), cause=root
    )
    error = RaisedError(
        kind="DagsterUserCodeLoadError",
        message="dagster._core.errors.DagsterUserCodeLoadError: oh",
        frames=(),
        cause=own,
    )
    assert find_site_packages(error) == SITE
    told = cut(error, SITE)
    assert told.lines == (
        "app/__init__.py:3 in <module>",
        "  from app import rates",
        "shared/money.py:7 in parse",
        "  return Decimal(text)",
        "../dbt/run.py:9 in go",
        "KeyError: 'EUR'",
        "which led to",
        "app/__init__.py:3 in <module>",
        "  from app import rates",
        "RatesError: no rate",
    )
    assert (told.what, told.where, told.root) == ("RatesError: no rate", ("../dbt/run.py", 9), root)
    assert place(f"{DEPS}/dagster/x.py", SITE) is None


def test_of_an_endless_recursion_the_last_calls_are_shown() -> None:
    frames = tuple(Frame(f"{ROOT}/app.py", line, "f") for line in range(1, 1000))
    told = cut(
        RaisedError(
            kind="RecursionError", message="RecursionError: maximum recursion depth exceeded", frames=frames
        ),
        SITE,
    )
    assert told.lines[0] == "(987 calls before)"
    assert told.lines[1:3] == ("app.py:988 in f", "app.py:989 in f")
    assert len(told.lines) == 14


def test_what_cannot_be_explained_is_told_as_it_is() -> None:
    error = RaisedError(
        kind="ValueError", message=f"ValueError: bad file {ROOT}/conf/a.yaml\nsecond line", frames=(HERE,)
    )
    assert explained(error, context()) == Explanation(
        "its code does not load: ValueError: bad file conf/a.yaml", None
    )


@pytest.mark.parametrize(
    "module, distribution, certain",
    [
        ("yaml", "PyYAML", True),
        ("cv2", "opencv-python-headless", True),
        ("google.cloud.storage", "google-cloud-storage", True),
        ("google.cloud.run_v2", "google-cloud-run-v2", False),
        ("dagster_dbt.core", "dagster-dbt", True),
        ("some_thing", "some-thing", False),
    ],
)
def test_which_distribution_has_a_module(module: str, distribution: str, *, certain: bool) -> None:
    provider = provider_of(module)
    assert (provider.name, provider.certain) == (distribution, certain)


@pytest.mark.parametrize(
    "files, remedy",
    [
        ({"requirements.txt": ""}, "Add `PyYAML` to `sales/requirements.txt`"),
        ({"pyproject.toml": '[project]\nname = "a"'}, "Add `PyYAML` to `dependencies` in `sales/pyproject.toml`"),
        ({"setup.py": ""}, "Add `PyYAML` to `install_requires` in `sales/setup.py`"),
        ({"pyproject.toml": '[project]\nname = "a"', "uv.lock": ""}, "Run `uv add PyYAML` in `sales/`"),
        ({"pyproject.toml": "[tool.poetry]", "poetry.lock": ""}, "Run `poetry add PyYAML` in `sales/`"),
        ({}, "Write `PyYAML` in a `sales/requirements.txt`"),
        (
            {"pyproject.toml": '[project]\nname = "a"\n[dependency-groups]\ndev = ["pytest", "pyyaml>=6"]'},
            (
                "`PyYAML` is declared, but in the dependency group `dev`, which is not shipped: move it to"
                " `dependencies` in `sales/pyproject.toml`, or build with --group dev"
            ),
        ),
        (
            {"pyproject.toml": '[project]\nname = "a"\n[project.optional-dependencies]\nio = ["PyYAML"]'},
            (
                "`PyYAML` is declared, but in the extra `io`, which is not shipped: move it to"
                " `dependencies` in `sales/pyproject.toml`, or build with --extra io"
            ),
        ),
    ],
)
def test_where_a_distribution_is_to_be_declared(tmp_path: Path, files: dict[str, str], remedy: str) -> None:
    write_tree(tmp_path, files)
    assert how_to_declare("PyYAML", tmp_path, "sales/") == remedy


def test_a_missing_module_of_the_project_itself(tmp_path: Path) -> None:
    write_tree(tmp_path, {".builderignore": "\napp/private*\n", "app/private.py": "", "requirements.txt": ""})
    found = explained(missing("app.private", HERE), context(tmp_path))
    assert found.what == (
        "there is no module `app.private`: `app/private.py` is in the project, but line 2 of `.builderignore`"
        " leaves it out"
    )
    found = explained(missing("rates", HERE), context(tmp_path, None, "app/rates.py"))
    assert found == Explanation(
        "there is no module `rates`; the project has `app/rates.py`", "Import it as `app.rates`"
    )
    found = explained(missing("some_thing", HERE), context(tmp_path))
    assert found.remedy == (
        "Add `some-thing` to `requirements.txt`, if that is the distribution which has the module;"
        " then build again"
    )


def test_a_code_source_that_is_not_there(tmp_path: Path) -> None:
    code = CodeSource("package_name", "app.main", working_directory="source")
    found = explained(missing("app"), context(tmp_path, code, "app/__init__.py"))
    assert found.what == "there is no module `app` in `source`, its working directory"
    assert found.remedy == "It is in the build directory: remove `working_directory` from `dagster_cloud.yaml`"
    found = explained(missing("app"), context(tmp_path, CodeSource("package_name", "app")))
    assert found.remedy == "Correct `package_name: app` in `dagster_cloud.yaml`"


@pytest.mark.parametrize("value", ["shop.defintions", "shpo.definitions"])
@pytest.mark.parametrize("file", ["dagster_cloud.yaml", "pyproject.toml"])
def test_a_misspelt_code_source(tmp_path: Path, value: str, file: str) -> None:
    code = CodeSource("module_name", value, working_directory="src")
    names = ("src/shop/__init__.py", "src/shop/definitions.py", "shop.defintion/notes.txt", "src/shop/assets.py")
    known = replace(context(tmp_path, code, *names), declared=Origin(tmp_path / file, 3))
    module = value if value.startswith("shop.") else "shpo"
    found = explained(missing(module), known)
    assert found.what == (
        f"there is no module `{module}` in `src`, its working directory; did you mean `shop.definitions`?"
    )
    remedy = "Correct that line of `pyproject.toml`"
    if file == "dagster_cloud.yaml":
        remedy = "Write `module_name: shop.definitions` in `dagster_cloud.yaml`"
    assert (found.remedy, found.setting) == (remedy, "code_source")
    nothing_like_it = replace(known, names=frozenset({"working_directory/root/src/other.py"}))
    assert "did you mean" not in explained(missing(module), nothing_like_it).what


def test_a_missing_file(tmp_path: Path) -> None:
    def no_file(name: str) -> RaisedError:
        attributes = {"file": f"{ROOT}/{name}", "file_as_written": name}
        return RaisedError(
            kind="FileNotFoundError", message="FileNotFoundError: …", frames=(HERE,), attributes=attributes
        )

    found = explained(no_file("rates.csv"), context(tmp_path, None, "app/data/rates.csv"))
    assert found.what == "there is no `rates.csv` in the working directory, which is the build directory"
    assert found.remedy is not None
    assert found.remedy.startswith("The project has `app/data/rates.csv`: write that path")
    assert explained(no_file("x.csv"), context(tmp_path)).remedy is None


@pytest.mark.parametrize(
    "files, name, rule",
    [
        (
            {".builderignore": "# a\ndata/\n", "data/x.csv": ""},
            "data/x.csv",
            "line 2 of `.builderignore` leaves `data/`",
        ),
        (
            {"data/.builderignore": "*.csv\n", "data/x.csv": ""},
            "data/x.csv",
            "line 1 of `data/.builderignore` leaves it",
        ),
        ({".env": "A=1"}, ".env", "`.env` was left out since it looks like a secret"),
        ({"conf/key": "-----BEGIN PRIVATE KEY-----"}, "conf/key", "`conf/key` was left out since it looks like a"),
        ({".venv/pyvenv.cfg": "", ".venv/x": ""}, ".venv/x", "`.venv/` is always left out, as a leftover"),
        ({"../shared/x.csv": ""}, "../shared/x.csv", "it lies outside the build directory"),
    ],
)
def test_the_rule_that_left_a_file_out(tmp_path: Path, files: dict[str, str], name: str, rule: str) -> None:
    (tmp_path / "project").mkdir()
    write_tree(tmp_path / "project", files)
    found = why_left_out(tmp_path / "project", name)
    assert found is not None
    assert found.rule.startswith(rule)
    include = "../shared" if name.startswith("..") else name
    assert json.dumps([include]) in found.remedy


def test_no_rule_for_what_is_packed_or_is_not_there(tmp_path: Path) -> None:
    write_tree(tmp_path, {".builderignore": "*.csv\n!data/x.csv\n", "data/x.csv": ""})
    assert why_left_out(tmp_path, "data/x.csv") is None
    assert why_left_out(tmp_path, "data/y.csv") is None


def test_no_rule_for_what_an_include_pattern_takes_in(tmp_path: Path) -> None:
    settings = '[tool.builder]\ninclude = ["keys/*.pem", "node_modules/x.csv"]\n'
    names = ("keys/a.pem", "keys/b.key", "node_modules/x.csv", "node_modules/y.js")
    write_tree(tmp_path, {"pyproject.toml": settings, ".builderignore": "b.key\n", **dict.fromkeys(names, "")})
    rules = {name: left and left.rule for name in names for left in [why_left_out(tmp_path, name)]}
    assert rules == {
        "keys/a.pem": None,
        "keys/b.key": "line 1 of `.builderignore` leaves it out",
        "node_modules/x.csv": None,
        "node_modules/y.js": "`node_modules/` is always left out, as a leftover",
    }


def test_the_line_of_git_that_left_a_file_out(tmp_path: Path) -> None:
    files = {
        "pyproject.toml": "[tool.builder]\nrespect-gitignore = true\n",
        ".gitignore": "# generated\n*.csv\ntarget/\n!kept.csv\n",
        **dict.fromkeys(("x.csv", "kept.csv", "target/y"), ""),
    }
    write_tree(tmp_path, files)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    for name, rule in (
        ("x.csv", "line 2 of `.gitignore` leaves it"),
        ("target/y", "line 3 of `.gitignore` leaves"),
    ):
        left = why_left_out(tmp_path, name)
        assert left is not None
        assert left.rule.startswith(rule)
        assert left.rule.endswith("out, which `respect-gitignore` obeys")
    assert why_left_out(tmp_path, "kept.csv") is None


def test_an_environment_variable_that_dagster_misses() -> None:
    message = (
        "DagsterInvalidConfigError: …\nPost processing … You have attempted to fetch the environment variable"
    )
    error = RaisedError(
        kind="DagsterInvalidConfigError", message=f'{message} "API_KEY" which is not set. In order …'
    )
    found = explained(error, context())
    assert found.what == "its code needs the environment variable `API_KEY`, which is not set"
    key = {"key": "DAGSTER_CLOUD_DEPLOYMENT_NAME"}
    error = RaisedError(
        kind="KeyError", message="KeyError: …", frames=(Frame("<frozen os>", 1, "__getitem__"),), attributes=key
    )
    remedy = "The server sets it; for this check, give it with --env DAGSTER_CLOUD_DEPLOYMENT_NAME=VALUE"
    assert explained(error, context()).remedy == remedy


@pytest.mark.parametrize(
    "code, command",
    [("DbtProject(HERE)", "--file app/dbt.py"), ("x", "--components .")],
)
def test_a_manifest_of_dbt_that_is_missing(tmp_path: Path, code: str, command: str) -> None:
    message = (
        "dagster_dbt.errors.DagsterDbtManifestNotFoundError:"
        f" {tmp_path}/working_directory/root/jaffle/target/manifest.json does not exist."
    )
    write_tree(tmp_path / "working_directory/root", {"app/dbt.py": code})
    known = replace(context(tmp_path, None, "app/dbt.py"), source=tmp_path)
    error = RaisedError(kind="DagsterDbtManifestNotFoundError", message=message)
    found = explain(Raised(error, of_dagster=False, loadable=()), cut(error, str(tmp_path)), known)
    assert found == Explanation(
        "dbt's `jaffle/target/manifest.json` is missing, and no server makes it",
        f"Run `dagster-dbt project prepare-and-package {command}`; then build again",
    )


def test_where_a_native_library_comes_from() -> None:
    message = "ImportError: libpq.so.5: cannot open shared object file: No such file or directory"
    assert missing_library(message) == "libpq.so.5"
    assert "`psycopg2-binary` instead of `psycopg2`" in how_to_get("libpq.so.5")
    assert how_to_get("libgomp.so.1") == "Run the location on a base image that has Debian's `libgomp1`"
    assert "whose wheel has it inside" in how_to_get("libunheard.so.3")


def test_what_dagster_says_of_definitions() -> None:
    code = CodeSource("python_file", "app/main.py")
    nothing = RaisedError(
        kind="DagsterInvariantViolationError", message='No Definitions, RepositoryDefinition, … found in "x".'
    )
    assert explained(nothing, context(None, code)).what == "`app/main.py` defines nothing that can be loaded"
    relative = RaisedError(
        kind="ImportError", message="ImportError: attempted relative import with no known parent package"
    )
    remedy = "Write `module_name: app.main` instead of `python_file: app/main.py` in the workspace file"
    assert explained(relative, context(None, code)).remedy == remedy
    named = CodeSource("module_name", "app", attribute="definitions")
    unknown = RaisedError(
        kind="DagsterInvariantViolationError", message="definitions not found in module app. dir: []"
    )
    assert explained(unknown, context(None, named)).remedy == (
        "Correct or remove `attribute: definitions` in the workspace file"
    )
