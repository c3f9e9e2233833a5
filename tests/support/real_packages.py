"""The real packages of a release of dagster, from the index, laid out as dagster's repository has them."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from builder.resolution import uv
from builder.system import http, storage
from tests.support.repositories import Repository

_CORE: Final = (
    *("create-dagster", "dagit", "dagster", "dagster-cloud-cli", "dagster-dg-cli", "dagster-dg-core"),
    *("dagster-graphql", "dagster-pipes", "dagster-shared", "dagster-webserver"),
)
_LIBRARIES: Final = (
    *("dagster-airbyte", "dagster-celery", "dagster-celery-docker", "dagster-docker", "dagster-managed-elements"),
    *("dagster-postgres", "dagster-rest-resources", "dagster-slack"),
)
"""Of more than sixty, those with siblings in their requirements or extras, with programs, and plain ones."""

# Those that lie beside `libraries/`.
_TOP: Final = frozenset({"dagit", "dagster", "dagster-graphql", "dagster-pipes", "dagster-webserver"})

_IGNORED: Final = "__pycache__/\n*.egg-info/\nbuild/\n"


@dataclass(frozen=True, slots=True)
class Release:
    """Packages that were released together.

    :param core: the version of the core packages; that of the libraries is 0.(N+16).P.
    """

    core: str
    libraries: str
    core_names: tuple[str, ...]
    library_names: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        return sorted([*self.core_names, *self.library_names])

    @property
    def pins(self) -> list[str]:
        core = [f"{name}=={self.core}" for name in self.core_names]
        return core + [f"{name}=={self.libraries}" for name in self.library_names]


PYPROJECT_ERA: Final = Release("1.13.27", "0.29.27", _CORE, _LIBRARIES)
SETUP_PY_ERA: Final = Release(
    "1.10.21",
    "0.26.21",
    (
        *("dagit", "dagster", "dagster-cloud-cli", "dagster-graphql", "dagster-pipes", "dagster-shared"),
        "dagster-webserver",
    ),
    ("dagster-celery", "dagster-celery-docker", "dagster-docker", "dagster-postgres"),
)


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a release as they were published, by name of the package."""

    sdists: dict[str, Path]
    wheels: dict[str, Path]


def fetch(release: Release, cache: Path) -> Files:
    """The release's sdists and wheels, downloaded once for all runs that share `cache`."""
    directory = cache / f"real-{hashlib.sha256(repr(release.pins).encode()).hexdigest()[:16]}"
    listing = directory / "pylock.toml"
    with storage.exclusive(directory.with_suffix(".lock")):
        if not listing.exists():
            _download(release.pins, directory)
    packages = tomllib.loads(listing.read_text(encoding="utf-8"))["packages"]
    return Files(
        {package["name"]: directory / _file_name(package["sdist"]["url"]) for package in packages},
        {package["name"]: directory / _file_name(package["wheels"][0]["url"]) for package in packages},
    )


def lay_out(files: Files, names: Sequence[str], path: Path) -> Repository:
    """The packages as the repository has them on the commit of the release."""
    repository = Repository.create(path)
    for name in names:
        place = path / "python_modules" / (name if name in _TOP else f"libraries/{name}")
        with tarfile.open(files.sdists[name]) as archive:
            archive.extractall(path / "unpacked", filter="data")
        place.parent.mkdir(parents=True, exist_ok=True)
        (unpacked,) = (path / "unpacked").iterdir()
        unpacked.rename(place)
        # What an sdist has and a repository has not.
        (place / "PKG-INFO").unlink()
        # hatchling puts that of the repository's root into each.
        if (place / ".gitignore").exists():
            (place / ".gitignore").replace(path / ".gitignore")
        for egg_info in place.glob("*.egg-info"):
            shutil.rmtree(egg_info)
    (path / "unpacked").rmdir()
    if not (path / ".gitignore").exists():
        (path / ".gitignore").write_text(_IGNORED, encoding="utf-8")
    repository.git("add", "--all")
    repository.git("commit", "-q", "-m", "Release")
    return repository


def _download(pins: Sequence[str], directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    wanted = directory / "requirements.in"
    wanted.write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")
    options = ["--quiet", "--no-deps", "--no-header", "--format", "pylock.toml"]
    text = uv.run(["pip", "compile", *options, wanted], cwd=directory).stdout
    found: list[dict[str, Any]] = []
    for package in tomllib.loads(text)["packages"]:
        found += [package["sdist"], package["wheels"][0]]
    client = http.client(connections=8, timeout=httpx.Timeout(60))
    with client, ThreadPoolExecutor(8) as pool:

        def get(file: dict[str, Any]) -> None:
            content = client.get(file["url"]).raise_for_status().content
            assert hashlib.sha256(content).hexdigest() == file["hashes"]["sha256"], file["url"]
            (directory / _file_name(file["url"])).write_bytes(content)

        list(pool.map(get, found))
    with storage.atomic_write(directory / "pylock.toml") as stream:
        stream.write(text.encode())


def _file_name(url: str) -> str:
    return url.rpartition("/")[2]
