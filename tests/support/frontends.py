"""The programs that people build their packages with, pinned, each in an environment of its own."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.resolution import uv
from builder.system import storage
from tests.support.local_packages import PYTHON

_PINS = {
    "flit": ("flit==4.2.0",),
    "hatch": ("hatch==1.18.2",),
    # pdm does not start with a newer hishel, which its metadata allows.
    "pdm": ("pdm==2.29.4", "hishel<2"),
    "pip": ("pip==26.3",),
    "poetry": ("poetry==2.5.1",),
}
_COMMANDS = {
    "flit": ("build", "--format", "wheel"),
    "hatch": ("build", "--target", "wheel", "{out}"),
    "pdm": ("build", "--no-sdist", "--dest", "{out}"),
    "pip": ("wheel", "--no-deps", "--wheel-dir", "{out}", "."),
    "poetry": ("build", "--format", "wheel", "--output", "{out}"),
    "uv": ("build", "--wheel", "--python", PYTHON, "--out-dir", "{out}", "."),
}
ABOVE = "/.directory-above-the-checkout"
"""What stands for that directory in the metadata of a wheel that the builder keeps."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What of a wheel is compared.

    :param content: digest by file name; without `RECORD`, and without `WHEEL`, which names the backend's version.
    """

    name: str
    content: Mapping[str, str]
    requires: tuple[str, ...]

    @classmethod
    def read(cls, wheel: Path, *, here: str = "", there: str = "") -> Facts:
        """Read a wheel; a path in it is taken for another one."""
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if not name.endswith(("/RECORD", "/WHEEL", "/"))]
            files = {name: archive.read(name).replace(here.encode(), there.encode()) for name in names}
        (metadata,) = (text for name, text in files.items() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        requires = re.findall(r"^Requires-Dist: (.*)$", metadata.decode(), re.MULTILINE)
        content = {name: hashlib.sha256(text).hexdigest() for name, text in files.items()}
        return cls(wheel.name, content, tuple(sorted(requires)))


def build_wheel(frontend: str, package: Path, out: Path, cache: Path) -> Path:
    """Build the wheel of a package into the empty directory `out`; writes into the package's directory too.

    :param cache: where the programs are installed, once for all runs that share it, and what they keep.
    """
    home = cache / "home"
    environment = {
        **{name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
        **{f"XDG_{what}_HOME": str(home / what.lower()) for what in ("CACHE", "CONFIG", "DATA", "STATE")},
        "HOME": str(home),
        "UV_CACHE_DIR": str(storage.cache_directory() / "uv"),
        "PDM_CHECK_UPDATE": "0",
        "PDM_PYTHON": sys.executable,
        "PDM_USE_VENV": "0",
    }
    program = uv.executable() if frontend == "uv" else _installed(frontend, cache, environment)
    arguments = [argument.format(out=out) for argument in _COMMANDS[frontend]]
    _run([str(program), *arguments], package, environment)
    (wheel,) = (package / "dist" if frontend == "flit" else out).glob("*.whl")
    return wheel


def _installed(frontend: str, cache: Path, environment: Mapping[str, str]) -> Path:
    pins = _PINS[frontend]
    place = cache / f"{frontend}-{hashlib.sha256(repr(pins).encode()).hexdigest()[:16]}"
    where = {"UV_TOOL_DIR": str(place), "UV_TOOL_BIN_DIR": str(place / "bin")}
    with storage.exclusive(place.with_suffix(".lock")):
        if not (place / "bin" / frontend).exists():
            more = [argument for pin in pins[1:] for argument in ("--with", pin)]
            install = ["tool", "install", "--quiet", "--python", PYTHON, *more, pins[0]]
            _run([str(uv.executable()), *install], cache, {**environment, **where})
    return place / "bin" / frontend


def _run(command: list[str], directory: Path, environment: Mapping[str, str]) -> None:
    ran = subprocess.run(
        command, cwd=directory, env=environment, check=False, capture_output=True, encoding="utf-8"
    )
    assert ran.returncode == 0, (command, ran.stdout, ran.stderr)
