"""Lock files of a wheelhouse: its packages are pinned to their wheels' hashes, all others to the index's.

Every package in the wheelhouse is resolved to its wheel there, even as a dependency of others, and locked to that
wheel's hash only: an installer cannot take it from elsewhere, even if an index has the same version. All others
are locked to the index's hashes. A lock is valid for every platform, and for its Python version and later ones, as
far as packages with native code have wheels for them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from builder.errors import PackagesError, ProjectError, ResolutionError
from builder.packages.platforms import is_native, platform_tags
from builder.packages.wheelhouse import BuiltPackage, Wheelhouse
from builder.project.names import required_name
from builder.project.requirements_txt import RequirementLine, read_requirements_txt
from builder.resolution import uv
from builder.resolution.explanation import shorten
from builder.resolution.indexes import read_indexes
from builder.system import process, storage
from builder.system.graph import reachable


@dataclass(frozen=True, slots=True)
class PackageLock:
    """A package's lock: the package and all its dependencies.

    :param local: names of the packages from the wheelhouse, including itself.
    :param indexed: the number of packages from an index.
    :param text: the requirements file.
    """

    package: BuiltPackage
    local: tuple[str, ...]
    indexed: int
    text: str


def lock_package(wheelhouse: Wheelhouse, package: BuiltPackage, python_version: str) -> PackageLock:
    """Resolve the dependencies of a wheelhouse's package, for `python_version` ("3.11") and later.

    Raises PackagesError if it needs a package of the repository that the wheelhouse lacks; ResolutionError with
    uv's message if there is no solution.
    """
    _check_complete(wheelhouse, package)
    with storage.scratch_directory() as scratch:
        resolved = read_requirements_txt(_resolve(wheelhouse, package, python_version, scratch)).lines
    by_name = {sibling.name: sibling for sibling in wheelhouse.packages}
    lines: list[RequirementLine] = []
    local: list[str] = []
    for line in resolved:
        name = required_name(line.text)
        if mine := by_name.get(name):
            local.append(name)
            # A URL ends at the space before the semicolon (PEP 508).
            _, semicolon, marker = line.text.partition(" ; ")
            text = f"{name}=={mine.version}{semicolon}{marker}"
            lines.append(replace(line, text=text, hashes=tuple(f"sha256:{file.sha256}" for file in mine.files)))
        elif is_locked(line):
            lines.append(line)
        else:
            raise ResolutionError(
                f"`{line.text}`, which `{package.name}` needs, cannot be locked to a version with a hash",
                remedy="Let the package require it by name, from an index",
            )
    head = [
        f"{package.name} {package.version}, for Python {python_version} and later, with all that it needs.",
        "Install it with `uv pip install` or `pip install` and these options, D being the directory above:",
        "    --require-hashes --find-links D --requirement THIS_FILE",
        f"Only from the wheelhouse: {', '.join(local)}.",
        *(f"{name} is for these only: {tags}." for name in local if (tags := _platforms(by_name[name]))),
    ]
    text = "".join(f"# {line}\n" for line in head) + "".join(f"{line.written}\n" for line in lines)
    return PackageLock(package, tuple(local), len(lines) - len(local), text)


def _platforms(package: BuiltPackage) -> str:
    """The tags of a package's wheels; empty if it runs everywhere."""
    return ", ".join(platform_tags(file.filename) for file in package.files) if is_native(package) else ""


def read_package_lock(path: Path) -> tuple[RequirementLine, ...]:
    """Read a package's lock; raises PackagesError if it is missing, or if a requirement has no hash."""
    remedy = "Run `builder.packages lock` for this wheelhouse"
    try:
        lines = read_requirements_txt(path).lines
    except ProjectError as error:
        raise PackagesError(error.what, where=error.where, remedy=remedy) from error
    for line in lines:
        if not is_locked(line):
            what = f"the lock has a requirement without version or hash: `{line.text}`"
            raise PackagesError(what, where=line.origin, remedy=remedy)
    return lines


def is_locked(line: RequirementLine) -> bool:
    """Whether a requirement is pinned to one version and has sha256 hashes."""
    version = "==" in line.text.partition(";")[0]
    return version and any(value.startswith("sha256:") for value in line.hashes)


def write_lock(wheelhouse: Wheelhouse, locked: PackageLock) -> Path:
    """Write a lock to its place in the wheelhouse."""
    path = wheelhouse.lock_path(locked.package)
    with storage.atomic_write(path) as stream:
        stream.write(locked.text.encode())
    return path


def _check_complete(wheelhouse: Wheelhouse, package: BuiltPackage) -> None:
    """Check that the wheelhouse has all needed packages of the repository, so that none comes from an index."""
    needs = {built.name: built.requires for built in wheelhouse.packages}
    for name in sorted(reachable([package.name], needs)):
        if name not in needs:
            needing = next(built.name for built in wheelhouse.packages if name in built.requires)
            raise PackagesError(
                f"`{needing}` needs `{name}`, which the wheelhouse `{wheelhouse.directory}` lacks",
                remedy=f"Build `{name}` too, of the same commit",
            )


def _resolve(wheelhouse: Wheelhouse, package: BuiltPackage, python_version: str, scratch: Path) -> Path:
    """Resolve with uv; returns the path of the requirements file that it writes."""
    constraints = scratch / "constraints.txt"
    files = [(sibling.name, wheelhouse.wheel_path(sibling).as_uri()) for sibling in wheelhouse.packages]
    constraints.write_text("".join(f"{name} @ {url}\n" for name, url in files), encoding="utf-8")
    wanted = scratch / "requirements.in"
    wanted.write_text(f"{package.name}=={package.version}\n", encoding="utf-8")
    arguments: list[str | Path] = ["pip", "compile", "--quiet", "--universal", "--generate-hashes"]
    arguments += ["--no-header", "--no-annotate", "--no-python-downloads", "--python-version", python_version]
    arguments += ["--constraints", constraints, wanted]
    variables = read_indexes(wheelhouse.directory).variables_outside(scratch, often=True)
    try:
        resolved = scratch / "requirements.txt"
        resolved.write_text(uv.run(arguments, cwd=scratch, extra_env=variables).stdout, encoding="utf-8")
    except process.ProcessFailed as error:
        raise ResolutionError(
            f"what `{package.name}` needs cannot be resolved",
            detail=shorten(error.stderr).replace(f"{wheelhouse.directory.as_uri()}/", ""),
            remedy="Change what the package requires, or give the packages versions that others can accept",
        ) from error
    return resolved
