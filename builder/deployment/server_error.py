"""An error of dagster's server while it loaded a location, cut to the user's own code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from builder.system.tracebacks import (
    WRAPPERS,
    CutTraceback,
    RaisedError,
    chain,
    cut,
    find_site_packages,
    parse_stack,
)

_TRANSPORT: Final = frozenset(
    {"DagsterUserCodeUnreachableError", "_InactiveRpcError", "_MultiThreadedRendezvous", "AioRpcError"}
)
"""Errors of a call to the code server, which say nothing of the user's code themselves."""

_CARRIERS: Final = WRAPPERS | _TRANSPORT

_CALL: Final = re.compile(
    r'RPC that terminated with:\n\s*status = (?P<status>\S+)\n\s*details = "(?P<details>.*?)"\n'
    r"\s*(?:debug_error_string = |>)",
    re.DOTALL,
)
_OF_CODE_SERVER: Final = re.compile("(?:Code server failed|Exception calling application): ")
"""Before what the code server has said (`dagster_cloud/pex/grpc/server/server.py`, and gRPC itself)."""

_IS_CALL: Final = re.compile(r"(?:[\w.]+: )?<\w+ of RPC that ")

_LOGGED: Final = re.compile(r"Traceback \(most recent call last\):\n(?P<stack>(?:[ \t].*\n)+)(?P<message>\w.*)")
"""What Python prints of an error, in the log that an agent quotes."""

_JOINT: Final = re.compile(
    r"\s*\nThe above exception (?:was caused by|occurred during handling of) the following exception:\n"
)
_ENTRY: Final = re.compile(r'(?m)^(?=  File ")')
_QUOTED: Final = re.compile(r"\b(?:\w+\.)*(\w*(?:Error|Exception|Exit))(?=: )")
_PLACE: Final = re.compile(r"(?:^|\n|: )(?P<place>  File \"[^\"]*\", line \d+\n)")
"""Before the words of a SyntaxError."""

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
    """What a user should see of it: what speaks of the user's code, wherever in message and chain that stands."""
    parts = [part for link in (error, *error.chain) for part in _parts(link)]
    if all(part.kind in _CARRIERS for part in parts):
        parts = [_carried(part) for part in parts]
    if any(part.kind not in _CARRIERS for part in parts):
        parts = [part for part in parts if part.kind not in _TRANSPORT]
    raised = _raised(parts)
    return cut(raised, find_site_packages(raised) or _of_the_source_pex(raised))


def _parts(error: ServerError) -> list[RaisedError]:
    """An error and those that its message tells of with their tracebacks, each without its cause."""
    message = error.message.strip("\n")
    frames = parse_stack(error.stack)
    kind = _kind(message)
    if kind == "Exception" and (logged := list(_LOGGED.finditer(message))):
        # An agent's, of a process that ended, or did not answer in time.
        return [_logged(match) for match in reversed(logged)]
    call = _CALL.search(message)
    failed = _OF_CODE_SERVER.match(call["details"]) if call else None
    if call and (failed or _IS_CALL.match(message)):
        rest = _rendered(call["details"][failed.end() :]) if failed else ()
        return [RaisedError(kind=kind, message=_short(kind, call)), *rest]
    first, *others = _rendered(message)
    return [replace(first, frames=(*frames, *first.frames)), *others]


def _rendered(text: str) -> Iterator[RaisedError]:
    """The errors of a text as dagster's `SerializableErrorInfo.to_string` makes it, nearest first."""
    for piece in _JOINT.split(text):
        message, _, stack = piece.partition("Stack Trace:\n")
        message = message.strip("\n")
        kind = _kind(message)
        if _IS_CALL.match(message) and (call := _CALL.search(message)):
            message = _short(kind, call)
        yield RaisedError(kind=kind, message=message, frames=parse_stack(_ENTRY.split(stack)[1:]))


def _short(kind: str, call: re.Match[str]) -> str:
    return f"{kind}: {call['status']}: {call['details'].partition(chr(10))[0]}"


def _logged(match: re.Match[str]) -> RaisedError:
    entries = _ENTRY.split(match["stack"])[1:]
    message = match["message"]
    if _kind(message) == "SyntaxError" and entries:
        # The place of a SyntaxError looks like one more call.
        message = entries.pop() + message
    return RaisedError(kind=_kind(message), message=message, frames=parse_stack(entries))


def _carried(error: RaisedError) -> RaisedError:
    """The error that another one's message quotes; the other one itself if it quotes none."""
    quoted = (match for match in _QUOTED.finditer(error.message) if match[1] not in _CARRIERS)
    if match := next(quoted, None):
        place = _PLACE.search(error.message, 0, match.start())
        start = place.start("place") if place else match.start()
        return replace(error, kind=match[1], message=error.message[start:])
    return error


def _raised(parts: Sequence[RaisedError]) -> RaisedError:
    error, *below = parts
    return replace(error, cause=_raised(below) if below else None)


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
