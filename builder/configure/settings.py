"""The settings that a workflow is written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SPLIT_LIMITS: Final = """\
# In two jobs: PEX files only, no images; the state of components is not refreshed, which would need the token.
"""


@dataclass(frozen=True, slots=True)
class DbtProject:
    """A dbt project, and the project with its dependencies; both relative to the repository."""

    directory: str
    project: str

    @property
    def commands(self) -> str:
        """A shell script that makes the manifest, in an environment outside the checkout."""
        file = f"{self.project}/requirements.txt"
        return "\n".join(
            [
                'python3 -m venv "$PLACE/dbt"',
                f"if [ -f {file} ]; then set -- -r {file}; else set -- ./{self.project}; fi",
                '"$PLACE/dbt/bin/pip" install --quiet "$@"',
                f'"$PLACE/dbt/bin/dbt" deps --project-dir {self.directory}',
                f'"$PLACE/dbt/bin/dbt" parse --project-dir {self.directory} --profiles-dir {self.directory}',
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What differs from project to project.

    :param workspace: what builder.deploy gets, relative to the repository.
    :param branch: whose pushes go to `deployment`.
    :param split: build without secrets, and deploy in another job.
    """

    workspace: str
    branch: str
    deployment: str
    organization: str | None
    python_version: str | None
    split: bool
    dbt: tuple[DbtProject, ...]
