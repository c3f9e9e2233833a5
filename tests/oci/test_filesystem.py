"""Reading an image's files from its layers: what later layers remove and replace, links, and hostile names."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from builder.oci.filesystem import Filesystem
from tests.support.base_images import layer

Files = Mapping[str, bytes | str]


def _filesystem(directory: Path, *layers: bytes) -> Filesystem:
    files = Filesystem()
    for number, content in enumerate(layers):
        path = directory / str(number)
        path.write_bytes(content)
        files.add_layer(path, lambda _: True, "an image")
    return files


@pytest.mark.parametrize(
    "lower, upper, left",
    [
        ({"a": b"", "b": b""}, {".wh.a": b""}, ["/b"]),
        ({"a": b"", "ab": b"", "a.py": b""}, {".wh.a": b""}, ["/a.py", "/ab"]),
        ({"a/": b"", "a/b/c": b"", "d": b""}, {".wh.a": b""}, ["/d"]),
        ({"a/": b"", "a/b/c": b"", "ab/c": b""}, {"a/.wh..wh..opq": b""}, ["/a", "/ab/c"]),
        # What a layer removes is of the layers below it, whatever the order in it.
        ({"a": b""}, {"a": b"", ".wh.a": b""}, ["/a"]),
        ({"a/b": b""}, {"a/c": b"", "a/.wh..wh..opq": b""}, ["/a/c"]),
        ({"a/": b"", "a/b": b""}, {"a": b""}, ["/a"]),
        ({"a/": b"", "a/b": b""}, {"a": "c"}, ["/a"]),
        ({"a/": b"", "a/b": b""}, {"a/": b"", "a/c": b""}, ["/a", "/a/b", "/a/c"]),
    ],
)
def test_what_a_later_layer_removes_and_replaces(
    tmp_path: Path, lower: Files, upper: Files, left: list[str]
) -> None:
    assert sorted(_filesystem(tmp_path, layer(lower), layer(upper)).entries) == left


@pytest.mark.parametrize(
    "name", ["etc/passwd", "./etc/passwd", "/etc/passwd", "../../etc/passwd", "x/../etc//passwd"]
)
def test_every_name_is_below_the_root(tmp_path: Path, name: str) -> None:
    files = _filesystem(tmp_path, layer({name: b"root"}))
    assert list(files.entries) == ["/etc/passwd"]
    assert files.read("/etc/passwd") == b"root"


@pytest.mark.parametrize("link", ["../../../../opt/real", "/opt/real", "../opt/../opt/real", "again"])
def test_links_are_followed_within_the_image(tmp_path: Path, link: str) -> None:
    files = _filesystem(tmp_path, layer({"opt/real": b"x", "bin/again": "/../opt/real", "bin/link": link}))
    assert files.resolve("/bin/link") == "/opt/real"
    assert files.read("/bin/link") == b"x"


@pytest.mark.parametrize(
    "target, content", [("opt/real", b"x"), ("./opt/real", b"x"), ("/opt/real", b"x"), ("/opt/nothing", None)]
)
def test_a_hard_link_has_the_content_of_its_target(tmp_path: Path, target: str, content: bytes | None) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.LNKTYPE, target
        archive.addfile(link)
    assert _filesystem(tmp_path, layer({"opt/real": b"x"}), stream.getvalue()).read("/link") == content
