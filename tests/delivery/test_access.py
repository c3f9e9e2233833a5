"""Asking for access while the build begins: who waits, what is said in which order, what becomes of a no."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from builder.delivery.access import Access
from builder.delivery.job import OnlyImages
from builder.delivery.registries import Registries
from builder.errors import CloudError
from builder.terminal.console import console

SECONDS = 30


class Cloud:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.only_images = False
        self.error: CloudError | None = None

    def ask(self) -> Registries:
        assert self.may_answer.wait(SECONDS)
        if self.error:
            raise self.error
        console.note("access")
        return Registries(job=cast("Any", None), only_images=self.only_images)


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    yield made
    made.may_answer.set()


def use(cloud: Cloud) -> None:
    """Build something while it is asked."""
    with Access(cast("Any", cloud)) as access, ThreadPoolExecutor(1) as builds:
        console.note("resolved")
        writing = builds.submit(access.may_write_pex)
        assert not writing.done()
        cloud.may_answer.set()
        writing.result()
        console.note("written")


def test_nothing_is_written_and_nothing_else_said_before_the_answer(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    use(cloud)
    assert capsys.readouterr().err.split() == ["access", "resolved", "written"]


@pytest.mark.parametrize("answer", ["no", "images"])
def test_what_is_in_vain_is_not_told(cloud: Cloud, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.error = CloudError("no") if answer == "no" else None
    cloud.only_images = answer == "images"
    with pytest.raises(CloudError if answer == "no" else OnlyImages):
        use(cloud)
    console.note("after")
    assert capsys.readouterr().err.split() == (["after"] if answer == "no" else ["access", "after"])
