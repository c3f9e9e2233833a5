"""Pushing images to container registries: the deployment's, or the one that a location sets."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from builder.assembly.image_source import CODE, STATE
from builder.building.image import BuiltImage, image_name
from builder.delivery.location_run import LocationRun, run_or_mark_failed
from builder.deployment.cloud import ServerlessRegistry
from builder.errors import CloudError, PublishError
from builder.oci.credentials import stored_credentials
from builder.oci.layout import read_descriptor
from builder.oci.pushing import push_layers, push_layout, send_damaged_again
from builder.oci.reference import Reference, read_repository
from builder.oci.registry import Registry
from builder.project.location import Location
from builder.publishing.pex_registry import Published
from builder.resolution.transport import Credentials
from builder.terminal.console import console
from builder.terminal.formatting import size

_SHORT = 12


class ImageUploader:
    """Brings images into their registries; a context manager that closes the connections to them.

    :param serverless: the deployment's; None if no location needs it.
    :param timeout: seconds that each layer may take in all.
    """

    def __init__(self, serverless: ServerlessRegistry | None, timeout: float) -> None:
        self._serverless = serverless
        self._timeout = timeout
        self._holders: dict[tuple[str, str], str] = {}
        self._ahead: dict[str, Mapping[str, int]] = {}
        self._one = threading.Lock()
        self._opened: dict[str, Registry] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def check(self, runs: Sequence[LocationRun]) -> None:
        """Raise CloudError or UsageError, before anything is built, if an image could not be brought anywhere."""
        for run in runs:
            self._place(run.location, image_name(run.name), "")

    def present(self, location: Location, digests: Sequence[str]) -> frozenset[str]:
        """Which of these blobs the repository of a location has; raises PublishError."""
        reference, credentials = self._place(location, image_name(location.name), "")
        with Registry(
            reference.host, reference.repository, credentials, push=False, timeout=self._timeout
        ) as registry:
            return frozenset(digest for digest in digests if registry.has_blob(digest))

    def send_ahead(self, run: LocationRun) -> None:
        """Push the layers of an image but those of its code, which need not be verified. Raises PublishError."""
        if image := run.image:
            code = {layer.digest for layer in image.layers if layer.title in {CODE, STATE}}
            with (
                self._repository(run, image) as (reference, registry, sources),
                console.progress(f"pushing dependencies of {run.name}", None) as progress,
            ):
                self._ahead[run.name] = push_layers(
                    registry, image.layout, without=code, sources=sources, progress=progress.update
                )
                self._note(image, reference, without=code)

    def publish(self, run: LocationRun) -> None:
        """Push the image of a location; a failure is its error."""
        if image := run.image:
            run_or_mark_failed([run], lambda: self._publish(run, image), None)

    def _publish(self, run: LocationRun, image: BuiltImage) -> None:
        started = time.monotonic()
        with (
            self._repository(run, image) as (reference, registry, sources),
            console.progress(f"pushing the image of {run.name}", image.size) as progress,
        ):
            pushed = push_layout(
                registry, image.layout, [reference.version], sources=sources, progress=progress.update
            )
            self._note(image, reference)
        seconds = time.monotonic() - started
        all_sent = {**self._ahead.get(run.name, {}), **pushed.sent}
        console.done(
            f"pushed {reference.name}@{pushed.digest[: 7 + _SHORT]}: {size(sum(all_sent.values()))} sent", seconds
        )
        for layer in image.layers:
            was_sent = layer.digest in all_sent
            run.published[layer.digest] = Published(layer.digest, layer.size, was_sent, seconds)
        run.reference = f"{reference.name}@{pushed.digest}"

    def send_damaged_again(self, runs: Sequence[LocationRun]) -> list[LocationRun]:
        """Read images back, send again what the registry gives otherwise, and say so; returns their locations."""
        damaged = []
        for run in runs:
            # If it cannot be compared, the load error is more useful.
            with contextlib.suppress(PublishError):
                if run.image and self._send_damaged_again(run, run.image):
                    damaged.append(run)
        return damaged

    def _send_damaged_again(self, run: LocationRun, image: BuiltImage) -> bool:
        with (
            self._repository(run, image) as (_reference, registry, _sources),
            console.progress("comparing with the registry", None),
        ):
            sent = send_damaged_again(registry, image.layout)
        for digest in sent:
            console.note(f"the registry's blob `{digest}` was damaged; it was sent again")
        return bool(sent)

    @contextlib.contextmanager
    def _repository(
        self, run: LocationRun, image: BuiltImage
    ) -> Iterator[tuple[Reference, Registry, dict[str, str]]]:
        """Where an image goes, the repository there, and which others have blobs for it; for one at a time.

        What one image has pushed, the next takes over from its repository. Each is opened once, with the right to
        take over from those that had something then.
        """
        mark = image.digest.removeprefix("sha256:")[:_SHORT]
        reference, credentials = self._place(run.location, image.name, mark)
        with self._one:
            holders = {blob: held for (host, blob), held in self._holders.items() if host == reference.host}
            if reference.name not in self._opened:
                others, where = sorted(set(holders.values())), (reference.host, reference.repository)
                opened = Registry(*where, credentials, sources=others, timeout=self._timeout)
                self._opened[reference.name] = self._stack.enter_context(opened)
            registry = self._opened[reference.name]
            yield reference, registry, {blob: held for blob, held in holders.items() if held in registry.sources}

    def _note(self, image: BuiltImage, reference: Reference, without: Collection[str] = ()) -> None:
        """Keep in mind which repository has the blobs of an image, without those that were not pushed."""
        for manifest in image.layout.manifests():
            for entry in image.layout.document(manifest)["layers"]:
                blob = read_descriptor(entry).digest
                if blob not in without:
                    self._holders.setdefault((reference.host, blob), reference.repository)

    def _place(self, location: Location, name: str, mark: str) -> tuple[Reference, Credentials | None]:
        """Where the image of a location goes, and the login there.

        :param name: of the image.
        :param mark: the beginning of its digest.

        The tag only keeps the registry from deleting the image; Dagster Cloud gets the digest.
        """
        if location.registry is not None:
            host, repository = read_repository(location.registry)
            return Reference(host, repository, f"{name}-{mark}"), stored_credentials(host, repository)
        known = self._serverless
        if known is None or known.url is None or known.credentials is None:
            raise CloudError(
                "the deployment has no container registry yet: Dagster Cloud names none",
                remedy="Try again in some minutes if the deployment is new; for agents of your own, name a"
                " registry with `registry` under `build` in dagster_cloud.yaml",
            )
        host, repository = read_repository(known.url)
        # Harbor has a repository for each location, the older platform one for all.
        path = f"{repository}/{name}" if known.is_harbor else repository
        return Reference(host, path, f"{name}-{mark}"), known.credentials
