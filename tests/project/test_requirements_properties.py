"""Whatever pip's own parser accepts in a requirements file, the builder reads to the same requirement."""

from __future__ import annotations

import contextlib
import os
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pip._internal.exceptions import PipError
from pip._internal.req.constructors import install_req_from_parsed_requirement
from pip._internal.req.req_file import parse_requirements

from builder.project.requirements import read_requirements
from builder.resolution.target import serverless_target
from tests.support.commands import write_tree
from tests.support.wheels import make_wheel

if TYPE_CHECKING:
    from pip._internal.network.session import PipSession
    from pip._internal.req.req_install import InstallRequirement

MARKERS = serverless_target("3.11").markers
NO_SESSION = cast("PipSession", None)
"""The files here include no URLs."""

LIBRARY = """
[build-system]
requires = []
[project]
name = "{name}"
version = "1.0"
[project.optional-dependencies]
fast = ["fast-of-{name}"]
slow = ["slow-of-{name}"]
"""
DIRECTORIES = ("lib", "libs/deep", "with-dash_1.0", "../outside")
WHEELS = ("wheeled-1.0-py3-none-any.whl", "wheels/wheeled-1.0-py3-none-any.whl")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with packages and wheels in and beside it, as the current directory, as pip wants it."""
    directory = tmp_path_factory.mktemp("above") / "project"
    for path in DIRECTORIES:
        write_tree(directory / path, {"pyproject.toml": LIBRARY.format(name=canonicalize_name(Path(path).name))})
    for path in WHEELS:
        (directory / path).parent.mkdir(exist_ok=True)
        make_wheel((directory / path).parent, {"wheeled.py": ""}, name="wheeled")
    with contextlib.chdir(directory):
        yield directory


spaces = st.sampled_from(["", " ", "  ", "\t"])
# Pip takes a tab before an option for a part of the requirement.
gaps = st.sampled_from([" ", "  ", " \\\n", "\\\n ", " \\\n    "])
names = st.sampled_from(["tool", "Tool-X", "a.b_c", "z9", "Zope.Interface", "x"])
extras = st.sampled_from(["", "[fast]", "[fast,slow]", "[ fast , slow ]", "[FAST]", " [fast]"])
versions = st.sampled_from(
    ["", "==1.0", ">=1,<2", " >= 1 , < 2", "~=1.4", "!=1.5.*", "===1.0", "(>=1)", " (==1)", "==1!2.0.post1", "<2,"]
)
markers = st.sampled_from(
    [
        *("", "", ";python_version>='3.9'", "; python_version < '3.9'", " ; sys_platform == 'linux'"),
        *(' ; sys_platform == "win32"', " ;os_name=='posix' and (python_version>'3' or sys_platform=='x')"),
    ]
)
urls = st.builds(
    "{}{}{}".format,
    st.sampled_from(
        ["https://example.invalid/", "http://u:p@example.invalid:80/a/", "git+https://example.invalid/"]
    )
    | st.sampled_from(
        ["git+ssh://git@example.invalid/", "hg+http://example.invalid/", "svn+svn://example.invalid/"]
    ),
    st.sampled_from(["tool-1.0-py3-none-any.whl", "tool-1.0.tar.gz", "team/tool.git@v1", "team/tool@feature/x"]),
    st.sampled_from(["", "#egg=tool", "#sha256=00", "#egg=tool&subdirectory=a/b", "?x=1&y=2"]),
)
directories = st.builds(
    "{}{}{}".format, st.sampled_from(["", "./"]), st.sampled_from(DIRECTORIES), st.sampled_from(["", "/"])
)
wheels = st.builds("{}{}".format, st.sampled_from(["", "./"]), st.sampled_from(WHEELS))
files = st.builds(
    "{}{}".format, st.sampled_from(["file:", "file://ABOVE/"]), st.sampled_from(DIRECTORIES + WHEELS)
)

by_name = st.builds("{}{}{}{}".format, names, extras, versions, markers)
# What follows a URL is part of it, to pip, unless it is written so.
after_url = markers.filter(lambda text: not text or text.startswith(" ; "))
by_url = st.builds("{}{}{}@{}{}{}".format, names, extras, spaces, spaces, urls | files, after_url)
by_path = st.builds("{}{}{}".format, directories | wheels, extras, markers) | st.builds(
    "{}{}".format, files, after_url
)
bare_url = st.builds("{}{}".format, urls, after_url)
editable = st.builds(
    "{}{}".format,
    st.sampled_from(["-e ", "--editable ", "--editable=", "-e"]),
    urls | st.builds("{}{}".format, directories | files, st.sampled_from(["", "[fast]", "[fast,slow]"])),
)
hashes = st.lists(
    st.builds("{}{}".format, st.sampled_from(["--hash=", "--hash "]), st.sampled_from(["sha256:aa", "sha512:bb"])),
    max_size=3,
)
comments = st.sampled_from(["", "", " # why", " #", "\t# a \\", " # -e ./x --hash=sha256:cc"])
noise = st.sampled_from(["", "\n", "# a comment\n", "   \n", "# C:\\tools\\\n", "  # indented\n", "\\\n"])


@dataclass(frozen=True, slots=True)
class Read:
    """What a line asks for: by name, or out of a URL or directory."""

    name: str = ""
    extras: frozenset[str] = frozenset()
    specifier: str = ""
    marker: str = ""
    url: str = ""
    hashes: frozenset[str] = frozenset()


@st.composite
def requirements_files(draw: st.DrawFn) -> str:
    """A file with one requirement in it; `ABOVE` is to become where it lies."""
    requirement = draw(by_name | by_url | by_path | bare_url | editable)
    # Pip takes hashes of an editable requirement, and forgets them.
    words = [requirement, *(() if requirement.startswith("-") else draw(hashes))]
    line = words[0] + "".join(draw(gaps) + word for word in words[1:])
    text: str = draw(noise) + draw(spaces) + line + draw(comments)
    text += draw(st.sampled_from(["", "\n", "\n# the end \\", "\n\n", "\n   # the end\n"]))
    mark = draw(st.sampled_from(["", "\ufeff"]))
    return mark + text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


@given(text=requirements_files())
@example("tool==1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb # two\n")
@example("tool[fast] @ file:lib ; sys_platform == 'linux'")
@settings(max_examples=500, deadline=None)
def test_what_pip_accepts_is_read_to_the_same(project: Path, text: str) -> None:
    path = project / "requirements.txt"
    path.write_bytes(text.replace("ABOVE", str(project)).encode())
    accepted = read_by_pip(path)
    assume(accepted is not None)
    assert accepted is not None
    assert read_by_builder(project) == as_read(accepted, project)


def read_by_pip(path: Path) -> InstallRequirement | None:
    """What pip would install; None for what it refuses."""
    try:
        (found,) = map(install_req_from_parsed_requirement, parse_requirements(str(path), session=NO_SESSION))
    except (PipError, ValueError):
        return None
    return found


def as_read(accepted: InstallRequirement, project: Path) -> Read | None:
    """None for what is of no use on the target."""
    extras = frozenset(map(canonicalize_name, accepted.extras))
    marker = str(accepted.markers or "")
    hashes = frozenset(f"{kind}:{digest}" for kind, found in accepted.hash_options.items() for digest in found)
    link = accepted.link
    if link is None:
        assert accepted.req is not None
        return Read(canonicalize_name(accepted.req.name), extras, str(accepted.req.specifier), marker, "", hashes)
    if link.url.startswith("file:"):
        # Local files are followed at once, if their marker holds.
        path = Path(os.path.normpath(project / urllib.parse.unquote(urllib.parse.urlsplit(link.url).path)))
        if marker and not Marker(marker).evaluate(dict(MARKERS)):
            return None
        if path.is_dir():
            return Read(extras=extras, url=path.as_uri())
        return Read("wheeled", extras, url=path.as_uri(), hashes=hashes)
    named = accepted.req is not None and accepted.req.url is not None
    name = canonicalize_name(accepted.req.name) if named and accepted.req else ""
    return Read(name, extras, "", marker, link.url, hashes)


def read_by_builder(project: Path) -> Read | None:
    found = read_requirements(project, MARKERS, no_backend)
    if found.local_packages:
        (directory,) = found.local_packages
        (name,) = found.local_names
        asked = (line.text.removesuffix(f"-of-{name}") for line in found.lines)
        return Read(extras=frozenset(asked), url=directory.as_uri())
    if not found.lines:
        return None
    (line,) = found.lines
    hashes = frozenset(line.hashes)
    try:
        requirement = Requirement(line.text)
    except InvalidRequirement:
        # A bare URL.
        url, _, marker = line.text.partition(" ;")
        return Read(url=url.strip(), marker=str(Marker(marker)) if marker else "", hashes=hashes)
    return Read(
        canonicalize_name(requirement.name),
        frozenset(map(canonicalize_name, requirement.extras)),
        str(requirement.specifier),
        str(requirement.marker or ""),
        requirement.url or "",
        hashes,
    )


def no_backend(directory: Path) -> NoReturn:
    pytest.fail(f"static metadata of {directory} was asked of a build backend")
