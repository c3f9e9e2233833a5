"""A registry on loopback with nothing in it, and time that passes at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from builder.system import process
from tests.support.cloud import CloudServer
from tests.support.registry import Urls


@pytest.fixture(scope="package")
def _cloud() -> Iterator[CloudServer]:
    with CloudServer() as server:
        yield server


@pytest.fixture
def cloud(_cloud: CloudServer) -> CloudServer:
    """A server that works and whose registry is empty; what is missing is answered 403."""
    _cloud.heal()
    for name in _cloud.objects():
        _cloud.storage.delete_object(name)
    _cloud.requests.clear()
    return _cloud


@pytest.fixture
def urls(cloud: CloudServer) -> Urls:
    return Urls(cloud)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of each pause; none takes any time."""
    taken: list[float] = []

    class Stopping(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            taken.append(timeout or 0)
            return self.is_set()

    monkeypatch.setattr(process, "stopping", Stopping())
    return taken
