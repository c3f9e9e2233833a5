"""Build and push the image of examples/quickstart with this project and with buildah.

    python bench/images.py    (as root, where buildah, docker-registry and mmdebstrap are installed)

The registry is Debian's docker-registry on loopback, with a login by token; the base image is made here. buildah
gets the Dockerfile of an ordinary Dagster image: requirements first, then the project, both by pip, and all layers
cached. It has all wheels at hand from the beginning; this project fetches them in its first run. Prints a table.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from builder.system import process  # noqa: E402  (found by the line above)
from tests.support.container_registry import PASSWORD, USER, serving_containers  # noqa: E402
from tests.support.containers import container_settings, push_base, require_programs  # noqa: E402

RUNS = 5
DOCKERFILE = """\
ARG BASE
FROM ${BASE}
WORKDIR /opt/dagster/app
COPY requirements.txt .
RUN --mount=type=bind,source=wheels,target=/wheels \\
    pip install --disable-pip-version-check --no-index --find-links=/wheels -r requirements.txt
COPY pyproject.toml README.md ./
COPY data data
COPY quickstart quickstart
RUN pip install --disable-pip-version-check --no-deps --no-build-isolation .
"""


def project(root: Path) -> Path:
    """A copy of the quickstart with a requirements.txt and a Dockerfile."""
    copy = Path(shutil.copytree(REPOSITORY / "examples" / "quickstart", root / "project"))
    (copy / "requirements.txt").write_text("dagster\ndagster-cloud\npandas\nhatchling\n", encoding="utf-8")
    (copy / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    return copy


def change(copy: Path, count: int) -> None:
    """Change one source file."""
    with (copy / "quickstart" / "assets.py").open("a", encoding="utf-8") as stream:
        stream.write(f"\n# change {count}\n")


def require(copy: Path, line: str) -> None:
    """Add a dependency."""
    with (copy / "requirements.txt").open("a", encoding="utf-8") as stream:
        stream.write(f"{line}\n")


def timed(argv: list[str | Path], environment: dict[str, str]) -> float:
    """The seconds that a command takes; ends the program with its words if it fails."""
    started = time.perf_counter()
    finished = subprocess.run(argv, env=environment, capture_output=True, encoding="utf-8", check=False)
    if finished.returncode:
        sys.exit(f"{' '.join(map(str, argv))}\n{finished.stdout}\n{finished.stderr}")
    return time.perf_counter() - started


def measure(name: str, copy: Path, push: Callable[[], float]) -> dict[str, float]:
    """Seconds of each scenario."""
    seconds = {"first": push()}
    changes = []
    for count in range(RUNS):
        change(copy, count)
        changes.append(push())
    seconds["one source file changed"] = statistics.median(changes)
    require(copy, "tabulate")
    seconds["one dependency added"] = push()
    print(f"{name}: {seconds}", file=sys.stderr)
    return seconds


def main() -> None:
    """Measure both, and print the table."""
    require_programs()
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
        environment |= {
            "BUILDER_CACHE_DIR": str(root / "cache"),
            "CONTAINERS_CONF": containers.environment["CONTAINERS_CONF"],
        }
        base = f"{registry.host}/library/python:3.11-slim"

        ours = project(root / "ours")
        workspace = ours / "dagster_cloud.yaml"
        own = f"directory: .\n      registry: {registry.host}/bench/ours"
        workspace.write_text(workspace.read_text(encoding="utf-8").replace("directory: .", own), encoding="utf-8")
        words: list[str | Path] = [sys.executable, "-m", "builder.image", ours, root / "out", "--base-image", base]
        builder = measure("builder", ours, lambda: timed([*words, "--upload", "--no-verify"], environment))

        theirs = project(root / "theirs")
        download: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--dest",
            theirs / "wheels",
        ]
        timed([*download, "-r", theirs / "requirements.txt", "tabulate"], dict(os.environ))
        buildah: list[str | Path] = ["buildah", "--root", root / "store", "--runroot", containers.running]
        image = f"{registry.host}/bench/theirs:1"

        def build_and_push() -> float:
            build: list[str | Path] = [*buildah, "build", "--isolation", "chroot", "--layers", "--network", "host"]
            seconds = timed([*build, f"--build-arg=BASE={base}", "--tag", image, theirs], environment)
            return seconds + timed([*buildah, "push", image], environment)

        other = measure("buildah", theirs, build_and_push)
    print("| | this project | buildah | |\n|---|---:|---:|---:|")
    for scenario, seconds in builder.items():
        ratio = other[scenario] / seconds
        print(f"| {scenario} | {seconds:.2f} s | {other[scenario]:.1f} s | {ratio:.1f} times |")


if __name__ == "__main__":
    os.umask(0o022)
    main()
