"""What can go wrong between a client and Dagster Cloud, and when it is to go wrong."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Status:
    """Any request: this HTTP status, with an answer that says nothing else (XML from storage, else text)."""

    code: int
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Reset:
    """Any request: the connection is reset (RST) when half of the body is through.

    A PUT is reset after half of it was read, a GET after half of it was sent, GraphQL before an answer.
    """


@dataclass(frozen=True, slots=True)
class Hang:
    """Any request: it is accepted and never answered; `reading` says whether its body is read."""

    reading: bool = True


@dataclass(frozen=True, slots=True)
class LostReply:
    """Any request: what it asks for is done, then the connection ends without an answer."""


@dataclass(frozen=True, slots=True)
class Truncate:
    """PUT: half is stored and the answer is 200. GET: half is sent of what Content-Length announces."""


@dataclass(frozen=True, slots=True)
class Corrupt:
    """PUT: as many bytes as were sent, but others, are stored; the answer is 200. GET: other bytes are sent.

    :param one_byte: only one byte is another, in the first half.
    """

    one_byte: bool = False


@dataclass(frozen=True, slots=True)
class Lose:
    """PUT: nothing is stored and the answer is 200. GET: the object is not found."""


@dataclass(frozen=True, slots=True)
class ExpiredUrl:
    """URLs: rightly signed, but an hour too old."""


@dataclass(frozen=True, slots=True)
class NullUrl:
    """URLs: `{"url": null}` for this file."""


@dataclass(frozen=True, slots=True)
class FewerUrls:
    """URLs: this file is left out of the list."""


@dataclass(frozen=True, slots=True)
class GraphQLErrors:
    """GraphQL: `errors` and no data, as when a resolver of the server fails."""

    message: str = "Internal Server Error (Trace ID: 1234)"


@dataclass(frozen=True, slots=True)
class NullData:
    """GraphQL: `{"data": null}` without errors."""


@dataclass(frozen=True, slots=True)
class Maintenance:
    """GraphQL: the reply of a server that is being maintained; times in seconds."""

    message: str = "Dagster Cloud is being upgraded"
    timeout: float = 60
    retry_interval: float = 1


@dataclass(frozen=True, slots=True)
class InvalidLocation:
    """A mutation: InvalidLocationError."""

    errors: tuple[str, ...] = ("the location is not valid",)


@dataclass(frozen=True, slots=True)
class Unauthorized:
    """A mutation: UnauthorizedError."""

    message: str = "This token may not deploy"


@dataclass(frozen=True, slots=True)
class PythonError:
    """A field that can answer so, or the load error of a location: dagster's PythonError.

    :param chain: the errors that led to it, outermost first, as (explicit, error).
    """

    message: str = "Exception: it is broken\n"
    stack: tuple[str, ...] = ('  File "/venvs/0/dagster/grpc.py", line 1, in load\n    broken()\n',)
    chain: tuple[tuple[bool, PythonError], ...] = ()

    def answer(self) -> dict[str, Any]:
        """As GraphQL objects."""
        links = [{"isExplicitLink": explicit, "error": error.answer()} for explicit, error in self.chain]
        return {
            "__typename": "PythonError",
            "message": self.message,
            "stack": list(self.stack),
            "errorChain": links,
        }


ANYWHERE = (Status, Reset, Hang, LostReply)
ON_STORAGE = (*ANYWHERE, Truncate, Corrupt, Lose)
ON_GRAPHQL = (*ANYWHERE, GraphQLErrors, NullData, Maintenance)
ON_FIELDS = (InvalidLocation, Unauthorized, PythonError)
ON_URLS = (ExpiredUrl, NullUrl, FewerUrls)

Fault = (
    Status | Reset | Hang | LostReply | Truncate | Corrupt | Lose | ExpiredUrl | NullUrl | FewerUrls
    | GraphQLErrors | NullData | Maintenance | InvalidLocation | Unauthorized | PythonError
)  # fmt: skip


@dataclass(slots=True)
class _Planned:
    on: str
    fault: Fault
    name: str
    times: int | None
    after: int
    used: bool = False


@dataclass(slots=True)
class FaultPlan:
    """Which faults are still due."""

    _planned: list[_Planned] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, on: str, fault: Fault, *, name: str = "*", times: int | None = None, after: int = 0) -> None:
        """Do `fault` to what `on` and `name` match: so many times, or always, once `after` of them went well.

        :param on: see `CloudServer.inject`.
        :param name: a pattern (fnmatch) of the names of files, locations or deployments that it concerns.
        """
        with self._lock:
            self._planned.append(_Planned(on, fault, name, times, after))

    def unused(self) -> list[Fault]:
        """Those that were never due."""
        with self._lock:
            return [planned.fault for planned in self._planned if not planned.used]

    def clear(self) -> None:
        """From now on everything goes well."""
        with self._lock:
            self._planned.clear()

    def due(
        self, labels: Collection[str], names: Iterable[str] = (), kinds: type[Fault] | tuple[type[Fault], ...] = ()
    ) -> Fault | None:
        """The fault that is due for something that these labels and names describe; None if there is none.

        :param kinds: only faults of these kinds; all if there are none.
        """
        wanted = tuple(names)
        with self._lock:
            for planned in self._planned:
                if planned.on not in labels or planned.times == 0:
                    continue
                if kinds and not isinstance(planned.fault, kinds):
                    continue
                if planned.name != "*" and not any(fnmatch.fnmatchcase(name, planned.name) for name in wanted):
                    continue
                if planned.after:
                    planned.after -= 1
                    continue
                if planned.times is not None:
                    planned.times -= 1
                planned.used = True
                return planned.fault
        return None
