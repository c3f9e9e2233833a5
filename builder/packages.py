"""`python -m builder.packages`: a repository of packages, from discovery to wheels, locks and images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from builder.monorepo.images.command_line import image, push
from builder.monorepo.lazy import commands
from builder.terminal import options
from builder.terminal.command_line import OUTPUT, BuilderGroup, option
from builder.terminal.running import run_command, verbosity_options

if TYPE_CHECKING:
    from builder.monorepo.versions import Scheme

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
    commands().discover(
        repository_dir,
        selectors,
        changed_since,
        with_dependencies=with_dependencies,
        as_json=as_json,
        as_matrix=as_matrix,
    )


@main.command(
    "version",
    short_help="Give the packages one version.",
    examples=("builder.packages version . --build 42", "builder.packages version . --version 1.2.3 --check"),
)
@_repository
@option(
    _VERSION,
    "--scheme",
    type=click.Choice(["next", "dev", "calver", "manual"]),
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
    commands().version(repository_dir, scheme, build_number, given, check=check)


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
    commands().build(repository_dir, out_dir, selectors)


@main.command("lock", short_help="Lock what each package needs.", examples=("builder.packages lock wheelhouse",))
@_wheelhouse
@_select
@_python_version
@verbosity_options
def lock_command(wheelhouse_dir: Path, selectors: tuple[str, ...], python_version: str) -> None:
    """Write locks/NAME.txt in WHEELHOUSE: a package with all that it needs, each with its hashes.

    What the wheelhouse has can be installed from nowhere else, all others come from the index.
    """
    commands().lock(wheelhouse_dir, selectors, python_version)


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
    commands().check(wheelhouse_dir, selectors, python_version)


main.add_command(image)
main.add_command(push)


if __name__ == "__main__":
    run_command(main, "builder.packages")
