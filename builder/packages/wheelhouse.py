"""A wheelhouse: a directory of wheels built together, with `wheelhouse.json`, `SHA256SUMS` and `locks/`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from builder.errors import Origin, PackagesError, UsageError
from builder.packages.versions import FAMILIES, Family
from builder.system import storage

SCHEMA: Final = 1

INDEX_FILE: Final = "wheelhouse.json"
SUMS_FILE: Final = "SHA256SUMS"
LOCKS: Final = "locks"

_LIKE: Final = 0.75
"""Names that are less like the one given are not suggested."""


@dataclass(frozen=True, slots=True)
class WheelFile:
    """A wheel: its file name, its sha256 (hexadecimal) and its size in bytes."""

    filename: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltPackage:
    """A built package, as its wheel describes it.

    :param name: normalised (PEP 503).
    :param version: normalised (PEP 440).
    :param import_names: top-level modules and packages that the wheel installs.
    :param console_scripts: names of the scripts that it installs.
    :param wheel: file name.
    :param sha256: of the wheel, hexadecimal.
    :param size: of the wheel, in bytes.
    :param requires: normalised names of the repository's packages among its runtime requirements.
    :param family: None for a package with a version of its own.
    :param has_webapp: whether the wheel contains a web application.
    :param summary: its one-line description; may be empty.
    :param other_wheels: of a package with native code, those for other platforms than `wheel`.
    """

    name: str
    version: str
    import_names: tuple[str, ...]
    console_scripts: tuple[str, ...]
    wheel: str
    sha256: str
    size: int
    requires: tuple[str, ...]
    family: Family | None
    has_webapp: bool
    summary: str
    other_wheels: tuple[WheelFile, ...] = ()

    @property
    def files(self) -> tuple[WheelFile, ...]:
        """All its wheels."""
        return (WheelFile(self.wheel, self.sha256, self.size), *self.other_wheels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheelhouse:
    """The wheels of one build of a repository.

    :param directory: absolute.
    :param commit: full hash of the repository's commit; None outside git.
    :param source_date_epoch: seconds since 1970; no file in the wheels has a later time.
    :param packages: by name.
    :param known_failures: the reason and date for each package that the repository says to fail, by name.
    """

    directory: Path
    commit: str | None
    source_date_epoch: int
    packages: tuple[BuiltPackage, ...]
    known_failures: Mapping[str, str] = field(default_factory=dict)

    def package(self, name: str) -> BuiltPackage:
        """The package with a name in any spelling; raises UsageError, with the nearest names, if there is none."""
        wanted = canonicalize_name(name)
        for package in self.packages:
            if package.name == wanted:
                return package
        raise unknown_names([name], [package.name for package in self.packages], f"wheelhouse `{self.directory}`")

    def wheel_path(self, package: BuiltPackage) -> Path:
        """The path of a package's wheel."""
        return self.directory / package.wheel

    def lock_path(self, package: BuiltPackage) -> Path:
        """The path of a package's lock, which `builder.packages lock` writes."""
        return self.directory / LOCKS / f"{package.name}.txt"

    def check_wheels(self) -> None:
        """Check that each wheel exists and has not changed since the build; raises PackagesError with its name."""
        for file in (file for package in self.packages for file in package.files):
            path = self.directory / file.filename
            if not path.is_file() or storage.sha256_of(path) != file.sha256:
                what = "differs from what was built" if path.is_file() else "is missing"
                raise PackagesError(f"wheel `{path}` {what}", remedy="Build the wheelhouse again")


def unknown_names(names: Iterable[str], known: Sequence[str], where: str) -> UsageError:
    """Make the error for unknown names, with the nearest known ones."""
    lines = []
    for name in names:
        likeness = {other: _likeness(canonicalize_name(name), other) for other in known}
        near = sorted((other for other in known if likeness[other] >= _LIKE), key=lambda other: -likeness[other])
        lines.append(f"`{name}`" + (f": perhaps {', '.join(near[:3])}" if near else ""))
    return UsageError(
        f"there is no such package in {where}",
        detail="\n".join(lines),
        remedy="Correct the name; `builder.packages discover` lists all",
    )


def _likeness(name: str, known: str) -> float:
    """How like two names are, from 0 to 1. A first word that they share tells nothing: `dagster-` begins most."""
    (first, _, rest), (known_first, _, known_rest) = name.partition("-"), known.partition("-")
    if rest:
        return _ratio(rest, known_rest) if first == known_first else _ratio(name, known)
    return max(_ratio(name, known), 0.9 * _ratio(name, known_rest))


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def write_wheelhouse(wheelhouse: Wheelhouse) -> None:
    """Write `SHA256SUMS` and, last, `wheelhouse.json`, which marks the wheelhouse as complete."""
    files = [file for package in wheelhouse.packages for file in package.files]
    sums = "".join(f"{file.sha256}  {file.filename}\n" for file in sorted(files, key=lambda file: file.filename))
    document = {
        "schema": SCHEMA,
        "repository": {"commit": wheelhouse.commit, "source_date_epoch": wheelhouse.source_date_epoch},
        "packages": [asdict(package) for package in wheelhouse.packages],
        "known_failures": dict(wheelhouse.known_failures),
    }
    for name, text in ((SUMS_FILE, sums), (INDEX_FILE, json.dumps(document, indent=2) + "\n")):
        with storage.atomic_write(wheelhouse.directory / name) as stream:
            stream.write(text.encode())


def read_wheelhouse(directory: Path) -> Wheelhouse:
    """Read `wheelhouse.json` in a directory; raises PackagesError if it is missing or invalid.

    The wheels themselves are not checked: see `Wheelhouse.check_wheels`.
    """
    path = directory / INDEX_FILE
    remedy = "Give a directory that `builder.packages build` has written"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise PackagesError(
                f"wheelhouse has schema {document['schema']}, not {SCHEMA}", where=Origin(path), remedy=remedy
            )
        repository = document["repository"]
        packages = tuple(_package(entry) for entry in document["packages"])
        epoch, known = int(repository["source_date_epoch"]), dict(document["known_failures"])
        return Wheelhouse(
            directory=directory.absolute(),
            commit=repository["commit"],
            source_date_epoch=epoch,
            packages=packages,
            known_failures=known,
        )
    except FileNotFoundError:
        raise PackagesError(f"`{directory}` is not a wheelhouse: it has no {INDEX_FILE}", remedy=remedy) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"the wheelhouse cannot be read: {type(error).__name__}: {error}"
        raise PackagesError(what, where=Origin(path), remedy=remedy) from error


def _package(entry: Mapping[str, object]) -> BuiltPackage:
    """Parse an entry of `packages`; raises KeyError, TypeError or ValueError for an invalid one."""

    def text(key: str) -> str:
        value = entry[key]
        if not isinstance(value, str):
            raise TypeError(f"`{key}` of a package must be a text")
        return value

    def texts(key: str) -> tuple[str, ...]:
        value = entry[key]
        if not isinstance(value, list):
            raise TypeError(f"`{key}` of package {text('name')} must be a list")
        return tuple(map(str, value))

    family = entry["family"]
    if family is not None and family not in FAMILIES:
        raise ValueError(f"there is no family {family!r}")
    others = entry["other_wheels"]
    if not isinstance(others, list):
        raise TypeError(f"`other_wheels` of package {text('name')} must be a list")
    other_wheels = tuple(WheelFile(**other) for other in others)
    if any(Path(name).name != name for name in (text("wheel"), *(wheel.filename for wheel in other_wheels))):
        raise ValueError(f"`wheel` of package {text('name')} must be a file name")
    return BuiltPackage(
        name=text("name"),
        version=text("version"),
        import_names=texts("import_names"),
        console_scripts=texts("console_scripts"),
        wheel=text("wheel"),
        sha256=text("sha256"),
        size=int(str(entry["size"])),
        requires=texts("requires"),
        family=family,
        has_webapp=bool(entry["has_webapp"]),
        summary=text("summary"),
        other_wheels=other_wheels,
    )
