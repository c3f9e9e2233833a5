"""The workflow of GitHub Actions."""

from __future__ import annotations

import textwrap
from typing import Final

from builder import REPOSITORY
from builder.configure.settings import SPLIT_LIMITS, Settings

_CHECKOUT: Final = "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2"
_UPLOAD: Final = "actions/upload-artifact@b7c566a772e6b6bfb58ed0dc250532a479d7789f # v6.0.0"
_DOWNLOAD: Final = "actions/download-artifact@37930b1c2abaa49bbe596cd826c3c89aef350131 # v7.0.0"
_BUILDER: Final = f"{REPOSITORY}@v1 # zizmor: ignore[unpinned-uses] its commit pins builder.pex too"

_HEAD: Final = """\
# Written by `builder.pex -m builder.configure github`: a push to `{branch}` goes to the deployment `{deployment}`,
# a pull request to its branch deployment, which is closed with it.
{limits}name: Deploy to Dagster Cloud

on:
  push:
    branches: [{branch}]
  pull_request:
    types: [opened, synchronize, reopened, closed]

permissions: {{}}

concurrency:
  # Deploys of one branch come one after another, and none is stopped half-way.
  group: deploy-${{{{ github.ref }}}}
  cancel-in-progress: false

jobs:
"""

_CHECK_OUT: Final = f"""\
      - name: Check out
        uses: {_CHECKOUT}
        with:
          persist-credentials: false
"""

_DEPLOY_JOB: Final = """\
  deploy:
    name: Deploy
{condition}    runs-on: ubuntu-24.04
    timeout-minutes: 60
    environment: dagster-cloud
    permissions:
      contents: read # to check out
      pull-requests: write # for the comment
    steps:
"""

_BUILD_JOB: Final = """\
  build:
    # Code of the project runs here, and here only: without secrets.
    name: Build and verify
    if: github.event.action != 'closed'
    runs-on: ubuntu-24.04
    timeout-minutes: 60
    permissions:
      contents: read # to check out
    steps:
"""

_SPLIT_CONDITION: Final = """\
    needs: build
    # A closed pull request has nothing to build. GitHub gives a fork's pull request no secrets.
    if: >-
      !cancelled() && github.event.pull_request.head.repo.fork != true &&
      (needs.build.result == 'success' || github.event.action == 'closed')
"""

_KEEP: Final = f"""\
      - name: Keep what was built
        uses: {_UPLOAD}
        with:
          name: built
          path: ${{{{ steps.build.outputs.out-dir }}}}
          retention-days: 1
"""

_FETCH: Final = f"""\
      - name: Fetch what was built
        if: github.event.action != 'closed'
        uses: {_DOWNLOAD}
        with:
          name: built
          path: ${{{{ runner.temp }}}}/built
"""


def text(settings: Settings) -> str:
    """The whole file."""
    limits = SPLIT_LIMITS if settings.split else "# State of components is refreshed if needed.\n"
    head = _HEAD.format(branch=settings.branch, deployment=settings.deployment, limits=limits)
    if not settings.split:
        job = _DEPLOY_JOB.format(condition="") + _CHECK_OUT + _dbt(settings)
        return head + job + _deploy(settings, [])
    build = {**_what(settings), "upload-pex": '"false"', "github-token": '""'}
    delivering = [
        'built: "true"',
        "out-dir: ${{ runner.temp }}/built",
        'cache: "false" # another job\'s code may have written it',
    ]
    return (
        head
        + _BUILD_JOB
        + _CHECK_OUT
        + _dbt(settings)
        + _step("Build", [f"{name}: {value}" for name, value in build.items()], identity="build")
        + _KEEP
        + "\n"
        + _DEPLOY_JOB.format(condition=_SPLIT_CONDITION)
        + _CHECK_OUT
        + _FETCH
        + _deploy(settings, delivering)
    )


def _deploy(settings: Settings, more: list[str]) -> str:
    organization = settings.organization or "${{ vars.DAGSTER_CLOUD_ORGANIZATION }}"
    what = {
        **_what(settings),
        "organization": organization,
        "api-token": "${{ secrets.DAGSTER_CLOUD_API_TOKEN }}",
        "deployment": settings.deployment,
    }
    return _step("Deploy", [*(f"{name}: {value}" for name, value in what.items()), *more], identity="deploy")


def _what(settings: Settings) -> dict[str, str]:
    what = {} if settings.workspace == "." else {"workspace": settings.workspace}
    return what | ({"python-version": f'"{settings.python_version}"'} if settings.python_version else {})


def _step(name: str, inputs: list[str], *, identity: str) -> str:
    lines = "".join(f"          {line}\n" for line in inputs)
    return f"      - name: {name}\n        id: {identity}\n        uses: {_BUILDER}\n        with:\n{lines}"


def _dbt(settings: Settings) -> str:
    steps = ""
    for dbt in settings.dbt:
        steps += (
            f"      - name: Make dbt's manifest of {dbt.directory}\n        if: github.event.action != 'closed'\n"
        )
        steps += f"        shell: bash\n        run: |\n{textwrap.indent(dbt.commands, ' ' * 10)}\n"
        steps += "        env:\n          PLACE: ${{ runner.temp }}\n"
    return steps
