"""`builder.diff` from its command line: two locks of real builds, and locks that others wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commands import DAGSTER, Workshop
from tests.support.wheels import make_wheel

FILE = """
[[packages.wheels]]
url = "https://example.com/{name}-{version}-py3-none-any.whl"
{size}
hashes = {{sha256 = "{digest}"}}
"""


def package(name: str, version: str, *, size: int | None = 1000, digest: str = "0" * 64) -> str:
    wheel = FILE.format(name=name, version=version, size=f"size = {size}" if size else "", digest=digest)
    return f'[[packages]]\nname = "{name}"\nversion = "{version}"\n{wheel}'


def lock(path: Path, *packages: str) -> Path:
    path.write_text('lock-version = "1.0"\ncreated-by = "somebody"\n' + "\n".join(packages), encoding="utf-8")
    return path


def test_what_two_builds_differ_in(place: Workshop) -> None:
    shelf = place.index.directory
    make_wheel(shelf, {"gone.py": ""}, name="gone", version="2.0")
    make_wheel(shelf, {"grows.py": ""}, name="grows", version="1.0")
    new = make_wheel(shelf, {"grows.py": "x = 1\n" * 999}, name="grows", version="1.1")
    make_wheel(shelf, {"comes.py": ""}, name="comes", version="3.0")
    locks: list[Path] = []
    for wanted in ("gone\ngrows==1.0\n", "grows==1.1\ncomes\n"):
        before = set(place.out.glob("*.pylock.toml"))
        place.build(place.project({"requirements.txt": f"dagster\ndagster-cloud\n{wanted}"})).succeeded()
        locks += set(place.out.glob("*.pylock.toml")) - before
    ran = place.run("diff", *locks).succeeded()
    assert ran.stderr == ""
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert [line[:4] for line in lines[1:4]] == [
        ["added", "comes", "3.0", lines[1][3]],
        ["removed", "gone", "2.0", lines[2][3]],
        ["changed", "grows", "1.0", "1.1"],
    ]
    assert ran.stdout.splitlines()[4].startswith("1 added, 1 removed, 1 changed, 2 unchanged; ")
    told = json.loads(place.run("diff", "--json", *locks).succeeded().stdout)
    assert told["changed"][0]["new"] == {"version": "1.1", "size": new.path.stat().st_size}
    assert told["new_size"] - told["old_size"] == sum(
        sign * size
        for sign, size in (
            (1, told["added"][0]["size"]),
            (-1, told["removed"][0]["size"]),
            (1, told["changed"][0]["new"]["size"]),
            (-1, told["changed"][0]["old"]["size"]),
        )
    )
    same = place.run("diff", locks[0], locks[0]).succeeded().stdout
    assert same.startswith("no difference: 4 distributions, ")
    assert DAGSTER not in same


def test_locks_of_other_tools(place: Workshop) -> None:
    commit = (
        '[[packages]]\nname = "forked"\nvcs = {{type = "git", url = "https://example.com/f", commit-id = "{}"}}\n'
    )
    several = package("several", "1") + FILE.format(name="several", version="1", size="", digest="1" * 64)
    old = lock(
        place.root / "old.toml",
        package("rebuilt", "1.0", digest="a" * 64),
        package("unsized", "1.0", size=None),
        commit.format("1" * 40),
        several,
    )
    new = lock(
        place.root / "pylock.new.toml",
        package("rebuilt", "1.0", size=1_500_000, digest="b" * 64),
        package("unsized", "2.0", size=None),
        commit.format("2" * 40),
        several,
    )
    ran = place.run("diff", old, new).succeeded()
    assert ran.stdout.splitlines() == [
        "         distribution  old  new                 old size  new size",
        "changed  forked        ?    ? (another file)           ?         ?",
        "changed  rebuilt       1.0  1.0 (another file)    1.0 kB    1.5 MB",
        "changed  unsized       1.0  2.0                        ?         ?",
        "3 changed, 1 unchanged; 1.0 kB → 1.5 MB (without 3 of unknown size)",
    ]


@pytest.mark.parametrize(
    "name, text, complaint, hint",
    [
        ("a.toml", None, "the lock `a.toml` does not exist", "deps-….pylock.toml"),
        ("a.toml", "no lock", "the lock is not a valid pylock.toml: ", "Make the lock again"),
        (
            "a.toml",
            'lock-version = "1.0"\ncreated-by = "x"\n' + package("a", "1").replace("sha256", "size = 1, sha256"),
            "in 'packages[0].wheels[0].hashes'",
            "Make the lock again",
        ),
        ("uv.lock", 'version = 1\n[[package]]\nname = "a"\n', "'lock-version'", "uv export --format pylock.toml"),
    ],
)
def test_what_is_no_lock_is_named(place: Workshop, name: str, text: str | None, complaint: str, hint: str) -> None:
    if text is not None:
        (place.root / name).write_text(text, encoding="utf-8")
    good = lock(place.root / "good.toml", package("a", "1"))
    for arguments in ((name, good), (good, name)):
        error = place.run("diff", *arguments).failed()
        assert complaint in error
        assert hint in error
        assert text is None or f"where: {name}" in error
