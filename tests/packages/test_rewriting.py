"""Rewriting the versions of packages and the pins on them, without changing anything else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from builder.errors import PackagesError
from builder.packages.discover import discover
from builder.packages.releases import releases_of
from builder.packages.rewriting import plan_rewriting
from builder.packages.versions import FamilyVersions, manual_versions, next_versions
from tests.support.commands import write_tree
from tests.support.monorepo import CORE, LIBRARIES, Era, directory_of, make_monorepo
from tests.support.repositories import Repository

CORE_VERSION, LIBRARIES_VERSION = "1.13.30a0.dev42+gabc1234", "0.29.30a0.dev42+gabc1234"
WANTED = FamilyVersions(CORE_VERSION, LIBRARIES_VERSION)

_PROJECT = '[project]\nname = "{}"\nversion = "{}"\n[build-system]\nrequires = ["hatchling"]\n'


def _rewritten(path: Path, era: Era) -> Repository:
    repository = make_monorepo(path, era)
    plan_rewriting(discover(path), WANTED).apply()
    return repository


def _changed_lines(repository: Repository, name: str) -> list[tuple[str, str]]:
    """The changed lines in a package's files, before and after, from `git diff`."""
    diff = repository.git("diff", "--unified=0", "--", directory_of(name))
    before, after = (re.findall(rf"(?m)^[{sign}](?![-+])(.*)", diff) for sign in ("-", "+"))
    return [(old.strip(), new.strip()) for old, new in zip(before, after, strict=True)]


def _version_lines(name: str, *, manifest: bool) -> list[tuple[str, str]]:
    version = CORE_VERSION if name in CORE or name == "dagster-test" else LIBRARIES_VERSION
    lines = [('__version__ = "1!0+dev"', f'__version__ = "{version}"')]
    return lines + ([('version = "1!0+dev"', f'version = "{version}"')] if manifest else [])


@pytest.mark.parametrize(
    "name, pins",
    [
        (
            "dagster",
            [
                ('"dagster-pipes==1!0+dev",', f'"dagster-pipes=={CORE_VERSION}",'),
                (
                    '"dagster-shared==1!0+dev",  # shared code,',
                    f'"dagster-shared=={CORE_VERSION}",  # shared code,',
                ),
            ],
        ),
        (
            "dagit",
            [('"dagster-webserver[notebook]==1!0+dev",', f'"dagster-webserver[notebook]=={CORE_VERSION}",')],
        ),
        ("dagster-celery", [('"dagster==1!0+dev",', f'"dagster=={CORE_VERSION}",')]),
        (
            "dagster-airlift",
            [
                ('"dagster==1!0+dev",', f'"dagster=={CORE_VERSION}",'),
                (
                    'tutorial = ["dagster-webserver==1!0+dev", "boto3; python_version < \'3.13\'"]',
                    f'tutorial = ["dagster-webserver=={CORE_VERSION}", "boto3; python_version < \'3.13\'"]',
                ),
                (
                    "\"dagster-dbt==1!0+dev; python_version < '3.14'\",  # yet",
                    f"\"dagster-dbt=={LIBRARIES_VERSION}; python_version < '3.14'\",  # yet",
                ),
                (
                    "'dagster-celery == 1!0+dev; sys_platform != \"win32\"',",
                    f"'dagster-celery == {LIBRARIES_VERSION}; sys_platform != \"win32\"',",
                ),
            ],
        ),
        ("dagster-cloud-cli", []),
        ("dagster-pipes", []),
        ("dagster-test", []),
    ],
)
def test_versions_and_pins_of_pyproject_toml_change_by_family_and_nothing_else(
    tmp_path: Path, name: str, pins: list[tuple[str, str]]
) -> None:
    repository = _rewritten(tmp_path / "repository", "pyproject")

    assert sorted(_changed_lines(repository, name)) == sorted([*_version_lines(name, manifest=True), *pins])


@pytest.mark.parametrize(
    "name, pins",
    [
        (
            "dagster",
            [
                ('f"dagster-pipes{pin}",', f'"dagster-pipes=={CORE_VERSION}",'),
                ('f"dagster-shared{pin}",', f'"dagster-shared=={CORE_VERSION}",'),
            ],
        ),
        (
            "dagit",
            [
                ('f"dagster-webserver{pin}",', f'"dagster-webserver=={CORE_VERSION}",'),
                (
                    'extras_require={"notebook": [f"dagster-webserver[notebook]{pin}"]},  # notebooks support',
                    'extras_require={"notebook": ["dagster-webserver[notebook]==VERSION"]},'.replace(
                        "VERSION", CORE_VERSION
                    )
                    + "  # notebooks support",
                ),
            ],
        ),
        # Its computed pin would have the version of its own family.
        ("dagster-celery", [('f"dagster{pin}",', f'"dagster=={CORE_VERSION}",')]),
        (
            "dagster-airlift",
            [
                ('"core": [f"dagster{pin}", *CLI],', f'"core": ["dagster=={CORE_VERSION}", *CLI],'),
                (
                    '"test": [f"dagster-dbt{pin}; python_version < \'3.14\'", "dagster-celery" + pin],',
                    '"test": ["dagster-dbt==V; python_version < \'3.14\'", "dagster-celery==V"],'.replace(
                        "V", LIBRARIES_VERSION
                    ),
                ),
            ],
        ),
        ("dagster-cloud-cli", []),
        ("dagster-shared", []),
    ],
)
def test_versions_and_computed_pins_of_setup_py_change_by_family_and_nothing_else(
    tmp_path: Path, name: str, pins: list[tuple[str, str]]
) -> None:
    repository = _rewritten(tmp_path / "repository", "setup.py")

    assert sorted(_changed_lines(repository, name)) == sorted([*_version_lines(name, manifest=False), *pins])


def test_a_version_written_out_in_setup_py_changes(tmp_path: Path) -> None:
    repository = _rewritten(tmp_path / "repository", "setup.py")

    setup_py = (repository.path / "python_modules/dagster-test/setup.py").read_text()
    assert f'version="{CORE_VERSION}"' in setup_py
    assert 'install_requires=["dagster"]' in setup_py


@pytest.mark.parametrize("era", ["pyproject", "setup.py"])
def test_no_other_file_changes(tmp_path: Path, era: Era) -> None:
    repository = _rewritten(tmp_path / "repository", era)

    changed = repository.git("diff", "--name-only").splitlines()
    packages = [*CORE, *LIBRARIES, "dagster-test"]
    allowed = {
        f"{directory_of(name)}/{file}"
        for name in packages
        for file in ("pyproject.toml", "setup.py", f"{name.replace('-', '_')}/version.py")
    }
    assert set(changed) <= allowed
    # Each has its version in its version module at least.
    assert len([path for path in changed if path.endswith("/version.py")]) == len(packages)
    if era == "pyproject":
        text = (repository.path / "python_modules/dagster/pyproject.toml").read_text()
        assert '"dagster==1!0+dev",\n    "dagster-test",' in text


@pytest.mark.parametrize("era", ["pyproject", "setup.py"])
def test_versions_can_be_given_again(tmp_path: Path, era: Era) -> None:
    repository = _rewritten(tmp_path / "repository", era)

    assert not plan_rewriting(discover(repository.path), WANTED).changes
    for version in ("2026.11.22.5", "1.0.0.dev7+abc1234", "2.0.0", "1.13.31"):
        wanted = manual_versions(version)
        plan_rewriting(discover(repository.path), wanted).apply()
        again = discover(repository.path)
        found = {package.name: package.version for package in again.packages}
        assert {found[name] for name in CORE} == {wanted.core}
        assert {found[name] for name in LIBRARIES} == {wanted.libraries}
        extras = again.package("dagster-airlift").declared.extras
        assert any(
            re.match(rf"dagster-dbt=={re.escape(wanted.libraries)}\s*;\s*\(?python", text) for text in extras
        )
    plan_rewriting(discover(repository.path), WANTED).apply()
    assert not plan_rewriting(discover(repository.path), WANTED).changes


def test_a_plan_writes_nothing_and_its_diff_is_for_git(tmp_path: Path) -> None:
    repository = make_monorepo(tmp_path / "repository", "setup.py")

    rewriting = plan_rewriting(discover(repository.path), WANTED)

    assert repository.git("status", "--porcelain") == ""
    (tmp_path / "diff").write_text(rewriting.diff())
    repository.git("apply", str(tmp_path / "diff"))
    assert not plan_rewriting(discover(repository.path), WANTED).changes


def test_line_ends_permissions_and_other_letters_stay(tmp_path: Path) -> None:
    text = (
        'from setuptools import setup\r\n# Größe\r\nsetup(name="dagster-x", author="Zoë", version="1!0+dev",\r\n'
        '    install_requires=["dagster==1!0+dev"])\r\n'
    )
    write_tree(tmp_path, {"dagster/pyproject.toml": _PROJECT.format("dagster", "1!0+dev")})
    setup_py = tmp_path / "x" / "setup.py"
    setup_py.parent.mkdir()
    setup_py.write_bytes(text.encode())
    setup_py.chmod(0o755)

    plan_rewriting(discover(tmp_path), WANTED).apply()

    expected = text.replace('version="1!0+dev"', f'version="{LIBRARIES_VERSION}"')
    assert setup_py.read_bytes().decode() == expected.replace("dagster==1!0+dev", f"dagster=={CORE_VERSION}")
    assert setup_py.stat().st_mode & 0o777 == 0o755


def test_ranges_wildcards_and_references_are_no_pins_but_are_told_if_not_satisfied(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            "dagster/pyproject.toml": _PROJECT.format("dagster", "1.13.29"),
            "x/pyproject.toml": _PROJECT.format("dagster-x", "0.29.29").replace(
                "[build-system]",
                'dependencies = ["dagster>=1.8,<2", "dagster==1.13.*", "dagster @ file:///tmp/dagster==1.13.29"]\n'
                "[build-system]",
            ),
        },
    )
    before = (tmp_path / "x/pyproject.toml").read_text()

    rewriting = plan_rewriting(discover(tmp_path), FamilyVersions("1.0.0.dev7+abc1234", "1.0.0.dev7+abc1234"))

    rewriting.apply()
    assert (tmp_path / "x/pyproject.toml").read_text() == before.replace("0.29.29", "1.0.0.dev7+abc1234")
    assert [notice.text for notice in rewriting.notices] == [
        "`dagster-x` requires `dagster<2,>=1.8`, which version 1.0.0.dev7+abc1234 is not; choose another version",
        "`dagster-x` requires `dagster==1.13.*`, which version 1.0.0.dev7+abc1234 is not; choose another version",
    ]


def test_a_version_that_only_the_backend_knows_is_refused(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            "dagster/pyproject.toml": _PROJECT.format("dagster", "1!0+dev"),
            "x/setup.py": 'from setuptools import setup\nsetup(name="dagster-x", version=f"1!0+dev")\n',
            "y/setup.py": 'import os\nfrom setuptools import setup\nsetup(name="dagster-y", version=os.name)\n',
        },
    )
    # A package without a declared version belongs to no family, and is not changed.
    assert discover(tmp_path).package("dagster-y").family is None

    with pytest.raises(PackagesError, match="`dagster-x` cannot be given a version"):
        plan_rewriting(discover(tmp_path), WANTED)


def test_a_repository_without_families_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a/pyproject.toml": _PROJECT.format("a", "1!0")})
    write_tree(tmp_path, {"b/pyproject.toml": _PROJECT.format("b", "3.0.0")})

    # A placeholder version belongs to a family; other packages' release versions do not.
    assert plan_rewriting(discover(tmp_path), WANTED).versions == {"a": LIBRARIES_VERSION}
    write_tree(tmp_path, {"a/pyproject.toml": _PROJECT.format("a", "3.1.0")})
    with pytest.raises(PackagesError, match="is of a family of dagster"):
        plan_rewriting(discover(tmp_path), WANTED)


def test_the_last_release_is_found_in_what_packages_declare_then_the_changes_then_the_tags(tmp_path: Path) -> None:
    git = make_monorepo(tmp_path / "repository", "pyproject")
    git.git("tag", "release-1.13.31")
    git.git("tag", "1.13.30")
    git.git("tag", "latest")

    assert releases_of(discover(git.path)) == ["1.13.29", "1.13.28"]
    (git.path / "CHANGES.md").unlink()
    assert sorted(releases_of(discover(git.path))) == ["1.13.30", "1.13.31"]
    plan_rewriting(discover(git.path), manual_versions("1.12.7")).apply()
    assert next_versions(releases_of(discover(git.path)), build=1, commit="a" * 40).libraries.startswith(
        "0.28.8a0"
    )
    git.git("checkout", "-q", ".")
    (git.path / "CHANGES.md").unlink()
    for tag in ("release-1.13.31", "1.13.30"):
        git.git("tag", "--delete", tag)
    with pytest.raises(PackagesError, match="says what the last release was"):
        releases_of(discover(git.path))
