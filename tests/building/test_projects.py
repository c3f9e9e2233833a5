"""Every way of declaring what a project needs, one small project each, through the command line.

The index has a decoy for every local package, of its name and a far higher version: it is never asked for.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.system import process, storage
from builder.verification.unpack import unpack
from tests.support.commands import DAGSTER, Ran, Workshop, make_sdist, run_command, workshop, write_tree
from tests.support.index import Index, serving
from tests.support.projects import Trait, load_traits
from tests.support.repositories import git
from tests.support.server import CodeServer, ServerRefusedError
from tests.support.verified import verified
from tests.support.warnings_page import kinds_of_warnings
from tests.support.wheels import download_wheels, make_wheel

pytestmark = [pytest.mark.slow, pytest.mark.network]

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
TRAITS = load_traits()
BACKENDS = (
    *("setuptools==84.2.1", "flit-core==4.2.0", "poetry-core==2.5.0", "uv-build==0.13.6", "hatchling==1.33.0"),
    *("packaging==26.3", "pathspec==1.1.1", "pluggy==1.7.0", "tomlkit==0.15.2", "trove-classifiers==2026.9.21.13"),
)
FLIT = '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'
# Hidden, so that no build backend takes it for a part of the package.
DEFINITIONS = ".loaded/definitions.py"
LOADED = """
import importlib.metadata
import dagster

for name in {packages!r}:
    importlib.metadata.distribution(name)

@dagster.asset(name={asset!r})
def loaded() -> None: ...
"""
VERSIONS = """
import sys
from importlib.metadata import version
from pathlib import Path

import working_directory

assert Path(working_directory.__file__).with_name("root").is_dir()
print(*(f"{name}=={version(name)}" for name in sys.argv[1:]))
"""
LOADED_BY_THE_SERVER = ("local-name-asked-by-others", "poetry-path", "uv-workspace")
"""With several local packages. Projects in whose code there is something to find are loaded by
`tests/verification/test_projects_server.py`; all are unpacked as the server does."""
REFUSED_WHILE_PACKED = ("reported-hatchling-finds-no-package",)
"""Their requirements are known without their backend, so that their deps PEX, which is right, may be there."""
SERVERLESS = {f"dagster=={DAGSTER}", f"dagster-cloud=={DAGSTER}"}
LOCAL_NAMES = {text.partition("==")[0] for trait in TRAITS for text in trait.local}


@dataclass(frozen=True, slots=True)
class Shop:
    """A workshop with a second index, both full of tiny wheels."""

    place: Workshop
    private: Index

    def values(self, root: Path) -> dict[str, str]:
        """What the placeholders of a project at `root` stand for."""
        shelf = self.place.index.directory
        versions = {"dagster": DAGSTER, "dagster_cloud": DAGSTER, "tool": "2.0"}
        versions |= dict.fromkeys(("extra", "devtool", "other"), "1.0")
        digests = {
            name: storage.sha256_of(shelf / f"{name}-{version}-py3-none-any.whl")
            for name, version in versions.items()
        }
        return {
            "ROOT": str(root),
            "REPOSITORY": (self.place.root / "repository").as_uri(),
            "INDEX": self.place.index.url,
            "FILES": self.place.index.url.replace("/simple/", "/files/"),
            "PRIVATE": self.private.url,
            "DAGSTER": DAGSTER,
            **{f"DIGEST:{name}": digest for name, digest in digests.items()},
            **{f"HASH:{name}": f"sha256:{digest}" for name, digest in digests.items()},
        }

    def asked_for_local_names(self) -> list[str]:
        return [name for name in (*self.place.index.pages(), *self.private.pages()) if name in LOCAL_NAMES]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Shop]:
    assert pytestconfig.cache is not None
    private = tmp_path_factory.mktemp("private")
    make_wheel(private, {"tool.py": ""}, name="tool", version="0.5")
    with workshop(tmp_path_factory.mktemp("shop")) as place, serving(private) as other:
        shelf = place.index.directory
        for version in ("1.0", "2.0", "3.0"):
            make_wheel(shelf, {"tool.py": ""}, name="tool", version=version)
        for name in ("extra", "devtool", "other", "bag-more", "fromurl"):
            make_wheel(shelf, {f"{name}.py": ""}, name=name)
        make_wheel(shelf, {"bag.py": ""}, name="bag", requires=["bag-more; extra == 'more'"])
        make_wheel(shelf, {"needy.py": ""}, name="needy", requires=["tool>=2"])
        make_wheel(shelf, {"clingy.py": ""}, name="clingy", requires=["shared"])
        for name in LOCAL_NAMES:
            make_wheel(shelf, {f"{name}_decoy.py": ""}, name=name, version="99.0")
            make_wheel(private, {f"{name}_decoy.py": ""}, name=name, version="99.0")
        for wheel in download_wheels(BACKENDS, pytestconfig.cache.mkdir("wheels")):
            (shelf / wheel.path.name).symlink_to(wheel.path)
        make_repository(place.root / "repository")
        yield Shop(place, other)
        place.assert_clean()


def local_wheel(_shop: Shop, project: Path) -> None:
    (project / "wheels").mkdir(exist_ok=True)
    make_wheel(project / "wheels", {"wheeled.py": ""}, name="wheeled", requires=["extra; extra == 'fast'"])


def wheels_for_linux(_shop: Shop, project: Path) -> None:
    (project / "wheels").mkdir()
    for version, tag in (("1.0", "manylinux2014_x86_64"), ("2.0", "manylinux_2_28_x86_64")):
        make_wheel(project / "wheels", {"native.py": ""}, name="native", version=version, tag=f"cp311-cp311-{tag}")


def local_archives(shop: Shop, project: Path) -> None:
    local_wheel(shop, project)
    (project / "sdists").mkdir()
    manifest = f'{FLIT}[project]\nname = "homemade"\nversion = "1.0"\ndescription = "x"\n'
    make_sdist(project / "sdists", {"pyproject.toml": manifest, "homemade.py": ""}, name="homemade")


def make_repository(repository: Path) -> None:
    """A git repository with a package in a directory of it."""
    manifest = f'{FLIT}[project]\nname = "fromgit"\nversion = "1.0"\ndescription = "x"\n'
    write_tree(repository / "python", {"pyproject.toml": manifest, "fromgit.py": ""})
    git(repository, "init", "--quiet")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "one")
    git(repository, "tag", "v1")


def written_on_windows(_shop: Shop, project: Path) -> None:
    path = project / "requirements.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))


def notebook_checkpoints(_shop: Shop, project: Path) -> None:
    write_tree(project / "notebooks", {".ipynb_checkpoints/report-checkpoint.ipynb": "{}"})


def ignored_by_git(_shop: Shop, project: Path) -> None:
    write_tree(project, {".gitignore": "target/\n", "dbt/target/manifest.json": "{}"})
    git(project, "init", "--quiet")


def generated_and_ignored(_shop: Shop, project: Path) -> None:
    write_tree(project, {".gitignore": "build/\n", "build/python/generated/__init__.py": ""})
    git(project, "init", "--quiet")


def checked_out(_shop: Shop, project: Path) -> None:
    """A repository whose root is two directories above."""
    git(project.parents[1], "init", "--quiet")


def uv_lock(shop: Shop, project: Path) -> None:
    """A lock made when there was no newer version."""
    command = [shop.place.environment["BUILDER_UV"], "lock", "--quiet", "--upgrade-package", "tool==2.0"]
    subprocess.run(command, check=True, cwd=project, env=shop.place.environment)


def outdated_uv_lock(shop: Shop, project: Path) -> None:
    uv_lock(shop, project)
    manifest = project / "pyproject.toml"
    manifest.write_text(manifest.read_text().replace('"dagster",', '"dagster", "tool",'))


def where_poetry_is(shop: Shop, _project: Path) -> Mapping[str, str]:
    """The index that this machine uses; the project's distributions come from the one that it names."""
    return {**os.environ, **shop.place.environment, "UV_DEFAULT_INDEX": ""}


def poetry_lock(shop: Shop, project: Path) -> Mapping[str, str]:
    """Such a lock by poetry."""
    environment = where_poetry_is(shop, project)
    uv_run = [
        environment["BUILDER_UV"],
        "run",
        "--quiet",
        "--no-project",
        "--isolated",
        "--with",
        "poetry>=2.1,<3",
    ]
    subprocess.run([*uv_run, "poetry", "lock", "--quiet"], check=True, cwd=project, env=environment)
    lock, shelf = project / "poetry.lock", shop.place.index.directory
    older, newer = (storage.sha256_of(shelf / f"tool-{version}-py3-none-any.whl") for version in ("2.0", "3.0"))
    text = lock.read_text().replace(newer, older).replace("tool-3.0-", "tool-2.0-")
    lock.write_text(text.replace('name = "tool"\nversion = "3.0"', 'name = "tool"\nversion = "2.0"'))
    return environment


Preparation = Callable[[Shop, Path], Mapping[str, str] | None]

PREPARE: Mapping[str, Preparation] = {
    "backend-hatchling-format": checked_out,
    "dbt-target": ignored_by_git,
    "notebooks": notebook_checkpoints,
    "poetry-lock": poetry_lock,
    "poetry-lock-outdated": where_poetry_is,
    "poetry-path": local_wheel,
    "reported-poetry-package-that-git-ignores": generated_and_ignored,
    "reported-wheels-for-newer-linux": wheels_for_linux,
    "requirements-archives": local_archives,
    "requirements-find-links": local_wheel,
    "requirements-windows": written_on_windows,
    "several-locks": uv_lock,
    "uv-lock": uv_lock,
    "uv-lock-outdated": outdated_uv_lock,
    "uv-lock-without-dagster-cloud": uv_lock,
    "uv-sources-path": local_wheel,
    "uv-workspace-lock": uv_lock,
}


@dataclass(frozen=True, slots=True)
class Built:
    """What a run of `builder.deploy` on a trait left."""

    ran: Ran
    out: Path
    tree: Path

    def locked(self) -> set[str]:
        (path,) = self.out.glob("*.pylock.toml")
        packages = tomllib.loads(path.read_text(encoding="utf-8"))["packages"]
        return {f"{package['name']}=={package['version']}" for package in packages}

    def source(self) -> zipfile.ZipFile:
        (path,) = self.out.glob("source-*.pex")
        return zipfile.ZipFile(path)


def build(shop: Shop, trait: Trait, root: Path, *, definitions: str | None = None) -> Built:
    """Build a trait with `builder.deploy`; `definitions`, if given, is the code that it runs."""
    tree, out = root / "tree", root / "out"
    trait.copy(tree, shop.values(tree))
    project = tree / trait.project
    prepare = PREPARE.get(trait.name)
    environment = prepare(shop, project) if prepare else None
    code_source = trait.code_source
    if definitions is not None:
        write_tree(project, {DEFINITIONS: definitions})
        code_source = {"python_file": DEFINITIONS}
    location = {
        "location_name": trait.name,
        "build": {"directory": str(project)},
        "code_source": code_source,
    }
    (root / "dagster_cloud.yaml").write_text(json.dumps({"locations": [dict(location)]}))
    version = [] if "--python-version" in trait.options else ["--python-version", RUNNING]
    ran = shop.place.run("deploy", root / "dagster_cloud.yaml", out, *version, *trait.options, env=environment)
    return Built(ran, out, tree)


@pytest.mark.parametrize("trait", [trait for trait in TRAITS if not trait.refused], ids=lambda trait: trait.name)
def test_what_a_project_declares_goes_in(shop: Shop, trait: Trait, tmp_path: Path) -> None:
    built = build(shop, trait, tmp_path)
    built.ran.succeeded()
    for words in trait.says:
        assert words in built.ran.stderr
    unexpected = [line for line in built.ran.stderr.splitlines() if not any(words in line for words in trait.says)]
    # Most of these projects have no code.
    assert {*kinds_of_warnings("\n".join(unexpected))} <= {"location NAME will not load: REASON"}
    assert shop.asked_for_local_names() == []
    assert built.locked() == SERVERLESS | trait.locked
    with built.source() as pex:
        names = set(pex.namelist())
        assert installed(names) == trait.local
        assert trait.files <= names
        assert not trait.absent & names
        for name in names:
            assert not re.search(r"dist-info/(direct_url|uv_cache)\.json", name)
            assert name.startswith("working_directory/") or str(tmp_path).encode() not in pex.read(name), name
    if "--python-version" not in trait.options or RUNNING in trait.options:
        assert_receivers_find(trait.local, built.out)


def assert_receivers_find(local: frozenset[str], out: Path) -> None:
    """Unpack a source PEX as the server and `builder.verify` do: what is installed is there, and the files."""
    (source,) = out.glob("source-*.pex")
    unpacked = unpack(source, Path(sys.executable), out.parent / "unpacked")
    command: list[str | Path] = [
        unpacked.entry_point,
        "-c",
        VERSIONS,
        *sorted(text.partition("==")[0] for text in local),
    ]
    ran = process.run(command, env=process.clean_environment(), cwd=out)
    assert ran.stdout.split() == sorted(local)


def installed(names: set[str]) -> set[str]:
    """The distributions in a source PEX."""
    found = (re.fullmatch(r"([^/]+)-([^/-]+)\.dist-info/METADATA", name) for name in names)
    return {f"{match[1].replace('_', '-')}=={match[2]}" for match in found if match}


@pytest.mark.parametrize("trait", [trait for trait in TRAITS if trait.refused], ids=lambda trait: trait.name)
def test_what_cannot_be_right_is_refused_in_words_that_help(shop: Shop, trait: Trait, tmp_path: Path) -> None:
    built = build(shop, trait, tmp_path)
    # A traceback may be in it, of a setup.py for example, but not the builder's own.
    assert built.ran.code == 1
    assert not re.search(r"(?m)^Traceback|the builder itself", built.ran.stderr)
    for words in trait.refused:
        assert words in built.ran.stderr
    assert trait.name in REFUSED_WHILE_PACKED or not list(built.out.glob("deps-*"))


def test_the_index_would_have_served_a_decoy(shop: Shop, tmp_path: Path) -> None:
    pages = len(shop.place.index.requests)
    write_tree(tmp_path / "project", {"requirements.txt": "dagster\ndagster-cloud\nshared\n"})
    shop.place.run("deps", tmp_path / "project", tmp_path / "out").succeeded()
    (lock,) = (tmp_path / "out").glob("*.pylock.toml")
    assert "shared-99.0-" in lock.read_text()
    asked = [path for path in shop.place.index.requests[pages:] if path.startswith("/simple/shared/")]
    assert asked
    # The other tests look at the whole log.
    shop.place.index.requests[:] = [path for path in shop.place.index.requests if path not in asked]


def test_the_real_server_and_verify_load_what_is_installed_of_several_packages(
    shop: Shop, code_server: CodeServer, tmp_path: Path
) -> None:
    """Each source PEX beside one deps PEX of the real dagster; what the projects need besides are empty wheels."""
    pex_files = tmp_path / "pex"
    write_tree(tmp_path / "project", {"requirements.txt": "dagster\ndagster-cloud\n"})
    run_command("deps", "project", pex_files, "--python-version", RUNNING, directory=tmp_path).succeeded()
    (deps,) = pex_files.glob("deps-*.pex")

    def make(trait: Trait) -> str:
        asset = trait.name.replace("-", "_")
        packages = sorted(text.partition("==")[0] for text in trait.local)
        definitions = LOADED.format(packages=packages, asset=asset)
        built = build(shop, trait, tmp_path / trait.name, definitions=definitions)
        built.ran.succeeded()
        (source,) = built.out.glob("source-*.pex")
        source.rename(pex_files / source.name)
        return f"files={deps.name}:{source.name}"

    def load(trait: Trait) -> dict[str, list[str]] | str:
        try:
            return code_server.create_location(
                trait.name, pex_tag=tags[trait.name], code_source={"python_file": DEFINITIONS}
            ).definitions()
        except ServerRefusedError as error:
            return error.error

    traits = [trait for trait in TRAITS if trait.name in LOADED_BY_THE_SERVER]
    tags = {trait.name: make(trait) for trait in traits}
    code_server.add(pex_files)
    found = [load(trait) for trait in traits]
    loaded = dict(zip(tags, found, strict=True))
    assert {name: each if isinstance(each, str) else each["assets"] for name, each in loaded.items()} == {
        name: [name.replace("-", "_")] for name in tags
    }
    locations = [
        {
            "name": name,
            "directory": str(tmp_path / name),
            "project": str(tmp_path / name),
            "code_source": {"python_file": DEFINITIONS},
            "source": {"file": tag.rpartition(":")[2]},
            "deps": {"file": deps.name, "sha256": storage.sha256_of(deps)},
        }
        for name, tag in tags.items()
    ]
    report = {"workspace": str(tmp_path / "none.yaml"), "python_version": RUNNING, "locations": locations}
    (pex_files / "build.json").write_text(json.dumps(report), encoding="utf-8")
    assert verified(pex_files) == loaded
