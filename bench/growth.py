"""How the time and the memory of a build grow with locations, distributions and files.

    python bench/growth.py [BUILDER_PEX] [--small] [--write]    (default: generated/gha/builder.pex)

Prints a table in Markdown, which `--write` puts into bench/README.md, and writes a picture of it to
bench/results/growth.svg. Distributions and files are made up: wheels of 30 modules from a directory, modules of a
few lines. Beside each build stands what a user would use instead: dagster-cloud's builder as a library, for each
location one after the other, and pex's command line for the dependencies alone. `--small` measures the same of
this project, and of the others what takes no more than a minute or two.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.measuring import (
    REPOSITORY,
    Argv,
    Usage,
    environment,
    machine,
    markdown,
    publish,
    run,
    workspace,
)
from bench.run import PEX_RESOLVER
from tests.support.wheels import make_wheel

EXISTING_TOOL = Path(__file__).with_name("existing_tool.py")

LOCATIONS, DISTRIBUTIONS, FILES = (1, 5, 20), (71, 250, 600), (1_000, 10_000, 50_000)
LARGE_FILE = 300 << 20
OTHERS = {"locations": 5, "distributions": 600, "files": 50_000, "MB in one file": 300}
"""How many of each the other tools are measured with at most: 20 locations take them half an hour."""
OTHERS_SMALL = {"locations": 0, "distributions": 71, "files": 10_000, "MB in one file": 300}

OF_QUICKSTART = 71
"""Distributions that the quickstart has without any others."""


OURS, OTHER = TOOLS = ("this project", "instead")


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured: of `count` things of a kind, the first time and again."""

    tool: str
    kind: str
    count: int
    first: Usage
    again: Usage


@dataclass(frozen=True, slots=True)
class Bench:
    """The builder, a directory for everything, and the figures.

    :param others: with how many things what a user would use instead is measured, too.
    """

    builder: Path
    root: Path
    others: Mapping[str, int]
    rows: list[Row] = field(default_factory=list)

    def measure(self, kind: str, count: int, ours: Argv, other: Argv, links: Path | None = None) -> None:
        """Run each tool twice, the first time with a new cache; both get a directory as last argument."""
        for tool, argv in ((OURS, [self.builder, "-m", *ours]), (OTHER, other)):
            if tool == OURS or count <= self.others[kind]:
                home = self.root / f"home-{tool}-{kind}-{count}"
                (home / "out").mkdir(parents=True)
                env = environment(home) | ({"PIP_FIND_LINKS": str(links)} if links else {})
                whole = [*argv, home / "out" / ("deps.pex" if "pex" in argv else "")]
                first, again = (run(whole, self.root, env) for _ in range(2))
                shutil.rmtree(home)
                self.rows.append(Row(tool, kind, count, first, again))
                print(self.rows[-1], file=sys.stderr, flush=True)

    def locations(self, count: int) -> None:
        """Copies of the quickstart, each with a package of its own, in one workspace."""
        place = self.root / f"workspace-{count}"
        projects = workspace(place, count)
        other: Argv = [sys.executable, EXISTING_TOOL, "both", *projects]
        self.measure("locations", count, ["builder.deploy", place / "dagster_cloud.yaml"], other)

    def distributions(self, count: int) -> None:
        """The quickstart's distributions and made-up ones."""
        links, project = self.root / f"wheels-{count}", self.root / f"project-{count}"
        links.mkdir()
        project.mkdir()
        names = [f"made-up-{number}" for number in range(count - OF_QUICKSTART)]
        for name in names:
            module = name.replace("-", "_")
            make_wheel(
                links, {f"{module}/m{number}.py": f"value = {number}\n" * 200 for number in range(30)}, name=name
            )
        text = "".join(f"{line}\n" for line in ("dagster", "dagster-cloud", "pandas", *names))
        requirements = project / "requirements.txt"
        requirements.write_text(text, encoding="utf-8")
        other: Argv = [sys.executable, "-m", "pex", "-r", requirements, "-f", links, *PEX_RESOLVER, "-o"]
        self.measure("distributions", count, ["builder.deps", project], other, links)

    def files(self, count: int) -> None:
        """A project of small modules."""
        project = self.root / f"files-{count}"
        for number in range(count):
            path = project / f"part{number // 500}" / f"module{number}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"def function():\n    return {number}\n" * 4, encoding="utf-8")
        self._source("files", count, project)

    def large_file(self, size: int) -> None:
        """A project of one file, half of which can be compressed."""
        project = self.root / "large"
        project.mkdir()
        with (project / "data.bin").open("wb") as stream, Path("/dev/urandom").open("rb") as noise:
            for _ in range(size >> 20):
                stream.write(noise.read(1 << 19) + bytes(1 << 19))
        self._source("MB in one file", size >> 20, project)

    def _source(self, kind: str, count: int, project: Path) -> None:
        (project / "requirements.txt").write_text("dagster\ndagster-cloud\n", encoding="utf-8")
        other: Argv = [sys.executable, EXISTING_TOOL, "source", project]
        self.measure(kind, count, ["builder.source", project], other)


def table(rows: list[Row]) -> str:
    """The figures, with the time of each thing, and how many times longer the other tool takes."""
    names = ["first", "again", "each, again", "peak memory"]
    lines = [["", *names, "instead: first", "again", "peak memory"]]
    for row in rows:
        if row.tool == OURS:
            each = f"{1000 * row.again.seconds / row.count:.2f} ms"
            cells = [_seconds(row.first), _seconds(row.again), each, _memory(row)]
            other = next((other for other in rows if other.tool == OTHER and _thing(other) == _thing(row)), None)
            cells += [_seconds(other.first, row.first), _seconds(other.again, row.again)] if other else [""] * 2
            lines.append([f"{row.count:,} {row.kind}", *cells, _memory(other) if other else ""])
    return markdown(lines)


def _thing(row: Row) -> tuple[str, int]:
    return row.kind, row.count


def _seconds(value: Usage, own: Usage | None = None) -> str:
    compared = f"{value.seconds / own.seconds:.1f} times" if own else f"{value.cpu:.1f} s CPU"
    return f"{value.seconds:.2f} s ({compared})"


def _memory(row: Row) -> str:
    return f"{max(row.first.memory, row.again.memory) / 1e6:.0f} MB"


def picture(rows: list[Row]) -> str:
    """A picture of the seconds against the count, each kind in a box of its own."""
    kinds = list(dict.fromkeys(row.kind for row in rows))
    boxes = "".join(
        f'<g transform="translate({60 + 300 * index}, 30)">{"".join(_box(kind, rows))}</g>'
        for index, kind in enumerate(kinds)
    )
    size = f'width="{300 * len(kinds) + 40}" height="260"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">{boxes}</svg>\n'
    )


def _box(kind: str, rows: list[Row]) -> Iterator[str]:
    """Both axes are logarithmic: what grows as it should is a line of one slope, whatever the tool."""
    mine = [row for row in rows if row.kind == kind]
    counts, seconds = (
        [row.count for row in mine],
        [value.seconds for row in mine for value in (row.first, row.again)],
    )
    yield f'<text x="0" y="-10">{kind}: first (black), again (blue), instead (dashed)</text>'
    yield '<path d="M0 0V190H240" fill="none" stroke="grey"/>'
    yield f'<text x="-50" y="10">{max(seconds):.1f} s</text><text x="-50" y="190">{min(seconds):.1f} s</text>'
    yield f'<text x="0" y="208">{min(counts):,}</text><text x="200" y="208">{max(counts):,}</text>'
    for tool, dashes in zip(TOOLS, ("", ' stroke-dasharray="6"'), strict=True):
        for colour in ("black", "blue"):
            points = [
                (240 * _part(row.count, counts), 190 - 190 * _part(value.seconds, seconds))
                for row in mine
                if row.tool == tool
                for value in [row.first if colour == "black" else row.again]
            ]
            line = " ".join(f"{across:.0f},{up:.0f}" for across, up in points)
            yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
            yield from (
                f'<circle cx="{across:.0f}" cy="{up:.0f}" r="3" fill="{colour}"/>' for across, up in points
            )


def _part(value: float, values: Sequence[float]) -> float:
    """Where a value is between the least and the greatest, on a logarithmic scale, from 0 to 1."""
    least, greatest = math.log(min(values)), math.log(max(values))
    return (math.log(value) - least) / (greatest - least) if greatest > least else 0.5


def main() -> None:
    """Measure each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builder_pex", nargs="?", type=Path, default=REPOSITORY / "generated/gha/builder.pex")
    parser.add_argument("--small", action="store_true", help="the others only where it takes a minute or two")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
        bench = Bench(given.builder_pex.resolve(), Path(name), OTHERS_SMALL if given.small else OTHERS)
        for count in LOCATIONS:
            bench.locations(count)
        for count in DISTRIBUTIONS:
            bench.distributions(count)
        for count in FILES:
            bench.files(count)
        bench.large_file(LARGE_FILE)
    results = REPOSITORY / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "growth.svg").write_text(picture(bench.rows), encoding="utf-8")
    publish("growth", table(bench.rows), machine(load), write=given.write)


if __name__ == "__main__":
    main()
