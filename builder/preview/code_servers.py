"""Code servers: dagster's own, started from unpacked PEX files as the receiving server starts them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from builder.errors import LoadError
from builder.resolution.pythons import find_python
from builder.system import process, storage
from builder.verification.compatibility import pex_info
from builder.verification.load import server_environment
from builder.verification.unpack import Unpacked
from builder.verification.verify import ToVerify, unpack_item

START_SECONDS: Final = 120.0
"""How long a server may take to start."""

LOOK_SECONDS: Final = 0.1
"""Seconds between two polls of a server that starts."""

_TEMPORARY_LENGTH: Final = 64
"""Bytes that the directory of temporary files may have, so that sockets below it have short names."""

_LAST_LINES: Final = 15
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Ready:
    """A location that is unpacked.

    :param python: the interpreter that it runs under.
    """

    item: ToVerify
    python: Path
    source: Unpacked
    deps: Unpacked


class OutputTail:
    """The lines that a program writes: passed on, and the last ones kept for when it fails.

    :param pass_on: called with each line, without colours, from a thread.
    """

    def __init__(self, pass_on: Callable[[str], None]) -> None:
        self._pass_on = pass_on
        self._last: deque[str] = deque(maxlen=_LAST_LINES)

    def hear(self, line: str) -> None:
        """Take a line."""
        plain = _ANSI.sub("", line)
        self._last.append(plain)
        self._pass_on(plain)

    @property
    def last(self) -> str:
        """The last lines."""
        return "\n".join(self._last)


@dataclass(frozen=True, slots=True)
class CodeServer:
    """The server of one location.

    :param socket: the Unix socket at which it answers.
    """

    ready: Ready
    socket: Path
    service: process.Service = field(repr=False)
    output: OutputTail = field(repr=False)

    @property
    def name(self) -> str:
        """That of the location."""
        return self.ready.item.name

    @property
    def failure(self) -> LoadError | None:
        """Why it ended; None while it runs."""
        code = self.service.code
        if code is None:
            return None
        return LoadError(
            f"its code server ended by itself, {ending(code)}",
            detail=self.output.last or None,
            remedy="Correct what its last lines say; then build and start again",
        )

    def keep(self) -> None:
        """Mark the unpacked deps PEX as in use, so that no other run removes it (see `verification.unpack`)."""
        with contextlib.suppress(OSError):
            os.utime(self.ready.deps.venv.parent / "stamp")


def ending(code: int) -> str:
    """How a program ended."""
    return f"with exit code {code}" if code >= 0 else f"killed by signal {-code}"


def make_ready(item: ToVerify, directory: Path) -> Ready:
    """Unpack the PEX files of a location that this machine can run, the source PEX into a directory that is made.

    Raises LoadError if they cannot be unpacked, TargetError if there is no Python for them.
    """
    python = find_python(item.python_version)
    return Ready(item, python, *unpack_item(item, directory, python))


def versions(ready: Ready) -> dict[str, str]:
    """The distributions of a location's deps PEX, normalised name to version."""
    versions = {}
    for wheel in pex_info(ready.deps.venv).get("distributions", {}):
        with contextlib.suppress(InvalidWheelFilename):
            name, version, _, _ = parse_wheel_filename(wheel)
            versions[str(name)] = str(version)
    return versions


@contextlib.contextmanager
def socket_directory() -> Iterator[Path]:
    """A temporary directory for Unix sockets, whose paths the system bounds to about 100 characters."""
    short = len(os.fsencode(tempfile.gettempdir())) <= _TEMPORARY_LENGTH
    with storage.scratch_directory(None if short else Path("/tmp")) as directory:  # noqa: S108  (it is made safely)
        yield directory


@contextlib.contextmanager
def code_server(
    ready: Ready, socket: Path, *, home: Path, environment: Mapping[str, str], pass_on: Callable[[str], None]
) -> Iterator[CodeServer]:
    """Run a location's code server in this context, as `dagster_cloud/pex/grpc/server/manager.py` starts it.

    It loads the definitions when it is first asked for them. There is no heartbeat: it lives as long as the
    context.

    :param socket: where it is to answer, in a `socket_directory`.
    :param home: `DAGSTER_HOME`.
    :param environment: variables besides those of `process.clean_environment`.
    :param pass_on: called with each line that it, or a run that it started, writes.
    """
    words = OutputTail(pass_on)
    root = ready.source.site_packages / "working_directory" / "root"
    with process.serving(
        [ready.source.entry_point, "-m", "dagster", "api", "grpc"],
        env=_environment(ready, socket, {**environment, "DAGSTER_HOME": str(home)}),
        cwd=root if root.is_dir() else home,
        heard=words.hear,
    ) as service:
        yield CodeServer(ready, socket, service, words)


def wait_until_up(server: CodeServer) -> None:
    """Wait until a code server answers; raises LoadError if it ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not _answers(server.socket):
        if failure := server.failure:
            raise failure
        if time.monotonic() > deadline:
            what = f"its code server does not answer after {START_SECONDS:g} s"
            raise LoadError(
                what, detail=server.output.last or None, remedy="Try again when the machine is less busy"
            )
        time.sleep(LOOK_SECONDS)


def _environment(ready: Ready, socket: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """What the server gets from `get_grpc_server_env`, but for variables of the instance: those are Dagster+'s.

    The instance here would take them from the project's `.env`, which is not read where it is deployed.
    """
    item = ready.item
    prefix = "DAGSTER_CLI_API_GRPC_"
    asked = {
        "DAGSTER_LOCATION_NAME": item.name,
        "DAGSTER_CLOUD_LOCATION_NAME": item.name,
        "DAGSTER_CONTAINER_CONTEXT": json.dumps({}),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        # What is printed is shown at once.
        "PYTHONUNBUFFERED": "1",
        f"{prefix}LAZY_LOAD_USER_CODE": "1",
        f"{prefix}SOCKET": str(socket),
        f"{prefix}{item.code.kind.upper()}": item.code.value,
        f"{prefix}WORKING_DIRECTORY": item.code.working_directory or ".",
        **({f"{prefix}ATTRIBUTE": item.code.attribute} if item.code.attribute else {}),
    }
    return server_environment(ready.source, ready.deps, {**extra, **asked})


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True
