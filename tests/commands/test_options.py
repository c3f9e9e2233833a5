"""`builder.deps`, `builder.source` and `builder.deploy` by their command lines: arguments, options, targets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from typing import Any

import pytest

from builder.resolution.target import PYTHON_VERSIONS, serverless_target
from tests.support.commands import DAGSTER, Workshop, write_tree
from tests.support.wheels import make_wheel

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
COMMANDS = ("deps", "source", "deploy")


@pytest.fixture(scope="session")
def this_machine() -> dict[str, Any]:
    """This machine's complete platform, as pex3 prints it."""
    pex3 = [sys.executable, "-m", "pex.cli", "interpreter", "inspect", "--markers", "--tags"]
    printed = subprocess.run(pex3, check=True, capture_output=True, encoding="utf-8").stdout
    platform: dict[str, Any] = json.loads(printed)
    return platform


def locked(place: Workshop) -> dict[str, str]:
    """The wheel of each distribution in the one lock of the output directory."""
    (lock,) = place.out.glob("deps-*.pylock.toml")
    packages = tomllib.loads(lock.read_text(encoding="utf-8"))["packages"]
    return {package["name"]: package["wheels"][0]["url"].rpartition("/")[2] for package in packages}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_right_way_to_call_is_shown_to_who_gives_no_arguments(place: Workshop, command: str) -> None:
    ran = place.run(command)
    assert ran.code == 2
    assert ran.stderr.startswith(f"Usage: builder.pex -m builder.{command} ")
    assert "Missing argument" in ran.stderr
    assert ran.stdout == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_named(place: Workshop, command: str) -> None:
    ran = place.run(command, "in", "out", "--colour")
    assert ran.code == 2
    assert "--colour" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_help_goes_to_stdout(place: Workshop, command: str) -> None:
    ran = place.run(command, "--help").succeeded()
    assert f"builder.pex -m builder.{command} " in ran.stdout
    assert ran.stderr == ""


@pytest.mark.parametrize("version", ["3.8", "3.11.4", "python3.11", "4", "3"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_python_that_there_is_no_image_of_is_refused_with_what_to_write(
    place: Workshop, command: str, version: str
) -> None:
    error = place.run(command, place.project(), place.out, "--python-version", version).failed(2)
    assert f"`{version}`" in error
    assert "hint: Write one of 3.9, 3.10, 3.11, 3.12, 3.13, 3.14, such as --python-version 3.11" in error
    assert not place.out.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_directory_that_is_a_file_is_refused(place: Workshop, command: str) -> None:
    place.out.write_text("mine")
    error = place.run(command, place.project(), place.out).failed(2)
    assert "`out` is a file" in error
    assert place.out.read_text() == "mine"


@pytest.mark.parametrize("command", ["deps", "source"])
def test_a_project_that_does_not_exist_is_named_in_full(place: Workshop, command: str) -> None:
    error = place.run(command, "nowhere", place.out).failed()
    assert f"there is no directory `nowhere` in `{place.root}`" in error
    assert "hint: " in error


@pytest.mark.parametrize("command", ["deps", "source"])
def test_a_project_that_is_a_file_is_refused(place: Workshop, command: str) -> None:
    error = place.run(command, place.project() / "requirements.txt", place.out).failed()
    assert "is not a directory" in error


@pytest.mark.parametrize(
    "content, complaint",
    [
        (None, "does not exist"),
        ("{'a': 1}", "is not JSON"),
        ("[]", "it is not a mapping"),
        ("{}", "`marker_environment` is not a mapping of texts"),
        ('{"marker_environment": {"python_version": "3.11"}, "compatible_tags": []}', "lacks `sys_platform`"),
        (
            '{"marker_environment": {"python_version": "3.11", "sys_platform": "linux", "platform_machine": "x"}}',
            "`compatible_tags` is not a list of tags",
        ),
    ],
)
def test_a_platform_file_that_is_none_is_refused(place: Workshop, content: str | None, complaint: str) -> None:
    file = place.root / "platform.json"
    if content is not None:
        file.write_text(content)
    error = place.build(place.project(), "--platform", file).failed()
    assert complaint in error
    assert "pex3 interpreter inspect --markers --tags" in error
    assert "platform.json" in error


def test_a_platform_and_a_version_that_contradict_each_other_are_refused(
    place: Workshop, this_machine: dict[str, Any]
) -> None:
    file = place.root / "platform.json"
    file.write_text(json.dumps(this_machine))
    error = place.build(place.project(), "--platform", file, "--python-version", "3.9").failed(2)
    assert "--python-version 3.9 contradicts --platform" in error


def test_a_complete_platform_of_this_machine_chooses_its_wheels(
    place: Workshop, this_machine: dict[str, Any]
) -> None:
    put_native_wheels(place)
    file = place.root / "platform.json"
    file.write_text(json.dumps(this_machine))
    project = place.project({"requirements.txt": "dagster\ndagster-cloud\nnative\n"})
    place.build(project, "--platform", file).succeeded()
    machine = this_machine["marker_environment"]["platform_machine"]
    assert locked(place)["native"] == f"native-1.0-py3-none-manylinux_2_17_{machine}.whl"


def test_a_complete_platform_of_another_machine_chooses_its_wheels(
    place: Workshop, this_machine: dict[str, Any]
) -> None:
    put_native_wheels(place)
    here = this_machine["marker_environment"]["platform_machine"]
    other = "aarch64" if here == "x86_64" else "x86_64"
    file = place.root / "platform.json"
    file.write_text(json.dumps(this_machine).replace(here, other))
    project = place.project({"requirements.txt": "dagster\ndagster-cloud\nnative\n"})
    place.build(project, "--platform", file).succeeded()
    assert locked(place)["native"] == f"native-1.0-py3-none-manylinux_2_17_{other}.whl"


def test_without_options_wheels_are_those_of_the_serverless_image(place: Workshop) -> None:
    put_native_wheels(place)
    place.build(place.project({"requirements.txt": "dagster\ndagster-cloud\nnative\n"})).succeeded()
    assert locked(place)["native"] == "native-1.0-py3-none-manylinux_2_17_x86_64.whl"


def test_a_distribution_without_a_wheel_or_source_for_the_target_is_an_error(place: Workshop) -> None:
    make_wheel(place.index.directory, {}, name="native", tag="py3-none-macosx_11_0_arm64")
    error = place.build(place.project({"requirements.txt": "dagster\ndagster-cloud\nnative\n"})).failed()
    assert "native" in error
    assert "requirements.txt:3" in error


def put_native_wheels(place: Workshop) -> None:
    for machine in ("aarch64", "x86_64"):
        make_wheel(
            place.index.directory, {"native.py": ""}, name="native", tag=f"py3-none-manylinux_2_17_{machine}"
        )


def test_the_shipped_platform_of_this_python_is_what_pex3_prints(this_machine: dict[str, Any]) -> None:
    shipped = serverless_target(RUNNING)
    markers = {key: value for key, value in this_machine["marker_environment"].items() if key in shipped.markers}
    # The image has its own patch version, its own glibc and its own kernel.
    own = {"platform_release", "platform_version", "python_full_version", "implementation_version"}
    assert {key: shipped.markers[key] for key in markers.keys() - own} == {
        key: markers[key] for key in markers.keys() - own
    }
    glibc = min(newest_glibc(shipped.tag_names), newest_glibc(this_machine["compatible_tags"]))
    assert up_to_glibc(shipped.tag_names, glibc) == up_to_glibc(this_machine["compatible_tags"], glibc)


@pytest.mark.parametrize("version", PYTHON_VERSIONS)
def test_the_shipped_platforms_accept_what_dagsters_own_builder_builds_for(version: str) -> None:
    # In a program of its own: importing it warns.
    script = (
        "import json, sys\n"
        "from dagster_cloud_cli.core.pex_builder.platforms import COMPLETE_PLATFORMS\n"
        "platform = COMPLETE_PLATFORMS[sys.argv[1]]\n"
        "print(json.dumps(platform if isinstance(platform, dict) else json.loads(platform)))\n"
    )
    argv = [sys.executable, "-c", script, version.replace(".", "")]
    theirs = json.loads(subprocess.run(argv, check=True, capture_output=True, encoding="utf-8").stdout)
    assert list(serverless_target(version).tag_names) == theirs["compatible_tags"]


def newest_glibc(tags: list[str] | tuple[str, ...]) -> int:
    return max(int(level) for tag in tags for level in re.findall(r"-manylinux_2_(\d+)_", tag))


def up_to_glibc(tags: list[str] | tuple[str, ...], newest: int) -> list[str]:
    return [tag for tag in tags if all(int(level) <= newest for level in re.findall(r"-manylinux_2_(\d+)_", tag))]


def test_an_impossible_requirement_is_told_in_the_resolvers_words_with_its_line(place: Workshop) -> None:
    make_wheel(place.index.directory, {"tool.py": ""}, name="tool", version="2.0")
    project = place.project({"requirements.txt": "dagster\ndagster-cloud\n# comment\ntool<2\n"})
    error = place.build(project).failed()
    assert error.startswith("error: there is no `tool<2`\n  where: project/requirements.txt:4\n")
    assert "tool<2" in error
    assert "hint: " in error
    assert place.artefacts() == []


def test_a_conflict_between_two_distributions_names_the_line_that_started_it(place: Workshop) -> None:
    make_wheel(place.index.directory, {"tool.py": ""}, name="tool", requires=["dagster<1"])
    project = place.project({"requirements.txt": "dagster>=1.13\ndagster-cloud\ntool\n"})
    error = place.build(project).failed()
    assert re.search(r"where: project/requirements.txt:[13]\n", error)
    assert "dagster<1" in error


def test_a_requirement_that_the_index_does_not_know_is_named_with_its_line(place: Workshop) -> None:
    project = place.project({"requirements.txt": "dagster\nno-such-thing\ndagster-cloud\n"})
    error = place.build(project).failed()
    assert "where: project/requirements.txt:2\n" in error
    assert "no-such-thing" in error


def test_a_missing_dagster_is_an_error_before_anything_is_downloaded(place: Workshop) -> None:
    make_wheel(place.index.directory, {"tool.py": ""}, name="tool")
    error = place.build(place.project({"requirements.txt": "tool\n"})).failed()
    assert "hint: Add to `requirements.txt`: a line `dagster` and a line `dagster-cloud`" in error
    assert place.index.downloads() == []
    assert place.artefacts() == []


def test_a_missing_dagster_cloud_is_added_and_where_to_write_it_is_said(place: Workshop) -> None:
    pyproject = '[project]\nname = "shop"\nversion = "1"\ndependencies = ["dagster"]\n'
    ran = place.build(place.project({"requirements.txt": "", "pyproject.toml": pyproject})).succeeded()
    assert f'add to `pyproject.toml`: "dagster-cloud=={DAGSTER}" in `dependencies`' in ran.stderr


def test_a_project_that_does_not_allow_the_targets_python_is_refused(place: Workshop) -> None:
    pyproject = '[project]\nname = "shop"\nversion = "1"\nrequires-python = ">=3.12"\n'
    error = place.build(place.project({"pyproject.toml": pyproject}), "--python-version", "3.11").failed()
    assert "`shop` does not allow Python 3.11: it requires `>=3.12`" in error
    assert "where: project/pyproject.toml:4\n" in error
    assert "--python-version" in error
    assert place.index.requests == []


@pytest.mark.parametrize(
    "line, complaint",
    [
        ("dagster @@ 3", "dagster @@ 3"),
        ("-r missing.txt", "`project/missing.txt`, which does not exist"),
        ("--no-such-option", "--no-such-option"),
        ("./missing-package", "missing-package"),
        ("pandas>>2", "pandas>>2"),
        ("tool; python_version <", "tool; python_version <"),
    ],
)
def test_a_line_that_pip_would_refuse_is_refused_with_its_number(
    place: Workshop, line: str, complaint: str
) -> None:
    project = place.project({"requirements.txt": f"dagster\ndagster-cloud\n{line}\n"})
    error = place.build(project).failed()
    assert "where: project/requirements.txt:3\n" in error
    assert re.sub(r"\s", "", complaint) in re.sub(r"\s", "", error)
    assert "hint: " in error


def test_locations_and_files_may_have_names_with_blanks_and_letters_of_any_language(place: Workshop) -> None:
    project = place.project({"Größe 尺寸.txt": "5"}, name="Bücher und Löhne 本")
    workspace = place.workspace(
        "locations:\n  - location_name: Straße nach Ærø 港\n    build: {directory: Bücher und Löhne 本}\n"
        "    code_source: {module_name: answer}\n",
        name="Wolke 雲.yaml",
    )
    out = place.root / "Ausgabe für 本"
    ran = place.run("deploy", workspace, out, env={"LC_ALL": "C"}).succeeded()
    report = json.loads((out / "build.json").read_text(encoding="utf-8"))
    (location,) = report["locations"]
    assert location["name"] == "Straße nach Ærø 港"
    assert location["directory"] == str(project)
    assert location["source"]["file"] in ran.stdout
    with zipfile.ZipFile(out / location["source"]["file"]) as pex:
        assert "working_directory/root/Größe 尺寸.txt" in pex.namelist()


def test_the_report_describes_the_files_beside_it(place: Workshop) -> None:
    place.project()
    workspace = place.workspace(
        "locations:\n  - {location_name: one, build: {directory: project}, code_source: {module_name: answer}}\n"
    )
    place.run("deploy", workspace, place.out).succeeded()
    report = json.loads((place.out / "build.json").read_text(encoding="utf-8"))
    assert report["python_version"] == "3.11"
    (location,) = report["locations"]
    deps, source = location["deps"], location["source"]
    assert location["pex_tag"] == f"files={deps['file']}:{source['file']}"
    assert location["dagster_version"] == DAGSTER
    beside = [location["lock"], location["sbom"]]
    assert place.artefacts() == sorted(["build.json", deps["file"], source["file"], *beside])
    for artefact in (deps, source):
        content = (place.out / artefact["file"]).read_bytes()
        assert artefact["size"] == len(content)
        with zipfile.ZipFile(place.out / artefact["file"]) as pex:
            sizes = {info.filename: info.file_size for info in pex.infolist()}
        of_pex = ("__main__.py", "__pex__/", ".bootstrap/", "PEX-INFO")
        assert artefact["unpacked_size"] == sum(n for name, n in sizes.items() if not name.startswith(of_pex))
        assert artefact["identity"] in artefact["file"]


def test_verbose_shows_each_program_and_where_the_error_was_raised(place: Workshop) -> None:
    make_wheel(place.index.directory, {"tool.py": ""}, name="tool")
    ran = place.build(place.project({"requirements.txt": "tool\n"}), "--verbose")
    assert ran.code == 1
    assert re.search(r"\+ +\d+\.\d\ds  \S*uv pip compile ", ran.stderr)
    assert "Traceback (most recent call last):" in ran.stderr
    assert "error: `dagster` and `dagster-cloud`" in ran.stderr


def test_a_reader_that_goes_away_is_no_fault(place: Workshop) -> None:
    place.project()
    write_tree(place.root, {"run.sh": '"$@" | head -c 0\nexit "${PIPESTATUS[0]}"\n'})
    argv = ["bash", "run.sh", sys.executable, "-m", "builder.deps", "project", "out"]
    ran = subprocess.run(
        argv, env=place.environment, cwd=place.root, capture_output=True, encoding="utf-8", check=False
    )
    assert "Traceback" not in ran.stderr
    assert "error:" not in ran.stderr


def test_without_an_option_the_project_chooses_its_python(place: Workshop) -> None:
    tag = "cp312-cp312-manylinux_2_17_x86_64"
    make_wheel(place.index.directory, {"fast.py": ""}, name="fast", tag=tag)
    files = {"requirements.txt": "dagster\ndagster-cloud\nfast; python_version >= '3.12'\n"}
    project = place.project({**files, ".python-version": "3.12\n"})
    ran = place.run("deps", project, place.out).succeeded()
    assert "for Python 3.12, as `project/.python-version` says; --python-version chooses another" in ran.stderr
    assert "fast" in locked(place)
    ran = place.run("deps", project, place.root / "other", "--python-version", "3.11").succeeded()
    assert ".python-version" not in ran.stderr
    (lock,) = (place.root / "other").glob("*.pylock.toml")
    assert "fast" not in lock.read_text()


def test_the_locations_of_one_run_have_one_python(place: Workshop) -> None:
    for name, version in (("one", "3.12"), ("two", "3.13")):
        place.project({".python-version": version}, name=name)
    entries = "".join(
        f"  - {{location_name: {name}, code_source: {{module_name: x}}, build: {{directory: {name}}}}}\n"
        for name in ("one", "two")
    )
    error = place.run("deploy", place.workspace(f"locations:\n{entries}"), place.out).failed()
    assert "one/.python-version:1` asks for Python 3.12" in error
    assert "two/.python-version:1` for Python 3.13" in error
    assert "--python-version" in error
