"""Rewriting the versions of a repository's packages, and their pins on each other.

Rewritten are `version` in pyproject.toml or setup.py, `__version__` in the package's own version module, and exact
pins on packages of the repository in dependencies and extras. Development settings are not changed: dependency
groups, `[tool.uv.sources]`, uv.lock.
"""

from __future__ import annotations

import ast
import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import tomlkit
from packaging.utils import canonicalize_name
from tomlkit.items import Array, Table

from builder.errors import Notice, Origin, PackagesError
from builder.packages.declarations import version_literal
from builder.packages.discover import Package, Repository
from builder.packages.pins import not_satisfied, pin_open, repin
from builder.packages.setup_py import parse_setup_py, setup_call
from builder.packages.versions import FamilyVersions
from builder.system import storage


@dataclass(frozen=True, slots=True)
class Change:
    """A file with its old and its new text."""

    path: Path
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Rewriting:
    """The changes that give each package its new version.

    :param versions: the new version of each package that belongs to a family, by name.
    :param changes: the files whose text changes.
    """

    repository: Repository
    versions: Mapping[str, str]
    changes: tuple[Change, ...]
    notices: tuple[Notice, ...]

    def diff(self) -> str:
        """All changes as one unified diff for `git apply`."""
        parts: list[str] = []
        for change in self.changes:
            name = change.path.relative_to(self.repository.root).as_posix()
            before, after = change.before.splitlines(keepends=True), change.after.splitlines(keepends=True)
            parts += difflib.unified_diff(before, after, f"a/{name}", f"b/{name}")
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in parts
        )

    def apply(self) -> None:
        """Write the files, each atomically; raises StorageError."""
        for change in self.changes:
            mode = change.path.stat().st_mode & 0o777
            with storage.atomic_write(change.path, mode=mode) as stream:
                stream.write(change.after.encode("utf-8"))


def plan_rewriting(repository: Repository, wanted: FamilyVersions) -> Rewriting:
    """Compute the changes for these versions, without writing anything.

    Raises PackagesError if no package belongs to a family, or if a package's files do not have its version.
    """
    versions = {package.name: wanted.of(package.family) for package in repository.packages if package.family}
    if not versions:
        raise PackagesError(
            f"no package of `{repository.root}` is of a family of dagster, so none can be given a version",
            remedy="Set the versions by hand; the packages can be built all the same",
        )
    # In the order of declaration; a file that two packages declare appears only once.
    changes = {change.path: change for package in repository.packages for change in _changes(package, versions)}
    notices = [
        *wanted.notices,
        *(notice for dependent in repository.packages for notice in _unsatisfied(dependent, versions)),
    ]
    return Rewriting(repository, versions, tuple(changes.values()), tuple(notices))


def _changes(package: Package, versions: Mapping[str, str]) -> Iterator[Change]:
    version = versions.get(package.name)
    manifest = package.declared.manifest
    rewrite = _pyproject if manifest.name == "pyproject.toml" else _setup_py
    before = _read(manifest)
    after, said = rewrite(before, manifest, version, versions)
    if before != after:
        yield Change(manifest, before, after)
    for path in package.declared.version_files if version else ():
        said = True
        before = _read(path)
        literal = version_literal(before)
        if literal and version:
            after = _replace(before, [(literal[0], _quoted_like(before, literal[0], literal[1], version))])
            if before != after:
                yield Change(path, before, after)
    if version and not said:
        raise PackagesError(
            f"package `{package.name}` cannot be given a version: its backend determines it",
            where=Origin(manifest),
            remedy="Write `version` into `[project]`, or `__version__` into a version.py of the package",
        )


def _unsatisfied(package: Package, versions: Mapping[str, str]) -> Iterator[Notice]:
    """Warnings about unpinned requirements on siblings that the new versions do not satisfy."""
    texts = tuple(repin(text, versions) for text in (*package.declared.requires, *package.declared.extras))
    for requirement in not_satisfied(texts, versions):
        version = versions[canonicalize_name(requirement.name)]
        text = f"`{package.name}` requires `{requirement}`, which version {version} is not; choose another version"
        yield Notice(text, Origin(package.declared.manifest))


def _pyproject(text: str, path: Path, version: str | None, versions: Mapping[str, str]) -> tuple[str, bool]:
    """Rewrite version and pins in pyproject.toml; returns the text and whether it has the version itself."""
    document = tomlkit.parse(text)
    project: Table = document["project"]
    says = "version" in project
    if says and version and project["version"] != version:
        project["version"] = tomlkit.string(version, literal=project["version"].as_string().startswith("'"))
    optional = project.get("optional-dependencies", {})
    for array in (project.get("dependencies", []), *optional.values()):
        _repin_array(array, versions)
    after = tomlkit.dumps(document)
    # tomlkit should keep everything else unchanged; check it, since a loss could go unnoticed.
    if tomllib.loads(after).keys() != tomllib.loads(text).keys():
        raise PackagesError("pyproject.toml could not be changed without loss", where=Origin(path))
    return after, says


def _repin_array(array: Array, versions: Mapping[str, str]) -> None:
    for index, item in enumerate(array):
        pinned = repin(item, versions)
        if pinned != item:
            array[index] = tomlkit.string(pinned, literal=item.as_string().startswith("'"))


def _setup_py(text: str, path: Path, version: str | None, versions: Mapping[str, str]) -> tuple[str, bool]:
    """Rewrite version and pins in setup.py, replacing computed pins; returns as `_pyproject` does."""
    tree = parse_setup_py(text, path)
    edits = list(_pin_edits(tree, text, versions))
    call = setup_call(tree)
    argument = (
        next((keyword.value for keyword in call.keywords if keyword.arg == "version"), None) if call else None
    )
    says = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and version:
        edits.append((argument, _quoted_like(text, argument, argument.value, version)))
    after = _replace(text, edits)
    parse_setup_py(after, path)
    return after, says


def _pin_edits(tree: ast.AST, text: str, versions: Mapping[str, str]) -> Iterator[tuple[ast.expr, str]]:
    """The syntax nodes of pins, each with its new source."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        edit = _edit(node, text, versions) if isinstance(node, ast.expr) else None
        if edit is not None and isinstance(node, ast.expr):
            yield node, edit
        elif not isinstance(node, ast.JoinedStr):
            waiting += ast.iter_child_nodes(node)


def _edit(node: ast.expr, text: str, versions: Mapping[str, str]) -> str | None:
    """The new source of a pin; None if the node is not a pin."""
    match node:
        case ast.Constant(value=str(value)):
            pinned = repin(value, versions)
            return _quoted_like(text, node, value, pinned) if pinned != value else None
        case ast.JoinedStr(values=[ast.Constant(value=str(start)), ast.FormattedValue(), *rest]):
            # A computed pin: f"dagster{pin}", perhaps followed by a marker.
            texts = [part.value for part in rest if isinstance(part, ast.Constant)]
            marker = "".join(map(str, texts))
            pinned_start = pin_open(start, versions)
            known = len(texts) == len(rest) and marker.lstrip()[:1] in {"", ";"}
            return _quoted(pinned_start + marker) if pinned_start and known else None
        case ast.BinOp(left=ast.Constant(value=str(start)), op=ast.Add(), right=right) if not isinstance(
            right, ast.Constant
        ):
            pinned_start = pin_open(start, versions)
            return _quoted(pinned_start) if pinned_start else None
    return None


def _quoted_like(text: str, node: ast.expr, old: str, new: str) -> str:
    """The source of a literal with a new value, in the same quotes."""
    source = ast.get_source_segment(text, node) or ""
    return source.replace(old, new) if source.count(old) == 1 else _quoted(new)


def _quoted(value: str) -> str:
    return f'"{value}"' if '"' not in value and "\\" not in value else repr(value)


def _replace(text: str, edits: list[tuple[ast.expr, str]]) -> str:
    """Replace the sources of some nodes of a text's syntax tree."""
    lines = text.encode("utf-8").splitlines(keepends=True)
    # Syntax trees give column offsets in bytes.
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    content = text.encode("utf-8")
    positions = [
        (
            starts[node.lineno - 1] + node.col_offset,
            starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0),
            new,
        )
        for node, new in edits
    ]
    for start, end, new in sorted(positions, reverse=True):
        content = content[:start] + new.encode("utf-8") + content[end:]
    return content.decode("utf-8")


def _read(path: Path) -> str:
    # Line endings are kept.
    with path.open(encoding="utf-8", newline="") as stream:
        return stream.read()
