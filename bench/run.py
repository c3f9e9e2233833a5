"""Build examples/quickstart with this project, with the existing tool and with pex, and compare: bench/README.md.

    python bench/run.py [BUILDER_PEX]    (default: generated/gha/builder.pex)

Prints a table in Markdown, and keeps all figures in bench/results/.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
QUICKSTART = REPOSITORY / "examples" / "quickstart"
RUNS = 5
SLOW_RUNS = 2
"""For what takes minutes."""

PEX_RESOLVER = ("--pip-version=latest", "--resolver-version=pip-2020-resolver")
"""As the existing tool has it; without them pex takes a pip of 2020 and fails."""

Argv = list[str | Path]


@dataclass(slots=True)
class Bench:
    """A directory for everything that is written, and what was measured: {tool: {scenario: [seconds]}}."""

    root: Path
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
        started = time.perf_counter()
        finished = subprocess.run(
            argv, env=environment(caches), cwd=self.root, capture_output=True, encoding="utf-8", check=False
        )
        seconds = time.perf_counter() - started
        if finished.returncode != 0:
            sys.exit(f"{tool}, {scenario}: exit code {finished.returncode}\n{finished.stdout}{finished.stderr}")
        self.record(tool, scenario, seconds)

    def record(self, tool: str, scenario: str, seconds: float) -> None:
        """Keep one figure, and show it."""
        self.seconds.setdefault(tool, {}).setdefault(scenario, []).append(seconds)
        print(f"{tool}, {scenario}: {seconds:.2f} s", file=sys.stderr, flush=True)


def environment(caches: Path) -> dict[str, str]:
    """The caller's environment, with the home directory and every cache in a place of their own."""
    home = caches / "home"
    home.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    # These would name other places than HOME.
    names = ("UV_CACHE_DIR", "PIP_CACHE_DIR", "PEX_ROOT", "XDG_CACHE_HOME", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    return {**kept, "HOME": str(home), "BUILDER_CACHE_DIR": str(caches / "builder"), "PATH": path}


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
        shutil.rmtree(caches / "builder" / "resolutions")
        bench.run(tool, "warm, resolved anew", [*deploy, bench.out()], caches)
    out = bench.root
    for count in range(RUNS):
        change(project, count)
        out = bench.out()
        bench.run(tool, "warm, one file changed", [*deploy, out], caches)
        (location,) = json.loads((out / "build.json").read_text())["locations"]
        bench.record(tool, "wheels to deps PEX", location["seconds"]["assemble"])
    for _ in range(RUNS):
        bench.run(tool, "source PEX alone", [*source, bench.out()], caches)
    for count in range(RUNS):
        change(project, RUNS + count)
        bench.run(tool, "source PEX alone, one file changed", [*source, bench.out()], caches)
    bench.built[tool] = describe(out)
    return out


def existing_tool(bench: Bench) -> None:
    """Measure dagster-cloud-cli."""
    tool = "dagster-cloud-cli"
    project = bench.project(tool)
    script = Path(__file__).with_name("existing_tool.py")
    caches = out = bench.root
    for count in range(SLOW_RUNS):
        caches, out = bench.root / f"existing-caches-{count}", bench.out()
        bench.run(tool, "cold", [sys.executable, script, "both", project, out], caches)
    for _ in range(SLOW_RUNS):
        bench.run(tool, "warm", [sys.executable, script, "both", project, bench.out()], caches)
    source: Argv = [sys.executable, script, "source", project]
    for _ in range(RUNS):
        bench.run(tool, "source PEX alone", [*source, bench.out()], caches)
    for count in range(RUNS):
        change(project, count)
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
    for count in range(SLOW_RUNS):
        caches, out = bench.root / f"{tool.replace(' ', '')}-caches-{count}", bench.out()
        bench.run(tool, "cold", [sys.executable, "-m", "pex", *arguments, "-o", out / "deps.pex"], caches)
    for _ in range(SLOW_RUNS):
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
    for count in range(SLOW_RUNS):
        out = bench.out() / "deps.pex"
        # An empty cache each time: pex keeps installed wheels.
        caches = bench.root / f"assembly-caches-{count}"
        bench.run("pex -r", "wheels to deps PEX", [sys.executable, "-m", "pex", *arguments, "-o", out], caches)
        if set(distributions(out)) != names:
            sys.exit("pex made a PEX of other wheels")


def change(project: Path, count: int) -> None:
    """Edit one source file, each time differently."""
    with (project / "quickstart" / "assets.py").open("a") as stream:
        stream.write(f"\n# change {count}\n")


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
    """Medians, and how many times longer than this project each other tool takes."""
    tools = list(bench.seconds)
    ours = {scenario: statistics.median(seconds) for scenario, seconds in bench.seconds[tools[0]].items()}
    lines = [["", *tools], ["---"] + ["---:"] * len(tools)]
    for scenario, own in ours.items():
        cells = [f"{own:.2f} s"]
        for tool in tools[1:]:
            measured = bench.seconds[tool].get(scenario)
            median = statistics.median(measured) if measured else 0
            ratio = f"{median / own:.0f}" if median > 10 * own else f"{median / own:.1f}"
            cells.append(f"{median:.1f} s ({ratio} times)" if measured else "")
        lines.append([scenario, *cells])
    lines.append(["built", *(bench.built[tool] for tool in tools)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Measure everything; one tool after the other, so that they do not disturb each other."""
    builder_pex = Path(sys.argv[1] if len(sys.argv) > 1 else REPOSITORY / "generated/gha/builder.pex").resolve()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
        bench = Bench(Path(name).resolve())
        (bench.root / "projects").mkdir()
        built = builder(bench, builder_pex)
        existing_tool(bench)
        requirements = pex_requirements(bench)
        pex_lock(bench, built)
        pex_assembly(bench, built, requirements)
    machine = (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )
    results = REPOSITORY / "bench" / "results"
    results.mkdir(exist_ok=True)
    loads = f"load {load:.1f} before, {os.getloadavg()[0]:.1f} after"
    report = {"machine": machine, "load": loads, "seconds": bench.seconds, "built": bench.built}
    (results / time.strftime("%Y%m%dT%H%M%S.json")).write_text(json.dumps(report, indent=2) + "\n")
    print(f"{machine}; {loads}\n\n{table(bench)}")


if __name__ == "__main__":
    main()
