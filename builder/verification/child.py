"""The program of the child process that loads a location's definitions.

It runs under the target's Python, with the project's distributions. It loads a location, or refreshes the state of
its state-backed components.

    SOURCE_VENV/pex child.py REQUEST

It imports dagster, then waits for a line on its standard input, which says that the location's code is complete.
REQUEST is a file with one JSON object. The answer is written to the file that the request names; if the process
dies first, the answer is missing and the stack at that time is in the file `trace`. This program cannot import the
builder, and must run on Python 3.9.
"""

# Dagster is imported inside functions, to separate its time and errors from the project's; its objects are untyped
# here. Any exception of the project is part of the answer. pathlib is avoided: the fewer modules are imported
# before the project's code, the fewer can be hidden by it.
# ruff: noqa: ANN401, BLE001, PLC0415, PTH100, PTH103, PTH105, PTH112, PTH119, PTH118, PTH122, PTH123, PTH207
# ruff: noqa: PTH208, SLF001

from __future__ import annotations

import asyncio
import contextlib
import errno
import faulthandler
import gc
import glob
import importlib
import inspect
import json
import os
import shutil
import site
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Answer = dict[str, Any]

_LIBRARY = "dagster"

_STAGES = ("BetaWarning", "PreviewWarning", "ExperimentalWarning")

_PATHS = "working_directory.pth"
"""The .pth file that the builder adds to projects in the `src` layout (`builder.assembly.source_tree.PATHS`)."""


def main(path: str, *, anew: bool) -> None:
    """Answer the request in a file, then end the process, even if threads of the project still run.

    :param anew: whether this is the second start, when the code is complete and standard input has been read.
    """
    leave = os._exit
    request = _read(path)
    with open(request["output"], "ab") as output:
        # Processes that the project leaves running must not keep the builder's pipes open.
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    # Never closed: the interpreter itself writes to it.
    trace = os.open(request["trace"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    _watch(trace)
    heard = _listen()
    if not anew:
        failed = _preload()
        if not sys.stdin.readline():
            # End of file: the builder does not need this process.
            leave(0)
        request = _read(path)
        os.chdir(request["directory"])
        importlib.invalidate_caches()
        if failed or _hidden(request):
            os.execv(request["entry_point"], [request["entry_point"], __file__, path, "anew"])  # noqa: S606
    answer = _act(request, trace)
    answer["warnings"] = list({entry["text"]: entry for entry in heard}.values())
    part = request["answer"] + ".part"
    with open(part, "w", encoding="utf-8") as stream:
        json.dump(answer, stream)
    os.replace(part, request["answer"])
    leave(0)


def _read(path: str) -> Answer:
    with open(path, encoding="utf-8") as stream:
        request: Answer = json.load(stream)
    return request


def _preload() -> bool:
    """Import dagster's server, which takes most of the time; returns whether that failed."""
    try:
        _dagster()
    except BaseException:
        return True
    return False


def _dagster() -> Any:
    """Dagster, with its server imported."""
    # The collector looks again and again at what an import makes, which is never garbage: a seventh of the time.
    gc.disable()
    try:
        import dagster._grpc.server
    finally:
        gc.freeze()
        gc.enable()

    return dagster


def _hidden(request: Answer) -> bool:
    """Whether the project may hide a module that was imported before the project's code was there.

    The project's directories are first on the path, so their files hide installed modules of the same name.
    """
    before = list(sys.path)
    (place,) = glob.glob(os.path.join(sys.prefix, "lib", "python*", "site-packages"))
    for name in os.listdir(place):
        if name == _PATHS:
            # The interpreter would process it at start-up.
            site.addpackage(place, name, None)
        elif name.endswith(".pth") and name != "PEX_EXTRA_SYS_PATH.pth":
            return True
    places = [place, request["directory"], *(path for path in sys.path if path not in before)]
    entries = [entry for path in places if os.path.isdir(path) for entry in os.listdir(path)]
    names = {entry.split(".")[0] for entry in entries}
    imported = {name.split(".")[0] for name in sys.modules} | {"sitecustomize", "usercustomize"}
    return not names.isdisjoint(imported)


def _act(request: Answer, trace: int) -> Answer:
    try:
        dagster = _dagster()
    except BaseException as error:
        return {"step": "dagster", "error": _describe(error), "modules": _modules()}
    # The time limit starts here: importing dagster does not count as the project's time.
    faulthandler.dump_traceback_later(request["timeout"], exit=True, file=trace)
    started = time.monotonic()
    states: dict[str, tuple[str, bool]] = {}
    answer: Answer = {"found": {}, "refreshed": []}
    try:
        with _storage(request["states"], states):
            if request["refresh"]:
                answer["refreshed"] = _refresh()
            else:
                answer["found"] = _load(dagster, request)
    except BaseException as error:
        answer = {"step": "load", "error": _describe(error), "modules": _modules()}
        answer["loadable"] = _loadable(dagster, request)
    else:
        asked = [(key, kind, present) for key, (kind, present) in sorted(states.items())]
        answer.update(step="done", states=asked, dagster_version=dagster.__version__)
    faulthandler.cancel_dump_traceback_later()
    answer["seconds"] = time.monotonic() - started
    return answer


def _load(dagster: Any, request: Answer) -> dict[str, list[str]]:
    """Load the location as `dagster api grpc` does (dagster/_cli/api.py); returns the names of its definitions."""
    server = dagster._grpc.server
    origin = server.LoadableTargetOrigin(
        executable_path=sys.executable,
        attribute=request["attribute"],
        # Relative, as the receiving server passes it (dagster_cloud/pex/grpc/server/manager.py).
        working_directory=request["working_directory"] or ".",
        **{request["code_source"][0]: request["code_source"][1]},
    )
    given = {
        "loadable_target_origin": origin,
        "entry_point": [sys.executable, "-m", "dagster"],
        "container_image": None,
        "container_context": None,
        "code_location_name": request["name"],
    }
    # Older versions of dagster have fewer parameters.
    known = inspect.signature(server.LoadedRepositories).parameters
    loaded = server.LoadedRepositories(**{key: value for key, value in given.items() if key in known})
    repositories = list(loaded.definitions_by_name.values())
    for repository in repositories:
        _snapshot(repository)
    return {
        kind: sorted({name for repository in repositories for name in names(repository)})
        for kind, names in _NAMES.items()
    }


@contextlib.contextmanager
def _storage(directory: str, states: dict[str, tuple[str, bool]]) -> Iterator[None]:
    """Store states of state-backed components in a directory, and record which states they request, by key."""
    try:
        from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext
        from dagster._core.storage.defs_state.base import DefsStateStorage, set_defs_state_storage
        from dagster_shared.serdes.objects.models.defs_state_info import DefsStateInfo
    except ImportError:
        # dagster before 1.12
        yield
        return

    class Storage(DefsStateStorage[Any]):
        latest = DefsStateInfo.empty()

        def get_latest_defs_state_info(self) -> Any:
            return self.latest

        def download_state_to_path(self, key: str, version: str, path: Any) -> None:  # noqa: ARG002
            shutil.copyfile(os.path.join(directory, version), path)

        def upload_state_from_path(self, key: str, version: str, path: Any) -> None:
            os.makedirs(directory, exist_ok=True)
            shutil.copyfile(path, os.path.join(directory, version))
            self.set_latest_version(key, version)

        def set_latest_version(self, key: str, version: Any) -> None:
            type(self).latest = DefsStateInfo.add_version(self.latest, key, version)

    original = DefinitionsLoadContext.state_path

    @contextlib.contextmanager
    def noted(self: Any, config: Any, *arguments: Any, **more: Any) -> Iterator[Any]:
        with original(self, config, *arguments, **more) as path:
            states[config.key] = (config.management_type.value, path is not None)
            yield path

    DefinitionsLoadContext.state_path = noted  # type: ignore[method-assign]
    with set_defs_state_storage(Storage()):  # type: ignore[no-untyped-call]
        yield


def _refresh() -> list[tuple[str, str, str]]:
    """Refresh all states as `dg utils refresh-defs-state` does; returns key, kind and version of each."""
    from dagster.components.component.state_backed_component import StateBackedComponent
    from dagster.components.core.component_tree import ComponentTree

    root = Path.cwd()
    sys.path.insert(0, str(root))
    components = ComponentTree.for_project(root).get_all_components(
        of_type=StateBackedComponent  # type: ignore[type-abstract]
    )
    kept = {
        component.defs_state_config.key: component
        for component in components
        if component.defs_state_config.management_type.value in ("LOCAL_FILESYSTEM", "VERSIONED_STATE_STORAGE")
    }

    async def refresh() -> list[Any]:
        return await asyncio.gather(*(component.refresh_state(root) for component in kept.values()))

    kinds = (component.defs_state_config.management_type.value for component in kept.values())
    return list(zip(kept, kinds, asyncio.run(refresh())))  # noqa: B905  (Python 3.9)


def _snapshot(repository: Any) -> None:
    """Serialise the definitions as the server does, which finds further errors in them."""
    snapshot = getattr(sys.modules["dagster._grpc.server"], "RepositorySnap", None)
    if snapshot is None:
        # dagster before 1.9
        return
    with warnings.catch_warnings():
        # Dagster itself reads deprecated attributes here, such as a schedule's `environment_vars`.
        warnings.simplefilter("ignore", DeprecationWarning)
        snapshot.from_def(repository)


def _assets(repository: Any) -> list[str]:
    graph = repository.asset_graph
    # `all_asset_keys` is the property of dagster before 1.7.
    keys = graph.get_all_asset_keys() if hasattr(graph, "get_all_asset_keys") else graph.all_asset_keys
    return [key.to_user_string() for key in keys]


def _asset_checks(repository: Any) -> list[str]:
    keys = getattr(repository.asset_graph, "asset_check_keys", ())
    return [f"{key.asset_key.to_user_string()}:{key.name}" for key in keys]


_NAMES: dict[str, Callable[[Any], list[str]]] = {
    "assets": _assets,
    "asset_checks": _asset_checks,
    # Jobs with such names are created by dagster itself.
    "jobs": lambda repository: [job.name for job in repository.get_all_jobs() if not job.name.startswith("__")],
    "schedules": lambda repository: [schedule.name for schedule in repository.schedule_defs],
    "sensors": lambda repository: [sensor.name for sensor in repository.sensor_defs],
    "resources": lambda repository: list(repository.get_top_level_resources()),
}


def _describe(error: BaseException) -> Answer:
    """Describe an exception and its causes."""
    attributes: dict[str, str] = {}
    if isinstance(error, ImportError) and error.name:
        attributes["module"] = error.name
    if isinstance(error, OSError) and error.errno == errno.ENOENT and isinstance(error.filename, (str, bytes)):
        attributes["file"] = os.path.abspath(os.fsdecode(error.filename))
        attributes["file_as_written"] = os.fsdecode(error.filename)
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
        attributes["key"] = error.args[0]
    frames = [
        (_absolute(frame.filename), frame.lineno or 0, frame.name, frame.line or "")
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__
    ]
    return {
        "kind": type(error).__name__,
        "message": "".join(traceback.format_exception_only(type(error), error)),
        "frames": frames,
        "attributes": attributes,
        "cause": None if error.__cause__ is None else _describe(error.__cause__),
    }


def _modules() -> dict[str, str]:
    """The files of the imported modules that are in no package."""
    files = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
    return {name: _absolute(file) for name, file in files.items() if "." not in name and isinstance(file, str)}


def _absolute(path: str) -> str:
    # `<frozen os>` and the like are not paths.
    return path if path.startswith("<") else os.path.abspath(path)


def _loadable(dagster: Any, request: Answer) -> list[str]:
    """The names in the module that could be loaded, if it was imported."""
    kind, value = request["code_source"]
    name = os.path.splitext(os.path.basename(value))[0] if kind == "python_file" else value
    wanted = (dagster.Definitions, dagster.RepositoryDefinition)
    return [key for key, value in vars(sys.modules.get(name, sys)).items() if isinstance(value, wanted)]


def _watch(trace: int) -> None:
    """Write the stack to a file if the process crashes or exits."""
    faulthandler.enable(trace, all_threads=False)
    leave, here = os._exit, os.getpid()

    def ended(status: int) -> Any:
        # Forked children call this too.
        if os.getpid() == here:
            faulthandler.dump_traceback(trace, all_threads=False)
        leave(status)

    os._exit = ended


def _listen() -> list[dict[str, str]]:
    """Record the warnings that dagster raises instead of printing them."""
    heard: list[dict[str, str]] = []
    warnings.simplefilter("default")
    show = warnings.showwarning

    def note(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        if _raised_by_dagster(inspect.currentframe()):
            if category.__name__ in _STAGES and f"{os.sep}site-packages{os.sep}{_LIBRARY}" in filename:
                # Dagster uses a beta of its own, such as for `selection="*"`: nothing that the user wrote.
                return
            heard.append({"text": str(message), "path": os.path.abspath(filename), "line": str(lineno)})
        else:
            show(message, category, filename, lineno, file, line)

    warnings.showwarning = note
    return heard


def _raised_by_dagster(frame: Any | None) -> bool:
    while frame is not None and frame.f_globals.get("__name__") in (__name__, "warnings"):
        frame = frame.f_back
    name = frame.f_globals.get("__name__", "") if frame is not None else ""
    return str(name).split(".")[0].split("_")[0] == _LIBRARY


if __name__ == "__main__":
    main(sys.argv[1], anew=len(sys.argv) > 2)
