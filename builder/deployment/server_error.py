"""An error of dagster's server while it loaded a location, cut to the user's own code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from builder.system.tracebacks import CutTraceback, RaisedError, chain, cut, find_site_packages, parse_stack

_KIND: Final = re.compile(r"(?:\w+\.)*(\w+)(?=: |:?$)")
_SITE_PACKAGES: Final = re.compile(r"(?P<site>.*/site-packages)/(?P<package>[^/]+)")


@dataclass(frozen=True, slots=True)
class ServerError:
    """GraphQL's `PythonError`.

    :param message: ends as Python ends a traceback, `module.ClassOfTheError: words`.
    :param stack: as `traceback.format_tb` gives it.
    :param chain: what it was raised from or met on the way, nearest first.
    """

    message: str
    stack: tuple[str, ...] = ()
    chain: tuple[ServerError, ...] = ()


def read_server_error(error: Mapping[str, Any]) -> ServerError:
    """A `PythonError` of a reply."""
    return ServerError(
        str(error.get("message") or ""),
        tuple(str(frame) for frame in error.get("stack") or ()),
        tuple(read_server_error(link.get("error") or {}) for link in error.get("errorChain") or ()),
    )


def cut_server_error(error: ServerError) -> CutTraceback:
    """What a user should see of it."""
    raised = _raised((error, *error.chain))
    return cut(raised, find_site_packages(raised) or _of_the_source_pex(raised))


def _raised(errors: Sequence[ServerError]) -> RaisedError:
    error, *below = errors
    message = error.message.strip("\n")
    return RaisedError(
        kind=_kind(message),
        message=message,
        frames=parse_stack(error.stack),
        cause=_raised(below) if below else None,
    )


def _kind(message: str) -> str:
    """The name of the error's class, which for a SyntaxError comes after the code."""
    lines = message.splitlines() or [""]
    match = _KIND.match(lines[-1] if lines[0].startswith("  File ") else lines[0])
    return match[1] if match else ""


def _of_the_source_pex(error: RaisedError) -> str:
    """The directory that the source PEX was unpacked to, which is the one with packages but without dagster.

    If it is not known, a directory without any files.
    """
    matches = [
        match for cause in chain(error) for frame in cause.frames if (match := _SITE_PACKAGES.match(frame.path))
    ]
    others = {match["site"] for match in matches if match["package"] in {"dagster", "dagster_cloud"}}
    return next((match["site"] for match in matches if others and match["site"] not in others), "/nowhere")
