"""Running `dagster-webserver` for the code servers: from the dependencies, or fetched by uv."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml
from packaging.version import Version

from builder.errors import ToolError, UsageError
from builder.preview.code_servers import (
    LOOK_SECONDS,
    START_SECONDS,
    CodeServer,
    OutputTail,
    Ready,
    ending,
    versions,
)
from builder.resolution import uv
from builder.resolution.indexes import read_indexes
from builder.system import process, storage
from builder.verification.unpack import interpreter_key, kept_environment

HOST: Final = "127.0.0.1"
"""The page is visible on this machine only."""

_DISTRIBUTION: Final = "dagster-webserver"


@dataclass(frozen=True, slots=True)
class Webserver:
    """Where `dagster-webserver` is.

    :param command: that runs modules in its environment.
    """

    version: str
    command: Path


@dataclass(frozen=True, slots=True)
class Page:
    """The page that is being served.

    :param url: of its front.
    """

    url: str
    service: process.Service = field(repr=False)
    output: OutputTail = field(repr=False)

    @property
    def failure(self) -> ToolError | None:
        """Why it ended; None while it runs."""
        code = self.service.code
        if code is None:
            return None
        return ToolError(f"`{_DISTRIBUTION}` ended by itself, {ending(code)}", detail=self.output.last or None)


def webserver_of(locations: Sequence[Ready]) -> Webserver | None:
    """The newest webserver among the dependencies; None if there is none."""
    by_version = {version: ready for ready in locations if (version := versions(ready).get(_DISTRIBUTION))}
    newest = max(by_version, key=Version, default=None)
    return Webserver(newest, by_version[newest].deps.entry_point) if newest else None


def fetched_webserver(locations: Sequence[Ready]) -> Webserver:
    """The webserver of the newest dagster among the dependencies, fetched now or kept from an earlier time.

    It comes from the indexes that uv, or else pip, is configured with. Raises ToolError if it cannot be fetched.
    """
    version, ready = max(
        ((versions(ready)["dagster"], ready) for ready in locations), key=lambda pair: Version(pair[0])
    )
    place = storage.cache_directory() / "preview" / f"webserver-{version}-{interpreter_key(ready.python)}"
    venv = kept_environment(place, lambda venv: _install(version, ready, venv))
    return Webserver(version, venv / "bin" / "python")


def _install(version: str, ready: Ready, venv: Path) -> None:
    project = ready.item.project
    indexes = read_indexes(project if project and project.is_dir() else Path.cwd())
    wanted = [f"{_DISTRIBUTION}=={version}", f"dagster=={version}"]
    with storage.scratch_directory() as scratch:
        variables = indexes.variables_outside(scratch)
        try:
            uv.run(["venv", "--quiet", "--no-project", "--python", ready.python, venv], cwd=scratch)
            uv.run(
                ["pip", "install", "--quiet", "--python", venv / "bin" / "python", *wanted],
                cwd=scratch,
                extra_env=variables,
            )
        except process.ProcessFailed as error:
            raise ToolError(
                f"`{wanted[0]}` could not be fetched",
                detail=error.detail,
                remedy=f"Check the network and the index configuration; or add `{_DISTRIBUTION}` to the project's"
                " requirements and build again",
            ) from error


def claim(port: int) -> None:
    """Raise UsageError if a port of this machine is in use."""
    remedy = "Stop what uses it, or choose another with --port"
    with socket.socket() as server:
        # As the webserver does it: connections that are over are no hindrance.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((HOST, port))
        except PermissionError:
            raise UsageError(f"port {port} may not be used", remedy="Choose one above 1023 with --port") from None
        except OSError:
            raise UsageError(f"port {port} is in use", remedy=remedy) from None
    # A browser may look for `localhost` there first.
    with contextlib.suppress(OSError), socket.create_connection(("::1", port), timeout=1):
        raise UsageError(f"port {port} is in use", remedy=remedy)


def write_workspace(servers: Sequence[CodeServer], path: Path) -> None:
    """Write the `workspace.yaml` in which dagster finds code servers."""
    entries = [
        {"grpc_server": {"host": "localhost", "socket": str(server.socket), "location_name": server.name}}
        for server in servers
    ]
    path.write_text(yaml.safe_dump({"load_from": entries}), encoding="utf-8")


@contextlib.contextmanager
def page(
    webserver: Webserver, workspace: Path, port: int, *, home: Path, pass_on: Callable[[str], None]
) -> Iterator[Page]:
    """Serve the page in this context; it answers once the context is entered. Raises ToolError if it fails.

    :param home: `DAGSTER_HOME`.
    :param pass_on: called with each line that the webserver writes.
    """
    words = OutputTail(pass_on)
    settings = {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1"}
    options = ["--host", HOST, "--port", str(port), "--workspace", str(workspace)]
    with process.serving(
        [webserver.command, "-m", "dagster_webserver", *options],
        env=process.clean_environment(settings),
        cwd=home,
        heard=words.hear,
    ) as service:
        served = Page(f"http://localhost:{port}", service, words)
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port):
            if failure := served.failure:
                raise failure
            if time.monotonic() > deadline:
                raise ToolError(
                    f"`{_DISTRIBUTION}` does not answer after {START_SECONDS:g} s", detail=words.last or None
                )
            time.sleep(LOOK_SECONDS)
        yield served


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", "/server_info")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
