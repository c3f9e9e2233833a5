"""What byte code in the deps PEX would bring the server: the figures of docs/decisions/byte-code.md.

    python bench/byte_code.py [--runs N]

Builds examples/quickstart, adds unchecked `.pyc` of all modules that a load imports to a copy of the deps PEX, and
has the real receiving server load both, in turn. Prints a table in Markdown: CPU seconds of the server and of all
that it starts, from its start until the location is loaded.
"""

from __future__ import annotations

import argparse
import importlib._bootstrap_external as importing
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.support.server import CodeServer  # noqa: E402  (found by the line above)

QUICKSTART = REPOSITORY / "examples" / "quickstart"
_LIST = (
    "import sys, json, dagster._grpc.server, quickstart.definitions\n"
    "print(json.dumps([m.__file__ for m in list(sys.modules.values()) if getattr(m, '__file__', None)]))"
)


def build(out: Path, caches: Path) -> Path:
    """Build and load the quickstart; returns the directory of the unpacked dependencies."""
    env = {**os.environ, "BUILDER_CACHE_DIR": str(caches)}
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    commands: tuple[list[str | Path], ...] = (
        ["builder.deploy", QUICKSTART / "dagster_cloud.yaml", out, "--python-version", version],
        ["builder.verify", out],
    )
    for command in commands:
        subprocess.run([sys.executable, "-m", *command], env=env, cwd=REPOSITORY, check=True, capture_output=True)
    (place,) = caches.glob("verify/deps/*/venv/lib/python*/site-packages")
    return place


def with_byte_code(deps: Path, unpacked: Path) -> int:
    """Add the byte code of what a load imports to a deps PEX; returns of how many modules."""
    env = {**os.environ, "PYTHONPATH": f"{QUICKSTART}{os.pathsep}{unpacked}"}
    said = subprocess.run([sys.executable, "-c", _LIST], env=env, check=True, capture_output=True, text=True)
    imported = {
        Path(name).relative_to(unpacked).as_posix()
        for name in json.loads(said.stdout)
        if name.startswith(f"{unpacked}{os.sep}") and name.endswith(".py")
    }
    count = 0
    with zipfile.ZipFile(deps, "a", zipfile.ZIP_DEFLATED) as archive:
        for entry in archive.namelist():
            parts = entry.split("/", 2)
            if parts[0] == ".deps" and len(parts) > 2 and parts[2] in imported:
                source = archive.read(entry)
                code = compile(source, parts[2], "exec", dont_inherit=True)
                content = importing._code_to_hash_pyc(code, importlib.util.source_hash(source), checked=False)  # type: ignore[attr-defined]  # noqa: SLF001
                directory, _, name = entry.rpartition("/")
                tagged = f"{name.removesuffix('.py')}.{sys.implementation.cache_tag}.pyc"
                archive.writestr(f"{directory}/__pycache__/{tagged}", content)
                count += 1
    return count


def load(pex_files: Path) -> tuple[float, float]:
    """CPU seconds of the first load of a new server, and of a second location with the same dependencies."""
    names = {path.name.partition("-")[0]: path.name for path in pex_files.glob("*.pex")}
    tag = f"files={names['deps']}:{names['source']}"
    with CodeServer(pex_files) as server:
        spent = [0.0]
        for name in ("first", "second"):
            server.create_location(name, pex_tag=tag, code_source={"module_name": "quickstart.definitions"})
            spent.append(seconds_of_group(server.process_id))
    return spent[1], spent[2] - spent[1]


def seconds_of_group(leader: int) -> float:
    """CPU seconds of a process group, with the processes that it has waited for."""
    ticks = 0
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader:
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure both in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
        root = Path(name)
        plain, compiled = root / "plain", root / "compiled"
        unpacked = build(plain, root / "caches")
        shutil.copytree(plain, compiled)
        (deps,) = compiled.glob("deps-*.pex")
        count = with_byte_code(deps, unpacked)
        kinds = {"as built": plain, f"with the .pyc of {count:,} modules": compiled}
        spent: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for _ in range(runs):
            for kind, place in kinds.items():
                spent[kind].append(load(place))
                print(kind, spent[kind][-1], file=sys.stderr, flush=True)
        print("| deps PEX | size | first load with unpacking | second location |\n| --- | ---: | ---: | ---: |")
        for kind, place in kinds.items():
            size = next(place.glob("deps-*.pex")).stat().st_size / 1e6
            first, second = (statistics.median(each) for each in zip(*spent[kind], strict=True))
            print(f"| {kind} | {size:.1f} MB | {first:.1f} | {second:.1f} |")


if __name__ == "__main__":
    main()
