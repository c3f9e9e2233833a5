"""What `builder.deploy` does with Dagster Cloud: build, verify, upload, update, wait."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from builder.building.image_workspace import build_images
from builder.building.workspace import FindDeps
from builder.delivery.access import Access
from builder.delivery.announcement import Announcement, announced, state
from builder.delivery.connection import open_cloud
from builder.delivery.defs_state import refresh
from builder.delivery.early_failure import announce_early_failure
from builder.delivery.image_plan import image_steps
from builder.delivery.image_uploader import ImageUploader
from builder.delivery.job import Job, build_locations, part_of, show_built, show_errors, write_report
from builder.delivery.location_run import LocationRun
from builder.delivery.options import DeliveryOptions
from builder.delivery.pipeline import Pipeline
from builder.delivery.plan import plan, show_plans
from builder.delivery.registries import Connection, Registries, choose_formats, connect
from builder.delivery.request import Update, Upload
from builder.delivery.take_built import take_built
from builder.delivery.updater import Updater
from builder.delivery.uploader import Uploader
from builder.delivery.verifying import LocationVerifier, Verification
from builder.deployment.context import CiContext
from builder.deployment.destination import BranchDeployment, find_destination, parse_details
from builder.deployment.pull_request_comment import comment_of_run
from builder.deployment.summary import closed_body
from builder.errors import BuilderError, LoadError
from builder.publishing.comparison import ReadBack
from builder.system import storage
from builder.terminal.console import console
from builder.terminal.github_log import append_summary, in_actions
from builder.terminal.values import read_variables


def deliver(job: Job, delivery: DeliveryOptions, *, only_plan: bool) -> int:
    """Do what a job and its delivery options ask for; returns the exit code.

    Raises UsageError or ContextError if it is not certain where the code belongs.
    """
    upload = _upload(delivery) if delivery.upload_pex else None
    try:
        update = _update(job, delivery)
    except BuilderError as error:
        if in_actions():
            announce_early_failure(job.workspace.path, error, os.environ, deploys=not only_plan)
        raise
    if update:
        console.notices(update.choice.notices)
        if branch := update.closed:
            return _close(job.workspace.path, update.choice.context, branch, only_plan=only_plan)
    verification = _verification(delivery, update)
    if only_plan:
        return _plan(job, upload, update, as_json=delivery.as_json)
    return _deliver(job, delivery, upload, update, verification)


def _upload(delivery: DeliveryOptions) -> Upload:
    return Upload(
        check=ReadBack(delivery.check),
        timeout=delivery.upload_timeout,
        read_tag=delivery.deps_cache_tag_read or None,
        write_tag=delivery.deps_cache_tag_write or None,
        force_rebuild=delivery.force_rebuild_deps,
    )


def _update(job: Job, delivery: DeliveryOptions) -> Update | None:
    """What to update; None if that was not asked for."""
    if not delivery.update_code_location:
        return None
    given = delivery.code_location_details
    choice = find_destination(
        job.checkout,
        os.environ,
        deployment=delivery.deployment,
        details=None if given is None else parse_details(given),
    )
    return Update(
        choice=choice,
        wait=delivery.wait_timeout if delivery.wait else None,
        allow_empty=delivery.allow_empty,
        snapshot_base=delivery.snapshot_base_condition,
        if_changed=delivery.if_changed,
    )


def _verification(delivery: DeliveryOptions, update: Update | None) -> Verification:
    """How to load locations here. Raises UsageError for a variable that is not there."""
    given = read_variables(delivery.variables)
    environment = {**(update.variables if update else {}), **given}
    # What is given by hand may be a secret, and says that the code depends on it.
    return Verification(delivery.verify_timeout, environment, use_records=not given)


def _close(workspace: Path, context: CiContext, branch: BranchDeployment, *, only_plan: bool) -> int:
    """Set the status of a branch deployment whose pull request was closed or merged."""
    status = branch.status.lower()
    if only_plan:
        console.result(f"{branch.label} would be set to {status}")
        return 0
    with console.step("closed") as step, open_cloud() as cloud:
        cloud.create_or_update_branch_deployment(branch)
        step.title = f"{branch.label} is set to {status}"
    if in_actions():
        text = closed_body(branch.branch, status, context.run_url)
        comment, summary = comment_of_run(workspace, context, os.environ), os.environ.get("GITHUB_STEP_SUMMARY")
        notice = comment.update(text) if comment else None
        console.notices(filter(None, (notice, append_summary(Path(summary), text) if summary else None)))
    return 0


def _plan(job: Job, upload: Upload | None, update: Update | None, *, as_json: bool) -> int:
    """Show what a delivery would do."""
    runs = [LocationRun(location=location) for location in job.workspace.locations]
    with contextlib.ExitStack() as stack:
        registries = _connected(stack, job, runs, upload, update).ask()
        steps = image_steps(registries.job, registries.images)
        images = {run.name: steps for run in runs if run.format == "image"}
        jobs = [replace(registries.job, targets=(target,)) for target in registries.job.targets]
        plans = [plan(one, registries.pex, registries.updater, images, as_json=as_json) for one in jobs]
        return show_plans(plans, as_json=as_json)


def announced_build(runs: Sequence[LocationRun], job: Job) -> contextlib.AbstractContextManager[None]:
    """Report to GitHub Actions a build of which nothing is sent."""
    return announced(Announcement(os.environ), runs, job.build_json)


def _is_refreshed(run: LocationRun, delivery: DeliveryOptions) -> bool:
    """Whether the state of components is refreshed: if asked for, and in CI where they need it."""
    if run.build is None or not (run.error is None or run.needs_state):
        return False
    return delivery.refresh_defs_state or (run.needs_state and os.environ.get("CI") == "true")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delivery:
    """One run that delivers: what it has to do, and who does it.

    :param scratch: a directory for what the deployment is to keep, until the locations are updated.
    """

    options: DeliveryOptions
    verification: Verification
    runs: Sequence[LocationRun]
    verifier: LocationVerifier
    connection: Connection
    scratch: Path

    def run(self) -> ImageUploader | None:
        """Build, verify, upload and update each location; returns what has brought images into registries."""
        job = self.connection.job
        with Access(self.connection) as access:
            pipeline = Pipeline(
                self.runs,
                job.target.python_version,
                verifier=self.verifier if _is_verified(self.options) else None,
                refresh=self._refresh,
                send_ahead=lambda run: _send_ahead(run, access.registries),
                publish=lambda run: _publish(run, access.registries),
                uploader=self.connection.pex,
                updater=self.connection.updater,
            )
            with pipeline:
                if self.options.built:
                    # Another run has built and verified everything.
                    take_built(access.registries.job, self.runs)
                    pipeline.built(self.runs)
                else:
                    build_locations(
                        job,
                        self.runs,
                        _find_deps(self.connection),
                        lambda job, runs: _build_images(replace(job, images=access.registries.job.images), runs),
                        deps_ready=pipeline.deps_built,
                        ready=pipeline.built,
                        may_write=access.may_write_pex,
                    )
                pipeline.finish()
        if any(run.states for run in self.runs):
            write_report(job, self.runs)
        return access.registries.images

    def _refresh(self, run: LocationRun) -> bool:
        """Refresh the state of a location's components if need be; returns whether that was done."""
        if not _is_refreshed(run, self.options) or (item := self.verifier.item(run)) is None:
            return False
        updater = self.connection.updater
        variables = updater.variables(run.name) if updater else {}
        refresh(
            run,
            item,
            self.scratch / str(self.runs.index(run)),
            self.connection.job.out_dir,
            timeout=self.verification.timeout,
            environment={**variables, **self.verification.environment},
        )
        return True


def _send_ahead(run: LocationRun, registries: Registries) -> None:
    if run.format == "image" and registries.images:
        registries.images.send_ahead(run)
    elif run.format == "pex" and registries.pex:
        registries.pex.look(run)


def _publish(run: LocationRun, registries: Registries) -> None:
    if run.format == "pex" and registries.pex:
        registries.pex.publish(run)
    elif registries.images:
        registries.images.publish(run)


def _is_verified(delivery: DeliveryOptions) -> bool:
    return delivery.verify and not delivery.built


def _deliver(
    job: Job,
    delivery: DeliveryOptions,
    upload: Upload | None,
    update: Update | None,
    verification: Verification,
) -> int:
    """Build, verify, upload and update, and report the outcome whichever way it ends."""
    started = time.monotonic()
    runs = [LocationRun(location=location) for location in job.workspace.locations]
    with contextlib.ExitStack() as stack:
        announcement = _announcement(job, update)
        stack.enter_context(announced(announcement, runs, job.build_json))
        stack.callback(console.release_all)
        verifier = stack.enter_context(LocationVerifier(len(runs), verification, job.target.python_version))
        if upload and _is_verified(delivery):
            verifier.prepare(job.build_json)
        connection = _connected(stack, job, runs, upload, update, announcement)
        updater = connection.updater
        images = None
        if upload:
            verifier.uploader = connection.pex
            images = _Delivery(
                options=delivery,
                verification=verification,
                runs=runs,
                verifier=verifier,
                connection=connection,
                scratch=stack.enter_context(storage.scratch_directory()),
            ).run()
        else:
            build_locations(job, runs, build_images=_build_images)
        if connection.pex and updater:
            _see_loaded(job, runs, connection.pex, images, updater, started)
        for run in runs:
            run.seconds = run.seconds or time.monotonic() - started
        show_built(runs, report=job.report)
        if updater and updater.page and any(run.updated or run.unchanged for run in runs):
            console.result("")
            console.table(["location", "state", "where"], [[run.name, state(run), updater.page] for run in runs])
    return show_errors({run.name: run.error for run in runs if run.error})


def _find_deps(connection: Connection) -> FindDeps:
    """What looks for deps PEXes that need not be built."""
    uploader = connection.pex
    return lambda lock: uploader.find_deps(lock, connection.job.out_dir) if uploader else None


def _build_images(job: Job, runs: Sequence[LocationRun]) -> None:
    if not runs:
        return
    results = build_images(
        part_of(job, runs),
        job.targets,
        job.out_dir,
        settings=job.images,
        include=job.include,
        wanted=job.wanted,
    )
    for run in runs:
        result = results[run.name]
        if isinstance(result, BuilderError):
            run.error = result
        else:
            run.build, run.image = result


def _announcement(job: Job, update: Update | None) -> Announcement | None:
    """The reports to GitHub; None outside GitHub Actions."""
    if not in_actions():
        return None
    if update is None:
        return Announcement(os.environ)
    choice = update.choice
    comment = comment_of_run(job.workspace.path, choice.context, os.environ)
    return Announcement(os.environ, choice.context, choice.destination.git.commit_hash, comment)


def _connected(
    stack: contextlib.ExitStack,
    job: Job,
    runs: Sequence[LocationRun],
    upload: Upload | None,
    update: Update | None,
    announcement: Announcement | None = None,
) -> Connection:
    """What delivers; see `connect`."""
    if upload is None:
        choose_formats(job, runs, None)
        return Connection(job=job, runs=runs, stack=stack)
    alone = update is None and all(
        run.location.registry and job.format_of(run.location, takes_pex=True) == "image" for run in runs
    )
    cloud = None if alone else stack.enter_context(open_cloud())
    return connect(stack, job, runs, cloud, upload, update, announcement)


def _see_loaded(
    job: Job,
    runs: Sequence[LocationRun],
    uploader: Uploader,
    images: ImageUploader | None,
    updater: Updater,
    started: float,
) -> None:
    """Wait until the updated locations are loaded; a damaged upload is sent and loaded once more."""

    def settled(run: LocationRun) -> None:
        run.seconds = time.monotonic() - started

    def wait(runs: Sequence[LocationRun]) -> None:
        with console.phase("Load"):
            updater.wait(runs, settled)

    updated = [run for run in runs if run.updated]
    if not updated:
        return
    with updater.recording(updated):
        wait(updated)
        if not_loaded := [run for run in updated if isinstance(run.error, LoadError)]:
            # The cause may be a damaged upload instead of the code.
            damaged = uploader.send_damaged_again([run for run in not_loaded if run.format == "pex"])
            damaged += images.send_damaged_again([run for run in not_loaded if run.image]) if images else []
            for run in damaged:
                run.error, run.updated = None, False
            if damaged:
                with console.phase("Update"):
                    updater.update(damaged, job.target.python_version)
                wait(damaged)
    uploader.look_back([run for run in updated if run.updated])
