"""Checking packages of a wheelhouse: install each with its lock, import it, run its scripts."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from builder.errors import Origin, PackagesError
from builder.monorepo.attempts import Failure, attempt_each
from builder.monorepo.wheelhouse import BuiltPackage, Wheelhouse
from builder.resolution import uv
from builder.resolution.indexes import read_indexes
from builder.system import process, storage

_TIMEOUT_SECONDS: Final = 180.0
"""Time limit in seconds for an import or a script, whose first start may compile thousands of modules."""

_IMPORT: Final = "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)"


def check_packages(
    wheelhouse: Wheelhouse, packages: Sequence[BuiltPackage], python: Path, *, workers: int
) -> tuple[list[BuiltPackage], list[Failure]]:
    """Install each package with its lock into a clean environment, import it, run its scripts, run `uv pip check`.

    :param python: the interpreter to use.
    :param workers: the number of packages that are checked in parallel.

    Returns the packages that work, and the failures. Raises PackagesError for a wheel that was changed after the
    build.
    """
    wheelhouse.check_wheels()
    # In the cache directory, so that uv can link files instead of copying them.
    with storage.scratch_directory(storage.cache_directory() / "checks") as scratch:
        # Environments are created at the same paths again, so that bytecode, which is stored elsewhere, is shared.
        free: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(workers):
            free.put(scratch / str(number))

        def check(package: BuiltPackage) -> BuiltPackage:
            place = free.get()
            try:
                _check(wheelhouse, package, python, place)
            finally:
                free.put(place)
            return package

        return attempt_each(packages, "checked", check, workers=workers)


def _check(wheelhouse: Wheelhouse, package: BuiltPackage, python: Path, place: Path) -> None:
    lock = wheelhouse.lock_path(package)
    if not lock.is_file():
        raise PackagesError(
            f"`{package.name}` has no lock in the wheelhouse", remedy="Run `builder.packages lock` first"
        )
    venv = place / "venv"
    home = storage.make_directory(place / "home")
    _install(wheelhouse, lock, python, venv)
    if problems := list(_problems(package, venv, home)):
        raise PackagesError(
            f"`{package.name}` {package.version} does not work",
            where=Origin(lock),
            detail="\n".join(problems),
            remedy="Correct what the package requires, or its code",
        )


def _install(wheelhouse: Wheelhouse, lock: Path, python: Path, venv: Path) -> None:
    settings = storage.make_directory(venv.parent / "settings")
    variables = read_indexes(wheelhouse.directory).variables_outside(settings)
    arguments: list[str | Path] = ["pip", "install", "--quiet", "--python", venv / "bin" / "python"]
    arguments += ["--require-hashes", "--find-links", wheelhouse.directory, "--requirement", lock]
    try:
        uv.run(["venv", "--quiet", "--clear", "--no-project", "--python", python, venv], cwd=settings)
        uv.run(arguments, cwd=settings, extra_env=variables)
    except process.ProcessFailed as error:
        raise PackagesError(
            "it cannot be installed by its lock",
            where=Origin(lock),
            detail=error.tail(),
            remedy="Write the lock again with `builder.packages lock`",
        ) from error


def _problems(package: BuiltPackage, venv: Path, home: Path) -> Iterator[str]:
    """The failures of a package, each with the end of the failed program's output."""
    cached = venv.parent / "bytecode"
    environment = process.clean_environment(
        {
            "HOME": str(home),
            "PATH": f"{venv / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "VIRTUAL_ENV": str(venv),
            "PYTHONPYCACHEPREFIX": str(cached),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "NO_COLOR": "1",
        }
    )

    def run(*argv: str | Path) -> process.ProcessFailed | None:
        try:
            process.run(argv, env=environment, cwd=home, timeout=_TIMEOUT_SECONDS)
        except process.ProcessFailed as error:
            return error
        return None

    # Isolated, so that neither the working directory nor the user's site-packages can hide a missing package.
    python: list[str | Path] = [venv / "bin" / "python", "-I", "-X", f"pycache_prefix={cached}"]
    if error := run(*python, "-c", _IMPORT, *package.import_names):
        yield f"import {', '.join(package.import_names)}: {error.tail()}"
    for script in package.console_scripts:
        program = venv / "bin" / script
        if run(program, "--version") and (error := run(program, "--help")):
            yield f"{script} --help: {error.tail()}"
    try:
        uv.run(["pip", "check", "--python", venv / "bin" / "python"], cwd=home)
    except process.ProcessFailed as error:
        yield f"pip check: {error.tail()}"
