"""Refreshing the state of state-backed components during a build, and adding it to the source PEX or the image.

This corresponds to `dg plus deploy refresh-defs-state` before a build, with two differences: the code runs from
the built files, with its dependencies, so that the user's tree is not changed; and it gets no token: states that
the deployment stores are written to a directory, from which the builder uploads them (`updater`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from builder.assembly.source_pex_changes import with_files
from builder.assembly.source_tree import ROOT
from builder.building.image import with_state
from builder.building.workspace import ProjectBuild
from builder.delivery.location_run import LocationRun
from builder.errors import LoadError
from builder.terminal.console import console
from builder.verification.verify import ToVerify, refresh_states


def refresh(
    run: LocationRun,
    item: ToVerify,
    states: Path,
    out_dir: Path,
    *,
    timeout: float,
    environment: Mapping[str, str],
) -> None:
    """Refresh the state of a location's components, and put what is local into its source PEX or its image.

    :param item: its files.
    :param states: a directory for what the deployment is to keep; it must be there until the location is updated.
    :param environment: variables that the code gets besides those of this process that are no secrets.

    If the state cannot be refreshed, that is the location's error from then on.
    """
    with console.step(f"state of `{run.name}`") as step, console.progress(f"state of `{run.name}`", None):
        try:
            refreshed, local = refresh_states(item, states, timeout=timeout, environment=environment)
        except LoadError as error:
            run.error = error
            step.title = f"the state of `{run.name}` was not refreshed"
            return
        run.error = None
        run.states = tuple((state, states / state.version) for state in refreshed)
        if run.image and local:
            files = {name.removeprefix(f"{ROOT}/"): content for name, content in local.items()}
            run.image = with_state(run.image, files, states)
        elif run.build and local:
            run.build = _with_files(run.build, local, out_dir, item.python_version)
        names = ", ".join(f"`{state.key}`" for state in refreshed)
        step.title = f"refreshed the state of `{run.name}`: {names or 'nothing has any'}"


def _with_files(
    build: ProjectBuild, files: Mapping[str, bytes], out_dir: Path, python_version: str
) -> ProjectBuild:
    source = build.source
    assembled = with_files(source.artefact.path, files, python_version=python_version, out_dir=out_dir)
    added = files.keys() - {file.name for file in source.contents}
    changed = replace(
        source, artefact=assembled.artefact, files=source.files + len(added), contents=assembled.files
    )
    return replace(build, source=changed)
