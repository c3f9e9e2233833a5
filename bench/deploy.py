"""Deploy copies of examples/quickstart to a Dagster Cloud on loopback, with this project and the existing tool.

    python bench/deploy.py [BUILDER_PEX] [--small] [--write]    (default: generated/gha/builder.pex)

The server is that of the tests, behind 20 ms of latency and 50 Mbit/s unless told otherwise. One location in five
situations: first (all caches empty), unchanged, one file changed, back to the version before, one requirement
added; several locations in the first three. Prints a table in Markdown, which `--write` puts into
bench/README.md: seconds until the locations are loaded, seconds of processor time, megabytes sent, peak memory of
the largest process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.measuring import (
    REPOSITORY,
    Argv,
    Usage,
    edit,
    environment,
    machine,
    markdown,
    publish,
    run,
    workspace,
)
from tests.support.cloud import CloudServer
from tests.support.cloud.web import Throttle

LATENCY = 0.02
BITS_PER_SECOND = 50e6
ADDED = "humanize"
"""A requirement without requirements of its own."""

LOCATIONS = (1, 5, 20)
OTHERS_LOCATIONS = 5
"""More locations than these take the other tool half an hour: a minute and a half each."""

FIRST, UNCHANGED, FILE, ROLLBACK, REQUIREMENT = SITUATIONS = (
    "first",
    "unchanged",
    "one file changed",
    "back to the version before",
    "one requirement added",
)


@dataclass(frozen=True, slots=True)
class Figures:
    """One run, and how many bytes it sent."""

    usage: Usage
    sent: int


@dataclass(slots=True)
class Tool:
    """A way to deploy a workspace, with caches of its own.

    :param deploy: the command that deploys, in the directory of a workspace of so many locations.
    :param back: the command that goes back to the version before; None if that is deployed again.
    """

    name: str
    root: Path
    deploy: Callable[[Path, int, CloudServer], Argv]
    back: Argv | None = None
    figures: dict[tuple[int, str], list[Figures]] = field(default_factory=dict)

    def measure(self, count: int, runs: int, throttle: Throttle | None) -> None:
        """Deploy so many locations in each situation, with a cache of their own."""
        place = self.root / str(count)
        projects = workspace(place, count)
        assets, manifest = (projects[0] / name for name in ("quickstart/assets.py", "pyproject.toml"))
        with CloudServer(throttle=throttle) as cloud:
            argv = self.deploy(place, count, cloud)
            self._run(FIRST, argv, place, count, cloud)
            for _ in range(runs):
                self._run(UNCHANGED, argv, place, count, cloud)
            for number in range(runs):
                before = assets.read_bytes()
                edit(projects[0], number)
                self._run(FILE, argv, place, count, cloud)
                if count > 1:
                    continue
                changed = assets.read_bytes()
                assets.write_bytes(before)
                self._run(ROLLBACK, self.back or argv, place, count, cloud)
                assets.write_bytes(changed)
            if count == 1:
                text = manifest.read_text(encoding="utf-8")
                manifest.write_text(text.replace('"pandas"', f'"pandas", "{ADDED}"'), encoding="utf-8")
                self._run(REQUIREMENT, argv, place, count, cloud)

    def _run(self, situation: str, argv: Argv, place: Path, count: int, cloud: CloudServer) -> None:
        cloud.requests.clear()
        usage = run(argv, place, {**environment(place), **cloud.environ()})
        figures = Figures(usage, sum(size for _, size in cloud.uploads()))
        self.figures.setdefault((count, situation), []).append(figures)
        print(f"{self.name}, {count}, {situation}: {usage}", file=sys.stderr, flush=True)


def table(tools: list[Tool]) -> str:
    """Medians, and how many times longer than this project the other tool takes."""
    rows = [["", *(tool.name for tool in tools)]]
    for count, situation in tools[0].figures:
        cells = []
        for tool in tools:
            figures = tool.figures.get((count, situation), [])
            cells.append(_cell(figures, tools[0].figures[count, situation]) if figures else "")
        rows.append([f"{count} location{'s' if count > 1 else ''}, {situation}", *cells])
    return markdown(rows)


def _cell(figures: list[Figures], ours: list[Figures]) -> str:
    seconds, own = (statistics.median(each.usage.seconds for each in some) for some in (figures, ours))
    times = "" if figures is ours else f" ({seconds / own:.1f} times)"
    cpu = statistics.median(each.usage.cpu for each in figures)
    sent = statistics.median(each.sent for each in figures) / 1e6
    memory = max(each.usage.memory for each in figures) / 1e6
    return f"{seconds:.2f} s{times}, {cpu:.1f} s CPU, {sent:.1f} MB sent, {memory:.0f} MB memory"


def ours(builder: Path) -> Callable[[Path, int, CloudServer], Argv]:
    """How this project deploys."""

    def argv(place: Path, _count: int, _cloud: CloudServer) -> Argv:
        options = ["--upload-pex", "--update-code-location", "--deps-cache-tag-read=bench"]
        options += ["--deps-cache-tag-write=bench", "--code-location-details=deployment=prod,commit_hash=abc"]
        return [builder, "-m", "builder.deploy", place / "dagster_cloud.yaml", place / "out", *options]

    return argv


def theirs(_place: Path, count: int, cloud: CloudServer) -> Argv:
    """How the existing tool deploys; it is told of one location, or of all."""
    argv = ["dagster-cloud", "serverless", "deploy-python-executable", "project0" if count == 1 else "."]
    argv += ["--url", f"{cloud.url}/prod", "--location-name", "l0" if count == 1 else "*"]
    argv += ["--location-file", "dagster_cloud.yaml", "--build-method", "local"]
    return [*argv, "--deps-cache-from", "bench", "--deps-cache-to", "bench", "--commit-hash", "abc"]


def main() -> None:
    """Measure one tool after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builder_pex", nargs="?", type=Path, default=REPOSITORY / "generated/gha/builder.pex")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="the other tool with one location only, and one run")
    parser.add_argument("--fast-network", action="store_true", help="no latency, no limit")
    parser.add_argument("--ours-only", action="store_true")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    builder = given.builder_pex.resolve()
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
        back = [builder, "-m", "builder.rollback", "l0", "--deployment", "prod"]
        tools = [Tool("this project", Path(name) / "ours", ours(builder), back)]
        if not given.ours_only:
            tools.append(Tool("dagster-cloud-cli", Path(name) / "theirs", theirs))
        for tool in tools:
            mine = tool is tools[0]
            for count in LOCATIONS:
                if mine or count <= (1 if given.small else OTHERS_LOCATIONS):
                    throttle = None if given.fast_network else Throttle(LATENCY, BITS_PER_SECOND)
                    tool.measure(count, given.runs if mine or not given.small else 1, throttle)
        publish("deploys", table(tools), machine(load), write=given.write)


if __name__ == "__main__":
    main()
