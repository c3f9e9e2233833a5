"""Files get into the registry whole, or it is said why not."""

from __future__ import annotations

import email.utils
import logging
import random
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from builder.errors import CloudError, PublishError
from builder.publishing import comparison
from builder.publishing.comparison import ReadBack
from builder.publishing.pex_registry import Absent, PexRegistry, Published
from builder.system import process
from builder.system.http import ATTEMPTS
from builder.system.storage import Artefact
from tests.support.cloud import CloudServer, faults, storage
from tests.support.registry import Urls, make_pex

TRANSIENT = (408, 409, 425, 429, 500, 502, 503, 504, 599)
PROMPT = 0.5
"""Seconds that a file may take where it is to run out of time."""


@pytest.fixture
def pex(tmp_path: Path) -> Artefact:
    return make_pex(tmp_path)


def publish(
    urls: Urls, *files: Artefact, check: ReadBack = ReadBack.TAIL, timeout: float = 600
) -> dict[str, Published | PublishError]:
    with PexRegistry(urls, check=check, timeout=timeout) as registry:
        return registry.publish(files, lambda _name, _sent: None)


def sent(urls: Urls, pex: Artefact, *, check: ReadBack = ReadBack.TAIL) -> bool:
    """Whether a file that is published had to be sent."""
    outcome = publish(urls, pex, check=check)[pex.name]
    assert isinstance(outcome, Published), outcome
    assert (outcome.name, outcome.size) == (pex.name, pex.size)
    return outcome.sent


def failure(cloud: CloudServer, urls: Urls, pex: Artefact, *, timeout: float = 600) -> str:
    """The words for a file that could not be published, which do not give anything away."""
    outcome = publish(urls, pex, timeout=timeout)[pex.name]
    assert isinstance(outcome, PublishError), outcome
    assert outcome.remedy
    assert outcome.what.startswith(f"`{pex.name}` could not be published: ")
    assert cloud.leaks([outcome.what, outcome.detail or "", outcome.remedy, cloud.storage.bucket]) == []
    assert cloud.storage.bucket not in outcome.what
    return outcome.what


def test_what_is_published_is_there(cloud: CloudServer, urls: Urls, tmp_path: Path) -> None:
    files = [
        make_pex(tmp_path, kind=kind, seed=seed) for kind, seed in (("deps", 1), ("source", 2), ("source", 3))
    ]
    outcomes = publish(urls, *files)
    assert list(outcomes) == [file.name for file in files]
    assert all(isinstance(each, Published) and each.sent for each in outcomes.values())
    assert cloud.objects() == {file.name: file.path.read_bytes() for file in files}
    assert [method for method, _ in urls.calls] == ["GET", "PUT"]


def test_a_put_is_what_s3_expects(cloud: CloudServer, urls: Urls, pex: Artefact) -> None:
    assert sent(urls, pex)
    [put] = [request for request in cloud.requests if request.method == "PUT"]
    headers = {name.lower(): value for name, value in put.headers.items()}
    assert headers["content-length"] == str(pex.size)
    assert not {"content-type", "authorization", "transfer-encoding"} & set(headers)


def test_what_is_there_is_not_sent_again(cloud: CloudServer, urls: Urls, pex: Artefact) -> None:
    assert sent(urls, pex)
    urls.calls.clear()
    assert not sent(urls, pex)
    assert urls.calls == [("GET", (pex.name,))]
    assert len(cloud.uploads()) == 1


def test_nothing_is_asked_for_no_files(urls: Urls) -> None:
    assert publish(urls) == {}
    assert not urls.calls


@pytest.mark.parametrize("check", ReadBack)
@pytest.mark.parametrize("damage", ["empty", "truncated", "another end"])
def test_what_is_there_but_not_whole_is_replaced(
    cloud: CloudServer, urls: Urls, pex: Artefact, damage: str, check: ReadBack
) -> None:
    whole = pex.path.read_bytes()
    there = {"empty": b"", "truncated": whole[:-1], "another end": whole[:-1] + b"?"}[damage]
    cloud.storage.put_object(pex.name, there)
    assert sent(urls, pex, check=check)
    assert cloud.objects() == {pex.name: whole}


@pytest.fixture
def nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is compared as the large ones are."""
    monkeypatch.setattr(comparison, "_SMALL", -1)


def tell_etag(cloud: CloudServer, etag: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the store tell this ETag of every file, or none."""
    forward = cloud.storage.forward

    def changed(method: str, path: str, headers: dict[str, str], body: bytes) -> storage.Answer:
        answer = forward(method, path, headers, body)
        kept = {name: value for name, value in answer.headers.items() if name.lower() != "etag"}
        return replace(answer, headers=kept | ({"ETag": etag} if etag else {}))

    monkeypatch.setattr(cloud.storage, "forward", changed)


@pytest.mark.usefixtures("nothing_is_small")
def test_a_full_check_finds_another_byte_anywhere(
    cloud: CloudServer, urls: Urls, pex: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_etag(cloud, None, monkeypatch)
    whole = pex.path.read_bytes()
    cloud.storage.put_object(pex.name, b"?" + whole[1:])
    assert not sent(urls, pex)
    assert sent(urls, pex, check=ReadBack.FULL)
    assert cloud.objects() == {pex.name: whole}
    assert not sent(urls, pex, check=ReadBack.FULL)


def test_a_small_file_is_always_compared_whole(
    cloud: CloudServer, urls: Urls, pex: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_etag(cloud, None, monkeypatch)
    cloud.storage.put_object(pex.name, b"?" + pex.path.read_bytes()[1:])
    assert sent(urls, pex)


@pytest.mark.usefixtures("nothing_is_small")
def test_the_stores_md5_tells_of_damage_before_the_end(cloud: CloudServer, urls: Urls, pex: Artefact) -> None:
    cloud.inject("PUT", faults.Corrupt(one_byte=True))
    assert "sent 2 times, but its content differs in the registry" in failure(cloud, urls, pex)
    cloud.heal()
    # The damaged file is not taken for one that is there already.
    assert sent(urls, pex)
    assert cloud.objects() == {pex.name: pex.path.read_bytes()}


@pytest.mark.usefixtures("nothing_is_small")
@pytest.mark.parametrize("etag", [f'"{"0123456789abcdef" * 2}"', f'"{"0123456789abcdef" * 2}-2"', None])
def test_an_etag_that_is_no_md5_is_no_damage(
    cloud: CloudServer, urls: Urls, pex: Artefact, etag: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_etag(cloud, etag, monkeypatch)
    assert sent(urls, pex)
    assert not sent(urls, pex)
    assert cloud.objects() == {pex.name: pex.path.read_bytes()}
    # Damage is noticed all the same, when a file is sent.
    cloud.storage.delete_object(pex.name)
    cloud.inject("PUT", faults.Corrupt(one_byte=True))
    assert "its content differs in the registry" in failure(cloud, urls, pex)


@pytest.mark.parametrize("status", TRANSIENT)
def test_a_store_in_trouble_is_asked_again(cloud: CloudServer, urls: Urls, pex: Artefact, status: int) -> None:
    cloud.inject("PUT", faults.Status(status), times=ATTEMPTS - 1)
    assert sent(urls, pex)
    assert len(cloud.uploads()) == ATTEMPTS


def test_pauses_grow_up_to_a_limit(
    cloud: CloudServer, urls: Urls, pex: Artefact, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda _least, most: most)
    monkeypatch.setattr("builder.system.http.PAUSE", 2)
    cloud.inject("PUT", faults.Status(503), times=ATTEMPTS - 1)
    assert sent(urls, pex)
    assert waits == [4, 8, 16, 20]


def test_pauses_are_drawn_at_random_from_half_on(
    cloud: CloudServer, urls: Urls, pex: Artefact, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda least, _most: least)
    cloud.inject("PUT", faults.Status(503), times=1)
    assert sent(urls, pex)
    assert waits == [0.5]


def test_a_store_that_asks_for_patience_gets_it(
    cloud: CloudServer, urls: Urls, pex: Artefact, waits: list[float]
) -> None:
    in_two_minutes = email.utils.formatdate(time.time() + 120, usegmt=True)
    for answer in ("40", in_two_minutes):
        cloud.inject("PUT", faults.Status(429, retry_after=answer), times=1)
    assert sent(urls, pex)
    assert waits[0] == 40
    assert 60 < waits[1] <= 120


@pytest.mark.parametrize("nonsense", ["soon", "-5", "9" * 400, "Wed, 99 Foo 2026 99:99:99 GMT", "1e9"])
def test_nonsense_in_retry_after_does_no_harm(
    cloud: CloudServer, urls: Urls, pex: Artefact, waits: list[float], nonsense: str
) -> None:
    cloud.inject("PUT", faults.Status(503, retry_after=nonsense), times=1)
    assert sent(urls, pex)
    assert waits[0] <= 1


def test_a_store_that_asks_for_more_time_than_there_is(
    cloud: CloudServer, urls: Urls, pex: Artefact, waits: list[float]
) -> None:
    cloud.inject("PUT", faults.Status(503, retry_after="3600"))
    assert "503 (SlowDown) and asks to be left alone for 3600 seconds" in failure(cloud, urls, pex)
    assert waits == []
    assert len(cloud.uploads()) == 1


def test_one_file_that_cannot_be_sent_does_not_stop_the_others(
    cloud: CloudServer, urls: Urls, pex: Artefact, tmp_path: Path
) -> None:
    cloud.inject("PUT", faults.Status(503), name=pex.name)
    other = make_pex(tmp_path, kind="source", seed=1)
    outcomes = publish(urls, pex, other)
    assert isinstance(outcomes[pex.name], PublishError)
    assert isinstance(outcomes[other.name], Published)
    assert set(cloud.objects()) == {other.name}


@pytest.mark.parametrize(
    "fault, words",
    [
        (faults.Status(503), f"answered with HTTP 503 (SlowDown); tried {ATTEMPTS} times"),
        (faults.Reset(), f"`127.0.0.1` cut the connection; tried {ATTEMPTS} times"),
        (faults.LostReply(), f"`127.0.0.1` cut the connection; tried {ATTEMPTS} times"),
        (faults.Truncate(), "sent 2 times, but the registry has"),
        (faults.Corrupt(), "sent 2 times, but its end differs in the registry"),
        (faults.Lose(), "sent 2 times, but the registry does not have it"),
    ],
)
def test_a_fault_is_got_over_once_but_told_if_it_stays(
    cloud: CloudServer, urls: Urls, pex: Artefact, fault: faults.Fault, words: str
) -> None:
    cloud.inject("PUT", fault)
    assert words in failure(cloud, urls, pex)
    cloud.heal()
    cloud.storage.delete_object(pex.name)
    cloud.inject("PUT", fault, times=1)
    sent(urls, pex)
    assert cloud.objects() == {pex.name: pex.path.read_bytes()}


@pytest.mark.parametrize("fault", [faults.Hang(), faults.Hang(reading=False)])
def test_a_store_that_does_nothing_costs_no_more_than_the_time_limit(
    cloud: CloudServer, urls: Urls, tmp_path: Path, fault: faults.Fault
) -> None:
    # More than the buffers of the connection take.
    pex = make_pex(tmp_path, size=20_000_000)
    cloud.inject("PUT", fault)
    told = failure(cloud, urls, pex, timeout=PROMPT)
    assert "not done within the 0.5 seconds that it may take" in told
    assert "127.0.0.1" in told


def test_what_a_store_does_not_take_at_all_is_not_tried_again(
    cloud: CloudServer, urls: Urls, pex: Artefact, waits: list[float]
) -> None:
    cloud.inject("PUT", faults.Status(405))
    assert "answered with HTTP 405" in failure(cloud, urls, pex)
    assert len(cloud.uploads()) == 1
    assert waits == []


def test_a_url_that_is_too_old_is_replaced(urls: Urls, pex: Artefact, waits: list[float]) -> None:
    urls.expired["PUT"] = 2
    assert sent(urls, pex)
    assert urls.calls_for("PUT") == 3
    assert waits == []


def test_new_urls_are_asked_for_one_at_a_time(urls: Urls, tmp_path: Path) -> None:
    files = [make_pex(tmp_path, seed=seed) for seed in range(4)]
    urls.expired["PUT"] = 4
    # Long enough for the others to come, if they could: `urls` does not stand being called by two threads at once.
    urls.seconds = 0.1
    assert all(isinstance(each, Published) for each in publish(urls, *files).values())
    assert urls.calls_for("PUT") == 5


def test_urls_that_are_always_too_old_are_a_refusal(cloud: CloudServer, urls: Urls, pex: Artefact) -> None:
    urls.expired["PUT"] = 100
    assert "`127.0.0.1` answered with HTTP 403 (AccessDenied) to each of 3 presigned URLs" in failure(
        cloud, urls, pex
    )
    assert urls.calls_for("PUT") == 3
    assert cloud.objects() == {}


def test_a_url_for_reading_that_became_too_old_is_replaced(cloud: CloudServer, urls: Urls, pex: Artefact) -> None:
    urls.expired["GET"] = 1
    assert sent(urls, pex)
    assert len(cloud.uploads()) == 1


def test_a_url_that_cannot_be_replaced_is_told(cloud: CloudServer, urls: Urls, pex: Artefact) -> None:
    urls.expired["PUT"] = 100
    urls.failing["PUT"] = 1
    assert "Dagster Cloud is out of URLs" in failure(cloud, urls, pex)


def test_no_urls_no_publishing(urls: Urls, pex: Artefact) -> None:
    urls.failing["PUT"] = 0
    with pytest.raises(CloudError, match="out of URLs"):
        publish(urls, pex)


@pytest.mark.parametrize("fault", [faults.Status(500), faults.Reset(), faults.Truncate(), faults.Corrupt()])
def test_what_may_be_there_whole_is_not_replaced(
    cloud: CloudServer, urls: Urls, pex: Artefact, fault: faults.Fault
) -> None:
    assert sent(urls, pex)
    cloud.inject("GET", fault)
    failure(cloud, urls, pex)
    assert len(cloud.uploads()) == 1
    cloud.heal()
    cloud.inject("GET", fault, times=1)
    assert not sent(urls, pex)


def test_what_is_read_differently_each_time_is_not_replaced(
    cloud: CloudServer, urls: Urls, pex: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sent(urls, pex)
    tell_etag(cloud, None, monkeypatch)
    cloud.inject("GET", faults.Corrupt(), times=1)
    cloud.inject("GET", faults.Corrupt(one_byte=True))
    assert "read differently each time" in failure(cloud, urls, pex)
    assert len(cloud.uploads()) == 1


def test_what_cannot_be_read_back_is_not_published(cloud: CloudServer, urls: Urls, pex: Artefact) -> None:
    cloud.inject("GET", faults.Status(500), after=2)
    told = failure(cloud, urls, pex)
    assert "it was sent, but could not be read back: `127.0.0.1` answered with HTTP 500 (InternalError)" in told


def test_reading_back_is_tried_again(cloud: CloudServer, urls: Urls, pex: Artefact) -> None:
    cloud.inject("GET", faults.Status(500), after=2, times=1)
    cloud.inject("GET", faults.Truncate(), after=2, times=1)
    assert sent(urls, pex)
    assert len(cloud.uploads()) == 1


@pytest.mark.parametrize("change", ["longer", "other", "gone"])
def test_a_file_that_changed_since_it_was_built_is_not_sent(
    cloud: CloudServer, urls: Urls, pex: Artefact, change: str
) -> None:
    content = pex.path.read_bytes()
    if change == "gone":
        pex.path.unlink()
    else:
        pex.path.write_bytes({"longer": content + b"?", "other": b"?" + content[1:]}[change])
    told = failure(cloud, urls, pex)
    assert ("cannot be read: No such file" if change == "gone" else "was changed after it was built") in told
    assert cloud.objects() == {}


@pytest.mark.parametrize("content", [b"?" * 2_000_000, b""])
def test_a_file_that_changes_while_it_is_sent_does_not_arrive(
    cloud: CloudServer, urls: Urls, tmp_path: Path, content: bytes
) -> None:
    pex = make_pex(tmp_path, size=2_000_000)

    def change(_name: str, sent: int) -> None:
        if sent:
            pex.path.write_bytes(content)

    with PexRegistry(urls) as registry:
        outcome = registry.publish([pex], change)[pex.name]
    assert isinstance(outcome, PublishError)
    assert "was changed" in outcome.what
    assert cloud.objects() == {}


def test_progress_is_counted_in_bytes_and_begins_anew_with_each_try(
    cloud: CloudServer, urls: Urls, tmp_path: Path
) -> None:
    pex = make_pex(tmp_path, size=1_000_000)
    cloud.inject("PUT", faults.Status(503), times=1)
    told: list[tuple[str, int]] = []
    with PexRegistry(urls) as registry:
        registry.publish([pex], lambda name, sent: told.append((name, sent)))
    counts = [count for name, count in told if name == pex.name]
    once = counts[: counts.index(pex.size) + 1]
    assert counts == once * 2
    assert once == sorted(once)
    assert once[0] == 0
    assert len(once) > 3


def test_several_files_are_sent_at_once(urls: Urls, tmp_path: Path) -> None:
    files = [make_pex(tmp_path, seed=seed) for seed in range(4)]
    all_begun = threading.Barrier(4, timeout=30)

    def meet(_name: str, sent: int) -> None:
        if not sent:
            all_begun.wait()

    with PexRegistry(urls) as registry:
        outcomes = registry.publish(files, meet)
    assert all(isinstance(each, Published) for each in outcomes.values())


def test_nothing_is_sent_once_the_builder_is_stopping(cloud: CloudServer, urls: Urls, pex: Artefact) -> None:
    process.stopping.set()
    assert "it was stopped" in failure(cloud, urls, pex)
    assert cloud.uploads() == []


def test_a_transfer_ends_when_the_builder_is_stopping(cloud: CloudServer, urls: Urls, tmp_path: Path) -> None:
    files = [make_pex(tmp_path, size=2_000_000, seed=seed) for seed in range(6)]
    begun: set[str] = set()

    def stop(name: str, sent: int) -> None:
        begun.add(name)
        if sent:
            process.stopping.set()

    with PexRegistry(urls) as registry:
        outcomes = registry.publish(files, stop)
    assert all(isinstance(each, PublishError) and "stopped" in each.what for each in outcomes.values())
    assert len(begun) <= 4
    assert cloud.objects() == {}


def test_urls_are_not_logged(
    cloud: CloudServer, urls: Urls, pex: Artefact, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert sent(urls, pex)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("http")]
    assert cloud.leaks(ours) == []


def test_what_was_looked_for_before_is_not_asked_for_again(cloud: CloudServer, urls: Urls, pex: Artefact) -> None:
    with PexRegistry(urls) as registry:
        absent = registry.look(pex)
        assert isinstance(absent, Absent)
        assert cloud.objects() == {}
        cloud.requests.clear()
        outcome = registry.publish([pex], lambda _name, _sent: None, looked=absent)[pex.name]
        assert isinstance(outcome, Published)
        assert outcome.sent
        assert cloud.objects()[pex.name] == pex.path.read_bytes()
        # Sent, and read back.
        assert [request.method for request in cloud.requests] == ["PUT", "GET"]
        there = registry.look(pex)
        assert isinstance(there, Published)
        cloud.requests.clear()
        again = registry.publish([pex], lambda _name, _sent: None, looked=there)[pex.name]
        assert again == there
        assert not there.sent
        assert not cloud.requests


def test_a_look_that_fails_leaves_it_to_the_publishing_to_say_why(
    cloud: CloudServer, urls: Urls, pex: Artefact
) -> None:
    with PexRegistry(urls) as registry:
        cloud.inject("GET", faults.Status(400))
        assert registry.look(pex) is None
        cloud.heal()
        urls.failing["PUT"] = 0
        assert registry.look(pex) is None
