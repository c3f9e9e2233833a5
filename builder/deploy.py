"""`python -m builder.deploy WORKSPACE OUT_DIR`: the locations of a workspace, built and, if asked, deployed."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.building.build_json import build_report
from builder.building.contents_table import show_contents
from builder.building.workspace import ProjectBuild, build_workspace
from builder.delivery.options import DeliveryOptions, delivery_options
from builder.delivery.run import LocationRun, Update, Upload
from builder.delivery.updater import Updater
from builder.delivery.uploader import Uploader
from builder.delivery.verifying import Verification, verify
from builder.errors import BuilderError, Interrupted
from builder.terminal import options
from builder.terminal.command_line import OUTPUT, BuilderCommand, option
from builder.terminal.console import console
from builder.terminal.formatting import size
from builder.terminal.running import defect, farewell, run_command, verbosity_options

if TYPE_CHECKING:
    from builder.delivery.announcement import Announcement
    from builder.deployment.cloud import Cloud
    from builder.deployment.destination import BranchDeployment
    from builder.project.location import Workspace
    from builder.project.requirements import Wanted
    from builder.resolution.target import Target


@dataclass(frozen=True, slots=True)
class _Job:
    """What one run of this command has to do."""

    workspace: Workspace
    target: Target
    out_dir: Path
    include: Sequence[str]
    wanted: Wanted
    verification: Verification | None
    upload: Upload | None
    update: Update | None
    report: bool

    @property
    def build_json(self) -> Path:
        """Where the report goes."""
        return self.out_dir / "build.json"


def _build(job: _Job, runs: Sequence[LocationRun], uploader: Uploader | None) -> None:
    """Build what all locations need, and report it."""
    from builder.system.storage import atomic_write  # noqa: PLC0415  (start-up time)

    with console.phase("Build"):
        results = build_workspace(
            job.workspace,
            job.target,
            job.out_dir,
            include=job.include,
            wanted=job.wanted,
            find_deps=lambda lock: uploader.find_deps(lock, job.out_dir) if uploader else None,
        )
    for run in runs:
        result = results[run.location.tree]
        if isinstance(result, ProjectBuild):
            run.build = result
        else:
            run.error = result
    report = build_report(job.workspace, results, job.target)
    with atomic_write(job.build_json) as stream:
        stream.write(json.dumps(report, indent=2, ensure_ascii=False).encode() + b"\n")


def _update(job: _Job, runs: Sequence[LocationRun], uploader: Uploader, updater: Updater, started: float) -> None:
    """Update the locations whose files are all there, and wait until they are loaded."""
    uploaded = [run for run in runs if run.error is None]
    if not uploaded:
        return

    def settled(run: LocationRun) -> None:
        run.seconds = time.monotonic() - started

    with console.phase("Update"):
        updater.update(uploaded, job.target.python_version)
    with console.phase("Load"):
        updater.wait(uploaded, settled)
    uploader.look_back([run for run in uploaded if run.updated])


def _show(runs: Sequence[LocationRun], page: str | None, *, report: bool) -> None:
    rows = []
    for run in runs:
        if run.build:
            deps, source = run.build.deps, run.build.source
            contents = f"{len(deps.versions)} distributions, dagster {deps.dagster_version}"
            rows.append([run.name, deps.name, size(deps.size), contents])
            packages = ", ".join(directory.name for directory in source.packages)
            contents = f"{source.files} files" + (f"; installed: {packages}" if packages else "")
            rows.append(["", source.artefact.name, size(source.artefact.size), contents])
    if rows:
        console.note("")
        console.table(["location", "file", ">size", "what is in it"], rows)
        built = [run.build for run in runs if run.build]
        show_contents([each.deps for each in built], [each.source for each in built], full=report)
    if page and any(run.updated for run in runs):
        from builder.delivery.announcement import state  # noqa: PLC0415  (start-up time)

        console.result("")
        console.table(["location", "state", "where"], [[run.name, state(run), page] for run in runs])


def _tell(failed: Mapping[str, BuilderError]) -> int:
    """Tell the errors of locations, one that several share only once; returns the exit code."""
    errors: dict[int, tuple[BuilderError, list[str]]] = {}
    for name, each in failed.items():
        errors.setdefault(id(each), (each, []))[1].append(f"`{name}`")
    for error, names in errors.values():
        console.note("")
        console.error(error, about=f"location{'s' if len(names) > 1 else ''} {', '.join(names)}")
    return 1 if errors else 0


def _run(job: _Job, announcement: Announcement | None) -> int:
    """Do the job, and see to it that everybody who looks learns how it ended."""
    started = time.monotonic()
    runs = [LocationRun(location) for location in job.workspace.locations]
    with contextlib.ExitStack() as stack:
        if announcement:
            stack.enter_context(_announced(job, announcement, runs))
        uploader, updater = _connected(job, stack, announcement)
        _build(job, runs, uploader)
        if uploader:
            if job.verification:
                with console.phase("Verify"):
                    built = [run for run in runs if run.build]
                    verify(built, job.verification, job.target.python_version, uploader)
            with console.phase("Upload"):
                uploader.publish([run for run in runs if run.error is None])
            if updater:
                _update(job, runs, uploader, updater, started)
        for run in runs:
            run.seconds = run.seconds or time.monotonic() - started
        _show(runs, updater.page if updater else None, report=job.report)
    return _tell({run.name: run.error for run in runs if run.error})


def _plan(job: _Job) -> int:
    """Show what `_run` would do."""
    from builder.delivery.plan import plan  # noqa: PLC0415  (start-up time)

    with contextlib.ExitStack() as stack:
        uploader, updater = _connected(job, stack)
        errors = plan(
            job.workspace,
            job.target,
            job.out_dir,
            include=job.include,
            wanted=job.wanted,
            uploader=uploader,
            updater=updater,
        )
    return _tell(errors)


def _connected(
    job: _Job, stack: contextlib.ExitStack, announcement: Announcement | None = None
) -> tuple[Uploader | None, Updater | None]:
    """What delivers, if that is asked for. Raises, before anything is built, what would make all the work vain."""
    if not job.upload:
        return None, None
    cloud = _cloud()
    updater = Updater(cloud, job.update) if job.update else None
    uploader = stack.enter_context(Uploader(cloud, job.upload))
    if updater:
        console.leaving("no code location was updated")
    if announcement:
        announcement.updater = updater
    title = f"access to {cloud.connection.host}"
    with console.step(title), console.progress(title, None):
        names = cloud.check_access()
        if updater:
            updater.prepare(names)
    return uploader, updater


@contextlib.contextmanager
def _announced(job: _Job, announcement: Announcement, runs: Sequence[LocationRun]) -> Iterator[None]:
    def end(*, stopped: bool) -> None:
        announcement.end(runs, job.build_json, stopped=stopped)

    def fail(error: BuilderError) -> None:
        for run in runs:
            if not run.loaded:
                run.error = run.error or error

    with farewell(lambda: end(stopped=True)):
        try:
            announcement.begin(runs)
            yield
        except Interrupted:
            end(stopped=True)
            raise
        except BuilderError as error:
            fail(error)
            raise
        except Exception as error:
            fail(defect(error))
            raise
        finally:
            end(stopped=False)


def _close(branch: BranchDeployment, *, only_planned: bool) -> int:
    """Tell Dagster Cloud that a pull request was closed or merged."""
    if only_planned:
        console.result(
            f"the branch deployment of `{branch.branch}` would be told that it is {branch.status.lower()}"
        )
        return 0
    with console.step("closed") as step:
        name = _cloud().create_or_update_branch_deployment(branch)
        step.title = f"the branch deployment `{name}` knows that its pull request is {branch.status.lower()}"
    return 0


def _cloud() -> Cloud:
    from builder.deployment.cloud import Cloud  # noqa: PLC0415  (start-up time)
    from builder.deployment.connection import read_connection  # noqa: PLC0415  (start-up time)

    return Cloud(read_connection(os.environ), lambda notice: console.notices([notice]))


def _announcement(workspace: Path, update: Update | None) -> Announcement | None:
    """What GitHub Actions is to show of the run, if it runs there."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return None
    from builder.delivery.announcement import Announcement  # noqa: PLC0415  (start-up time)

    return Announcement(workspace, update.choice if update else None, os.environ)


def _choose(path: Path, names: Sequence[str]) -> Workspace:
    """The workspace with the locations to build, saying what the user should know of it."""
    from builder.project.workspace import read_workspace  # noqa: PLC0415  (start-up time)

    declared = read_workspace(path)
    workspace = declared.select(names)
    console.notices([*workspace.notices, *(notice for chosen in workspace.locations for notice in chosen.notices)])
    if not names:
        for location in declared.locations:
            if location not in workspace.locations:
                console.note(
                    f"skipped location `{location.name}`: it runs from a Docker image in `{location.registry}`;"
                    f" build it with --location '{location.name}'"
                )
    return workspace


@click.command(
    cls=BuilderCommand,
    short_help="Build the locations of a workspace, and deploy them.",
    examples=(
        "builder.deploy dagster_cloud.yaml out",
        "builder.deploy . out --location etl --python-version 3.12",
        "builder.deploy . out --upload-pex --update-code-location",
        "builder.deploy . out --upload-pex --update-code-location --plan",
    ),
)
@click.argument("workspace", type=click.Path(path_type=Path))
@options.out_argument
@options.location_option(options.WHAT_TO_BUILD, "Only this location.")
@options.include_option
@options.wanted_options
@options.target_options
@delivery_options
@option(OUTPUT, "--plan", is_flag=True, help="Say what would be done, and do nothing of it.")
@options.report_option
@verbosity_options
def main(
    workspace: Path,
    out_dir: Path,
    delivery: DeliveryOptions,
    names: tuple[str, ...],
    include: tuple[str, ...],
    extras: tuple[str, ...],
    groups: tuple[str, ...],
    python_version: str | None,
    platform: Path | None,
    *,
    plan: bool,
    report: bool,
) -> int:
    """Build the PEX files of every location in WORKSPACE into OUT_DIR, and deploy them if asked.

    WORKSPACE is a dagster_cloud.yaml, or a project or workspace of `dg`, or its directory. A location with a
    `registry` runs from a Docker image, and is built only if --location names it. OUT_DIR/build.json says what
    was built. Dagster Cloud is found by DAGSTER_CLOUD_URL (or DAGSTER_CLOUD_ORGANIZATION) and
    DAGSTER_CLOUD_API_TOKEN.
    """
    from builder.project.requirements import Wanted  # noqa: PLC0415  (start-up time)

    out = options.output_directory(out_dir)
    target = options.read_target_options(python_version, platform)
    upload = delivery.upload()
    chosen = _choose(workspace, names)
    update = delivery.update(chosen.path.parent)
    if update:
        console.notices(update.choice.notices)
        if branch := update.closed:
            return _close(branch, only_planned=plan)
    wanted, verification = Wanted(extras, groups), delivery.verification(update)
    job = _Job(chosen, target, out, include, wanted, verification, upload, update, report)
    if plan:
        return _plan(job)
    return _run(job, _announcement(chosen.path, update))


if __name__ == "__main__":
    run_command(main, "builder.deploy")
