"""The subcommands of `builder.packages`: what each does and prints."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from builder.errors import PackagesError, UsageError
from builder.packages import git, selection, versions
from builder.packages.attempts import Failure, attempt_each
from builder.packages.building import build_wheelhouse
from builder.packages.checks import check_packages
from builder.packages.discover import Package, Repository, discover
from builder.packages.families import BY_NAME
from builder.packages.known_failures import excuse_known
from builder.packages.locks import PackageLock, lock_package, write_lock
from builder.packages.releases import releases_of
from builder.packages.results import Step, StepResult, failed_result, write_results
from builder.packages.rewriting import plan_rewriting
from builder.packages.selection import select_names
from builder.packages.versions import FamilyVersions, Scheme, container_tag
from builder.packages.wheelhouse import BuiltPackage, Wheelhouse, read_wheelhouse
from builder.resolution.pythons import find_python
from builder.terminal.console import console
from builder.terminal.formatting import size


def list_packages(
    repository_dir: Path,
    selectors: tuple[str, ...],
    changed_since: str | None,
    *,
    with_dependencies: bool,
    as_json: bool,
    as_matrix: bool,
) -> None:
    """List the packages of a repository."""
    if as_json and as_matrix:
        raise UsageError("--json and --matrix contradict each other", remedy="Give only one of the two")
    repository = discover(repository_dir)
    packages: Sequence[Package] = selection.select(repository, selectors)
    if with_dependencies:
        packages = selection.with_siblings(repository, packages)
    if changed_since is not None:
        changed = selection.changed_since(repository, changed_since)
        packages = [package for package in packages if package in changed]
        if not packages:
            console.note(f"No package has changed since {changed_since}: there is nothing to do")
    if as_json:
        console.result(_as_json(repository, packages))
    elif as_matrix:
        console.result(json.dumps({"include": [_matrix_entry(package) for package in packages]}))
    else:
        _show_packages(repository, packages)


def set_versions(
    repository_dir: Path, scheme: Scheme | None, build_number: int, given: str | None, *, check: bool
) -> None:
    """Set the versions of a repository's packages."""
    repository = discover(repository_dir)
    # An empty version, as from an unset variable, is an error and must not select another scheme.
    scheme = scheme or ("next" if given is None else "manual")
    if (scheme == "manual") != (given is not None):
        raise UsageError(
            "the scheme manual and --version belong together", remedy="Write --scheme manual --version 1.2.3"
        )
    rewriting = plan_rewriting(repository, _versions(repository, scheme, build_number, given or ""))
    console.notices(rewriting.notices)
    if check:
        console.result(rewriting.diff().rstrip("\n"))
        return
    rewriting.apply()
    rows = [
        [package.name, package.version or "?", new, container_tag(new)]
        for package in repository.packages
        if (new := rewriting.versions.get(package.name))
    ]
    console.table(["package", "was", "version", "container tag"], rows)
    console.note(f"{len(rewriting.changes)} files changed")
    _tell_sources(repository)


def build_packages(
    repository_dir: Path, out_dir: Path, selectors: tuple[str, ...], results_dir: Path | None
) -> None:
    """Build packages of a repository, and the siblings that they need, into a wheelhouse."""
    repository = discover(repository_dir)
    selected = selection.select(repository, selectors)
    packages = selection.with_siblings(repository, selected)
    with console.progress("building packages", None):
        build = build_wheelhouse(
            repository,
            packages,
            out_dir.absolute(),
            source_date_epoch=_source_date_epoch(),
            workers=_workers(),
        )
    built = build.wheelhouse.packages
    console.table(["wheel", ">size", "sha256"], [[wheel.wheel, size(wheel.size), wheel.sha256] for wheel in built])
    facts = {
        package.name: {
            "version": package.version,
            "requires": package.requires,
            "selected": package in selected,
            "unpublished": package.unpublished,
        }
        for package in packages
    }
    passed = {
        wheel.name: {**facts[wheel.name], "version": wheel.version, "wheels": [wheel.wheel]} for wheel in built
    }
    _finish("build", "built", {**facts, **passed}, build.failures, results_dir)


def lock_packages(
    wheelhouse_dir: Path, selectors: tuple[str, ...], python_version: str, results_dir: Path | None
) -> None:
    """Write the locks of a wheelhouse's packages."""
    wheelhouse, packages = _read_wheelhouse(wheelhouse_dir, selectors)
    wheelhouse.check_wheels()

    def lock(package: BuiltPackage) -> PackageLock:
        locked = lock_package(wheelhouse, package, python_version)
        write_lock(wheelhouse, locked)
        return locked

    # Most of the time, uv waits for the index; what one run has fetched, the others find in its cache.
    with console.progress("locking packages", None):
        locks, failures = attempt_each(
            packages,
            "locked",
            lock,
            workers=4 * _workers(),
            excuse=excuse_known(wheelhouse.known_failures),
        )
    rows = [
        [f"locks/{wheelhouse.lock_path(lock.package).name}", str(len(lock.local)), str(lock.indexed)]
        for lock in locks
    ]
    console.table(["lock", ">from the wheelhouse", ">from the index"], rows)
    _finish(
        "lock",
        "locked",
        {package.name: {"wheels": [file.filename for file in package.files]} for package in packages},
        failures,
        results_dir,
    )


def check_wheelhouse(
    wheelhouse_dir: Path,
    selectors: tuple[str, ...],
    python_version: str,
    results_dir: Path | None,
    *,
    compare_published: bool,
) -> None:
    """Install packages of a wheelhouse with their locks, and check that they work."""
    wheelhouse, packages = _read_wheelhouse(wheelhouse_dir, selectors)
    python = find_python(python_version)
    with console.progress("checking packages", None):
        passed, failures = check_packages(
            wheelhouse, packages, python, workers=2 * _workers(), compare_published=compare_published
        )
    rows = [
        [package.name, package.version, ", ".join(package.import_names), ", ".join(package.console_scripts)]
        for package in passed
    ]
    console.table(["package", "version", "imports", "programs"], rows)
    _finish("check", "checked", {package.name: {} for package in packages}, failures, results_dir)


def _versions(repository: Repository, scheme: Scheme, build_number: int, given: str) -> FamilyVersions:
    if scheme == "manual":
        return versions.manual_versions(given)
    if scheme == "calver":
        return versions.calver_versions(datetime.now(UTC).date(), build=build_number)
    commit = git.commit_of(repository.root)
    if commit is None:
        raise PackagesError(
            f"`{repository.root}` has no commit of git to name in the version",
            remedy="Write --scheme manual --version 1.2.3",
        )
    if scheme == "dev":
        return versions.dev_versions(build=build_number, commit=commit)
    return versions.next_versions(releases_of(repository), build=build_number, commit=commit)


def _read_wheelhouse(directory: Path, selectors: tuple[str, ...]) -> tuple[Wheelhouse, tuple[BuiltPackage, ...]]:
    wheelhouse = read_wheelhouse(directory)
    names = [package.name for package in wheelhouse.packages]
    chosen = select_names(selectors, names, names, f"wheelhouse `{directory}`", partial=True)
    return wheelhouse, tuple(package for package in wheelhouse.packages if package.name in chosen)


def _finish(
    step: Step,
    done: str,
    facts: Mapping[str, Mapping[str, object]],
    failures: Sequence[Failure],
    results_dir: Path | None,
) -> None:
    """Write the result of each package; raises PackagesError with the names of those whose failures count.

    :param facts: of each package, by name.
    """
    failed = {failure.name: failed_result(step, failure, facts[failure.name]) for failure in failures}
    passed = {name: StepResult(package=name, step=step, facts=known) for name, known in facts.items()}
    write_results(results_dir, {**passed, **failed}.values())
    if names := [failure.name for failure in failures if failure.excuse is None]:
        raise PackagesError(f"{len(names)} of {len(facts)} packages could not be {done}: {', '.join(names)}")


def _source_date_epoch() -> int | None:
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if text and not (text.isascii() and text.isdigit()):
        raise UsageError(
            f"SOURCE_DATE_EPOCH is `{text}`, not a number of seconds",
            remedy="Unset it, or set it to such a number",
        )
    return int(text) if text else None


def _workers() -> int:
    return os.cpu_count() or 1


def _show_packages(repository: Repository, packages: Sequence[Package]) -> None:
    rows = [
        [
            package.name,
            package.version or "?",
            package.family or "-",
            package.path,
            package.declared.backend,
            "yes" if package.webapp else "",
            ", ".join(package.requires),
        ]
        for package in packages
    ]
    console.table(["package", "version", "family", "path", "backend", "web app", "needs"], rows)
    _tell_sources(repository)
    if native := [package.name for package in packages if package.declared.native]:
        console.note(f"  native code, a wheel for each platform: {', '.join(native)}")
    for package in repository.packages:
        if package.unpublished:
            console.note(f"  not for publishing: {package.name}, {package.unpublished}")
    for project in repository.left_out:
        console.note(f"  left out: {project.path}, {project.reason}")


def _tell_sources(repository: Repository) -> None:
    """Say what tells the families of the packages."""
    sources = Counter(package.family_source for package in repository.packages if package.family)
    if not sources:
        return
    sources_text = ", ".join(f"{source} ({count})" for source, count in sorted(sources.items()))
    hint = (
        "; with the tags of releases and their files in this clone, these would tell" if BY_NAME in sources else ""
    )
    console.note(f"  families are known by: {sources_text}{hint}")


def _matrix_entry(package: Package) -> dict[str, object]:
    return {
        "package": package.name,
        "path": package.path,
        "version": package.version,
        "family": package.family,
        "webapp": package.webapp is not None,
        "native": package.declared.native,
    }


def _as_json(repository: Repository, packages: Sequence[Package]) -> str:
    document = {
        "packages": [
            {
                "name": package.name,
                "path": package.path,
                "backend": package.declared.backend,
                "version": package.version,
                "family": package.family,
                "family_source": package.family_source,
                "native": package.declared.native,
                "requires": package.requires,
                "extra_requires": package.extra_requires,
                "build_requires": package.build_requires,
                "webapp": package.webapp and {"path": package.webapp.path, "built": package.webapp.built},
                "unpublished": package.unpublished,
            }
            for package in packages
        ],
        "left_out": [{"path": project.path, "reason": project.reason} for project in repository.left_out],
    }
    return json.dumps(document, indent=2)
