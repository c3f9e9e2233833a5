"""The PEX registry: files under content-based names, and records of which file belongs to which lock.

A location whose PEX file is missing or truncated cannot start. So a file counts as published only after it was
read back, and a record is used only after its file was checked.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self, TypeVar

from builder.errors import CloudError, Notice, PublishError
from builder.publishing.comparison import ReadBack, certain_difference, compare
from builder.publishing.records import LIMIT, InvalidRecordError, Record, parse_record, record_name
from builder.publishing.remote_zip import DistributionSize, central_directory, distribution_sizes
from builder.publishing.transfer import PresignedUrl, Transfers, file_content
from builder.system import process
from builder.system.http import Deadline, HttpError
from builder.system.storage import Artefact

Method = Literal["PUT", "GET"]

FILES_AT_ONCE: Final = 4
"""How many files are transferred at the same time."""
_SENDINGS: Final = 2
_OPTIONAL_SECONDS: Final = 15.0
"""Seconds that an optional query may take."""
_RECORD_SECONDS: Final = 30.0
"""Seconds that reading or writing a record may take: a record only saves work."""
_DIRECTORY_LIMIT: Final = 1 << 26
_AGAIN: Final = "Run it again; what has arrived is not sent again"

T = TypeVar("T")
R = TypeVar("R")


class NoUrl(CloudError):
    """A file got no URL; others may."""


UrlSource = Callable[[Sequence[str], Method], Sequence[str]]
"""Returns presigned URLs for one method, in the order of the files' names; raises CloudError."""


@dataclass(frozen=True, slots=True)
class Published:
    """A file that is complete in the registry.

    :param size: in bytes.
    :param sent: whether it was sent now, instead of being there already.
    :param seconds: that it took.
    """

    name: str
    size: int
    sent: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class CachedDeps:
    """A deps PEX of the registry that a record names.

    :param name: the file's name in the registry, `deps-….pex`.
    :param size: in bytes.
    :param dagster_version: that it brings.
    :param sha256: of its bytes, hexadecimal; the existing tool's records do not have it.
    """

    name: str
    size: int
    dagster_version: str
    sha256: str | None


_AGAIN_WITHOUT_RECORD: Final = "Run it again with --force-rebuild-deps, which builds it instead"


class PexRegistry:
    """The PEX registry of a deployment. To be used as a context manager.

    :param urls: the source of presigned URLs.
    :param timeout: seconds that each file may take in all.

    Raises NetworkError if the environment's proxy or certificates cannot be used.
    """

    def __init__(self, urls: UrlSource, *, check: ReadBack = ReadBack.TAIL, timeout: float = 600) -> None:
        self._urls = urls
        self._urls_lock = threading.Lock()
        self._check = check
        self._timeout = timeout
        self._transfers = Transfers(FILES_AT_ONCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._transfers.__exit__()

    def look(self, file: Artefact) -> Published | Absent | None:
        """Check whether a file is there, without sending it; None if that fails: `publish` reports why."""
        deadline = Deadline(min(self._timeout, _OPTIONAL_SECONDS))
        try:
            [source] = self._links([file.name], "GET").values()
            state = self._ask(file, source, self._check, deadline)
            if isinstance(state, Published):
                return state
            if isinstance(state, _Missing):
                [target] = self._links([file.name], "PUT").values()
                return Absent(state, source, target)
        except CloudError:
            pass
        return None

    def publish(
        self,
        artefacts: Sequence[Artefact],
        progress: Callable[[str, int], None],
        *,
        check: ReadBack | None = None,
        looked: Published | Absent | None = None,
    ) -> dict[str, Published | PublishError]:
        """Upload these files, several at once; returns the result of each by name.

        Complete files in the registry are not sent again. Raises CloudError if no URLs are available.

        :param check: how present files are compared; None for the registry's own setting.
        :param looked: what `look` found of the only file.
        :param progress: called with a file's name and the number of bytes sent, from several threads; restarts at
            0 with each attempt.
        """
        # Largest first, so that no large file starts last and finishes alone.
        files = sorted({file.name: file for file in artefacts}.values(), key=lambda file: -file.size)
        if not files:
            return {}
        if looked:
            [file] = files
            return {file.name: self._as_looked(looked, progress)}
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            links, failed = self._known([file.name for file in files], "GET")
            asked = _each(
                pool,
                lambda file: self._ask(file, links[file.name], check or self._check, Deadline(self._timeout)),
                [file for file in files if file.name in links],
            )
            done = {state.name: state for state in asked if isinstance(state, Published)}
            failed |= {state.file.name: state.error for state in asked if isinstance(state, _Failed)}
            missing = {state.file.name: state for state in asked if isinstance(state, _Missing)}
            if missing and not process.stopping.is_set():
                targets, without = self._known(list(missing), "PUT")
                failed |= without
                sent = _each(
                    pool,
                    lambda state: self._send(state, links[state.file.name], targets[state.file.name], progress),
                    [state for name, state in missing.items() if name in targets],
                )
            else:
                sent = [
                    _Failed(state.file, _error(state.file.name, "it was stopped")) for state in missing.values()
                ]
        for state in sent:
            if isinstance(state, Published):
                done[state.name] = state
            else:
                failed[state.file.name] = state.error
        return {file.name: done.get(file.name) or failed[file.name] for file in artefacts}

    def _as_looked(
        self, looked: Published | Absent, progress: Callable[[str, int], None]
    ) -> Published | PublishError:
        if isinstance(looked, Published):
            return looked
        if process.stopping.is_set():
            return _error(looked.missing.file.name, "it was stopped")
        sent = self._send(looked.missing, looked.source, looked.target, progress)
        return sent if isinstance(sent, Published) else sent.error

    def _known(
        self, names: Sequence[str], method: Method
    ) -> tuple[dict[str, PresignedUrl], dict[str, PublishError]]:
        """The presigned URLs of files, and the errors of files without one."""
        try:
            return self._links(names, method), {}
        except NoUrl as error:
            if len(names) == 1:
                return {}, {names[0]: _error(names[0], error.what, remedy=error.remedy)}
        # The received URLs may not be in the order of the names.
        known = [self._known([name], method) for name in names]
        return (
            {name: link for links, _ in known for name, link in links.items()},
            {name: error for _, errors in known for name, error in errors.items()},
        )

    def find_deps(self, identity: str, tag: str) -> tuple[CachedDeps | None, tuple[Notice, ...]]:
        """The deps PEX that is recorded for a lock's identity under a cache tag, if the registry has it complete.

        The notice says why an existing record is not used.
        """
        name = record_name(identity, tag)
        deadline = Deadline(min(self._timeout, _RECORD_SECONDS))
        try:
            [link] = self._links([name], "GET").values()
            content = self._transfers.read(link, LIMIT, deadline)
            if content is None:
                return None, ()
            record = parse_record(content)
            return self._checked(record, deadline), ()
        except CloudError as error:
            reason = error.what
        except (HttpError, InvalidRecordError) as error:
            reason = str(error)
        text = f"the record of cached dependencies `{name}` is not used: {reason}; they are built"
        return None, (Notice(text, is_note=True),)

    def record_deps(self, identity: str, tag: str, deps: CachedDeps) -> None:
        """Record which deps PEX serves a lock under a cache tag; raises PublishError.

        Call it only when that file is complete in the registry.
        """
        name = record_name(identity, tag)
        fields = {"deps_pex_name": deps.name, "dagster_version": deps.dagster_version, "size": deps.size}
        content = json.dumps({**fields, **({"sha256": deps.sha256} if deps.sha256 else {})}).encode()
        deadline = Deadline(min(self._timeout, _RECORD_SECONDS))
        try:
            [source] = self._links([name], "GET").values()
            [target] = self._links([name], "PUT").values()
            for _ in range(_SENDINGS):
                self._transfers.put(target, lambda: [content], len(content), deadline)
                if self._transfers.read(source, LIMIT, deadline, renewals=1) == content:
                    return
        except CloudError as error:
            raise _error(name, error.what, remedy=error.remedy) from error
        except HttpError as error:
            raise _error(name, str(error), remedy=error.remedy) from error
        raise _error(name, "it was sent twice, but the registry does not have it as it was sent")

    def sizes(self, names: Sequence[str]) -> dict[str, int | None]:
        """The sizes of files in the registry, in bytes; None for a file that is missing or cannot be queried."""
        deadline = Deadline(min(self._timeout, _OPTIONAL_SECONDS))
        links = self._links(names, "GET")

        def ask(name: str) -> int | None:
            try:
                stored = self._transfers.stat(links[name], deadline)
            except HttpError:
                return None
            return stored.size if stored else None

        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            return dict(zip(names, _each(pool, ask, names), strict=True))

    def lacks(self, names: Sequence[str]) -> list[str]:
        """The files that are missing or truncated in the registry.

        Raises PublishError or CloudError if that cannot be determined.
        """
        deadline = Deadline(self._timeout)
        links = self._links(names, "GET")
        missing = []
        for name in names:
            try:
                stored = self._transfers.stat(links[name], deadline)
            except HttpError as error:
                what = f"it is not known whether the registry has `{name}`: {error}"
                raise PublishError(what, remedy=error.remedy) from error
            if stored is None or central_directory(stored.tail, stored.size) is None:
                missing.append(name)
        return missing

    def fetch(self, deps: CachedDeps, directory: Path, progress: Callable[[str, int], None]) -> Path:
        """Download and verify a deps PEX from `find_deps`; raises PublishError, CloudError or StorageError."""
        path = directory / deps.name
        try:
            [link] = self._links([deps.name], "GET").values()
            deadline = Deadline(self._timeout)
            sha256 = self._transfers.save(link, path, deadline, lambda taken: progress(deps.name, taken))
        except HttpError as error:
            raise PublishError(
                f"`{deps.name}` could not be downloaded: {error}", remedy=error.remedy or _AGAIN_WITHOUT_RECORD
            ) from error
        if sha256 is None or deps.sha256 not in {None, sha256}:
            failure = (
                "the registry does not have it any more"
                if sha256 is None
                else "its sha256 is not what was recorded"
            )
            raise PublishError(f"`{deps.name}` could not be downloaded: {failure}", remedy=_AGAIN_WITHOUT_RECORD)
        return path

    def distributions(self, deps_name: str) -> dict[str, DistributionSize] | None:
        """The distributions in a deps PEX of the registry, by normalised name; None if a quick query fails."""
        deadline = Deadline(min(self._timeout, _OPTIONAL_SECONDS))
        try:
            [link] = self._links([deps_name], "GET").values()
            stored = self._transfers.stat(link, deadline)
            where = central_directory(stored.tail, stored.size) if stored else None
            if where is None or where.size > _DIRECTORY_LIMIT:
                return None
            return distribution_sizes(self._transfers.read_range(link, where.start, where.size, deadline))
        except (CloudError, HttpError, ValueError):
            return None

    def _links(self, names: Sequence[str], method: Method) -> dict[str, PresignedUrl]:
        urls = self._presign(names, method)
        return {
            name: PresignedUrl(url, lambda name=name: self._presign([name], method)[0])  # type: ignore[misc]
            for name, url in zip(names, urls, strict=True)
        }

    def _presign(self, names: Sequence[str], method: Method) -> Sequence[str]:
        # Several threads request URLs, and the source of URLs need not be thread-safe.
        with self._urls_lock:
            return self._urls(names, method)

    def _ask(
        self, file: Artefact, link: PresignedUrl, check: ReadBack, deadline: Deadline
    ) -> Published | _Missing | _Failed:
        """Check whether it is there whole."""
        started = time.monotonic()
        try:
            difference = certain_difference(self._transfers, file, link, deadline, check)
        except CloudError as error:
            return _Failed(file, _error(file.name, error.what, remedy=error.remedy))
        except HttpError as error:
            return _Failed(file, _error(file.name, str(error), remedy=error.remedy))
        seconds = time.monotonic() - started
        if difference:
            return _Missing(file, seconds)
        return Published(file.name, file.size, sent=False, seconds=seconds)

    def _send(
        self, missing: _Missing, source: PresignedUrl, target: PresignedUrl, progress: Callable[[str, int], None]
    ) -> Published | _Failed:
        """Send it and read it back."""
        file = missing.file
        started = time.monotonic()
        deadline = Deadline(self._timeout, spent=missing.seconds)
        difference: str | None = None

        def content() -> Iterable[bytes]:
            return file_content(file.path, file.size, file.sha256, lambda sent: progress(file.name, sent))

        try:
            for _ in range(_SENDINGS):
                self._transfers.put(target, content, file.size, deadline)
                difference = self._read_back(file, source, deadline)
                if difference is None:
                    seconds = missing.seconds + time.monotonic() - started
                    return Published(file.name, file.size, sent=True, seconds=seconds)
        except CloudError as error:
            return _Failed(file, _error(file.name, error.what, remedy=error.remedy))
        except HttpError as error:
            return _Failed(file, _error(file.name, str(error), remedy=error.remedy))
        return _Failed(file, _error(file.name, f"it was sent {_SENDINGS} times, but {difference}"))

    def _read_back(self, file: Artefact, link: PresignedUrl, deadline: Deadline) -> str | None:
        try:
            # Sending may have taken so long that the URL for reading has expired.
            return compare(self._transfers, file, link, deadline, self._check, sent=True)[0]
        except HttpError as error:
            problem = f"it was sent, but could not be read back: {error}"
            raise HttpError(problem, remedy=error.remedy) from None

    def is_damaged(self, deps: CachedDeps) -> bool:
        """Whether all bytes of a deps PEX differ from the recorded hash; False if that is unknown."""
        deadline = Deadline(self._timeout)
        try:
            [link] = self._links([deps.name], "GET").values()
            stored = self._transfers.stat(link, deadline, size=deps.size, whole=True)
        except (CloudError, HttpError):
            return False
        return stored is None or stored.size != deps.size or deps.sha256 not in {None, stored.sha256}

    def _checked(self, record: Record, deadline: Deadline) -> CachedDeps:
        [link] = self._links([record.name], "GET").values()
        whole = self._check is ReadBack.FULL
        stored = self._transfers.stat(link, deadline, size=record.size, whole=whole)
        if stored is None:
            raise InvalidRecordError(f"it names `{record.name}`, which the registry does not have")
        if record.size not in {None, stored.size}:
            raise InvalidRecordError(f"the registry has {stored.size} bytes of `{record.name}`, not {record.size}")
        if central_directory(stored.tail, stored.size) is None:
            raise InvalidRecordError(f"the registry's `{record.name}` is not a whole PEX file")
        if whole and record.sha256 not in {None, stored.sha256}:
            raise InvalidRecordError(f"the registry's `{record.name}` has another sha256 than was recorded")
        return CachedDeps(record.name, stored.size, record.dagster_version, record.sha256)


@dataclass(frozen=True, slots=True)
class _Missing:
    """A file that has to be uploaded, and the seconds that the check for it took."""

    file: Artefact
    seconds: float


@dataclass(frozen=True, slots=True)
class Absent:
    """A file that is not complete in the registry, and may be sent later.

    :param source: where it can be read.
    :param target: where it can be sent.
    """

    missing: _Missing
    source: PresignedUrl
    target: PresignedUrl


@dataclass(frozen=True, slots=True)
class _Failed:
    file: Artefact
    error: PublishError


def _error(name: str, problem: str, *, remedy: str | None = None) -> PublishError:
    return PublishError(f"`{name}` could not be published: {problem}", remedy=remedy or _AGAIN)


def _each(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Do the work for each item, several at once; after an interruption no further item is started."""
    futures = [pool.submit(work, item) for item in items]
    try:
        return [future.result() for future in futures]
    except BaseException:
        for future in futures:
            future.cancel()
        raise
