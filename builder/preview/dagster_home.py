"""Creating the `DAGSTER_HOME` of a preview: a temporary dagster instance."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_SETTINGS: Final = """\
telemetry:
  enabled: false
# Runs start at once, in a process of their location's code server: there is no daemon to take them from a queue.
run_coordinator:
  module: dagster._core.run_coordinator
  class: DefaultRunCoordinator
"""


def make_home(directory: Path) -> Path:
    """Make an empty home of the directory, whose runs and materialisations are kept in it."""
    directory.mkdir()
    (directory / "dagster.yaml").write_text(_SETTINGS, encoding="utf-8")
    # Else the page opens with a request for an e-mail address, each time anew (dagster/_core/nux.py).
    (directory / ".nux").mkdir()
    (directory / ".nux" / "nux.yaml").write_text("seen: 1\n", encoding="utf-8")
    return directory
