"""Records of which deps PEX serves a lock: written once it is there, never trusted blindly."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster_cloud_cli.core.pex_builder import pex_registry as existing_tool

from builder.errors import Notice, PublishError
from builder.publishing.comparison import ReadBack
from builder.publishing.pex_registry import CachedDeps, PexRegistry
from builder.system.http import ATTEMPTS
from builder.system.storage import Artefact
from tests.support.cloud import CloudServer, faults
from tests.support.registry import Urls, make_artefact, make_pex

IDENTITY = "0123456789abcdef0123456789abcdef01234567"
TAG = "main/é 1"
RECORD = existing_tool.requirements_hash_filename(IDENTITY, TAG)


@pytest.fixture
def deps(cloud: CloudServer, tmp_path: Path) -> CachedDeps:
    """A deps PEX that is in the registry."""
    return _put(cloud, make_pex(tmp_path))


@pytest.fixture
def registry(urls: Urls) -> Iterator[PexRegistry]:
    with PexRegistry(urls) as made:
        yield made


def _put(cloud: CloudServer, pex: Artefact) -> CachedDeps:
    cloud.storage.put_object(pex.name, pex.path.read_bytes())
    return CachedDeps(pex.name, pex.size, "1.13.27", pex.sha256)


def put_record(cloud: CloudServer, deps: CachedDeps, **changes: object) -> None:
    fields = {"deps_pex_name": deps.name, "dagster_version": "1.13.27", "size": deps.size, "sha256": deps.sha256}
    changed = {name: value for name, value in {**fields, **changes}.items() if value is not ...}
    cloud.storage.put_object(RECORD, json.dumps(changed).encode())


def refusal(found: tuple[CachedDeps | None, tuple[Notice, ...]]) -> str:
    """Why a record was not used: one notice, in one line."""
    deps, [notice] = found
    assert deps is None
    assert "\n" not in notice.text
    start, end = f"the record of cached dependencies `{RECORD}` is not used: ", "; they are built"
    assert notice.text.startswith(start)
    assert notice.text.endswith(end)
    return notice.text.removeprefix(start).removesuffix(end)


def test_what_is_recorded_is_found(cloud: CloudServer, registry: PexRegistry, deps: CachedDeps) -> None:
    registry.record_deps(IDENTITY, TAG, deps)
    assert set(cloud.objects()) == {deps.name, RECORD}
    assert registry.find_deps(IDENTITY, TAG) == (deps, ())


def test_another_lock_and_another_tag_are_other_records(registry: PexRegistry, deps: CachedDeps) -> None:
    registry.record_deps(IDENTITY, TAG, deps)
    assert registry.find_deps(IDENTITY, "other") == (None, ())
    assert registry.find_deps("f" * 40, TAG) == (None, ())


def test_the_existing_tool_can_read_our_records(
    cloud: CloudServer, registry: PexRegistry, deps: CachedDeps
) -> None:
    registry.record_deps(IDENTITY, TAG, deps)
    read = existing_tool.get_cached_deps_details(cloud.url, cloud.token, IDENTITY, TAG)
    assert read is not None
    assert (read["deps_pex_name"], read["dagster_version"]) == (deps.name, "1.13.27")


def test_we_can_read_the_existing_tools_records(
    cloud: CloudServer, registry: PexRegistry, deps: CachedDeps
) -> None:
    existing_tool.set_cached_deps_details(cloud.url, cloud.token, IDENTITY, TAG, deps.name, "1.13.27")
    assert registry.find_deps(IDENTITY, TAG) == (dataclasses.replace(deps, sha256=None), ())


@pytest.mark.parametrize("may_list", [True, False])
def test_no_record_is_nothing_to_tell(may_list: bool) -> None:  # noqa: FBT001
    with CloudServer(may_list=may_list) as cloud, PexRegistry(Urls(cloud)) as registry:
        assert registry.find_deps(IDENTITY, TAG) == (None, ())
        assert cloud.requests[-1].status == (404 if may_list else 403)


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "it is not JSON"),
        (b'{"deps_pex_name": "deps-', "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b"[" * 60_000, "it is not JSON"),
        (b'{"size": ' + b"9" * 5000 + b"}", "it is not JSON"),
        (b"[]", "it is not a JSON object"),
        (b'"deps-0123456789.pex"', "it is not a JSON object"),
        (b"null", "it is not a JSON object"),
        (b"{}", "it is not complete"),
        (b'{"deps_pex_name": "deps-0123456789.pex"}', "it is not complete"),
        (b" " * 70_000 + b"{}", "it is far too large"),
    ],
)
def test_a_corrupt_record_is_told_and_ignored(
    cloud: CloudServer, registry: PexRegistry, content: bytes, reason: str
) -> None:
    cloud.storage.put_object(RECORD, content)
    assert refusal(registry.find_deps(IDENTITY, TAG)) == reason


@pytest.mark.parametrize(
    "name",
    [
        "source-0123456789abcdef.pex",
        "deps-0123456789abcdef.pex:source-0123456789abcdef.pex",
        "deps-0123456789abcdef.pex\n",
        "deps-0123456789abcdef.pex\n::error::hello",
        "../deps-0123456789abcdef.pex",
        "deps-/../../secret.pex",
        "deps-0123456789ABCDEF.pex",
        "deps-0123456789abcdef.pex?versionId=1",
        "deps-.pex",
        "deps-" + "0" * 65 + ".pex",
        "deps-\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17.pex",
        "",
        7,
        ["deps-0123456789abcdef.pex"],
        {"deps-0123456789abcdef.pex": 1},
    ],
)
def test_a_record_that_names_no_deps_pex_is_ignored_and_the_name_not_even_asked_for(
    cloud: CloudServer, urls: Urls, registry: PexRegistry, deps: CachedDeps, name: object
) -> None:
    put_record(cloud, deps, deps_pex_name=name)
    assert refusal(registry.find_deps(IDENTITY, TAG)) == "it does not name a deps PEX"
    assert urls.calls == [("GET", (RECORD,))]


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"dagster_version": 1.13}, "its dagster_version is not a version"),
        ({"dagster_version": ["1"]}, "its dagster_version is not a version"),
        ({"dagster_version": "1.13\n::error::hello"}, "its dagster_version is not a version"),
        ({"size": "100"}, "its size is not a number"),
        ({"size": True}, "its size is not a number"),
        ({"size": 1e300}, "its size is not a number"),
        ({"size": 10**4000}, "its size is not a number"),
        ({"size": -1}, "its size is not a number"),
        ({"sha256": 7}, "its sha256 is not 64 hexadecimal digits"),
        ({"sha256": "abc"}, "its sha256 is not 64 hexadecimal digits"),
    ],
)
def test_a_record_with_values_of_the_wrong_kind_is_ignored(
    cloud: CloudServer, registry: PexRegistry, deps: CachedDeps, changes: dict[str, object], reason: str
) -> None:
    put_record(cloud, deps, **changes)
    assert refusal(registry.find_deps(IDENTITY, TAG)) == reason


def test_a_record_whose_file_is_lost_is_ignored(
    cloud: CloudServer, registry: PexRegistry, deps: CachedDeps
) -> None:
    put_record(cloud, deps)
    cloud.storage.delete_object(deps.name)
    assert (
        refusal(registry.find_deps(IDENTITY, TAG)) == f"it names `{deps.name}`, which the registry does not have"
    )


@pytest.mark.parametrize("sizes_recorded", [True, False])
def test_a_record_whose_file_is_cut_off_is_ignored(
    cloud: CloudServer,
    registry: PexRegistry,
    deps: CachedDeps,
    sizes_recorded: bool,  # noqa: FBT001
) -> None:
    put_record(cloud, deps, **({} if sizes_recorded else {"size": ...}))
    whole = cloud.objects()[deps.name]
    cloud.storage.put_object(deps.name, whole[: len(whole) // 2])
    told = refusal(registry.find_deps(IDENTITY, TAG))
    half = f"the registry has {deps.size // 2} bytes of `{deps.name}`, not {deps.size}"
    assert told == (half if sizes_recorded else f"the registry's `{deps.name}` is not a whole PEX file")


def test_a_record_whose_file_is_no_zip_file_is_ignored(
    cloud: CloudServer, registry: PexRegistry, tmp_path: Path
) -> None:
    deps = _put(cloud, make_artefact(tmp_path, "deps", b"<html>not found</html>"))
    put_record(cloud, deps)
    assert "is not a whole PEX file" in refusal(registry.find_deps(IDENTITY, TAG))


def test_a_full_check_finds_that_the_recorded_file_has_another_content(
    cloud: CloudServer, urls: Urls, deps: CachedDeps
) -> None:
    put_record(cloud, deps)
    cloud.storage.put_object(deps.name, b"?" + cloud.objects()[deps.name][1:])
    with PexRegistry(urls, check=ReadBack.FULL) as registry:
        assert "has another sha256 than was recorded" in refusal(registry.find_deps(IDENTITY, TAG))
        put_record(cloud, deps, sha256=...)
        assert registry.find_deps(IDENTITY, TAG) == (dataclasses.replace(deps, sha256=None), ())


def test_a_store_in_trouble_is_asked_again(cloud: CloudServer, registry: PexRegistry, deps: CachedDeps) -> None:
    put_record(cloud, deps)
    cloud.inject("GET", faults.Status(503), name=RECORD, times=ATTEMPTS - 1)
    cloud.inject("GET", faults.Reset(), name=deps.name, times=ATTEMPTS - 1)
    assert registry.find_deps(IDENTITY, TAG) == (deps, ())


@pytest.mark.parametrize("which", ["requirements-*", "deps-*"])
def test_a_store_that_stays_in_trouble_is_told(
    cloud: CloudServer, registry: PexRegistry, deps: CachedDeps, which: str
) -> None:
    put_record(cloud, deps)
    cloud.inject("GET", faults.Status(503), name=which)
    told = refusal(registry.find_deps(IDENTITY, TAG))
    assert told == f"`127.0.0.1` answered with HTTP 503 (SlowDown); tried {ATTEMPTS} times"


@pytest.mark.parametrize("calls", [0, 1])
def test_without_urls_nothing_is_found(cloud: CloudServer, urls: Urls, deps: CachedDeps, calls: int) -> None:
    put_record(cloud, deps)
    urls.failing["GET"] = calls
    with PexRegistry(urls) as registry:
        assert refusal(registry.find_deps(IDENTITY, TAG)) == "Dagster Cloud is out of URLs"


@pytest.mark.parametrize("fault", [faults.Truncate(), faults.Corrupt(), faults.Lose(), faults.Status(500)])
def test_a_record_is_read_back(
    cloud: CloudServer, registry: PexRegistry, deps: CachedDeps, fault: faults.Fault
) -> None:
    cloud.inject("PUT", fault)
    with pytest.raises(PublishError) as caught:
        registry.record_deps(IDENTITY, TAG, deps)
    assert caught.value.what.startswith(f"`{RECORD}` could not be published: ")
    assert cloud.leaks([caught.value.what]) == []
    cloud.heal()
    cloud.inject("PUT", fault, times=1)
    registry.record_deps(IDENTITY, TAG, deps)
    assert registry.find_deps(IDENTITY, TAG) == (deps, ())


def test_a_record_replaces_one_of_no_use(cloud: CloudServer, registry: PexRegistry, deps: CachedDeps) -> None:
    cloud.storage.put_object(RECORD, b"{")
    registry.record_deps(IDENTITY, TAG, deps)
    assert registry.find_deps(IDENTITY, TAG) == (deps, ())


def test_without_urls_nothing_is_recorded(urls: Urls, registry: PexRegistry, deps: CachedDeps) -> None:
    urls.failing["PUT"] = 0
    with pytest.raises(PublishError, match="out of URLs"):
        registry.record_deps(IDENTITY, TAG, deps)
