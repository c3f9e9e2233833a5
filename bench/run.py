"""Build examples/quickstart with this project, with the existing tool and with pex, and compare: bench/README.md.

    python bench/run.py [BUILDER_PEX] [--small] [--write]    (default: generated/gha/builder.pex)

Prints a table in Markdown, which `--write` puts into bench/README.md, and keeps all figures in bench/results/.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
import tomllib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.measuring import (
    QUICKSTART,
    REPOSITORY,
    Argv,
    edit,
    environment,
    machine,
    markdown,
    publish,
    repeat_in_readme,
    run,
)

RUNS = 5

PEX_RESOLVER = ("--pip-version=latest", "--resolver-version=pip-2020-resolver")
"""As the existing tool has it; without them pex takes a pip of 2020 and fails."""


@dataclass(slots=True)
class Bench:
    """A directory for everything that is written, and what was measured: {tool: {scenario: [seconds]}}.

    :param slow_runs: how often what takes minutes is run.
    :ivar memory: of the largest process, in bytes, likewise.
    """

    root: Path
    slow_runs: int
    memory: dict[tuple[str, str], int] = field(default_factory=dict)
    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    built: dict[str, str] = field(default_factory=dict)

    def project(self, name: str) -> Path:
        """A copy of the quickstart of its own."""
        return Path(shutil.copytree(QUICKSTART, self.root / "projects" / name))

    def out(self) -> Path:
        """An empty output directory."""
        return Path(tempfile.mkdtemp(dir=self.root))

    def run(self, tool: str, scenario: str, argv: Argv, caches: Path) -> None:
        """Run a program to its end, with all its caches below one directory, and keep how long it took."""
        usage = run(argv, self.root, environment(caches))
        self.memory[tool, scenario] = max(usage.memory, self.memory.get((tool, scenario), 0))
        self.record(tool, scenario, usage.seconds)

    def record(self, tool: str, scenario: str, seconds: float) -> None:
        """Keep one figure, and show it."""
        self.seconds.setdefault(tool, {}).setdefault(scenario, []).append(seconds)
        print(f"{tool}, {scenario}: {seconds:.2f} s", file=sys.stderr, flush=True)


def builder(bench: Bench, builder_pex: Path) -> Path:
    """Measure this project; returns the output directory of its last whole build."""
    tool = "this project"
    project = bench.project("builder")
    deploy: Argv = [builder_pex, "-m", "builder.deploy", project / "dagster_cloud.yaml"]
    source: Argv = [builder_pex, "-m", "builder.source", project]
    caches = bench.root
    for count in range(RUNS):
        caches = bench.root / f"builder-caches-{count}"
        bench.run(tool, "cold", [*deploy, bench.out()], caches)
    for _ in range(RUNS):
        bench.run(tool, "warm", [*deploy, bench.out()], caches)
    for _ in range(RUNS):
        shutil.rmtree(caches / "cache" / "resolutions")
        bench.run(tool, "warm, resolved anew", [*deploy, bench.out()], caches)
    out = bench.root
    for count in range(RUNS):
        edit(project, count)
        out = bench.out()
        bench.run(tool, "warm, one file changed", [*deploy, out], caches)
        (location,) = json.loads((out / "build.json").read_text())["locations"]
        bench.record(tool, "wheels to deps PEX", location["seconds"]["assemble"])
    for _ in range(RUNS):
        bench.run(tool, "source PEX alone", [*source, bench.out()], caches)
    for count in range(RUNS):
        edit(project, RUNS + count)
        bench.run(tool, "source PEX alone, one file changed", [*source, bench.out()], caches)
    bench.built[tool] = describe(out)
    return out


def existing_tool(bench: Bench) -> None:
    """Measure dagster-cloud-cli."""
    tool = "dagster-cloud-cli"
    project = bench.project(tool)
    script = Path(__file__).with_name("existing_tool.py")
    caches = out = bench.root
    for count in range(bench.slow_runs):
        caches, out = bench.root / f"existing-caches-{count}", bench.out()
        bench.run(tool, "cold", [sys.executable, script, "both", project, out], caches)
    for _ in range(bench.slow_runs):
        bench.run(tool, "warm", [sys.executable, script, "both", project, bench.out()], caches)
    source: Argv = [sys.executable, script, "source", project]
    for _ in range(RUNS):
        bench.run(tool, "source PEX alone", [*source, bench.out()], caches)
    for count in range(RUNS):
        edit(project, count)
        bench.run(tool, "source PEX alone, one file changed", [*source, bench.out()], caches)
    bench.built[tool] = describe(out)


def pex_requirements(bench: Bench) -> Path:
    """Measure pex with its own resolver; only the deps PEX. Returns the requirements file."""
    requirements = bench.root / "requirements.txt"
    declared = tomllib.loads((QUICKSTART / "pyproject.toml").read_text())["project"]["dependencies"]
    requirements.write_text("\n".join(declared))
    pex(bench, "pex -r", ["--requirement", requirements, *PEX_RESOLVER])
    return requirements


def pex_lock(bench: Bench, built: Path) -> None:
    """Measure pex with this project's lock; only the deps PEX."""
    (lock,) = built.glob("deps-*.pylock.toml")
    pex(bench, "pex --pylock", ["--pylock", lock, "--pip-version=latest"])


def pex(bench: Bench, tool: str, arguments: Argv) -> None:
    """Measure one way of using pex's command line."""
    caches = out = bench.root
    for count in range(bench.slow_runs):
        caches, out = bench.root / f"{tool.replace(' ', '')}-caches-{count}", bench.out()
        bench.run(tool, "cold", [sys.executable, "-m", "pex", *arguments, "-o", out / "deps.pex"], caches)
    for _ in range(bench.slow_runs):
        argv: Argv = [sys.executable, "-m", "pex", *arguments, "-o", bench.out() / "deps.pex"]
        bench.run(tool, "warm", argv, caches)
    bench.built[tool] = describe(out)


def pex_assembly(bench: Bench, built: Path, requirements: Path) -> None:
    """Measure how pex makes a PEX of wheels that are there, those of this project's build, without an index."""
    wheels = bench.root / "wheels"
    wheels.mkdir()
    names = set(distributions(next(built.glob("deps-*.pex"))))
    store = max(bench.root.glob("builder-caches-*"))
    for wheel in store.rglob("*.whl"):
        if wheel.name in names:
            shutil.copy2(wheel, wheels)
    arguments: Argv = ["--requirement", requirements, "--pre-resolved-dists", wheels]
    for count in range(bench.slow_runs):
        out = bench.out() / "deps.pex"
        # An empty cache each time: pex keeps installed wheels.
        caches = bench.root / f"assembly-caches-{count}"
        bench.run("pex -r", "wheels to deps PEX", [sys.executable, "-m", "pex", *arguments, "-o", out], caches)
        if set(distributions(out)) != names:
            sys.exit("pex made a PEX of other wheels")


def describe(out: Path) -> str:
    """How many distributions a deps PEX holds, and the version of dagster: tools do not choose alike."""
    (deps,) = (path for path in out.glob("deps*.pex"))
    names = distributions(deps)
    version = next(name.split("-")[1] for name in names if name.startswith("dagster-"))
    return f"dagster {version}, {len(names)} distributions, {deps.stat().st_size / 1e6:.1f} MB"


def distributions(deps_pex: Path) -> list[str]:
    """The file names of the wheels in a PEX."""
    with zipfile.ZipFile(deps_pex) as archive:
        return list(json.loads(archive.read("PEX-INFO"))["distributions"])


def table(bench: Bench) -> str:
    """Medians, how many times longer than this project each other tool takes, and the peak memory."""
    tools = list(bench.seconds)
    ours = {scenario: statistics.median(seconds) for scenario, seconds in bench.seconds[tools[0]].items()}
    rows = [["", *tools]]
    for scenario, own in ours.items():
        cells = [f"{own:.2f} s"]
        for tool in tools[1:]:
            measured = bench.seconds[tool].get(scenario)
            median = statistics.median(measured) if measured else 0
            ratio = f"{median / own:.0f}" if median > 10 * own else f"{median / own:.1f}"
            cells.append(f"{median:.1f} s ({ratio} times)" if measured else "")
        rows.append([scenario, *cells])
    for scenario in ours:
        peaks = [bench.memory.get((tool, scenario)) for tool in tools]
        if any(peaks):
            rows.append([f"peak memory, {scenario}", *(f"{peak / 1e6:.0f} MB" if peak else "" for peak in peaks)])
    rows.append(["built", *(bench.built[tool] for tool in tools)])
    return markdown(rows)


def main() -> None:
    """Measure everything; one tool after the other, so that they do not disturb each other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builder_pex", nargs="?", type=Path, default=REPOSITORY / "generated/gha/builder.pex")
    parser.add_argument("--small", action="store_true", help="run what takes minutes once, not twice")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
        bench = Bench(Path(name).resolve(), 1 if given.small else 2)
        (bench.root / "projects").mkdir()
        built = builder(bench, given.builder_pex.resolve())
        existing_tool(bench)
        requirements = pex_requirements(bench)
        pex_lock(bench, built)
        pex_assembly(bench, built, requirements)
    results = REPOSITORY / "bench" / "results"
    results.mkdir(exist_ok=True)
    about = machine(load)
    report = {"machine": about, "seconds": bench.seconds, "built": bench.built}
    (results / time.strftime("%Y%m%dT%H%M%S.json")).write_text(json.dumps(report, indent=2) + "\n")
    whole = table(bench)
    publish("builds", whole, about, write=given.write)
    if given.write:
        repeat_in_readme(whole)


if __name__ == "__main__":
    main()
