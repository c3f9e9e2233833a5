"""Verifying locations: loading their definitions from the built files, as the receiving server would."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from builder.assembly.source_tree import ROOT
from builder.errors import LoadError, Notice, Origin
from builder.project.location import CodeSource, Location
from builder.system import process, storage
from builder.system.tracebacks import RaisedError, cut, place
from builder.verification.compatibility import NotVerified, interpreter, unfit
from builder.verification.explanation import Explanation, FailureContext
from builder.verification.hiding import hidden_at_start
from builder.verification.hints import explain
from builder.verification.load import (
    LOCAL_STATE,
    Definitions,
    Died,
    Loaded,
    Loading,
    Raised,
    RefreshedState,
    State,
)
from builder.verification.load_record import read_record, record_name, write_record
from builder.verification.unpack import Unpacked, forget, kept_deps, prune, remembering, skeleton, unpack_both
from builder.verification.unpack_image import (
    ImageFiles,
    other_platforms,
    read_image_files,
    unpack_image,
    unpacked_image_deps,
)
from builder.verification.venv import copy_skeleton

DEFAULT_TIMEOUT: Final = 120.0
"""Time limit for loading the code of a location, in seconds."""

_BYTES_PER_LOCATION: Final = 1 << 30
"""Memory reserved for each location; dagster with pandas and a few cloud libraries uses a third of it."""

_SHOWN_FRAMES: Final = 3
"""How many calls are shown if none is the user's."""

_SHOWN_OUTPUT: Final = 5
"""How many lines are shown of the output of a process that ended."""

_LOCAL_STATES: Final = ".local_defs_state"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToVerify:
    """A built location to verify.

    :param name: of the location.
    :param source: the source PEX; for an image its layout, which is also `deps`.
    :param deps: the deps PEX; need not exist if it is unpacked in the cache.
    :param deps_sha256: of that file; None to compute it.
    :param python_version: of the target, such as `"3.11"`.
    :param directory: the build directory, None if it is not on this machine; only for hints, like the next two.
    :param project: the directory of the manifest.
    :param declared: where the location is declared.
    :param lines: where settings of it are, as in `Location.lines`.
    :param is_image: whether it is an image instead of PEX files.
    """

    name: str
    source: Path
    deps: Path
    python_version: str
    code: CodeSource
    deps_sha256: str | None = None
    directory: Path | None = None
    project: Path | None = None
    declared: Origin | None = None
    lines: Mapping[str, Origin] = field(default_factory=dict)
    is_image: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The location loads.

    :param warnings: dagster's warnings, with the origin in the user's own files if it is known.
    :param seconds: the time that the location's code took to load.
    :param states: the states that its state-backed components requested.
    :param age: seconds since the same files were loaded, if they were not loaded again.
    """

    definitions: Definitions
    warnings: tuple[Notice, ...]
    dagster_version: str
    seconds: float
    states: tuple[State, ...] = ()
    age: float | None = None


class StateMissingError(LoadError):
    """State-backed components, which define nothing without their state, have no state in the build."""


def to_verify(
    location: Location, source: Path, deps: Path, python_version: str, *, deps_sha256: str | None = None
) -> ToVerify:
    """Combine a location of a workspace with the files that were built for it.

    :param source: the source PEX; for an image its layout, which is also `deps`.
    """
    attribute, directory = (location.settings.get(key) for key in ("attribute", "working_directory"))
    return ToVerify(
        name=location.name,
        source=source,
        deps=deps,
        python_version=python_version,
        code=CodeSource(
            *location.code_source,
            attribute=attribute if isinstance(attribute, str) else None,
            working_directory=directory if isinstance(directory, str) else None,
        ),
        deps_sha256=deps_sha256,
        directory=location.tree.directory,
        project=location.tree.project,
        declared=location.origin,
        lines=location.lines,
        is_image=source == deps,
    )


VerifyResult = Verified | LoadError | NotVerified


def verify_locations(
    items: Sequence[ToVerify],
    *,
    timeout: float = DEFAULT_TIMEOUT,
    environment: Mapping[str, str] | None = None,
    when_done: Callable[[ToVerify, VerifyResult], None] = lambda _item, _outcome: None,
) -> dict[str, VerifyResult]:
    """Load locations in parallel, as many at once as processors and memory allow.

    :param timeout: time limit for the code of each location in seconds.
    :param environment: variables for the code, in addition to this process's variables that are not secret.
    :param when_done: called with each location and its result as soon as it is known, from several threads.

    Returns the results by name: loaded, failed to load, or not verifiable on this machine. Raises StorageError if
    the disk is full.
    """
    with Verifier(len(items), timeout=timeout, environment=environment, when_done=when_done) as verifier:
        futures = {item.name: verifier.submit(item) for item in items}
        return {name: future.result() for name, future in futures.items()}


class Verifier:
    """Loads locations in parallel, as many at once as processors and memory allow; a context manager.

    :param count: the number of locations at most.
    :param use_records: whether a location whose files loaded here within a day need not be loaded again. Then the
        values in `environment` must not be secrets, as their hash is part of the record's name.

    The other parameters are those of `verify_locations`.
    """

    def __init__(
        self,
        count: int,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        environment: Mapping[str, str] | None = None,
        when_done: Callable[[ToVerify, VerifyResult], None] = lambda _item, _outcome: None,
        use_records: bool = False,
    ) -> None:
        self._use_records = use_records
        self._timeout = timeout
        self._environment = dict(environment or {})
        self._when_done = when_done
        self._side_by_side = _side_by_side(count)
        self._pool = ThreadPoolExecutor(self._side_by_side)
        self._scratch = contextlib.ExitStack()
        self._prepared: dict[str, Future[_Prepared | None]] = {}

    def __enter__(self) -> Self:
        self._scratch.enter_context(remembering())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool.shutdown()
        for future in self._prepared.values():
            _discard(future)
        self._scratch.close()
        if kind is None:
            prune()

    def prepare(self, name: str, deps_sha256: str, python_version: str) -> None:
        """Start importing dagster for a location that will be submitted, if its deps PEX is unpacked in the cache.

        Does nothing if as many processes as may run in parallel have been started.

        :param deps_sha256: that of the deps PEX that the location will probably have.
        """
        if len(self._prepared) < self._side_by_side and name not in self._prepared:
            self._prepared[name] = self._pool.submit(self._prepare, name, deps_sha256, python_version)

    def submit(self, item: ToVerify) -> Future[VerifyResult]:
        """Load a location; the future holds the result, or raises StorageError."""
        return self._pool.submit(self._work, item)

    def _prepare(self, name: str, deps_sha256: str, python_version: str) -> _Prepared | None:
        python = interpreter(python_version)
        if isinstance(python, NotVerified) or (venv := kept_deps(deps_sha256, python)) is None:
            return None
        scratch = self._scratch.enter_context(storage.scratch_directory())
        source = Unpacked(scratch / "source")
        copy_skeleton(skeleton(python, python_version), source.venv)
        return _Prepared(venv, source, self._start(name, source, Unpacked(venv), scratch))

    def _start(self, name: str, source: Unpacked, deps: Unpacked, scratch: Path) -> Loading:
        environment = {"DAGSTER_CLOUD_LOCATION_NAME": name, **self._environment}
        return Loading(
            name, source, deps, scratch=storage.make_directory(scratch / "room"), environment=environment
        )

    def _work(self, item: ToVerify) -> VerifyResult:
        try:
            outcome = self._verify(item)
        except LoadError as error:
            outcome = error
        self._when_done(item, outcome)
        return outcome

    def _verify(self, item: ToVerify) -> VerifyResult:
        files = read_image_files(item.source) if item.is_image else None
        python = _fit_python(item, files)
        if isinstance(python, NotVerified):
            return python
        record = self._record_name(item, files, python)
        if record and (known := read_record(record, item.directory)):
            if future := self._prepared.pop(item.name, None):
                _discard(future)
            loaded, age = known
            return _verified(loaded, loaded.warnings, age)
        outcome = self._load(item, files, python)
        if record and isinstance(outcome, Verified) and not outcome.states:
            loaded = Loaded(
                definitions=outcome.definitions,
                warnings=outcome.warnings,
                dagster_version=outcome.dagster_version,
                seconds=outcome.seconds,
            )
            write_record(record, loaded, item.directory)
        return outcome

    def _record_name(self, item: ToVerify, files: ImageFiles | None, python: Path) -> str | None:
        """The name of the record that these files load; None if there is to be none."""
        if not self._use_records:
            return None
        if files:
            source, deps = [file.name for file in files.source], files.identity
        else:
            source, deps = [storage.sha256_of(item.source)], item.deps_sha256 or storage.sha256_of(item.deps)
        return record_name(item.name, source, deps, python, item.code, self._environment)

    def _load(self, item: ToVerify, files: ImageFiles | None, python: Path) -> VerifyResult:
        future = self._prepared.pop(item.name, None)
        prepared = future.result() if future else None
        if prepared and item.is_image:
            # The location was deployed as PEX files until now.
            prepared.loading.discard()
            prepared = None
        with storage.scratch_directory() as scratch:
            directory = prepared.source.venv if prepared else scratch / "source"
            source, deps = unpack_item(item, directory, python, files)
            if prepared and prepared.deps != deps.venv:
                prepared.loading.discard()
                prepared = None
            loading = prepared.loading if prepared else self._start(item.name, source, deps, scratch)
            result = loading.finish(item.code, self._timeout)
            forget()
            return self._outcome(item, result, source, deps)

    def _outcome(
        self, item: ToVerify, result: Loaded | Raised | Died, source: Unpacked, deps: Unpacked
    ) -> VerifyResult:
        context = _context(item, source, deps, self._environment)
        if not isinstance(result, Loaded):
            return _failure(result, context, self._timeout)
        if missing := [state.key for state in result.states if state.kind == LOCAL_STATE and not state.present]:
            return _state_missing(missing, item)
        warnings = tuple(_at_home(notice, context) for notice in result.warnings)
        if item.is_image and (others := other_platforms(item.source)):
            text = f"its image for {', '.join(others)} was not loaded; verify it on such a machine"
            warnings += (Notice(text),)
        return _verified(result, warnings)


def refresh_states(
    item: ToVerify, states: Path, *, timeout: float, environment: Mapping[str, str]
) -> tuple[tuple[RefreshedState, ...], dict[str, bytes]]:
    """Refresh the states of a location's components, in unpacked PEX files.

    :param states: a directory for versioned states, which the deployment stores; files are named by version.
    :param timeout: time limit in seconds.

    Returns the refreshed states, and the files of local states by their names in the source PEX. Raises LoadError
    if the code fails, or cannot run on this machine.
    """
    python = _fit_python(item)
    if isinstance(python, NotVerified):
        raise LoadError(f"its state cannot be refreshed here: {python.reason}", remedy=python.remedy)
    environment = {"DAGSTER_CLOUD_LOCATION_NAME": item.name, **environment}
    with storage.scratch_directory() as scratch:
        source, deps = unpack_item(item, scratch / "source", python)
        room = storage.make_directory(scratch / "room")
        loading = Loading(item.name, source, deps, scratch=room, environment=environment)
        result = loading.finish(item.code, timeout, refresh=states)
        if not isinstance(result, Loaded):
            raise _failure(result, _context(item, source, deps, environment), timeout)
        top = source.site_packages
        local = {
            path.relative_to(top).as_posix(): path.read_bytes()
            for path in sorted((top / ROOT).rglob(f"{_LOCAL_STATES}/**/*"))
            if path.is_file()
        }
    return result.refreshed, local


def _discard(future: Future[_Prepared | None]) -> None:
    """End a process that was prepared, if it was started."""
    if not future.cancelled() and not future.exception() and (prepared := future.result()):
        prepared.loading.discard()


def _verified(loaded: Loaded, warnings: tuple[Notice, ...], age: float | None = None) -> Verified:
    return Verified(
        definitions=loaded.definitions,
        warnings=warnings,
        dagster_version=loaded.dagster_version,
        seconds=loaded.seconds,
        states=loaded.states,
        age=age,
    )


def _state_missing(keys: Sequence[str], item: ToVerify) -> StateMissingError:
    names = ", ".join(f"`{key}`" for key in keys)
    return StateMissingError(
        f"the build lacks the state of {names}, without which the components that need it define nothing",
        where=item.declared,
        detail="local state lies in `.local_defs_state`, which git ignores: a fresh clone has none",
        remedy="Deploy with --refresh-defs-state, or run `dg utils refresh-defs-state` before the build",
    )


def _context(item: ToVerify, source: Unpacked, deps: Unpacked, environment: Mapping[str, str]) -> FailureContext:
    given = {"DAGSTER_CLOUD_LOCATION_NAME", *environment}
    return FailureContext(
        code=item.code,
        python_version=item.python_version,
        directory=item.directory,
        project=item.project,
        declared=item.declared,
        lines=item.lines,
        names=_names(source),
        source=source.site_packages,
        deps=deps.site_packages,
        variables=frozenset(os.environ) - frozenset(process.clean_environment()) - given,
    )


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A process that imports dagster for a location, with its deps PEX and the directory for the code."""

    deps: Path
    source: Unpacked
    loading: Loading


def unpack_item(
    item: ToVerify, directory: Path, python: Path, files: ImageFiles | None = None
) -> tuple[Unpacked, Unpacked]:
    """Unpack the code of a built location into a new directory, and get its unpacked dependencies.

    :param files: what `read_image_files` has read, if it has.

    Raises LoadError if they cannot be unpacked.
    """
    if item.is_image:
        return unpack_image(files or read_image_files(item.source), directory, python)
    sha256 = item.deps_sha256 or storage.sha256_of(item.deps)
    return unpack_both(item.source, directory, item.deps, sha256, python)


def _fit_python(item: ToVerify, files: ImageFiles | None = None) -> Path | NotVerified:
    """The interpreter to load a location with, or why it cannot be loaded on this machine."""
    python = interpreter(item.python_version)
    if isinstance(python, NotVerified):
        return python
    if item.is_image:
        deps = unpacked_image_deps(files or read_image_files(item.source), python)
        return unfit(deps.venv, item.python_version) or python
    present = item.deps.is_file()
    sha256 = item.deps_sha256 or (storage.sha256_of(item.deps) if present else "")
    place = item.deps if present else kept_deps(sha256, python)
    if place is None:
        return NotVerified(f"the deps PEX `{item.deps.name}` is not on this machine", "Build it here")
    return unfit(place, item.python_version) or python


def _names(source: Unpacked) -> frozenset[str]:
    """The names of the files of the unpacked source PEX."""
    top = source.site_packages
    return frozenset(path.relative_to(top).as_posix() for path in top.rglob("*") if path.is_file())


def _failure(result: Raised | Died, context: FailureContext, timeout: float) -> LoadError:
    site_packages = str(context.source)
    if isinstance(result, Raised):
        shown = cut(result.error, site_packages)
        explanation = explain(result, shown, context)
    else:
        output = "\n".join(result.output.splitlines()[-_SHOWN_OUTPUT:])
        shown = cut(RaisedError(kind="", message=output, frames=result.frames), site_packages)
        explanation = hidden_at_start(result, context) or _of_death(result, timeout)
    if explanation.setting:
        where = context.lines.get(explanation.setting, context.declared)
        return LoadError(explanation.what, where=where, remedy=explanation.remedy)
    lines = [*_foreign(shown.root), *shown.lines] if shown.where is None else shown.lines
    detail = "\n".join(lines) or None
    where = _origin((explanation.file, None) if explanation.file else shown.where, context)
    return LoadError(explanation.what, where=where, detail=detail, remedy=explanation.remedy)


def _foreign(error: RaisedError) -> list[str]:
    """The last calls of an error whose traceback has no file of the user's."""
    lines = []
    for frame in error.frames[-_SHOWN_FRAMES:]:
        lines.append(f"{frame.path.rpartition('/site-packages/')[2]}:{frame.line} in {frame.function}")
        lines += [f"  {frame.text}"] if frame.text else []
    return lines


def _of_death(died: Died, timeout: float) -> Explanation:
    if died.code is None:
        return Explanation(
            f"its code was still being loaded after {timeout:g} s, the time limit",
            "Move what takes so long out of the import, into an asset or a resource; or allow more with --timeout",
        )
    if died.signal_name == "SIGKILL":
        return Explanation(
            "its process was killed while its code was loaded, as the system does when memory runs out",
            "Load less data at import; or run this on a machine with more memory",
        )
    if died.signal_name:
        return Explanation(
            f"its process crashed while its code was loaded ({died.signal_name})",
            "It is mostly a native library that does this: try another version of what the last line calls",
        )
    return Explanation(
        f"its code ended the process, with exit code {died.code}, while it was loaded",
        "Raise an error instead of ending the process: on the server, the code server would go down with it",
    )


def _origin(where: tuple[str, int | None] | None, context: FailureContext) -> Origin | None:
    """A file of the project, and a line in it, on this machine."""
    if where is None or context.directory is None:
        return None
    name, line = where
    path = Path(os.path.normpath(context.directory / name))
    return Origin(path, line) if path.is_file() else None


def _at_home(notice: Notice, context: FailureContext) -> Notice:
    """Change a warning's origin from the unpacked file to the project's; remove it for files of others."""
    name = place(str(notice.where.path), str(context.source)) if notice.where else None
    path = context.directory / name if name and context.directory else None
    line = notice.where.line if notice.where else None
    return replace(notice, where=Origin(path, line) if path and path.is_file() else None)


def _side_by_side(count: int) -> int:
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    bound = min(count, processors)
    try:
        match = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    except OSError:
        match = None
    if match:
        bound = min(bound, int(match[1]) * 1024 // _BYTES_PER_LOCATION)
    return max(bound, 1)
