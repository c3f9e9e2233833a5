"""Build builder.pex from Pipfile.lock and builder/: `build_builder.py OUT_DIR`, called by build-builder.sh.

The file is a zip archive with the wheels, unchanged as downloaded, and an archive of `builder/`. Wheels that there
is one of for each Python, and that only the command lines inside need, are compressed together instead: see
`builder_streams.py`. zlib is not used, so the bytes do not depend on it. `builder_pex_boot.py` unpacks the file.

What changes often comes last, so that git stores the next version as a small difference.

Needs only the standard library and pip. Wheels are cached under a hash of the lock's entries.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tomllib
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

_SCRIPTS = Path(__file__).resolve().parent
_ROOT = _SCRIPTS.parent
sys.path.insert(0, str(_ROOT))

import builder_json  # noqa: E402  (needs the path above)
import builder_pex_boot as boot  # noqa: E402
import builder_streams  # noqa: E402
import builder_targets  # noqa: E402
import builder_wheels  # noqa: E402
import pipfile_lock  # noqa: E402
from builder_targets import TARGETS, Target  # noqa: E402

from builder.assembly.archive import ArchiveWriter, stored  # noqa: E402
from builder.errors import BuilderError, ToolError  # noqa: E402
from builder.system import process, storage  # noqa: E402

LIMIT = 60_000_000
"""In bytes; each clone of the repository fetches the file, and GitHub takes none above 100 MiB."""

# Needed only for logins as a GitHub App (by github3.py through PyJWT), which the builder does not use; 15 MB.
WITHOUT = frozenset({"cryptography"})
# Their compiled parts are optional and not worth 27 MB.
PURE = frozenset({"charset-normalizer", "multidict", "propcache", "sqlalchemy", "tomli", "wcwidth", "yarl"})
# Not needed by the builder's own commands: unpacked when one of their modules is imported.
LATE = frozenset({"dagster", "dagster-cloud-cli", "dagster-dg-cli"})
# The modules of that group whose import unpacks it. Not `rich`, an optional import of httpx.
ASKING = frozenset({"dagster", "dagster_cloud_cli", "dagster_dg_cli", "dagster_dg_core", "dagster_shared"})

_PACKAGE = "builder.zip"


def main(output: Path) -> None:
    """Build `output`/builder.pex; raises BuilderError."""
    locked = [entry for entry in pipfile_lock.read("default") if entry.name not in WITHOUT]
    key = hashlib.sha256(repr((locked, sorted(PURE), TARGETS)).encode()).hexdigest()[:16]
    cache = Path(next(boot.caches())) / "build"
    with storage.exclusive(cache / ".lock"):
        _say("fetching the wheels of Pipfile.lock")
        wheels = builder_wheels.fetch(locked, cache / key, pure=PURE)
        _say("compressing those that two Pythons share, which takes half a minute or more the first time")
        groups = {target: _groups(target, wheels[target]) for target in TARGETS}
        contents, parts = _contents(groups, cache / "streams")
        (pex,) = (wheel for wheel in wheels[TARGETS[0]] if wheel.name.startswith("pex-"))
        package = _package(pex)
    archives = {name: _Archive.read(name, content) for name, content in contents.items() if name.endswith(".whl")}
    builder = _Archive.read(_PACKAGE, package)
    with storage.atomic_write(output / "builder.pex", mode=0o755) as stream:
        writer = ArchiveWriter(stream, preamble=(_SCRIPTS / "builder_pex_header.sh").read_bytes())
        for name in sorted(contents):
            writer.add(stored(name, contents[name]))
        writer.add(stored("__main__.py", (_SCRIPTS / "builder_pex_main.py").read_bytes()))
        writer.add(stored("builder_pex_boot.py", Path(boot.__file__).read_bytes()))
        writer.add(stored("targets/text", builder_targets.TEXT.encode()))
        for target, (early, late) in groups.items():
            own = parts[target]
            manifest = [
                _group([builder, *(archives[wheel.name] for wheel in early)], {}),
                _group([archives[wheel.name] for wheel in late if wheel.name not in own], own),
            ]
            writer.add(stored(f"targets/{target.name}.json", json.dumps(manifest).encode()))
        writer.add(stored(_PACKAGE, package))
        size, sha256 = writer.finish()
        if size > LIMIT:
            raise ToolError(f"builder.pex would have {size:,} bytes, and {LIMIT:,} is the limit")
    builder_json.write(output / "builder.pex.json", size=size, sha256=sha256)
    print(f"wrote {output / 'builder.pex'}: {size / 1e6:.1f} MB, sha256 {sha256}")


def _say(what: str) -> None:
    print(f"builder.pex: {what}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class _Part:
    """A wheel in a stream: what `builder_streams.py` makes of it, and where it is."""

    archive: _Archive
    place: boot.Place


_Groups = Mapping[Target, tuple[list[Path], list[Path]]]


def _contents(groups: _Groups, cache: Path) -> tuple[dict[str, bytes], dict[Target, dict[str, _Part]]]:
    """The wheels and streams by their names in the archive; of each target the wheels that are in streams."""
    contents: dict[str, bytes] = {}
    parts: dict[Target, dict[str, _Part]] = {target: {} for target in groups}
    machines: dict[tuple[str, str], list[Target]] = {}
    for target in groups:
        machines.setdefault((target.system, target.machine), []).append(target)
    jobs = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (system, machine), targets in machines.items():
            of_one = Counter(wheel.name for target in targets for wheel in groups[target][1])
            late = [
                (target, wheel) for target in targets for wheel in groups[target][1] if of_one[wheel.name] == 1
            ]
            for project in sorted({"-".join(wheel.name.split("-")[:2]) for _, wheel in late}):
                name = f"{project}-{system}-{machine}.xz"
                plain: list[bytes] = []
                for target, wheel in late:
                    if wheel.name.startswith(f"{project}-"):
                        start = sum(len(part) for part in plain)
                        plain.append(builder_streams.unpacked_wheel(wheel, target))
                        archive = _Archive.read(wheel.name, plain[-1])
                        parts[target][wheel.name] = _Part(archive, (name, start, len(plain[-1])))
                jobs[name] = pool.submit(builder_streams.compressed, plain, targets[0], cache)
        contents |= {name: job.result() for name, job in jobs.items()}
    for target, pair in groups.items():
        contents |= {
            wheel.name: wheel.read_bytes() for group in pair for wheel in group if wheel.name not in parts[target]
        }
    return contents, parts


@dataclass(frozen=True, slots=True)
class _Archive:
    """The data about a zip file that `builder_pex_boot.py` needs to unpack it."""

    name: str
    sha256: str
    files: frozenset[str]

    @classmethod
    def read(cls, name: str, content: bytes) -> _Archive:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = frozenset(info.filename for info in archive.infolist() if not info.is_dir())
        if any(part.endswith(".data") for file in files for part in file.split("/")[:1]):
            raise ToolError(f"`{name}` has a `.data` directory, which builder.pex does not know how to unpack")
        return cls(name, hashlib.sha256(content).hexdigest(), files)


def _groups(target: Target, wheels: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The wheels that the builder itself needs, and the others; raises ToolError if the lock is incomplete."""
    (packaging,) = (wheel for wheel in wheels if wheel.name.startswith("packaging-"))
    if str(packaging) not in sys.path:
        sys.path.insert(0, str(packaging))
    from closure import IncompleteError, closure  # noqa: PLC0415  (needs the path above)

    roots = tomllib.loads((_ROOT / "Pipfile").read_text(encoding="utf-8"))["packages"]
    try:
        needed = closure(roots, wheels, target.environment, without=WITHOUT)
        early = closure(roots.keys() - LATE, wheels, target.environment, without=WITHOUT)
    except IncompleteError as error:
        raise ToolError(f"Pipfile.lock does not hold for {target.name}: {error}") from error
    return sorted(early.values()), sorted(set(needed.values()) - set(early.values()))


def _group(wheels: Sequence[_Archive], parts: Mapping[str, _Part]) -> boot.Group:
    archives = [*wheels, *(part.archive for part in parts.values())]
    files = Counter(file for archive in archives for file in archive.files)
    if twice := [file for file, count in files.items() if count > 1]:
        raise ToolError(f"`{twice[0]}` is in two wheels")
    identity = hashlib.sha256(repr([(archive.name, archive.sha256) for archive in archives]).encode())
    return {
        "identity": identity.hexdigest()[:32],
        "wheels": [archive.name for archive in wheels],
        "streams": sorted((part.place for part in parts.values()), key=lambda place: -place[2]),
        "modules": sorted(module for module in ASKING if f"{module}/__init__.py" in files),
    }


def _package(pex: Path) -> bytes:
    """Make a zip file of `builder/`, including the bootstrap that the bundled pex generates."""
    files = {
        path.relative_to(_ROOT).as_posix(): path.read_bytes()
        for path in (_ROOT / "builder").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with storage.scratch_directory() as scratch:
        with zipfile.ZipFile(pex) as archive:
            archive.extractall(scratch)
        template = scratch / "bootstrap.pex"
        process.run(
            [sys.executable, "-m", "builder.assembly.bootstrap", template],
            env=process.clean_environment({"PYTHONPATH": f"{_ROOT}{os.pathsep}{scratch}"}),
        )
        files["builder/assembly/data/bootstrap.pex"] = template.read_bytes()
    stream = io.BytesIO()
    writer = ArchiveWriter(stream)
    for name in sorted(files):
        writer.add(stored(name, files[name]))
    writer.finish()
    return stream.getvalue()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except BuilderError as error:
        sys.exit("\n".join(filter(None, (f"error: {error.what}", error.detail, error.remedy))))
