"""What a build backend leaves behind: a wheel, which is put into one form, or complaints, put into one error."""

from __future__ import annotations

import io
import re
import time
import zipfile
from pathlib import Path
from typing import Final

from builder.errors import Origin, SdistBuildError
from builder.system import process

TIME_LIMIT: Final = 900.0
"""Seconds that one build may take; compiling a large extension takes minutes."""

OLDEST: Final = 315_532_800
"""1980, in seconds since 1970: zip files know no earlier time."""


def canonical_wheel(wheel: Path, *, epoch: int | None = None, replace: tuple[str, str] = ("", "")) -> bytes:
    """A wheel in one form: sorted, with one date.

    :param epoch: seconds since 1970, for a wheel that others install: it is compressed, has plain permissions and,
        as PEP 427 advises, its metadata last. Without it the wheel is for PEX files, which receivers know by its
        bytes: those depend on no zlib, and stay the same from one release of the builder to the next.
    :param replace: a text in the metadata and what stands for it.
    """
    content = io.BytesIO()
    published = epoch is not None
    compression = zipfile.ZIP_DEFLATED if published else zipfile.ZIP_STORED
    date = time.gmtime(OLDEST if epoch is None else epoch)
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(content, "w", compression) as target:
        members = [info for info in source.infolist() if not (published and info.is_dir())]
        for info in sorted(members, key=lambda info: (published and in_dist_info(info.filename), info.filename)):
            entry = zipfile.ZipInfo(info.filename, (date[0], date[1], date[2], date[3], date[4], date[5]))
            plain = 0o100755 if (info.external_attr >> 16) & 0o111 else 0o100644
            entry.external_attr = plain << 16 if published else info.external_attr
            entry.create_system = 3
            data = source.read(info)
            if info.filename.endswith(".dist-info/METADATA"):
                data = data.replace(replace[0].encode(), replace[1].encode())
            target.writestr(entry, data, compression)
    return content.getvalue()


def in_dist_info(name: str) -> bool:
    """Whether a file of a wheel is its metadata."""
    return name.partition("/")[0].endswith(".dist-info")


def build_error(
    name: Path | str,
    failure: process.ProcessFailed,
    *,
    manifest: Path | None = None,
    replace: tuple[str, str] = ("", ""),
) -> SdistBuildError:
    """The error for a build that failed, with the end of the backend's output, which says what went wrong.

    :param replace: a text in the output, such as where the copy lies that was built, and what to show instead.
    """
    # What uv adds says where in a scratch directory the build failed, and hints at options that the user has not.
    uvs_own = r"(?m)^(error: Failed to build `.*|  cause: .*|hint: .*)$"
    output = re.sub(uvs_own, "", failure.stderr) + failure.stdout
    lines = [line for line in output.splitlines() if line.strip()] or failure.stderr.splitlines()
    how = f"took longer than {TIME_LIMIT:.0f} s" if failure.code is None else "failed"
    return SdistBuildError(
        f"building `{name}` {how}",
        where=Origin(manifest) if manifest else None,
        detail="\n".join(lines[-15:]).replace(*replace),
        remedy=(
            "Build from a git checkout with its tags, or set SETUPTOOLS_SCM_PRETEND_VERSION"
            if re.search(r"setuptools[-_]scm|vcs[-_]versioning", output)
            else "Correct what the build complains about; it ran without tokens and other secrets"
        ),
    )
