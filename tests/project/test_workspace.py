"""Workspace files and the layout of `dg`: what their locations are, on the trees of `tests/projects`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from builder.errors import BuilderError, Notice, Origin, ProjectError, UsageError
from builder.project.location import Location, Workspace
from builder.project.workspace import read_workspace

PROJECTS = Path(__file__).parents[1] / "projects"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the test's project lies; the manifest above it is none of its business."""
    (tmp_path / "requirements.txt").write_text("wrong\n")
    return tmp_path / "root"


def put(root: Path, trait: str) -> Path:
    shutil.copytree(PROJECTS / trait, root)
    return root


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def by_name(workspace: Workspace) -> dict[str, Location]:
    return {location.name: location for location in workspace.locations}


def trees(root: Path, workspace: Workspace) -> dict[str, tuple[str, str]]:
    """Build directory and project of each location, relative to the root."""
    return {
        location.name: (
            str(location.tree.directory.relative_to(root)),
            str(location.tree.project.relative_to(root)),
        )
        for location in workspace.locations
    }


def places(notices: tuple[Notice, ...]) -> list[tuple[str, int | None]]:
    return [(notice.where.path.name, notice.where.line) for notice in notices if notice.where]


def refused(path: Path) -> BuilderError:
    with pytest.raises(ProjectError) as caught:
        read_workspace(path).select(())
    return caught.value


def test_the_nearest_manifest_above_a_build_directory_is_found_and_named(root: Path) -> None:
    workspace = read_workspace(put(root, "workspace-manifest-above") / "dagster_cloud.yaml")
    assert trees(root, workspace) == {"sales": ("sales/src", "sales"), "stock": ("stock/code/python", "stock")}
    sales, stock = workspace.locations
    assert [str(notice.where) for notice in (*sales.notices, *stock.notices)] == [
        str(root / "sales/pyproject.toml"),
        str(root / "stock/requirements.txt"),
    ]
    assert f"`{root / 'sales/src'}` declares none" in sales.notices[0].text


@pytest.mark.parametrize(
    "name, text, found",
    [
        ("pyproject.toml", "[project]\nname = 'x'\n", True),
        ("pyproject.toml", "[build-system]\nrequires = []\n", True),
        ("pyproject.toml", "[tool.poetry]\nname = 'x'\n", True),
        ("pyproject.toml", "[dependency-groups]\ndev = []\n", True),
        ("pyproject.toml", "[project\n", True),
        ("pyproject.toml", "[tool.builder]\n[tool.ruff]\n[tool.dg]\n", False),
        ("setup.py", "", True),
        ("setup.cfg", "[metadata]\nname = x\n", True),
        ("setup.cfg", "[options]\n", True),
        ("setup.cfg", "[flake8]\n", False),
        ("setup.cfg", "no section\n", True),
        ("requirements.txt", "", True),
        ("pylock.toml", "", True),
        ("uv.lock", "", True),
        ("poetry.lock", "", True),
        ("requirements.in", "", False),
    ],
)
def test_what_is_a_manifest(root: Path, name: str, text: str, found: bool) -> None:  # noqa: FBT001
    write(root / "requirements.txt", "dagster\n")
    write(root / "x" / name, text)
    workspace = write(
        root / "w.yaml", "locations: [{location_name: a, code_source: {package_name: a}, build: {directory: x}}]"
    )
    (location,) = read_workspace(workspace).locations
    assert location.tree == (root / "x", root / "x" if found else root)
    assert bool(location.notices) is not found


def test_no_manifest_above_the_workspace_file_is_taken(root: Path) -> None:
    workspace = write(
        root / "w.yaml", "locations: [{location_name: a, code_source: {package_name: a}, build: {directory: x}}]"
    )
    (root / "x").mkdir()
    (location,) = read_workspace(workspace).locations
    assert location.tree == (root / "x", root / "x")
    assert location.notices == ()


def test_outside_the_workspace_a_manifest_is_looked_for_up_to_the_root_of_the_repository(root: Path) -> None:
    repository = put(root, "workspace-directory-outside") / "repository"
    file = repository / "deploy/cloud/dagster_cloud.yaml"
    # Not in a repository: the build directory alone.
    assert trees(root, read_workspace(file)) == {
        "all": ("repository", "repository"),
        "source": ("repository/src", "repository/src"),
    }
    (repository / ".git").mkdir()
    assert trees(root, read_workspace(file))["source"] == ("repository/src", "repository/src")
    write(repository / "requirements.txt", "dagster\n")
    assert trees(root, read_workspace(file))["source"] == ("repository/src", "repository")


def test_directories_may_be_written_in_many_ways(root: Path) -> None:
    workspace = read_workspace(put(root, "workspace-directories") / "dagster_cloud.yaml")
    assert trees(root, workspace) == {
        **dict.fromkeys(("none", "empty", "dot"), (".", ".")),
        **dict.fromkeys(("plain", "dotted", "slash", "back"), ("x", "x")),
    }
    assert len({location.tree for location in workspace.locations}) == 2


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


def test_a_directory_whose_build_yaml_lists_locations(root: Path) -> None:
    workspace = read_workspace(put(root, "workspace-build-yaml"))
    assert workspace.path == root / "build.yaml"
    assert list(by_name(workspace)) == ["example"]


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


def test_a_project_of_dg(root: Path) -> None:
    (location,) = read_workspace(put(root, "dg-project")).locations
    assert location.name == "Acme Reports"
    assert location.code_source == ("module_name", "acme_reports.definitions")
    assert location.tree == (root / "src", root)
    assert location.settings == {
        "location_name": "Acme Reports",
        "code_source": {"module_name": "acme_reports.definitions"},
        "agent_queue": "fast-queue",
        "image": "example.org/base:1",
        "container_context": {"k8s": {"env_vars": ["REGION=eu"]}},
    }
    assert read_workspace(root / "pyproject.toml").locations == (location,)
    assert places(location.notices) == [("pyproject.toml", 13)]


def test_dg_toml_hides_pyproject_toml(root: Path) -> None:
    (location,) = read_workspace(put(root, "dg-toml")).locations
    assert location.name == "root"
    assert location.code_source == ("module_name", "acme.cloud.definitions")
    assert location.origin.path == root / "dg.toml"
    assert location.tree == (root, root)
    assert read_workspace(root / "dg.toml").locations == (location,)


def test_a_workspace_of_dg(root: Path) -> None:
    locations = by_name(read_workspace(put(root, "dg-workspace")))
    projects = root / "projects"
    assert {name: location.tree for name, location in locations.items()} == {
        "data-eng": (projects / "data-eng", projects / "data-eng"),
        "Machine Learning": (projects, projects / "ml"),
        "autoloaded": (projects / "autoloaded", projects / "autoloaded"),
    }
    assert {name: location.registry for name, location in locations.items()} == {
        "data-eng": "example.org/all",
        "Machine Learning": "example.org/ml",
        "autoloaded": "example.org/all",
    }
    assert locations["data-eng"].settings["container_context"] == {
        "k8s": {"namespace": "data", "env_vars": ["REGION=eu", "LEVEL=info"]}
    }
    assert locations["Machine Learning"].settings["container_context"] == {
        "k8s": {"namespace": "data", "env_vars": ["REGION=eu", "LEVEL=debug"]}
    }
    assert locations["autoloaded"].code_source == ("autoload_defs_module_name", "autoloaded.defs")


def test_a_project_of_a_dg_workspace_that_is_given_by_itself_knows_nothing_of_the_workspace(root: Path) -> None:
    (location,) = read_workspace(put(root, "dg-workspace") / "projects/data-eng").locations
    assert location.registry is None
    assert "container_context" not in location.settings


def test_a_dagster_cloud_yaml_comes_before_dg_and_that_is_said(root: Path) -> None:
    workspace = read_workspace(put(root, "dg-beside-dagster-cloud-yaml"))
    assert list(by_name(workspace)) == ["from-yaml"]
    assert places(workspace.notices) == [("pyproject.toml", 6)]
    # Who names a file means it.
    assert list(by_name(read_workspace(root / "pyproject.toml"))) == ["root"]
    assert read_workspace(root / "dagster_cloud.yaml").notices == ()


def test_a_project_that_does_not_exist_is_named_in_full(root: Path) -> None:
    error = refused(put(root, "dg-workspace-missing-project"))
    assert f"`{root / 'projects/*'}` of the workspace does not exist" in error.what
    assert f"relative to `{root}`; `dg` takes no patterns" in str(error.remedy)
    assert error.where is not None
    assert error.where.line == 5


@pytest.mark.parametrize(
    "text, line, complaint",
    [
        ("[project]\nname = 'x'\n", None, "`pyproject.toml` has no `[tool.dg]`"),
        ("[tool.dg\n", 1, "not valid TOML"),
        ("[tool.dg]\ndirectory_type = 'folder'\n", 2, "`tool.dg.directory_type` is neither"),
        ("[tool.dg.project]\nroot_module = 'x'\n", 1, "`tool.dg.directory_type` is neither"),
        ("[tool.dg]\ndirectory_type = 'project'\n", 1, "`tool.dg.project` has no `root_module`"),
        ("[tool.dg]\ndirectory_type = 'project'\n[tool.dg.project]\nroot_module = 1\n", 4, "is not a text"),
        ("[tool.dg]\ndirectory_type = 'workspace'\n", 1, "`tool.dg.workspace.projects` is not a list"),
        ("[tool.dg]\ndirectory_type = 'workspace'\n[tool.dg.workspace]\nprojects = ['x']\n", 4, "has no `path`"),
        (
            "[tool.dg]\ndirectory_type = 'workspace'\n[[tool.dg.workspace.projects]]\npath = '.'\n",
            1,
            "does not declare itself one",
        ),
        (
            "[tool.dg]\ndirectory_type = 'workspace'\n[[tool.dg.workspace.projects]]\npath = 'plain'\n",
            4,
            "does not declare itself one",
        ),
    ],
)
def test_a_dg_configuration_that_cannot_be_right_is_told_with_its_line(
    root: Path, text: str, line: int | None, complaint: str
) -> None:
    (root / "plain").mkdir(parents=True)
    error = refused(write(root / "pyproject.toml", text))
    assert complaint in error.what
    assert error.where is not None
    assert (error.where.path, error.where.line) == (root / "pyproject.toml", line)
    assert error.remedy


def test_two_projects_of_one_name_are_refused_with_both_places(root: Path) -> None:
    put(root, "dg-workspace")
    write(
        root / "projects/ml/pyproject.toml",
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\n'
        'root_module = "ml"\ncode_location_name = "data-eng"\n',
    )
    error = refused(root)
    assert f"`data-eng`; the other one is in `{root / 'projects/data-eng/pyproject.toml'}:" in error.what


def test_a_directory_of_build_yaml_that_does_not_exist_is_named_in_full(root: Path) -> None:
    put(root, "dg-project")
    write(root / "build.yaml", "registry: r\ndirectory: ../elsewhere\n")
    error = refused(root)
    assert f"`{root.parent / 'elsewhere'}`, does not exist" in error.what
    assert error.where is not None
    assert (error.where.path.name, error.where.line) == ("build.yaml", 2)
    assert f"relative to `{root}`" in str(error.remedy)


@pytest.mark.parametrize("name", ["build.yaml", "container_context.yaml"])
def test_a_yaml_file_of_dg_may_be_empty_but_not_a_list(root: Path, name: str) -> None:
    put(root, "dg-project")
    write(root / name, "# nothing yet\n")
    assert len(read_workspace(root).locations) == 1
    write(root / name, "- a\n")
    assert f"{name} is not a mapping" in refused(root).what


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


@pytest.mark.parametrize(
    "name, table, text", [("dg.toml", "[project]", ""), ("pyproject.toml", "[tool.dg.project]", "[tool.dg]\n")]
)
def test_what_to_write_for_dg_is_right_in_the_file_that_it_is_for(
    tmp_path: Path, name: str, table: str, text: str
) -> None:
    path = tmp_path / name
    path.write_text(f"{text}directory_type = 'none'\n")
    with pytest.raises(ProjectError) as caught:
        read_workspace(path)
    remedy = str(caught.value.remedy).partition("\n")[2]
    assert table in remedy
    path.write_text(remedy)
    (location,) = read_workspace(path).locations
    assert location.code_source == ("module_name", "my_project.definitions")


@pytest.mark.parametrize(
    "directory, module",
    [
        ("src/shop/defs", ""),
        ("shop/defs", ""),
        ("src/shop/definitions", ""),
        ("src/shop/parts/all", 'defs_module = "shop.parts.all"'),
    ],
)
def test_the_place_of_components_is_told_as_dg_tells_it(root: Path, directory: str, module: str) -> None:
    project = root / "projects" / "shop"
    write(project / "dg.toml", f'directory_type = "project"\n[project]\nroot_module = "shop"\n{module}\n')
    (project / directory).mkdir(parents=True)
    (location,) = read_workspace(project).locations
    assert "git" not in location.settings
    write(root / ".git" / "HEAD", "ref: refs/heads/main\n")
    (location,) = read_workspace(project).locations
    assert location.settings["git"] == {"defs_base_path": f"projects/shop/{directory}"}


TABLE = '[project]\nname = "app"\nversion = "1"\ndependencies = ["dagster"]\n[tool.dagster]\n'


@pytest.mark.parametrize(
    "text, locations",
    [
        ('module_name = "app.defs"\n', [("app.defs", "app.defs")]),
        ('module_name = "app.defs"\ncode_location_name = "Sales"\n', [("Sales", "app.defs")]),
        ('modules = [{type = "module", name = "a"}, {type = "module", name = "b"}]\n', [("a", "a"), ("b", "b")]),
    ],
)
def test_a_directory_with_nothing_but_the_table_of_dagster_dev_is_a_workspace(
    tmp_path: Path, text: str, locations: list[tuple[str, str]]
) -> None:
    (tmp_path / "pyproject.toml").write_text(TABLE + text)
    for path in (tmp_path, tmp_path / "pyproject.toml"):
        found = read_workspace(path).locations
        assert [(location.name, location.code_source[1]) for location in found] == locations
        assert {location.tree.project for location in found} == {tmp_path}
        assert found[0].settings["code_source"] == {"module_name": locations[0][1]}


@pytest.mark.parametrize(
    "text, line",
    [
        ("module_name = 3\n", 6),
        ('modules = [{type = "package", name = "a"}, {}]\n', 6),
        ('module_name = " "\n', 6),
    ],
)
def test_a_table_of_dagster_dev_without_a_module_is_told_with_its_line(
    tmp_path: Path, text: str, line: int
) -> None:
    (tmp_path / "pyproject.toml").write_text(TABLE + text)
    with pytest.raises(ProjectError, match="names no module") as raised:
        read_workspace(tmp_path)
    assert raised.value.where == Origin(tmp_path / "pyproject.toml", line)


def test_dg_goes_before_the_table_of_dagster_dev(tmp_path: Path) -> None:
    dg = '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "app"\n'
    (tmp_path / "pyproject.toml").write_text(f'{TABLE}module_name = "other"\n{dg}')
    (location,) = read_workspace(tmp_path).locations
    assert location.code_source == ("module_name", "app.definitions")


def test_a_directory_that_declares_nothing_gets_the_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=r"neither a dagster_cloud\.yaml") as raised:
        read_workspace(tmp_path)
    assert "location_name: my-location" in str(raised.value.remedy)
