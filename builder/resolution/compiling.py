"""Running `uv pip compile` to resolve requirements, and turning its failures into errors."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import tomli_w

from builder.errors import FetchError, Origin, ResolutionError, TargetError
from builder.project.names import required_name
from builder.project.requirements import Requirements
from builder.project.requirements_txt import RequirementLine
from builder.resolution import pythons, uv
from builder.resolution.indexes import Indexes, is_index_option
from builder.resolution.target import Target
from builder.system import process, storage

_LONGEST = 5

NETWORK = re.compile(
    r"error sending request|failed to fetch|could not connect|dns error|failed to lookup|timed out",
    re.IGNORECASE,
)
_REFUSED = re.compile(
    r"An index (?:URL )?\((\S+)\) (?:could not be queried .* credentials \(|returned a )(40[13] \w+)"
)
_SHADOWED = re.compile(
    r"`(\S+)` was found on (\S+), but not at the requested version .* on a subsequent index \(e\.g\., (\S+)\)\."
)


def compile_requirements(
    requirements: Requirements,
    target: Target,
    indexes: Indexes,
    constraints: Sequence[str] = (),
    *,
    with_dependencies: bool = True,
) -> process.Finished:
    """Resolve with uv; the result's stdout is a `pylock.toml`, its stderr has warnings."""
    options = [option for option in requirements.options if not is_index_option(option)] + list(indexes.options)
    # Indexes are written to a file, not passed as arguments: their URLs may hold credentials.
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
        # A package that the project declares as local is never looked up on an index, even as a dependency.
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
    """Write a pyproject.toml for each index whose requirements must come from that index only.

    uv honours `[tool.uv.sources]` of a project that it compiles; requirements.in has no equivalent.
    """
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


def _explain(
    error: process.ProcessFailed, requirements: Requirements, scratch: Path
) -> ResolutionError | FetchError:
    """Make an error of uv's message, shortened, with the origin of the requirement that caused it."""
    words = shorten(error.stderr).replace(f"{scratch}{os.sep}", "")
    if refused := _REFUSED.search(error.stderr):
        return _credentials_refused(*refused.groups())
    if NETWORK.search(words):
        return unreachable(words)
    line = _culprit(words, requirements.lines)
    return ResolutionError(
        "the requirements cannot be resolved",
        where=line.origin if line else Origin(requirements.directory),
        detail=words,
        remedy=_other_index(error.stderr)
        or ("Change the requirement, or what conflicts with it" if line else None),
    )


def _other_index(words: str) -> str | None:
    """The hint for a package whose wanted version may be on another index than the first that has the package."""
    # uv writes each hint in one line.
    match = _SHADOWED.search(words)
    if match is None:
        return None
    name, first, other = match.groups()
    return (
        f"`{name}` is taken from {first} only, the first index that has it, so that no other index can put another"
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
    # uv writes `you require X` for a declared requirement; other names in the text are dependencies.
    named = re.findall(r"(?:you require|the-project depends on) ([A-Za-z0-9._-]*[A-Za-z0-9])", words)
    named += re.findall(r"[A-Za-z0-9._-]*[A-Za-z0-9]", words)
    return next((by_name[required_name(name)] for name in named if required_name(name) in by_name), None)


def shorten(words: str) -> str:
    """Remove uv's hints, which name options that the user cannot set, and its line labels."""
    kept = []
    for line in words.splitlines():
        if line.startswith("hint:"):
            break
        text = re.sub(r"^\s*(error|cause):\s*", "", line).strip()
        if text and not text.startswith(("No solution found when resolving", "warning:")):
            kept.append(text)
    # The conclusion of a long explanation is at its end.
    return "\n".join(kept if len(kept) <= _LONGEST else ["…", *kept[-_LONGEST:]])


def unreachable(words: str) -> FetchError:
    """Make the error for an unreachable network, with uv's message."""
    return FetchError(
        "the package index cannot be reached",
        detail=words,
        remedy="Check the network, the proxy and the index settings (UV_DEFAULT_INDEX), then run it again",
    )


def _interpreter(target: Target) -> Path:
    """The Python that builds source distributions during resolution, which is rarely needed."""
    try:
        return pythons.find_python(target.python_version)
    except TargetError:
        return Path(sys.executable)


def _write(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
