"""Run the builder's commands as users do: as programs, with an index, a cache and directories of their own."""

from __future__ import annotations

import importlib.metadata
import io
import os
import select
import shutil
import signal
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from builder.assembly.bootstrap import bootstrap
from builder.resolution import uv
from builder.system import process, storage
from tests.support.index import Index, serving
from tests.support.programs import REPOSITORY, Program, start, start_anew
from tests.support.wheels import make_wheel

DAGSTER = "1.13.27"
SECONDS = 100
"""How long anything may take before a test calls it hanging."""

_SERVERLESS = "dagster\ndagster-cloud\n"


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ran to its end."""

    code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The one error that it told, from `error:` to the hint; fails if there is not exactly one."""
        assert "Traceback" not in self.stderr, self.stderr
        assert self.stderr.count("error: ") == 1, self.stderr
        return self.stderr[self.stderr.index("error: ") :]

    def failed(self, code: int = 1) -> str:
        """The error, of a command that was to fail with this exit code."""
        assert self.code == code, self
        return self.error

    def succeeded(self) -> Ran:
        assert self.code == 0, self
        assert "error:" not in self.stderr, self.stderr
        return self


class Running:
    """A command that is at work."""

    def __init__(self, program: Program) -> None:
        self._process = program

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def started(self) -> list[int]:
        """The processes that it has started, and that those have started; raises OSError if one ends meanwhile."""
        found = [self.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        return found[1:]

    @contextmanager
    def programs(self) -> Iterator[list[int]]:
        """Those that it has started, and that those have started: for `have_ended`."""
        descriptors = [os.pidfd_open(pid) for pid in self.started()]
        yield descriptors
        for descriptor in descriptors:
            os.close(descriptor)

    def wait_for(self, words: str) -> str:
        """The next line on stderr that has these words."""
        assert self._process.stderr is not None
        seen: list[str] = []
        too_late = threading.Timer(SECONDS, self._process.kill)
        too_late.start()
        try:
            for line in self._process.stderr:
                if words in line:
                    return line
                seen.append(line)
        finally:
            too_late.cancel()
        raise AssertionError("".join(seen[:20]))

    def finish(self, timeout: float = SECONDS) -> Ran:
        """Wait for its end; fails if that takes longer than `timeout` seconds."""
        try:
            stdout, stderr = self._process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            stdout, stderr = self._process.communicate()
            message = f"the command did not end within {timeout} s; it said:\n{stdout}{stderr}"
            raise AssertionError(message) from None
        return Ran(self._process.wait(), stdout, stderr)


def run_command(command: str, *arguments: str | Path, directory: Path, **variables: str) -> Ran:
    """Run a command of the builder with the index and the cache of this machine, and these variables besides."""
    environment = process.clean_environment({"PYTHONPATH": str(REPOSITORY), **variables})
    program = start(f"builder.{command}", *arguments, environment=environment, directory=directory)
    return Running(program).finish(3 * SECONDS)


@dataclass(slots=True)
class Workshop:
    """A place to build: an index, a cache, a project and an output directory, all below one root."""

    root: Path
    index: Index
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    def project(self, files: Mapping[str, str] | None = None, *, name: str = "project") -> Path:
        """A project that needs what the receiving server needs, with these files besides or instead."""
        directory = self.root / name
        write_tree(directory, {"requirements.txt": _SERVERLESS, "answer.py": "answer = 42\n", **(files or {})})
        return directory

    def workspace(self, text: str, *, name: str = "dagster_cloud.yaml") -> Path:
        path = self.root / name
        path.write_text(text, encoding="utf-8")
        return path

    def start(
        self,
        command: str,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        umask: int = -1,
        python: Sequence[str | Path] = (),
    ) -> Running:
        """Start a command, with another umask perhaps, or by another Python or `builder.pex`."""
        module, directory = f"builder.{command}", cwd or self.root
        environment = {**self.environment, **(env or {})}
        if python:
            return Running(start_anew([*python, "-m", module, *arguments], environment, directory, umask))
        return Running(start(module, *arguments, environment=environment, directory=directory, umask=umask))

    def run(
        self, command: str, *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Ran:
        return self.start(command, *arguments, env=env, cwd=cwd).finish()

    def build(self, project: Path, *options: str | Path, env: Mapping[str, str] | None = None) -> Ran:
        """Run `builder.deps` on a project."""
        return self.run("deps", project, self.out, *options, env=env)

    def new_cache(self) -> None:
        """Throw away all that the cache holds but the part of pex, which takes seconds to make."""
        shutil.rmtree(self.cache, ignore_errors=True)
        self.cache.mkdir()
        bootstrap()
        for directory in storage.cache_directory().glob("bootstrap-*/"):
            shutil.copytree(directory, self.cache / directory.name)

    def artefacts(self) -> list[str]:
        """The names of what is in the output directory, hidden names included."""
        return sorted(path.name for path in self.out.iterdir()) if self.out.exists() else []

    def assert_clean(self) -> None:
        """Nothing half-made lies about anywhere."""
        assert not list(self.root.rglob(f"{storage.TEMPORARY_PREFIX}*"))
        # uv leaves the lock files of its builds.
        left = [path for path in self.temporary.iterdir() if not path.match("uv-*.lock")]
        assert not left, left


@contextmanager
def workshop(root: Path, *, password: str = "") -> Iterator[Workshop]:
    """A workshop whose index has a `dagster` and a `dagster-cloud` of a few hundred bytes."""
    shelf = root / "shelf"
    for directory in (shelf, root / "tmp"):
        directory.mkdir()
    make_wheel(shelf, {"dagster/__init__.py": ""}, name="dagster", version=DAGSTER)
    make_wheel(
        shelf, {"dagster_cloud/__init__.py": ""}, name="dagster-cloud", version=DAGSTER, requires=["dagster"]
    )
    with serving(shelf, password=password) as index:
        place = Workshop(root, index)
        place.environment.update(
            {
                "PATH": os.environ["PATH"],
                "HOME": str(root),
                "TMPDIR": str(place.temporary),
                "PYTHONPATH": str(REPOSITORY),
                "BUILDER_CACHE_DIR": str(place.cache),
                "BUILDER_UV": str(uv.executable()),
                "UV_DEFAULT_INDEX": index.full_url,
                # A retry of uv's waits for seconds; that it retries is its own business.
                "UV_HTTP_RETRIES": "0",
            }
        )
        place.new_cache()
        yield place


def put_setuptools(shelf: Path) -> None:
    """Put the setuptools of this environment on a shelf, as a wheel: projects with a setup.py need it."""
    distribution = importlib.metadata.distribution("setuptools")
    installed = {
        str(file): Path(str(file.locate())).read_bytes()
        for file in distribution.files or ()
        if "__pycache__" not in file.parts and file.name not in {"RECORD", "INSTALLER", "REQUESTED"}
    }
    make_wheel(shelf, installed, name="setuptools", version=distribution.version, compression=zipfile.ZIP_STORED)


def make_sdist(directory: Path, files: Mapping[str, str], *, name: str, version: str = "1.0") -> Path:
    """Write an sdist whose metadata says all that a resolver wants to know, so that only a build runs its code."""
    stem = f"{name}-{version}"
    metadata = f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n"
    path = directory / f"{stem}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for key, text in {"PKG-INFO": metadata, **files}.items():
            content = text.encode()
            info = tarfile.TarInfo(f"{stem}/{key}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def have_ended(programs: list[int]) -> bool:
    """Whether all of them have, or do so within a moment: a program that is killed takes one to be gone."""
    return all(select.select([program], [], [], SECONDS)[0] for program in programs)


def write_tree(directory: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
