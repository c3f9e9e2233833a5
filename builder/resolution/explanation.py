"""uv's explanation of a failed resolution, and which requirements of the project it rests on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from builder.errors import Origin
from builder.project.names import required_name
from builder.project.requirements_txt import RequirementLine
from builder.resolution.availability import Availability

NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_EXTRA: Final = r"(?:\[[^\]]*\])?"
_DEPENDS: Final = re.compile(rf"({NAME}){_EXTRA}(?:[<>=!~]\S*)? depends? on ({NAME})")
_INCLUDED: Final = re.compile(rf"`({NAME})`[^`]*was included because `({NAME})\b")
_REQUIRED: Final = re.compile(rf"(?:you require|the-project depends on) ({NAME})")
_LONGEST: Final = 5


@dataclass(frozen=True, slots=True)
class Explanation:
    """What uv says when it cannot resolve.

    :param output: all that it said.
    :param text: its explanation, in one line.
    :param shown: its explanation, shortened, as it is shown.
    """

    output: str
    text: str
    shown: str
    availability: Availability

    @property
    def directory(self) -> Path:
        """The project's."""
        return self.availability.requirements.directory

    @property
    def lines(self) -> tuple[RequirementLine, ...]:
        """All that the project requires, and the limits that it sets."""
        return (*self.availability.requirements.lines, *self.availability.requirements.constraints)

    def required(self) -> list[RequirementLine]:
        """The project's requirements that the explanation names, in its order."""
        # uv writes `you require X` for a declared requirement; other names in the text are dependencies.
        named = [*_REQUIRED.findall(self.text), *re.findall(NAME, self.text)]
        lines = (line for name in named for line in self.lines if required_name(line.text) == required_name(name))
        return list(dict.fromkeys(lines))

    def asking(self, name: str) -> tuple[RequirementLine | None, str | None]:
        """The project's requirement that a distribution is needed for, and the other one that needs it, if any."""
        own = next((line for line in self.lines if required_name(line.text) == canonicalize_name(name)), None)
        if own is not None:
            return own, None
        by = next(self._parents(canonicalize_name(name)), None)
        return next(iter(self.required()), None), by

    def _parents(self, name: str) -> Iterator[str]:
        for parent, child in _DEPENDS.findall(self.text):
            if canonicalize_name(child) == name:
                yield canonicalize_name(parent)
        for child, parent in _INCLUDED.findall(self.output):
            if canonicalize_name(child) == name:
                yield canonicalize_name(parent)

    def origin(self, line: RequirementLine | None) -> Origin:
        """Where a requirement stands; the project if it is not known."""
        return line.origin if line else Origin(self.directory)

    def place(self, line: RequirementLine) -> str:
        """A requirement and its place, in a sentence."""
        path = os.path.relpath(line.origin.path, self.directory)
        return f"`{line.text}` ({Origin(Path(path), line.origin.line)})"


def read_explanation(output: str, availability: Availability) -> Explanation:
    """Read what uv said on stderr."""
    return Explanation(output, " ".join(_own_words(output)), shorten(output), availability)


def _own_words(output: str) -> list[str]:
    """The explanation without uv's hints, which name options that the user cannot set, and its line labels."""
    kept = []
    for line in output.splitlines():
        if line.startswith("hint:"):
            break
        text = re.sub(r"^\s*(error|cause):\s*", "", line).strip()
        if text and not text.startswith(("No solution found when resolving", "warning:")):
            kept.append(text)
    return kept


def shorten(output: str) -> str:
    """The end of uv's explanation, as it is shown."""
    kept = _own_words(output)
    # The conclusion of a long explanation is at its end.
    return "\n".join(kept if len(kept) <= _LONGEST else ["…", *kept[-_LONGEST:]])
