"""What `builder.deploy` does: building the locations of a workspace and, if asked, delivering them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from builder.building.image_settings import ImageSettings
from builder.building.target import projects_target
from builder.delivery.built_report import read_built
from builder.delivery.job import Asked, Job, build_locations, show_built, show_errors
from builder.delivery.location_run import LocationRun
from builder.delivery.options import DeliveryOptions, refuse_useless
from builder.delivery.plan import plan, show_plans
from builder.errors import BuilderError
from builder.project.location import Workspace
from builder.project.requirements import RequestedExtras
from builder.project.workspace import read_workspace
from builder.resolution.target import chosen_target, named_platforms, platform_target
from builder.system import process
from builder.terminal import values
from builder.terminal.console import console
from builder.terminal.github_log import in_actions


def deploy(**given: Any) -> int:  # noqa: ANN401  (what click has read, each as `_deploy` and DeliveryOptions have it)
    """Build the locations of a workspace, and deliver them if the options say so; returns the exit code."""
    context = click.get_current_context()
    refuse_useless(context)
    workspace, out_dir = _arguments(context, given.pop("workspace"), given.pop("out_dir"))
    names = [field.name for field in fields(DeliveryOptions)]
    delivery = DeliveryOptions(**{name: given.pop(name) for name in names})
    return _deploy(delivery, workspace=workspace, out_dir=out_dir, **given)


def _arguments(context: click.Context, first: Path | None, second: Path | None) -> tuple[Path | None, Path]:
    """WORKSPACE, if there is one, and OUT_DIR; raises MissingParameter for one that is needed."""
    if second is None and context.params["built"]:
        first, second = None, first
    if first is None and not context.params["built"]:
        raise click.MissingParameter(ctx=context, param_hint="'WORKSPACE'", param_type="argument")
    if second is None:
        raise click.MissingParameter(ctx=context, param_hint="'OUT_DIR'", param_type="argument")
    return first, second


def build_images(*, upload: bool, verify: bool, upload_timeout: float, **given: Any) -> int:  # noqa: ANN401  (the same)
    """Build the images of the locations of a workspace, and push them if asked; returns the exit code."""
    delivery = DeliveryOptions.only_upload(upload=upload, timeout=upload_timeout, verify=verify)
    return _deploy(delivery, asked="image", **given)


def _deploy(
    delivery: DeliveryOptions,
    *,
    workspace: Path | None,
    out_dir: Path,
    names: Sequence[str],
    include: Sequence[str],
    extras: tuple[str, ...],
    groups: tuple[str, ...],
    python_version: str | None,
    platforms: Sequence[str],
    base_image: str | None,
    asked: Asked,
    only_plan: bool,
    report: bool,
) -> int:
    """Build the locations of a workspace, and deliver them.

    :param workspace: None for that of what `out_dir` holds.
    :param names: of the locations; all that are built by default if there are none.
    :param base_image: what images are built upon; None for the default.
    :param asked: what the locations are to become.
    :param only_plan: show what would be done, and do nothing.
    """
    out = values.output_directory(out_dir)
    process.allow(values.read_variables(delivery.variables))
    names_of_platforms, file = named_platforms(platforms)
    target = chosen_target(python_version, file)
    report_of_build = out / "build.json"
    with _failure_announced(workspace or report_of_build, deploys=delivery.update_code_location and not only_plan):
        if workspace is None:
            built = read_built(report_of_build)
            chosen = built.workspace().select(names, images=asked != "pex")
            target = target or chosen_target(built.python_version, None)
        else:
            chosen = _choose(workspace, names, asked)
        target = target or projects_target(location.tree for location in chosen.locations)
    targets = [platform_target(name, target.python_version) for name in names_of_platforms] or [target]
    job = Job(
        workspace=chosen,
        targets=tuple(targets),
        out_dir=out,
        include=include,
        wanted=RequestedExtras(extras, groups),
        report=report,
        asked=asked,
        images=ImageSettings(base=base_image or ""),
    )
    images = any(job.format_of(location, takes_pex=True) == "image" for location in chosen.locations)
    if delivery.upload_pex or images or len(targets) > 1:
        code: int = _deliver().deliver(job, delivery, only_plan=only_plan)
        return code
    if only_plan:
        return show_plans([plan(job, as_json=delivery.as_json)], as_json=delivery.as_json)
    return _build(job)


def _deliver() -> ModuleType:
    """The module that talks to Dagster Cloud and GitHub, which a build alone does not need."""
    # With httpx, 150 ms to import.
    from builder.delivery import deliver  # noqa: PLC0415

    return deliver


@contextlib.contextmanager
def _failure_announced(workspace: Path, *, deploys: bool) -> Iterator[None]:
    """Report to GitHub Actions an error that comes before the locations are known.

    :param deploys: whether the pull request's comment reports it too.
    """
    try:
        yield
    except BuilderError as error:
        if in_actions():
            _deliver().announce_early_failure(workspace, error, os.environ, deploys=deploys)
        raise


def _build(job: Job) -> int:
    started = time.monotonic()
    runs = [LocationRun(location=location) for location in job.workspace.locations]
    with _deliver().announced_build(runs, job) if in_actions() else contextlib.nullcontext():
        build_locations(job, runs)
        for run in runs:
            run.seconds = time.monotonic() - started
        show_built(runs, report=job.report)
    return show_errors({run.name: run.error for run in runs if run.error})


def _choose(path: Path, names: Sequence[str], asked: Asked) -> Workspace:
    """The workspace with the locations to build; shows its notices and what is skipped."""
    declared = read_workspace(path)
    workspace = declared.select(names, images=asked != "pex")
    console.notices([*workspace.notices, *(notice for chosen in workspace.locations for notice in chosen.notices)])
    if not names:
        for location in declared.locations:
            if location not in workspace.locations:
                console.note(
                    f"skipped location `{location.name}`: it runs from an image in `{location.registry}`; build"
                    f" that with --format auto, or its PEX files with --location '{location.name}'"
                )
    return workspace
