"""Build and push images of examples/quickstart with this project and with buildah.

    python bench/images.py [LOCATIONS]    (as root, where buildah, docker-registry and mmdebstrap are installed)

The registry is Debian's docker-registry on loopback, with a login by token; the base image is made here. buildah
builds once by the Dockerfile of dagster-cloud, and once by one that installs the requirements before it copies the
code; it keeps all layers, and has all wheels at hand from the beginning, which this project fetches in its first
run. Each scenario is run by all of them in turn. Prints a table: seconds, and megabytes that went over loopback.
"""

from __future__ import annotations

import importlib.resources
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from builder.system import process  # noqa: E402  (found by the line above)
from tests.support.container_registry import PASSWORD, USER, serving_containers  # noqa: E402
from tests.support.containers import container_settings, push_base, require_programs  # noqa: E402

RUNS = 3
LOCATIONS = 20
CLIENTS = (importlib.resources.files("dagster_cloud_cli") / "commands/serverless/Dockerfile").read_text()
ORDERED = """
WORKDIR /opt/dagster/app
COPY requirements.txt .
RUN pip install -r requirements.txt
COPY . .
"""
_TRAFFIC = Path("/sys/class/net/lo/statistics/tx_bytes")


@dataclass(slots=True)
class Side:
    """A way to build and push, with its own copies of the project.

    :param push: builds and pushes some of them.
    :param most: how many locations it is asked for.
    :ivar results: seconds and bytes of each scenario.
    """

    name: str
    root: Path
    push: Callable[[Sequence[Path]], None]
    most: int
    results: dict[str, tuple[float, float]] = field(default_factory=dict)

    def copy(self, number: int) -> Path:
        """A location's project: the quickstart with a requirements.txt, as dagster-cloud's Dockerfile wants it."""
        place = self.root / f"location-{number}"
        if not place.exists():
            shutil.copytree(REPOSITORY / "examples" / "quickstart", place)
            (place / "pyproject.toml").unlink()
            (place / "requirements.txt").write_text("dagster\ndagster-cloud\npandas\n", encoding="utf-8")
        return place

    def measure(self, scenario: str, prepare: Callable[[Path, int], None], runs: int = 1, count: int = 1) -> None:
        """Run a scenario, and keep the medians.

        :param prepare: what is done to a project before each run, which has a number.
        """
        if count > self.most:
            return
        found = []
        for run in range(runs):
            places = [self.copy(number) for number in range(count)]
            for place in places:
                prepare(place, run)
            before, started = int(_TRAFFIC.read_text()), time.perf_counter()
            self.push(places)
            found.append((time.perf_counter() - started, int(_TRAFFIC.read_text()) - before))
        seconds, sent = (statistics.median(values) for values in zip(*found, strict=True))
        self.results[scenario] = (seconds, sent)
        print(f"{scenario}, {self.name}: {seconds:.2f} s, {sent / 1e6:.1f} MB", file=sys.stderr, flush=True)


def run(argv: Sequence[str | Path], environment: dict[str, str]) -> str:
    """Run a command; ends the program with its words if it fails."""
    finished = subprocess.run(argv, env=environment, capture_output=True, encoding="utf-8", check=False)
    if finished.returncode:
        sys.exit(f"{' '.join(map(str, argv))}\n{finished.stdout}\n{finished.stderr}")
    return finished.stderr


def leave(_place: Path, _run: int) -> None:
    """Change nothing."""


def change(place: Path, number: int) -> None:
    """Change one source file."""
    with (place / "quickstart" / "assets.py").open("a", encoding="utf-8") as stream:
        stream.write(f"\n# change {number}\n")


def require(place: Path, _run: int) -> None:
    """Add a dependency, if it is not there."""
    (place / "requirements.txt").write_text("dagster\ndagster-cloud\npandas\nhumanize\n", encoding="utf-8")


def differ(place: Path, run: int) -> None:
    """Have what the one before has, and code of its own."""
    require(place, run)
    (place / "quickstart" / "place.py").write_text(f"place = {place.name!r}\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Place:
    """Where all is built and pushed.

    :param said: what each run of this project said.
    """

    root: Path
    host: str
    running: Path
    environment: dict[str, str]
    said: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        """The name of the base image."""
        return f"{self.host}/library/python:3.11-slim"

    def builder(self, most: int) -> Side:
        """The builder of the checkout."""
        directory = self.root / "ours"
        directory.mkdir()
        workspace = directory / "dagster_cloud.yaml"
        words = (sys.executable, "-m", "builder.image", workspace, self.root / "out", "--base-image", self.base)

        def push(places: Sequence[Path]) -> None:
            lines = ["locations:"]
            for place in places:
                lines += [
                    f"  - location_name: {place.name}",
                    "    code_source: {module_name: quickstart.definitions}",
                ]
                lines += [f"    build: {{directory: {place.name}, registry: {self.host}/ours/{place.name}}}"]
            workspace.write_text("\n".join([*lines, ""]), encoding="utf-8")
            self.said.append(run([*words, "--upload", "--no-verify"], self.environment))

        return Side("builder", directory, push, most)

    def buildah(self, name: str, dockerfile: str, most: int) -> Side:
        """Buildah with a Dockerfile, and a store of its own."""
        directory, file = self.root / name, self.root / f"Dockerfile-{name}"
        directory.mkdir()
        settings = "PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels PIP_DISABLE_PIP_VERSION_CHECK=1"
        file.write_text(f"FROM {self.base}\nENV {settings}\n{dockerfile}", encoding="utf-8")
        store = ("buildah", "--root", self.root / f"store-{name}", "--runroot", self.running / name)
        options = ("--isolation", "chroot", "--layers", "--network", "host")
        wheels = ("--volume", f"{self.root / 'wheels'}:/wheels:ro")

        def push(places: Sequence[Path]) -> None:
            for place in places:
                image = f"{self.host}/{name}/{place.name}:1"
                words = (*store, "build", *options, *wheels, "--file", file, "--tag", image, place)
                run(words, self.environment)
                run([*store, "push", image], self.environment)

        return Side(name, directory, push, most)


@contextmanager
def serving() -> Iterator[Place]:
    """A registry with the base image, and all wheels, until the end of the block."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        (root / "registry").mkdir()
        registry = stack.enter_context(serving_containers(root / "registry"))
        base_cache = REPOSITORY / ".pytest_cache" / "d" / "container-base"
        base_cache.mkdir(parents=True, exist_ok=True)
        push_base(registry, base_cache)
        containers = stack.enter_context(container_settings(root, registry))
        login = ("login", "--authfile", root / "auth.json", "--username", USER, "--password", PASSWORD)
        containers.podman(*login, registry.host)
        environment = process.clean_environment(containers.environment)
        environment |= {"REGISTRY_AUTH_FILE": str(root / "auth.json"), "PYTHONPATH": str(REPOSITORY)}
        environment |= {"BUILDER_CACHE_DIR": str(root / "cache")}
        download = (sys.executable, "-m", "pip", "download", "--quiet", "--dest", root / "wheels")
        run([*download, "dagster", "dagster-cloud", "pandas", "humanize"], dict(os.environ))
        yield Place(root, registry.host, containers.running, environment)


def main() -> None:
    """Measure all, and print the table."""
    require_programs()
    count = int(sys.argv[1]) if sys.argv[1:] else LOCATIONS
    print(f"load before: {os.getloadavg()[0]:.1f}\n", flush=True)
    with serving() as place:
        sides = [
            place.builder(count),
            place.buildah("clients", CLIENTS, 1),
            place.buildah("ordered", ORDERED, count),
        ]
        for side in sides:
            side.measure("the first image", leave)
        for side in sides:
            side.measure("an image after one source file changed", change, RUNS)
        pushed = re.findall(r"pushed \S+: (.*) sent +([\d.]+)s", place.said[-1])
        for side in sides:
            side.measure("an image after one dependency was added", require)
        for side in sides:
            side.measure(f"{count} locations with one lock", differ, count=count)
    print("| | this project | buildah, dagster-cloud's Dockerfile | buildah, requirements first |")
    print("|---|---:|---:|---:|")
    ours, *others = sides
    for scenario, (seconds, sent) in ours.results.items():
        cells = [f"{seconds:.2f} s, {sent / 1e6:.1f} MB"]
        for other in others:
            theirs, bytes_sent = other.results.get(scenario, (0.0, 0.0))
            ratio = f"{theirs:.1f} s ({theirs / seconds:.1f} times), {bytes_sent / 1e6:.1f} MB"
            cells.append(ratio if theirs else "")
        print(f"| {scenario} | {' | '.join(cells)} |")
    print(
        "\nThe push after a change of code, with the manifest read back:",
        *[f"{sent} in {s} s" for sent, s in pushed],
    )


if __name__ == "__main__":
    os.umask(0o022)
    main()
