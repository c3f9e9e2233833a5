"""Checking packages of a wheelhouse: install each with its lock, import it, run its scripts."""

from __future__ import annotations

import queue
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from builder.errors import BuilderError, Origin, PackagesError
from builder.packages.attempts import Failure, attempt_each
from builder.packages.known_failures import excuse_known, refuse_stale
from builder.packages.versions import parse_version, release_minor
from builder.packages.wheelhouse import BuiltPackage, Wheelhouse
from builder.project.names import required_name
from builder.resolution import uv
from builder.resolution.indexes import read_indexes
from builder.system import process, storage

_TIMEOUT_SECONDS: Final = 180.0
"""Time limit in seconds for an import or a script, whose first start may compile thousands of modules."""


class BrokenPackageError(PackagesError):
    """A package that can be installed, but does not work.

    :param problems: what was tried, and the end of what the program said.
    """

    def __init__(self, package: BuiltPackage, lock: Path, problems: Mapping[str, str]) -> None:
        super().__init__(
            f"`{package.name}` {package.version} does not work",
            where=Origin(lock),
            detail="\n".join(f"{tried}: {said}" for tried, said in problems.items()),
            remedy="Correct what the package requires, or its code",
        )
        self.problems = problems
        self.excuse: str | None = None


def check_packages(
    wheelhouse: Wheelhouse,
    packages: Sequence[BuiltPackage],
    python: Path,
    *,
    workers: int,
    compare_published: bool = False,
) -> tuple[list[BuiltPackage], list[Failure]]:
    """Install each package with its lock into a clean environment, import it, run its scripts, run `uv pip check`.

    :param python: the interpreter to use.
    :param workers: the number of packages that are checked in parallel.
    :param compare_published: whether a failure is excused that the package's published release has as well, which
        is installed from the index then.

    Returns the packages that work, and the failures. Raises PackagesError for a wheel that was changed after the
    build.
    """
    excuse_listed = excuse_known(wheelhouse.known_failures)
    wheelhouse.check_wheels()
    # In the cache directory, so that uv can link files instead of copying them.
    with storage.scratch_directory(storage.cache_directory() / "checks") as scratch:
        # Environments are created at the same paths again. Their bytecode is stored elsewhere, below a prefix by
        # those paths, all of which lead to one directory: each module is compiled once.
        compiled = storage.make_directory(scratch / "compiled")
        free: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(workers):
            place = scratch / str(number)
            prefix = storage.make_directory(place / "bytecode" / place.relative_to(place.anchor))
            (prefix / "venv").symlink_to(compiled)
            free.put(place)

        def check(package: BuiltPackage) -> BuiltPackage:
            place = free.get()
            try:
                _check(wheelhouse, package, python, place)
            except BrokenPackageError as error:
                if compare_published and package.name not in wheelhouse.known_failures:
                    error.excuse = _published_too(wheelhouse, package, error.problems, python, place)
                raise
            finally:
                free.put(place)
            refuse_stale(package.name, wheelhouse.known_failures)
            return package

        def excuse(package: BuiltPackage, error: BuilderError) -> str | None:
            shown = error.excuse if isinstance(error, BrokenPackageError) else None
            return shown or excuse_listed(package, error)

        return attempt_each(packages, "checked", check, workers=workers, excuse=excuse)


def _check(wheelhouse: Wheelhouse, package: BuiltPackage, python: Path, place: Path) -> None:
    lock = wheelhouse.lock_path(package)
    if not lock.is_file():
        raise PackagesError(
            f"`{package.name}` has no lock in the wheelhouse", remedy="Run `builder.packages lock` first"
        )
    venv = place / "venv"
    arguments: list[str | Path] = ["--require-hashes", "--find-links", wheelhouse.directory, "--requirement", lock]
    try:
        _install(wheelhouse, arguments, python, venv)
    except process.ProcessFailed as error:
        raise PackagesError(
            "it cannot be installed by its lock",
            where=Origin(lock),
            detail=error.tail(),
            remedy="Write the lock again with `builder.packages lock`",
        ) from error
    if problems := dict(_problems(package, venv)):
        raise BrokenPackageError(package, lock, problems)


def _install(wheelhouse: Wheelhouse, wanted: Sequence[str | Path], python: Path, venv: Path) -> None:
    settings = storage.make_directory(venv.parent / "settings")
    variables = read_indexes(wheelhouse.directory).variables_outside(settings, often=True)
    uv.run(["venv", "--quiet", "--clear", "--no-project", "--python", python, venv], cwd=settings)
    arguments = ["pip", "install", "--quiet", "--python", venv / "bin" / "python", *wanted]
    uv.run(arguments, cwd=settings, extra_env=variables)


def _published_too(
    wheelhouse: Wheelhouse, package: BuiltPackage, problems: Mapping[str, str], python: Path, place: Path
) -> str | None:
    """The evidence that the package's published release has the same problems; None without such evidence.

    That release is the newest one, up to that which the package's version is of.
    """
    venv = place / "venv"
    version = parse_version(package.version)
    limit = f"<={version.base_version}" if release_minor(package.version) is not None else ""
    try:
        _install(wheelhouse, [f"{package.name}{limit}"], python, venv)
    except process.ProcessFailed:
        return None
    theirs = dict(_problems(package, venv))
    causes = {tried: _cause(said) for tried, said in problems.items()}
    if any(tried not in theirs or _cause(theirs[tried]) != cause for tried, cause in causes.items()):
        return None
    causes_text = "; ".join(f"{tried}: {cause}" for tried, cause in causes.items())
    return f"as the published release {_installed_version(package.name, venv)} fails too: {causes_text}"


def _installed_version(name: str, venv: Path) -> str:
    listed = uv.run(["pip", "freeze", "--python", venv / "bin" / "python"]).stdout.splitlines()
    return next((line.partition("==")[2] for line in listed if required_name(line) == name), "")


def _cause(said: str) -> str:
    """What a program's output says at its end; of `uv pip check`, every requirement that is not met."""
    lines = said.splitlines() or [""]
    return "; ".join(line for line in lines if line.startswith("The package ")) or lines[-1]


def _problems(package: BuiltPackage, venv: Path) -> Iterator[tuple[str, str]]:
    """What does not work of a package, each with the end of the failed program's output."""
    home = storage.make_directory(venv.parent / "home")
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
    programs = {script: venv / "bin" / script for script in package.console_scripts}
    # Not written for a package that cannot be imported.
    passed = venv.parent / "passed"
    passed.unlink(missing_ok=True)
    forked = [program for program in programs.values() if _begins_with_import(program, package.import_names)]
    if error := run(*python, "-c", _trial(), passed, ",".join(package.import_names), *forked):
        yield f"import {', '.join(package.import_names)}", error.tail()
    helped = passed.read_text(encoding="utf-8").splitlines() if passed.exists() else []
    for script, program in programs.items():
        # Most have no --version.
        if str(program) not in helped and (error := run(program, "--help")) and run(program, "--version"):
            yield f"{script} --help", error.tail()
    try:
        uv.run(["pip", "check", "--python", venv / "bin" / "python"], cwd=home)
    except process.ProcessFailed as error:
        yield "pip check", error.tail()


def _trial() -> str:
    return (resources.files("builder.packages") / "try_package.py").read_text(encoding="utf-8")


def _begins_with_import(program: Path, import_names: Sequence[str]) -> bool:
    """Whether a program begins with importing its package, which is all that its distribution installs."""
    if len(import_names) != 1:
        return False
    try:
        text = program.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return re.search(rf"^from {re.escape(import_names[0])}(\.\S+)? import ", text, re.MULTILINE) is not None
