"""The client for a repository of a container registry (distribution-spec 1.1).

The most similar library, python-dxf, sends a blob in one request, which starts over if it fails, supports neither
deadlines nor Retry-After, and depends on a second HTTP client. So this module makes the requests itself with the
builder's HTTP client, which has the retries, proxies and certificates.
"""

from __future__ import annotations

import contextlib
import hashlib
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar

from builder.errors import PublishError
from builder.oci.blob_upload import BlobUpload, Content, Progress
from builder.oci.connection import Connection, codes, message
from builder.oci.layout import DOCKER, DOCKER_INDEX, INDEX, MANIFEST, Descriptor, digest_of
from builder.resolution.transport import Credentials
from builder.system import http, storage

if TYPE_CHECKING:
    import httpx

TIMEOUT: Final = 600.0
_PIECE: Final = 1 << 18
_SENDINGS: Final = 2

_OK: Final = 200
_CREATED: Final = 201
_ACCEPTED: Final = 202
_BAD_REQUEST: Final = 400
_REFUSED: Final = frozenset({401, 403})
_NOT_FOUND: Final = 404
_NOT_ALLOWED: Final = 405
_OUT_OF_RANGE: Final = 416

_ACCEPT: Final = f"{INDEX}, {MANIFEST}, {DOCKER_INDEX}, {DOCKER.manifest}"

_R = TypeVar("_R")


class BlobUnknown(PublishError):
    """The registry lacks a blob that it claimed to have."""


class Registry:
    """One repository of a registry; a context manager that closes its connections. Threads may share it.

    :param host: with its port, if it has one. Loopback hosts are contacted without TLS, as by Docker.
    :param repository: such as `acme/dagster`.
    :param credentials: None for anonymous access.
    :param sources: other repositories of the same registry from which blobs may be mounted; an attribute, too.
    :param push: whether to request permission to push.
    :param timeout: time limit in seconds for each blob and each other request, including retries.

    Methods raise PublishError if the registry cannot be reached or refuses.
    """

    def __init__(
        self,
        host: str,
        repository: str,
        credentials: Credentials | None,
        *,
        sources: Sequence[str] = (),
        push: bool = True,
        timeout: float = TIMEOUT,
    ) -> None:
        scopes = [f"repository:{repository}:{'pull,push' if push else 'pull'}"]
        scopes += [f"repository:{source}:pull" for source in sources if source != repository]
        self.name = f"{host}/{repository}"
        self.sources = frozenset(sources)
        self._repository = repository
        self._push = push
        self._timeout = timeout
        self._connection = Connection(host, repository, credentials, scopes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def has_blob(self, digest: str) -> bool:
        """Whether the repository has a blob."""
        return self._ask("HEAD", f"/blobs/{digest}", expected=(_OK, _NOT_FOUND)).status_code == _OK

    def has_whole_blob(self, blob: Descriptor) -> bool:
        """Whether the repository gives the very bytes of a blob; all of them are read."""
        deadline = http.Deadline(self._timeout)

        def work() -> bool:
            return self._take(blob, deadline, lambda _: None) == blob.digest

        what = f"the blob `{blob.digest}` could not be read back from `{self.name}`"
        return self._reporting(lambda: http.retrying(work, deadline=deadline), what)

    def mount_blob(self, digest: str, source: str) -> bool:
        """Mount a blob from another repository of the registry; returns whether that succeeded."""
        query = urllib.parse.urlencode({"mount": digest, "from": source})
        answer = self._ask("POST", f"/blobs/uploads/?{query}", expected=(_CREATED, _ACCEPTED))
        if answer.status_code == _CREATED:
            return True
        # The registry started an upload instead: cancel it, which not every registry supports.
        with contextlib.suppress(http.HttpError):
            self._connection.send("DELETE", self._connection.place(answer), expected=(204,))
        return False

    def upload_blob(self, digest: str, content: Content, progress: Progress = lambda _sent: None) -> None:
        """Upload a blob, in chunks if it is large; on failure, received chunks are not sent again."""
        deadline = http.Deadline(self._timeout)

        def work() -> None:
            for sending in range(1, _SENDINGS + 1):
                try:
                    BlobUpload(self._connection, digest, content, progress, deadline).send()
                except http.HttpError as error:
                    # The registry received other bytes than were sent, or lost the upload.
                    lost = error.status in {_BAD_REQUEST, _NOT_FOUND, _OUT_OF_RANGE}
                    if not lost or sending == _SENDINGS:
                        raise
                else:
                    return

        self._reporting(work, f"the blob `{digest}` could not be pushed to `{self.name}`")

    def push_manifest(self, reference: str, content: bytes, media_type: str) -> Mapping[str, str]:
        """Push a manifest under a digest or a tag; returns the response's headers.

        Raises BlobUnknown if the registry lacks a blob that the manifest refers to.
        """
        headers = {"Content-Type": media_type}
        expected = (_CREATED, _BAD_REQUEST, _NOT_FOUND)
        answer = self._ask("PUT", f"/manifests/{reference}", headers, content, expected=expected)
        if answer.status_code == _CREATED:
            return answer.headers
        if "BLOB_UNKNOWN" in codes(answer):
            raise BlobUnknown(
                f"`{self.name}` lacks blobs that it reported as present",
                detail=message(answer),
                remedy="Run it again; if it stays so, ask those who run the registry",
            )
        raise PublishError(
            f"`{self.name}` refuses the manifest of the image",
            detail=message(answer),
            remedy="Ask the operators of the registry which images it accepts",
        )

    def manifest(self, reference: str) -> bytes | None:
        """Get a manifest or an index; None if there is none."""
        answer = self._ask("GET", f"/manifests/{reference}", {"Accept": _ACCEPT}, expected=(_OK, _NOT_FOUND))
        return None if answer.status_code == _NOT_FOUND else answer.content

    def verify(self, reference: str, digest: str) -> None:
        """Check that a digest or a tag gives the bytes of `digest`; raises PublishError if not."""
        content = self.manifest(reference)
        if content is None or digest_of(content) != digest:
            got = "nothing" if content is None else f"`{digest_of(content)}`"
            raise PublishError(
                f"`{self.name}` gives {got} for `{reference}`, which was pushed as `{digest}`",
                remedy="Push again; perhaps somebody else pushed at the same moment",
            )

    def pull_blob(self, blob: Descriptor, path: Path, progress: Progress = lambda _taken: None) -> None:
        """Download a blob to a file, which appears only when complete."""
        deadline = http.Deadline(self._timeout)

        def work() -> None:
            with storage.atomic_write(path) as stream:

                def keep(chunk: bytes) -> None:
                    stream.write(chunk)
                    progress(stream.tell())

                if self._take(blob, deadline, keep) != blob.digest:
                    text = f"the registry gave other bytes than those of `{blob.digest}`"
                    raise http.HttpError(text, transient=True)

        what = f"the blob `{blob.digest}` could not be fetched from `{self.name}`"
        self._reporting(lambda: http.retrying(work, deadline=deadline), what)

    def _take(self, blob: Descriptor, deadline: http.Deadline, keep: Callable[[bytes], None]) -> str:
        """Download a blob in pieces; returns the digest of what arrived."""
        digest = hashlib.sha256()
        with self._connection.stream(f"/blobs/{blob.digest}") as answer:
            for chunk in answer.iter_raw(_PIECE):
                deadline.check()
                digest.update(chunk)
                keep(chunk)
        return f"sha256:{digest.hexdigest()}"

    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        *,
        expected: tuple[int, ...],
    ) -> httpx.Response:
        deadline = http.Deadline(self._timeout)

        def work() -> httpx.Response:
            return http.retrying(
                lambda: self._connection.send(method, path, headers, content, expected=expected), deadline=deadline
            )

        return self._reporting(
            work, f"nothing could be {'pushed to' if self._push else 'pulled from'} `{self.name}`"
        )

    def _reporting(self, work: Callable[[], _R], what: str) -> _R:
        """Run an operation, and raise its failures as PublishError."""
        try:
            return work()
        except http.HttpError as error:
            if error.status in _REFUSED:
                raise self._refused(error) from error
            raise PublishError(what, detail=str(error), remedy=error.remedy or self._advice(error)) from error

    def _advice(self, error: http.HttpError) -> str:
        if error.status == _NOT_ALLOWED:
            return "The registry is read-only: push to another one, or ask those who run it when it takes images"
        if self._push:
            return "Check the registry's name and the network, then push again: what arrived is kept"
        return "Check the name of the image and the network, then run it again"

    def _refused(self, error: http.HttpError) -> PublishError:
        host, credentials = self._connection.host, self._connection.credentials
        action = "push to" if self._push else "pull from"
        if credentials is None:
            return PublishError(
                f"the registry `{host}` requires a login to {action} `{self._repository}`",
                detail=str(error),
                remedy=f"Run `docker login {host}`, or log in with podman or buildah",
            )
        return PublishError(
            f"the registry `{host}` refuses to let `{credentials.username}` {action} `{self._repository}`",
            detail=str(error),
            remedy="Check the user name and the token, and what it permits: in GitHub Actions a job needs"
            " `permissions: packages: write`, and the package must belong to the repository",
        )
