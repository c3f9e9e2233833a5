"""The result of a build backend: its wheel in canonical form, or its output as one error."""

from __future__ import annotations

import io
import re
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from builder.errors import Origin, SdistBuildError
from builder.resolution.backend_complaints import read_complaint
from builder.system import process

TIME_LIMIT: Final = 900.0
"""Time limit of one build in seconds; compiling a large extension takes minutes."""

OLDEST: Final = 315_532_800
"""1980-01-01 in seconds since 1970: the earliest time that zip files can store."""


def canonical_wheel(wheel: Path, *, epoch: int | None = None, replace: Sequence[tuple[str, str]] = ()) -> bytes:
    """Rewrite a wheel in canonical form: sorted members, all with one date.

    :param epoch: seconds since 1970, for a wheel that is published: it is compressed, has plain permissions and,
        as PEP 427 recommends, its metadata last. Without `epoch` the wheel is for a PEX file, which is identified
        by its bytes: these do not depend on a zlib version and stay the same between releases of the builder.
    :param replace: texts in the metadata, and their replacements.
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
                for text, replacement in replace:
                    data = data.replace(text.encode(), replacement.encode())
            target.writestr(entry, data, compression)
    return content.getvalue()


def in_dist_info(name: str) -> bool:
    """Whether a wheel's member is in its `.dist-info` directory."""
    return name.partition("/")[0].endswith(".dist-info")


_CHAINED: Final = ("During handling of the above exception", "The above exception was the direct cause")


def last_words(output: str, *, tracebacks: bool = False) -> str:
    """The end of a build's output.

    :param tracebacks: with those of its backend; the last line of one says what happened.
    """
    lines = [line for line in output.splitlines() if line.strip()]
    kept: list[str] = []
    inside, before = False, 0
    for line in lines:
        if line.startswith("Traceback (most recent call last):"):
            inside, before = True, len(kept)
        elif line.startswith(_CHAINED) and not tracebacks:
            # What counts is the last exception of a chain.
            del kept[before:]
            continue
        elif inside and not line.startswith((" ", "^")):
            inside = False
        if tracebacks or not inside:
            kept.append(line.removeprefix("error: "))
    return "\n".join((kept or lines)[-15:])


def build_error(
    name: Path | str,
    failure: process.ProcessFailed,
    *,
    manifest: Path | None = None,
    replace: tuple[str, str] = ("", ""),
) -> SdistBuildError:
    """Make the error for a failed build, with the end of the backend's output, which has the cause.

    :param replace: a text in the output, such as the path of the copy that was built, and what to show instead.
    """
    # These name a path in a scratch directory, and options that the user cannot set. Other causes are of uv's own
    # backend, and of the resolution of what a backend requires.
    uvs_own = (
        r"(?m)^(error: Failed to build `.*|  cause: (The build backend returned an error|Call to `.*)"
        r"|hint: (?:.|\n)*)$"
    )
    output = (re.sub(uvs_own, "", failure.stderr) + failure.stdout).replace(*replace)
    complaint = read_complaint(last_words(output), name) if isinstance(name, Path) else None
    lines = [line.removeprefix("  cause: ") for line in output.splitlines() if line.strip(" .")]
    if lines[1:] and lines[0] == "Building wheel...":
        del lines[0]
    how = f"took longer than {TIME_LIMIT:.0f} s" if failure.code is None else "failed"
    shown = "\n".join(lines or failure.stderr.splitlines())
    detail, whole = last_words(shown), last_words(shown, tracebacks=True)
    if complaint:
        what = f"building `{name}` failed: {complaint.what}"
        return SdistBuildError(
            what, where=complaint.where, detail=detail, verbose_detail=whole, remedy=complaint.remedy
        )
    return SdistBuildError(
        f"building `{name}` {how}",
        where=Origin(manifest) if manifest else None,
        detail=detail,
        verbose_detail=whole,
        remedy=(
            "Build from a git checkout with its tags, or set SETUPTOOLS_SCM_PRETEND_VERSION"
            if re.search(r"setuptools[-_]scm|vcs[-_]versioning", output)
            else "Correct what the build complains about; it ran without tokens and other secrets"
        ),
    )
