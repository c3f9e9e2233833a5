"""How the time and the memory of a build grow with locations, distributions and files.

    python bench/growth.py [BUILDER_PEX] [--small]    (default: generated/gha/builder.pex)

Prints a table in Markdown, and writes a picture of it to bench/results/growth.svg. Distributions and files are
made up: wheels of 30 modules from a directory, modules of a few lines. `--small` is for a first look.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from bench.deploy import QUICKSTART, environment, run  # noqa: E402  (found by the line above)
from tests.support.wheels import make_wheel  # noqa: E402  (the same)

LOCATIONS, DISTRIBUTIONS, FILES = (1, 5, 20), (71, 250, 600), (1_000, 10_000, 50_000)
SMALL = ((1, 3), (80, 120), (100, 1_000))
LARGE_FILE = 300 << 20
OF_QUICKSTART = 71
"""Distributions that the quickstart has without any others."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured: of `count` things of a kind, the first time and again."""

    kind: str
    count: int
    first: float
    again: float
    memory: int


@dataclass(frozen=True, slots=True)
class Bench:
    """The builder, and a directory for everything."""

    builder: list[str | Path]
    root: Path

    def measure(
        self, kind: str, count: int, command: str, *arguments: str | Path, links: Path | None = None
    ) -> Row:
        """Run a command twice, the first time with a new cache."""
        home = self.root / f"home-{kind}-{count}"
        home.mkdir()
        env = environment(home) | ({"PIP_FIND_LINKS": str(links)} if links else {})
        argv = [*self.builder, "-m", f"builder.{command}", *arguments, home / "out"]
        (first, memory), (again, _) = (run(argv, self.root, env) for _ in range(2))
        shutil.rmtree(home)
        row = Row(kind, count, first, again, memory)
        print(row, file=sys.stderr, flush=True)
        return row

    def locations(self, count: int) -> Row:
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
        return self.measure("locations", count, "deploy", path)

    def distributions(self, count: int) -> Row:
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
        (project / "requirements.txt").write_text(text, encoding="utf-8")
        return self.measure("distributions", count, "deps", project, links=links)

    def files(self, count: int) -> Row:
        """A project of small modules."""
        project = self.root / f"files-{count}"
        for number in range(count):
            path = project / f"part{number // 500}" / f"module{number}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"def function():\n    return {number}\n" * 4, encoding="utf-8")
        return self._source("files", count, project)

    def large_file(self, size: int) -> Row:
        """A project of one file, half of which can be compressed."""
        project = self.root / "large"
        project.mkdir()
        with (project / "data.bin").open("wb") as stream, Path("/dev/urandom").open("rb") as noise:
            for _ in range(size >> 20):
                stream.write(noise.read(1 << 19) + bytes(1 << 19))
        return self._source("MB in one file", size >> 20, project)

    def _source(self, kind: str, count: int, project: Path) -> Row:
        (project / "requirements.txt").write_text("dagster\ndagster-cloud\n", encoding="utf-8")
        return self.measure(kind, count, "source", project)


def table(rows: list[Row]) -> str:
    """The figures, with the time of each thing."""
    lines = ["| | first | again | each, again | peak memory |", "| --- | ---: | ---: | ---: | ---: |"]
    lines += [
        f"| {row.count:,} {row.kind} | {row.first:.2f} s | {row.again:.2f} s | {_each(row)} ms"
        f" | {row.memory / 1e6:.0f} MB |"
        for row in rows
    ]
    return "\n".join(lines)


def _each(row: Row) -> str:
    return f"{1000 * row.again / row.count:.2f}"


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
    mine = [row for row in rows if row.kind == kind]
    across, up = max(row.count for row in mine), max(row.first for row in mine)
    yield f'<text x="0" y="-10">{kind}: seconds, first (black) and again (blue)</text>'
    yield '<path d="M0 0V190H240" fill="none" stroke="grey"/>'
    yield f'<text x="-45" y="10">{up:.1f} s</text><text x="190" y="208">{across:,}</text>'
    for colour, seconds in (("black", [row.first for row in mine]), ("blue", [row.again for row in mine])):
        points = " ".join(
            f"{240 * row.count / across:.0f},{190 - 190 * value / up:.0f}"
            for row, value in zip(mine, seconds, strict=True)
        )
        yield f'<polyline points="0,190 {points}" fill="none" stroke="{colour}" stroke-width="2"/>'


def main() -> None:
    """Measure each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builder_pex", nargs="?", type=Path, default=REPOSITORY / "generated/gha/builder.pex")
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    locations, distributions, files = SMALL if given.small else (LOCATIONS, DISTRIBUTIONS, FILES)
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
        bench = Bench([given.builder_pex.resolve()], Path(name))
        rows = [bench.locations(count) for count in locations]
        rows += [bench.distributions(count) for count in distributions]
        rows += [bench.files(count) for count in files]
        rows.append(bench.large_file(LARGE_FILE >> (4 if given.small else 0)))
    results = REPOSITORY / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "growth.svg").write_text(picture(rows), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
