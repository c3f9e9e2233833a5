"""`builder.preview`: what was built runs on this machine, before a real browser, until Ctrl-C."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from builder.system import process
from tests.support.browser import HEIGHT, SECONDS, WIDTH, browser
from tests.support.commands import have_ended, run_command, write_tree
from tests.support.programs import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.browser]

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"

SALES = """
import os
import dagster

assert os.environ["SOME_TOKEN"] == "meant"
assert os.environ["DAGSTER_CLOUD_LOCATION_NAME"] == "sales"
assert "DAGSTER_CLOUD_API_TOKEN" not in os.environ
print(f"loaded in {os.getcwd()}")


@dagster.asset
def orders() -> None: ...
"""


@dataclass(slots=True)
class Preview:
    """A command that serves; all that it starts has its TMPDIR."""

    command: subprocess.Popen[str]
    temporary: Path
    said: list[str] = field(default_factory=list)

    def result(self) -> str:
        """The next line of its results; fails if there is none."""
        assert self.command.stdout is not None
        line = self.command.stdout.readline()
        assert line, self.everything()
        return line.rstrip()

    def says(self, words: str) -> None:
        """Wait until it says something; fails if it ends without."""
        assert self.command.stderr is not None
        for line in self.command.stderr:
            self.said.append(line)
            if words in line:
                return
        raise AssertionError(self.everything())

    def everything(self) -> str:
        """All that it says to its end."""
        assert self.command.stderr is not None
        self.said += self.command.stderr
        return "".join(self.said)

    def programs(self) -> dict[int, str]:
        """What it has started and what runs, descriptor and command line."""
        mark = f"TMPDIR={self.temporary}\0".encode()
        found = {}
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                if directory.name != str(self.command.pid) and mark in (directory / "environ").read_bytes():
                    command = (directory / "cmdline").read_text().replace("\0", " ")
                    found[os.pidfd_open(int(directory.name))] = command
            except OSError:
                continue
        return found

    def ends_well(self, number: signal.Signals, *, programs: int) -> str:
        """Stop it while so many programs run at least, and see that nothing is left; what it said."""
        before = self.programs()
        assert len(before) >= programs, before
        self.command.send_signal(number)
        said = self.everything()
        assert self.command.wait() == 0, said
        after = self.programs()
        assert have_ended([*before, *after]), after
        for descriptor in (*before, *after):
            os.close(descriptor)
        assert not list(self.temporary.iterdir())
        assert said.endswith("stopped; nothing is left running\n")
        assert "Traceback" not in said
        return said


@contextmanager
def previewing(root: Path, *arguments: str | Path, **variables: str) -> Iterator[Preview]:
    """Have `builder.preview` run."""
    # Too long for a Unix socket.
    temporary = root / ("tmp" * 30)
    temporary.mkdir()
    command = subprocess.Popen(
        [sys.executable, "-m", "builder.preview", *arguments],
        cwd=root,
        env=process.clean_environment({"PYTHONPATH": str(REPOSITORY), "TMPDIR": str(temporary), **variables}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    too_long = threading.Timer(3 * SECONDS, command.kill)
    too_long.start()
    try:
        with command:
            try:
                yield Preview(command, temporary)
            finally:
                command.terminate()
    finally:
        too_long.cancel()


@pytest.fixture
def port() -> int:
    """One that nobody uses."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        number: int = server.getsockname()[1]
        return number


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_the_page_shows_the_quickstart_and_materialises_it(tmp_path: Path, port: int) -> None:
    shutil.copytree(REPOSITORY / "examples" / "quickstart", tmp_path / "quickstart")
    run_command("deploy", "quickstart", "out", "--python-version", RUNNING, directory=tmp_path).succeeded()
    with previewing(tmp_path, "out", "--webserver", "--port", str(port)) as preview:
        url = preview.result()
        assert url == f"http://localhost:{port}"
        preview.says("Ctrl-C")
        loaded = [line for line in preview.said if line.startswith("✓ location ")]
        assert loaded[0].startswith("✓ location `quickstart` loads: 2 assets, 1 job, 1 schedule")
        with browser() as shown:
            shown.open(f"{url}/asset-groups")
            both = ("orders", "daily_revenue")
            shown.wait("both assets", lambda text: all(name in text for name in both))
            shown.wait("that nothing was run", lambda text: text.count("Never materialized") == len(both))
            shown.press("Materialize all")
            shown.wait("both materialised", lambda text: text.count("\nMaterialized\n") == len(both))
            shown.picture(tmp_path / "preview.png")
            header = (tmp_path / "preview.png").read_bytes()[:24]
            assert header == b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + WIDTH.to_bytes(4) + HEIGHT.to_bytes(4)
            # The next run is under way when all is stopped.
            shown.press("Materialize all")
            preview.says("RUN_SUCCESS")
            preview.says("RUN_START")
        assert listens(port)
        # The code server with its run, the page.
        preview.ends_well(signal.SIGINT, programs=3)
    assert not listens(port)


def test_what_does_not_load_or_ends_is_told_and_all_else_served(tmp_path: Path, port: int) -> None:
    requirements = {"requirements.txt": "dagster\ndagster-cloud\n"}
    for name, text in {"sales": SALES, "stock": "import dagster\ndefs = dagster.Definitions()\n"}.items():
        write_tree(tmp_path / name, {**requirements, "app.py": text})
    write_tree(tmp_path / "broken", {**requirements, "app.py": "import nowhere\n"})
    workspace = {
        "locations": [
            {"location_name": name, "code_source": {"module_name": "app"}, "build": {"directory": name}}
            for name in ("sales", "stock", "broken")
        ]
    }
    (tmp_path / "dagster_cloud.yaml").write_text(yaml.safe_dump(workspace), encoding="utf-8")
    run_command("deploy", "dagster_cloud.yaml", "out", "--python-version", RUNNING, directory=tmp_path).succeeded()

    refused = run_command("preview", "out", "--location", "broken", "--port", str(port), directory=tmp_path)
    assert (refused.code, refused.stdout) == (1, "")
    assert "error: location `broken`: there is no module `nowhere` among its dependencies" in refused.stderr

    secrets = {"SOME_TOKEN": "meant", "DAGSTER_CLOUD_API_TOKEN": "agent:acme:very-secret"}
    options = ["--env", "SOME_TOKEN", "--port", str(port)]
    with previewing(tmp_path, "out", *options, **secrets) as preview:
        document = yaml.safe_load(Path(preview.result()).read_text(encoding="utf-8"))
        servers = {entry["grpc_server"]["location_name"]: entry["grpc_server"] for entry in document["load_from"]}
        assert set(servers) == {"sales", "stock"}
        preview.says("Ctrl-C")
        assert (
            "warning: there is no page: `dagster-webserver` is not a dependency; see --webserver\n" in preview.said
        )
        assert "✓ started 2 code servers" in "".join(preview.said)
        for name in servers:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(servers[name]["socket"])
            assert not listens(port)
        (victim,) = (descriptor for descriptor, line in preview.programs().items() if "/source-1/" in line)
        signal.pidfd_send_signal(victim, signal.SIGKILL)
        preview.says("error: location `stock`: its code server ended by itself, killed by signal 9")
        said = preview.ends_well(signal.SIGTERM, programs=1)
    assert "error: location `broken`" in said


def test_a_port_in_use_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
        ran = run_command("preview", "out", "--port", str(number), directory=tmp_path)
    assert ran.code == 2
    assert ran.stderr.startswith(f"error: port {number} is in use\n")
    assert "hint: Stop what uses it, or choose another with --port" in ran.stderr
