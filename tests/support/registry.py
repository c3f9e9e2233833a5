"""What publishing needs besides a server: files, and presigned URLs without the way through GraphQL."""

from __future__ import annotations

import hashlib
import io
import random
import threading
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from builder.errors import CloudError
from builder.publishing.pex_registry import Method
from builder.system.storage import Artefact
from tests.support.cloud import CloudServer


class Urls:
    """A UrlSource for one thread at a time.

    :param expired: how many of the next URLs for a method are too old.
    :param failing: after how many calls for a method it raises CloudError.
    :param seconds: that each call takes at least.
    """

    def __init__(self, cloud: CloudServer) -> None:
        self.calls: list[tuple[Method, tuple[str, ...]]] = []
        self.expired: dict[Method, int] = {"PUT": 0, "GET": 0}
        self.failing: dict[Method, int] = {}
        self.seconds = 0.0
        self._cloud = cloud
        self._busy = threading.Lock()

    def __call__(self, names: Sequence[str], method: Method) -> list[str]:
        assert self._busy.acquire(blocking=False), "two threads ask at once"
        try:
            time.sleep(self.seconds)
            self.calls.append((method, tuple(names)))
            if self.calls_for(method) > self.failing.get(method, 10**6):
                raise CloudError("Dagster Cloud is out of URLs", remedy="Have patience")
            return [self._presign(name, method) for name in names]
        finally:
            self._busy.release()

    def calls_for(self, method: Method) -> int:
        return sum(each == method for each, _ in self.calls)

    def _presign(self, name: str, method: Method) -> str:
        expired = self.expired[method] > 0
        self.expired[method] -= expired
        return self._cloud.storage.presign(name, method, expired=expired)


def make_pex(directory: Path, *, kind: str = "deps", size: int = 100_000, seed: int = 0) -> Artefact:
    """A zip file with an arbitrary content of about that size, named as a PEX file is."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        content = random.Random(seed).randbytes(size)  # noqa: S311  (not for secrets)
        archive.writestr(".deps/numpy-2.0-py3-none-any.whl/numpy.py", content)
    return make_artefact(directory, kind, stream.getvalue())


def make_artefact(directory: Path, kind: str, content: bytes) -> Artefact:
    sha256 = hashlib.sha256(content).hexdigest()
    path = directory / f"{kind}-{sha256[:40]}.pex"
    path.write_bytes(content)
    return Artefact(path, len(content), sha256, sha256[:40])
