"""Finding the unset environment variable that an error of the user's code is about."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Final

from builder.system.tracebacks import CutTraceback

_SAID: Final = re.compile(r'environment variable "?(\w+)"?,? (?:which )?is not set', re.IGNORECASE)
_KEY: Final = re.compile(r"KeyError: '(\w+)'")
_OF_OS: Final = {"os.py", "<frozen os>"}

_READ: Final = (
    r"(?:\bEnvVar(?:\.int)?|\bgetenv|\benviron\.get)"
    r"\(\s*(?P<quote>['\"])(?P<name>\w+)(?P=quote)\s*(?:,\s*None\s*)?\)"
)
"""A read without a default: of dagster's `EnvVar`, or of `os`. It gives None where the variable is not set."""
_READ_HERE: Final = re.compile(_READ)
_READ_INTO: Final = re.compile(rf"^\s*(?:\w+\.)?(?P<target>\w+)\s*(?::[^=\n]+)?=[^=].*?{_READ}", re.MULTILINE)


def unset_variable(
    cut: CutTraceback, texts: Iterable[str] = (), *, is_set: Callable[[str], bool] = lambda _name: False
) -> str | None:
    """The name of the variable that is missing; None if that is not certain.

    :param texts: of the project's modules, if they are known.
    :param is_set: whether the code had a variable.
    """
    root = cut.root
    last = root.frames[-1] if root.frames else None
    if last and last.function == "__getitem__" and PurePosixPath(last.path).name in _OF_OS:
        match = _KEY.match(root.message)
        return root.attributes.get("key") or (match[1] if match else None)
    if match := _SAID.search("\n".join([root.message, *cut.lines])):
        return match[1]
    if "NoneType" not in root.message:
        return None
    own = cut.lines[: cut.lines.index("which led to")] if "which led to" in cut.lines else cut.lines
    line = next((line for line in reversed(own) if line.startswith("  ")), "")
    read = [match["name"] for match in _READ_HERE.finditer(line)] or [
        match["name"]
        for text in texts
        for match in _READ_INTO.finditer(text)
        if re.search(rf"\b{match['target']}\b", line)
    ]
    unset = {name for name in read if not is_set(name)}
    return unset.pop() if len(unset) == 1 else None
