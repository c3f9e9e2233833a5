"""Real package indexes (pypiserver) on loopback, with a password or TLS if wanted, that remember each request."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

USER = "reader"


@dataclass(frozen=True, slots=True)
class Pypi:
    """An index that is serving.

    :param directory: of the wheels and sdists; may grow while it serves.
    """

    directory: Path
    log: Path
    scheme: str
    port: int
    password: str

    @property
    def url(self) -> str:
        """Without credentials."""
        return f"{self.scheme}://127.0.0.1:{self.port}/simple/"

    @property
    def full_url(self) -> str:
        """With credentials."""
        return self.url.replace("://", f"://{USER}:{self.password}@")

    @property
    def requests(self) -> list[str]:
        """The paths that were asked for."""
        return self.log.read_text(encoding="utf-8").splitlines()

    def asked_for(self, name: str) -> bool:
        """Whether anything of a project was asked for: its page or a file."""
        return any(f"/{name}" in path for path in self.requests)


class PypiHost:
    """The program that serves indexes, as many as are wanted, until `close`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("pypi_host.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def serve(self, directory: Path, *, password: str = "", certificate: Path | None = None) -> Pypi:
        """An index of a directory; with a password, to `reader` only."""
        directory.mkdir(exist_ok=True)
        log = directory.parent / f"{directory.name}.log"
        log.touch()
        wish = {"directory": str(directory), "log": str(log), "user": USER, "password": password}
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({**wish, "certificate": str(certificate or "")}) + "\n")
        self._process.stdin.flush()
        port = int(self._process.stdout.readline())
        return Pypi(directory, log, "https" if certificate else "http", port, password)

    def close(self) -> None:
        self._process.communicate()


@contextmanager
def pypi_host() -> Iterator[PypiHost]:
    """A program that serves indexes until the end of the block."""
    host = PypiHost()
    try:
        yield host
    finally:
        host.close()
