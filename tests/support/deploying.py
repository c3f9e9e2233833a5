"""Deploying as users do, against a Dagster Cloud on loopback; whatever a test does, no secret may get out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.cloud import CloudServer
from tests.support.commands import Ran, Running, Workshop, workshop
from tests.support.schemas import check_schema

OLD = "files=deps-01d.pex:source-01d.pex"
"""The pex tag of what runs before a test."""

DETAILS = "--code-location-details=deployment=prod,commit_hash=abc1234"


@dataclass(slots=True)
class Deploying:
    """A workspace to deploy, and where to."""

    place: Workshop
    cloud: CloudServer
    said: list[str] = field(default_factory=list)

    def locations(self, *names: str) -> Path:
        """A workspace with a project for each of these locations."""
        lines = ["locations:"]
        for name in names:
            self.place.project({"answer.py": f"answer = {name!r}\n"}, name=f"project {name}")
            lines += [
                f"  - location_name: {name}",
                "    code_source:",
                "      python_file: answer.py",
                "    build:",
                f"      directory: project {name}",
            ]
        return self.place.workspace("\n".join(lines) + "\n")

    def change(self, name: str = "sales") -> None:
        """Change one source file of a location's project."""
        (self.place.root / f"project {name}" / "answer.py").write_text("answer = 'changed'\n")

    def start(self, *options: str, env: Mapping[str, str] | None = None) -> Running:
        """Start uploading and updating what `locations` made."""
        return self.place.start(
            "deploy",
            self.place.root / "dagster_cloud.yaml",
            self.place.out,
            *([] if "--upload" in options else ["--upload-pex"]),
            "--update-code-location",
            *([] if "--verify" in options else ["--no-verify"]),
            *options,
            env={**self.cloud.environ(), **(env or {})},
        )

    def finish(self, running: Running) -> Ran:
        """The end of what `start` started."""
        ran = running.finish()
        self.said += [ran.stdout, ran.stderr]
        return ran

    def deploy(self, *options: str, env: Mapping[str, str] | None = None) -> Ran:
        """Upload and update, into `prod` unless the options say otherwise."""
        elsewhere = any(option.startswith(("--code-location-details", "--deployment")) for option in options)
        in_ci = any(name.startswith(("GITHUB_", "GITLAB_")) for name in env or {})
        return self.finish(self.start(*options, *([] if elsewhere or in_ci else [DETAILS]), env=env))

    def run_before(self, *names: str) -> None:
        """Have an older version of these locations run in `prod`."""
        for name in names:
            self.cloud.organization.deploy(
                self.cloud.deployments["prod"],
                {
                    "location_name": name,
                    "code_source": {"python_file": "answer.py"},
                    "pex_metadata": {"pex_tag": OLD, "python_version": "3.11"},
                },
            )

    def runs(self, name: str = "sales", deployment: str = "prod") -> str | None:
        """The pex tag that a deployment was told to run last."""
        document = self.cloud.locations(deployment).get(name)
        return document["pex_metadata"]["pex_tag"] if document else None

    def built(self, name: str = "sales") -> dict[str, Any]:
        """What build.json says of a location."""
        document = json.loads((self.place.out / "build.json").read_text(encoding="utf-8"))
        check_schema("build", document)
        (found,) = [location for location in document["locations"] if location["name"] == name]
        return dict(found)

    def records(self) -> dict[str, bytes]:
        """The records of the cache in the registry."""
        return {
            name: content for name, content in self.cloud.objects().items() if name.startswith("requirements-")
        }

    def sent(self) -> list[str]:
        """The kinds of the PEX files that were sent, `deps` or `source`, each time; forgets them."""
        names = [name.partition("-")[0] for name, _ in self.cloud.uploads()]
        self.cloud.requests.clear()
        return sorted(name for name in names if name in {"deps", "source"})

    def assert_whole(self, name: str = "sales") -> None:
        """The deployment runs what was built, and the registry has exactly those bytes."""
        built, objects = self.built(name), self.cloud.objects()
        assert self.runs(name) == built["pex_tag"]
        for kind in ("deps", "source"):
            file = built[kind]["file"]
            assert objects[file] == (self.place.out / file).read_bytes()

    def assert_untouched(self, name: str = "sales") -> None:
        """The deployment runs what it ran before, and no record was left."""
        assert self.runs(name) == OLD
        assert not self.records()

    def assert_secret(self) -> None:
        """Nothing that was said or written holds a secret."""
        files = [path.read_bytes() for path in self.place.root.rglob("*") if path.is_file()]
        assert self.cloud.leaks([*self.said, *files]) == []


@contextmanager
def deploying(root: Path) -> Iterator[Deploying]:
    """A workshop beside a Dagster Cloud; fails at the end if a secret got out."""
    with workshop(root) as place, CloudServer() as cloud:
        made = Deploying(place, cloud)
        yield made
        cloud.heal()
        made.assert_secret()
