"""Errors for requirements from git, a URL or an sdist that uv cannot fetch or build."""

from __future__ import annotations

import re
import urllib.parse
from typing import Final

from packaging.utils import canonicalize_name

from builder.errors import BuilderError, FetchError, ResolutionError, SdistBuildError
from builder.project.names import required_name
from builder.project.requirements_txt import RequirementLine
from builder.resolution.availability import Availability
from builder.resolution.built_wheel import last_words
from builder.resolution.explanation import NAME, Explanation
from builder.resolution.unreachable import silent_host

_GIT: Final = re.compile(r"Git operation failed")
_DIRECT: Final = re.compile(rf"`({NAME})(?:\[[^\]]*\])? @ ([^`]+)`")
_BROKEN: Final = re.compile(r"Failed to extract archive: (\S+)")
_STATUS: Final = re.compile(r"HTTP status \w+ error \((\d+ [^)]*)\) for url \(([^)]*)\)")
_FAILED: Final = re.compile(rf"(?:Failed to build|Failed to download and build) `({NAME})(==[^`\s]+)?")
_RENAMED: Final = re.compile(r"Did you mean to install `([^`]+)` instead")
_NO_REF: Final = re.compile(
    r"couldn't find remote ref|failed to find branch|not find|not our ref|did not match|unadvertised"
)
_NO_REPOSITORY: Final = re.compile(
    r"repository .*not found|Authentication failed|could not read Username|Permission denied|does not appear to be"
    r"|terminal prompts disabled|returned error: 40[134]|does not exist",
    re.IGNORECASE,
)


def git_refusal(explanation: Explanation) -> BuilderError | None:
    """The error for a git repository that cannot be had, if that is what uv says."""
    if not _GIT.search(explanation.output):
        return None
    line = _line(explanation)
    url = line.text.partition("@")[2].strip() if line else "it"
    where, name = explanation.origin(line), _name(line)
    words = [text for text in explanation.output.splitlines() if "fatal:" in text or "cause: failed" in text]
    detail = "\n".join(text.strip().removeprefix("cause: ") for text in words[-3:])
    host = silent_host(explanation.output)
    if host is not None:
        return FetchError(
            f"the git repository of `{name}` cannot be reached: `{host}` does not answer",
            where=where,
            detail=detail,
            remedy=f"Check the address `{url}`, the network and the proxy, then run it again",
        )
    ref = re.search(r"\.git@([^#]+)|@([^@/#]+)(?:#|$)", url)
    wanted = next(filter(None, ref.groups())) if ref else ""
    if wanted and not _NO_REPOSITORY.search(explanation.output):
        what = f"the git repository of `{name}` has no branch, tag or commit `{wanted}`"
        remedy = f"Correct `@{wanted}`; `git ls-remote {_repository(url)}` lists what there is"
        return ResolutionError(what, where=where, detail=detail, remedy=remedy)
    return FetchError(
        f"the git repository of `{name}` does not exist, or may not be read from here",
        where=where,
        detail=detail,
        remedy=f"Check that `git ls-remote {_repository(url)}` works here; a private repository takes a key or a"
        " token in git's own configuration",
    )


def _repository(url: str) -> str:
    bare = url.removeprefix("git+").partition("#")[0]
    head, at, ref = bare.rpartition("@")
    return head if at and "/" not in ref and "://" in head else bare


def archive_refusal(explanation: Explanation) -> BuilderError | None:
    """The error for a wheel or sdist that is damaged, if that is what uv says."""
    broken = _BROKEN.search(explanation.output)
    if broken is None:
        return None
    direct = _DIRECT.search(explanation.output)
    local = direct is not None and direct[2].startswith("file:")
    return FetchError(
        f"`{broken[1]}` is damaged: it is no whole archive",
        where=explanation.origin(_line(explanation)),
        detail=explanation.shown,
        remedy="Replace the file by an intact one" if local else "Have its publisher replace it by an intact one",
    )


def url_refusal(explanation: Explanation) -> BuilderError | None:
    """The error for a URL that a requirement names and that cannot be fetched, if that is what uv says."""
    direct = _DIRECT.search(explanation.output)
    if direct is None or "Failed to download `" not in explanation.output:
        return None
    line = _line(explanation)
    host = urllib.parse.urlsplit(direct[2]).hostname or ""
    if refused := _STATUS.search(explanation.output):
        what = f"`{host}` does not give out `{direct[2].rpartition('/')[2]}` ({refused[1]})"
        remedy = (
            f"Correct the URL: `curl -I {direct[2]}` shows what it gives; what is private may be answered so, too,"
            " where no user name and password are known for its host (docs/indexes.md)"
            if refused[1].startswith("404")
            else "Check the URL, and who may read it"
        )
    elif re.search(r"error sending request|dns error|timed out", explanation.output):
        what = f"`{host}` does not answer"
        remedy = "Check the URL, the network and the proxy, then run it again"
    else:
        what = f"what `{direct[1]}` names cannot be read"
        remedy = "Check that the URL is that of a wheel or an sdist, and that it is whole"
    return FetchError(what, where=explanation.origin(line), detail=explanation.shown, remedy=remedy)


def _line(explanation: Explanation) -> RequirementLine | None:
    direct = _DIRECT.search(explanation.output)
    name = canonicalize_name(direct[1]) if direct else ""
    return next((line for line in explanation.lines if required_name(line.text) == name), None)


def _name(line: RequirementLine | None) -> str:
    return required_name(line.text) if line else "a requirement"


def source_refusal(explanation: Explanation) -> BuilderError | None:
    """The error for an sdist that has to be built to be asked for its requirements, and cannot be built."""
    failed = _FAILED.search(explanation.output)
    if failed is None:
        return None
    name = canonicalize_name(failed[1])
    line, by = explanation.asking(name)
    needed = f", which `{by}` needs" if by else ""
    # uv indents the output of the build.
    output = re.sub(r"(?m)^((hint|warning): .*$| {9})", "", explanation.output)
    return SdistBuildError(
        f"`{failed[1]}{failed[2] or ''}`{needed} has no wheel for {explanation.availability.target.description},"
        " and cannot be built",
        where=explanation.origin(line),
        detail=last_words(output),
        remedy=_remedy(explanation, name, (failed[2] or "").removeprefix("=="), output),
    )


def _remedy(explanation: Explanation, name: str, version: str, output: str) -> str:
    if renamed := _RENAMED.search(explanation.output):
        return f"Require `{renamed[1]}` instead of `{name}`"
    return build_remedy(explanation.availability, name, version, output, explanation.asking(name)[0])


def build_remedy(
    availability: Availability, name: str, version: str, output: str, line: RequirementLine | None
) -> str:
    """What to do about an sdist that cannot be built here.

    :param output: of the build.
    :param line: the project's requirement that it is needed for.
    """
    if (host := silent_host(output)) is not None:
        called = f"`{host}`" if host else "a host"
        reaching = f"The build of `{name}` downloads from {called}, which does not answer: check network and proxy"
    else:
        reaching = ""
    if not reaching and (platform := availability.only_platform(name)):
        return only_there(line, *platform)
    nearest = availability.nearest(name, version) if version else availability.newest(name)
    target = availability.target.description
    other = f"equire `{name}=={nearest}`, the nearest version with a wheel for {target}" if nearest else ""
    if reaching:
        return f"{reaching}, or r{other}" if other else reaching
    return f"R{other}" if other else f"Build on a machine that has what the build of `{name}` asks for"


def only_there(line: RequirementLine | None, marker: str, called: str) -> str:
    """The remedy for a distribution that only another platform has."""
    if line is None:
        return f"Require it only where it exists: `; sys_platform == '{marker}'`"
    text = f"{line.text.partition(';')[0].strip()} ; sys_platform == '{marker}'"
    return f"Write `{text}`: it is then left out here, and installed on {called}"
