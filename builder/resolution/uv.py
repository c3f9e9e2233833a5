"""uv, the program that resolves requirements and builds wheels from source distributions."""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path

from builder.errors import StorageError, ToolError
from builder.resolution import uv_credentials
from builder.system import git, process, storage

_PIN = "uv-requirement.txt"
_STAMP = ".stamp"
"""Suffix of the file that says what the program in the cache was like: size, time of change (ns), sha256."""

_RUNNING_CODE = frozenset({"build", "run"})
"""Commands of uv that run code of the project."""


def pinned_version() -> str:
    """The version of uv that the builder was tested with."""
    version = re.search(r"^uv==(\S+)", _pin_text(), re.MULTILINE)
    if version is None:
        message = f"{_PIN} pins no version"
        raise ValueError(message)
    return version[1]


@lru_cache
def executable() -> Path:
    """The uv program: `$BUILDER_UV`, else the pinned version out of the builder's tool cache.

    The first time, its wheel is fetched through the bundled pip, whose index configuration, proxies,
    certificates and keyring hold for it as for everything else that the user installs; its hash is checked.
    Raises ToolError if it cannot be found.
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


def _kept_program() -> Path:
    """Where the pinned version lies in the builder's tool cache, or will lie."""
    return storage.cache_directory() / "tools" / f"uv-{pinned_version()}" / "uv"


def _have_whole(program: Path, *, compare_content: bool) -> bool:
    """Fetch uv unless it is there undamaged; returns whether it was fetched. Raises ToolError."""
    if _is_whole(program, compare_content=compare_content):
        return False
    with storage.exclusive(program.parent.parent / ".lock"):
        if _is_whole(program, compare_content=compare_content):
            return False
        _install(program)
    return True


def _is_whole(program: Path, *, compare_content: bool) -> bool:
    """Whether the program is as it was installed: by its size and time of change, or by its content."""
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

    :param extra_env: with `Indexes.variables` uv gets the credentials of package indexes, through a pipe.

    What gives access to git repositories, such as the ssh agent, is left out where uv runs code of the project.
    Git's variables that say which repository to use, as in a hook, are left out too.

    Raises process.ProcessFailed with uv's own words, but StorageError where they are about a full disk.
    """
    cache = storage.make_directory(storage.cache_directory() / "uv")
    settings = {
        "UV_NO_PROGRESS": "1",
        "NO_COLOR": "1",
        # Not the project's `.venv`, whose interpreter uv would run.
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
    # The program in the cache was damaged.
    return once()


def _environment(settings: Mapping[str, str], *, runs_code: bool) -> dict[str, str]:
    """Without what the user named for the project's code where uv runs none: uv puts variables into texts."""
    access = {} if runs_code else {**process.users_access(), **git.login_variables()}
    environment = {
        **process.clean_environment(allowed=runs_code),
        **uv_credentials.machine_settings(),
        **access,
        **settings,
    }
    # uv does not read pip's variables, and build backends have no use for them.
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith("PIP_") and name not in git.REDIRECTING
    }
    return uv_credentials.without_logins(kept)


def _full_disk(words: str, cache: Path) -> StorageError | None:
    """What uv, or Python below it, says of a disk that takes no more, with what to do; None if it says nothing."""
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
