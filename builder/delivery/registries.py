"""Determining the registries for a run's builds from Dagster Cloud, before anything is written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from builder.delivery.announcement import Announcement
from builder.delivery.image_uploader import ImageUploader
from builder.delivery.job import Job
from builder.delivery.location_run import LocationRun
from builder.delivery.request import Update, Upload
from builder.delivery.updater import Updater
from builder.delivery.uploader import Uploader
from builder.deployment.cloud import DagsterCloudClient, ServerlessRegistry
from builder.errors import CloudError, UsageError
from builder.project.location import Location
from builder.terminal.console import console


@dataclass(frozen=True, slots=True, kw_only=True)
class Registries:
    """The destinations of the builds: registries, and the deployment to update.

    :param job: with what the deployment says of base images.
    :param pex: None if no PEX file is uploaded.
    :param images: None if no image is uploaded.
    :param updater: None if nothing is updated.
    :param only_images: whether images take the place of the PEX files that `connect` chose.
    """

    job: Job
    pex: Uploader | None = None
    images: ImageUploader | None = None
    updater: Updater | None = None
    only_images: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The parts of a delivery before Dagster Cloud has answered.

    :param stack: closes what is opened.
    :param cloud: None where nothing is uploaded, or where images go to registries of the user's own and nothing is
        updated.
    :param upload: None if nothing is uploaded.
    """

    job: Job
    runs: Sequence[LocationRun]
    stack: contextlib.ExitStack
    upload: Upload | None = None
    cloud: DagsterCloudClient | None = None
    pex: Uploader | None = None
    updater: Updater | None = None

    def ask(self) -> Registries:
        """Query what the deployment accepts, and decide what is built for each run.

        Raises CloudError, ContextError or UsageError if nothing can be delivered.
        """
        registry = None
        if self.cloud:
            title = f"access to {self.cloud.organization.host}"
            with console.step(title), console.progress(title, None):
                names = self.cloud.check_access()
                deployment = self.updater.prepare(names) if self.updater else next(iter(names), None)
                serverless = [run for run in self.runs if run.location.registry is None]
                registry = self.cloud.registry(deployment) if serverless else None
        before = [run.format for run in self.runs]
        choose_formats(self.job, self.runs, registry)
        return Registries(
            job=_with_login(self.job, registry),
            pex=self.pex,
            images=self._image_uploader(registry, self.upload) if self.upload else None,
            updater=self.updater,
            only_images=before != [run.format for run in self.runs],
        )

    def _image_uploader(self, registry: ServerlessRegistry | None, upload: Upload) -> ImageUploader:
        uploader = self.stack.enter_context(ImageUploader(registry, upload.timeout))
        uploader.check([run for run in self.runs if run.format == "image"])
        return uploader


def connect(
    stack: contextlib.ExitStack,
    job: Job,
    runs: Sequence[LocationRun],
    cloud: DagsterCloudClient | None,
    upload: Upload,
    update: Update | None,
    announcement: Announcement | None = None,
) -> Connection:
    """Prepare what delivers, and choose what is built for each run as far as that is known without an answer.

    :param cloud: see `Connection`.

    Raises CloudError if a base image has to be asked for and is not known.
    """
    for run in runs:
        run.format = job.format_of(run.location, takes_pex=True)
    if cloud is None:
        return Connection(job=job, runs=runs, stack=stack, upload=upload)
    job = _with_base_image(job, cloud)
    updater = Updater(cloud, update, job.images.base) if update else None
    uploader = stack.enter_context(Uploader(cloud, upload))
    if updater:
        console.set_interrupt_note("no code location was updated")
    if announcement:
        announcement.updater = updater
    return Connection(job=job, runs=runs, stack=stack, upload=upload, cloud=cloud, pex=uploader, updater=updater)


def choose_formats(job: Job, runs: Sequence[LocationRun], registry: ServerlessRegistry | None) -> None:
    """Decide for each run what is built.

    :param registry: of the deployment; None if that has nothing to do with it.

    Raises CloudError if the deployment does not take what was asked for, UsageError for platforms that cannot be.
    """
    only_images = registry is not None and registry.is_harbor
    for run in runs:
        _check_platforms(job, run.location, registry)
        run.format = job.format_of(run.location, takes_pex=not only_images)
        if run.format == "pex" and only_images and run.location.registry is None:
            raise CloudError(
                "the agents of the deployment run images only, not PEX files",
                remedy="Leave out --format pex, and images are built",
            )
    if registry and registry.is_harbor and not registry.custom_base and job.images.base:
        raise CloudError(
            f"the deployment takes no images upon base images of your own, such as `{job.images.base}`",
            remedy="Leave out --base-image, and unset SERVERLESS_BASE_IMAGE; or ask Dagster's support to allow it",
        )


def _check_platforms(job: Job, location: Location, registry: ServerlessRegistry | None) -> None:
    """Raise UsageError for platforms that a location cannot be built for."""
    several = len(job.targets) > 1
    if several and job.format_of(location, takes_pex=registry is None or not registry.is_harbor) == "pex":
        raise UsageError(
            f"location `{location.name}` becomes PEX files, which are for one platform",
            remedy="Give one --platform, or --format image, or `registry` under `build` in dagster_cloud.yaml",
        )
    machines = {target.markers["platform_machine"] for target in job.targets}
    if registry and location.registry is None and machines != {"x86_64"}:
        raise UsageError(
            f"location `{location.name}` runs on Dagster Cloud's own machines, which are linux/amd64",
            remedy="Leave out --platform; for agents of your own, name a registry with `registry` under `build`",
        )


def _with_base_image(job: Job, cloud: DagsterCloudClient) -> Job:
    """The job, with the base image of the organization's registry whose tag the environment names."""
    tag = os.environ.get("SERVERLESS_BASE_IMAGE_TAG", "").strip()
    if job.images.base or not tag:
        return job
    return replace(job, images=replace(job.images, base=cloud.base_image(tag)))


def _with_login(job: Job, registry: ServerlessRegistry | None) -> Job:
    """The job, with the login to the deployment's registry, where a base image may lie."""
    if registry is None or registry.url is None or registry.credentials is None:
        return job
    host = registry.url.partition("/")[0]
    return replace(job, images=replace(job.images, logins={host: registry.credentials}))
