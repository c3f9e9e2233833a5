"""Guessing the requirement that a text in the syntax of a shell, conda, poetry or a word processor stands for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement

_TYPED: Final = str.maketrans(
    {
        **dict.fromkeys("\u201c\u201d\u201e\u2033\u201f\xab\xbb", '"'),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032", "'"),
        **dict.fromkeys("\u2010\u2011\u2013\u2014\u2212", "-"),
        "\u2265": ">=",
        "\u2264": "<=",
        "\u2260": "!=",
        "\xa0": " ",
        "\uff0c": ",",
    }
)
"""Typographic quotes, hyphens and signs of word processors."""

_COMMAND: Final = re.compile(
    r"[!%$]?\s*(?:sudo\s+)?(?:python[\d.]*\s+-m\s+)?(?:uv\s+)?"
    r"(?:pip[\d.]*|uv|poetry|pipenv|pdm|conda|mamba)\s+(?:install|add)\s+"
)
_OPTION: Final = re.compile(r"(?:^|\s)--?[a-zA-Z][\w-]*(?:=\S+)?")
_NAME: Final = r"(?P<name>[A-Za-z0-9][\w.-]*(?:\[[^\]]*\])?)"
_VERSION: Final = r"v?(?P<version>\d[\w.+!*-]*)"

_POETRY: Final = re.compile(
    rf"{_NAME}\s*(?:=\s*(?P<quote>[\"'])(?P<constraint>[^\"']+)(?P=quote)"
    r"|=\s*\{.*?version\s*=\s*[\"'](?P<inline>[^\"']+)[\"'].*\}|\s*(?P<bare>[\^~]\s*\d[\w.]*))"
)
"""`pandas = "^2.0"`, `pandas = { version = "^2.0" }`, `pandas^2.0`."""

_LATEST: Final = re.compile(rf"{_NAME}\s*(?:={{1,3}}|@|:|\s)\s*[\"']?(?:latest|newest|\*)[\"']?", re.IGNORECASE)
_CONDA: Final = re.compile(rf"(?:[\w.-]+::)?{_NAME}\s*=\s*{_VERSION}(?:=\S+)?")
"""`pandas=2.1=py311_0`, in which 2.1 means 2.1.*."""

_PLAIN: Final = re.compile(rf"{_NAME}(?:\s+|\s*[@:]\s*){_VERSION}")
"""`pandas 2.0`, `pandas@2.0`."""

_PARTS_OF_A_PREFIX: Final = 2
_MOST: Final = 10
"""Maximum number of requirements on one line."""


def remedy_for(text: str) -> str:
    """The remedy for a text that is not a requirement (PEP 508): what to write instead."""
    meant = likely(text)
    if len(meant) > 1:
        return f"Write each by itself: {', then '.join(f'`{one}`' for one in meant)}"
    if meant:
        return f"Write `{meant[0]}`"
    return "Write it as PEP 508 says, such as `pandas>=2`, or remove it if it is no requirement"


def likely(text: str) -> tuple[str, ...]:
    """The requirements that a text probably stands for; none if that is not clear."""
    typed = re.sub(r"^-\s*", "", text.translate(_TYPED).strip())
    command = _COMMAND.match(typed)
    typed = _OPTION.sub(" ", typed[command.end() :]).strip() if command else typed
    whole = _one(typed)
    if whole:
        return (whole,)
    # Commas and blanks within brackets, and after operators, do not separate requirements.
    words = (
        [] if typed.startswith(("import ", "from ")) else re.split(r"(?<![<>=~!,])[,\s]+(?=[\"']?[A-Za-z])", typed)
    )
    meant = [_one(word) for word in words[: _MOST + 1] if word]
    return tuple(one for one in meant if one) if all(meant) and 1 < len(meant) <= _MOST else ()


def _one(text: str) -> str | None:
    for candidate in _candidates(text.strip().strip(",").strip()):
        try:
            return str(Requirement(candidate))
        except InvalidRequirement:
            continue
    return None


def _candidates(text: str) -> Iterator[str]:
    """The requirements that a text may stand for, the most likely first."""
    yield text
    if (quoted := re.fullmatch(r"([\"'])(.*)\1", text)) and text[0] not in quoted[2]:
        yield from _candidates(quoted[2].strip())
    if match := _LATEST.fullmatch(text):
        yield match["name"]
    if match := _POETRY.fullmatch(text):
        constraint = match["constraint"] or match["inline"] or match["bare"]
        yield f"{match['name']}{_of_poetry(constraint)}"
    if match := _CONDA.fullmatch(text):
        yield f"{match['name']}=={_prefix(match['version'])}"
    if match := _PLAIN.fullmatch(text):
        yield f"{match['name']}=={match['version']}"
    operators = re.sub(r"={1,2}([<>])=?", r"\1=", re.sub(r"(?<==)\s*[\"'](.*?)[\"']", r"\1", text))
    operators = re.sub(r"(?<![=<>!~])=(?!=)", "==", operators)
    yield operators
    versions = re.sub(r"\.[xX]\b", ".*", re.sub(r"\.+(?=\s*(?:[,;]|$))", "", operators))
    yield versions
    yield re.sub(r"((?<![=!~])[<>]=?\s*[\d.]+?)\.\*", r"\1", versions)


def _prefix(version: str) -> str:
    """A version of conda's `=`: a short one means all versions that begin with it."""
    short = re.fullmatch(r"[\d.]+", version) and version.count(".") < _PARTS_OF_A_PREFIX
    return f"{version}.*" if short else version


def _of_poetry(constraint: str) -> str:
    # Its import takes as long as all others together.
    from poetry.core.constraints.version import exceptions, parse_constraint  # noqa: PLC0415

    if constraint.lstrip()[:1] not in {"^", "~"}:
        return constraint if constraint[:1] in set("<>=!") else f"=={constraint}"
    try:
        return str(parse_constraint(constraint))
    except exceptions.ParseConstraintError:
        return constraint
