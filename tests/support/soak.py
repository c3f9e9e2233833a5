"""Deploy again and again while things go wrong at random, and hold what must always be so.

- A location runs what it ran before, or a version whose files are all in the registry, whole.
- A deploy that says so (exit code 0) has updated its location.
- Whatever ends in order leaves no temporary file; nothing crashes, no secret gets out.
- After a `kill -9`, and after it all, a deploy without a fault succeeds, and what it built runs.
- At the end no process is left and no socket open, and what killed runs left is gone once it is a day old.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
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
from tests.support.commands import Ran, Running
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
_TWO_DAYS = 2 * 86400.0
"""Seconds: an age at which temporary files are leftovers."""

_GRACE = 5.0
"""Seconds in which the children of a killed builder end by themselves."""

MEMORY_LIMIT = 300_000_000
"""Bytes of data that a builder may have."""


@dataclass(slots=True)
class Soak:
    """What was done and what went wrong.

    :param options: of every deploy.
    :param slowest_stop: seconds after which a signal comes at the latest.
    :param violations: of what must always be so; empty if all is well.
    :param endings: how often a deploy ended with each exit code.
    :param peaks: the most memory that each builder had, in bytes.
    :param left: how many temporary files and directories killed runs left before they were a day old.
    """

    here: Deploying
    locations: Sequence[str]
    random: random.Random
    options: Sequence[str] = ("--no-verify", "--upload-timeout=5")
    slowest_stop: float = 1.5
    violations: list[str] = field(default_factory=list)
    endings: Counter[int] = field(default_factory=Counter)
    peaks: list[int] = field(default_factory=list)
    left: int = 0
    _content: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, in_a_row: int, at_once: int, rounds: int) -> None:
        """Deploy so often one after the other, then in rounds of several at once; at the end without faults."""
        self._deploy_well("the first", self.locations[0])
        sockets = _open_sockets()
        for number in range(in_a_row):
            self._disturb()
            name = self.random.choice(self.locations)
            self._change(name)
            stop = self.random.choice(_STOPS)
            ran = self._deploy(f"deploy {number}", name, stop)
            if ran.code == 0:
                self._check_runs(f"deploy {number}", name, ran)
            self._check(f"deploy {number}")
            if stop is signal.SIGKILL:
                self._deploy_well(f"deploy {number} again", name)
        for number in range(rounds):
            self._disturb()
            with ThreadPoolExecutor(at_once) as pool:
                jobs = [
                    (
                        f"round {number}.{index}",
                        self.random.choice(self.locations),
                        self.random.choice(_STOPS),
                        index,
                    )
                    for index in range(at_once)
                ]
                list(pool.map(lambda job: self._deploy(*job), jobs))
            self._check(f"round {number}")
        self._let_leftovers_age()
        for index in range(at_once):
            self._deploy_well(f"last into {index}", self.locations[index % len(self.locations)], index)
        self._check("the end")
        self._check_leftovers(sockets)

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

    def _deploy(self, what: str, name: str, stop: signal.Signals | None, index: int = 0) -> Ran:
        """Deploy a location into the output directory of this index."""
        out = self.here.place.root / "out" / str(index)
        before = set(out.glob(f"{storage.TEMPORARY_PREFIX}*"))
        running = self.here.place.start(
            "deploy",
            self.here.place.root / "dagster_cloud.yaml",
            out,
            "--upload-pex",
            "--update-code-location",
            "--deps-cache-tag-write=main",
            "--deps-cache-tag-read=main",
            f"--location={name}",
            DETAILS,
            *self.options,
            env={**self.here.cloud.environ()},
        )
        with self._watched(running):
            if stop:
                _wait_for_handlers(running.pid)
                time.sleep(self.random.random() * self.slowest_stop)
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
            left = set(out.glob(f"{storage.TEMPORARY_PREFIX}*")) - before
            if stop is not signal.SIGKILL and left:
                self.violations.append(f"{what}: left {left}: {ran}")
        return ran

    def _deploy_well(self, what: str, name: str, index: int = 0) -> None:
        """Deploy with nobody else about and nothing that goes wrong."""
        self.here.cloud.heal()
        ran = self._deploy(what, name, None, index)
        if ran.code:
            self.violations.append(f"{what}: {ran}")
        self._check_runs(what, name, ran, index)

    def _check_runs(self, what: str, name: str, ran: Ran, index: int = 0) -> None:
        """A location runs what was built."""
        (built,) = json.loads((self.here.place.root / "out" / str(index) / "build.json").read_text())["locations"]
        if self.here.runs(name) != built.get("pex_tag"):
            self.violations.append(f"{what}: `{name}` runs {self.here.runs(name)}: {ran}")

    @contextlib.contextmanager
    def _watched(self, running: Running) -> Iterator[None]:
        """Limit the memory of a builder, and note how much it had."""
        pid = running.pid
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_DATA, (MEMORY_LIMIT, MEMORY_LIMIT))
        over = threading.Event()
        peak = 0

        def watch() -> None:
            nonlocal peak
            while not over.wait(0.02):
                with contextlib.suppress(OSError):
                    peak = int(_status(pid, "VmHWM")) * 1024

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            self.peaks.append(peak)

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

    def _temporaries(self) -> list[Path]:
        return list(self.here.place.root.rglob(f"{storage.TEMPORARY_PREFIX}*"))

    def _let_leftovers_age(self) -> None:
        """Make what killed runs left, and the last look at the cache, two days old."""
        self._wait_for_processes()
        self.left = len(self._temporaries())
        ago = time.time() - _TWO_DAYS
        for path in [*self._temporaries(), *self.here.place.cache.glob(".pruned")]:
            os.utime(path, (ago, ago), follow_symlinks=False)

    def _check_leftovers(self, sockets: int) -> None:
        if alive := self._wait_for_processes():
            self.violations.append(f"the end: processes {alive} are left")
        if found := self._temporaries():
            self.violations.append(f"the end: {found} are left")
        # uv, when killed, leaves what is its own.
        theirs = ("uv-*.lock", ".tmp*")
        if found := [path for path in self.here.place.temporary.iterdir() if not any(map(path.match, theirs))]:
            self.violations.append(f"the end: {found} are left in the temporary directory")
        end = time.monotonic() + _GRACE
        while (more := _open_sockets() - sockets) > 0 and time.monotonic() < end:
            time.sleep(0.1)
        if more > 0:
            self.violations.append(f"the end: {more} connections to the servers are open")

    def _wait_for_processes(self) -> list[int]:
        """Those that are left after a while in which children of killed runs may end."""
        end = time.monotonic() + _GRACE
        while (alive := self._processes()) and time.monotonic() < end:
            time.sleep(0.1)
        return alive

    def _processes(self) -> list[int]:
        """Processes that have our cache in their environment, without the ones that tests fork from."""
        mark = f"BUILDER_CACHE_DIR={self.here.place.cache}".encode()
        pids = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                    pids.append(int(entry.name))
        return pids


def _wait_for_handlers(pid: int) -> None:
    """Until a builder handles signals: before that, builder.pex has handlers of its own, and a module has none."""
    with contextlib.suppress(OSError):
        while not int(_status(pid, "SigCgt"), 16) & 1 << signal.SIGTERM - 1:
            time.sleep(0.01)


def _status(pid: int, name: str) -> str:
    """What /proc says of a process; raises OSError once it has ended, as it is then without most of it."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return line.split()[1]
    raise ProcessLookupError(pid)


def _open_sockets() -> int:
    """Those of this process, in which the servers are."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found += str(entry.readlink()).startswith("socket:")
    return found
