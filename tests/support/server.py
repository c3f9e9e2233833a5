"""The real receiving server of Dagster Cloud serverless, `dagster-cloud pex grpc`, on this machine.

`CodeServer` runs it, out of the environment that runs the tests, on local PEX files, with everything that it
writes below one temporary directory: nothing of the system or of the user is touched. Its contract is
`dagster_cloud/pex/grpc/server` of PyPI's dagster-cloud.

    with CodeServer(pex_files) as server:
        location = server.create_location("sales", pex_tag="files=…", code_source={"module_name": "sales"})
        assert location.assets == ("invoices",)
        location.materialize("invoices")
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from builder.system import process

LOAD_SECONDS = 180
RUN_SECONDS = 180
START_SECONDS = 60
KINDS = ("assets", "asset_checks", "jobs", "schedules", "sensors", "resources")
"""What a location defines."""

_AGENT = Path(__file__).with_name("agent.py")
_PEX_TOOLS = """#!/bin/sh
case "$1" in
*/source-*)
    for argument; do
        shift
        [ "$argument" = --pip ] || set -- "$@" "$argument"
    done
    ;;
esac
exec "{real}" "$@"
"""
_LOG_LINES = 80
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class ServerRefusedError(AssertionError):
    """The server, or the user's code that it runs, answered with an error.

    :param error: its words, with the traceback of the user's code if there is one.
    :param log: the last lines that the server and its code servers wrote.
    """

    def __init__(self, what: str, error: str, log: str) -> None:
        super().__init__(f"{what}:\n{error}\n\n--- the receiving server's log ---\n{log}")
        self.error = error
        self.log = log


@dataclass(frozen=True, slots=True)
class Location:
    """A code location that the server has loaded; names are sorted."""

    assets: tuple[str, ...]
    asset_checks: tuple[str, ...]
    jobs: tuple[str, ...]
    schedules: tuple[str, ...]
    sensors: tuple[str, ...]
    resources: tuple[str, ...]
    server: CodeServer = field(repr=False)
    request: Mapping[str, Any] = field(repr=False)

    def definitions(self) -> dict[str, list[str]]:
        """All names by kind, as `builder.verify --json` tells them."""
        return {kind: list(getattr(self, kind)) for kind in KINDS}

    def materialize(self, *assets: str, in_process: bool = False) -> dict[str, dict[str, Any]]:
        """Materialise assets in one run, by the server's own run worker (`dagster-cloud pex execute-run`).

        :param in_process: all steps in the process of the run, instead of each in one of its own.

        Returns what each asset reported, {asset: {metadata name: value}}; raises ServerRefusedError with the
        failing step's traceback.
        """
        request = {**self.request, "action": "materialize", "assets": assets, "in_process": in_process}
        return self.server.ask(request, RUN_SECONDS)


class _Agent:
    """A running `agent.py`; it imports dagster once for all its requests."""

    def __init__(self, environment: Mapping[str, str], directory: Path) -> None:
        self._log = (directory / "agent.log").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, _AGENT],
            env=environment,
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            encoding="utf-8",
            start_new_session=True,
        )

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to a request; where there is none in time, an error."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        too_late = threading.Timer(seconds, self._process.kill)
        too_late.start()
        line = self._process.stdout.readline()
        too_late.cancel()
        if not line:
            return {"error": f"the agent gave no answer within {seconds} s"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def log(self) -> str:
        """All that it and the programs that it started wrote to stderr."""
        self._log.seek(0)
        return self._log.read()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        self._log.close()


class CodeServer:
    """The receiving server, alive inside the `with` block."""

    def __init__(
        self,
        pex_files: Path | None = None,
        *,
        storage: Mapping[str, str] | None = None,
        states: Path | None = None,
        source_pip: bool = True,
    ) -> None:
        """Prepare a server for the PEX files that lie in a directory, or for those that it downloads.

        :param storage: the environment that says from where, as `CloudServer.storage_environ` has it.
        :param states: a directory with `KEY/VERSION`, the states of components, as a deployment keeps them.
        :param source_pip: whether the environment of a source PEX gets a pip of its own, as in the real server.
            Nothing uses it, and it takes four of the five seconds of a location.
        """
        self._pex_files = pex_files
        self._storage = storage
        self.states = states
        self._source_pip = source_pip
        self._timestamps = itertools.count(1)
        self._idle: list[_Agent] = []
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            # Not below pytest's directories: the path of a Unix socket may have 107 characters at most.
            self._root = Path(tempfile.mkdtemp(prefix="code-server-"))
            # Tens of thousands of files: Python takes several times longer.
            stack.callback(process.run, ["rm", "-rf", self._root], env=process.clean_environment())
            for name in ("bin", "files", "home", "tmp", "dagster"):
                (self._root / name).mkdir()
            if not self._source_pip:
                pex_tools = self._root / "bin" / "pex-tools"
                pex_tools.write_text(_PEX_TOOLS.format(real=Path(sysconfig.get_path("scripts"), "pex-tools")))
                pex_tools.chmod(0o755)
            (self._root / "dagster" / "dagster.yaml").write_text(json.dumps(self._instance()))
            if self._pex_files:
                self.add(self._pex_files)
            self._log = stack.enter_context((self._root / "log").open("w+b"))
            self._process = subprocess.Popen(
                ["dagster-cloud", "pex", "grpc", "--socket", str(self._socket)],
                env=self._env(),
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            stack.callback(self._kill)
            self._wait_until_up()
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._cleanup.close()

    @property
    def process_id(self) -> int:
        """That of the server, which is also that of the group of all that it starts."""
        return self._process.pid

    @contextlib.contextmanager
    def awake(self) -> Iterator[Self]:
        """Have it run inside the block, and stand still afterwards.

        Each location, though nobody asks it any more, would take half a percent of a processor until the end.
        """
        os.killpg(self.process_id, signal.SIGCONT)
        yield self
        os.killpg(self.process_id, signal.SIGSTOP)

    def add(self, pex_files: Path) -> None:
        """Give the server the PEX files that lie in a directory."""
        # It marks them executable, and deletes those of a location that failed.
        for file in pex_files.glob("*.pex"):
            if not (self._root / "files" / file.name).exists():
                shutil.copy2(file, self._root / "files")

    def create_location(
        self,
        name: str,
        *,
        pex_tag: str,
        code_source: Mapping[str, str],
        working_directory: str | None = None,
        states: object = None,
    ) -> Location:
        """Have the server load a location, as the agent does when a location was added or updated.

        :param code_source: as in `dagster_cloud.yaml`: one of python_file, module_name, package_name.
        :param states: the `defs_state_info` of the document.

        Raises ServerRefusedError if the PEX files cannot be unpacked or the user's code cannot be loaded.
        """
        request = {
            "socket": str(self._socket),
            "dagster_home": str(self._root / "dagster"),
            "location": name,
            "timestamp": next(self._timestamps),
            "pex_tag": pex_tag,
            "code_source": dict(code_source),
            "working_directory": working_directory,
            "states": states,
            "timeout": LOAD_SECONDS,
        }
        answer = self.ask({**request, "action": "load"}, LOAD_SECONDS + START_SECONDS)
        return Location(
            **{kind: tuple(answer[kind]) for kind in KINDS},
            server=self,
            request=request,
        )

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Pass one request to the agent and return its answer; raises ServerRefusedError."""
        what = f"could not {request['action']} location {request['location']}"
        try:
            agent = self._idle.pop()
        except IndexError:
            agent = _Agent(self._env(), Path(tempfile.mkdtemp(prefix="agent-", dir=self._root)))
            self._cleanup.callback(agent.close)
        answer = agent.ask(request, seconds)
        if "error" in answer:
            raise ServerRefusedError(what, f"{answer['error']}\n{agent.log()}", self.log())
        self._idle.append(agent)
        return answer

    def log(self) -> str:
        """The last lines that the server and the code servers that it started wrote."""
        text = (self._root / "log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(_ANSI.sub("", text).splitlines()[-_LOG_LINES:])

    def _instance(self) -> dict[str, Any]:
        """The `dagster.yaml` of the agent, which passes its instance to the code servers."""
        settings: dict[str, Any] = {"telemetry": {"enabled": False}}
        if self.states:
            settings["defs_state_storage"] = {
                "module": "dagster._core.storage.defs_state.blob_storage_state_storage",
                "class": "UPathDefsStateStorage",
                "config": {"base_path": str(self.states)},
            }
        return settings

    @property
    def _socket(self) -> Path:
        return self._root / "socket"

    def _env(self) -> dict[str, str]:
        return process.clean_environment(
            {
                "PATH": os.pathsep.join(
                    [str(self._root / "bin"), sysconfig.get_path("scripts"), os.environ["PATH"]]
                ),
                "HOME": str(self._root / "home"),
                "XDG_CACHE_HOME": str(self._root / "home" / "cache"),
                "TMPDIR": str(self._root / "tmp"),
                **(self._storage or {"S3_PEX_DISABLED": "1"}),
                "LOCAL_PEX_FILES_DIR": str(self._root / "files"),
                "VENVS_ROOT": str(self._root / "venvs"),
                "PEX_ROOT": str(self._root / "pex-root"),
                "WATCHDOG_RUN_INTERVAL": "1",
            },
        )

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._socket.exists():
            code = self._process.poll()
            if code is not None or time.monotonic() > deadline:
                ending = "is not up in time" if code is None else f"ended with exit code {code}"
                what = "could not start the receiving server"
                raise ServerRefusedError(what, f"it {ending}", self.log())
            time.sleep(0.05)

    def _kill(self) -> None:
        # The code servers that it started belong to its process group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
