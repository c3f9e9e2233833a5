"""A place where container images of packages are built and pushed: wheelhouse, index, registry, programs."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.packages.wheelhouse import BuiltPackage, Wheelhouse, write_wheelhouse
from builder.resolution import uv
from tests.support.commands import SECONDS, Ran
from tests.support.container_registry import PASSWORD, USER, ContainerRegistry
from tests.support.containers import Containers
from tests.support.index import Index
from tests.support.programs import REPOSITORY
from tests.support.wheels import make_wheel

COMMIT = "0123456789abcdef0123456789abcdef01234567"
EPOCH = 1_700_000_000
VERSION = "1.13.30.dev42+g0123456"
TAG = "1.13.30.dev42-g0123456"
SOURCE = "https://github.com/Acme/dagster"

_SERVER = """
import http.server, json, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/server_info" else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"dagster_webserver_version": "1"}).encode())

def main():
    with http.server.HTTPServer(("127.0.0.1", int(os.environ["DAGSTER_WEBSERVER_PORT"])), Handler) as server:
        server.serve_forever()
"""


@dataclass(frozen=True, slots=True)
class Yard:
    """A wheelhouse, an index, a registry with the base image, and container programs."""

    root: Path
    index: Index
    registry: ContainerRegistry
    containers: Containers
    cache: Path

    @property
    def wheelhouse(self) -> Path:
        return self.root / "wheelhouse"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def place(self) -> str:
        return f"{self.registry.host}/Acme"

    @property
    def base(self) -> str:
        return f"{self.registry.host}/library/python:3.11-slim"

    def command(self, *words: str | Path, stdin: str = "", env: Mapping[str, str] | None = None) -> Ran:
        environment = {
            **self.containers.environment,
            "PYTHONPATH": str(REPOSITORY),
            "BUILDER_CACHE_DIR": str(self.cache),
            "BUILDER_UV": str(uv.executable()),
            "UV_DEFAULT_INDEX": self.index.url,
            "PIP_CONFIG_FILE": "/dev/null",
            **(env or {}),
        }
        finished = subprocess.run(
            [sys.executable, "-m", "builder.packages", *words],
            env=environment,
            cwd=self.root,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=3 * SECONDS,
            check=False,
        )
        return Ran(finished.returncode, finished.stdout, finished.stderr)

    def image(self, name: str, *options: str | Path, env: Mapping[str, str] | None = None) -> Ran:
        words = ("image", "--package", name, "--wheelhouse", self.wheelhouse, "--source", SOURCE)
        return self.command(*words, "--base", self.base, *options, env=env)

    def push(self, name: str, *options: str, env: Mapping[str, str] | None = None) -> Ran:
        words = ("push", self.images / name, "--to", self.place, "--username", USER, "--password-stdin")
        return self.command(*words, *options, stdin=f"{PASSWORD}\n", env=env)

    def manifest(self, name: str) -> tuple[str, dict[str, Any]]:
        """The digest and the manifest of an image's only platform, read from the registry."""
        index = self.registry.document(f"acme/{name}/manifests/{TAG}")
        (entry,) = index["manifests"]
        return entry["digest"], self.registry.document(f"acme/{name}/manifests/{entry['digest']}")

    def config(self, name: str) -> dict[str, Any]:
        _digest, manifest = self.manifest(name)
        return self.registry.document(f"acme/{name}/blobs/{manifest['config']['digest']}")

    def reference(self, name: str) -> str:
        return f"{self.registry.host}/acme/{name}@{self.manifest(name)[0]}"


def make_shelf(directory: Path) -> Path:
    """The index's distributions: dependencies, and one with a sibling's name, which must not be installed."""
    directory.mkdir()
    make_wheel(directory, {"helping/__init__.py": "answer = 42\n"}, name="helping", version="2.0")
    make_wheel(directory, {"dagster/__init__.py": "raise SystemExit('public')\n"}, name="dagster", version=VERSION)
    return directory


def make_wheelhouse(directory: Path, shelf: Path) -> None:
    """A package, another that needs it and has a program, and one that cannot be imported, with their locks."""
    directory.mkdir()
    packages = (
        built_package(directory, "dagster", {"dagster/__init__.py": "import helping\n"}),
        built_package(
            directory,
            "dagster-webserver",
            {"dagster_webserver/__init__.py": "import dagster\n", "dagster_webserver/server.py": _SERVER},
            requires=("dagster",),
        ),
        built_package(directory, "dagster-broken", {"dagster_broken/__init__.py": "import no_such_module\n"}),
    )
    write_wheelhouse(Wheelhouse(directory=directory, commit=COMMIT, source_date_epoch=EPOCH, packages=packages))
    (directory / "locks").mkdir()
    helping = hashlib.sha256((shelf / "helping-2.0-py3-none-any.whl").read_bytes()).hexdigest()
    index = f"helping==2.0 \\\n    --hash=sha256:{helping}\n"
    for package in packages:
        needed = (package.name, *package.requires)
        own = [f"{p.name}=={p.version} \\\n    --hash=sha256:{p.sha256}\n" for p in packages if p.name in needed]
        others = index if "dagster" in needed else ""
        (directory / "locks" / f"{package.name}.txt").write_text("".join([*own, others]), encoding="utf-8")


def built_package(
    directory: Path, name: str, files: Mapping[str, str], *, requires: tuple[str, ...] = ()
) -> BuiltPackage:
    """Put the wheel of a package into the directory of a wheelhouse."""
    scripts = "[console_scripts]\ndagster-webserver = dagster_webserver.server:main\n" if requires else ""
    wheel = make_wheel(
        directory,
        files,
        name=name,
        version=VERSION,
        requires=[*(f"{other}=={VERSION}" for other in requires), *(["helping"] if name == "dagster" else [])],
        entry_points=scripts,
    )
    return BuiltPackage(
        name=name,
        version=VERSION,
        import_names=(name.replace("-", "_"),),
        console_scripts=("dagster-webserver",) if scripts else (),
        wheel=wheel.path.name,
        sha256=wheel.sha256,
        size=wheel.path.stat().st_size,
        requires=requires,
        family="core",
        has_webapp=bool(scripts),
        summary=f"What {name} is, in one line",
    )
