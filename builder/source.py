"""`python -m builder.source PROJECT_DIR OUT_DIR`: the user's own code, as `source-HASH.pex`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder import door
from builder.console import console, run_door, verbose_option
from builder.deps import read_project

if TYPE_CHECKING:
    from builder.project.metadata import Metadata
    from builder.resolution.target import Target
    from builder.storage import Artefact


@dataclass(frozen=True, slots=True)
class SourceBuild:
    """A source PEX.

    :param files: how many of the project's files it holds.
    :param packages: the local packages installed in it.
    """

    artefact: Artefact
    files: int
    packages: tuple[Path, ...]
    seconds: dict[str, float]


def metadata_of(directory: Path, target: Target, out_dir: Path) -> Metadata:
    """The metadata of a local package out of its wheel, which the source PEX needs anyway."""
    from builder.resolution.backend import LocalPackage, local_wheel, wheel_metadata  # noqa: PLC0415  (start-up time)

    return wheel_metadata(local_wheel(LocalPackage(directory, target.python_version, out_dir)), directory)


def build_source(
    project: Path,
    packages: Sequence[Path],
    target: Target,
    out_dir: Path,
    *,
    include: Sequence[str] = (),
    about: str = "",
) -> SourceBuild:
    """Install a project's local packages and pack its files, showing the step; `about` names it among others."""
    from builder.assembly.source_pex import assemble_source_pex  # noqa: PLC0415  (start-up time)
    from builder.assembly.source_tree import source_entries  # noqa: PLC0415  (start-up time)
    from builder.project.files import select_files  # noqa: PLC0415  (start-up time)
    from builder.project.settings import read_settings  # noqa: PLC0415  (start-up time)
    from builder.resolution.backend import LocalPackage, local_wheel  # noqa: PLC0415  (start-up time)

    with console.step(f"{about}packed") as step:
        settings = read_settings(project)
        with ThreadPoolExecutor() as pool:
            local = [LocalPackage(directory, target.python_version, out_dir) for directory in packages]
            wheels = list(pool.map(local_wheel, local))
        selection = select_files(
            project,
            include=[*settings.include, *include],
            respect_gitignore=settings.respect_gitignore,
            out_dir=out_dir,
        )
        entries, notices = source_entries(selection, wheels)
        artefact = assemble_source_pex(entries, python_version=target.python_version, out_dir=out_dir)
        step.title = f"{about}packed {artefact.name}"
    console.notices([*selection.notices, *notices])
    for secret in selection.secrets:
        console.note(f"  left out, it looks like a secret: {secret}")
    if selection.git_ignored:
        console.note(f"  packed although git ignores them: {selection.git_ignored} files")
    return SourceBuild(artefact, len(selection.files), tuple(packages), {"source": step.seconds})


def include_option(command: click.decorators.FC) -> click.decorators.FC:
    """Give a door the option `--include`."""
    return click.option(
        "--include",
        multiple=True,
        metavar="PATTERN",
        help="Take files in that would be left out, such as a secret; gitignore syntax; may be repeated.",
    )(command)


@click.command(short_help="Build the source PEX of a project.")
@door.project_argument
@door.out_argument
@include_option
@door.target_options
@verbose_option
def main(
    project_dir: Path, out_dir: Path, include: tuple[str, ...], python_version: str | None, platform: Path | None
) -> None:
    """Write source-HASH.pex, with the code in PROJECT_DIR and the local packages that it names.

    \b
    Example:
      builder.pex -m builder.source . out
    """  # noqa: D301  (click's mark for text that it must not wrap)
    from builder.resolution.resolve import local_packages  # noqa: PLC0415  (start-up time)

    project = door.project_directory(project_dir)
    out = door.output_directory(out_dir)
    target = door.read_target_options(python_version, platform)
    requirements = read_project(project, target, lambda directory: metadata_of(directory, target, out))
    packages = local_packages(requirements)
    built = build_source(project, packages, target, out, include=include)
    names = ", ".join(f"`{directory.name}`" for directory in built.packages)
    what = f"{built.files} files" + (f"; installed: {names}" if names else "")
    console.table(
        ["file", ">size", "what is in it"], [[built.artefact.name, door.size(built.artefact.size), what]]
    )


if __name__ == "__main__":
    run_door(main, "builder.source")
