"""`python -m builder.packages`: a repository of packages, from discovery to wheels, locks and images."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from builder.packages.images.command_line import image, push, results_option
from builder.terminal import options
from builder.terminal.command_line import OUTPUT, BuilderGroup, option
from builder.terminal.running import run_command, verbosity_options

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
    help="Names or globs with commas between, or `all`; `!` leaves out.",
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
    runs="builder.packages.commands:list_packages",
    short_help="List the packages of a repository.",
    examples=(
        "builder.packages discover .",
        "builder.packages discover . --changed-since main --matrix",
    ),
)
@_repository
@_select
@option(_SELECTION, "--with-dependencies", is_flag=True, help="Also what these, or their extras, need.")
@option(
    _SELECTION,
    "--changed-since",
    metavar="REF",
    help="Only packages changed since REF, and their dependents.",
)
@options.json_option("Print all that is known")
@option(OUTPUT, "--matrix", "as_matrix", is_flag=True, help="Print a matrix for a job of GitHub Actions.")
@verbosity_options
def discover_command() -> None:
    """List the packages of the repository in REPO, by what each of them declares.

    `all` and globs mean the packages for publishing; others can be selected by their names.
    """


@main.command(
    "version",
    runs="builder.packages.commands:set_versions",
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
def version_command() -> None:
    """Give each package in REPO the version of its family: core packages 1.N.P, libraries 0.(N+16).P.

    Everything that says it changes together: manifests, version modules, the pins of packages on each other.
    """


@main.command(
    "build",
    runs="builder.packages.commands:build_packages",
    short_help="Build the packages' wheels.",
    examples=(
        "builder.packages build . --out wheelhouse",
        "builder.packages build . --out house --select 'all,!acme-old'",
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
@results_option
@verbosity_options
def build_command() -> None:
    """Build each selected package in REPO and all of the repository that it needs, once.

    Builds see no tokens. If one fails, the others go on, and the exit code is 1, unless the package is in
    .github/known-failures.toml. Equal commits give equal bytes:
    $SOURCE_DATE_EPOCH, or else the time of the commit, is that of all files.
    """


@main.command(
    "merge",
    runs="builder.packages.platforms:merge_wheelhouses",
    short_help="Add wheels for other platforms.",
    examples=("builder.packages merge wheelhouse built-on-arm64",),
)
@_wheelhouse
@click.argument("others", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="OTHER...")
@verbosity_options
def merge_command() -> None:
    """Add to WHEELHOUSE what OTHER, which was built on another machine, has for its platform.

    That is the wheels of packages with native code, of the same commit and version; `lock` again afterwards.
    """


@main.command(
    "lock",
    runs="builder.packages.commands:lock_packages",
    short_help="Lock what each package needs.",
    examples=("builder.packages lock wheelhouse",),
)
@_wheelhouse
@_select
@_python_version
@results_option
@verbosity_options
def lock_command() -> None:
    """Write locks/NAME.txt in WHEELHOUSE: a package with all that it needs, each with its hashes.

    What the wheelhouse has can be installed from nowhere else, all others come from the index.
    """


@main.command(
    "check",
    runs="builder.packages.commands:check_wheelhouse",
    short_help="Install each package and try it.",
    examples=("builder.packages check wheelhouse",),
)
@_wheelhouse
@_select
@_python_version
@option(
    "Failures",
    "--compare-published",
    is_flag=True,
    help="Excuse failures of the published release, too.",
)
@results_option
@verbosity_options
def check_command() -> None:
    """Install each package in WHEELHOUSE by its lock into a clean environment, and see whether it works.

    It is imported, its console scripts are started, and `uv pip check` checks the environment. A package in
    .github/known-failures.toml must fail. Of one that fails, --compare-published installs the release as well.
    """


@main.command(
    "report",
    runs="builder.packages.report:report",
    short_help="Show what became of each package.",
    examples=("builder.packages report results --out result.json",),
)
@click.argument("results_dir", metavar="RESULTS", type=click.Path(path_type=Path))
@option(OUTPUT, "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write all of it as JSON, too.")
@verbosity_options
def report_command() -> None:
    """Show version, wheel, check, image and tags of each package, from what --results of the other commands left.

    In GitHub Actions it is the job's summary too. The exit code is 1 if a failure counts.
    """


main.add_command(image)
main.add_command(push)


if __name__ == "__main__":
    run_command(main, "builder.packages")
