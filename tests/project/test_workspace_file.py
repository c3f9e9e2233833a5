"""The locations of a dagster_cloud.yaml or a build.yaml, and what cannot be right in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import Origin, ProjectError, UsageError
from builder.project.workspace import read_workspace
from tests.support.requirements import write
from tests.support.workspaces import by_name, places, put, refused, trees


def test_directories_may_be_written_in_many_ways(root: Path) -> None:
    workspace = read_workspace(put(root, "workspace-directories") / "dagster_cloud.yaml")
    assert trees(root, workspace) == {
        **dict.fromkeys(("none", "empty", "dot"), (".", ".")),
        **dict.fromkeys(("plain", "dotted", "slash", "back"), ("x", "x")),
    }
    assert len({location.tree for location in workspace.locations}) == 2


def test_the_lines_of_what_is_loaded_are_known(root: Path) -> None:
    text = """\
defaults:
  attribute: defs
  working_directory: src
locations:
  - location_name: a
    code_source:

      module_name: app
    working_directory: jobs
  - {location_name: b, code_source: {package_name: app}, attribute: null}
"""
    root.mkdir(exist_ok=True)
    (root / "dagster_cloud.yaml").write_text(text)
    first, second = read_workspace(root).locations
    assert {name: where.line for name, where in first.lines.items()} == {
        "code_source": 8,
        "attribute": 2,
        "working_directory": 9,
    }
    assert {name: where.line for name, where in second.lines.items()} == {
        "code_source": 10,
        "attribute": 2,
        "working_directory": 3,
    }


def test_settings_are_passed_through_with_defaults_merged_in(root: Path) -> None:
    locations = by_name(read_workspace(put(root, "workspace-settings") / "dagster_cloud.yaml"))
    assert locations["Sales Reports (EU)"].settings == {
        "location_name": "Sales Reports (EU)",
        "code_source": {"module_name": "acme.sales.definitions"},
        "working_directory": "./jobs",
        "executable_path": "/opt/venv/bin/python",
        "attribute": "sales_defs",
        "image": "example.org/base:1",
        "agent_queue": "fast-queue",
        "container_context": {
            "k8s": {
                "namespace": "data",
                "env_vars": ["REGION=eu", "LEVEL=debug"],
                "volumes": [{"name": "shared", "size": 2}, {"name": "scratch", "size": 9}],
                "labels": ["a", "b", "c"],
            },
            "ecs": {"mount_points": [{"sourceVolume": "a"}]},
        },
    }
    assert locations["data-eng_2"].settings["agent_queue"] == "everyday"
    assert {name: location.code_source for name, location in locations.items()} == {
        "Sales Reports (EU)": ("module_name", "acme.sales.definitions"),
        "data-eng_2": ("package_name", "Acme_Eng"),
        "Datenströme": ("python_file", "jobs/definitions.py"),
        "2024": ("autoload_defs_module_name", "acme.defs"),
    }
    # Only the image, of all that is passed through, changes where PEX files run.
    assert places(locations["Sales Reports (EU)"].notices) == [("dagster_cloud.yaml", 15)]


def test_locations_that_run_from_docker_images_are_built_only_when_asked_for(root: Path) -> None:
    workspace = read_workspace(put(root, "workspace-docker-locations") / "dagster_cloud.yaml")
    assert by_name(workspace)["Docker Image"].registry == "example.org/images"
    assert list(by_name(workspace.select([]))) == ["pex"]
    assert list(by_name(workspace.select(["Docker Image"]))) == ["Docker Image"]
    assert list(by_name(workspace.select(["Docker Image", "pex"]))) == ["pex", "Docker Image"]
    with pytest.raises(UsageError):
        workspace.select(["docker image"])


def test_a_workspace_with_nothing_but_docker_images_is_an_error_that_says_how_to_build_them(root: Path) -> None:
    source = "code_source: {package_name: a}"
    file = write(
        root / "dagster_cloud.yaml",
        f"defaults: {{build: {{registry: r}}}}\nlocations: [{{location_name: My a, {source}}}]",
    )
    with pytest.raises(ProjectError) as caught:
        read_workspace(file).select([])
    assert "nothing is left to build" in caught.value.what
    assert "--location 'My a'" in str(caught.value.remedy)


def test_a_build_yaml_without_locations_is_refused_with_the_directory_to_give(root: Path) -> None:
    error = refused(put(root, "dg-project") / "build.yaml")
    assert f"`{root}`" in str(error.remedy)


def test_a_location_name_that_yaml_takes_for_a_number_is_refused_with_what_to_write(root: Path) -> None:
    file = write(root / "w.yaml", "locations:\n  - code_source: {package_name: a}\n    location_name: 2024\n")
    error = refused(file)
    assert "`2024`, is not a text" in error.what
    assert error.where is not None
    assert error.where.line == 3
    assert 'location_name: "2024"' in str(error.remedy)


def test_a_registry_that_is_no_text_is_refused(root: Path) -> None:
    text = (
        "locations:\n  - location_name: a\n    code_source: {package_name: a}\n    build:\n      registry: [r]\n"
    )
    error = refused(write(root / "w.yaml", text))
    assert "`build.registry` of location `a` is not a text" in error.what
    assert error.where is not None
    assert error.where.line == 5


def test_a_python_file_that_does_not_exist_is_named_in_full(root: Path) -> None:
    error = refused(put(root, "workspace-missing-python-file") / "dagster_cloud.yaml")
    assert f"`{root / 'definitions.py'}`, does not exist" in error.what
    assert f"relative to the build directory, `{root}`" in str(error.remedy)
    assert error.where is not None
    assert error.where.line == 5


def test_a_python_file_outside_the_build_directory_is_refused(root: Path) -> None:
    write(root / "definitions.py", "")
    (root / "x").mkdir()
    text = (
        "locations: [{location_name: a, code_source: {python_file: ../definitions.py}, build: {directory: x}}]\n"
    )
    error = refused(write(root / "w.yaml", text))
    assert f"`{root / 'definitions.py'}`, lies outside the build directory" in error.what


def test_keys_of_build_that_mean_nothing_are_named_with_their_line(root: Path) -> None:
    (location,) = read_workspace(put(root, "lifecycle-scripts") / "dagster_cloud.yaml").locations
    assert places(location.notices) == [("dagster_cloud.yaml", 6)]
    assert "`build.pre_build` of location `scripts` has no effect" in location.notices[0].text


@pytest.mark.parametrize(
    "text, lines",
    [
        ("locations:\n  - location_name: a\nlocations:\n  - location_name: b\n", (1, 3)),
        (
            "locations:\n  - location_name: a\n    code_source: {module_name: x}\n    code_source: {}\n",
            (3, 4),
        ),
        ("locations:\n  - location_name: a\n    code_source: {module_name: x, module_name: y}\n", (3, 3)),
        ('defaults: {}\nlocations: []\n"defaults": {}\n', (1, 3)),
        (
            "x: &x {image: y}\nlocations:\n  - <<: *x\n    image: z\n    a:\n      k: 1\n      k: 2\n",
            (6, 7),
        ),
    ],
)
def test_a_key_that_is_there_twice_is_refused_with_both_lines(
    tmp_path: Path, text: str, lines: tuple[int, int]
) -> None:
    path = tmp_path / "dagster_cloud.yaml"
    path.write_text(text)
    with pytest.raises(ProjectError, match=f"in line {lines[0]} and in line {lines[1]}") as caught:
        read_workspace(path)
    assert caught.value.where == Origin(path, lines[1])


def test_keys_that_a_merge_overrides_are_not_there_twice(tmp_path: Path) -> None:
    text = (
        "x: &x {code_source: {module_name: x}, image: a}\ny: &y {image: b}\n"
        "locations:\n  - <<: *x\n    <<: *y\n    location_name: a\n    code_source: {module_name: z}\n"
    )
    (tmp_path / "dagster_cloud.yaml").write_text(text)
    (location,) = read_workspace(tmp_path / "dagster_cloud.yaml").locations
    assert location.code_source == ("module_name", "z")
