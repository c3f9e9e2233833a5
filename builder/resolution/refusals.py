"""Errors for the reasons why uv cannot resolve requirements, each with its own remedy."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from builder.errors import BuilderError, FetchError, ResolutionError
from builder.project.poetry import uses_poetry
from builder.project.requirements_txt import RequirementLine
from builder.resolution.explanation import NAME, Explanation
from builder.resolution.known_names import is_known, nearest_names
from builder.resolution.source_refusals import (
    archive_refusal,
    git_refusal,
    only_there,
    source_refusal,
    url_refusal,
)
from builder.resolution.target import PYTHON_VERSIONS
from builder.resolution.unreachable import NETWORK, naming, unreachable
from builder.terminal.formatting import quoted

_REFUSED: Final = re.compile(
    r"An index (?:URL )?\((\S+)\) (?:could not be queried .* credentials \(|returned a )(40[13] \w+)"
)
_SHADOWED: Final = re.compile(
    r"`(\S+)` was found on (\S+), but not at the requested version .* on a subsequent index \(e\.g\., (\S+)\)\."
)
_MISSING: Final = re.compile(
    rf"({NAME}) was not found in the (?:package registry|cache|provided package locations)"
)
_PLATFORM: Final = re.compile(rf"({NAME})(?:[=<>!]\S*)? has no wheels with a matching platform tag")
_PYTHON: Final = re.compile(
    rf"({NAME})(?:[=<>!]\S*)? (?:has no wheels with a matching Python|(?:requires |depends on )Python ?[<>=!~])"
)
_BOUND: Final = r"[<>=!~]=?[\d.*]+"
_NO_WHEEL: Final = re.compile(rf"({NAME})(?:[=<>!]\S*)? has no usable wheels")
_YANKED: Final = re.compile(rf"(({NAME})(?:[=<>!]\S*)?) was yanked")
_NO_VERSION: Final = re.compile(
    rf"there (?:is|are) no versions? of ({NAME})|only ({NAME})[<>=!]\S* is available"
    rf"|only the following versions of ({NAME}) are available"
)


def explain(explanation: Explanation) -> BuilderError:
    """Make the error for what uv said, with the project's requirement that it rests on."""
    if refused := _REFUSED.search(explanation.output):
        return _credentials_refused(*refused.groups())
    for kind in (archive_refusal, git_refusal, url_refusal):
        if error := kind(explanation):
            return error
    if NETWORK.search(explanation.shown):
        return unreachable(explanation.shown, explanation.directory)
    if error := source_refusal(explanation):
        return error
    if shadowed := _other_index(explanation.output):
        return _error(explanation, "the requirements cannot be resolved", shadowed)
    return next((error for kind in _KINDS if (error := kind(explanation))), None) or _conflict(explanation)


def _error(
    explanation: Explanation, what: str, remedy: str | None, line: RequirementLine | None = None, *, more: str = ""
) -> ResolutionError:
    line = line or next(iter(explanation.required()), None)
    detail = "\n".join(filter(None, (explanation.shown, more)))
    return ResolutionError(what, where=explanation.origin(line), detail=detail, remedy=remedy)


def _not_found(explanation: Explanation) -> ResolutionError | None:
    match = _MISSING.search(explanation.text)
    if match is None:
        return None
    name, has = canonicalize_name(match[1]), explanation.availability
    line, by = explanation.asking(name)
    addresses = [_address(line)] if line and line.index and not by else has.indexes.addresses()
    looked = "looked in: " + (", ".join(addresses) or "nothing but the project's own files")
    needed = f", which `{by}` needs" if by else ""
    what = f"no index has a package `{match[1]}`{needed}"
    near = [] if by else [known for known in nearest_names(name) if has.newest(known)][:1]
    own = f"if it is a package of your own, name its index: {_add_index(explanation, line)} (docs/indexes.md)"
    if near:
        return _error(explanation, what, f"Did you mean `{near[0]}`? Write that; {own}", line, more=looked)
    if is_known(name):
        wrong = f"correct the address of the index, {quoted(addresses)}, or " if addresses else ""
        remedy = f"It is a well-known package: {wrong}name an index that has it, {_add_index(explanation, line)}"
        error = _error(explanation, what, f"{remedy} (docs/indexes.md)", line, more=looked)
        named = (naming(address.partition("://")[2], explanation.directory) for address in addresses)
        error.where = next(filter(None, named), error.where)
        return error
    if by:
        remedy = f"Require another version of `{by}`; {own}"
        return _error(explanation, what, remedy, line, more=looked)
    return _error(explanation, what, f"Correct the name if it is misspelt; {own}", line, more=looked)


def _address(line: RequirementLine) -> str:
    return str((line.index or {}).get("url", ""))


def _add_index(explanation: Explanation, line: RequirementLine | None) -> str:
    """How a user names a further index, in the syntax of the file that has the requirement."""
    if line and line.origin.path.suffix in {".txt", ".in"}:
        return f"a line `--extra-index-url URL` in `{line.origin.path.name}`"
    if uses_poetry(explanation.directory):
        return "`[[tool.poetry.source]]` with `name` and `url` in `pyproject.toml`"
    return "`[[tool.uv.index]]` with `url` in `pyproject.toml`, or UV_INDEX=URL"


def _wrong_platform(explanation: Explanation) -> ResolutionError | None:
    match = _PLATFORM.search(explanation.text)
    if match is None:
        return None
    name, has = canonicalize_name(match[1]), explanation.availability
    line, by = explanation.asking(name)
    if only := has.only_platform(name):
        marker, called = only
        what = f"`{name}` is for {called} only" + (f", and `{by}` needs it" if by else "")
        return _error(explanation, what, only_there(line, marker, called), line)
    return _error(
        explanation,
        f"`{name}` has no wheel for {has.target.description}",
        _with_wheel(explanation, name, line),
        line,
    )


def _wrong_python(explanation: Explanation) -> ResolutionError | None:
    match = _PYTHON.search(explanation.text)
    if match is None:
        return None
    name, target = canonicalize_name(match[1]), explanation.availability.target
    line, by = explanation.asking(name)
    needed = f", and `{by}` needs it" if by else ""
    requires = rf"{re.escape(match[1])}\S* (?:requires |depends on )Python ?({_BOUND}(?:, ?{_BOUND})*)"
    wanted = re.search(requires, explanation.text)
    if wanted:
        what = f"`{name}` needs Python {wanted[1]}, and the target has {target.python_version}{needed}"
        pythons = _fitting(wanted[1])
    else:
        what = f"`{name}` has no wheel for Python {target.python_version}{needed}"
        pythons = [
            version for version in PYTHON_VERSIONS if f"`cp{version.replace('.', '')}`" in explanation.output
        ]
    pythons = [version for version in pythons if version != target.python_version]
    if needed:
        return _error(explanation, what, _another(line, pythons), line)
    return _error(explanation, what, _with_wheel(explanation, name, line, pythons), line)


def _fitting(specifier: str) -> list[str]:
    try:
        return [version for version in PYTHON_VERSIONS if SpecifierSet(specifier).contains(f"{version}.99")]
    except InvalidSpecifier:
        return []


def _another(line: RequirementLine | None, pythons: list[str]) -> str:
    text = f"`{line.text}`" if line else "what needs it"
    choose = f"Require another version instead of {text}"
    return f"{choose}, or build for another Python: `--python-version {pythons[-1]}`" if pythons else choose


def _with_wheel(
    explanation: Explanation, name: str, line: RequirementLine | None, pythons: list[str] | None = None
) -> str:
    """The remedy for a version that has no wheel for the target: the nearest one that has, or another Python."""
    version = _version(line, name)
    has = explanation.availability
    fitting = has.nearest(name, version) if version else has.newest(name)
    fitting = None if f"{name}=={fitting} " in explanation.text else fitting
    other = f"build for another Python: `--python-version {pythons[-1]}`" if pythons else ""
    if fitting:
        target = f"the nearest version with a wheel for {has.target.description}"
        return f"Require `{name}=={fitting}`, {target}" + (f", or {other}" if other else "")
    return other[:1].upper() + other[1:] or f"Remove `{name}`: no version of it has a wheel for the target"


def _version(line: RequirementLine | None, name: str) -> str | None:
    """The first version that a requirement of that name speaks of."""
    try:
        requirement = Requirement(line.text) if line else None
    except InvalidRequirement:
        return None
    if requirement is None or canonicalize_name(requirement.name) != name:
        return None
    return next((item.version.removesuffix(".*") for item in requirement.specifier), None)


def _no_usable_wheel(explanation: Explanation) -> ResolutionError | None:
    match = _NO_WHEEL.search(explanation.text)
    if match is None:
        return None
    name = canonicalize_name(match[1])
    line, by = explanation.asking(name)
    what = f"`{name}` has no wheel, and is not to be built from source" + (f"; `{by}` needs it" if by else "")
    newest = explanation.availability.newest(name)
    remedy = f"Require `{name}=={newest}`, which has one" if newest else f"Allow it: `--no-binary {name}`"
    settings = "take `only-binary` back where it is set (requirements.txt, pip.conf, `[tool.uv]`)"
    return _error(explanation, what, f"{remedy}, or {settings}", line)


def _yanked(explanation: Explanation) -> ResolutionError | None:
    match = _YANKED.search(explanation.text)
    if match is None:
        return None
    line, by = explanation.asking(match[2])
    name = line and Requirement(line.text).name
    version = match[1].partition("==")[2] or (_version(line, canonicalize_name(name)) if name else None)
    nearest = explanation.availability.nearest(name, version) if name and version else None
    what = f"`{match[1]}` was withdrawn by those who published it (yanked)" + (f"; `{by}` needs it" if by else "")
    remedy = f"Require `{name}=={nearest}`, the nearest version" if nearest else "Require another version"
    return _error(explanation, what, remedy, line)


def _no_version(explanation: Explanation) -> ResolutionError | None:
    match = _NO_VERSION.search(explanation.text)
    if match is None:
        return None
    name, has = canonicalize_name(next(filter(None, match.groups()))), explanation.availability
    line, by = explanation.asking(name)
    if by or line is None or len(_of_name(explanation, name)) > 1:
        return None
    version = _version(line, name)
    newest, nearest = has.newest(name), has.nearest(name, version) if version else None
    existing = [
        f"`{name}=={existing_version}`" for existing_version in dict.fromkeys(filter(None, (nearest, newest)))
    ]
    if not existing:
        return None
    others = f"the newest with a wheel for {has.target.description} is {existing[-1]}"
    if len(existing) > 1:
        others = f"the nearest is {existing[0]}, {others}"
    coming = has.newest(name, prereleases=True)
    if coming and f"`{name}=={coming}`" not in existing:
        others = f"{others}; its prerelease has to be named: `{name}=={coming}`"
    remedy = f"Require a version that exists: {others}"
    return _error(explanation, f"there is no `{line.text}`", remedy, line)


def _of_name(explanation: Explanation, name: str) -> list[RequirementLine]:
    return [
        line for line in explanation.required() if canonicalize_name(re.split(r"[^\w.-]", line.text)[0]) == name
    ]


def _conflict(explanation: Explanation) -> ResolutionError:
    lines = explanation.required()
    if len(lines) < 2:
        itself = re.search(r"^you require \S+ and \S+, which are incompatible", explanation.text)
        missing = re.search(r"there is no version of (\S+)", explanation.text)
        reason = "no version is all that it asks for" if itself else "its requirements contradict each other"
        if missing:
            reason = f"it needs `{missing[1]}`, which no index has; require another version of it"
        remedy = f"Change {explanation.place(lines[0])}: {reason}" if lines else None
        return _error(explanation, "the requirements cannot be resolved", remedy)
    places = [explanation.place(line) for line in lines[:4]]
    what = "the requirements contradict each other"
    return _error(explanation, what, f"Change one of {', '.join(places[:-1])} and {places[-1]}", lines[0])


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


_KINDS: Final[tuple[Callable[[Explanation], ResolutionError | None], ...]] = (
    *(_not_found, _yanked, _wrong_platform, _wrong_python, _no_usable_wheel, _no_version),
)
