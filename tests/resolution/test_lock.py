"""Selecting the distributions of a lock for a target."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from builder.errors import Origin, ResolutionError
from builder.project.requirements_txt import RequirementLine
from builder.resolution.lock import Hashes, Lock, allowed_hashes, read_lock
from builder.resolution.target import serverless_target

ORIGIN = Origin(Path("pylock.toml"))
A, B, C, D = (letter * 64 for letter in "abcd")


def wheel(url: str, digest: str) -> str:
    return f'{{ url = "{url}", upload-time = 2026-01-02T03:04:05Z, size = 3, hashes = {{ sha256 = "{digest}" }} }}'


def package(name: str, *wheels: str, more: str = "") -> str:
    listed = f"wheels = [{', '.join(wheels)}]" if wheels else ""
    return f'[[packages]]\nname = "{name}"\nversion = "1.0"\n{more}\n{listed}\n'


def read(
    *packages: str, version: str = "3.11", hashes: Hashes | None = None, base: Path = Path("/project")
) -> Lock:
    text = 'lock-version = "1.0"\ncreated-by = "uv"\n' + "\n".join(packages)
    return read_lock(text, serverless_target(version), base=base, origin=ORIGIN, hashes=hashes or {})


def test_the_best_wheel_for_the_target_is_chosen() -> None:
    built = [
        wheel("https://host.invalid/x-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", A),
        wheel("https://host.invalid/x-1.0-cp311-cp311-manylinux_2_36_x86_64.whl", B),
        wheel("https://host.invalid/x-1.0-cp311-cp311-manylinux_2_39_x86_64.whl", C),
        wheel("https://host.invalid/x-1.0-cp313-cp313-manylinux_2_39_x86_64.whl", D),
    ]
    assert [found.digest for found in read(package("x", *built)).distributions] == [B]
    assert [found.digest for found in read(package("x", *built), version="3.13").distributions] == [D]


def test_markers_are_those_of_the_target() -> None:
    pure = wheel("https://host.invalid/x-1.0-py3-none-any.whl", A)
    conditional = package("x", pure, more="marker = \"python_version < '3.12'\"")
    assert len(read(conditional).distributions) == 1
    assert read(conditional, version="3.12").distributions == ()


def test_a_source_distribution_is_taken_where_no_wheel_fits() -> None:
    sdist = f"sdist = {wheel('https://host.invalid/x-1.0.tar.gz', A)}"
    other = wheel("https://host.invalid/x-1.0-cp39-cp39-win_amd64.whl", B)
    (found,) = read(package("x", other, more=sdist)).distributions
    assert (found.kind, found.filename, found.digest) == ("sdist", "x-1.0.tar.gz", A)


def test_everything_without_a_file_for_the_target_is_named_at_once() -> None:
    one = wheel("https://host.invalid/one-1.0-cp39-cp39-win_amd64.whl", B)
    two = wheel("https://host.invalid/two-1.0-cp39-cp39-win_amd64.whl", B)
    with pytest.raises(ResolutionError, match=r"Python 3\.11 on linux x86_64") as caught:
        read(package("one", one), package("two", two))
    assert "one" in str(caught.value.detail)
    assert "two" in str(caught.value.detail)


def test_where_files_come_from_does_not_change_the_identity() -> None:
    here = read(package("x", wheel("https://host.invalid/simple/x-1.0-py3-none-any.whl", A)))
    mirror = read(package("x", wheel("https://mirror.invalid/x-1.0-py3-none-any.whl", A)))
    other = read(package("x", wheel("https://host.invalid/simple/x-1.0-py3-none-any.whl", B)))
    assert here.identity("1") == mirror.identity("1")
    assert len({here.identity("1"), other.identity("1"), here.identity("2")}) == 3


def test_the_target_is_part_of_the_identity() -> None:
    pure = package("x", wheel("https://host.invalid/x-1.0-py3-none-any.whl", A))
    assert read(pure).identity("1") != read(pure, version="3.12").identity("1")


def test_the_written_lock_holds_the_choice_only_and_no_credentials() -> None:
    lock = read(
        package(
            "x",
            wheel("https://me:hunter2@host.invalid/x-1.0-py3-none-any.whl", A),
            wheel("https://host.invalid/x-1.0-cp39-cp39-win_amd64.whl", B),
            more=f"sdist = {wheel('https://host.invalid/x-1.0.tar.gz', C)}",
        ),
        package("local", more='directory = { path = "../local" }'),
        package(
            "tool",
            more=f'vcs = {{ type = "git", url = "https://me:hunter2@host.invalid/t.git", commit-id = "{D}" }}',
        ),
    )
    assert "hunter2" not in lock.text
    written = tomllib.loads(lock.text)
    assert [entry["name"] for entry in written["packages"]] == ["tool", "x"]
    (kept,) = written["packages"][1]["wheels"]
    assert kept == {"url": "https://host.invalid/x-1.0-py3-none-any.whl", "size": 3, "hashes": {"sha256": A}}
    assert "sdist" not in written["packages"][1]


def test_the_written_lock_reads_back_the_same() -> None:
    lock = read(
        package("x", wheel("https://host.invalid/x-1.0-py3-none-any.whl", A)),
        package("a", wheel("https://host.invalid/a-1.0-py3-none-any.whl", B)),
    )
    again = read_lock(lock.text, lock.target, base=Path("/project"), origin=ORIGIN, hashes={})
    assert again == lock


def test_hashes_of_the_requirements_choose_among_the_files() -> None:
    files = package(
        "x",
        wheel("https://host.invalid/x-1.0-cp311-cp311-manylinux_2_36_x86_64.whl", A),
        wheel("https://host.invalid/x-1.0-py3-none-any.whl", B),
    )
    assert [found.digest for found in read(files, hashes={"x": frozenset({B})}).distributions] == [B]


def test_hashes_of_two_versions_of_a_requirement_are_all_allowed() -> None:
    lines = [
        RequirementLine(
            text="x==1 ; python_version < '3.12'", origin=ORIGIN, hashes=(f"sha256:{A}", f"sha512:{C}")
        ),
        RequirementLine(text="X==2 ; python_version >= '3.12'", origin=ORIGIN, hashes=(f"sha256:{B}",)),
        RequirementLine(text="without", origin=ORIGIN),
    ]
    assert allowed_hashes(lines) == {"x": {A, B}}


@pytest.mark.parametrize(
    "hashes", [{"x": frozenset({C})}, {"other": frozenset({A})}], ids=["other hash", "no hash"]
)
def test_where_there_are_hashes_nothing_without_one_is_taken(hashes: Hashes) -> None:
    files = package("x", wheel("https://host.invalid/x-1.0-py3-none-any.whl", A))
    with pytest.raises(ResolutionError, match="hash"):
        read(files, hashes=hashes)


@pytest.mark.parametrize("text", ["x = ", "", 'lock-version = "9.0"\ncreated-by = "x"\npackages = []'])
def test_what_is_not_a_lock_is_refused(text: str) -> None:
    with pytest.raises(ResolutionError, match="not a valid") as caught:
        read_lock(text, serverless_target("3.11"), base=Path("/project"), origin=ORIGIN, hashes={})
    assert caught.value.where == ORIGIN
