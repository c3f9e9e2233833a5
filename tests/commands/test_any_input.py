"""Whatever a file holds, its reader gives a value or an error for the user, soon and without much memory.

Inputs are changed versions of good ones. What once went wrong is in `tests/corpus`, one directory for each reader,
and is tried too; what goes wrong now is put there. With `EXAMPLES=5000` in the environment it looks for more.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import resource
import tarfile
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import tomli_w
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from builder.assembly.wheels import WheelFile, open_wheel
from builder.building.built_locations import built_locations
from builder.building.steps import select_source
from builder.errors import BuilderError, Origin, SdistBuildError
from builder.project.files import select_files
from builder.project.location import SourceTree
from builder.project.locks import find_lock, holds_all, locked_versions
from builder.project.metadata import Metadata
from builder.project.not_read import not_read
from builder.project.python_version import choose_python
from builder.project.requirements import RequestedExtras, read_requirements
from builder.project.settings import read_settings
from builder.project.workspace import read_workspace
from builder.publishing.records import InvalidRecordError, parse_record
from builder.publishing.remote_zip import central_directory, distribution_sizes
from builder.resolution.backend_complaints import read_complaint
from builder.resolution.build_inputs import inputs_of
from builder.resolution.indexes import read_indexes
from builder.resolution.lock import read_lock
from builder.resolution.lock_diff import parse_lock_entries
from builder.resolution.pinned_locks import pinned_requirements
from builder.resolution.sdists import unpack_sdist
from builder.resolution.target import read_target, serverless_target
from builder.resolution.uv_configuration import read_uv_configuration
from builder.system import git
from tests.support.programs import REPOSITORY
from tests.support.repositories import Repository

# Of Python, about a pattern such as `[a---z]`.
pytestmark = pytest.mark.filterwarnings("ignore:Possible :FutureWarning")

CORPUS = Path(__file__).parents[1] / "corpus"
EXAMPLES = int(os.environ.get("EXAMPLES", "40"))
SECONDS, MEGABYTES = 1.0, 200
"""Of CPU time, and of memory: more than any input may take."""

TARGET = serverless_target("3.11")


@dataclass(frozen=True)
class Reader:
    """A reader, and good inputs for it.

    :param file: the name by which it finds its input in a directory.
    :param read: reads what is in the directory; raises BuilderError or one of `errors` for what it does not take.
    """

    file: str
    read: Callable[[Path], object]
    seeds: tuple[bytes, ...]
    errors: tuple[type[Exception], ...] = (BuilderError,)
    beside: Mapping[str, str] = field(default_factory=dict)


def _no_backend(directory: Path) -> Metadata:
    raise SdistBuildError(f"no backend is run for {directory}")


def _requirements(directory: Path) -> object:
    return read_requirements(directory, TARGET.markers, _no_backend)


def _pinned(name: str) -> Callable[[Path], object]:
    def read(directory: Path) -> object:
        asked = read_requirements(directory, TARGET.markers, _no_backend, RequestedExtras((), ("dev",)))
        return locked_versions(directory / name), pinned_requirements(asked, directory / name)

    return read


def _locked(name: str) -> Callable[[Path], object]:
    def read(directory: Path) -> object:
        lock = directory / name
        return find_lock(directory), locked_versions(lock), holds_all(lock, ("a",))

    return read


def _project(directory: Path) -> object:
    """What is asked of a pyproject.toml besides its requirements."""
    tree = SourceTree(directory, directory)
    choose_python([tree], ["3.11", "3.12"], "3.11")
    not_read(directory, find_lock(directory))
    read_complaint("ValueError: Unable to determine which files to ship inside the wheel", directory)
    return inputs_of(directory), read_indexes(directory), select_source(tree, directory / "out", ())


def _select(directory: Path) -> object:
    return select_files(directory, include=(), respect_gitignore=False, out_dir=None)


def _open_wheel(directory: Path) -> object:
    return open_wheel(WheelFile(directory / "x-1.0-py3-none-any.whl", "0" * 64)).entries.keys()


def _lock(directory: Path) -> object:
    text = (directory / "pylock.toml").read_text(encoding="utf-8", errors="replace")
    entries = parse_lock_entries(text, Origin(directory))
    return entries, read_lock(text, TARGET, base=directory, origin=Origin(directory), hashes={})


def _remote_zip(directory: Path) -> object:
    content = (directory / "deps.pex").read_bytes()
    found = central_directory(content, len(content))
    return found and distribution_sizes(content[found.start : found.start + found.size])


def _repository(directory: Path) -> object:
    (directory / "config").rename(directory / ".git" / "config")
    with git.open_repository(directory) as repository:
        return repository.run("config", "--get", "remote.origin.url", also=1)


def _unpacked(name: str) -> Callable[[Path], object]:
    return lambda directory: unpack_sdist(directory / name, directory / "unpacked")


def _wheel() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/__init__.py", "answer = 42\n" * 20)
        archive.writestr("x-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: x\nVersion: 1.0\n")
        archive.writestr("x-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("x-1.0.dist-info/RECORD", "")
        archive.writestr("x-1.0.data/scripts/run", "#!python\n")
    return stream.getvalue()


def _sdist() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in ("x-1/setup.py", "x-1/x/__init__.py"):
            archive.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("x-1/link")
        link.type, link.linkname = tarfile.SYMTYPE, "x"
        archive.addfile(link)
    return stream.getvalue()


WORKSPACE = b"""
defaults: {build: {directory: .}}
locations:
  - location_name: sales
    code_source: {package_name: sales}
    build: {directory: sales, registry: r}
    container_context: {k8s: {env_vars: [A=1]}}
  - {location_name: stock, code_source: {python_file: stock.py}, attribute: defs, working_directory: src}
"""
PYPROJECT = b"""
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"
[project]
name = "x"
version = "1.0"
requires-python = ">=3.10"
dependencies = ["dagster>=1.8", "lib", "a[b,c]>=1,<2; python_version < '3.12'", "d @ https://host/d-1.0.zip"]
optional-dependencies.test = ["pytest"]
[dependency-groups]
dev = ["ruff", {include-group = "more"}]
more = []
[tool.uv.sources]
lib = {path = "../lib", editable = true}
a = [{index = "i", marker = "sys_platform == 'linux'"}, {git = "https://host/a", rev = "main"}]
[[tool.uv.index]]
name = "i"
url = "https://host/simple"
explicit = true
[tool.uv.workspace]
members = ["packages/*"]
[tool.builder]
include = ["data/*.csv"]
extras = ["test"]
[tool.dg.project]
root_module = "x"
"""
POETRY = b"""
[tool.poetry]
name = "x"
version = "1.0"
[tool.poetry.dependencies]
python = "^3.11"
requests = {version = "^2.31", extras = ["socks"], source = "s", optional = true}
lib = {path = "lib", develop = true}
[tool.poetry.group.dev.dependencies]
pytest = "*"
[[tool.poetry.source]]
name = "s"
url = "https://host/simple"
priority = "explicit"
"""
HATCH = b"""
[build-system]
requires = ["hatchling", "hatch-vcs"]
build-backend = "hatchling.build"
[project]
name = "x"
dynamic = ["version", "readme"]
requires-python = ">=3.10"
dependencies = ["lib @ {root:uri}/lib"]
scripts.x = "x:main"
entry-points.y = {z = "x:z"}
[tool.hatch.version]
path = "x/__init__.py"
source = "vcs"
pattern = "x"
[tool.hatch.metadata]
allow-direct-references = true
hooks.custom.path = "hatch_build.py"
[tool.hatch.build]
exclude = ["a"]
dev-mode-dirs = ["src"]
hooks.vcs.version-file = "x/v.py"
[tool.hatch.build.targets.wheel]
packages = ["src/x"]
only-include = ["x"]
sources = ["src"]
force-include = {"../a" = "x/a"}
shared-data = {"a" = "b"}
[tool.hatch.envs.default]
dependencies = ["a"]
"""
FLIT = b"""
[build-system]
requires = ["flit_core >=3.2,<4"]
build-backend = "flit_core.buildapi"
[project]
name = "x"
authors = [{name = "a", email = "a@b"}]
license = {file = "LICENSE"}
readme = "README.md"
dynamic = ["version", "description"]
optional-dependencies = {test = ["pytest"]}
[tool.flit.module]
name = "x"
[tool.flit.sdist]
include = ["doc/"]
[tool.flit.external-data]
directory = "data"
"""
PDM = b"""
[build-system]
requires = ["pdm-backend"]
build-backend = "pdm.backend"
[project]
name = "x"
dynamic = ["version"]
dependencies = ["a"]
[tool.pdm]
distribution = true
dev-dependencies = {test = ["pytest", "-e file:///${PROJECT_ROOT}/sub#egg=x"]}
resolution = {respect-source-order = true, overrides = {a = "1"}}
[[tool.pdm.source]]
name = "s"
url = "https://host/simple"
verify_ssl = true
include_packages = ["a"]
[tool.pdm.version]
source = "scm"
getter = "x:version"
write_to = "x/v"
[tool.pdm.build]
includes = ["x"]
source-includes = ["tests"]
package-dir = "src"
custom-hook = "hook.py"
run-setuptools = false
[tool.pdm.options]
lock = ["-v"]
"""
UV_BUILD = b"""
[build-system]
requires = ["uv_build>=0.9,<0.14"]
build-backend = "uv_build"
[project]
name = "x"
version = "1"
dependencies = ["a"]
license-files = ["LICENSE"]
[tool.uv]
package = true
default-groups = ["dev"]
dev-dependencies = ["b"]
constraint-dependencies = ["a<3"]
override-dependencies = ["c"]
exclude-dependencies = ["d"]
conflicts = [[{extra = "a"}, {group = "b"}]]
environments = ["sys_platform == 'linux'"]
no-binary-package = ["a"]
prerelease = "allow"
resolution = "lowest"
index-strategy = "first-index"
exclude-newer = "2026-01-01"
keyring-provider = "disabled"
extra-index-url = ["https://host/more"]
find-links = ["links"]
config-settings = {a = "b"}
extra-build-dependencies = {a = ["setuptools"]}
extra-build-variables = {a = {X = "y"}}
dependency-metadata = [{name = "a", version = "1", requires-dist = ["b"]}]
[tool.uv.build-backend]
module-name = "x"
module-root = "src"
namespace = false
source-include = ["a"]
wheel-exclude = ["b"]
data = {scripts = "bin"}
[tool.uv.workspace]
members = ["p/*"]
exclude = ["p/x"]
"""
SETUPTOOLS = b"""
[build-system]
requires = ["setuptools>=61", "setuptools-scm"]
build-backend = "setuptools.build_meta"
backend-path = ["."]
[project]
name = "x"
dynamic = ["version", "dependencies"]
[tool.setuptools]
py-modules = ["y"]
package-dir = {"" = "src"}
package-data = {x = ["*.txt"]}
data-files = {a = ["b"]}
script-files = ["s"]
include-package-data = true
dynamic = {version = {attr = "x.v"}, dependencies = {file = ["requirements.txt"]}}
ext-modules = [{name = "e", sources = ["e.c"]}]
cmdclass = {build = "x.y"}
[tool.setuptools.packages.find]
where = ["src"]
namespaces = true
[tool.setuptools_scm]
write_to = "x"
version_scheme = "a:b"
[tool.dg]
directory_type = "project"
project = {root_module = "x", code_location_name = "y", registry_modules = ["z"], autoload_defs = true}
[[tool.dagster.modules]]
type = "module"
name = "x.y"
"""
HATCH_TOML = b"""
[version]
path = "x.py"
[build.targets.wheel]
packages = ["x"]
sources = {src = ""}
[build.hooks.custom]
path = "b.py"
[envs.a]
dependencies = ["b"]
"""
UV_LOCK = b"""
version = 1
revision = 3
requires-python = ">=3.10"
resolution-markers = ["python_version < '3'"]
[options]
exclude-newer = "2026-01-01T00:00:00Z"
[manifest]
members = ["x", "y"]
constraints = [{name = "a", specifier = "<3"}]
[[package]]
name = "x"
version = "1"
source = {editable = "."}
dependencies = [{name = "a", extra = ["b"], marker = "sys_platform == 'linux'"}]
[package.optional-dependencies]
test = [{name = "p"}]
[package.dev-dependencies]
dev = [{name = "r"}]
[package.metadata]
requires-dist = [{name = "a", specifier = ">=1"}]
[[package]]
name = "a"
version = "2"
source = {registry = "https://host/simple"}
sdist = {url = "https://host/a.tar.gz", hash = "sha256:00", size = 10}
wheels = [{url = "https://host/a-2-py3-none-any.whl", hash = "sha256:00", size = 10}]
[[package]]
name = "g"
version = "1"
source = {git = "https://host/g.git?rev=main#00"}
"""
POETRY_LOCK = b"""
[[package]]
name = "a"
version = "2"
optional = false
python-versions = ">=3.8"
groups = ["main"]
files = [{file = "a-2-py3-none-any.whl", hash = "sha256:00"}]
dependencies = {b = ">=1"}
[package.source]
type = "git"
url = "https://host/a.git"
reference = "main"
resolved_reference = "00"
[metadata]
lock-version = "2.1"
python-versions = ">=3.11"
content-hash = "00"
"""
SEEDS_OF_PROJECTS = (PYPROJECT, POETRY, HATCH, FLIT, PDM, UV_BUILD, SETUPTOOLS)
REQUIREMENTS = b"""
--index-url https://user:pass@host/simple
-r more.txt
-c constraints.txt
dagster==1.8.0 --hash=sha256:%s \\
    --hash=sha256:00
-e ./lib[extra] ; python_version >= "3"
d @ git+https://host/d.git@main#subdirectory=x&egg=d
${HOME}/wheels/x-1.0-py3-none-any.whl  # words
""" % (b"0" * 64)
PYLOCK = b"""
lock-version = "1.0"
created-by = "uv"
requires-python = ">=3.10"
[[packages]]
name = "dagster"
version = "1.8.0"
marker = "python_version > '3'"
index = "https://host/simple"
wheels = [{url = "https://host/dagster-1.8.0-py3-none-any.whl", size = 10, hashes = {sha256 = "%s"}}]
sdist = {path = "dagster-1.8.0.tar.gz", hashes = {sha256 = "00"}}
[[packages]]
name = "own"
directory = {path = "own", editable = true}
[[packages]]
name = "g"
vcs = {type = "git", url = "https://host/g", commit-id = "%s"}
""" % (b"0" * 64, b"0" * 40)
PLATFORM = next((REPOSITORY / "builder" / "resolution" / "platforms").glob("*.json")).read_bytes()
RECORD = json.dumps(
    {"deps_pex_name": f"deps-{'0' * 40}.pex", "dagster_version": "1.8.0", "size": 10, "sha256": "0" * 64}
).encode()
BUILD = json.dumps(
    {
        "workspace": "/w/dagster_cloud.yaml",
        "python_version": "3.11",
        "locations": [
            {
                "name": "a",
                "directory": "/w",
                "project": "/w",
                "code_source": {"module_name": "a"},
                "deps": {"file": "deps-00.pex", "sha256": "00", "size": 1, "identity": "00"},
                "source": {"file": "source-00.pex", "sha256": "00", "size": 1, "identity": "00", "files": 1},
            },
            {"name": "b", "error": {"what": "w", "where": None, "remedy": None}},
        ],
    }
).encode()
PDM_LOCK = b"""
[metadata]
groups = ["default", "dev"]
strategy = ["inherit_metadata"]
[[package]]
name = "dagster"
version = "1.8.0"
groups = ["default"]
marker = "python_version > '3'"
files = [{file = "dagster-1.8.0-py3-none-any.whl", hash = "sha256:00"}]
[[package]]
name = "g"
version = "1"
extras = ["s"]
groups = ["dev"]
git = "https://host/g.git"
revision = "%s"
subdirectory = "x"
""" % (b"0" * 40)
PIPFILE_LOCK = json.dumps(
    {
        "_meta": {"hash": {"sha256": "00"}, "sources": [{"name": "o", "url": "https://host/simple"}]},
        "default": {
            "dagster": {
                "hashes": ["sha256:00"],
                "index": "o",
                "markers": "python_version >= '3'",
                "version": "==1",
            },
            "g": {"git": "https://host/g.git", "ref": "0" * 40, "subdirectory": "x", "extras": ["e"]},
            "f": {"file": "https://host/f.zip"},
        },
        "dev": {"pytest": {"version": "==1"}},
    }
).encode()
CONFIG = b"""
[core]
	repositoryformatversion = 0
	bare = false
	fsmonitor = "program with \\"quotes\\""
[remote "origin"]
	url = https://host/x.git
[include]
	path = other
"""

_DAGSTER = '[project]\nname = "x"\nversion = "1"\ndependencies = ["dagster"]\n[dependency-groups]\ndev = []\n'
READERS = {
    "workspace": Reader("dagster_cloud.yaml", lambda at: read_workspace(at / "dagster_cloud.yaml"), (WORKSPACE,)),
    "dg": Reader(
        "dg.toml", read_workspace, (b'directory_type = "workspace"\n[workspace]\nprojects = [{path = "a"}]\n',)
    ),
    "pyproject": Reader("pyproject.toml", _requirements, SEEDS_OF_PROJECTS),
    "project": Reader("pyproject.toml", _project, SEEDS_OF_PROJECTS),
    "hatch.toml": Reader("hatch.toml", _project, (HATCH_TOML,), beside={"pyproject.toml": HATCH.decode()}),
    "uv.lock": Reader("uv.lock", _locked("uv.lock"), (UV_LOCK,), beside={"pyproject.toml": _DAGSTER}),
    "poetry.lock": Reader(
        "poetry.lock", _locked("poetry.lock"), (POETRY_LOCK,), beside={"pyproject.toml": POETRY.decode()}
    ),
    "pdm.lock": Reader("pdm.lock", _pinned("pdm.lock"), (PDM_LOCK,), beside={"pyproject.toml": _DAGSTER}),
    "Pipfile.lock": Reader("Pipfile.lock", _pinned("Pipfile.lock"), (PIPFILE_LOCK,), beside={"Pipfile": ""}),
    "settings": Reader("pyproject.toml", read_settings, (PYPROJECT, SETUPTOOLS)),
    "uv.toml": Reader("uv.toml", read_uv_configuration, (b'index-url = "x"\n[[index]]\nname = "i"\nurl = "u"\n',)),
    "setup.cfg": Reader(
        "setup.cfg",
        _requirements,
        (b"[metadata]\nname = x\nversion = 1\n[options]\ninstall_requires =\n  a>=1\n  b; python_version<'4'\n",),
        beside={"setup.py": "from setuptools import setup\nsetup()\n"},
    ),
    "requirements": Reader("requirements.txt", _requirements, (REQUIREMENTS,), beside={"more.txt": "a\n"}),
    "builderignore": Reader(".builderignore", _select, (b"*.log\n!keep.log\n/a/**/b\n\\#x\n[a-z]?\n",)),
    "pylock": Reader("pylock.toml", _lock, (PYLOCK,)),
    "platform": Reader("platform.json", lambda at: read_target(at / "platform.json"), (PLATFORM,)),
    "record": Reader(
        "record", lambda at: parse_record((at / "record").read_bytes()), (RECORD,), (InvalidRecordError,)
    ),
    "build.json": Reader("build.json", lambda at: built_locations(at, ()), (BUILD,)),
    "wheel": Reader("x-1.0-py3-none-any.whl", _open_wheel, (_wheel(),)),
    "remote zip": Reader("deps.pex", _remote_zip, (_wheel(),), (ValueError,)),
    "sdist": Reader("x-1.tar", _unpacked("x-1.tar"), (_sdist(),)),
    "zip sdist": Reader("x-1.zip", _unpacked("x-1.zip"), (_wheel(),)),
    "git": Reader("config", _repository, (CONFIG,)),
}

_LONG = {
    piece: (piece * count).encode()
    for piece, count in {
        "[": 5000,
        "{": 3000,
        "a=": 3000,
        "9": 6000,
        "a.": 3000,
        "(": 2000,
        "- ": 3000,
        "x": 70000,
    }.items()
}
_SHORT = (
    *(b"\0", b"\n", b"\r", b'"', b"'''", b"[", b"]", b"{", b"}", b"=", b":", b"- ", b"&a ", b"*a", b"<<: "),
    *(
        b"${HOME}",
        b"../",
        b"/",
        b"\\",
        b"\\ud800",
        b"\xff",
        b"\xef\xbb\xbf",
        b"#",
        b"@",
        b";",
        b"null",
        b"-1",
        b"1e9",
    ),
    *(b"!!python/object:x.y ", b"1979-05-27T07:32:00Z", b"true", b"[[a]]\n", b"name", b"9999999999"),
)
_PIECES = st.one_of(
    st.binary(max_size=8),
    st.text(max_size=8).map(lambda text: text.encode(errors="surrogatepass")),
    st.sampled_from(_SHORT),
    st.sampled_from(sorted(_LONG)).map(_LONG.__getitem__),
)


_OF_OTHER_TYPES: tuple[object, ...] = (
    None,
    True,
    -1,
    10**30,
    1.5,
    "",
    "x",
    "../..",
    "-x",
    "a b [",
    [],
    ["x"],
    [[1]],
    {},
    {"a": 1},
)


def _parsed(content: bytes) -> tuple[object, Callable[[object], str]] | None:
    """What a seed holds, and how it is written; None for one without structure."""
    with contextlib.suppress(ValueError):
        text = content.decode()
        with contextlib.suppress(ValueError):
            return json.loads(text), json.dumps
        with contextlib.suppress(ValueError):
            return tomllib.loads(text), lambda value: tomli_w.dumps(value if isinstance(value, dict) else {})
        if text.startswith("\ndefaults:"):
            return yaml.safe_load(text), yaml.safe_dump
    return None


def _with_another_type(value: object, number: Callable[[int, int], int]) -> object:
    """A value in which something is of another type."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or number(0, 5) == 0:
        return _OF_OTHER_TYPES[number(0, len(_OF_OTHER_TYPES) - 1)]
    chosen = keys[number(0, len(keys) - 1)]
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    changed = {key: _with_another_type(part, number) if key == chosen else part for key, part in pairs}
    return changed if isinstance(value, dict) else list(changed.values())


def _inputs(data: st.DataObject, seeds: tuple[bytes, ...]) -> bytes:
    """A seed with a few cuts, repetitions and insertions, or a value of another type; seldom something else."""

    def number(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    def piece() -> bytes:
        return data.draw(_PIECES.map(_Hidden)).content

    if number(0, 9) == 0:
        return piece() * number(0, 5)
    content = seeds[number(0, len(seeds) - 1)]
    if number(0, 1) and (parsed := _parsed(content)):
        # TOML has no null.
        with contextlib.suppress(TypeError):
            return parsed[1](_with_another_type(parsed[0], number)).encode()
    for _ in range(number(1, 4)):
        start = number(0, len(content))
        end = number(start, min(start + 40, len(content)))
        middle = piece() if number(0, 1) else content[start:end] * number(0, 3)
        content = content[:start] + middle + content[end:]
    return content


@dataclass(frozen=True)
class _Hidden:
    """Bytes that hypothesis does not show."""

    content: bytes = field(repr=False)


@contextlib.contextmanager
def _modest() -> Iterator[None]:
    """Fails if what is done takes too long, or too much memory."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    yield
    assert time.process_time() - started < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < MEGABYTES * 1024


def _read(reader: Reader, content: bytes) -> None:
    with TemporaryDirectory() as name:
        directory = Path(name)
        if reader.file == "config":
            Repository(directory).git("init", "-q")
        for other, text in reader.beside.items():
            (directory / other).write_text(text)
        (directory / reader.file).write_bytes(content)
        with _modest(), contextlib.suppress(*reader.errors):
            reader.read(directory)


# What the others name is not there.
@pytest.mark.parametrize(
    "name",
    sorted(
        READERS.keys()
        - {"pyproject", "project", "pdm.lock", "Pipfile.lock", "requirements", "setup.cfg", "dg", "workspace"}
    ),
)
def test_a_good_input_is_read(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    Repository(tmp_path).git("init", "-q")
    (tmp_path / reader.file).write_bytes(reader.seeds[0])
    reader.read(tmp_path)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_went_wrong(path: Path) -> None:
    _read(READERS[path.parent.name], path.read_bytes())


def _paths(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """The way to each part of a value; of a long list only to the first two."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, part in pairs:
        yield from _paths(part, (*path, key))


def _replaced(value: Any, path: tuple[Any, ...], other: object) -> object:  # noqa: ANN401
    if not path:
        return other
    copy = value.copy()
    copy[path[0]] = _replaced(value[path[0]], path[1:], other)
    return copy


@pytest.mark.parametrize("name", [name for name in READERS if any(map(_parsed, READERS[name].seeds))])
def test_a_value_of_another_type_at_any_key_gives_a_value_or_an_error(name: str) -> None:
    """With `EXAMPLES` in the environment it tries every type at every key."""
    reader = READERS[name]
    number = 0
    for seed in reader.seeds:
        parsed = _parsed(seed)
        assert parsed
        value, write = parsed
        for path in list(_paths(value))[1:]:
            number += 1
            tried = (
                (number % len(_OF_OTHER_TYPES),) if "EXAMPLES" not in os.environ else range(len(_OF_OTHER_TYPES))
            )
            for index in tried:
                try:
                    content = write(_replaced(value, path, _OF_OTHER_TYPES[index])).encode()
                except TypeError:
                    # TOML has no null.
                    continue
                _try(name, content)


def _try(name: str, content: bytes) -> None:
    try:
        _read(READERS[name], content)
    except Exception:
        found = CORPUS / name / hashlib.sha256(content).hexdigest()[:8]
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_bytes(content)
        raise


@pytest.mark.parametrize("name", READERS)
def test_any_input_gives_a_value_or_an_error(name: str) -> None:
    reader = READERS[name]
    few = max(1, EXAMPLES // 4) if name == "git" else EXAMPLES

    @settings(
        max_examples=few,
        deadline=None,
        database=None,
        derandomize="EXAMPLES" not in os.environ,
        suppress_health_check=list(HealthCheck),
        # To shrink what takes too long takes too long.
        phases=(Phase.generate,),
        report_multiple_bugs=False,
    )
    @given(st.data())
    def try_it(data: st.DataObject) -> None:
        # Not as an argument: hypothesis would show it.
        _try(name, _inputs(data, reader.seeds))

    try_it()
