"""Reading pdm.lock and Pipfile.lock as requirements that are pinned to exact versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from builder.errors import Origin, ResolutionError
from builder.project.locks import KINDS, load_lock, pipfile_entries
from builder.project.names import required_name
from builder.project.requirements import Requirements
from builder.project.requirements_txt import RequirementLine
from builder.project.toml_file import TomlFile, table

_GROUPS: Final = "pdm.lock does not say for each distribution which groups need it"


def pinned_requirements(requirements: Requirements, lock: Path) -> Requirements:
    """Read a pdm.lock or Pipfile.lock as pinned requirements.

    Raises ResolutionError for a lock that is outdated, that lacks information, or that no tool writes.
    """
    options = requirements.options
    try:
        if lock.name == "pdm.lock":
            lines = pdm_lines(requirements, lock)
        else:
            lines = pipfile_lines(lock, requirements.wanted.groups)
            sources = _pipfile_sources(load_lock(lock))
            options = tuple(f"--extra-index-url {source['url']}" for source in sources.values())
    except (AttributeError, KeyError, TypeError) as error:
        kind = KINDS[lock.name]
        raise ResolutionError(
            f"{lock.name} is not what `{kind.lock}` writes: {type(error).__name__}: {error}",
            where=Origin(lock),
            remedy=f"Run `{kind.lock}` and commit {lock.name}",
        ) from error
    lines = [line for line in lines if required_name(line.text) not in requirements.local_names]
    if not all(line.hashes for line in lines):
        # A git requirement has no hash, and if any requirement has hashes, all must have them.
        lines = [replace(line, hashes=()) for line in lines]
    # What pdm was told to put in the place of what distributions ask for is among the lines.
    settings = TomlFile.pyproject(requirements.directory).table("tool", "pdm", "resolution")
    settings = settings if lock.name == "pdm.lock" else {}
    overridden = {canonicalize_name(name) for name in table(settings, "overrides")}
    excludes = settings.get("excludes")
    return replace(
        requirements,
        lines=tuple(lines),
        options=options,
        lock=None,
        overrides=tuple(line.text for line in lines if required_name(line.text) in overridden),
        excludes=frozenset(canonicalize_name(name) for name in excludes)
        if isinstance(excludes, list)
        else frozenset(),
    )


def pdm_lines(requirements: Requirements, lock: Path) -> list[RequirementLine]:
    """Read the entries of pdm.lock for the project and its selected extras and groups.

    Raises ResolutionError for a lock that no longer matches pyproject.toml, or that lacks information.
    """
    document = load_lock(lock)
    entries = [entry for entry in document.get("package", []) if isinstance(entry, dict)]
    if "inherit_metadata" not in document.get("metadata", {}).get("strategy", []):
        remedy = "Run `pdm lock --strategy inherit_metadata`, which is pdm's default, and commit pdm.lock"
        raise ResolutionError(_GROUPS, where=Origin(lock), remedy=remedy)
    locked = {*document["metadata"].get("groups", ["default"])}
    wanted = {"default", *requirements.wanted.extras, *requirements.wanted.groups}
    if unknown := sorted(wanted - locked):
        remedy = f"Run `pdm lock --group {unknown[0]}` and commit pdm.lock"
        raise ResolutionError(f"pdm.lock was made without `{unknown[0]}`", where=Origin(lock), remedy=remedy)
    chosen = [entry for entry in entries if wanted & {*entry.get("groups", [])}]
    _check_fit(requirements.lines, chosen, lock)
    served = (entry for entry in chosen if "path" not in entry)
    return [_line(_pdm_text(entry), entry.get("marker"), _pdm_hashes(entry), lock) for entry in served]


def pipfile_lines(lock: Path, groups: Iterable[str]) -> list[RequirementLine]:
    """Read the default packages of Pipfile.lock, and those of the given categories.

    Raises ResolutionError for a lock that no longer matches the Pipfile.
    """
    document = load_lock(lock)
    pipfile = lock.with_name("Pipfile")
    said = document.get("_meta", {}).get("hash", {}).get("sha256")
    made_from = TomlFile.load(pipfile).data if pipfile.is_file() else {}
    # If a Pipfile names no source, pipenv still hashes a default one, so that the hashes cannot be compared.
    if "source" in made_from and said != _pipfile_hash(made_from):
        raise _outdated(lock, "Pipfile has changed since")
    return list(_pipfile_lines(pipfile_entries(lock, groups), _pipfile_sources(document), lock))


def _pipfile_sources(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The indexes by name, without the public one, for which this machine may have a mirror configured."""
    sources = {source["name"]: source for source in document.get("_meta", {}).get("sources", [])}
    sources.pop("pypi", None)
    return sources


def _pipfile_lines(
    entries: Mapping[str, Mapping[str, Any]], sources: Mapping[str, Mapping[str, Any]], lock: Path
) -> Iterator[RequirementLine]:
    for name, entry in entries.items():
        if entry.get("path") or (entry.get("file") and "://" not in entry["file"]):
            continue
        extras = f"[{','.join(entry['extras'])}]" if entry.get("extras") else ""
        if entry.get("git"):
            inside = f"#subdirectory={entry['subdirectory']}" if entry.get("subdirectory") else ""
            text = f"{name}{extras} @ git+{entry['git'].removeprefix('git+')}@{entry.get('ref', 'HEAD')}{inside}"
        elif entry.get("file"):
            text = f"{name}{extras} @ {entry['file']}"
        else:
            text = f"{name}{extras}{entry.get('version', '')}"
        source = sources.get(str(entry.get("index")))
        index = {"name": source["name"], "url": source["url"]} if source else None
        yield _line(text, entry.get("markers"), tuple(entry.get("hashes", ())), lock, index)


def _pdm_text(entry: Mapping[str, Any]) -> str:
    extras = f"[{','.join(entry['extras'])}]" if entry.get("extras") else ""
    if "git" in entry:
        inside = f"#subdirectory={entry['subdirectory']}" if entry.get("subdirectory") else ""
        commit = entry.get("revision", entry.get("ref", "HEAD"))
        return f"{entry['name']}{extras} @ git+{entry['git']}@{commit}{inside}"
    if "url" in entry:
        return f"{entry['name']}{extras} @ {entry['url']}"
    return f"{entry['name']}{extras}=={entry['version']}"


def _pdm_hashes(entry: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(file["hash"] for file in entry.get("files", []) if "hash" in file) if "url" not in entry else ()


def _line(
    text: str, marker: str | None, hashes: tuple[str, ...], lock: Path, index: Mapping[str, object] | None = None
) -> RequirementLine:
    line = f"{text} ; {marker}" if marker else text
    return RequirementLine(text=line, origin=Origin(lock), hashes=hashes, index=index)


def _check_fit(asked: Iterable[RequirementLine], entries: Iterable[Mapping[str, Any]], lock: Path) -> None:
    """Raise ResolutionError for a lock that lacks a requirement of the project, or has another version of it."""
    versions: dict[str, set[str]] = {}
    for entry in entries:
        versions.setdefault(canonicalize_name(entry["name"]), set()).add(str(entry.get("version", "")))
    for line in asked:
        requirement = Requirement(line.text)
        locked = versions.get(canonicalize_name(requirement.name))
        if locked is None:
            raise _outdated(lock, f"it lacks `{requirement.name}`, which {line.origin} asks for")
        if not any(requirement.specifier.contains(version, prereleases=True) for version in locked):
            why = f"it has {requirement.name} {', '.join(sorted(locked))}, and {line.origin} asks for another"
            raise _outdated(lock, why)


def _outdated(lock: Path, why: str) -> ResolutionError:
    kind = KINDS[lock.name]
    return ResolutionError(
        f"{lock.name} does not fit {kind.manifest} any more: {why}",
        where=Origin(lock),
        remedy=f"Run `{kind.lock}` and commit {lock.name}",
    )


def _pipfile_hash(pipfile: Mapping[str, Any]) -> str:
    """The hash of a Pipfile as pipenv computes it (`plette.pipfiles.Pipfile.get_hash`)."""
    content = {
        "_meta": {"sources": pipfile.get("source", []), "requires": pipfile.get("requires", {})},
        "default": pipfile.get("packages", {}),
        "develop": pipfile.get("dev-packages", {}),
    }
    known = {"source", "requires", "packages", "dev-packages", "scripts", "pipenv", "pipfile"}
    content |= {name: value for name, value in pipfile.items() if name not in known}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
