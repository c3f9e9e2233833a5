"""Choosing the target of a run that no option sets, from the projects' declarations."""

from __future__ import annotations

from collections.abc import Iterable

from builder.project.location import SourceTree
from builder.project.python_version import choose_python
from builder.resolution.target import DEFAULT_PYTHON_VERSION, PYTHON_VERSIONS, Target, serverless_target
from builder.terminal.console import console


def projects_target(trees: Iterable[SourceTree]) -> Target:
    """The target that these source trees are made for; says what it is where it is not the default.

    Raises ProjectError for trees that are made for different Pythons.
    """
    chosen = choose_python(trees, PYTHON_VERSIONS, DEFAULT_PYTHON_VERSION)
    console.notices(chosen.notices)
    if chosen.because and chosen.version != DEFAULT_PYTHON_VERSION:
        place = chosen.because.path.relative_to(chosen.because.path.parents[1])
        console.note(f"for Python {chosen.version}, as `{place}` says; --python-version chooses another")
    return serverless_target(chosen.version)
