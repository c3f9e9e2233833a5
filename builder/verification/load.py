"""Loading a location's definitions in a child process, from unpacked PEX files."""

from __future__ import annotations

import json
import linecache
import os
import pkgutil
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from builder.errors import Notice, Origin
from builder.project.location import CodeSource
from builder.system import process
from builder.system.tracebacks import Frame, RaisedError
from builder.verification.unpack import Unpacked

_STARTUP_SECONDS: Final = 120.0
"""Time limit in seconds for the child's own work: starting, and importing dagster for the first time."""

_OUTPUT_LINES: Final = 200
_TRACE_FRAME: Final = re.compile(r'  File "(?P<path>[^"]*)", line (?P<line>\d+) in (?P<function>.*)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """The names of a location's definitions, sorted."""

    assets: tuple[str, ...] = ()
    asset_checks: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()


LOCAL_STATE: Final = "LOCAL_FILESYSTEM"
VERSIONED_STATE: Final = "VERSIONED_STATE_STORAGE"


@dataclass(frozen=True, slots=True)
class State:
    """A state that a state-backed component requested.

    :param kind: LOCAL_STATE, stored with the project's files, or VERSIONED_STATE, stored by the deployment.
    :param present: whether the state exists.
    """

    key: str
    kind: str
    present: bool


@dataclass(frozen=True, slots=True)
class RefreshedState:
    """The state of a component that was refreshed.

    :param version: for VERSIONED_STATE, the name of its file in the directory of states.
    """

    key: str
    kind: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The definitions were loaded, or the states refreshed.

    :param warnings: dagster's warnings, with the file of the unpacked code if it is known.
    :param seconds: the time that the project's code took.
    :param states: the states that its components requested, sorted by key.
    :param refreshed: the states that were refreshed instead of loading definitions.
    """

    definitions: Definitions
    warnings: tuple[Notice, ...]
    dagster_version: str
    seconds: float
    states: tuple[State, ...] = ()
    refreshed: tuple[RefreshedState, ...] = ()


@dataclass(frozen=True, slots=True)
class Raised:
    """The project's code raised an error.

    :param of_dagster: whether dagster itself could not be imported.
    :param loadable: the names in the code source's module that could be loaded.
    :param modules: the files of the imported modules that are in no package, by name, in the order of import.
    """

    error: RaisedError
    of_dagster: bool
    loadable: tuple[str, ...]
    modules: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Died:
    """The process ended without an answer.

    :param code: its exit code; negative if a signal ended it; None if it exceeded the time limit.
    :param frames: the stack at that time, outermost first, as far as it is known.
    :param output: the last lines of its output.
    """

    code: int | None
    frames: tuple[Frame, ...]
    output: str

    @property
    def signal_name(self) -> str | None:
        """The name of the signal that ended it."""
        return signal.Signals(-self.code).name if self.code is not None and self.code < 0 else None


class Loading:
    """A process in which a location is loaded as the receiving server does it (`dagster_cloud/pex/grpc/server`).

    It starts immediately, and imports dagster while the location's code may still be being written to `source`.

    :param name: of the location.
    :param source: the environment of the code, which may still be empty.
    :param scratch: an empty directory for temporary files.
    :param environment: variables besides those of `process.clean_environment`.
    """

    def __init__(
        self, name: str, source: Unpacked, deps: Unpacked, *, scratch: Path, environment: Mapping[str, str]
    ) -> None:
        self._name = name
        self._scratch = scratch
        self._entry_point = source.entry_point
        self._root = source.site_packages / "working_directory" / "root"
        self._home = scratch / "dagster-home"
        self._home.mkdir()
        (self._home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
        child = scratch / "child.py"
        child.write_bytes(pkgutil.get_data(__package__, "child.py") or b"")
        self._request = scratch / "request"
        self._ask({})
        variables = {"DAGSTER_LOCATION_NAME": name, "DAGSTER_HOME": str(self._home), **environment}
        self._child = process.start(
            [source.entry_point, child, self._request],
            env=server_environment(source, deps, variables),
            cwd=self._home,
        )

    def _ask(self, question: Mapping[str, object]) -> None:
        files = {name: str(self._scratch / name) for name in ("answer", "output", "trace")}
        self._request.write_text(json.dumps({**files, **question}), encoding="utf-8")

    def finish(self, code: CodeSource, timeout: float, *, refresh: Path | None = None) -> Loaded | Raised | Died:
        """Load the code, which must be complete.

        :param timeout: time limit for the project's code in seconds; then its process group is killed.
        :param refresh: refresh the states of its components instead: local states in the unpacked files, versioned
            states in this directory.
        """
        self._ask(
            {
                "name": self._name,
                "code_source": [code.kind, code.value],
                "attribute": code.attribute,
                "working_directory": code.working_directory,
                "timeout": timeout,
                "refresh": refresh is not None,
                "states": str(refresh or self._scratch / "states"),
                # If the PEX has no project directory, the working directory does not matter.
                "directory": str(self._root if self._root.is_dir() else self._home),
                "entry_point": str(self._entry_point),
            }
        )
        try:
            finished = self._child.finish(
                "go\n", timeout=timeout + _STARTUP_SECONDS, check=False, whole_group=True
            )
            code_at_end: int | None = finished.code
        except process.ProcessFailed:
            code_at_end = None
        answer, output, trace = (self._scratch / name for name in ("answer", "output", "trace"))
        if answer.exists():
            return _read(json.loads(answer.read_text(encoding="utf-8")))
        traced = trace.read_text(encoding="utf-8", errors="replace") if trace.exists() else ""
        said = output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""
        if traced.startswith("Timeout"):
            code_at_end = None
        return Died(code_at_end, _frames(traced), "\n".join(said.splitlines()[-_OUTPUT_LINES:]))

    def discard(self) -> None:
        """End the process without loading anything."""
        self._child.discard()


def server_environment(source: Unpacked, deps: Unpacked, extra: Mapping[str, str]) -> dict[str, str]:
    """The server's environment for the code: paths, `extra`, and this process's variables except secrets."""
    clean = process.clean_environment(extra)
    paths = [str(source.bin), str(deps.bin), clean.get("PATH", os.defpath)]
    modules = [str(source.site_packages), str(deps.site_packages)]
    return {**clean, "PATH": os.pathsep.join(paths), "PYTHONPATH": os.pathsep.join(modules)}


def _read(answer: Mapping[str, Any]) -> Loaded | Raised:
    if "error" in answer:
        error = _raised(answer["error"])
        return Raised(error, answer["step"] == "dagster", tuple(answer.get("loadable", ())), answer["modules"])
    return Loaded(
        definitions=Definitions(**{kind: tuple(names) for kind, names in answer["found"].items()}),
        warnings=tuple(
            Notice(entry["text"], Origin(Path(entry["path"]), int(entry["line"]))) for entry in answer["warnings"]
        ),
        dagster_version=answer["dagster_version"],
        seconds=answer["seconds"],
        states=tuple(State(*state) for state in answer["states"]),
        refreshed=tuple(RefreshedState(*state) for state in answer["refreshed"]),
    )


def _raised(error: Mapping[str, Any]) -> RaisedError:
    return RaisedError(
        kind=error["kind"],
        message=error["message"],
        frames=tuple(Frame(*frame) for frame in error["frames"]),
        cause=None if error["cause"] is None else _raised(error["cause"]),
        attributes=error["attributes"],
    )


def _frames(traced: str) -> tuple[Frame, ...]:
    """The main thread's frames; `faulthandler` writes innermost frames first, and the main thread last."""
    last = re.split(r"(?m)^(?:Current thread|Thread|Stack) .*$", traced)[-1]
    matches = (_TRACE_FRAME.fullmatch(line) for line in last.splitlines())
    frames = []
    for match in matches:
        if match:
            text = linecache.getline(match["path"], int(match["line"])).strip()
            frames.append(Frame(match["path"], int(match["line"]), match["function"], text))
    return tuple(reversed(frames))
