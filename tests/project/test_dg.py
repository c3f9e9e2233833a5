"""Projects and workspaces of `dg`: their locations, and what cannot be right in their configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import Origin, ProjectError
from builder.project.workspace import read_workspace
from tests.support.requirements import write
from tests.support.workspaces import by_name, places, put, refused


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
    assert location.lines == {"code_source": Origin(root / "pyproject.toml", 10)}


def test_dg_toml_hides_pyproject_toml(root: Path) -> None:
    (location,) = read_workspace(put(root, "dg-toml")).locations
    assert location.name == "root"
    assert location.code_source == ("module_name", "acme.cloud.definitions")
    assert location.origin.path == root / "dg.toml"
    assert location.lines == {"code_source": Origin(root / "dg.toml", 5)}
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


def test_a_project_that_a_workspace_lists_twice_is_one_location_and_that_is_said(root: Path) -> None:
    put(root, "dg-workspace")
    file = root / "dg.toml"
    text = file.read_text()
    file.write_text(f'{text}\n[[workspace.projects]]\npath = "./projects/ml/"\n')
    workspace = read_workspace(root)
    assert [location.name for location in workspace.locations] == ["data-eng", "Machine Learning", "autoloaded"]
    (notice,) = workspace.notices
    assert notice.text == "the workspace lists the project `projects/ml` 2 times; list it once"
    assert notice.where == Origin(file, len(text.splitlines()) + 3)


def test_a_project_of_a_dg_workspace_that_is_given_by_itself_knows_nothing_of_the_workspace(root: Path) -> None:
    (location,) = read_workspace(put(root, "dg-workspace") / "projects/data-eng").locations
    assert location.registry is None
    assert "container_context" not in location.settings


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
