"""Unpacking PEX files of this builder into what `pex-tools FILE venv` of pex 2.59.5 makes, many times faster.

What does not depend on the file, such as the links to the interpreter and the program `pex`, is made once for each
interpreter: pex-tools unpacks an empty PEX file, and the result (the skeleton) is cached and copied. The rest are
files: those of wheels in `.deps`, with the scripts in `.prefix` and a RECORD, and those of the project. `pex-repl`
is omitted.

Unusual PEX files are left to pex-tools, so that it reports the errors it finds.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from builder.assembly.bootstrap import PEX_VERSION
from builder.assembly.installation import LAYOUT, STASH
from builder.assembly.wheels import record_hash
from builder.errors import LoadError
from builder.system import process

_DEPS: Final = ".deps"
_INFO: Final = "PEX-INFO"
_REPL: Final = "pex-repl"
_OF_FORMAT: Final = frozenset({".bootstrap", "__main__.py", "__pex__", _INFO})
"""First path segments that belong to the PEX format, not to the project."""

_SPECIAL: Final = (
    *("deps_are_wheel_files", "inject_env", "inject_args", "pex_path", "entry_point", "script"),
    *("excluded", "overridden"),
)
"""Keys that PEX-INFO of this builder's files never sets."""

_NOT_COPIED: Final = frozenset({"pex", "__pycache__"})
"""Names at the root that pex-tools treats specially."""

_LONGEST_SHEBANG: Final = 127
_LOCAL_HEADER: Final = struct.Struct("<4s5H3L2H")
_DEFLATED: Final = 8
_THREADS: Final = min(4, os.cpu_count() or 1)
_PYTHON_SCRIPT: Final = re.compile(rb"\W(?:python|pypy)(?:\d+(?:\.\d+)*)?(?:[^.a-zA-Z0-9]|$)")
"""A `#!` line that is rewritten to the environment's interpreter, as in pex's `venv.virtualenv`."""


class Unusual(Exception):
    """The PEX file has something that only pex-tools handles, or reports as an error."""


@dataclass(frozen=True, slots=True)
class _File:
    """An entry of the PEX file, and its path relative to the environment."""

    info: zipfile.ZipInfo
    target: str
    wheel: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """The files to unpack.

    :param hashes: those of the wheels by name, as in PEX-INFO.
    :param records: the path of each wheel's RECORD, relative to site-packages.
    """

    files: Sequence[_File]
    directories: Sequence[str]
    hashes: Mapping[str, str]
    records: Mapping[str, str]
    info: bytes


def lay_out(pex: Path, venv: Path, skeleton: Path, like: Path | None = None) -> None:
    """Unpack a PEX file into `venv`, whose parent exists.

    :param skeleton: an empty PEX file, unpacked by pex-tools for the same interpreter.
    :param like: another unpacked PEX file for the same interpreter: files of wheels that both have become hard
        links, and so does their bytecode.

    Raises Unusual if pex-tools has to unpack the file, perhaps when part of it is unpacked already; OSError for a
    full disk; LoadError if the builder is stopped.
    """
    site = _site_packages(skeleton, venv)
    try:
        with zipfile.ZipFile(pex) as archive:
            plan = _plan(archive, site)
        copy_skeleton(skeleton, venv)
        _make_directories(venv, plan)
        same = _same_files(like, plan, site) if like else {}
        with ThreadPoolExecutor(_THREADS) as pool:
            written = list(pool.map(lambda files: _write(pex, files, venv, like, same), _chunks(plan.files)))
    except (zipfile.BadZipFile, KeyError, ValueError, zlib.error, struct.error) as error:
        raise Unusual(str(error)) from error
    if process.stopping.is_set():
        raise LoadError(f"stopped while `{pex.name}` was unpacked")
    _write_records(venv / site, plan, {name: file for part in written for name, file in part.items()})
    (venv / _INFO).write_bytes(plan.info)
    scripts = {Path(file.target).name for file in plan.files if file.target.startswith("bin/")}
    _rewrite_scripts(venv / "bin", scripts)


def _site_packages(skeleton: Path, venv: Path) -> str:
    """The path of site-packages, relative to an environment."""
    python = next((skeleton / "bin").glob("python3.*")).name
    if len(f"#!{venv}/bin/{python}") > _LONGEST_SHEBANG:
        raise Unusual("its path is too long for a `#!` line")
    return f"lib/{python}/site-packages"


def copy_skeleton(skeleton: Path, venv: Path) -> None:
    """Create an empty environment, unless it exists."""
    if (venv / "__main__.py").exists():
        return
    before, after = str(skeleton).encode(), str(venv).encode()
    shutil.copytree(skeleton, venv, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(_REPL))
    for path in (*(venv / "bin").iterdir(), venv / "pyvenv.cfg", venv / "__main__.py"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            if before in content:
                path.write_bytes(content.replace(before, after))


def _plan(archive: zipfile.ZipFile, site: str) -> _Plan:
    info = json.loads(archive.read(_INFO))
    if info["build_properties"] != {"pex_version": PEX_VERSION} or any(info.get(key) for key in _SPECIAL):
        raise Unusual("another builder made it, or it is meant to be run")
    files: dict[str, _File] = {}
    directories: list[str] = []
    layouts: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        first, _, inside = entry.filename.partition("/")
        if first in _OF_FORMAT:
            continue
        wheel, _, inside = inside.partition("/") if first == _DEPS else (None, "", entry.filename)
        if wheel and inside == LAYOUT:
            layouts[wheel] = entry
        elif inside.endswith("/"):
            directories.append(_target(inside, site, wheel))
        else:
            file = _File(entry, _target(inside, site, wheel), wheel)
            if files.setdefault(file.target, file) is not file:
                raise Unusual(f"`{file.target}` is there twice")
    records = {wheel: json.loads(archive.read(entry)) for wheel, entry in layouts.items()}
    _check(info["distributions"], records)
    return _Plan(
        files=list(files.values()),
        directories=directories,
        hashes=info["distributions"],
        records={wheel: str(record["record_relpath"]) for wheel, record in records.items()},
        info=json.dumps(info, sort_keys=True).encode(),
    )


def _check(wheels: Mapping[str, str], layouts: Mapping[str, Mapping[str, object]]) -> None:
    """Raise Unusual if wheels are not laid out as by this builder."""
    if layouts.keys() != wheels.keys():
        raise Unusual("its wheels are laid out in another way")
    if any(layout.get("stash_dir") != STASH or "fingerprint" in layout for layout in layouts.values()):
        raise Unusual("its wheels are laid out in another way")


def _target(inside: str, site: str, wheel: str | None) -> str:
    """The path of a file of a wheel or the project, relative to the environment."""
    if not wheel and inside.partition("/")[0] in _NOT_COPIED:
        raise Unusual(f"`{inside}` is at its root")
    if not wheel or not inside.startswith(f"{STASH}/"):
        return f"{site}/{inside}"
    return re.sub(r"\bpythonX\.Y\b", site.split("/")[1], inside.removeprefix(f"{STASH}/"))


def _make_directories(venv: Path, plan: _Plan) -> None:
    names = {os.path.dirname(file.target) for file in plan.files} | {name.rstrip("/") for name in plan.directories}  # noqa: PTH120
    for name in sorted(names):
        if ".." in name.split("/") or name.startswith("/"):
            raise Unusual(f"`{name}` leads out of the environment")
        (venv / name).mkdir(parents=True, exist_ok=True)


def _chunks(files: Sequence[_File]) -> Iterator[Sequence[_File]]:
    """Split files into parts of about equal size: a job for each file would cost more than writing the file."""
    chunk: list[_File] = []
    size = 0
    for file in files:
        chunk.append(file)
        size += file.info.compress_size + 4096
        if size > 1 << 21:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _write(
    pex: Path, files: Sequence[_File], venv: Path, like: Path | None, same: Mapping[str, tuple[str, int]]
) -> dict[str, tuple[str, int]]:
    """Write files; returns the sha256 and size of the wheels' files, by target path.

    :param like: another environment, to link files from.
    :param same: the sha256 and size of the files that it also has, by target path.
    """
    hashes = {}
    with pex.open("rb", buffering=0) as stream:
        for file in files:
            if process.stopping.is_set():
                break
            path = f"{venv}/{file.target}"
            if file.target in same and _link(f"{like}/{file.target}", path, file.info.file_size):
                hashes[file.target] = same[file.target]
                continue
            content = _content(stream, file.info)
            if file.wheel:
                hashes[file.target] = (_digest(content), len(content))
            mode = file.info.external_attr >> 16 & 0o777 or 0o644
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
            with open(descriptor, "wb", buffering=0) as target:  # noqa: PTH123  (a descriptor)
                target.write(content)
    return hashes


def _content(stream: FileIO, info: zipfile.ZipInfo) -> bytes:
    descriptor = stream.fileno()
    header = _LOCAL_HEADER.unpack(os.pread(descriptor, _LOCAL_HEADER.size, info.header_offset))
    if header[0] != b"PK\3\4":
        raise zipfile.BadZipFile("a local header is missing")
    start = info.header_offset + _LOCAL_HEADER.size + header[-2] + header[-1]
    raw = os.pread(descriptor, info.compress_size, start)
    content = zlib.decompress(raw, -15) if info.compress_type == _DEFLATED else raw
    if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
        raise zipfile.BadZipFile(f"`{info.filename}` is damaged")
    return content


def _digest(content: bytes) -> str:
    return record_hash(hashlib.sha256(content).digest())


def _link(existing: str, path: str, size: int) -> bool:
    """Hard-link a file of another environment, with its bytecode; returns whether that was possible."""
    try:
        if os.stat(existing).st_size != size:  # noqa: PTH116  (ten thousand files)
            return False
        os.link(existing, path)
    except OSError:
        return False
    if path.endswith(".py"):
        _link_bytecode(existing, path)
    return True


def _link_bytecode(existing: str, path: str) -> None:
    name = os.path.basename(path).removesuffix(".py")  # noqa: PTH119
    before, after = (f"{os.path.dirname(file)}/__pycache__" for file in (existing, path))  # noqa: PTH120
    try:
        compiled = [entry for entry in _listing(before) if entry.startswith(f"{name}.cpython-")]
        if compiled:
            os.makedirs(after, exist_ok=True)  # noqa: PTH103
        for entry in compiled:
            os.link(f"{before}/{entry}", f"{after}/{entry}")
    except OSError:
        return


def _listing(directory: str) -> Sequence[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208
    except OSError:
        return ()


def _same_files(like: Path, plan: _Plan, site: str) -> dict[str, tuple[str, int]]:
    """The sha256 and size, by target path, of the wheel files that another environment also has."""
    try:
        there = json.loads((like / _INFO).read_bytes())["distributions"]
        same = {}
        for wheel in (wheel for wheel, sha256 in plan.hashes.items() if there.get(wheel) == sha256):
            with (like / site / plan.records[wheel]).open(encoding="utf-8", newline="") as stream:
                for name, digest, size in csv.reader(stream):
                    # Not scripts, which contain the path of their environment.
                    if digest and not name.startswith("../"):
                        same[f"{site}/{name}"] = (digest.removeprefix("sha256="), int(size))
    except (OSError, ValueError, KeyError):
        return {}
    return same


def _write_records(site: Path, plan: _Plan, hashes: Mapping[str, tuple[str, int]]) -> None:
    """Write each wheel's RECORD, as pex does."""
    base = f"lib/{site.parent.name}/site-packages"
    rows: dict[str, list[list[str]]] = {wheel: [[record, "", ""]] for wheel, record in plan.records.items()}
    for file in plan.files:
        if file.wheel:
            digest, size = hashes[file.target]
            rows[file.wheel].append([os.path.relpath(file.target, base), f"sha256={digest}", str(size)])
    for wheel, record in plan.records.items():
        with (site / record).open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows(sorted(rows[wheel]))


def _rewrite_scripts(directory: Path, names: set[str]) -> None:
    """Make the scripts run with the environment's own interpreter."""
    python = next(directory.glob("python3.*"))
    for name in names:
        path = directory / name
        if not path.is_file() or not os.access(path, os.X_OK):
            continue
        content = path.read_bytes()
        first, newline, rest = content.partition(b"\n")
        line = first + newline
        if line == b"#!python\n" or (line.startswith(b"#!") and _PYTHON_SCRIPT.search(line[2:])):
            path.write_bytes(f"#!{python}\n".encode() + rest)
