"""Deploy examples/quickstart to a Dagster Cloud on loopback with this project and with the existing tool.

    python bench/deploy.py [BUILDER_PEX]    (default: generated/gha/builder.pex)

The server is that of the tests: what is measured is what a client does, not a network. Prints a table in Markdown:
seconds until the location is loaded, and megabytes that were sent.
"""

from __future__ import annotations

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

RUNS = 3
QUICKSTART = REPOSITORY / "examples" / "quickstart"
SCENARIOS = ("first", "again, nothing changed", "one source file changed")


@dataclass(slots=True)
class Tool:
    """A way to deploy a copy of the quickstart, with caches of its own."""

    name: str
    root: Path
    argv: Callable[[Path, CloudServer], list[str | Path]]
    seconds: dict[str, list[float]] = field(default_factory=dict)
    sent: dict[str, list[int]] = field(default_factory=dict)

    def measure(self) -> None:
        """Deploy for the first time on a fresh machine, again, and after changes."""
        project = Path(shutil.copytree(QUICKSTART, self.root / "quickstart"))
        with CloudServer() as cloud:
            self._deploy(SCENARIOS[0], project, cloud)
            for _ in range(RUNS):
                self._deploy(SCENARIOS[1], project, cloud)
            for count in range(RUNS):
                with (project / "quickstart" / "assets.py").open("a") as stream:
                    stream.write(f"\n# change {count}\n")
                self._deploy(SCENARIOS[2], project, cloud)

    def _deploy(self, scenario: str, project: Path, cloud: CloudServer) -> None:
        cloud.requests.clear()
        started = time.perf_counter()
        finished = subprocess.run(
            self.argv(project, cloud),
            env={**self._environment(), **cloud.environ()},
            cwd=project,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        seconds = time.perf_counter() - started
        if finished.returncode != 0:
            sys.exit(f"{self.name}, {scenario}: {finished.stdout}{finished.stderr}")
        sent = sum(size for _, size in cloud.uploads())
        self.seconds.setdefault(scenario, []).append(seconds)
        self.sent.setdefault(scenario, []).append(sent)
        print(f"{self.name}, {scenario}: {seconds:.2f} s, {sent / 1e6:.1f} MB", file=sys.stderr, flush=True)

    def _environment(self) -> dict[str, str]:
        names = ("UV_CACHE_DIR", "PIP_CACHE_DIR", "PEX_ROOT", "XDG_CACHE_HOME", "PYTHONPATH")
        kept = {name: value for name, value in os.environ.items() if name not in names}
        path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
        return {**kept, "PATH": path, "HOME": str(self.root), "BUILDER_CACHE_DIR": str(self.root / "cache")}


def table(tools: list[Tool]) -> str:
    """Medians, and how many times longer than this project the other tool takes."""
    lines = [["", *(tool.name for tool in tools)], ["---"] + ["---:"] * len(tools)]
    for scenario in SCENARIOS:
        own = statistics.median(tools[0].seconds[scenario])
        cells = []
        for tool in tools:
            seconds = statistics.median(tool.seconds[scenario])
            times = f" ({seconds / own:.1f} times)" if tool is not tools[0] else ""
            cells.append(f"{seconds:.2f} s{times}, {statistics.median(tool.sent[scenario]) / 1e6:.1f} MB")
        lines.append([scenario, *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Measure one tool after the other."""
    builder_pex = Path(sys.argv[1] if len(sys.argv) > 1 else REPOSITORY / "generated/gha/builder.pex").resolve()

    def ours(project: Path, _cloud: CloudServer) -> list[str | Path]:
        options = ["--upload-pex", "--update-code-location", "--deps-cache-tag-read=bench"]
        options += ["--deps-cache-tag-write=bench", "--code-location-details=deployment=prod,commit_hash=abc"]
        out = project.parent / "out"
        return [builder_pex, "-m", "builder.deploy", project / "dagster_cloud.yaml", out, *options]

    def theirs(_project: Path, cloud: CloudServer) -> list[str | Path]:
        argv = ["dagster-cloud", "serverless", "deploy-python-executable", ".", "--url", f"{cloud.url}/prod"]
        argv += [
            "--location-name",
            "quickstart",
            "--location-file",
            "dagster_cloud.yaml",
            "--build-method",
            "local",
        ]
        return [*argv, "--deps-cache-from", "bench", "--deps-cache-to", "bench", "--commit-hash", "abc"]

    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
        tools = [
            Tool("this project", Path(name) / "ours", ours),
            Tool("dagster-cloud-cli", Path(name) / "theirs", theirs),
        ]
        for tool in tools:
            tool.root.mkdir()
            tool.measure()
        print(table(tools))


if __name__ == "__main__":
    main()
