"""How the time and the memory of a build grow with locations, distributions and files.

    python bench/growth.py [BUILDER_PEX] [--small] [--ours-only]    (default: generated/gha/builder.pex)

Prints a table in Markdown, and writes a picture of it to bench/results/growth.svg. Distributions and files are
made up: wheels of 30 modules from a directory, modules of a few lines. `--small` is for a first look. Beside each
build stands what a user would use instead: dagster-cloud's builder as a library, for each location one after the
other, and pex's command line for the dependencies alone.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from bench.deploy import QUICKSTART, environment, run  # noqa: E402  (found by the line above)
from bench.run import PEX_RESOLVER  # noqa: E402  (the same)
from tests.support.wheels import make_wheel  # noqa: E402  (the same)

EXISTING_TOOL = Path(__file__).with_name("existing_tool.py")

LOCATIONS, DISTRIBUTIONS, FILES = (1, 5, 20), (71, 250, 600), (1_000, 10_000, 50_000)
SMALL = ((1, 3), (80, 120), (100, 1_000))
LARGE_FILE = 300 << 20
OTHERS_LOCATIONS = 5
"""More locations than these take the other tool half an hour: a minute and a half each."""

OF_QUICKSTART = 71
"""Distributions that the quickstart has without any others."""


OURS, OTHER = TOOLS = ("this project", "instead")

Argv = list[str | Path]


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured: of `count` things of a kind, the first time and again."""

    tool: str
    kind: str
    count: int
    first: float
    again: float
    memory: int


@dataclass(frozen=True, slots=True)
class Bench:
    """The builder, a directory for everything, and the figures.

    :param others: whether to measure what a user would use instead, too.
    """

    builder: Path
    root: Path
    others: bool
    rows: list[Row] = field(default_factory=list)

    def measure(self, kind: str, count: int, ours: Argv, other: Argv | None, links: Path | None = None) -> None:
        """Run each tool twice, the first time with a new cache; both get a directory as last argument."""
        for tool, argv in ((OURS, [self.builder, "-m", *ours]), (OTHER, other if self.others else None)):
            if argv:
                home = self.root / f"home-{tool}-{kind}-{count}"
                (home / "out").mkdir(parents=True)
                env = environment(home) | ({"PIP_FIND_LINKS": str(links)} if links else {})
                whole = [*argv, home / "out" / ("deps.pex" if "pex" in argv else "")]
                (first, memory), (again, more) = (run(whole, self.root, env) for _ in range(2))
                shutil.rmtree(home)
                self.rows.append(Row(tool, kind, count, first, again, max(memory, more)))
                print(self.rows[-1], file=sys.stderr, flush=True)

    def locations(self, count: int) -> None:
        """Copies of the quickstart, each with a package of its own, in one workspace."""
        workspace = self.root / f"workspace-{count}"
        entries = []
        for number in range(count):
            project = Path(shutil.copytree(QUICKSTART, workspace / f"project{number}"))
            manifest = project / "pyproject.toml"
            text = manifest.read_text(encoding="utf-8")
            text = text.replace('name = "quickstart"', f'name = "quickstart{number}"')
            packages = '\n[tool.hatch.build.targets.wheel]\npackages = ["quickstart"]\n'
            manifest.write_text(text + packages, encoding="utf-8")
            entries.append(
                f"  - location_name: l{number}\n    code_source: {{module_name: quickstart.definitions}}\n"
                f"    build: {{directory: project{number}}}\n"
            )
        path = workspace / "dagster_cloud.yaml"
        path.write_text("locations:\n" + "".join(entries), encoding="utf-8")
        projects = [workspace / f"project{number}" for number in range(count)]
        other: Argv | None = (
            [sys.executable, EXISTING_TOOL, "both", *projects] if count <= OTHERS_LOCATIONS else None
        )
        self.measure("locations", count, ["builder.deploy", path], other)

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
    lines = [
        "| | first | again | each, again | peak memory | instead: first | again | peak memory |",
        "| --- |" + " ---: |" * 7,
    ]
    for row in rows:
        if row.tool == OURS:
            cells = [_seconds(row.first), _seconds(row.again), f"{1000 * row.again / row.count:.2f} ms"]
            cells.append(_memory(row))
            other = next((other for other in rows if other.tool == OTHER and _thing(other) == _thing(row)), None)
            if other:
                cells.append(f"{_seconds(other.first)} ({other.first / row.first:.1f} times)")
                cells.append(f"{_seconds(other.again)} ({other.again / row.again:.1f} times)")
                cells.append(_memory(other))
            lines.append("| " + " | ".join([f"{row.count:,} {row.kind}", *cells, *[""] * (7 - len(cells))]) + " |")
    return "\n".join(lines)


def _thing(row: Row) -> tuple[str, int]:
    return row.kind, row.count


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _memory(row: Row) -> str:
    return f"{row.memory / 1e6:.0f} MB"


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
    counts, seconds = [row.count for row in mine], [value for row in mine for value in (row.first, row.again)]
    yield f'<text x="0" y="-10">{kind}: first (black), again (blue), instead (dashed)</text>'
    yield '<path d="M0 0V190H240" fill="none" stroke="grey"/>'
    yield f'<text x="-50" y="10">{max(seconds):.1f} s</text><text x="-50" y="190">{min(seconds):.1f} s</text>'
    yield f'<text x="0" y="208">{min(counts):,}</text><text x="200" y="208">{max(counts):,}</text>'
    for tool, dashes in zip(TOOLS, ("", ' stroke-dasharray="6"'), strict=True):
        for colour in ("black", "blue"):
            points = [
                (240 * _part(row.count, counts), 190 - 190 * _part(value, seconds))
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
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--ours-only", action="store_true")
    given = parser.parse_args()
    locations, distributions, files = SMALL if given.small else (LOCATIONS, DISTRIBUTIONS, FILES)
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
        bench = Bench(given.builder_pex.resolve(), Path(name), others=not given.ours_only)
        for count in locations:
            bench.locations(count)
        for count in distributions:
            bench.distributions(count)
        for count in files:
            bench.files(count)
        bench.large_file(LARGE_FILE >> (4 if given.small else 0))
    results = REPOSITORY / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "growth.svg").write_text(picture(bench.rows), encoding="utf-8")
    print(table(bench.rows))


if __name__ == "__main__":
    main()
