"""Requirements become a lock: uv resolves them, or the project's own lock is obeyed."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from builder.errors import FetchError, Notice, Origin, ResolutionError, TargetError
from builder.project.names import required_name
from builder.project.requirements import NOTHING, Requirements
from builder.project.requirements_txt import RequirementLine
from builder.resolution import pythons, recent, uv
from builder.resolution.indexes import Indexes, is_index_option, read_indexes
from builder.resolution.lock import Hashes, Lock, read_lock
from builder.resolution.poetry_lock import locked_requirements
from builder.resolution.sanity import oddities, series
from builder.resolution.target import Target
from builder.system import process, storage

_NOTICE = "# notice: "
_LONGEST = 5

_NETWORK = re.compile(
    r"error sending request|failed to fetch|could not connect|dns error|failed to lookup|timed out",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"An index (?:URL )?\((\S+)\) (?:could not be queried .* credentials \(|returned a )(40[13] \w+)"
)
_SHADOWED = re.compile(
    r"`(\S+)` was found on (\S+), but not at the requested version .* on a subsequent index \(e\.g\., (\S+)\)\."
)


@dataclass(frozen=True, slots=True)
class Resolution:
    """A lock, how many seconds ago it was resolved if that was in an earlier build, and what is odd about it."""

    lock: Lock
    age: int | None = None
    notices: tuple[Notice, ...] = ()


def resolve(requirements: Requirements, target: Target) -> Resolution:
    """Resolve what a project asks for, or read its own lock.

    Raises ResolutionError in uv's own words, shortened, with the file and line of the requirement that started
    it; FetchError if the index cannot be reached; ResolutionError if `dagster` or `dagster-cloud` is missing.
    """
    if requirements.lock is None:
        resolution = _resolve(requirements, target)
    elif requirements.lock.name == "poetry.lock":
        resolution = _resolve(locked_requirements(requirements, requirements.lock), target)
    else:
        resolution = _obey(requirements, requirements.lock, target)
    _check_complete(resolution.lock, requirements)
    _check_versions(resolution, requirements)
    return resolution


def local_packages(requirements: Requirements) -> tuple[Path, ...]:
    """The directories of the user's own packages, the project first; resolves nothing and needs no network."""
    if requirements.lock is None or requirements.lock.name == "poetry.lock":
        return requirements.local_packages
    text = _export(requirements, requirements.lock, "--frozen")
    paths = (package.get("directory", {}).get("path") for package in tomllib.loads(text).get("packages", []))
    found = (Path(os.path.normpath(requirements.directory / path)) for path in paths if path)
    return tuple(sorted(found, key=lambda path: path != requirements.directory))


def _resolve(requirements: Requirements, target: Target) -> Resolution:
    indexes = read_indexes(requirements.directory, requirements.options)
    place = recent.place(requirements, target, indexes)
    known = recent.recall(place) if place else None
    text, age = known or (_resolve_anew(requirements, target, indexes), None)
    origin = requirements.lines[0].origin if requirements.lines else Origin(requirements.directory)
    hashes = _hashes(requirements.lines)
    lock = read_lock(text, target, base=requirements.directory, origin=origin, hashes=hashes)
    if place and not known:
        recent.remember(place, text)
    return Resolution(replace(lock, indexes=indexes), age, (*indexes.notices, *_written_notices(text)))


def _resolve_anew(requirements: Requirements, target: Target, indexes: Indexes) -> str:
    """The lock, headed by comments that hold what the user should know of it."""
    finished = _ask_uv(requirements, target, indexes)
    warnings = re.findall(r"^warning: (`.* is yanked.*)$", finished.stderr, re.MULTILINE)

    def explain(constraints: list[str]) -> str | None:
        try:
            _ask_uv(requirements, target, indexes, constraints)
        except ResolutionError as error:
            return error.detail
        return None

    def newest(names: list[str]) -> dict[str, str]:
        indexed = {required_name(line.text): line.index for line in requirements.lines if line.index}
        lines = (RequirementLine(name, Origin(Path()), index=indexed.get(name)) for name in names)
        bare = replace(requirements, lines=tuple(lines))
        found = tomllib.loads(_ask_uv(bare, target, indexes, with_dependencies=False).stdout)
        return {package["name"]: package["version"] for package in found["packages"]}

    notices = [Notice(text) for text in warnings]
    notices += oddities(finished.stdout, requirements.lines, target, newest, explain)
    heads = [[notice.text, *_place(notice.where)] for notice in notices]
    return "".join(f"{_NOTICE}{json.dumps(head)}\n" for head in heads) + finished.stdout


def _place(where: Origin | None) -> list[str | int | None]:
    return [str(where.path), where.line] if where else [None, None]


def _written_notices(text: str) -> tuple[Notice, ...]:
    heads = (json.loads(line.removeprefix(_NOTICE)) for line in text.splitlines() if line.startswith(_NOTICE))
    return tuple(Notice(said, Origin(Path(path), line) if path else None) for said, path, line in heads)


def _ask_uv(
    requirements: Requirements,
    target: Target,
    indexes: Indexes,
    constraints: Sequence[str] = (),
    *,
    with_dependencies: bool = True,
) -> process.Finished:
    """Have uv resolve; its stdout is a `pylock.toml`, its stderr warnings."""
    options = [option for option in requirements.options if not is_index_option(option)] + list(indexes.options)
    # Indexes are told in a file, not on the command line: their URLs may hold credentials.
    lines = [option for option in options if option not in {"--pre", "--require-hashes"}]
    lines += [line.text for line in requirements.lines if not line.index]
    with storage.scratch_directory() as scratch:
        asked = [_write(scratch / "requirements.in", lines), *_write_projects(scratch, requirements.lines)]
        limits = _write(
            scratch / "constraints.txt", [*(line.text for line in requirements.constraints), *constraints]
        )
        excluded = _write(scratch / "local-packages.txt", sorted(requirements.local_names))
        arguments: list[str | Path] = [
            "pip",
            "compile",
            *asked,
            "--format",
            "pylock.toml",
            "--constraints",
            limits,
        ]
        # A name that the project declares as local is never looked up, whoever else asks for it.
        arguments += ["--excludes", excluded, "--python-version", target.python_version]
        arguments += ["--python-platform", target.uv_platform, "--python", _interpreter(target)]
        arguments += ["--no-header", "--no-annotate", "--no-python-downloads"]
        arguments += [] if with_dependencies else ["--no-deps"]
        if "--pre" in options:
            arguments += ["--prerelease", "allow"]
        try:
            finished = uv.run(arguments, cwd=requirements.directory, extra_env=indexes.variables())
        except process.ProcessFailed as error:
            raise _explain(error, requirements, scratch) from error
    return finished


def _write_projects(scratch: Path, lines: Iterable[RequirementLine]) -> Iterator[Path]:
    """Requirements that come from one index only, one pyproject.toml for each index.

    uv obeys `[tool.uv.sources]` of a project that it compiles, but there is nothing like it for requirements.in.
    """
    import tomli_w  # noqa: PLC0415  (start-up time)

    by_index: dict[str, tuple[Mapping[str, object], list[str]]] = {}
    for line in lines:
        if line.index:
            by_index.setdefault(repr(line.index), (line.index, []))[1].append(line.text)
    for number, (index, texts) in enumerate(by_index.values()):
        path = scratch / f"from-index-{number}" / "pyproject.toml"
        path.parent.mkdir()
        sources = {required_name(text): {"index": index["name"]} for text in texts}
        document = {
            "project": {"name": "the-project", "version": "0", "dependencies": texts},
            "tool": {"uv": {"index": [{**index, "explicit": True}], "sources": sources}},
        }
        path.write_text(tomli_w.dumps(document), encoding="utf-8")
        yield path


def _obey(requirements: Requirements, path: Path, target: Target) -> Resolution:
    # A lock says itself where its files are; what was configured only says how to get there.
    indexes = read_indexes(requirements.directory)
    text = _export(requirements, path, "--locked", indexes.transport.variables())
    # An export holds what was asked for; a pylock.toml has markers for it.
    wanted = NOTHING if path.name == "uv.lock" else requirements.wanted
    lock = read_lock(text, target, base=requirements.directory, origin=Origin(path), hashes={}, wanted=wanted)
    return Resolution(replace(lock, indexes=indexes))


def _export(requirements: Requirements, lock: Path, mode: str, variables: Mapping[str, str] | None = None) -> str:
    """The project's own lock as a `pylock.toml`; `--locked` refuses one that no longer fits the project."""
    if lock.name != "uv.lock":
        return lock.read_text(encoding="utf-8")
    arguments = ["export", mode, "--format", "pylock.toml", "--no-default-groups", "--no-header", "--no-annotate"]
    for extra in requirements.wanted.extras:
        arguments += ["--extra", extra]
    for group in requirements.wanted.groups:
        arguments += ["--group", group]
    try:
        arguments += ["--no-python-downloads", "--quiet"]
        return uv.run(arguments, cwd=requirements.directory, extra_env=variables).stdout
    except process.ProcessFailed as error:
        words = _shorten(error.stderr)
        if _NETWORK.search(words):
            raise _unreachable(words) from error
        outdated = "needs to be updated" in words
        what = "uv.lock does not fit pyproject.toml any more" if outdated else "uv.lock cannot be used"
        remedy = "Run `uv lock` and commit uv.lock"
        raise ResolutionError(what, where=Origin(lock), detail=words, remedy=remedy) from error


def _check_complete(lock: Lock, requirements: Requirements) -> None:
    """The receiving server runs `dagster` and `dagster-cloud` out of the deps PEX: without them nothing works."""
    missing = [name for name in ("dagster", "dagster-cloud") if lock.version_of(name) is None]
    missing = [name for name in missing if name not in requirements.local_names]
    if not missing:
        return
    names = " and ".join(f"`{name}`" for name in missing) + (" is" if len(missing) == 1 else " are")
    if requirements.lock is not None:
        remedy = f"Run `uv add {' '.join(missing)}` and commit uv.lock"
        raise ResolutionError(f"{names} not in the lock", where=Origin(requirements.lock), remedy=remedy)
    place, lines = _where_to_add(requirements.directory, missing)
    raise ResolutionError(
        f"{names} not among what the project requires; Dagster Cloud cannot run the code without",
        where=Origin(place),
        remedy=f"Add to `{place.name}`: {lines}",
    )


def _check_versions(resolution: Resolution, requirements: Requirements) -> None:
    """A `dagster-cloud` of another series than `dagster` cannot run it: say so before the server does."""
    dagster, cloud = (resolution.lock.version_of(name) for name in ("dagster", "dagster-cloud"))
    if dagster is None or cloud is None or series(dagster) == series(cloud):
        return
    asked = next((line.origin for line in requirements.lines if required_name(line.text) == "dagster"), None)
    where = next((notice.where for notice in reversed(resolution.notices) if notice.where), asked)
    raise ResolutionError(
        f"dagster {dagster} and dagster-cloud {cloud} cannot work together",
        where=where or Origin(requirements.lock or requirements.directory),
        detail="\n".join(notice.text for notice in resolution.notices) or None,
        remedy="Require one version of both, such as `dagster==X.Y.Z` and `dagster-cloud==X.Y.Z`, that both have",
    )


def _where_to_add(directory: Path, names: Sequence[str]) -> tuple[Path, str]:
    quoted = ", ".join(f'"{name}"' for name in names)
    for name, key in (("pyproject.toml", "dependencies"), ("setup.py", "install_requires")):
        path = directory / name
        if path.is_file() and key in path.read_text(encoding="utf-8", errors="replace"):
            return path, f"{quoted} in `{key}`"
    return directory / "requirements.txt", " and ".join(f"a line `{name}`" for name in names)


def _explain(
    error: process.ProcessFailed, requirements: Requirements, scratch: Path
) -> ResolutionError | FetchError:
    """The complaint of uv, shortened, with the requirement that started it."""
    words = _shorten(error.stderr).replace(f"{scratch}{os.sep}", "")
    if refused := _REFUSED.search(error.stderr):
        return _credentials_refused(*refused.groups())
    if _NETWORK.search(words):
        return _unreachable(words)
    line = _culprit(words, requirements.lines)
    return ResolutionError(
        "the requirements cannot be resolved",
        where=line.origin if line else Origin(requirements.directory),
        detail=words,
        remedy=_other_index(error.stderr)
        or ("Change the requirement, or what conflicts with it" if line else None),
    )


def _other_index(words: str) -> str | None:
    """What to do where another index than the first that has a name might have the version."""
    # uv breaks no lines of a hint.
    found = _SHADOWED.search(words)
    if found is None:
        return None
    name, first, other = found.groups()
    return (
        f"`{name}` is taken from {first} only, the first index that has it, so that nobody can put another"
        f" in its place; if you trust {other} as much, set UV_INDEX_STRATEGY=unsafe-best-match"
    )


def _credentials_refused(url: str, status: str) -> FetchError:
    return FetchError(
        f"the package index {url} refuses its user name or password, or wants one ({status})",
        remedy="Correct them where your index is configured (its URL, pip.conf, ~/.netrc, or for an index of uv"
        " with a name UV_INDEX_NAME_USERNAME and UV_INDEX_NAME_PASSWORD)",
    )


def _culprit(words: str, lines: Iterable[RequirementLine]) -> RequirementLine | None:
    """The declared requirement that uv's explanation rests on."""
    by_name = {required_name(line.text): line for line in lines}
    # uv names what the user asked for as `you require X`; other names in the text are dependencies.
    named = re.findall(r"(?:you require|the-project depends on) ([A-Za-z0-9._-]*[A-Za-z0-9])", words)
    named += re.findall(r"[A-Za-z0-9._-]*[A-Za-z0-9]", words)
    return next((by_name[required_name(name)] for name in named if required_name(name) in by_name), None)


def _shorten(words: str) -> str:
    """Without uv's hints, which name options that the user does not have, and without its line labels."""
    kept = []
    for line in words.splitlines():
        if line.startswith("hint:"):
            break
        text = re.sub(r"^\s*(error|cause):\s*", "", line).strip()
        if text and not text.startswith(("No solution found when resolving", "warning:")):
            kept.append(text)
    # The chain of a long explanation only leads to its end.
    return "\n".join(kept if len(kept) <= _LONGEST else ["…", *kept[-_LONGEST:]])


def _unreachable(words: str) -> FetchError:
    return FetchError(
        "the package index cannot be reached",
        detail=words,
        remedy="Check the network, the proxy and the index settings (UV_DEFAULT_INDEX), then run it again",
    )


def _hashes(lines: Iterable[RequirementLine]) -> Hashes:
    """What the user allows for each name, if any requirement has a hash."""
    found = {required_name(line.text): line.hashes for line in lines if line.hashes}
    return {
        name: frozenset(value.removeprefix("sha256:") for value in values if value.startswith("sha256:"))
        for name, values in found.items()
    }


def _interpreter(target: Target) -> Path:
    """Runs the build backends of source distributions during resolution; mostly none is needed."""
    try:
        return pythons.find_python(target.python_version)
    except TargetError:
        return Path(sys.executable)


def _write(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
