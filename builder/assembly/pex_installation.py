"""Installing wheels with pex's own command line, for those that `installation` does not support."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import parse_wheel_filename

from builder.assembly.archive import stored
from builder.assembly.bootstrap import pex_environment
from builder.assembly.installation import InstalledWheel
from builder.assembly.wheels import Wheel
from builder.errors import AssemblyError
from builder.system import process, storage
from builder.terminal.formatting import quoted


def install_by_pex(wheels: Sequence[Wheel], *, python_version: str) -> list[InstalledWheel]:
    """Install wheels for any platform with pex; raises AssemblyError with pex's message if that fails.

    The content is stored uncompressed, so that the bytes do not depend on a compressor.
    """
    with storage.scratch_directory() as scratch:
        platform = scratch / "platform.json"
        platform.write_text(json.dumps(_platform_of(wheels, python_version)))
        output = scratch / "installed.pex"
        try:
            process.run_module(
                "pex", _arguments(wheels, platform, output), env=pex_environment(scratch / "pex-root")
            )
        except process.ProcessFailed as error:
            names = quoted(wheel.file.filename for wheel in wheels)
            raise AssemblyError(f"pex cannot install {names}", detail=error.detail) from error
        return [_installed(wheel, output) for wheel in wheels]


def _arguments(wheels: Sequence[Wheel], platform: Path, output: Path) -> list[str | Path]:
    arguments: list[str | Path] = ["--no-compress", "--complete-platform", platform, "--output-file", output]
    for wheel in wheels:
        arguments += [wheel.requirement, "--pre-resolved-dist", wheel.file.path]
    # Only these few wheels are here, so what they depend on must not be looked for.
    here = {wheel.file.project for wheel in wheels}
    for required in sorted({name for wheel in wheels for name in wheel.requires} - here):
        arguments += ["--exclude", required]
    return arguments


def _platform_of(wheels: Sequence[Wheel], python_version: str) -> dict[str, object]:
    """A complete platform that all of `wheels` are for: pex would refuse them on the builder's own otherwise."""
    tags = {str(tag) for wheel in wheels for tag in parse_wheel_filename(wheel.file.filename)[3]}
    return {
        # pex divides by the number of tags less one.
        "compatible_tags": sorted(tags | {"py3-none-any", "py2-none-any"}),
        "marker_environment": {
            "implementation_name": "cpython",
            "implementation_version": f"{python_version}.0",
            "os_name": "posix",
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{python_version}.0",
            "python_version": python_version,
            "sys_platform": "linux",
        },
    }


def _installed(wheel: Wheel, pex: Path) -> InstalledWheel:
    prefix = f".deps/{wheel.file.filename}/"
    with zipfile.ZipFile(pex) as archive:
        members = [
            stored(
                info.filename.removeprefix(prefix),
                archive.read(info),
                executable=bool(info.external_attr >> 16 & 0o100),
            )
            for info in archive.infolist()
            if info.filename.startswith(prefix) and not info.is_dir()
        ]
    if not members:
        raise AssemblyError(f"pex did not install `{wheel.file.filename}`")
    return InstalledWheel(wheel, tuple(sorted(members)))
