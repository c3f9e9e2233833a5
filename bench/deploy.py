"""Deploy examples/quickstart to a Dagster Cloud on loopback with this project and with the existing tool.

    python bench/deploy.py [BUILDER_PEX] [--runs N] [--fast-network]    (default: generated/gha/builder.pex)

The server is that of the tests, behind 20 ms of latency and 50 Mbit/s unless told otherwise. Five situations:
first (all caches empty), unchanged, one file changed, one requirement added, back to the version before. Prints a
table in Markdown: seconds until the location is loaded, megabytes sent, peak memory of the largest process.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.support.cloud import CloudServer  # noqa: E402  (found by the line above)
from tests.support.cloud.web import Throttle  # noqa: E402  (the same)

QUICKSTART = REPOSITORY / "examples" / "quickstart"
LATENCY = 0.02
BITS_PER_SECOND = 50e6
ADDED = "humanize"
"""A requirement without requirements of its own."""

FIRST, UNCHANGED, FILE, REQUIREMENT, ROLLBACK = SITUATIONS = (
    "first",
    "unchanged",
    "one file changed",
    "one requirement added",
    "back to the version before",
)


@dataclass(frozen=True, slots=True)
class Figures:
    """One run."""

    seconds: float
    sent: int
    memory: int


@dataclass(slots=True)
class Tool:
    """A way to deploy a copy of the quickstart, with caches of its own."""

    name: str
    root: Path
    argv: Callable[[Path, CloudServer], list[str | Path]]
    figures: dict[str, list[Figures]] = field(default_factory=dict)

    def measure(self, runs: int, throttle: Throttle | None) -> None:
        """Deploy in each situation."""
        project = Path(shutil.copytree(QUICKSTART, self.root / "quickstart"))
        assets, manifest = project / "quickstart" / "assets.py", project / "pyproject.toml"
        with CloudServer(throttle=throttle) as cloud:
            self._deploy(FIRST, project, cloud)
            for _ in range(runs):
                self._deploy(UNCHANGED, project, cloud)
            for count in range(runs):
                before = assets.read_text(encoding="utf-8")
                assets.write_text(f"{before}\n# change {count}\n", encoding="utf-8")
                self._deploy(FILE, project, cloud)
                changed = assets.read_text(encoding="utf-8")
                assets.write_text(before, encoding="utf-8")
                self._deploy(ROLLBACK, project, cloud)
                assets.write_text(changed, encoding="utf-8")
            text = manifest.read_text(encoding="utf-8")
            manifest.write_text(text.replace('"pandas"', f'"pandas", "{ADDED}"'), encoding="utf-8")
            self._deploy(REQUIREMENT, project, cloud)

    def _deploy(self, situation: str, project: Path, cloud: CloudServer) -> None:
        cloud.requests.clear()
        started = time.perf_counter()
        seconds, memory = run(self.argv(project, cloud), project, {**environment(self.root), **cloud.environ()})
        seconds = time.perf_counter() - started
        figures = Figures(seconds, sum(size for _, size in cloud.uploads()), memory)
        self.figures.setdefault(situation, []).append(figures)
        print(f"{self.name}, {situation}: {seconds:.2f} s", file=sys.stderr, flush=True)


def run(argv: list[str | Path], directory: Path, env: dict[str, str]) -> tuple[float, int]:
    """Run a program to its end; returns its seconds, and the memory of the largest process in bytes."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(argv, env=env, cwd=directory, stdout=output, stderr=output)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            output.seek(0)
            sys.exit(f"{argv}: exit code {child.returncode}\n{output.read().decode(errors='replace')}")
    return time.perf_counter() - started, usage.ru_maxrss * 1024


def environment(root: Path) -> dict[str, str]:
    """The caller's environment, with the home directory and every cache below `root`."""
    names = ("UV_CACHE_DIR", "PIP_CACHE_DIR", "PEX_ROOT", "XDG_CACHE_HOME", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    return {**kept, "PATH": path, "HOME": str(root), "BUILDER_CACHE_DIR": str(root / "cache")}


def table(tools: list[Tool]) -> str:
    """Medians, and how many times longer than this project the other tool takes."""
    lines = [["", *(tool.name for tool in tools)], ["---"] + ["---:"] * len(tools)]
    for situation in SITUATIONS:
        own = statistics.median(each.seconds for each in tools[0].figures[situation])
        cells = []
        for tool in tools:
            figures = tool.figures[situation]
            seconds = statistics.median(each.seconds for each in figures)
            times = f" ({seconds / own:.1f} times)" if tool is not tools[0] else ""
            sent = statistics.median(each.sent for each in figures) / 1e6
            memory = max(each.memory for each in figures) / 1e6
            cells.append(f"{seconds:.2f} s{times}, {sent:.1f} MB sent, {memory:.0f} MB memory")
        lines.append([situation, *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ours(builder: list[str | Path]) -> Callable[[Path, CloudServer], list[str | Path]]:
    """How this project deploys."""

    def argv(project: Path, _cloud: CloudServer) -> list[str | Path]:
        options = ["--upload-pex", "--update-code-location", "--deps-cache-tag-read=bench"]
        options += ["--deps-cache-tag-write=bench", "--code-location-details=deployment=prod,commit_hash=abc"]
        out = project.parent / "out"
        return [*builder, "-m", "builder.deploy", project / "dagster_cloud.yaml", out, *options]

    return argv


def theirs(_project: Path, cloud: CloudServer) -> list[str | Path]:
    """How the existing tool deploys."""
    argv = ["dagster-cloud", "serverless", "deploy-python-executable", ".", "--url", f"{cloud.url}/prod"]
    argv += ["--location-name", "quickstart", "--location-file", "dagster_cloud.yaml", "--build-method", "local"]
    return [*argv, "--deps-cache-from", "bench", "--deps-cache-to", "bench", "--commit-hash", "abc"]


def main() -> None:
    """Measure one tool after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builder_pex", nargs="?", type=Path, default=REPOSITORY / "generated/gha/builder.pex")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--fast-network", action="store_true", help="no latency, no limit")
    parser.add_argument("--ours-only", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
        tools = [Tool("this project", Path(name) / "ours", ours([given.builder_pex.resolve()]))]
        if not given.ours_only:
            tools.append(Tool("dagster-cloud-cli", Path(name) / "theirs", theirs))
        for tool in tools:
            tool.root.mkdir()
            tool.measure(given.runs, None if given.fast_network else Throttle(LATENCY, BITS_PER_SECOND))
        print(table(tools))


if __name__ == "__main__":
    main()
