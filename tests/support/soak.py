"""Deploy again and again while things go wrong at random, and hold what must always be so.

- A location runs what it ran before, or a version whose files are all in the registry, whole.
- A deploy that says so (exit code 0) has updated its location.
- Whatever ends in order leaves no temporary file and no process; nothing crashes, no secret gets out.
- After it all, a deploy without a fault succeeds.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import resource
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from builder.system import storage
from tests.support.cloud import faults
from tests.support.commands import Running
from tests.support.deploying import DETAILS, OLD, Deploying

_FAULTS: tuple[tuple[str, faults.Fault], ...] = (
    ("PUT", faults.Status(503)),
    ("PUT", faults.Status(403)),
    ("PUT", faults.Reset()),
    ("PUT", faults.LostReply()),
    ("PUT", faults.Truncate()),
    ("PUT", faults.Corrupt()),
    ("PUT", faults.Corrupt(one_byte=True)),
    ("PUT", faults.Lose()),
    ("GET", faults.Status(500)),
    ("GET", faults.Reset()),
    ("GET", faults.Truncate()),
    ("GET", faults.Corrupt()),
    ("generateServerlessPexUrl:PUT", faults.ExpiredUrl()),
    ("generateServerlessPexUrl:PUT", faults.NullUrl()),
    ("deployLocations", faults.LostReply()),
    ("deployLocations", faults.Status(502)),
    ("deployLocations", faults.InvalidLocation()),
    ("workspaceOrError", faults.PythonError()),
    ("workspaceOrError", faults.GraphQLErrors()),
    ("graphql", faults.Status(503)),
    ("graphql", faults.Reset()),
    ("graphql", faults.Maintenance(retry_interval=0.05)),
)
_STOPS = (None, None, None, None, None, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_SLOWEST_STOP = 1.5
"""Seconds after which a signal comes at the latest."""

_GRACE = 5.0
"""Seconds in which the children of a killed builder end by themselves."""

MEMORY_LIMIT = 300_000_000
"""Bytes of data that a builder may have."""


@dataclass(slots=True)
class Soak:
    """What was done and what went wrong.

    :param violations: of what must always be so; empty if all is well.
    :param endings: how often a deploy ended with each exit code.
    :param peak: the most memory that a builder had, in bytes.
    """

    here: Deploying
    locations: Sequence[str]
    random: random.Random
    violations: list[str] = field(default_factory=list)
    endings: Counter[int] = field(default_factory=Counter)
    peak: int = 0
    _content: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, in_a_row: int, at_once: int, rounds: int) -> None:
        """Deploy so often one after the other, then in rounds of several at once; at the end without faults."""
        for number in range(in_a_row):
            self._disturb()
            self._change(self.random.choice(self.locations))
            self._deploy(f"deploy {number}", self.random.choice(self.locations), self.random.choice(_STOPS))
            self._check(f"deploy {number}")
        for number in range(rounds):
            self._disturb()
            with ThreadPoolExecutor(at_once) as pool:
                jobs = [
                    (f"round {number}.{index}", self.random.choice(self.locations), self.random.choice(_STOPS))
                    for index in range(at_once)
                ]
                list(pool.map(lambda job: self._deploy(*job), jobs))
            self._check(f"round {number}")
        self.here.cloud.heal()
        for name in self.locations:
            self._deploy(f"last of {name}", name, None, must_succeed=True)
        self._check("the end")
        self._check_leftovers("the end")

    def _disturb(self) -> None:
        """Plan at most two faults."""
        self.here.cloud.heal()
        for _ in range(self.random.randrange(3)):
            on, fault = self.random.choice(_FAULTS)
            pattern = self.random.choice(["*", "deps-*", "source-*"]) if on in {"PUT", "GET"} else "*"
            times = self.random.choice([1, 2, 9])
            self.here.cloud.inject(on, fault, name=pattern, times=times, after=self.random.randrange(3))

    def _change(self, name: str) -> None:
        path = self.here.place.root / f"project {name}" / "code.py"
        path.write_text(f"answer = {self.random.random()}\n", encoding="utf-8")

    def _deploy(self, what: str, name: str, stop: signal.Signals | None, *, must_succeed: bool = False) -> None:
        out = self.here.place.root / "out" / what
        running = self.here.place.start(
            "deploy",
            self.here.place.root / "dagster_cloud.yaml",
            out,
            "--upload-pex",
            "--update-code-location",
            "--no-verify",
            "--upload-timeout=5",
            "--deps-cache-tag-write=main",
            "--deps-cache-tag-read=main",
            f"--location={name}",
            DETAILS,
            env={**self.here.cloud.environ()},
        )
        with self._watched(running):
            if stop:
                time.sleep(self.random.random() * _SLOWEST_STOP)
                running.send(stop)
            ran = running.finish()
        with self._lock:
            self.endings[ran.code] += 1
            self._note_contents(out)
            for text in (ran.stdout, ran.stderr):
                if "Traceback" in text or "the builder itself failed" in text:
                    self.violations.append(f"{what}: it crashed: {text}")
            for leak in self.here.cloud.leaks([ran.stdout, ran.stderr]):
                self.violations.append(f"{what}: a secret got out: {leak}")
            if must_succeed and ran.code != 0:
                self.violations.append(f"{what}: exit code {ran.code}: {ran.stderr}")
            if stop is not signal.SIGKILL and (left := list(out.glob(f"{storage.TEMPORARY_PREFIX}*"))):
                self.violations.append(f"{what}: left {left}")

    @contextlib.contextmanager
    def _watched(self, running: Running) -> Iterator[None]:
        """Limit the memory of a builder, and note how much it had."""
        pid = running.pid
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_DATA, (MEMORY_LIMIT, MEMORY_LIMIT))
        over = threading.Event()

        def watch() -> None:
            status = Path(f"/proc/{pid}/status")
            while not over.wait(0.02):
                with contextlib.suppress(OSError, StopIteration):
                    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
                    self.peak = max(self.peak, int(line.split()[1]) * 1024)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _note_contents(self, out: Path) -> None:
        """A name promises a content, whichever run made it."""
        for path in out.glob("*.pex"):
            sha256 = storage.sha256_of(path)
            if self._content.setdefault(path.name, sha256) != sha256:
                self.violations.append(f"`{path.name}` was made with two contents")

    def _check(self, what: str) -> None:
        """What the locations run is there, whole."""
        objects = self.here.cloud.objects()
        for name in self.locations:
            tag = self.here.runs(name)
            if tag in {None, OLD}:
                continue
            assert tag is not None
            for file in tag.removeprefix("files=").split(":"):
                stored = hashlib.sha256(objects.get(file, b"")).hexdigest()
                if stored != self._content.get(file):
                    self.violations.append(f"{what}: `{name}` runs `{file}`, which is not whole in the registry")

    def _check_leftovers(self, what: str) -> None:
        end = time.monotonic() + _GRACE
        while (alive := self._processes()) and time.monotonic() < end:
            time.sleep(0.1)
        if alive:
            self.violations.append(f"{what}: processes {alive} are left")

    def _processes(self) -> list[int]:
        """Processes that have our cache in their environment, without the ones that tests fork from."""
        mark = f"BUILDER_CACHE_DIR={self.here.place.cache}".encode()
        pids = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                    pids.append(int(entry.name))
        return pids
