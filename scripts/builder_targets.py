"""The targets of builder.pex: the Python versions and platforms that it has wheels for."""

from __future__ import annotations

from dataclasses import dataclass

PYTHONS = ("3.11", "3.12")

# PEP 600: the older names of three glibc levels
_GLIBC = 17
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@dataclass(frozen=True, slots=True)
class Target:
    """A Python version, operating system and machine, the last two as in `os.uname`.

    :param tags: platform tags of the wheels that it supports, most preferred first.
    """

    python: str
    system: str
    machine: str
    tags: tuple[str, ...]

    @property
    def name(self) -> str:
        """The target's name, as `builder_pex_main.py` computes it for the running Python."""
        return f"cpython-{self.python}-{self.system}-{self.machine}"

    @property
    def environment(self) -> dict[str, str]:
        """Its PEP 508 markers."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": self.system,
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": self.system.lower(),
        }


def _manylinux(machine: str) -> tuple[str, ...]:
    levels = [(f"manylinux_2_{minor}", _LEGACY.get(minor)) for minor in range(_GLIBC, 4, -1)]
    return tuple(f"{name}_{machine}" for pair in levels for name in pair if name)


TARGETS = tuple(
    Target(python, system, machine, tags)
    for system, machine, tags in (
        ("Linux", "x86_64", _manylinux("x86_64")),
        ("Linux", "aarch64", _manylinux("aarch64")),
        # pip adds `universal2` by itself.
        ("Darwin", "arm64", ("macosx_11_0_arm64",)),
    )
    for python in PYTHONS
)

TEXT = f"CPython {' and '.join(PYTHONS)} on Linux x86_64, Linux aarch64 (both with glibc) and macOS arm64"
