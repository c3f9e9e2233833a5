"""The pipeline of GitLab CI."""

from __future__ import annotations

import textwrap
from typing import Final

from builder import REPOSITORY
from builder.configure.settings import SPLIT_LIMITS, Settings

_HEAD: Final = """\
# Written by `builder.pex -m builder.configure gitlab`: a push to `{branch}` goes to the deployment `{deployment}`,
# a merge request to its branch deployment. DAGSTER_CLOUD_API_TOKEN is a masked variable of the project{scope}.
{limits}workflow:
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
    - if: $CI_COMMIT_BRANCH == "{branch}"

stages: [{stages}]

variables:
  BUILDER_URL: https://github.com/{builder}/raw/v1/generated/gha/builder.pex
  OUT: $CI_PROJECT_DIR/../dagster-out-$CI_JOB_ID
{variables}
.dagster:
  image: python:{python}
  timeout: 1 hour
  before_script:
    # Outside the checkout, so that it is in no build.
    - curl --fail --silent --show-error --location --output /tmp/builder.pex "$BUILDER_URL"
    - curl --fail --silent --show-error --location --output /tmp/builder.pex.json "$BUILDER_URL.json"
    # To trust one file only, write its sha256 into a variable BUILDER_SHA256 of the project.
    - PUBLISHED=$(python3 -c 'import json; print(json.load(open("/tmp/builder.pex.json"))["sha256"])')
    - echo "${{BUILDER_SHA256:-$PUBLISHED}}  /tmp/builder.pex" | sha256sum --check
"""

_TAGS: Final = (
    '--deps-cache-tag-read="$CI_DEFAULT_BRANCH" ${CI_COMMIT_BRANCH:+--deps-cache-tag-write="$CI_DEFAULT_BRANCH"}'
)
"""Only a pipeline of a branch writes records: a merge request must not choose what production reuses."""

_DEPLOY: Final = """
deploy:
  extends: .dagster
  stage: deploy
{more}  # One deploy of a branch after another.
  resource_group: deploy-$CI_COMMIT_REF_SLUG
  script:
{script}"""

_BUILD: Final = """
build:
  # Code of the project runs here, and here only: without secrets.
  extends: .dagster
  stage: build
  script:
{script}  artifacts:
    paths: [dagster-out]
    expire_in: 1 day
"""


def text(settings: Settings) -> str:
    """The whole file."""
    organization = settings.organization
    head = _HEAD.format(
        branch=settings.branch,
        deployment=settings.deployment,
        builder=REPOSITORY,
        stages="build, deploy" if settings.split else "deploy",
        python=settings.python_version if settings.python_version in {"3.11", "3.12"} else "3.11",
        scope=",\n# with the environment `dagster-cloud` as its scope" if settings.split else "",
        limits=SPLIT_LIMITS if settings.split else "",
        variables=f"  DAGSTER_CLOUD_ORGANIZATION: {organization}\n" if organization else "",
    )
    python = f" --python-version={settings.python_version}" if settings.python_version else ""
    deploy = f"python3 /tmp/builder.pex -m builder.deploy {settings.workspace}"
    sending = f"--upload-pex --update-code-location --deployment={settings.deployment}"
    if not settings.split:
        script = _dbt(settings) + _line(f'{deploy} "$OUT" {sending}{python} {_TAGS}')
        return head + _DEPLOY.format(more="", script=script)
    # Only what is in the checkout can be passed on: it is moved there when it has been built.
    built = _line(f'{deploy} "$OUT"{python}') + _line('python3 /tmp/builder.pex -m builder.verify "$OUT"')
    build = _BUILD.format(script=_dbt(settings) + built + _line('mv "$OUT" dagster-out'))
    more = "  needs: [build]\n  environment:\n    name: dagster-cloud\n    action: access\n"
    deliver = _line('mv dagster-out "$OUT"') + _line(f'{deploy} "$OUT" --built {sending}')
    return head + build + _DEPLOY.format(more=more, script=deliver)


def _line(command: str) -> str:
    return f"    - {command}\n"


def _dbt(settings: Settings) -> str:
    return "".join(
        f"    - |\n      PLACE=/tmp\n{textwrap.indent(dbt.commands, ' ' * 6)}\n" for dbt in settings.dbt
    )
