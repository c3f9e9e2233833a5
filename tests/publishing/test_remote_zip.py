"""What can be told of a zip file by its last bytes."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.assembly.archive import ArchiveWriter, deflated, stored
from builder.publishing import pex_registry
from builder.publishing.pex_registry import PexRegistry
from builder.publishing.remote_zip import DistributionSize, central_directory, distribution_sizes
from builder.publishing.transfer import TAIL
from builder.system.http import ATTEMPTS
from tests.support.cloud import CloudServer, faults
from tests.support.registry import Urls, make_artefact

NUMPY = random.Random(0).randbytes(200_000)  # noqa: S311  (not for secrets)


def pex_bytes(count: int = 3) -> bytes:
    """A deps PEX as our writer makes it, with some thousand entries if wanted."""
    stream = io.BytesIO()
    writer = ArchiveWriter(stream, preamble=b"#!/usr/bin/env python3.11\n")
    writer.add(deflated(".bootstrap/pex/pex.py", b"pass\n" * 1000))
    writer.add(stored(".deps/numpy-2.0.1-cp311-cp311-manylinux_2_17_x86_64.whl/numpy/core.so", NUMPY))
    writer.add(stored(".deps/numpy-2.0.1-cp311-cp311-manylinux_2_17_x86_64.whl/numpy/__init__.py", b"12345"))
    for number in range(count):
        writer.add(stored(f".deps/Typing_Extensions-4.1+a.b-py3-none-any.whl/{number}.py", b"1"))
    writer.add(stored("PEX-INFO", b"{}"))
    writer.finish()
    return stream.getvalue()


WHOLE = pex_bytes()


@given(st.integers(0, len(WHOLE) - 1))
def test_no_beginning_of_a_zip_file_is_taken_for_a_whole_one(size: int) -> None:
    assert central_directory(WHOLE[:size][-TAIL:], size) is None


@pytest.mark.parametrize("count", [3, 2000, 70_000])
def test_what_a_whole_one_is_made_of(count: int) -> None:
    whole = pex_bytes(count)
    where = central_directory(whole[-TAIL:], len(whole))
    assert where is not None
    assert distribution_sizes(whole[where.start : where.start + where.size]) == {
        "numpy": DistributionSize("2.0.1", len(NUMPY) + 5),
        "typing-extensions": DistributionSize("4.1+a.b", count),
    }


def test_offsets_may_count_from_the_first_entry() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a", b"1")
        archive.comment = b"hello"
    shifted = b"#!/usr/bin/env python3\n" + stream.getvalue()
    assert zipfile.is_zipfile(io.BytesIO(shifted))
    assert central_directory(shifted, len(shifted)) is not None


def test_the_end_of_a_zip_file_that_lost_its_beginning_is_not_whole() -> None:
    assert central_directory(WHOLE[-TAIL:], len(WHOLE) - 1) is None


def test_an_old_end_record_with_bytes_after_it_is_no_end() -> None:
    longer = WHOLE + b"\0" * 100
    assert central_directory(longer[-TAIL:], len(longer)) is None


@given(st.binary(max_size=300))
def test_any_bytes_can_be_asked_for_distributions(content: bytes) -> None:
    assert central_directory(content, len(content)) is None or content.count(b"PK\5\6")
    try:
        distribution_sizes(content)
    except ValueError:
        assert content


@pytest.mark.parametrize("count", [3, 2000])
def test_the_distributions_of_a_deps_pex_in_the_registry(
    cloud: CloudServer, urls: Urls, tmp_path: Path, count: int
) -> None:
    pex = make_artefact(tmp_path, "deps", pex_bytes(count))
    with PexRegistry(urls) as registry:
        registry.publish([pex], lambda _name, _sent: None)
        cloud.requests.clear()
        found = registry.distributions(pex.name)
    assert found is not None
    assert found["typing-extensions"] == DistributionSize("4.1+a.b", count)
    assert {request.headers.get("Range", "")[:6] for request in cloud.requests} == {"bytes="}


@pytest.mark.parametrize("content", [None, b"", b"not a zip", WHOLE[:-5], b"?" * 100 + WHOLE[-60:]])
def test_nothing_is_told_of_what_is_no_deps_pex(cloud: CloudServer, urls: Urls, content: bytes | None) -> None:
    name = "deps-0123456789abcdef.pex"
    if content is not None:
        cloud.storage.put_object(name, content)
    with PexRegistry(urls) as registry:
        assert registry.distributions(name) is None


def test_nothing_is_told_if_the_registry_is_in_trouble(cloud: CloudServer, urls: Urls) -> None:
    name = "deps-0123456789abcdef.pex"
    cloud.storage.put_object(name, WHOLE)
    with PexRegistry(urls) as registry:
        cloud.inject("GET", faults.Status(500), times=ATTEMPTS)
        assert registry.distributions(name) is None
        assert registry.distributions(name) is not None
        urls.failing["GET"] = 0
        assert registry.distributions(name) is None


def test_a_registry_that_never_answers_is_not_waited_for_long(
    cloud: CloudServer, urls: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing depends on it, and the location runs already."""
    monkeypatch.setattr(pex_registry, "_OPTIONAL_SECONDS", 0.2)
    cloud.inject("GET", faults.Hang(), times=1)
    with PexRegistry(urls, timeout=600) as registry:
        assert registry.distributions("deps-0123456789abcdef.pex") is None
