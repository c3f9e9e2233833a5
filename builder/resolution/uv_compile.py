"""The run of `uv pip compile` that resolves requirements."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import tomli_w

from builder.errors import TargetError
from builder.project.names import required_name
from builder.project.requirements import Requirements
from builder.project.requirements_txt import RequirementLine
from builder.resolution import pythons, uv
from builder.resolution.indexes import Indexes, is_index_option
from builder.resolution.known_constraints import applied_to
from builder.resolution.target import Target
from builder.system import process, storage


def run_compile(
    requirements: Requirements,
    target: Target,
    indexes: Indexes,
    constraints: Sequence[str] = (),
    *,
    more: Sequence[str] = ("--no-annotate", "--format", "pylock.toml"),
    platform: str = "",
) -> process.Finished:
    """Resolve with uv; raises ProcessFailed.

    :param more: further options.
    :param platform: a target triple of uv's instead of the target's.
    """
    options = [option for option in requirements.options if not is_index_option(option)] + list(indexes.options)
    # Indexes are written to a file, not passed as arguments: their URLs may hold credentials.
    lines = [option for option in options if option not in {"--pre", "--require-hashes"}]
    lines += [line.text for line in requirements.lines if not line.index]
    with storage.scratch_directory() as scratch:
        asked = [_write(scratch / "requirements.in", lines), *_write_projects(scratch, requirements.lines)]
        limits = [line.text for line in requirements.constraints]
        limits += [known.text for known in applied_to(requirements)]
        limits_file = _write(scratch / "constraints.txt", [*limits, *constraints])
        excluded = _write(scratch / "excluded.txt", sorted(requirements.local_names | requirements.excludes))
        arguments: list[str | Path] = ["pip", "compile", *asked, "--constraints", limits_file]
        # A package that the project declares as local is never looked up on an index, even as a dependency.
        arguments += ["--excludes", excluded, "--python-version", target.python_version]
        arguments += ["--python-platform", platform or target.uv_platform, "--python", _interpreter(target)]
        arguments += ["--no-header", "--no-python-downloads", *more]
        if requirements.overrides:
            arguments += ["--overrides", _write(scratch / "overrides.txt", requirements.overrides)]
        if "--pre" in options:
            arguments += ["--prerelease", "allow"]
        try:
            return uv.run(arguments, cwd=requirements.directory, extra_env=indexes.variables())
        except process.ProcessFailed as error:
            words = error.stderr.replace(f"{scratch}{os.sep}", "")
            raise process.ProcessFailed(error.argv, error.code, error.stdout, words) from error


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


def _interpreter(target: Target) -> Path:
    """The Python that builds source distributions during resolution, which is rarely needed."""
    try:
        return pythons.find_python(target.python_version)
    except TargetError:
        return Path(sys.executable)


def _write(path: Path, lines: Iterable[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
