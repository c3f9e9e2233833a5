"""Reading and checking the wheels of a repository's packages."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.metadata import InvalidMetadata, Metadata
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from builder.assembly.scripts import read_entry_points
from builder.assembly.wheels import record_hash
from builder.errors import PackagesError
from builder.packages.pins import not_satisfied
from builder.resolution.built_wheel import in_dist_info

_STRAY: Final = re.compile(r"tests?|docs?|examples?|scripts?|build|dist|conftest|setup|.*_tests")
"""Top-level names that no wheel should install: in site-packages they would collide with those of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelContents:
    """The contents of a valid wheel.

    :param members: the names of its files.
    :param import_names: the top-level packages and modules that it installs, dotted if in a namespace package.
    """

    name: str
    version: str
    metadata: Metadata
    members: tuple[str, ...]
    import_names: tuple[str, ...]
    console_scripts: tuple[str, ...]

    @property
    def requires(self) -> tuple[str, ...]:
        """`Requires-Dist`, without the requirements of extras."""
        return tuple(text for text in self.requires_dist if not re.search(r"\bextra\s*==", text))

    @property
    def requires_dist(self) -> tuple[str, ...]:
        """`Requires-Dist` as PEP 508 strings."""
        return tuple(map(str, self.metadata.requires_dist or ()))


def read_wheel(path: Path) -> WheelContents:
    """Read a wheel; raises PackagesError if it is not valid.

    Its metadata must follow the core metadata specification, its name and version must match the file name, and
    its files must be those in RECORD, with the same hashes.
    """
    try:
        name, version, _build, _tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename as error:
        raise _unsound(path, str(error)) from error
    with zipfile.ZipFile(path) as archive:
        members = tuple(info.filename for info in archive.infolist() if not info.is_dir())
        dist_info = {member.partition("/")[0] for member in members if in_dist_info(member)}
        if len(dist_info) != 1:
            raise _unsound(path, f"it has {len(dist_info)} directories of metadata instead of one")
        (directory,) = dist_info
        metadata = _metadata(path, archive.read(f"{directory}/METADATA"))
        if (canonicalize_name(metadata.name), metadata.version) != (name, version):
            raise _unsound(path, f"its metadata is of {metadata.name} {metadata.version}")
        _check_record(path, archive, members, f"{directory}/RECORD")
        entry_points = f"{directory}/entry_points.txt"
        scripts = _console_scripts(path, archive.read(entry_points)) if entry_points in members else ()
    declared = tuple(metadata.import_names or ())
    names = tuple(line.partition(";")[0].strip() for line in declared) or tuple(_import_names(members))
    return WheelContents(
        name=str(name),
        version=str(version),
        metadata=metadata,
        members=members,
        import_names=names,
        console_scripts=scripts,
    )


def check_wheel(wheel: WheelContents, *, version: str | None, versions: Mapping[str, str]) -> Iterator[str]:
    """Check a valid wheel against the repository; yields each problem as a sentence without a full stop.

    :param version: the expected version; None for any.
    :param versions: the versions of the repository's packages, by name.
    """
    if version is not None and wheel.version != version:
        yield f"the wheel has version {wheel.version}, but its files say {version}"
    for name in wheel.import_names:
        if _STRAY.fullmatch(name.partition(".")[0]):
            yield f"it installs a top-level `{name}`, which would lie over that of others"
    if not wheel.import_names:
        yield "it installs nothing that can be imported"
    for requirement in not_satisfied(wheel.requires_dist, versions):
        if any(specifier.operator == "==" for specifier in requirement.specifier):
            there = versions[canonicalize_name(requirement.name)]
            yield f"it requires `{requirement}`, but the repository has {there}"


def _unsound(path: Path, why: str) -> PackagesError:
    return PackagesError(f"the backend made a wheel that is not valid: `{path.name}`", detail=why)


def _metadata(path: Path, content: bytes) -> Metadata:
    try:
        return Metadata.from_email(content)
    except ExceptionGroup as group:
        errors: Sequence[Exception] = group.exceptions
        lines = [
            f"{error.field}: {error}" if isinstance(error, InvalidMetadata) else str(error) for error in errors
        ]
        raise _unsound(path, "\n".join(lines)) from group


def _check_record(path: Path, archive: zipfile.ZipFile, members: Collection[str], record: str) -> None:
    """Check that RECORD lists each file with its hash, and no missing file (PEP 376, PEP 427)."""
    if record not in members:
        raise _unsound(path, "it has no RECORD")
    unlisted = set(members) - {record, f"{record}.jws", f"{record}.p7s"}
    for row in csv.reader(io.StringIO(archive.read(record).decode("utf-8"))):
        name, digest, _size = row
        if name == record:
            continue
        if name not in members:
            raise _unsound(path, f"RECORD lists `{name}`, which it has not")
        algorithm, _, expected = digest.partition("=")
        actual = hashlib.new(algorithm, archive.read(name)).digest()
        if record_hash(actual) != expected:
            raise _unsound(path, f"`{name}` is not what RECORD says")
        unlisted.discard(name)
    if unlisted:
        raise _unsound(path, f"RECORD does not list `{min(unlisted)}`")


def _console_scripts(path: Path, entry_points: bytes) -> tuple[str, ...]:
    try:
        entries = list(read_entry_points(entry_points))
    except ValueError as error:
        raise _unsound(path, f"entry_points.txt has the line `{error}`") from error
    return tuple(sorted(name for group, name, *_ in entries if group == "console_scripts"))


def _import_names(members: Sequence[str]) -> Iterator[str]:
    """The topmost packages and modules; a directory without `__init__.py` is a namespace package."""
    code = [PurePosixPath(name) for name in members if name.endswith((".py", ".so", ".pyd"))]
    code = [path for path in code if not path.parts[0].endswith((".dist-info", ".data"))]
    packages = {path.parent for path in code if path.stem == "__init__"}
    names = set()
    for path in code:
        above = [parent for parent in reversed(path.parents) if parent in packages]
        top = above[0] if above else path.with_name(path.name.partition(".")[0])
        names.add(".".join(top.parts))
    yield from sorted(name for name in names if all(part.isidentifier() for part in name.split(".")))
