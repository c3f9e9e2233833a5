"""What a stranger may write: files that would take minutes to read, and paths to what is not the project's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from builder.building.steps import select_source
from builder.errors import Origin, ProjectError, ResolutionError
from builder.project.location import SourceTree
from builder.project.locks import load_lock
from builder.project.metadata import Metadata
from builder.project.patterns import IgnoreRules, IncludePatterns, Line
from builder.project.requirements import RequestedExtras, read_requirements
from builder.project.requirements_txt import read_requirements_txt
from builder.project.settings import read_settings
from builder.project.setup_cfg import read_setup_cfg
from builder.project.toml_file import TomlFile
from builder.project.workspace import read_workspace
from builder.project.yaml_file import YamlFile
from builder.resolution.indexes import read_indexes
from builder.resolution.pinned_locks import pinned_requirements


@pytest.mark.parametrize(
    "text, problem",
    [
        ("x = " + "[" * 5000 + "]" * 5000, "is nested too deeply"),
        ("x = " + "{a = " * 3000 + "1" + "}" * 3000, "is nested too deeply"),
        ("x = " + "1" * 6000, "is not valid TOML: Exceeds the limit"),
        ("x = 0x" + "f" * 600_000, "has more than 500.0 kB"),
        (".".join(["a"] * 5000) + " = 1", "has a key of more than 100 parts"),
        ("\n[" + " . ".join(["a"] * 200) + "]", "has a key of more than 100 parts"),
        ("\ufeff[project]\nname = 'x'", "begins with a byte order mark"),
        ("x = 1\ny = \n", "is not valid TOML"),
        ('x = 1\ny = "a\\u0000"\n', "has a null character in a text"),
    ],
)
def test_toml_without_measure_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ProjectError, match=problem) as caught:
        TomlFile.load(path)
    assert "pyproject.toml" in caught.value.what


@pytest.mark.parametrize(
    "text, problem",
    [
        ("a:\n" + " - 1\n" * 100_000, "has more than 256.0 kB"),
        ("# " + "x" * 10_000_000, "has more than 256.0 kB"),
        ("[" * 20_000, "nested too deeply"),
        ('a:\n  b: "x \\ud800"\n', "an unpaired surrogate"),
        ('a:\n  "x \\udc00": 1\n', "an unpaired surrogate"),
    ],
)
def test_yaml_without_measure_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "dagster_cloud.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ProjectError, match=problem):
        YamlFile.load(path)


@pytest.mark.parametrize("name", ["a\\0b", "a\\nb", "a\\u2028b", "a\\u001bb", "a\\u202eb"])
def test_a_location_name_is_a_line_of_text(tmp_path: Path, name: str) -> None:
    path = tmp_path / "dagster_cloud.yaml"
    path.write_text(f'locations:\n- location_name: "{name}"\n  code_source: {{module_name: m}}\n')
    with pytest.raises(ProjectError, match="control character or a line break") as caught:
        read_workspace(path)
    assert (caught.value.where and caught.value.where.line) == 2


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository, and beside it what is not the project's."""
    root = tmp_path / "repository"
    for directory in (root, tmp_path / "elsewhere"):
        directory.mkdir()
        (directory / "definitions.py").touch()
        (directory / "pyproject.toml").write_text("[project]\nname = 'x'\nversion = '1'\n")
    subprocess.run(["git", "init", "--quiet", root], check=True)
    return root


@pytest.mark.parametrize("directory", ["link", "../elsewhere", "inside/../link", "link/.", "absolute"])
def test_a_build_directory_outside_the_repository_is_refused(repository: Path, directory: str) -> None:
    (repository / "link").symlink_to("../elsewhere")
    (repository / "inside").mkdir()
    value = str(repository.parent / "elsewhere") if directory == "absolute" else directory
    path = repository / "dagster_cloud.yaml"
    entry = f"- location_name: a\n  code_source: {{module_name: m}}\n  build: {{directory: {value}}}\n"
    path.write_text(f"locations:\n{entry}")
    with pytest.raises(ProjectError, match=r"is outside the git\s+repository") as caught:
        read_workspace(path).select(())
    assert (caught.value.where and caught.value.where.line) == 4
    # Where the user gives a file of his own, he may.
    own = repository.parent / "dagster_cloud.yaml"
    own.write_text(f"locations:\n{entry}".replace(value, str(repository.parent / "elsewhere")))
    assert read_workspace(own).locations


def test_a_project_of_dg_outside_the_repository_is_refused(repository: Path) -> None:
    (repository / "dg.toml").write_text(
        'directory_type = "workspace"\n[workspace]\n[[workspace.projects]]\npath = "../elsewhere"\n'
    )
    with pytest.raises(ProjectError, match=r"is outside the git\s+repository"):
        read_workspace(repository / "dg.toml").select(())


@pytest.mark.parametrize("name", ["../elsewhere", "../elsewhere/definitions.py"])
def test_an_include_outside_the_repository_is_the_users_own_word(repository: Path, name: str) -> None:
    manifest = repository / "pyproject.toml"
    manifest.write_text(f'{manifest.read_text()}[tool.builder]\ninclude = ["{name}"]\n')
    tree = SourceTree(repository, repository)
    with pytest.raises(ProjectError, match="is outside the git repository") as caught:
        select_source(tree, repository / "out", ())
    assert (caught.value.where and caught.value.where.line) == 5
    assert f"--include {name}" in (caught.value.remedy or "")
    manifest.write_text(manifest.read_text().partition("[tool.builder]")[0])
    assert [other.name for other in select_source(tree, repository / "out", (name,)).others] == [name]


def test_an_include_above_the_project_but_in_the_repository_is_taken(repository: Path) -> None:
    project = repository / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text('[tool.builder]\ninclude = ["../definitions.py"]\n')
    source = select_source(SourceTree(project, project), repository / "out", ())
    assert [other.name for other in source.others] == ["../definitions.py"]


@pytest.mark.parametrize("line", ["-r ../secrets", "-c ../secrets", "-r link", "-r inside/../link"])
def test_a_requirements_file_outside_the_repository_is_not_read(repository: Path, line: str) -> None:
    (repository.parent / "secrets").write_text("machine h login u password canary\n")
    (repository / "link").symlink_to("../secrets")
    (repository / "inside").mkdir()
    path = repository / "requirements.txt"
    path.write_text(f"\n{line}\n")
    with pytest.raises(ProjectError, match=r"is outside the git\s+repository") as caught:
        read_requirements_txt(path)
    assert caught.value.where == Origin(path, 2)
    assert "canary" not in f"{caught.value}{caught.value.detail}"
    path.unlink()
    path.symlink_to("../secrets")
    with pytest.raises(ProjectError, match=r"is outside the git\s+repository"):
        read_requirements_txt(path)


def test_requirements_files_without_measure_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    for number in range(40):
        (tmp_path / f"{number}.txt").write_text(f"-r {number + 1}.txt\n" * 2)
    path.write_text("-r 0.txt\n")
    (tmp_path / "40.txt").touch()
    with pytest.raises(ProjectError, match="includes files more than 200 times"):
        read_requirements_txt(path)
    path.write_text("foo\n" * 2_000_000)
    with pytest.raises(ProjectError, match=r"has more than 5\.0 MB"):
        read_requirements_txt(path)
    path.write_text("foo\n" * 100_000)
    assert len(read_requirements_txt(path).lines) == 100_000


@pytest.mark.parametrize("text", [b"# -*- coding: rot13 -*-\n", b"-r a\0b\n", b"\xff\xfe\x00"])
def test_a_requirements_file_that_is_no_text_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "requirements.txt").write_bytes(text)
    with pytest.raises(ProjectError, match="cannot be read"):
        read_requirements_txt(tmp_path / "requirements.txt")


@pytest.mark.parametrize("name", ["requirements.txt", "setup.cfg", "pdm.lock", "Pipfile.lock", ".builderignore"])
def test_what_would_never_end_is_not_opened(tmp_path: Path, name: str) -> None:
    # As `/dev/stdin` is, to which a symlink may lead.
    os.mkfifo(tmp_path / name)
    read = {
        "requirements.txt": read_requirements_txt,
        "setup.cfg": lambda path: read_setup_cfg(path.parent),
        ".builderignore": lambda path: IgnoreRules(str(path), ""),
    }.get(name, load_lock)
    with pytest.raises(ProjectError, match="it is not a file"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    "pattern, taken",
    [("*a" * 40 + "*c", "*a" * 40 + "*b"), ("**/a/" * 40 + "c", "**/a/" * 40 + "b")],
    ids=["stars", "directories"],
)
def test_a_pattern_takes_no_time_however_many_wildcards_it_has(tmp_path: Path, pattern: str, taken: str) -> None:
    name = "a" * 240 + "b" if pattern.startswith("*a") else "a/" * 500 + "b"
    (tmp_path / ".builderignore").write_text(f"{pattern}\n{taken}\n")
    rules = IgnoreRules(str(tmp_path / ".builderignore"), "")
    assert rules.rule(name) == (Line(".builderignore", 2), True)
    assert rules.rule(f"{name}x") is None
    assert IncludePatterns([pattern, taken]).matches(name)


_MEMBERS = """
[project]
name = "x"
dependencies = ["y"]
[tool.uv.sources]
y = {{workspace = true}}
[tool.uv.workspace]
members = {}
"""
_CHAIN = "\n".join(f'e{number} = ["x[e{number + 1}]"]' for number in range(199))
_DEEP = "\n".join(f'g{number} = [{{include-group = "g{number + 1}"}}]' for number in range(3000))
_DOUBLING = "\n".join(
    f'g{number} = [{{include-group = "g{number + 1}"}}, {{include-group = "g{number + 1}"}}]'
    for number in range(40)
)


@pytest.mark.parametrize(
    "text, problem",
    [
        (_MEMBERS.format(["p"] * 1001), "has 1001 patterns, and 1000 is the limit"),
        (_MEMBERS.format(["**/a/**"]), "may match without bounds"),
        (_MEMBERS.format(["../**"]), "may match without bounds"),
        (_MEMBERS.format(["/*/*"]), "may match without bounds"),
        (_MEMBERS.format(["", "/nowhere", "**a", "[a", "*x"]), "which has no such member"),
        (
            '[project]\nname = "x"\n[project.optional-dependencies]\n' + _CHAIN + "\na = []\nb = []",
            "has 201 extras",
        ),
        (
            '[project]\nname = "x"\n[dependency-groups]\n' + _DOUBLING + '\ng40 = ["a"]',
            "has more than 10000 requirements",
        ),
        ('[project]\nname = "x"\n[dependency-groups]\n' + _DEEP, "or too many levels"),
        ("[tool.builder]\ninclude = [" + '"a",' * 1001 + "]", "has 1001 patterns, and 1000 is the limit"),
        (
            "[tool.dagster]\nmodules = [" + ",".join(f'{{type="module",name="p{n}"}}' for n in range(1001)) + "]",
            "more than 1000 locations",
        ),
        (
            "[tool.dg]\ndirectory_type = 'workspace'\n[tool.dg.workspace]\nprojects = ["
            + ",".join(f'{{path="p{n}"}}' for n in range(1001))
            + "]",
            "more than 1000 locations",
        ),
    ],
)
def test_lists_have_a_measure(tmp_path: Path, text: str, problem: str) -> None:
    """What they ask for would take minutes."""
    (tmp_path / "pyproject.toml").write_text(text)
    wanted = RequestedExtras(("e0",) if "e0" in text else (), ("g0",) if "g0" in text else ())

    def read() -> object:
        if "[tool.d" in text:
            return read_workspace(tmp_path)
        return read_settings(tmp_path), read_requirements(
            tmp_path, {"python_version": "3.11"}, _no_backend, wanted
        )

    with pytest.raises(ProjectError, match=problem) as caught:
        read()
    assert caught.value.where
    assert caught.value.where.line


@pytest.mark.parametrize("text", ["install_requires =\n  a\0", "install_requires = a; b; c d e"])
def test_a_setup_cfg_with_what_is_no_requirement_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "setup.cfg").write_text(f"[metadata]\nname = x\n[options]\n{text}\n")
    with pytest.raises(ProjectError, match="is not a valid requirement"):
        read_setup_cfg(tmp_path)


_PDM = '[metadata]\nstrategy = ["inherit_metadata"]\n'


@pytest.mark.parametrize(
    "name, text",
    [
        ("pdm.lock", "metadata = [1]"),
        ("pdm.lock", "[metadata]\nstrategy = 3"),
        ("pdm.lock", f"{_PDM}groups = 3"),
        ("pdm.lock", f'{_PDM}[[package]]\nversion = "1"\ngroups = ["default"]'),
        ("pdm.lock", f'{_PDM}[[package]]\nname = 3\ngroups = ["default"]'),
        ("Pipfile.lock", '{"_meta": {"sources": [{"name": "x"}]}}'),
        ("Pipfile.lock", '{"default": {"x": {"git": 3}}}'),
    ],
)
def test_a_lock_that_no_tool_writes_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\ndependencies = ["a"]\n')
    (tmp_path / "Pipfile").touch()
    requirements = read_requirements(tmp_path, {"python_version": "3.11"}, _no_backend)
    with pytest.raises(ResolutionError, match=f"{name} is not what `.* lock` writes") as caught:
        pinned_requirements(requirements, tmp_path / name)
    assert caught.value.where == Origin(tmp_path / name)


def _no_backend(directory: Path) -> Metadata:
    raise AssertionError(directory)


@pytest.mark.parametrize(
    "requirement, problem",
    [
        (f"a; {'(' * 3000}python_version > '3'{')' * 3000}", "is not a valid requirement"),
        ("a; 'x' ~= 'y'", "cannot be evaluated"),
    ],
)
def test_a_marker_without_measure_or_sense_is_refused(tmp_path: Path, requirement: str, problem: str) -> None:
    text = f'[project]\nname = "x"\nversion = "1"\ndependencies = ["{requirement}"]\n'
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(ProjectError, match=problem) as caught:
        read_requirements(tmp_path, {"python_version": "3.11"}, _no_backend)
    assert len(caught.value.what) < 300


@pytest.mark.parametrize(
    "option", ["--index-url http://[::/", "--find-links http://[x", "--extra-index-url http://[/"]
)
def test_a_url_that_is_none_is_refused(tmp_path: Path, option: str) -> None:
    with pytest.raises(ProjectError, match="the URL of an index is invalid"):
        read_indexes(tmp_path, (option,))


def test_a_group_of_poetry_that_is_no_table_is_refused(tmp_path: Path) -> None:
    text = '[tool.poetry]\nname = "x"\nversion = "1"\n[tool.poetry.group]\na = 3\n'
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(ProjectError, match="is not what poetry expects"):
        read_requirements(tmp_path, {"python_version": "3.11"}, _no_backend)


@pytest.mark.parametrize(
    "source, setting, problem, line",
    [
        ("module_name: a", "working_directory: ../..", "is outside the git repository", 5),
        ("module_name: a", "working_directory: out", "is outside the git repository", 5),
        ("module_name: a", 'working_directory: "a\\0"', "is not a text", 5),
        ("module_name: a", "working_directory: [a]", "is not a text", 5),
        ("module_name: a", "attribute: 1", "is not a text", 5),
        ("module_name: src/sales.py", "", "is not the name of a module", 4),
        ("package_name: a b", "", "is not the name of a module", 4),
        ("autoload_defs_module_name: .a", "", "is not the name of a module", 4),
        ('module_name: "a\\0"', "", "is not the name of a module", 4),
        ('python_file: "a\\0"', "", "is not the name of a module", 4),
        ("module_name: my-package.defs", "working_directory: src/../lib", None, 0),
        ("module_name: a", "working_directory: /opt/x", None, 0),
    ],
)
def test_what_the_server_cannot_load_is_told_at_its_line(
    tmp_path: Path, source: str, setting: str, problem: str | None, line: int
) -> None:
    project = tmp_path / "project"
    (project / ".git").mkdir(parents=True)
    (project / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (project / "out").symlink_to(tmp_path)
    file = project / "dagster_cloud.yaml"
    file.write_text(f"locations:\n- location_name: x\n  code_source:\n    {source}\n  {setting}\n")
    found = read_workspace(file).locations[0].problem
    if problem is None:
        assert found is None
    else:
        assert found
        assert problem in found.what
        assert found.where == Origin(file, line)


def test_a_module_is_proposed_for_a_path(tmp_path: Path) -> None:
    file = tmp_path / "dagster_cloud.yaml"
    file.write_text("locations: [{location_name: x, code_source: {module_name: src/sales.py}}]")
    found = read_workspace(file).locations[0].problem
    assert found
    assert "`module_name: src.sales`" in (found.remedy or "")
