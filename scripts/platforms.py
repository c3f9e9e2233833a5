"""Write the complete platforms of the serverless base images into `builder/resolution/platforms/`.

Each file has the format of `pex3 interpreter inspect --markers --tags`, run in the image `python:X.Y-slim`
(Debian's glibc: 2.36 up to Python 3.12, 2.41 from 3.13 on), without `path`, `platform_release` and
`platform_version`, which describe one machine. The tags are computed with `packaging.tags`, which pex also uses; a
test compares them with pex's output for the running Python.

Run `python scripts/platforms.py` after changing a version.
"""

from __future__ import annotations

import json
from pathlib import Path

from packaging import tags

# Python version: (version of the base image's interpreter, minor version of its glibc 2)
BASE_IMAGES = {
    (3, 9): ("3.9.21", 36),
    (3, 10): ("3.10.16", 36),
    (3, 11): ("3.11.11", 36),
    (3, 12): ("3.12.9", 36),
    (3, 13): ("3.13.9", 41),
    (3, 14): ("3.14.2", 41),
}

# PEP 600: the older names of three glibc levels
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}

_OUTPUT = Path(__file__).parent.parent / "builder" / "resolution" / "platforms"


def platforms(glibc_minor: int, machine: str) -> list[str]:
    """The platform tags of a Linux with glibc 2.`glibc_minor`, best first."""
    found = []
    for minor in range(glibc_minor, 4, -1):
        found.append(f"manylinux_2_{minor}_{machine}")
        if minor in _LEGACY:
            found.append(f"{_LEGACY[minor]}_{machine}")
    return [*found, f"linux_{machine}"]


def complete_platform(version: tuple[int, int], full_version: str, glibc_minor: int) -> dict[str, object]:
    """One complete platform as `pex3 interpreter inspect` would print it."""
    interpreter = f"cp{version[0]}{version[1]}"
    names = platforms(glibc_minor, "x86_64")
    found = [*tags.cpython_tags(version, [interpreter], names), *tags.compatible_tags(version, interpreter, names)]
    return {
        "marker_environment": {
            "implementation_name": "cpython",
            "implementation_version": full_version,
            "os_name": "posix",
            "platform_machine": "x86_64",
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": full_version,
            "python_version": f"{version[0]}.{version[1]}",
            "sys_platform": "linux",
        },
        "compatible_tags": [str(tag) for tag in found],
    }


def main() -> None:
    """Write all files."""
    for version, (full_version, glibc_minor) in BASE_IMAGES.items():
        path = _OUTPUT / f"cp{version[0]}{version[1]}-linux-x86_64.json"
        path.write_text(json.dumps(complete_platform(version, full_version, glibc_minor), indent=1) + "\n")
        print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
