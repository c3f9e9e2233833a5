"""`python -m builder.deps PROJECT_DIR OUT_DIR`: everything that a project needs, as `deps-HASH.pex`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder import door
from builder.console import Step, console, run_door, verbose_option

if TYPE_CHECKING:
    from builder.assembly.deps_pex import Assembled
    from builder.project.metadata import MetadataBuilder
    from builder.project.requirements import Requirements
    from builder.resolution.lock import Lock
    from builder.resolution.target import Target
    from builder.storage import Artefact


@dataclass(frozen=True, slots=True)
class DepsBuild:
    """A deps PEX with the lock that it was made from, beside it.

    :param distributions: how many the PEX holds.
    :param dagster_version: of the `dagster` that runs the code; empty where dagster is a local package.
    :param seconds: by step.
    """

    artefact: Artefact
    lock: Path
    distributions: int
    dagster_version: str
    seconds: dict[str, float]


def read_project(project: Path, target: Target, build_metadata: MetadataBuilder) -> Requirements:
    """Read what a project asks for, showing what the user should know about it."""
    from builder.project.requirements import read_requirements  # noqa: PLC0415  (start-up time)

    requirements = read_requirements(project, target.markers, build_metadata)
    console.notices(requirements.notices)
    return requirements


def resolve_project(requirements: Requirements, target: Target, *, about: str = "") -> tuple[Lock, Step]:
    """Resolve what a project asks for, showing the step; `about` names it among others."""
    from builder.resolution.resolve import resolve  # noqa: PLC0415  (start-up time)

    with console.step(f"{about}resolve") as step:
        resolution = resolve(requirements, target)
        how = "resolved" if requirements.lock is None else f"{requirements.lock.name}:"
        ago = "" if resolution.age is None else f" ({resolution.age} s ago)"
        step.title = f"{about}{how} {len(resolution.lock.distributions)} distributions{ago}"
    return resolution.lock, step


def build_deps(lock: Lock, out_dir: Path, *, about: str = "") -> DepsBuild:
    """Fetch the wheels of a lock and assemble them, showing the steps; `about` names it among others."""
    from builder.assembly.deps_pex import LAYOUT_VERSION, assemble_deps_pex  # noqa: PLC0415  (start-up time)
    from builder.assembly.wheels import WheelFile  # noqa: PLC0415  (start-up time)
    from builder.resolution.sdists import fetch_wheels  # noqa: PLC0415  (start-up time)
    from builder.storage import atomic_write  # noqa: PLC0415  (start-up time)

    with console.step(f"{about}fetched {len(lock.distributions)} wheels") as fetching:
        files = fetch_wheels(lock)
    identity = lock.identity(LAYOUT_VERSION)
    with console.step(f"{about}assembled") as assembling:
        assembled: Assembled = assemble_deps_pex(
            [WheelFile(file.path, file.sha256) for file in files.values()],
            identity=identity,
            python_version=lock.target.python_version,
            out_dir=out_dir,
        )
        assembling.title = f"{about}assembled {assembled.artefact.name}"
    console.notices(assembled.notices)
    path = assembled.artefact.path.with_suffix(".pylock.toml")
    with atomic_write(path) as stream:
        stream.write(lock.text.encode())
    return DepsBuild(
        assembled.artefact,
        path,
        len(lock.distributions),
        lock.version_of("dagster") or "",
        {"fetch": fetching.seconds, "assemble": assembling.seconds},
    )


@click.command(short_help="Build the deps PEX of a project.")
@door.project_argument
@door.out_argument
@door.target_options
@verbose_option
def main(project_dir: Path, out_dir: Path, python_version: str | None, platform: Path | None) -> None:
    """Write deps-HASH.pex, with everything that the project in PROJECT_DIR needs and nothing of the project.

    Beside it, deps-HASH.pylock.toml says what is in it. HASH is the identity of this lock.

    \b
    Example:
      builder.pex -m builder.deps . out
    """  # noqa: D301  (click's mark for text that it must not wrap)
    from builder.resolution.backend import LocalPackage, local_metadata  # noqa: PLC0415  (start-up time)

    project = door.project_directory(project_dir)
    out = door.output_directory(out_dir)
    target = door.read_target_options(python_version, platform)
    requirements = read_project(
        project, target, lambda directory: local_metadata(LocalPackage(directory, target.python_version, out))
    )
    lock, _step = resolve_project(requirements, target)
    built = build_deps(lock, out)
    console.table(
        ["file", ">size", "what is in it"],
        [
            [
                built.artefact.name,
                door.size(built.artefact.size),
                f"{built.distributions} distributions for {target.description}",
            ],
            [
                built.lock.name,
                door.size(built.lock.stat().st_size),
                f"the lock, with dagster {built.dagster_version}",
            ],
        ],
    )


if __name__ == "__main__":
    run_door(main, "builder.deps")
