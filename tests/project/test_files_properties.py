"""What holds for every tree: git is the oracle for patterns, and order does not matter."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.project.files import Selection, content_key, copy_tree, select_files

NAMES = st.sampled_from(
    ["a", "b", "a.py", "b.csv", "é x", "build", "lib", ".env", "x.pem", "__pycache__", "#h", "!n"]
)
PLAIN_NAMES = st.sampled_from(["a", "b", "aa", "a.py", "b.csv", "é x", "[a]", ".h", "#h", "!n"])


def trees(names: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    """Lists of file names in which no file is also a directory."""
    return st.lists(
        st.lists(names, min_size=1, max_size=4).map("/".join), min_size=1, max_size=12, unique=True
    ).map(_without_conflicts)


def _without_conflicts(names: list[str]) -> list[str]:
    return [name for name in names if not any(other.startswith(f"{name}/") for other in names)]


SEGMENTS = st.sampled_from(["a", "b", "*", "**", "a*", "*.py", "?", "[ab]", "é x", ".h", "\\#h", "\\!n", "[!a]"])
PATTERNS = st.builds(
    lambda negated, head, segments, tail: f"{negated}{head}{'/'.join(segments)}{tail}",
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(SEGMENTS, min_size=1, max_size=3),
    st.sampled_from(["", "", "/"]),
)


def build(directory: Path, names: list[str]) -> Path:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return directory


def select(directory: Path, *include: str, respect_gitignore: bool = False) -> Selection:
    return select_files(directory, include=include, respect_gitignore=respect_gitignore, out_dir=None)


def shape(selection: Selection) -> list[tuple[str, int, bool]]:
    return [(file.name, file.mode, file.path is None) for file in selection.files]


@given(names=trees(NAMES), random=st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_creation_does_not_matter(names: list[str], random: object) -> None:
    shuffled = sorted(names, key=lambda _: random.random())  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        first, second = select(build(Path(one), names)), select(build(Path(two), shuffled))
        assert shape(first) == shape(second)
        assert first.secrets == second.secrets
        assert content_key(first) == content_key(second)


@given(names=trees(NAMES), include=st.lists(PATTERNS, max_size=2))
@settings(max_examples=60, deadline=None)
def test_a_copy_is_selected_again_as_a_whole(names: list[str], include: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        selection = select(build(Path(place) / "original", names), *include)
        copy_tree(selection, Path(place) / "copy")
        again = select(Path(place) / "copy", *include)
        assert shape(again) == shape(selection)
        assert content_key(again) == content_key(selection)
        assert again.secrets == ()


@given(names=trees(NAMES), include=st.lists(PATTERNS, max_size=3))
@settings(max_examples=60, deadline=None)
def test_a_file_is_taken_or_has_a_reason(names: list[str], include: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        selection = select(build(Path(place), names), *include)
        taken = {file.name for file in selection.files if file.path}
        for name in names:
            parts = name.split("/")
            if not {".env", "x.pem", "__pycache__"} & set(parts):
                assert name in taken
            elif name.endswith("x.pem") and not {".env", "__pycache__"} & set(parts):
                assert (name in taken) != (name in selection.secrets)


@pytest.fixture(scope="module")
def excludes_nothing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty file, in place of the excludes file of whoever runs the tests."""
    path = tmp_path_factory.mktemp("git") / "excludes"
    path.touch()
    return path


@given(names=trees(PLAIN_NAMES), outer=st.lists(PATTERNS, max_size=4), inner=st.lists(PATTERNS, max_size=2))
@settings(max_examples=60, deadline=None)
def test_builderignore_and_git_agree(
    excludes_nothing: Path, names: list[str], outer: list[str], inner: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        build(root, [name for name in names if name != "a" and not name.startswith("b/")])
        (root / "a").mkdir(exist_ok=True)
        for ignore in (".gitignore", ".builderignore"):
            (root / ignore).write_text("\n".join(outer))
            (root / "a" / ignore).write_text("\n".join(inner))
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        subprocess.run(["git", "config", "core.excludesFile", excludes_nothing], cwd=root, check=True)
        listing = subprocess.run(
            ["git", "ls-files", "-z", "--others", "--exclude-standard"],
            cwd=root,
            check=True,
            capture_output=True,
            encoding="utf-8",
        )
        git_says = {name for name in listing.stdout.split("\0") if name}
        # A repository that git knows by its `.git` only is no part of what git lists.
        assert {file.name for file in select(root).files if file.path} == git_says
        (root / ".builderignore").write_text("")
        (root / "a/.builderignore").write_text("")
        assert {file.name for file in select(root, respect_gitignore=True).files if file.path} == git_says
