"""The way of each location from its build to its update: who waits for whom, and what is never sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from builder.delivery import pipeline as pipeline_module
from builder.delivery.location_run import LocationRun
from builder.delivery.pipeline import Pipeline
from builder.errors import LoadError, PublishError

SECONDS = 30


class Work:
    """Verifies, uploads and updates by noting it; may be told to wait, or to fail."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.updates: list[list[str]] = []
        self.gates: dict[str, threading.Event] = {}
        self.failing: set[str] = set()
        self.updated = threading.Event()

    def _do(self, step: str) -> bool:
        if gate := self.gates.get(step):
            assert gate.wait(SECONDS)
        self.done.append(step)
        return step not in self.failing

    def begin(self, artefact: Any) -> Future[None]:  # noqa: ANN401
        self._do(f"send {artefact}")
        return Future()

    def verify(self, run: LocationRun) -> None:
        if not self._do(f"verify {run.name}"):
            run.error = LoadError("it does not load")

    def publish(self, run: LocationRun) -> None:
        if not self._do(f"publish {run.name}"):
            run.error = PublishError("it was not sent")

    def progress(self) -> nullcontext[None]:
        return nullcontext()

    def show_summary(self) -> None: ...

    def update(self, runs: Sequence[LocationRun], _python_version: str) -> None:
        self.updates.append([run.name for run in runs])
        self.updated.set()


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    yield made
    for gate in made.gates.values():
        gate.set()


def runs_of(*names: str) -> list[LocationRun]:
    return [LocationRun(location=cast("Any", SimpleNamespace(name=name))) for name in names]


def pipeline_of(work: Work, runs: Sequence[LocationRun], *, verify: bool = True) -> Pipeline:
    stand_in = cast("Any", work)
    verifier = stand_in if verify else None
    return Pipeline(runs, "3.11", verifier=verifier, publish=work.publish, uploader=stand_in, updater=stand_in)


def test_a_location_is_verified_before_it_is_sent_and_updated(work: Work) -> None:
    runs = runs_of("a")
    with pipeline_of(work, runs) as pipeline:
        pipeline.deps_built(cast("Any", SimpleNamespace(artefact="deps-1.pex")))
        pipeline.built(runs)
        pipeline.finish()

    assert work.done == ["send deps-1.pex", "verify a", "publish a"]
    assert work.updates == [["a"]]


@pytest.mark.parametrize("failing", ["verify b", "publish b"])
def test_what_fails_goes_no_further_and_holds_nobody_up(work: Work, failing: str) -> None:
    runs = runs_of("a", "b", "c", "d")
    runs[3].error = LoadError("it was not built")
    work.failing = {failing}
    with pipeline_of(work, runs) as pipeline:
        pipeline.built(runs)
        pipeline.finish()

    assert work.updates == [["a", "c"]]
    assert ("publish b" in work.done) == failing.startswith("publish")
    assert not [step for step in work.done if step.endswith(" d")]


def test_locations_that_are_ready_together_are_updated_in_one_request_in_their_order(work: Work) -> None:
    runs = runs_of("a", "b", "c")
    work.gates["verify a"] = threading.Event()
    with pipeline_of(work, runs) as pipeline:
        for run in reversed(runs):
            pipeline.built([run])
        work.gates["verify a"].set()
        pipeline.finish()

    assert work.updates == [["a", "b", "c"]]


def test_a_slow_location_does_not_hold_up_those_that_are_ready(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_module, "TOGETHER_SECONDS", 0)
    runs = runs_of("slow", "a")
    work.gates["verify slow"] = threading.Event()
    with pipeline_of(work, runs) as pipeline:
        pipeline.built(runs)
        assert work.updated.wait(SECONDS)
        assert "verify slow" not in work.done
        work.gates["verify slow"].set()
        pipeline.finish()

    assert work.updates == [["a"], ["slow"]]


def test_after_a_defect_nothing_is_updated_any_more(work: Work) -> None:
    runs = runs_of("a", "b")
    work.gates["publish a"] = threading.Event()

    def fail() -> None:
        with pipeline_of(work, runs) as pipeline:
            pipeline.built(runs[:1])
            threading.Timer(0.01, work.gates["publish a"].set).start()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert work.updates == []


def test_nothing_is_updated_if_nothing_is_ready(work: Work) -> None:
    runs = runs_of("a")
    work.failing = {"verify a"}
    with pipeline_of(work, runs) as pipeline:
        pipeline.built(runs)
        pipeline.finish()

    assert work.updates == []
