"""`builder.deploy`: what a workspace file may say, and many locations at once."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Workshop, put_setuptools
from tests.support.wheels import make_wheel

SOURCE = "code_source: {module_name: answer}"


def report(place: Workshop) -> list[dict[str, Any]]:
    """The locations of build.json."""
    document = json.loads((place.out / "build.json").read_text(encoding="utf-8"))
    locations: list[dict[str, Any]] = document["locations"]
    return locations


def test_a_workspace_file_that_does_not_exist_is_named_in_full(place: Workshop) -> None:
    error = place.run("deploy", "dagster_cloud.yaml", place.out).failed()
    assert f"there is no `dagster_cloud.yaml` in `{place.root}`\n" in error
    assert "hint: Give the path of your dagster_cloud.yaml" in error


def test_a_directory_in_place_of_the_workspace_file_is_refused_with_what_to_give(place: Workshop) -> None:
    error = place.run("deploy", ".", place.out).failed()
    assert f"`{place.root}` is a directory" in error
    assert ", or make `dagster_cloud.yaml`. " in error
    place.workspace("locations: []", name="dagster_cloud.yml")
    assert (
        "hint: Rename `dagster_cloud.yml` to `dagster_cloud.yaml`" in place.run("deploy", ".", place.out).failed()
    )


@pytest.mark.parametrize(
    "text, line, complaint",
    [
        ("", None, "the workspace file is empty"),
        ("# only a comment\n", None, "the workspace file is empty"),
        ("- a\n- b\n", 1, "is not a mapping"),
        ("only words\n", 1, "is not a mapping"),
        ("locations:\n  - a: 1\n  b: 2\n", 3, "not valid YAML"),
        ("locations:\n\t- a\n", 2, "not valid YAML"),
        ("other: 1\n", 1, "`locations` is not a list"),
        ("other: 1\nlocations:\n", 2, "`locations` is not a list"),
        ("locations: []\n", 1, "`locations` is not a list"),
        ("locations:\n  a: b\n", 1, "`locations` is not a list"),
        ("locations:\n  - words\n", 2, "location 1 is not a mapping"),
        (f"locations:\n  - {SOURCE}\n", 2, "location 1 has no `location_name`"),
        ("locations:\n  - location_name: a\n", 2, "location `a` has no `code_source`"),
        (
            "locations:\n  - location_name: a\n    code_source:\n      package_name: x\n      python_file: y.py\n",
            3,
            "has `package_name` and `python_file`",
        ),
        ("locations:\n  - location_name: a\n    code_source: {file: x}\n", 3, "exactly one code source"),
        (
            f"locations:\n  - location_name: a\n    {SOURCE}\n  - location_name: a\n    {SOURCE}\n",
            4,
            "two locations are called `a`; the other one is at line 2",
        ),
        (f"locations:\n  - location_name: a\n    {SOURCE}\n    build: .\n", 4, "`build` of location `a`"),
        (f"locations:\n  - location_name: a\n    {SOURCE}\n    build: {{directory: 3}}\n", 4, "`build.directory`"),
        (f"defaults: 3\nlocations:\n  - location_name: a\n    {SOURCE}\n", 1, "`defaults` is not a mapping"),
    ],
)
def test_what_cannot_be_right_is_told_with_its_line(
    place: Workshop, text: str, line: int | None, complaint: str
) -> None:
    error = place.run("deploy", place.workspace(text), place.out).failed()
    assert complaint in error
    where = "dagster_cloud.yaml" if line is None else f"dagster_cloud.yaml:{line}"
    assert f"\n  where: {where}\n" in error
    assert "\nhint: " in error
    assert place.artefacts() == []


def test_a_workspace_file_that_is_not_utf_8_is_refused(place: Workshop) -> None:
    path = place.root / "dagster_cloud.yaml"
    path.write_bytes(b"locations: [\xe9\xff]\n")
    error = place.run("deploy", path, place.out).failed()
    assert "cannot be read" in error
    assert "UTF-8" in error


def test_a_build_directory_that_does_not_exist_is_named_in_full(place: Workshop) -> None:
    text = f"locations:\n  - location_name: a\n    {SOURCE}\n    build:\n      directory: ../else/where\n"
    error = place.run("deploy", place.workspace(text), place.out).failed()
    assert "`../else/where`, does not exist" in error
    assert f"it is relative to `{place.root}`\n" in error
    assert "where: dagster_cloud.yaml:5" in error
    assert "hint: Correct `build.directory: ../else/where`" in error


def bomb(start: str, line: str) -> str:
    """Lines that each name the one before nine times."""
    lines = (f"a{number}: &a{number} {line.replace('*', f'*a{number - 1}')}\n" for number in range(1, 12))
    return f"a0: &a0 {start}\n" + "".join(lines)


_NINE_KEYS = "{" + ", ".join(f"k{key}: *" for key in range(9)) + "}"
_NINE = "[" + ", ".join("*" * 9) + "]"
_SMALL = f"locations:\n  - location_name: a\n    {SOURCE}\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("x: !!python/object/apply:os.mkdir [pwned]\n" + _SMALL, id="code"),
        pytest.param(bomb("[lol]", _NINE) + _SMALL, id="billion laughs"),
        pytest.param(bomb("{k: v}", f"{{<<: {_NINE}}}") + _SMALL, id="billion merged laughs"),
        pytest.param(
            bomb("{k: v}", _NINE_KEYS)
            + f"defaults: {{x: *a11}}\nlocations:\n  - {{location_name: a, {SOURCE}, x: *a11}}\n",
            id="billion laughs by our own merging",
        ),
        pytest.param(
            f"defaults: &d {{x: *d}}\nlocations:\n  - {{location_name: a, {SOURCE}, x: &x {{x: *x}}}}\n",
            id="recursive alias",
        ),
        pytest.param("locations: &x [*x]\n", id="recursive list"),
        pytest.param("x: " + "[" * 100_000 + "\n", id="nesting"),
        pytest.param("x: !!bool maybe\n" + _SMALL, id="bool"),
        pytest.param("x: !!int ''\n" + _SMALL, id="int"),
        pytest.param("x: !!timestamp never\n" + _SMALL, id="timestamp"),
        pytest.param("x: " + "1" * 5000 + "\n" + _SMALL, id="digits"),
        pytest.param("{[a]: b}\n", id="key"),
        pytest.param("a: \0\n", id="nul"),
        pytest.param(_SMALL + "---\n" + _SMALL, id="two documents"),
    ],
)
def test_a_hostile_workspace_file_is_refused_at_once(place: Workshop, text: str) -> None:
    # A fraction of what the bombs would take.
    limited = ("/bin/sh", "-c", 'ulimit -v 2000000; exec "$@"', "sh", sys.executable)
    running = place.start("deploy", place.workspace(text), place.out, python=limited)
    error = running.finish(timeout=30).failed()
    assert "dagster_cloud.yaml" in error
    assert "builder itself failed" not in error
    assert not (place.root / "pwned").exists()


def test_defaults_are_merged_into_each_location(place: Workshop) -> None:
    place.project(name="shared")
    place.project(name="own")
    text = (
        f"defaults:\n  build: {{directory: shared}}\n  {SOURCE}\n"
        "locations:\n  - location_name: a\n  - location_name: b\n    build: {directory: own}\n"
        "  - location_name: c\n    build:\n"
    )
    place.run("deploy", place.workspace(text), place.out).succeeded()
    names = {location["name"]: Path(location["directory"]).name for location in report(place)}
    assert names == {"a": "shared", "b": "own", "c": "shared"}


@pytest.mark.parametrize(
    "build", ["", "    build:\n", "    build: {}\n", "    build: {registry: example.org/x}\n"]
)
def test_without_a_build_directory_it_is_that_of_the_workspace_file(place: Workshop, build: str) -> None:
    project = place.project()
    workspace = project / "dagster_cloud.yaml"
    workspace.write_text(f"locations:\n  - location_name: a\n    {SOURCE}\n{build}")
    place.run("deploy", workspace, place.out, "--location", "a", "--format", "pex").succeeded()
    (location,) = report(place)
    assert location["directory"] == str(project)


def several(place: Workshop, **directories: str) -> Path:
    """A workspace with these locations, each in a directory."""
    entries = "".join(
        f"  - {{location_name: {name}, build: {{directory: {directory}}}, {SOURCE}}}\n"
        for name, directory in directories.items()
    )
    return place.workspace(f"locations:\n{entries}")


def test_one_location_can_be_chosen(place: Workshop) -> None:
    place.project(name="one")
    workspace = several(place, a="one", b="one")
    place.run("deploy", workspace, place.out, "--location", "b").succeeded()
    assert [location["name"] for location in report(place)] == ["b"]


def test_a_location_that_there_is_not_is_wrong_usage_and_the_others_are_named(place: Workshop) -> None:
    place.project(name="one")
    workspace = several(place, a="one", b="one")
    error = place.run("deploy", workspace, place.out, "--location", "c").failed(2)
    assert "there is no location `c`" in error
    assert "hint: Choose from: a, b" in error
    assert place.artefacts() == []


def test_locations_of_one_directory_are_built_once(place: Workshop) -> None:
    place.project(name="one")
    ran = place.run("deploy", several(place, a="one", b="one"), place.out).succeeded()
    first, second = report(place)
    assert first["pex_tag"] == second["pex_tag"]
    assert ran.stderr.count("✓ packed") == 1
    assert ran.stderr.count("✓ resolved") == 1


def test_equal_locks_share_one_deps_pex_made_once(place: Workshop) -> None:
    place.project(name="one")
    place.project({"answer.py": "answer = 43\n"}, name="two")
    ran = place.run("deploy", several(place, a="one", b="two"), place.out).succeeded()
    first, second = report(place)
    assert first["deps"]["file"] == second["deps"]["file"]
    assert first["source"]["file"] != second["source"]["file"]
    assert ran.stderr.count("assembled deps-") == 1
    assert len([name for name in place.artefacts() if re.fullmatch(r"deps-\w+\.pex", name)]) == 1
    assert len(place.index.downloads()) == 2


def test_equal_requirements_are_resolved_once(place: Workshop) -> None:
    for name in ("one", "two", "three"):
        place.project({"code.py": f"answer = '{name}'\n"}, name=name)
    other = {"requirements.txt": "dagster-cloud\ndagster\n"}
    place.project(other, name="other")
    workspace = several(place, a="one", b="two", c="three", d="other")

    ran = place.run("deploy", workspace, place.out).succeeded()

    assert ran.stderr.count("resolved 2 distributions, as `") == 2
    # The page is asked for by each resolution.
    assert place.index.pages().count("dagster-cloud") == 2
    assert len({location["deps"]["file"] for location in report(place)}) == 1


def test_an_error_of_a_shared_resolution_is_that_of_all_who_share_it(place: Workshop) -> None:
    make_wheel(place.index.directory, {"tool.py": ""}, name="tool", version="2.0")
    for name in ("one", "two"):
        place.project({"requirements.txt": "dagster\ndagster-cloud\ntool<2\n"}, name=name)

    error = place.run("deploy", several(place, a="one", b="two"), place.out).failed()

    assert "error: locations `a`, `b`: there is no `tool<2`" in error
    assert error.count("there is no `tool<2`") == 1


def test_a_failing_location_does_not_hide_the_others(place: Workshop) -> None:
    make_wheel(place.index.directory, {"tool.py": ""}, name="tool", version="2.0")
    place.project(name="one")
    place.project({"requirements.txt": "dagster\ndagster-cloud\ntool<2\n"}, name="two")
    place.project(name="three")
    place.project({"pyproject.toml": "[project\n"}, name="torn")
    workspace = several(place, good="one", bad="two", fine="three", torn="torn")
    ran = place.run("deploy", workspace, place.out)
    assert ran.code == 1
    assert "error: location `bad`: there is no `tool<2`\n  where: two/requirements" in ran.stderr
    assert "error: location `torn`: pyproject.toml is not valid TOML" in ran.stderr
    good, bad, fine, torn = report(place)
    assert torn["error"]["where"] == str(place.root / "torn/pyproject.toml:1")
    assert {good["deps"]["file"], good["source"]["file"], fine["source"]["file"]} <= set(place.artefacts())
    assert bad["name"] == "bad"
    assert bad["error"]["what"] == "there is no `tool<2`"
    assert bad["error"]["where"] == str(place.root / "two/requirements.txt:3")
    assert "pex_tag" not in bad


def test_packages_with_one_build_system_are_built_by_one_process_each_for_itself(place: Workshop) -> None:
    put_setuptools(place.index.directory)
    system = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    names = ("one", "two", "bad", "three")
    for name in names:
        packages = "missing" if name == "bad" else "inside"
        head = f'[project]\nname = "{name}"\nversion = "1.0"\ndependencies = ["dagster", "dagster-cloud"]\n'
        # All that lies in the package is taken, whatever it is called.
        table = f'[tool.setuptools]\npackages = ["{packages}"]\n[tool.setuptools.package-data]\ninside = ["*"]\n'
        files = {"pyproject.toml": head + system + table, "inside/__init__.py": "", f"inside/{name}.txt": name}
        place.project(files, name=name)

    ran = place.run("deploy", several(place, **{name: name for name in names}), place.out, "--verbose")

    assert ran.code == 1
    assert re.search(r"error: location `bad`: building `.*bad` failed", ran.stderr)
    assert "package directory 'missing' does not exist" in ran.stderr
    assert (ran.stderr.count("/uv run "), ran.stderr.count("/uv build ")) == (1, 1)
    built = {location["name"]: location["source"]["file"] for location in report(place) if "source" in location}
    assert set(built) == {"one", "two", "three"}
    for name, file in built.items():
        with zipfile.ZipFile(place.out / file) as pex:
            packed = {entry for entry in pex.namelist() if entry.startswith("inside/")}
        assert packed == {"inside/__init__.py", f"inside/{name}.txt"}


def test_a_location_that_is_declared_wrongly_stays_the_only_one(place: Workshop) -> None:
    make_wheel(place.index.directory, {"dagster/__init__.py": ""}, name="dagster")
    make_wheel(place.index.directory, {"dagster_cloud/__init__.py": ""}, name="dagster-cloud")
    place.project({"requirements.txt": "dagster\ndagster-cloud\n", "x/__init__.py": ""}, name="good")
    text = "locations:\n" + "".join(
        f"  - {{location_name: {name}, {source}, build: {{directory: {directory}}}}}\n"
        for name, source, directory in (
            ("missing", SOURCE, "nowhere"),
            ("good", SOURCE, "good"),
            ("no-source", "attribute: defs", "good"),
        )
    )
    workspace = place.workspace(text)

    ran = place.run("deploy", workspace, place.out)
    assert ran.code == 1
    assert "error: location `missing`: the build directory" in ran.stderr
    assert "dagster_cloud.yaml:2" in ran.stderr
    assert "error: location `no-source`: location `no-source` has no `code_source`" in ran.stderr
    assert [location["name"] for location in report(place) if "pex_tag" in location] == ["good"]
    plan = place.run("deploy", workspace, place.out, "--plan")
    assert "error: location `missing`: the build directory" in plan.stderr
    assert (plan.code, "good" in plan.stdout) == (1, True)

    place.run("deploy", workspace, place.out, "--location", "good").succeeded()
    assert [location["name"] for location in report(place)] == ["good"]
    alone = place.run("deploy", workspace, place.out, "--location", "missing").failed()
    assert "the build directory of location `missing`" in alone
