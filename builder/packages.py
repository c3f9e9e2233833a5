"""`python -m builder.packages`: a repository of packages, from discovery to wheels, locks and images."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

import click

from builder.errors import PackagesError, UsageError
from builder.monorepo.images.command import image, push
from builder.monorepo.versions import Scheme
from builder.terminal import options
from builder.terminal.command_line import OUTPUT, BuilderGroup, option
from builder.terminal.console import console
from builder.terminal.formatting import size
from builder.terminal.running import run_command, verbosity_options

if TYPE_CHECKING:
    from builder.monorepo.building import Failure
    from builder.monorepo.discover import Package, Repository
    from builder.monorepo.versions import FamilyVersions
    from builder.monorepo.wheelhouse import BuiltPackage, Wheelhouse

_repository = click.argument("repository_dir", metavar="REPO", type=click.Path(path_type=Path))
_wheelhouse = click.argument("wheelhouse_dir", metavar="WHEELHOUSE", type=click.Path(path_type=Path))
_SELECTION: Final = "Which packages"
_VERSION: Final = "Which version"
_select = option(
    _SELECTION,
    "--select",
    "selectors",
    multiple=True,
    metavar="NAMES",
    default=["all"],
    help="Names or globs with commas between, or `all`.",
)
_python_version = option(
    "Target", "--python-version", metavar="X.Y", default="3.11", help="The Python that will run them."
)


@click.group(
    cls=BuilderGroup,
    short_help="Build the packages of a repository.",
    examples=(
        "builder.packages version . --build 42",
        "builder.packages build . --out wheelhouse",
        "builder.packages lock wheelhouse",
        "builder.packages check wheelhouse",
    ),
)
def main() -> None:
    """Find the packages of a repository, give them one version, build each once, lock and check them."""


@main.command(
    "discover",
    short_help="List the packages of a repository.",
    examples=(
        "builder.packages discover .",
        "builder.packages discover . --changed-since main --matrix",
    ),
)
@_repository
@_select
@option(_SELECTION, "--with-dependencies", is_flag=True, help="Those too that these, or their extras, need.")
@option(
    _SELECTION,
    "--changed-since",
    metavar="REF",
    help="Only what changed since git's REF, and what needs that.",
)
@options.json_option("Print all that is known")
@option(OUTPUT, "--matrix", "as_matrix", is_flag=True, help="Print a matrix for a job of GitHub Actions.")
@verbosity_options
def discover_command(
    repository_dir: Path,
    selectors: tuple[str, ...],
    changed_since: str | None,
    *,
    with_dependencies: bool,
    as_json: bool,
    as_matrix: bool,
) -> None:
    """List the packages of the repository in REPO, by what each of them declares.

    `all` and globs mean the packages for publishing; others can be selected by their names.
    """
    from builder.monorepo import selection  # noqa: PLC0415  (start-up time)
    from builder.monorepo.discover import discover  # noqa: PLC0415  (start-up time)

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


@main.command(
    "version",
    short_help="Give the packages one version.",
    examples=("builder.packages version . --build 42", "builder.packages version . --version 1.2.3 --check"),
)
@_repository
@option(
    _VERSION,
    "--scheme",
    type=click.Choice(get_args(Scheme)),
    metavar="SCHEME",
    default_text="next, or manual with --version",
    help="next: of the next release; dev: 1.0.0.devN+SHA; calver: YYYY.MM.DD.N; manual: --version.",
)
@option(
    _VERSION,
    "--build",
    "build_number",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="The number of the build.",
)
@option(_VERSION, "--version", "given", metavar="VERSION", help="For the scheme manual, of either family.")
@option(OUTPUT, "--check", is_flag=True, help="Only show what would change, as a diff.")
@verbosity_options
def version_command(
    repository_dir: Path, scheme: Scheme | None, build_number: int, given: str | None, *, check: bool
) -> None:
    """Give each package in REPO the version of its family: core packages 1.N.P, libraries 0.(N+16).P.

    Everything that says it changes together: manifests, version modules, the pins of packages on each other.
    """
    from builder.monorepo.discover import discover  # noqa: PLC0415  (start-up time)
    from builder.monorepo.rewriting import plan_rewriting  # noqa: PLC0415  (start-up time)
    from builder.monorepo.versions import container_tag  # noqa: PLC0415  (start-up time)

    repository = discover(repository_dir)
    # An empty version, of a variable that is not set, is none and must not mean another scheme.
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


@main.command(
    "build",
    short_help="Build the packages' wheels.",
    examples=(
        "builder.packages build . --out wheelhouse",
        "builder.packages build . --out wheelhouse --select 'acme-*'",
    ),
)
@_repository
@option(
    "Destination",
    "--out",
    "out_dir",
    required=True,
    type=click.Path(path_type=Path),
    metavar="WHEELHOUSE",
    help="Where the wheels go, with SHA256SUMS and wheelhouse.json.",
)
@_select
@verbosity_options
def build_command(repository_dir: Path, out_dir: Path, selectors: tuple[str, ...]) -> None:
    """Build each selected package in REPO and all of the repository that it needs, once.

    Builds see no tokens. A failure does not stop the others, but the run. Equal commits give equal bytes:
    $SOURCE_DATE_EPOCH, or else the time of the commit, is that of all files.
    """
    from builder.monorepo import selection  # noqa: PLC0415  (start-up time)
    from builder.monorepo.building import build_wheelhouse  # noqa: PLC0415  (start-up time)
    from builder.monorepo.discover import discover  # noqa: PLC0415  (start-up time)

    repository = discover(repository_dir)
    packages = selection.with_siblings(repository, selection.select(repository, selectors))
    with console.progress("building packages", None):
        build = build_wheelhouse(
            repository,
            packages,
            out_dir.absolute(),
            source_date_epoch=_source_date_epoch(),
            workers=_workers(),
            showing=console.step,
        )
    built = build.wheelhouse.packages
    console.table(["wheel", ">size", "sha256"], [[each.wheel, size(each.size), each.sha256] for each in built])
    _fail(build.failures, len(packages), "built")


@main.command("lock", short_help="Lock what each package needs.", examples=("builder.packages lock wheelhouse",))
@_wheelhouse
@_select
@_python_version
@verbosity_options
def lock_command(wheelhouse_dir: Path, selectors: tuple[str, ...], python_version: str) -> None:
    """Write locks/NAME.txt in WHEELHOUSE: a package with all that it needs, each with its hashes.

    What the wheelhouse has can be installed from nowhere else, all others come from the index.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  (start-up time)

    from builder.errors import BuilderError  # noqa: PLC0415  (start-up time)
    from builder.monorepo.building import Failure  # noqa: PLC0415  (start-up time)
    from builder.monorepo.locks import Locked, lock_package, write_lock  # noqa: PLC0415  (start-up time)

    wheelhouse, packages = _read_wheelhouse(wheelhouse_dir, selectors)
    wheelhouse.check_wheels()

    def attempt(package: BuiltPackage) -> Locked | Failure:
        try:
            with console.step(f"locked {package.name}"):
                locked = lock_package(wheelhouse, package, python_version)
                write_lock(wheelhouse, locked)
                return locked
        except BuilderError as error:
            return Failure(package.name, error)

    with ThreadPoolExecutor(_workers()) as pool, console.progress("locking packages", None):
        results = list(pool.map(attempt, packages))
    locks = [result for result in results if isinstance(result, Locked)]
    rows = [
        [f"locks/{wheelhouse.lock_path(each.package).name}", str(len(each.local)), str(each.indexed)]
        for each in locks
    ]
    console.table(["lock", ">from the wheelhouse", ">from the index"], rows)
    _fail([result for result in results if isinstance(result, Failure)], len(packages), "locked")


@main.command(
    "check", short_help="Install each package and try it.", examples=("builder.packages check wheelhouse",)
)
@_wheelhouse
@_select
@_python_version
@verbosity_options
def check_command(wheelhouse_dir: Path, selectors: tuple[str, ...], python_version: str) -> None:
    """Install each package in WHEELHOUSE by its lock into a clean environment, and see whether it works.

    It is imported, each of its programs is started, and the environment checked for contradictions.
    """
    from builder.monorepo.checks import check_packages  # noqa: PLC0415  (start-up time)
    from builder.resolution.pythons import find_python  # noqa: PLC0415  (start-up time)

    wheelhouse, packages = _read_wheelhouse(wheelhouse_dir, selectors)
    python = find_python(python_version)
    with console.progress("checking packages", None):
        checks = check_packages(wheelhouse, packages, python, workers=_workers(), showing=console.step)
    rows = [
        [each.name, each.version, ", ".join(each.import_names), ", ".join(each.console_scripts)]
        for each in checks.passed
    ]
    console.table(["package", "version", "imports", "programs"], rows)
    _fail(checks.failures, len(packages), "checked")


main.add_command(image)
main.add_command(push)


def _versions(repository: Repository, scheme: Scheme, build_number: int, given: str) -> FamilyVersions:
    from builder.monorepo import git, versions  # noqa: PLC0415  (start-up time)
    from builder.monorepo.releases import releases_of  # noqa: PLC0415  (start-up time)

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
    from builder.monorepo.selection import select_names  # noqa: PLC0415  (start-up time)
    from builder.monorepo.wheelhouse import read_wheelhouse  # noqa: PLC0415  (start-up time)

    wheelhouse = read_wheelhouse(directory)
    names = [package.name for package in wheelhouse.packages]
    chosen = select_names(selectors, names, names, f"wheelhouse `{directory}`")
    return wheelhouse, tuple(package for package in wheelhouse.packages if package.name in chosen)


def _fail(failures: Sequence[Failure], count: int, done: str) -> None:
    """Tell what failed; raises PackagesError that names it all, if anything did."""
    for failure in failures:
        console.error(failure.error, about=failure.name)
    if failures:
        names = ", ".join(failure.name for failure in failures)
        raise PackagesError(f"{len(failures)} of {count} packages could not be {done}: {names}")


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
    for package in repository.packages:
        if package.unpublished:
            console.note(f"  not for publishing: {package.name}, {package.unpublished}")
    for project in repository.left_out:
        console.note(f"  left out: {project.path}, {project.reason}")


def _matrix_entry(package: Package) -> dict[str, object]:
    return {
        "package": package.name,
        "path": package.path,
        "version": package.version,
        "family": package.family,
        "webapp": package.webapp is not None,
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


if __name__ == "__main__":
    run_command(main, "builder.packages")
