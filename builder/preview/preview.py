"""What `builder.preview` does: code servers from what was built, and a web page that shows them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from builder.building.built_locations import built_locations
from builder.building.verify import NOT_VERIFIED
from builder.errors import LoadError, Notice
from builder.preview.code_servers import (
    CodeServer,
    Ready,
    code_server,
    make_ready,
    socket_directory,
    wait_until_up,
)
from builder.preview.dagster_home import make_home
from builder.preview.webserver import (
    Page,
    Webserver,
    claim,
    fetched_webserver,
    page,
    webserver_of,
    write_workspace,
)
from builder.system import storage
from builder.terminal import values
from builder.terminal.console import console
from builder.terminal.formatting import counted
from builder.terminal.running import exit_zero_on_signal
from builder.verification.outcome_table import show_outcome
from builder.verification.verify import ToVerify, Verified, VerifyResult, verify_locations

_LOOK_SECONDS: Final = 0.25
"""Seconds between two checks that all servers still run."""

_KEEP_SECONDS: Final = 600.0
"""Seconds between two updates of the mark that the unpacked dependencies are in use."""

_SIDE_BY_SIDE: Final = 4
"""Locations that are unpacked at a time."""


def preview(out_dir: Path, names: Sequence[str], port: int, variables: Sequence[str], *, fetch: bool) -> int:
    """Serve what was built until a signal comes; returns the exit code if there is nothing to serve."""
    environment = values.read_variables(variables)
    claim(port)
    items, outcomes = built_locations(out_dir, names)
    outcomes |= _verified(items, environment)
    for name, outcome in outcomes.items():
        show_outcome(name, outcome)
    loading = [item for item in items if isinstance(outcomes[item.name], Verified)]
    if not loading:
        failed = any(isinstance(outcome, LoadError) for outcome in outcomes.values())
        return 1 if failed else NOT_VERIFIED
    with ExitStack() as stack:
        scratch = stack.enter_context(storage.scratch_directory())
        home, workspace = make_home(scratch / "home"), scratch / "workspace.yaml"
        locations = _unpacked(loading, scratch)
        webserver = _webserver(locations, fetch=fetch)
        servers = _started(locations, home, environment, stack)
        if not servers:
            return 1
        write_workspace(servers, workspace)
        if webserver is None:
            console.notices([Notice("there is no page: `dagster-webserver` is not a dependency; see --webserver")])
            console.result(str(workspace))
            shown = None
        else:
            with console.step(f"opened the page, by dagster-webserver {webserver.version}"):
                shown = stack.enter_context(page(webserver, workspace, port, home=home, pass_on=_of_page))
            console.result(shown.url)
        exit_zero_on_signal()
        console.note("Ctrl-C stops it")
        return _watch(servers, shown)


def _verified(items: Sequence[ToVerify], environment: Mapping[str, str]) -> dict[str, VerifyResult]:
    with console.progress(f"loading {counted(len(items), 'location')}", None):
        return verify_locations(items, environment=environment)


def _unpacked(items: Sequence[ToVerify], scratch: Path) -> list[Ready]:
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        return list(pool.map(make_ready, items, [scratch / f"source-{number}" for number in range(len(items))]))


def _webserver(locations: Sequence[Ready], *, fetch: bool) -> Webserver | None:
    webserver = webserver_of(locations)
    if webserver or not fetch:
        return webserver
    with console.progress("fetching dagster-webserver", None):
        return fetched_webserver(locations)


def _started(
    locations: Sequence[Ready], home: Path, environment: Mapping[str, str], stack: ExitStack
) -> list[CodeServer]:
    """The code servers that came up."""
    servers: list[CodeServer] = []
    sockets = stack.enter_context(socket_directory())

    def start(number: int, ready: Ready) -> CodeServer:
        server = code_server(
            ready,
            sockets / f"{number}.sock",
            home=home,
            environment=environment,
            pass_on=partial(_of_location, ready.item.name),
        )
        return stack.enter_context(server)

    def finish(server: CodeServer) -> None:
        try:
            wait_until_up(server)
        except LoadError as error:
            console.error(error, about=f"location `{server.name}`")
        else:
            servers.append(server)

    with console.step("") as step, console.progress("starting code servers", None):
        # The first makes dagster's databases: two that make the same one at once break it.
        for ready in locations[:1]:
            finish(start(0, ready))
        others = [start(number, ready) for number, ready in enumerate(locations[1:], 1)]
        for server in others:
            finish(server)
        step.title = f"started {counted(len(servers), 'code server')}" if servers else ""
    return servers


def _watch(servers: Sequence[CodeServer], shown: Page | None) -> int:
    """Wait for a signal, and report servers that end before; returns the exit code once none is left."""
    running, kept = list(servers), time.monotonic()
    while running:
        time.sleep(_LOOK_SECONDS)
        if shown and (failed := shown.failure):
            raise failed
        for server in list(running):
            if ended := server.failure:
                console.error(ended, about=f"location `{server.name}`")
                running.remove(server)
        if time.monotonic() - kept > _KEEP_SECONDS:
            kept = time.monotonic()
            for server in running:
                server.keep()
    return 1


def _of_location(name: str, line: str) -> None:
    console.note(f"{name} | {line}")


def _of_page(line: str) -> None:
    if console.verbose:
        console.note(f"dagster-webserver | {line}")
