"""Unpacking the layers that the builder adds to a base image, into virtual environments, without a container.

The environments have the same layout as unpacked PEX files (see `builder.verification.unpack`), so the same code
loads both: one environment with the dependencies, which is cached, and one with the code, whose files are in
`working_directory/root`. The interpreter is one of this machine, of the same version as the image's.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from builder.assembly.image_source import CODE, STATE
from builder.errors import LoadError
from builder.oci.filesystem import UNREADABLE, open_layer
from builder.oci.layout import Descriptor, Layout, read_layout
from builder.resolution.target import IMAGE_PLATFORMS
from builder.system import storage
from builder.verification.unpack import Unpacked, interpreter_key, kept_environment

_APP: Final = "opt/dagster/app"
_ROOT: Final = "working_directory/root"
_PATHS: Final = "working_directory.pth"
_OURS: Final = "dagster-builder: "
_PACKAGES: Final = re.compile(r"(?P<prefix>.*)/lib/python[\d.]+/(?:site|dist)-packages")
_RECORD: Final = re.compile(r"(?P<site>.*/(?:site|dist)-packages)/[^/]+\.dist-info/RECORD")
_SHEBANG: Final = re.compile(rb"#!/\S*/python[\d.]*(?=\n)")
_WHEEL: Final = re.compile(r"(?P<name>[^/-]+)-(?P<version>[^/-]+)\.dist-info/WHEEL")


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """The layers above the base image.

    :param deps: the files of the layers with dependencies.
    :param source: the files of the layers with code, and what was made out of it.
    :param site_packages: that of the image's Python, relative to the image's root.
    :param identity: a hash of the dependencies, hexadecimal.
    """

    deps: tuple[Path, ...]
    source: tuple[Path, ...]
    site_packages: str
    identity: str

    @property
    def prefix(self) -> str:
        """The prefix of the image's Python, which `bin` and `lib` are in."""
        match = _PACKAGES.fullmatch(self.site_packages)
        return match["prefix"] if match else "usr/local"


def other_platforms(path: Path) -> tuple[str, ...]:
    """The platforms of an image besides the one that `read_image_files` reads."""
    layout = read_layout(path)
    mine = _of_this_machine(layout)
    return tuple(manifest.platform for manifest in layout.manifests() if manifest != mine)


def _of_this_machine(layout: Layout) -> Descriptor:
    """The image of several that this machine can run, or the first."""
    manifests = layout.manifests()
    mine = (manifest for manifest in manifests if IMAGE_PLATFORMS.get(manifest.platform) == platform.machine())
    return next(mine, manifests[0])


def read_image_files(path: Path) -> ImageFiles:
    """Read and verify the layers of an image that `builder.image` built; raises LoadError, ImageError.

    Of several platforms it is that of this machine.
    """
    layout = read_layout(path)
    document = layout.document(_of_this_machine(layout))
    config = json.loads(layout.read(document["config"]["digest"]))
    history = [entry for entry in config["history"] if not entry.get("empty_layer")]
    ours = [
        (layout.whole_blob(layer["digest"]), diff_id, entry["created_by"].removeprefix(_OURS))
        for layer, diff_id, entry in zip(document["layers"], config["rootfs"]["diff_ids"], history, strict=True)
        if entry.get("created_by", "").startswith(_OURS)
    ]
    if not ours:
        raise LoadError(f"`{path}` holds no image of a location", remedy="Build it with builder.image")
    deps = [(file, diff_id) for file, diff_id, title in ours if title not in {CODE, STATE}]
    source = [file for file, _, title in ours if title in {CODE, STATE}]
    identity = hashlib.sha256("".join(diff_id for _, diff_id in deps).encode()).hexdigest()
    site_packages = _site_packages(layout, [file for file, *_ in ours])
    return ImageFiles(tuple(file for file, _ in deps), tuple(source), site_packages, identity)


def unpack_image(files: ImageFiles, directory: Path, python: Path) -> tuple[Unpacked, Unpacked]:
    """Unpack the code into a new directory, and get the dependencies from the cache or unpack them too.

    Raises LoadError for a layer that cannot be read.
    """
    deps = unpacked_image_deps(files, python)
    _make_environment(directory, python, files)
    source = Unpacked(directory)
    root = source.site_packages / _ROOT
    storage.make_directory(root)
    for name, content, executable in _files(files.source):
        target = _in_environment(files, name) or _in_project(name)
        if target is None:
            continue
        is_path_file = target.endswith(f"/{_PATHS}")
        placed = content.replace(b"'/" + _APP.encode(), b"'" + os.fsencode(root)) if is_path_file else content
        _write(directory, _placed(source, directory, target), placed, executable=executable)
    # In the image all is in one directory, so that .pth files of the dependencies are processed there.
    line = f"import site; site.addsitedir({str(deps.site_packages)!r})\n"
    (source.site_packages / "zz_dependencies.pth").write_text(line, encoding="utf-8")
    return source, deps


def unpacked_image_deps(files: ImageFiles, python: Path) -> Unpacked:
    """Get the unpacked dependencies of an image from the cache, or unpack them."""
    name = f"{files.identity[:32]}-{interpreter_key(python)}"
    place = storage.cache_directory() / "verify" / "deps" / name
    return Unpacked(kept_environment(place, lambda venv: unpack_layers(files, venv, python)))


def unpack_layers(files: ImageFiles, venv: Path, python: Path) -> None:
    """Unpack the layers below the code into the new environment `venv`; raises LoadError if one cannot be read."""
    _make_environment(venv, python, files)
    unpacked = Unpacked(venv)
    wheels: dict[str, str] = {}
    for name, content, executable in _files(files.deps):
        target = _in_environment(files, name)
        if target is None:
            continue
        if match := _WHEEL.fullmatch(target.removeprefix("site-packages/")):
            wheels[f"{match['name']}-{match['version']}-{_tags(content)}.whl"] = ""
        _write(venv, _placed(unpacked, venv, target), content, executable=executable)
    # Unpacked PEX files have this file.
    (venv / "PEX-INFO").write_text(json.dumps({"distributions": wheels}), encoding="utf-8")


def _make_environment(venv: Path, python: Path, files: ImageFiles) -> None:
    """Create a virtual environment, with a program that runs modules in it."""
    name = posixpath.basename(posixpath.dirname(files.site_packages))
    storage.make_directory(venv / "lib" / name / "site-packages")
    storage.make_directory(venv / "bin")
    home = Path(os.path.realpath(python)).parent
    (venv / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n", encoding="utf-8")
    for name in ("python", "python3"):
        (venv / "bin" / name).symlink_to(os.path.realpath(python))
    program = venv / "pex"
    program.write_text(f"#!/bin/sh\nexec '{venv}/bin/python' \"$@\"\n", encoding="utf-8")
    program.chmod(0o755)


def _in_environment(files: ImageFiles, name: str) -> str | None:
    """The path in the environment for a file of the image's Python; None for other files."""
    if name.startswith(f"{files.site_packages}/"):
        return f"site-packages/{name[len(files.site_packages) + 1 :]}"
    return name[len(files.prefix) + 1 :] if name.startswith(f"{files.prefix}/") else None


def _in_project(name: str) -> str | None:
    """The path in the environment for a file of the project, or one included from outside it; None for others."""
    if not name.startswith("opt/"):
        return None
    relative = posixpath.normpath(posixpath.join(_ROOT, posixpath.relpath(name, _APP)))
    return f"site-packages/{relative}"


def _placed(unpacked: Unpacked, venv: Path, target: str) -> Path:
    first, _, rest = target.partition("/")
    return unpacked.site_packages / rest if first == "site-packages" else venv / target


def _write(venv: Path, path: Path, content: bytes, *, executable: bool) -> None:
    if not Path(os.path.normpath(path)).is_relative_to(venv):
        raise LoadError(f"the image has a file that belongs nowhere: `{path.name}`", remedy="Build it again")
    if executable and path.parent == venv / "bin":
        content = _SHEBANG.sub(b"#!" + os.fsencode(venv / "bin" / "python"), content, count=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if executable:
        path.chmod(0o755)


def _files(layers: Sequence[Path]) -> Iterator[tuple[str, bytes, bool]]:
    """Name, content, and whether it is executable, of each file in the layers."""
    for layer in layers:
        try:
            with open_layer(layer) as archive:
                for member in archive:
                    stream = archive.extractfile(member) if member.isfile() else None
                    if stream and not posixpath.basename(member.name).startswith(".wh."):
                        yield member.name, stream.read(), bool(member.mode & 0o100)
        except UNREADABLE as error:
            raise LoadError(f"a layer of the image cannot be read: {error}", remedy="Build it again") from error


def _site_packages(layout: Layout, layers: Sequence[Path]) -> str:
    for path in layers:
        with open_layer(path) as archive:
            for member in archive:
                if match := _RECORD.fullmatch(member.name):
                    return match["site"]
    raise LoadError(f"the image `{layout.path}` has nothing installed", remedy="Build it with builder.image")


def _tags(wheel: bytes) -> str:
    """The tags in a WHEEL file, in the form of a wheel's file name."""
    tags = re.findall(r"(?m)^Tag: *([^-\s]+)-([^-\s]+)-(\S+)", wheel.decode(errors="replace"))
    columns = zip(*tags, strict=True) if tags else (("py3",), ("none",), ("any",))
    return "-".join(".".join(dict.fromkeys(column)) for column in columns)
