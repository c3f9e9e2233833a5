"""Wheels made from a dictionary of files, and real ones from the index."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from builder.assembly.wheels import WheelFile
from builder.system import storage
from tests.support import pextools

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def make_wheel(
    directory: Path,
    files: Mapping[str, str | bytes],
    *,
    name: str = "sample",
    version: str = "1.0",
    tag: str = "py3-none-any",
    requires: Sequence[str] = (),
    entry_points: str = "",
    executables: Collection[str] = (),
    compression: int = zipfile.ZIP_DEFLATED,
    streamed: bool = False,
) -> WheelFile:
    """Write a valid wheel into `directory`.

    :param files: by name inside the wheel; what is below `*.data/` or `*.dist-info/` is given in full too.
    :param executables: names of those with the exec bit.
    :param streamed: written as to a pipe: sizes and checksums follow the content in data descriptors.
    """
    escaped = name.replace("-", "_").replace(".", "_")
    dist_info = f"{escaped}-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    pure = "true" if tag.endswith("-none-any") else "false"
    content = {
        f"{dist_info}/METADATA": "\n".join(metadata) + "\n\nA sample.\n",
        f"{dist_info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: {pure}\nTag: {tag}\n",
        **({f"{dist_info}/entry_points.txt": entry_points} if entry_points else {}),
        **files,
    }
    encoded = {key: value.encode() if isinstance(value, str) else value for key, value in content.items()}
    record = "".join(f"{key},{_record_hash(value)},{len(value)}\n" for key, value in encoded.items())
    encoded.setdefault(f"{dist_info}/RECORD", f"{record}{dist_info}/RECORD,,\n".encode())
    path = directory / f"{escaped}-{version}-{tag}.whl"
    with path.open("wb") as stream, zipfile.ZipFile(_Pipe(stream) if streamed else stream, "w") as archive:
        for key, value in encoded.items():
            info = zipfile.ZipInfo(key, (2020, 2, 2, 2, 2, 2))
            info.external_attr = (0o100755 if key in executables else 0o100644) << 16
            archive.writestr(info, value, compress_type=compression)
    return wheel_file(path)


def wheel_file(path: Path) -> WheelFile:
    return WheelFile(path, storage.sha256_of(path))


def download_wheels(pins: Sequence[str], cache: Path, *, python_version: str = "3.11") -> list[WheelFile]:
    """Fetch one wheel for each pin (`name==version`) from the index, once for all runs that share `cache`."""
    key = hashlib.sha256(repr((pins, python_version)).encode()).hexdigest()[:16]
    directory = cache / f"wheels-{key}"
    complete = directory / "complete"
    with storage.exclusive(directory.with_suffix(".lock")):
        if not complete.exists():
            only_wheels = ["--no-deps", "--only-binary", ":all:", "--python-version", python_version]
            pextools.pip(["download", *only_wheels, "--dest", directory, *pins])
            complete.touch()
    return [wheel_file(path) for path in sorted(directory.glob("*.whl"))]


class _Pipe(io.RawIOBase):
    """A stream that cannot seek."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        return self._stream.write(data)


def _record_hash(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
