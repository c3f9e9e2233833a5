"""Warnings about needless size: CUDA libraries, tests, large files, duplicates. No file is removed."""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from builder.assembly.contents import PackedDistribution, PackedFile
from builder.assembly.source_pex import SourceEntry
from builder.assembly.source_tree import ROOT
from builder.errors import Notice, Origin
from builder.project.names import required_name
from builder.resolution.lock import Lock
from builder.terminal.formatting import size

_LARGE_FILE: Final = 10_000_000
_LARGE_TESTS: Final = 5_000_000
_EXAMPLES: Final = 3

_CUDA: Final = re.compile(r"nvidia-.+-cu\d+|nvidia-(cublas|cuda|cudnn|cufft|curand|cusolver|cusparse|nccl).*")
_CUDA_BUILD: Final = re.compile(r"\+cu\d+")
_WITHOUT_CUDA: Final = {
    "torch": "require `torch=={version}+cpu`, and name PyTorch's index of builds for CPUs for it alone"
    " (`[tool.uv.sources]` and an index with `explicit = true`)",
    "xgboost": "require `xgboost-cpu` instead of `xgboost`",
    "tensorflow": "require `tensorflow` without its extra `and-cuda`",
    "jax": "require `jax` without an extra of CUDA",
}

_DIST_INFO: Final = re.compile(r"(?:(.+)/)?([^/-]+)-([^/-]+)\.dist-info/METADATA")
_SDK: Final = re.compile(r"(?:(.+)/)?botocore/session\.py")


def cuda_libraries(distributions: Sequence[PackedDistribution], asked: Mapping[str, Origin]) -> tuple[Notice, ...]:
    """A notice of libraries that do nothing without a GPU, and who needs them.

    :param asked: where the project requires something, by normalised name.
    """
    libraries = [dist for dist in distributions if _CUDA.fullmatch(dist.project)]
    built = [dist for dist in distributions if _CUDA_BUILD.search(dist.version) and dist not in libraries]
    unneeded = [*libraries, *built]
    if not unneeded:
        return ()
    names = {library.project for library in libraries}
    users = [
        dist
        for dist in distributions
        if dist in built or (dist.project not in names and not names.isdisjoint(_required(dist)))
    ]
    shown = _listed([dist.project for dist in unneeded])
    for_whom = f", for {_listed([f'{user.project} {user.version}' for user in users])}" if users else ""
    remedies = [
        _WITHOUT_CUDA[user.project].format(version=user.version.partition("+")[0])
        for user in users
        if user.project in _WITHOUT_CUDA
    ]
    advice = "; ".join(remedies) or "leave out what needs them"
    takes = size(sum(dist.unpacked for dist in unneeded))
    where = next((asked[dist.project] for dist in (*users, *unneeded) if dist.project in asked), None)
    return (
        Notice(f"{shown} take {takes}{for_whom}, but Serverless has no GPU that CUDA could use; {advice}", where),
    )


def own_tests(distributions: Sequence[PackedDistribution], lock: Lock) -> tuple[Notice, ...]:
    """Notices of large test suites in distributions that were built here, which the user can change."""
    own = {dist.name for dist in lock.distributions if dist.kind != "wheel" or isinstance(dist.location, Path)}
    return tuple(
        Notice(
            f"`{dist.project}` brings {size(dist.tests)} of tests along; leave them out of its wheel, for example"
            ' with exclude = ["tests*", "*.tests*"] under [tool.setuptools.packages.find] in its pyproject.toml'
        )
        for dist in distributions
        if dist.project in own and dist.tests >= _LARGE_TESTS
    )


def several_sdks(distributions: Sequence[PackedDistribution]) -> tuple[Notice, ...]:
    """A notice if the AWS SDK is among the distributions more than once."""
    places = [(dist.project, place) for dist in distributions for place in dist.copies]
    if len(places) < 2:
        return ()
    shown = [f"`{project}`" if project == place else f"`{project}` (`{place}`)" for project, place in places]
    return (Notice(f"the AWS SDK is there {len(places)} times, in {_listed(shown)}; require only one of them"),)


def installed_twice(files: Iterable[PackedFile], versions: Mapping[str, str]) -> tuple[Notice, ...]:
    """Notices of directories with installed distributions that the deps PEX has too.

    :param files: of the source PEX.
    :param versions: of the distributions in the deps PEX, by normalised name.
    """
    versions_by_project: dict[str, dict[str, str]] = {}
    for name in _in_build_directory(files):
        if match := _DIST_INFO.fullmatch(name):
            project = canonicalize_name(match[2])
            if project in versions:
                versions_by_project.setdefault(match[1] or "", {})[project] = match[3]
        elif (match := _SDK.fullmatch(name)) and "botocore" in versions:
            versions_by_project.setdefault(match[1] or "", {}).setdefault("botocore", "")
    return tuple(
        Notice(
            f"{f'`{directory}`' if directory else 'the build directory'} has copies of what the deps PEX has too:"
            f" {_listed([f'{project} {version}'.strip() for project, version in sorted(copies.items())])};"
            f" to leave them out, {_how_to_leave_out(directory)}"
        )
        for directory, copies in sorted(versions_by_project.items())
    )


def large_files(entries: Iterable[SourceEntry]) -> Iterator[Notice]:
    """Notices of the large files of a source PEX, the largest first; only the first few get one of their own."""
    sizes = ((_size_of(entry), entry.name) for entry in entries)
    large = sorted((pair for pair in sizes if pair[0] >= _LARGE_FILE), key=lambda pair: -pair[0])
    for unpacked, path in large[:_EXAMPLES]:
        name, advice = path, "leave it out of that package"
        if name.startswith(f"{ROOT}/"):
            name = name.removeprefix(f"{ROOT}/")
            advice = _how_to_leave_out(name, is_file=True)
        elif name.startswith("working_directory/"):
            name, advice = posixpath.basename(name), "take it out of `include`"
        yield Notice(
            f"`{name}` has {size(unpacked)}, which are uploaded with each change of the code; to avoid that,"
            f" {advice}"
        )
    if rest := large[_EXAMPLES:]:
        total = size(sum(unpacked for unpacked, _path in rest))
        more = "1 more file has" if len(rest) == 1 else f"{len(rest)} more files have"
        yield Notice(f"{more} over {size(_LARGE_FILE)}, {total} in all; --report names the largest")


def _size_of(entry: SourceEntry) -> int:
    """Bytes; nothing for a directory, and for a file that was removed meanwhile, which packing reports."""
    if isinstance(entry.content, Path):
        with contextlib.suppress(OSError):
            return entry.content.stat().st_size
        return 0
    return len(entry.content or b"")


def _in_build_directory(files: Iterable[PackedFile]) -> Iterator[str]:
    return (file.name.removeprefix(f"{ROOT}/") for file in files if file.name.startswith(f"{ROOT}/"))


def _how_to_leave_out(name: str, *, is_file: bool = False) -> str:
    """What to do about a path of the build directory; empty for that directory itself."""
    if not name:
        return "remove them there, or name them in `.builderignore`"
    pattern = re.sub(r"([\\*?\[])", r"\\\1", name)
    return f"write `/{pattern}{'' if is_file else '/'}` into `.builderignore`"


def _required(distribution: PackedDistribution) -> set[str]:
    lines = distribution.metadata.get("requires-dist", ())
    return {name for line in lines if (name := required_name(line))}


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _EXAMPLES} more" if len(names) > _EXAMPLES else ""
    return ", ".join(names[:_EXAMPLES]) + more
