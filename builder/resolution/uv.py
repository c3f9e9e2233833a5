"""Running uv, which resolves requirements and builds wheels, and downloading the pinned version of it."""

from __future__ import annotations

import os
import re
import shutil
import threading
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import lru_cache
from importlib import resources
from pathlib import Path

from builder.errors import StorageError, ToolError
from builder.resolution import uv_credentials
from builder.system import git, process, storage

_PIN = "uv-requirement.txt"
_STAMP = ".stamp"
"""Suffix of the file with the program's size, modification time (ns) and sha256 at its installation."""

_RUNNING_CODE = frozenset({"build", "run"})
"""Commands of uv that may run project code."""

_fetching: dict[Path, Future[bool]] = {}
_fetching_lock = threading.Lock()


def pinned_version() -> str:
    """The pinned version of uv, which the builder is tested with."""
    version = re.search(r"^uv==(\S+)", _pin_text(), re.MULTILINE)
    if version is None:
        message = f"{_PIN} pins no version"
        raise ValueError(message)
    return version[1]


@lru_cache
def executable() -> Path:
    """The path of uv: `$BUILDER_UV`, else the pinned version in the builder's tool cache.

    On first use its wheel is downloaded with the bundled pip, so that the user's index configuration, proxies,
    certificates and keyring apply; its hash is verified. Raises ToolError if it cannot be installed.
    """
    configured = os.environ.get("BUILDER_UV")
    if configured:
        path = shutil.which(configured)
        if path is None:
            what = f"BUILDER_UV names `{configured}`, which is not a program"
            raise ToolError(what, remedy="Correct BUILDER_UV or unset it")
        return Path(path).absolute()
    program = _kept_program()
    _have_whole(program, compare_content=False)
    storage.mark_used(program)
    return program


def fetch() -> bool:
    """Have uv before it is needed; returns whether it was downloaded now. Raises ToolError, StorageError."""
    return not os.environ.get("BUILDER_UV") and _have_whole(_kept_program(), compare_content=False)


def is_here() -> bool:
    """Whether uv need not be downloaded."""
    return bool(os.environ.get("BUILDER_UV")) or _is_whole(_kept_program(), compare_content=False)


def _kept_program() -> Path:
    """The path of the pinned version in the builder's tool cache, whether or not it exists yet."""
    return storage.cache_directory() / "tools" / f"uv-{pinned_version()}" / "uv"


def _have_whole(program: Path, *, compare_content: bool) -> bool:
    """Install uv unless it is there undamaged; returns whether it was installed. Raises ToolError.

    Threads that ask meanwhile share the outcome: where there is no network, each try takes long to fail.
    """
    if _is_whole(program, compare_content=compare_content):
        return False
    with _fetching_lock:
        known = _fetching.get(program)
        future = _fetching.setdefault(program, Future())
    if known:
        return known.result()
    try:
        future.set_result(_installed(program, compare_content=compare_content))
    except BaseException as error:
        future.set_exception(error)
        raise
    finally:
        with _fetching_lock:
            del _fetching[program]
    return future.result()


def _installed(program: Path, *, compare_content: bool) -> bool:
    """Install uv unless another process has done so; returns whether it was installed."""
    with storage.exclusive(program.parent.parent / ".lock"):
        if _is_whole(program, compare_content=compare_content):
            return False
        _install(program)
    return True


def _is_whole(program: Path, *, compare_content: bool) -> bool:
    """Whether the program is unchanged since its installation, by size and modification time, or by content."""
    try:
        size, changed, sha256 = program.with_suffix(_STAMP).read_text(encoding="utf-8").split()
        status = program.stat()
        if (str(status.st_size), str(status.st_mtime_ns)) == (size, changed) and not compare_content:
            return True
        return str(status.st_size) == size and storage.sha256_of(program) == sha256
    except (OSError, ValueError):
        return False


def run(
    arguments: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path | None = None,
    extra_env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> process.Finished:
    """Run uv quietly, without the caller's secrets in its environment.

    :param extra_env: additional variables; index credentials in `Indexes.variables` are passed through a pipe.

    Variables that give access to git repositories, such as the ssh agent's, are removed if uv runs project code.
    Git's variables that select a repository, which are set in hooks, are always removed.

    Raises process.ProcessFailed with uv's output; StorageError if the disk is full.
    """
    cache = storage.make_directory(storage.cache_directory() / "uv")
    settings = {
        "UV_NO_PROGRESS": "1",
        # Lines that are broken where a path happens to end are neither read nor found again.
        "UV_NO_WRAP": "1",
        "NO_COLOR": "1",
        # A path that does not exist: uv would run the interpreter of the project's `.venv`.
        "UV_PROJECT_ENVIRONMENT": str(cache.parent / "no-environment"),
        "UV_CACHE_DIR": str(cache),
        **(extra_env or {}),
    }
    variables = _environment(settings, runs_code=arguments[0] in _RUNNING_CODE)
    store = variables.pop(uv_credentials.STORE, "")
    program = executable()

    def once() -> process.Finished:
        with uv_credentials.handed_over(store) as (more, descriptors):
            return process.run(
                [program, *arguments], env={**variables, **more}, cwd=cwd, timeout=timeout, pass_fds=descriptors
            )

    try:
        return once()
    except ToolError as error:
        if isinstance(error, process.ProcessFailed) and (full := _full_disk(error.stderr, cache)):
            raise full from error
        if program != _kept_program() or not _have_whole(program, compare_content=True):
            raise
    # The program in the cache was damaged and has been installed again.
    return once()


def _environment(settings: Mapping[str, str], *, runs_code: bool) -> dict[str, str]:
    """The environment for uv. Secrets that the user passes to the project's code are removed if uv runs none.

    uv expands variables in requirements, so that secrets could appear there.
    """
    access = {} if runs_code else {**process.users_access(), **git.login_variables()}
    environment = {
        **process.clean_environment(allowed=runs_code),
        **uv_credentials.machine_settings(),
        **access,
        **settings,
    }
    # uv does not read pip's variables, and build backends do not need them.
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith("PIP_") and name not in git.REDIRECTING
    }
    return uv_credentials.without_logins(kept)


def _full_disk(words: str, cache: Path) -> StorageError | None:
    """The error for a full disk, if the output of uv or of a Python that it runs reports one; else None."""
    for line in words.splitlines():
        number = re.search(r"\(os error (\d+)\)|\[Errno (\d+)\]", line)
        if number and int(number[1] or number[2]) in storage.FULL:
            named = re.search(r"[`'\"](/[^`'\"]+)", line)
            reason = OSError(int(number[1] or number[2]), "")
            return storage.storage_error(reason, Path(named[1]) if named else cache, detail=line.strip())
    return None


def _install(program: Path) -> None:
    with storage.scratch_directory(storage.cache_directory() / "tools") as scratch:
        pin = scratch / _PIN
        pin.write_text(_pin_text(), encoding="utf-8")
        options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-cache-dir"]
        try:
            process.run_module(
                "pip",
                ["download", *options, "--disable-pip-version-check", "--dest", scratch, "--requirement", pin],
                env=process.installer_environment(),
            )
        except process.ProcessFailed as error:
            raise ToolError(
                f"uv {pinned_version()} could not be fetched",
                detail=error.tail(3),
                remedy="Check the network and pip's index configuration, or install uv and set BUILDER_UV",
            ) from error
        (wheel,) = scratch.glob("uv-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (member,) = (name for name in archive.namelist() if name.endswith(".data/scripts/uv"))
            with archive.open(member) as source, storage.atomic_write(program, mode=0o755) as stream:
                shutil.copyfileobj(source, stream, 1 << 20)
        status = program.stat()
        stamp = f"{status.st_size} {status.st_mtime_ns} {storage.sha256_of(program)}"
        with storage.atomic_write(program.with_suffix(_STAMP)) as stream:
            stream.write(stamp.encode())


def _pin_text() -> str:
    return (resources.files("builder.resolution") / _PIN).read_text(encoding="utf-8")
