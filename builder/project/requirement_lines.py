"""Parsing one line of a requirements file: a path, a URL or a name."""

from __future__ import annotations

import os
import re
import urllib.parse
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement

from builder.errors import Origin, ProjectError
from builder.project.meant_requirements import remedy_for
from builder.project.requirements_txt import RequirementLine

# A path as in pip: `./x[extra] ; marker`. Brackets in a path are ambiguous in pip too.
LOCAL: Final = re.compile(r"(?P<path>[^;\[]+?)\s*(\[(?P<extras>[^\]]*)\])?\s*(;\s*(?P<marker>.+))?")
_URL: Final = re.compile(r"[a-z+]+://|[a-z]+\+\S+:|git@")
ARCHIVES: Final = (".whl", ".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz")


def local_part(line: RequirementLine) -> str | None:
    """The local path of a line, with extras and marker; None if the line has no path."""
    text = line.text
    named = re.fullmatch(r"[\w.-]+\s*(\[[^\]]*\])?\s*@\s*(?P<url>.+)", text)
    if named:
        url, separator, marker = named["url"].partition(";")
        extras = named[1] or ""
        local = url.startswith(("file:", "./", "../", "/"))
        return f"{url.rstrip()}{extras}{separator}{marker}" if local else None
    if text.startswith("file:"):
        return text.partition("#")[0]
    if _URL.match(text):
        return None
    path = text.partition("#")[0]
    if (
        line.editable
        or path.startswith((".", "/", "~"))
        or path.partition("[")[0].partition(";")[0].strip().endswith(ARCHIVES)
    ):
        return path
    # `libs/x` has a separator, which a name cannot have; URLs, which also have one, are handled above.
    return path if "/" in path.partition(";")[0].partition("[")[0].partition("@")[0] else None


def check_syntax(line: RequirementLine) -> None:
    """Raise ProjectError, with the line, for a text that is neither a URL nor a requirement (PEP 508)."""
    if re.match(r"python\s*([<>=!~;]|$)", line.text, re.IGNORECASE):
        raise ProjectError(
            f"`{line.text}` means Python itself, which is no package",
            where=line.origin,
            remedy="Remove that line: --python-version says for which Python is built",
        )
    try:
        required = None if _URL.match(line.text) else Requirement(line.text)
    except InvalidRequirement as error:
        problem = str(error).splitlines()[0]
        raise ProjectError(
            f"`{line.text}` is not a valid requirement: {problem}",
            where=line.origin,
            remedy=remedy_for(line.text),
        ) from error
    url = required.url if required else line.text
    if required and url and re.match(r"[\d^~<>=]|latest$", url):
        name, version = line.text.partition("@")[0].strip(), url.lstrip("^~<>=")
        meant = f"{name}=={version}" if version != "latest" else name
        raise ProjectError(f"`{url}` behind `@` is no URL", where=line.origin, remedy=f"Write `{meant}`")
    if url:
        _check_git(url, line.origin)


def _check_git(url: str, where: Origin) -> None:
    """Raise ProjectError for the address of a git repository that lacks `git+`, or is in git's own syntax."""
    if re.fullmatch(r"https://git(?:hub|lab)\.com/[\w.-]+/[\w.-]+/?(?:#.*)?", url):
        raise ProjectError(
            f"`{url}` is a git repository, and no archive", where=where, remedy=f"Write `git+{url}`"
        )
    if match := re.fullmatch(r"(?:(?:git\+)?ssh://)?git@([\w.-]+):(?!\d+/).+", url):
        what = f"`{url}` is an address as `git clone` takes it, and no URL"
        remedy = f"Begin it with `git+ssh://`, and write `/` in place of the colon behind `{match[1]}`"
        raise ProjectError(what, where=where, remedy=remedy)


def path_of_url(url: str, base: Path) -> Path:
    """The path of a `file:` URL, which may be relative to `base`, without a fragment such as `#egg=x`.

    `${PROJECT_ROOT}` stands for `base`, as in pdm and uv.
    """
    parsed = urllib.parse.urlsplit(url.replace("${PROJECT_ROOT}", urllib.parse.quote(str(base))))
    path = os.path.normpath(base / urllib.parse.unquote(parsed.path))
    # POSIX preserves two leading slashes, as in `file:///${PROJECT_ROOT}`.
    return Path(f"/{path.lstrip('/')}" if path.startswith("//") else path)


def extras_of(text: str) -> list[str]:
    """The extras that a requirement asks for."""
    match = re.match(r"[\w.-]+\s*\[([^\]]*)\]", text)
    return [extra.strip() for extra in match[1].split(",")] if match else []


def same_requirement(one: str, other: str) -> bool:
    """Whether two requirements of one name are equivalent."""
    first, second = Requirement(one), Requirement(other)
    return (first.specifier, first.extras, first.url) == (second.specifier, second.extras, second.url)


def pins(text: str, other: str = "") -> bool:
    """Whether a requirement pins one version, which another requirement of the same name also allows."""
    specifiers = list(Requirement(text).specifier)
    if len(specifiers) != 1 or specifiers[0].operator not in {"==", "==="} or specifiers[0].version.endswith(".*"):
        return False
    allowed = Requirement(other) if other else None
    return allowed is None or (
        allowed.url is None and allowed.specifier.contains(specifiers[0].version, prereleases=True)
    )
